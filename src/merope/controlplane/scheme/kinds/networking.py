"""Ingresses, their classes, and network policies."""

from __future__ import annotations

from typing import Any, Final

from merope.controlplane.errors import FieldError, invalid_value, required
from merope.controlplane.resource import Object, Strategy
from merope.controlplane.scheme.kinds.base import (
    NoStatus,
    TracksGeneration,
    at,
    check_enum,
    check_immutable,
    check_label_selector,
    default_to,
    items,
    spec_of,
)

_PATH_TYPES: Final = ("Exact", "ImplementationSpecific", "Prefix")


class IngressStrategy(TracksGeneration):
    def check(self, obj: Object) -> list[FieldError]:
        spec = spec_of(obj)
        complaints: list[FieldError] = []
        if not spec.get("rules") and spec.get("defaultBackend") is None:
            # The spec in question is empty: shown as null.
            detail = "either `defaultBackend` or `rules` must be specified"
            complaints.append(invalid_value("spec", spec or None, detail))
        if spec.get("defaultBackend") is not None:
            complaints += _check_backend(spec["defaultBackend"], "spec.defaultBackend")
        for index, rule in enumerate(items(spec, "rules")):
            for number, path in enumerate(at(rule, "http", "paths") or ()):
                complaints += _check_path(path, f"spec.rules[{index}].http.paths[{number}]")
        return complaints


def _check_path(path: Object, place: str) -> list[FieldError]:
    complaints = []
    kind, value = path.get("pathType"), path.get("path") or ""
    if not kind:
        complaints.append(required(f"{place}.pathType", "pathType must be specified"))
    elif kind not in _PATH_TYPES:
        complaints += check_enum(f"{place}.pathType", kind, _PATH_TYPES)
    elif (kind != "ImplementationSpecific" or value) and not value.startswith("/"):
        complaints.append(invalid_value(f"{place}.path", value, "must be an absolute path"))
    return complaints + _check_backend(path.get("backend") or {}, f"{place}.backend")


def _check_backend(backend: Object, place: str) -> list[FieldError]:
    service, resource = backend.get("service"), backend.get("resource")
    if service is not None and resource is not None:
        detail = "cannot set both resource and service backends"
        return [invalid_value(place, "", detail)]
    if resource is not None:
        return []
    if service is None:
        return [required(place, "port name or number is required")]
    complaints = []
    if not service.get("name"):
        complaints.append(required(f"{place}.service.name"))
    port: Any = service.get("port") or {}
    if not port.get("name") and not port.get("number"):
        complaints.append(required(place, "port name or number is required"))
    return complaints


class IngressClassStrategy(NoStatus):
    tracks_generation = True

    def fill(self, obj: Object) -> None:
        parameters = spec_of(obj).get("parameters")
        if parameters is not None:
            default_to(parameters, scope="Cluster")

    def check(self, obj: Object) -> list[FieldError]:
        return [] if spec_of(obj).get("controller") else [required("spec.controller")]

    def check_update(self, obj: Object, old: Object) -> list[FieldError]:
        new, before = spec_of(obj).get("controller"), spec_of(old).get("controller")
        return check_immutable("spec.controller", new, before)


class NetworkPolicyStrategy(NoStatus):
    tracks_generation = True

    def fill(self, obj: Object) -> None:
        spec = spec_of(obj)
        for direction in ("ingress", "egress"):
            for rule in items(spec, direction):
                for port in items(rule, "ports"):
                    default_to(port, protocol="TCP")
        if not spec.get("policyTypes"):
            spec["policyTypes"] = ["Ingress", "Egress"] if spec.get("egress") else ["Ingress"]

    def check(self, obj: Object) -> list[FieldError]:
        spec = spec_of(obj)
        complaints = check_label_selector("spec.podSelector", spec.get("podSelector"))
        for index, kind in enumerate(spec.get("policyTypes") or ()):
            complaints += check_enum(f"spec.policyTypes[{index}]", kind, ("Egress", "Ingress"))
        return complaints


STRATEGIES: Final[dict[tuple[str, str], Strategy]] = {
    ("networking.k8s.io", "Ingress"): IngressStrategy(),
    ("networking.k8s.io", "IngressClass"): IngressClassStrategy(),
    ("networking.k8s.io", "NetworkPolicy"): NetworkPolicyStrategy(),
}
