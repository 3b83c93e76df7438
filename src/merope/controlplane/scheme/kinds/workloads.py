"""Deployments and the other kinds that keep pods running: a template, a selector that matches it, and replicas."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from merope.controlplane.errors import FieldError, forbidden_field, invalid_value, not_supported, required
from merope.controlplane.resource import Object, Request, Strategy
from merope.controlplane.scheme.kinds.base import (
    NoStatus,
    Paths,
    TracksGeneration,
    at,
    check_all_not_negative,
    check_enum,
    check_immutable,
    check_label_selector,
    check_unchanged,
    default_to,
    items,
    keep,
    spec_of,
)
from merope.controlplane.scheme.kinds.pod_spec import check_pod_spec, fill_pod_template
from merope.lang.selectors import SelectorError, label_selector

if TYPE_CHECKING:
    from merope.controlplane.server import Server

_STATEFUL_SET_UPDATE: Final = (
    "updates to statefulset spec for fields other than 'replicas', 'ordinals', 'template', 'updateStrategy', "
    "'revisionHistoryLimit', 'persistentVolumeClaimRetentionPolicy' and 'minReadySeconds' are forbidden"
)
_STATEFUL_SET_MUTABLE: Final = (
    "replicas",
    "ordinals",
    "template",
    "updateStrategy",
    "revisionHistoryLimit",
    "persistentVolumeClaimRetentionPolicy",
    "minReadySeconds",
)


class _Workload(TracksGeneration):
    """A kind with a template that its selector has to match."""

    #: How the kind is called in a complaint about an empty selector.
    noun = ""

    def fill(self, obj: Object) -> None:
        spec = spec_of(obj)
        fill_pod_template(spec.setdefault("template", {}))
        self.fill_spec(spec)

    def fill_spec(self, spec: Object) -> None:
        """Fill in the defaults of the spec beside the template."""

    def check(self, obj: Object) -> list[FieldError]:
        spec = spec_of(obj)
        complaints = check_all_not_negative("spec", spec, "replicas", "minReadySeconds", "revisionHistoryLimit")
        complaints += self.check_selector(spec)
        template = spec.get("template") or {}
        complaints += check_pod_spec(template.get("spec") or {}, "spec.template.spec")
        policy = at(template, "spec", "restartPolicy")
        if policy and policy != "Always" and policy in ("OnFailure", "Never"):
            complaints.append(not_supported("spec.template.spec.restartPolicy", policy, ("Always",)))
        if at(template, "spec", "activeDeadlineSeconds") is not None:
            path = "spec.template.spec.activeDeadlineSeconds"
            complaints.append(forbidden_field(path, f"activeDeadlineSeconds in {self.noun} is not Supported"))
        return complaints

    def check_selector(self, spec: Object) -> list[FieldError]:
        selector = spec.get("selector")
        if selector is None:
            # No selector matches nothing, not even this template.
            return [required("spec.selector"), *check_template_labels(spec, None)]
        complaints = check_label_selector("spec.selector", selector)
        if not selector.get("matchLabels") and not selector.get("matchExpressions"):
            complaints.append(invalid_value("spec.selector", selector, f"empty selector is invalid for {self.noun}"))
        return complaints or check_template_labels(spec, selector)

    def check_update(self, obj: Object, old: Object) -> list[FieldError]:
        return check_immutable("spec.selector", spec_of(obj).get("selector"), spec_of(old).get("selector"))


def check_template_labels(spec: Object, selector: Any) -> list[FieldError]:
    """The labels of the template have to match the selector; None matches nothing, an empty one everything."""
    labels = at(spec, "template", "metadata", "labels")
    try:
        matches = label_selector(selector).matches(labels or {})
    except SelectorError:
        return []
    if matches:
        return []
    detail = "`selector` does not match template `labels`"
    return [invalid_value("spec.template.metadata.labels", labels, detail)]


class DeploymentStrategy(_Workload):
    noun = "deployment"

    def fill_spec(self, spec: Object) -> None:
        default_to(spec, replicas=1, revisionHistoryLimit=10, progressDeadlineSeconds=600)
        strategy = spec.setdefault("strategy", {})
        default_to(strategy, type="RollingUpdate")
        if strategy["type"] == "RollingUpdate":
            default_to(strategy, rollingUpdate={})
            default_to(strategy["rollingUpdate"], maxUnavailable="25%", maxSurge="25%")

    def prepare_update(self, server: Server, request: Request, obj: Object, old: Object) -> None:
        super().prepare_update(server, request, obj, old)
        if request.subresource == "status":
            keep(obj["metadata"], old["metadata"], "labels")

    def check(self, obj: Object) -> list[FieldError]:
        spec = spec_of(obj)
        strategy = spec.get("strategy") or {}
        complaints = super().check(obj)
        complaints += check_enum("spec.strategy.type", strategy.get("type"), ("Recreate", "RollingUpdate"))
        if strategy.get("type") == "Recreate" and strategy.get("rollingUpdate") is not None:
            detail = "may not be specified when strategy `type` is 'Recreate'"
            complaints.append(forbidden_field("spec.strategy.rollingUpdate", detail))
        rolling = strategy.get("rollingUpdate") or {}
        complaints += check_steps("spec.strategy.rollingUpdate", rolling)
        deadline = spec.get("progressDeadlineSeconds")
        if deadline is not None and deadline <= (spec.get("minReadySeconds") or 0):
            detail = "must be greater than minReadySeconds"
            complaints.append(invalid_value("spec.progressDeadlineSeconds", deadline, detail))
        return complaints

    def reset_paths(self, subresource: str) -> Paths:
        return (("spec",), ("metadata", "labels")) if subresource == "status" else (("status",),)


def check_steps(path: str, rolling: Object) -> list[FieldError]:
    """How far an update may go at once: numbers or percentages, not both zero."""
    complaints = []
    for key in ("maxUnavailable", "maxSurge"):
        value = rolling.get(key)
        if isinstance(value, int):
            complaints += check_all_not_negative(path, rolling, key)
        elif isinstance(value, str) and not (value.endswith("%") and value[:-1].isdigit()):
            detail = (
                "a valid percent string must be a numeric string followed by an ending '%' "
                "(e.g. '1%',  or '93%', regex used for validation is '[0-9]+%')"
            )
            complaints.append(invalid_value(f"{path}.{key}", value, detail))
    if not complaints and rolling and _nothing(rolling.get("maxUnavailable")) and _nothing(rolling.get("maxSurge")):
        value = rolling.get("maxUnavailable")
        complaints.append(invalid_value(f"{path}.maxUnavailable", value, "may not be 0 when `maxSurge` is 0"))
    return complaints


def _nothing(value: Any) -> bool:
    return value in (0, "0%")


class ReplicaSetStrategy(_Workload):
    noun = "ReplicaSet"

    def fill_spec(self, spec: Object) -> None:
        default_to(spec, replicas=1)


class StatefulSetStrategy(_Workload):
    noun = "statefulset"

    def fill_spec(self, spec: Object) -> None:
        default_to(spec, replicas=1, podManagementPolicy="OrderedReady", revisionHistoryLimit=10)
        strategy = spec.setdefault("updateStrategy", {})
        default_to(strategy, type="RollingUpdate")
        if strategy["type"] == "RollingUpdate":
            default_to(strategy, rollingUpdate={})
            default_to(strategy["rollingUpdate"], partition=0)
        default_to(spec, persistentVolumeClaimRetentionPolicy={})
        default_to(spec["persistentVolumeClaimRetentionPolicy"], whenDeleted="Retain", whenScaled="Retain")
        for claim in items(spec, "volumeClaimTemplates"):
            default_to(claim, kind="PersistentVolumeClaim", apiVersion="v1")
            default_to(claim.setdefault("spec", {}), volumeMode="Filesystem")
            default_to(claim.setdefault("status", {}), phase="Pending")

    def check(self, obj: Object) -> list[FieldError]:
        spec = spec_of(obj)
        return [
            *super().check(obj),
            *check_enum("spec.podManagementPolicy", spec.get("podManagementPolicy"), ("OrderedReady", "Parallel")),
            *check_enum("spec.updateStrategy.type", at(spec, "updateStrategy", "type"), ("RollingUpdate", "OnDelete")),
        ]

    def check_update(self, obj: Object, old: Object) -> list[FieldError]:
        def fixed(one: Object) -> Object:
            return {key: value for key, value in spec_of(one).items() if key not in _STATEFUL_SET_MUTABLE}

        return check_unchanged("spec", fixed(obj), fixed(old), _STATEFUL_SET_UPDATE)


class DaemonSetStrategy(_Workload):
    noun = "daemonset"

    def fill_spec(self, spec: Object) -> None:
        default_to(spec, revisionHistoryLimit=10)
        strategy = spec.setdefault("updateStrategy", {})
        default_to(strategy, type="RollingUpdate")
        if strategy["type"] == "RollingUpdate":
            default_to(strategy, rollingUpdate={})
            default_to(strategy["rollingUpdate"], maxUnavailable=1, maxSurge=0)

    def prepare_create(self, server: Server, request: Request, obj: Object) -> None:
        super().prepare_create(server, request, obj)
        self._mark_template(obj, 1)

    def prepare_update(self, server: Server, request: Request, obj: Object, old: Object) -> None:
        super().prepare_update(server, request, obj, old)
        if request.subresource:
            return
        before = old.get("metadata", {}).get("annotations", {}).get(_TEMPLATE_GENERATION, "0")
        changed = spec_of(obj).get("template") != spec_of(old).get("template")
        self._mark_template(obj, (int(before) if before.isdigit() else 0) + changed)

    @staticmethod
    def _mark_template(obj: Object, generation: int) -> None:
        annotations = obj["metadata"].get("annotations")
        if annotations is None:
            annotations = obj["metadata"]["annotations"] = {}
        annotations[_TEMPLATE_GENERATION] = str(generation)

    def check(self, obj: Object) -> list[FieldError]:
        strategy = spec_of(obj).get("updateStrategy") or {}
        return [
            *super().check(obj),
            *check_enum("spec.updateStrategy.type", strategy.get("type"), ("OnDelete", "RollingUpdate")),
            *check_steps("spec.updateStrategy.rollingUpdate", strategy.get("rollingUpdate") or {}),
        ]


#: Counts the changes of the template of a daemon set: nodes' pods carry it, too.
_TEMPLATE_GENERATION: Final = "deprecated.daemonset.template.generation"


class ReplicationControllerStrategy(_Workload):
    """The oldest of them: a plain map as selector, taken from the template where it is missing."""

    noun = "ReplicationController"

    def fill(self, obj: Object) -> None:
        super().fill(obj)
        spec = spec_of(obj)
        labels = at(spec, "template", "metadata", "labels")
        if labels:
            if not spec.get("selector"):
                spec["selector"] = dict(labels)
            if not obj["metadata"].get("labels"):
                obj["metadata"]["labels"] = dict(labels)

    def fill_spec(self, spec: Object) -> None:
        default_to(spec, replicas=1)

    def check_selector(self, spec: Object) -> list[FieldError]:
        selector = spec.get("selector")
        if not selector:
            return [required("spec.selector")]
        return check_template_labels(spec, {"matchLabels": selector})

    def check_update(self, obj: Object, old: Object) -> list[FieldError]:
        return []


class ControllerRevisionStrategy(NoStatus):
    """A snapshot: its data never changes."""

    def check(self, obj: Object) -> list[FieldError]:
        return check_all_not_negative("", obj, "revision")

    def check_update(self, obj: Object, old: Object) -> list[FieldError]:
        return check_immutable("data", obj.get("data"), old.get("data"))


STRATEGIES: Final[dict[tuple[str, str], Strategy]] = {
    ("apps", "Deployment"): DeploymentStrategy(),
    ("apps", "ReplicaSet"): ReplicaSetStrategy(),
    ("apps", "StatefulSet"): StatefulSetStrategy(),
    ("apps", "DaemonSet"): DaemonSetStrategy(),
    ("apps", "ControllerRevision"): ControllerRevisionStrategy(),
    ("", "ReplicationController"): ReplicationControllerStrategy(),
}
