"""Kinds that describe the cluster itself: nodes, leases, API services, accounts, quotas and limits."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import orjson

from merope.controlplane.errors import FieldError, forbidden_field, invalid_value, required
from merope.controlplane.resource import Object, Request, Strategy
from merope.controlplane.scheme.kinds.base import (
    NOT_NEGATIVE,
    BuiltinStrategy,
    NoStatus,
    check_all_not_negative,
    check_immutable,
    default_to,
    items,
    keep,
    quantity,
    spec_of,
)

if TYPE_CHECKING:
    from merope.controlplane.server import Server

_NOT_READY: Final = {"key": "node.kubernetes.io/not-ready", "effect": "NoSchedule"}


class LeaseStrategy(NoStatus):
    """Written every few seconds by every agent: little to do and little to check."""

    create_on_update = True
    unconditional_update = False

    def validate(self, server: Server, request: Request, obj: Object, old: Object | None) -> list[FieldError]:
        spec = obj.get("spec") or {}
        complaints = []
        duration, transitions = spec.get("leaseDurationSeconds"), spec.get("leaseTransitions")
        if duration is not None and duration <= 0:
            complaints.append(invalid_value("spec.leaseDurationSeconds", duration, "must be greater than 0"))
        if transitions is not None and transitions < 0:
            complaints.append(invalid_value("spec.leaseTransitions", transitions, NOT_NEGATIVE))
        return complaints


class NodeStrategy(BuiltinStrategy):
    """A new node takes no pods before something reports it ready."""

    def fill(self, obj: Object) -> None:
        status = obj.get("status") or {}
        if status.get("capacity") and not status.get("allocatable"):
            status["allocatable"] = dict(status["capacity"])

    def prepare_create(self, server: Server, request: Request, obj: Object) -> None:
        # A node is registered with its status.
        taints = spec_of(obj).setdefault("taints", [])
        if not any(one.get("key") == _NOT_READY["key"] for one in taints):
            taints.append(dict(_NOT_READY))

    def prepare_update(self, server: Server, request: Request, obj: Object, old: Object) -> None:
        if request.subresource == "status":
            keep(obj, old, "spec")
        else:
            keep(obj, old, "status")

    def check_update(self, obj: Object, old: Object) -> list[FieldError]:
        complaints = []
        for key in ("podCIDR", "providerID"):
            before, after = (old.get("spec") or {}).get(key), (obj.get("spec") or {}).get(key)
            if before and before != after:
                detail = "node updates may not change " + key + ' except from "" to valid'
                complaints.append(forbidden_field(f"spec.{key}", detail))
        return complaints


class ServiceAccountStrategy(NoStatus):
    delete_returns_object = True


class ResourceQuotaStrategy(BuiltinStrategy):
    delete_returns_object = True

    def check(self, obj: Object) -> list[FieldError]:
        complaints = []
        for name, text in (spec_of(obj).get("hard") or {}).items():
            amount = quantity(text)
            if amount is not None and amount.nanos < 0:
                complaints.append(invalid_value(f"spec.hard[{name}]", str(text), NOT_NEGATIVE))
        return complaints


class LimitRangeStrategy(NoStatus):
    """Limits of containers default from one another: maximum, default limit, default request."""

    create_on_update = True

    def fill(self, obj: Object) -> None:
        for limit in items(spec_of(obj), "limits"):
            if limit.get("type") != "Container":
                continue
            limits = dict(limit.get("default") or {})
            requests = dict(limit.get("defaultRequest") or {})
            for name, value in (limit.get("max") or {}).items():
                limits.setdefault(name, value)
            for name, value in limits.items():
                requests.setdefault(name, value)
            for name, value in (limit.get("min") or {}).items():
                requests.setdefault(name, value)
            if limits:
                limit["default"] = limits
            if requests:
                limit["defaultRequest"] = requests

    def check(self, obj: Object) -> list[FieldError]:
        complaints = []
        for index, limit in enumerate(items(spec_of(obj), "limits")):
            path = f"spec.limits[{index}]"
            if not limit.get("type"):
                complaints.append(required(f"{path}.type"))
            largest = limit.get("max") or {}
            for name, text in (limit.get("min") or {}).items():
                low, high = quantity(text), quantity(largest.get(name))
                if low is not None and high is not None and low > high:
                    detail = f"min value {text} is greater than max value {largest[name]}"
                    complaints.append(invalid_value(f"{path}.min[{name}]", str(text), detail))
        return complaints


class APIServiceStrategy(BuiltinStrategy):
    """A group version and who serves it; without a service the server itself does."""

    name_rule = "path"

    def fill(self, obj: Object) -> None:
        service = spec_of(obj).get("service")
        if service is not None:
            default_to(service, port=443)

    def check(self, obj: Object) -> list[FieldError]:
        spec = spec_of(obj)
        name, wanted = obj["metadata"].get("name", ""), f"{spec.get('version', '')}.{spec.get('group', '')}"
        complaints = []
        if name != wanted:
            detail = f'must be `spec.version+"."+spec.group`: "{wanted}"'
            complaints.append(invalid_value("metadata.name", name, detail))
        if not spec.get("version"):
            complaints.append(required("spec.version"))
        for key, limit in (("groupPriorityMinimum", 20000), ("versionPriority", 1000)):
            value = spec.get(key) or 0
            if not 0 < value <= limit:
                complaints.append(invalid_value(f"spec.{key}", value, f"must be positive and less than {limit}"))
        service = spec.get("service")
        if service is None:
            if spec.get("caBundle"):
                complaints.append(invalid_value("spec.caBundle", "", "local APIServices may not have a caBundle"))
            return complaints
        for key in ("namespace", "name"):
            if not service.get(key):
                complaints.append(required(f"spec.service.{key}"))
        if spec.get("insecureSkipTLSVerify") and spec.get("caBundle"):
            detail = "may not be true if caBundle is present"
            complaints.append(invalid_value("spec.insecureSkipTLSVerify", True, detail))
        return complaints


class RuntimeClassStrategy(NoStatus):
    def check(self, obj: Object) -> list[FieldError]:
        return [] if obj.get("handler") else [required("handler")]

    def check_update(self, obj: Object, old: Object) -> list[FieldError]:
        return check_immutable("handler", obj.get("handler"), old.get("handler"))


class PriorityClassStrategy(NoStatus):
    """Priorities that pods got keep their meaning: the value does not change."""

    create_on_update = True
    tracks_generation = True

    def fill(self, obj: Object) -> None:
        default_to(obj, preemptionPolicy="PreemptLowerPriority")

    def spec_changed(self, obj: Object, old: Object) -> bool:
        return any(
            obj.get(key) != old.get(key) for key in ("value", "globalDefault", "description", "preemptionPolicy")
        )

    def check(self, obj: Object) -> list[FieldError]:
        name = obj["metadata"].get("name", "")
        complaints = []
        if name.startswith("system-") and name not in ("system-cluster-critical", "system-node-critical"):
            detail = "priority class names with 'system-' prefix are reserved for system use only. error: "
            detail += f"{name} is not a known system priority class"
            complaints.append(forbidden_field("metadata.name", detail))
        if (obj.get("value") or 0) > 1000000000 and not name.startswith("system-"):
            detail = "maximum allowed value of a user defined priority is 1000000000"
            complaints.append(forbidden_field("value", detail))
        return complaints

    def check_update(self, obj: Object, old: Object) -> list[FieldError]:
        complaints = []
        if (obj.get("value") or 0) != (old.get("value") or 0):
            complaints.append(forbidden_field("value", "may not be changed in an update."))
        if obj.get("preemptionPolicy") != old.get("preemptionPolicy"):
            value = obj.get("preemptionPolicy")
            complaints.append(invalid_value("preemptionPolicy", value, "field is immutable"))
        return complaints


class DisruptionBudgetStrategy(BuiltinStrategy):
    """How many pods may be taken away at once."""

    tracks_generation = True
    unconditional_update = False

    def check(self, obj: Object) -> list[FieldError]:
        spec = spec_of(obj)
        complaints = []
        if spec.get("minAvailable") is not None and spec.get("maxUnavailable") is not None:
            shown = {
                "MinAvailable": spec["minAvailable"],
                "Selector": spec.get("selector"),
                "MaxUnavailable": spec["maxUnavailable"],
                "UnhealthyPodEvictionPolicy": spec.get("unhealthyPodEvictionPolicy"),
            }
            complaints.append(_shown_in_order("spec", shown, "minAvailable and maxUnavailable cannot be both set"))
        return complaints + check_all_not_negative("spec", spec, "minAvailable", "maxUnavailable")


def _shown_in_order(path: str, value: Object, detail: str) -> FieldError:
    """A complaint that shows a struct with its fields in the order of the type (rendering sorts keys)."""
    text = orjson.dumps(value).decode()
    return FieldError(path, "FieldValueInvalid", None, f"{text}: {detail}", omit_value=True)


STRATEGIES: Final[dict[tuple[str, str], Strategy]] = {
    ("coordination.k8s.io", "Lease"): LeaseStrategy(),
    ("", "Node"): NodeStrategy(),
    ("", "ServiceAccount"): ServiceAccountStrategy(),
    ("", "ResourceQuota"): ResourceQuotaStrategy(),
    ("", "LimitRange"): LimitRangeStrategy(),
    ("apiregistration.k8s.io", "APIService"): APIServiceStrategy(),
    ("node.k8s.io", "RuntimeClass"): RuntimeClassStrategy(),
    ("scheduling.k8s.io", "PriorityClass"): PriorityClassStrategy(),
    ("policy", "PodDisruptionBudget"): DisruptionBudgetStrategy(),
}
