"""The fields of built-in kinds that field selectors know, each as a function from the object to its text."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final

Object = dict[str, Any]
Getter = Callable[[Object], str]


def _text(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    return str(value)


def _field(path: str, default: Any = "") -> Getter:
    """The text at a dotted path; ``default`` stands for what is left out on the wire (false, 0)."""
    keys = tuple(path.split("."))

    def get(obj: Object) -> str:
        value: Any = obj
        for key in keys:
            value = value.get(key) if isinstance(value, dict) else None
        return _text(default if value is None else value)

    return get


def _fields(*paths: str) -> dict[str, Getter]:
    return {path: _field(path) for path in paths}


def _source(obj: Object) -> str:
    return _text((obj.get("source") or {}).get("component") or obj.get("reportingComponent"))


def _source_new(obj: Object) -> str:
    return _text((obj.get("deprecatedSource") or {}).get("component") or obj.get("reportingController"))


_REFERENCE: Final = ("kind", "namespace", "name", "uid", "apiVersion", "resourceVersion", "fieldPath")

SELECTABLE: Final[Mapping[tuple[str, str], Mapping[str, Getter]]] = {
    ("", "Event"): {
        **_fields(*(f"involvedObject.{name}" for name in _REFERENCE), "reason", "reportingComponent", "type"),
        "source": _source,
    },
    ("events.k8s.io", "Event"): {
        **_fields(*(f"regarding.{name}" for name in _REFERENCE), "reason", "reportingController", "type"),
        "source": _source_new,
    },
    ("", "Secret"): _fields("type"),
    ("", "Namespace"): _fields("status.phase"),
    ("", "Service"): _fields("spec.clusterIP", "spec.type"),
    ("", "Node"): {"spec.unschedulable": _field("spec.unschedulable", False)},
    ("", "ReplicationController"): {"status.replicas": _field("status.replicas", 0)},
    ("apps", "ReplicaSet"): {"status.replicas": _field("status.replicas", 0)},
    ("batch", "Job"): {"status.successful": _field("status.succeeded", 0)},
    ("certificates.k8s.io", "CertificateSigningRequest"): _fields("spec.signerName"),
    ("", "Pod"): {
        **_fields(
            "spec.nodeName",
            "spec.restartPolicy",
            "spec.schedulerName",
            "spec.serviceAccountName",
            "status.phase",
            "status.podIP",
            "status.nominatedNodeName",
        ),
        "spec.hostNetwork": _field("spec.hostNetwork", False),
    },
}
