"""Roles and bindings as objects: defaults, validation, and the protection against escalation.

Nobody may grant what he does not hold: whoever writes a role must hold each of its rules (or have ``escalate`` on it),
whoever binds a role must hold its rules (or have ``bind`` on it). Only ``system:masters`` is exempt.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final

from merope.controlplane import errors
from merope.controlplane.authz import GROUP, Attributes, Rule, quoted, uncovered
from merope.controlplane.errors import FieldError
from merope.controlplane.resource import Object, Request, Strategy

if TYPE_CHECKING:
    from merope.controlplane.server import Server

_EVERYTHING: Final = (Rule(("*",), ("*",), ("*",)), Rule(("*",), urls=("*",)))
_SUBJECT_KINDS: Final = ("ServiceAccount", "User", "Group")


class RoleStrategy(Strategy):
    """Role and ClusterRole."""

    create_on_update = True
    name_rule = "path"

    def __init__(self, *, namespaced: bool) -> None:
        self.namespaced = namespaced

    def validate(self, server: Server, request: Request, obj: Object, old: Object | None) -> list[FieldError]:
        problems: list[FieldError] = []
        for index, rule in enumerate(obj.get("rules") or ()):
            problems.extend(_validate_rule(rule, f"rules[{index}]", namespaced=self.namespaced))
        aggregation = obj.get("aggregationRule")
        if aggregation is not None and not aggregation.get("clusterRoleSelectors"):
            problems.append(
                errors.required(
                    "aggregationRule.clusterRoleSelectors",
                    "at least one clusterRoleSelector required if aggregationRule is non-nil",
                )
            )
        return problems

    async def authorize_write(self, server: Server, request: Request, obj: Object, old: Object | None) -> None:
        user = request.user
        if user.is_master or _only_collected_fields_differ(obj, old):
            return
        name = obj.get("metadata", {}).get("name", "")
        resource = request.resource
        escalate = Attributes(user, "escalate", GROUP, resource.plural, "", request.namespace, name)
        if server.authz.authorize(escalate).allowed:
            return
        held, problems = server.authz.rules_for(user, request.namespace)
        wanted = [Rule.of(rule) for rule in obj.get("rules") or ()]
        _refuse_escalation(request, name, held, wanted, problems)
        # What such a role will hold cannot be told from itself, neither before nor after the write.
        aggregates = bool(obj.get("aggregationRule") or (old or {}).get("aggregationRule"))
        if aggregates and uncovered(held, _EVERYTHING):
            raise errors.forbidden(
                GROUP, resource.plural, name, "must have cluster-admin privileges to use the aggregationRule"
            )


class BindingStrategy(Strategy):
    """RoleBinding and ClusterRoleBinding."""

    create_on_update = True
    name_rule = "path"

    def __init__(self, *, namespaced: bool) -> None:
        self.namespaced = namespaced

    def default(self, server: Server, request: Request, obj: Object) -> None:
        ref = obj.setdefault("roleRef", {})
        if not ref.get("apiGroup"):
            ref["apiGroup"] = GROUP
        for subject in obj.get("subjects") or ():
            if isinstance(subject, dict) and not subject.get("apiGroup") and subject.get("kind") in ("User", "Group"):
                subject["apiGroup"] = GROUP

    def validate(self, server: Server, request: Request, obj: Object, old: Object | None) -> list[FieldError]:
        ref: Mapping[str, Any] = obj.get("roleRef") or {}
        problems: list[FieldError] = []
        if ref and ref.get("apiGroup", GROUP) != GROUP:
            problems.append(errors.not_supported("roleRef.apiGroup", ref["apiGroup"], (GROUP,)))
        kinds = ("Role", "ClusterRole") if self.namespaced else ("ClusterRole",)
        if ref.get("kind", "") not in kinds:
            problems.append(errors.not_supported("roleRef.kind", ref.get("kind", ""), kinds))
        if not ref.get("name"):
            problems.append(errors.required("roleRef.name"))
        for index, subject in enumerate(obj.get("subjects") or ()):
            problems.extend(_validate_subject(subject, f"subjects[{index}]", namespaced=self.namespaced))
        if old is not None and not problems and ref != old.get("roleRef"):
            shown = {"APIGroup": ref.get("apiGroup", ""), "Kind": ref.get("kind", ""), "Name": ref.get("name", "")}
            problems.append(errors.invalid_value("roleRef", shown, "cannot change roleRef"))
        return problems

    async def authorize_write(self, server: Server, request: Request, obj: Object, old: Object | None) -> None:
        user = request.user
        if user.is_master or _only_collected_fields_differ(obj, old):
            return
        ref: Mapping[str, Any] = obj.get("roleRef") or {}
        kind, role = ref.get("kind", ""), ref.get("name", "")
        plural = "clusterroles" if kind == "ClusterRole" else "roles"
        namespace = request.namespace if self.namespaced else ""
        if server.authz.authorize(Attributes(user, "bind", GROUP, plural, "", namespace, role)).allowed:
            return
        rules = server.authz.role_rules(kind, role, namespace)
        if rules is None:
            raise errors.not_found(GROUP, request.resource.plural, role)
        held, problems = server.authz.rules_for(user, namespace)
        _refuse_escalation(request, obj.get("metadata", {}).get("name", ""), held, rules, problems)


STRATEGIES: Final[dict[tuple[str, str], Strategy]] = {
    (GROUP, "Role"): RoleStrategy(namespaced=True),
    (GROUP, "ClusterRole"): RoleStrategy(namespaced=False),
    (GROUP, "RoleBinding"): BindingStrategy(namespaced=True),
    (GROUP, "ClusterRoleBinding"): BindingStrategy(namespaced=False),
}


def _only_collected_fields_differ(obj: Object, old: Object | None) -> bool:
    """Whether a write changes nothing but owner references and finalizers: the garbage collector's own writes."""
    if old is None:
        return False

    def rest(value: Object) -> Object:
        metadata = {
            key: entry
            for key, entry in value.get("metadata", {}).items()
            if key not in ("ownerReferences", "finalizers", "managedFields", "resourceVersion")
        }
        return {**value, "metadata": metadata}

    changed = obj.get("metadata", {})
    before = old.get("metadata", {})
    touched = any(changed.get(key) != before.get(key) for key in ("ownerReferences", "finalizers"))
    return touched and rest(obj) == rest(old)


def _refuse_escalation(
    request: Request, name: str, held: Sequence[Rule], wanted: Sequence[Rule], problems: Sequence[str]
) -> None:
    missing = uncovered(held, wanted)
    if not missing:
        return
    groups = " ".join(quoted(group) for group in request.user.groups)
    listed = "\n".join(sorted({str(rule) for rule in missing}))
    cause = (
        f"user {quoted(request.user.username)} (groups=[{groups}]) is attempting to grant RBAC permissions "
        f"not currently held:\n{listed}"
    )
    if problems:
        cause += f"; resolution errors: [{', '.join(problems)}]"
    raise errors.forbidden(GROUP, request.resource.plural, name, cause)


def _validate_rule(rule: Mapping[str, Any], path: str, *, namespaced: bool) -> list[FieldError]:
    problems: list[FieldError] = []
    if not rule.get("verbs"):
        problems.append(errors.required(f"{path}.verbs", "verbs must contain at least one value"))
    urls = rule.get("nonResourceURLs") or []
    groups, resources, names = rule.get("apiGroups"), rule.get("resources"), rule.get("resourceNames")
    if urls:
        if namespaced:
            problems.append(
                errors.invalid_value(
                    f"{path}.nonResourceURLs", urls, "namespaced rules cannot apply to non-resource URLs"
                )
            )
        if groups or resources or names:
            problems.append(
                errors.invalid_value(
                    f"{path}.nonResourceURLs",
                    urls,
                    "rules cannot apply to both regular resources and non-resource URLs",
                )
            )
        return problems
    if not groups:
        problems.append(errors.required(f"{path}.apiGroups", "resource rules must supply at least one api group"))
    if not resources:
        problems.append(errors.required(f"{path}.resources", "resource rules must supply at least one resource"))
    return problems


def _validate_subject(subject: Mapping[str, Any], path: str, *, namespaced: bool) -> list[FieldError]:
    problems: list[FieldError] = []
    if not subject.get("name"):
        problems.append(errors.required(f"{path}.name"))
    kind, group = subject.get("kind", ""), subject.get("apiGroup", "")
    if kind not in _SUBJECT_KINDS:
        problems.append(errors.not_supported(f"{path}.kind", kind, _SUBJECT_KINDS))
    elif kind == "ServiceAccount":
        if group:
            problems.append(errors.not_supported(f"{path}.apiGroup", group, ("",)))
        if not namespaced and not subject.get("namespace"):
            problems.append(errors.required(f"{path}.namespace"))
    elif group != GROUP:
        problems.append(errors.not_supported(f"{path}.apiGroup", group, (GROUP,)))
    return problems
