"""Which webhooks and policies a request concerns: rules, equivalent versions, selectors. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from merope.controlplane.resource import GroupResource, Object, Resource
from merope.lang.selectors import Selector, label_selector

NAMESPACES = GroupResource("", "namespaces")


@dataclass(frozen=True, slots=True)
class Rule:
    """One rule of a webhook or policy; ``names`` (policies only) narrow it to single objects, none means all."""

    operations: frozenset[str]
    groups: frozenset[str]
    versions: frozenset[str]
    resources: tuple[str, ...]
    scope: str
    names: frozenset[str] = frozenset()

    @classmethod
    def of(cls, rule: Mapping[str, Any]) -> Rule:
        return cls(
            frozenset(rule.get("operations") or ()),
            frozenset(rule.get("apiGroups") or ()),
            frozenset(rule.get("apiVersions") or ()),
            tuple(rule.get("resources") or ()),
            rule.get("scope", "*"),
            frozenset(rule.get("resourceNames") or ()),
        )

    def matches(self, operation: str, resource: Resource, subresource: str, name: str = "") -> bool:
        return (
            (not self.names or name in self.names)
            and bool(self.operations & {operation, "*"})
            and bool(self.groups & {resource.group, "*"})
            and bool(self.versions & {resource.version, "*"})
            and self._scope_matches(resource)
            and any(_resource_matches(pattern, resource.plural, subresource) for pattern in self.resources)
        )

    def _scope_matches(self, resource: Resource) -> bool:
        return self.scope == "*" or (self.scope == "Namespaced") == resource.namespaced


def _resource_matches(pattern: str, plural: str, subresource: str) -> bool:
    """``pods``, ``pods/status``, ``pods/*``, ``*/status``, ``*/*``; ``*`` alone means no subresource."""
    wanted, slash, sub = pattern.partition("/")
    if wanted not in ("*", plural):
        return False
    if not slash:
        return not subresource
    return sub in ("*", subresource)


@dataclass(frozen=True, slots=True, kw_only=True)
class Match:
    """What webhooks and policies have in common: the rules and selectors that tell which requests they concern."""

    rules: tuple[Rule, ...]
    namespace_selector: Selector
    object_selector: Selector
    equivalent: bool

    def resource_for(
        self, operation: str, resource: Resource, subresource: str, equivalents: Iterable[Resource], name: str = ""
    ) -> Resource | None:
        """The resource under which the request is to be seen; None where no rule matches.

        ``equivalents`` are the other served versions of the same objects, asked only where the policy is Equivalent.
        """
        return self._found(self.rules, operation, resource, subresource, equivalents, name)

    def _found(
        self,
        rules: Sequence[Rule],
        operation: str,
        resource: Resource,
        subresource: str,
        equivalents: Iterable[Resource],
        name: str,
    ) -> Resource | None:
        if any(rule.matches(operation, resource, subresource, name) for rule in rules):
            return resource
        if self.equivalent and rules:
            for other in equivalents:
                if any(rule.matches(operation, other, subresource, name) for rule in rules):
                    return other
        return None

    def selects_namespace(self, labels: Mapping[str, str] | None) -> bool:
        """``labels`` of the request's namespace; None for requests that have none."""
        return labels is None or self.namespace_selector.empty or self.namespace_selector.matches(labels)

    def selects_object(self, obj: Object | None, old: Object | None) -> bool:
        """Whether the object as it is or as it was carries the labels."""
        if self.object_selector.empty:
            return True
        return any(
            self.object_selector.matches((each.get("metadata") or {}).get("labels") or {})
            for each in (obj, old)
            if each is not None
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class MatchResources(Match):
    """What a policy or a binding says of the requests it concerns: a request that an exclusion matches is none."""

    excluded: tuple[Rule, ...]

    @classmethod
    def of(cls, match: Mapping[str, Any]) -> MatchResources:
        return cls(
            rules=tuple(Rule.of(rule) for rule in match.get("resourceRules") or ()),
            excluded=tuple(Rule.of(rule) for rule in match.get("excludeResourceRules") or ()),
            namespace_selector=label_selector(match.get("namespaceSelector") or {}),
            object_selector=label_selector(match.get("objectSelector") or {}),
            equivalent=match.get("matchPolicy", "Equivalent") == "Equivalent",
        )

    def resource_for(
        self, operation: str, resource: Resource, subresource: str, equivalents: Iterable[Resource], name: str = ""
    ) -> Resource | None:
        """As for webhooks; without any rule (a binding has none of its own) every request matches as it is."""
        if self._found(self.excluded, operation, resource, subresource, equivalents, name) is not None:
            return None
        if not self.rules:
            return resource
        return self._found(self.rules, operation, resource, subresource, equivalents, name)


@dataclass(frozen=True, slots=True, kw_only=True)
class Webhook(Match):
    """One webhook of a configuration, ready to be matched and called."""

    name: str
    conditions: tuple[Mapping[str, Any], ...]
    fails_closed: bool
    seconds: int
    dry_run_safe: bool
    reinvoke: bool
    versions: tuple[str, ...]
    client: Mapping[str, Any]

    @classmethod
    def of(cls, webhook: Mapping[str, Any]) -> Webhook:
        return cls(
            name=webhook["name"],
            rules=tuple(Rule.of(rule) for rule in webhook.get("rules") or ()),
            namespace_selector=label_selector(webhook.get("namespaceSelector") or {}),
            object_selector=label_selector(webhook.get("objectSelector") or {}),
            conditions=tuple(webhook.get("matchConditions") or ()),
            equivalent=webhook.get("matchPolicy", "Equivalent") == "Equivalent",
            fails_closed=webhook.get("failurePolicy", "Fail") == "Fail",
            seconds=webhook.get("timeoutSeconds", 10),
            dry_run_safe=webhook.get("sideEffects") in ("None", "NoneOnDryRun"),
            reinvoke=webhook.get("reinvocationPolicy") == "IfNeeded",
            versions=tuple(webhook.get("admissionReviewVersions") or ()),
            client=webhook.get("clientConfig") or {},
        )


def webhooks_of(configurations: Sequence[Mapping[str, Any]]) -> tuple[Webhook, ...]:
    """All webhooks in call order: configurations by name, then as listed."""
    ordered = sorted(configurations, key=lambda configuration: configuration["metadata"]["name"])
    return tuple(Webhook.of(webhook) for configuration in ordered for webhook in configuration.get("webhooks") or ())
