"""Horizontal pod autoscalers, which are served in two versions and stored in v2.

v1 knows the CPU target only. What it has no field for travels in annotations, so that nothing is lost when a client
reads and writes the older version.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import orjson

from merope.controlplane.errors import FieldError, invalid_value, required
from merope.controlplane.resource import Object, Request, Strategy
from merope.controlplane.scheme.kinds.base import BuiltinStrategy, at, default_to, spec_of

if TYPE_CHECKING:
    from merope.controlplane.server import Server

V1: Final = "autoscaling/v1"
V2: Final = "autoscaling/v2"

_PREFIX: Final = "autoscaling.alpha.kubernetes.io/"
#: Fields of v2 by the annotation that carries them in v1: the place of each in spec or status.
_CARRIED: Final = {
    "metrics": ("spec", "metrics"),
    "behavior": ("spec", "behavior"),
    "conditions": ("status", "conditions"),
    "current-metrics": ("status", "currentMetrics"),
}
#: Percent of the requested CPU that is aimed at where nothing is said.
_CPU_TARGET: Final = 80


def _cpu(utilization: int) -> Object:
    target = {"type": "Utilization", "averageUtilization": utilization}
    return {"type": "Resource", "resource": {"name": "cpu", "target": target}}


def _utilization(metrics: list[Object], key: str) -> int | None:
    """The CPU utilization among the metrics, in their ``target`` or ``current`` values."""
    for metric in metrics:
        if metric.get("type") == "Resource" and at(metric, "resource", "name") == "cpu":
            value: int | None = at(metric, "resource", key, "averageUtilization")
            return value
    return None


class AutoscalerStrategy(BuiltinStrategy):
    def fill(self, obj: Object) -> None:
        spec = spec_of(obj)
        default_to(spec, minReplicas=1)
        if obj.get("apiVersion") == V2:
            if not spec.get("metrics"):
                spec["metrics"] = [_cpu(_CPU_TARGET)]
            behavior = spec.get("behavior")
            if behavior is not None:
                _fill_behavior(behavior)

    def initial_status(self, server: Server, request: Request, obj: Object) -> Object:
        status: Object = {"desiredReplicas": 0}
        if request.resource.version == "v1":
            status["currentReplicas"] = 0
        else:
            status["currentMetrics"] = None
        return status

    def convert(self, obj: Object, api_version: str) -> Object:
        """The autoscaler in another version, or as it is."""
        if obj.get("apiVersion") == api_version:
            return obj
        return _to_v1(obj) if api_version == V1 else _to_v2(obj)

    def check(self, obj: Object) -> list[FieldError]:
        spec = spec_of(obj)
        complaints = []
        for key in ("kind", "name"):
            if not at(spec, "scaleTargetRef", key):
                complaints.append(required(f"spec.scaleTargetRef.{key}"))
        smallest, largest = spec.get("minReplicas"), spec.get("maxReplicas") or 0
        if smallest is not None and smallest < 1:
            complaints.append(invalid_value("spec.minReplicas", smallest, "must be greater than or equal to 1"))
        if largest < 1:
            complaints.append(invalid_value("spec.maxReplicas", largest, "must be greater than 0"))
        elif smallest is not None and largest < smallest:
            detail = "must be greater than or equal to `minReplicas`"
            complaints.append(invalid_value("spec.maxReplicas", largest, detail))
        return complaints


def _fill_behavior(behavior: Object) -> None:
    up, down = behavior.setdefault("scaleUp", {}), behavior.setdefault("scaleDown", {})
    default_to(up, stabilizationWindowSeconds=0, selectPolicy="Max")
    if not up.get("policies"):
        up["policies"] = [
            {"type": "Pods", "value": 4, "periodSeconds": 15},
            {"type": "Percent", "value": 100, "periodSeconds": 15},
        ]
    default_to(down, selectPolicy="Max")
    if not down.get("policies"):
        down["policies"] = [{"type": "Percent", "value": 100, "periodSeconds": 15}]


def _to_v1(obj: Object) -> Object:
    spec, status = dict(obj.get("spec") or {}), dict(obj.get("status") or {})
    metrics: list[Object] = spec.pop("metrics", None) or []
    parts = {"spec": {**spec}, "status": {**status}}
    carried: dict[str, Any] = {}
    for annotation, (part, key) in _CARRIED.items():
        value = metrics if key == "metrics" else parts[part].pop(key, None)
        if key == "metrics":
            value = [metric for metric in metrics if metric != _cpu(_utilization([metric], "target") or 0)]
        if value:
            carried[_PREFIX + annotation] = orjson.dumps(value).decode()
    target = _utilization(metrics, "target")
    if target is not None:
        parts["spec"]["targetCPUUtilizationPercentage"] = target
    current = _utilization(status.get("currentMetrics") or [], "current")
    if current is not None:
        parts["status"]["currentCPUUtilizationPercentage"] = current
    parts["status"].setdefault("currentReplicas", 0)
    parts["status"].setdefault("desiredReplicas", 0)
    return _with_annotations({**obj, "apiVersion": V1, **parts}, carried)


def _to_v2(obj: Object) -> Object:
    spec, status = dict(obj.get("spec") or {}), dict(obj.get("status") or {})
    annotations = obj["metadata"].get("annotations") or {}
    parts = {"spec": spec, "status": status}
    for annotation, (part, key) in _CARRIED.items():
        text = annotations.get(_PREFIX + annotation)
        if text:
            try:
                parts[part][key] = orjson.loads(text)
            except orjson.JSONDecodeError:
                continue
    target = spec.pop("targetCPUUtilizationPercentage", None)
    if target is not None:
        spec["metrics"] = [*(spec.get("metrics") or []), _cpu(target)]
    elif not spec.get("metrics"):
        spec["metrics"] = [_cpu(_CPU_TARGET)]
    status.pop("currentCPUUtilizationPercentage", None)
    status.setdefault("currentMetrics", None)
    status.setdefault("desiredReplicas", 0)
    return _with_annotations({**obj, "apiVersion": V2, **parts}, {})


def _with_annotations(obj: Object, carried: dict[str, str]) -> Object:
    """The object with the annotations of this version; those of the other version are dropped."""
    metadata = dict(obj["metadata"])
    kept = {
        key: value
        for key, value in (metadata.get("annotations") or {}).items()
        if key.removeprefix(_PREFIX) not in _CARRIED
    }
    kept.update(carried)
    if kept:
        metadata["annotations"] = kept
    else:
        metadata.pop("annotations", None)
    obj["metadata"] = metadata
    return obj


STRATEGIES: Final[dict[tuple[str, str], Strategy]] = {
    ("autoscaling", "HorizontalPodAutoscaler"): AutoscalerStrategy(),
}
