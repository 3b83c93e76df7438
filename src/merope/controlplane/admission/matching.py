"""Which webhooks a request concerns: rules, equivalent versions, selectors. Pure but for the look-up of namespaces."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from merope.controlplane.resource import GroupResource, Object, Resource
from merope.lang.selectors import Selector, label_selector

NAMESPACES = GroupResource("", "namespaces")


@dataclass(frozen=True, slots=True)
class Rule:
    """One rule of a webhook."""

    operations: frozenset[str]
    groups: frozenset[str]
    versions: frozenset[str]
    resources: tuple[str, ...]
    scope: str

    @classmethod
    def of(cls, rule: Mapping[str, Any]) -> Rule:
        return cls(
            frozenset(rule.get("operations") or ()),
            frozenset(rule.get("apiGroups") or ()),
            frozenset(rule.get("apiVersions") or ()),
            tuple(rule.get("resources") or ()),
            rule.get("scope", "*"),
        )

    def matches(self, operation: str, resource: Resource, subresource: str) -> bool:
        return (
            bool(self.operations & {operation, "*"})
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


@dataclass(frozen=True, slots=True)
class Webhook:
    """One webhook of a configuration, ready to be matched and called."""

    name: str
    rules: tuple[Rule, ...]
    namespace_selector: Selector
    object_selector: Selector
    conditions: tuple[Mapping[str, Any], ...]
    equivalent: bool
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

    def resource_for(
        self, operation: str, resource: Resource, subresource: str, equivalents: Iterable[Resource]
    ) -> Resource | None:
        """The resource under which the webhook wants to see the request; None where no rule matches.

        ``equivalents`` are the other served versions of the same objects, asked only where the policy is Equivalent.
        """
        if any(rule.matches(operation, resource, subresource) for rule in self.rules):
            return resource
        if self.equivalent:
            for other in equivalents:
                if any(rule.matches(operation, other, subresource) for rule in self.rules):
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


def webhooks_of(configurations: Sequence[Mapping[str, Any]]) -> tuple[Webhook, ...]:
    """All webhooks in call order: configurations by name, then as listed."""
    ordered = sorted(configurations, key=lambda configuration: configuration["metadata"]["name"])
    return tuple(Webhook.of(webhook) for configuration in ordered for webhook in configuration.get("webhooks") or ())
