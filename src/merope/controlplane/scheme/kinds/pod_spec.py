"""The part of many kinds that describes a pod: defaults and the checks that clients rely on.

Not all rules of pods are here: an embedded control plane runs none. What is here is what makes a manifest that a user
writes come out as on a real cluster, and what catches the usual mistakes.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, Final

from merope.controlplane.errors import NOT_FOUND, FieldError, duplicate, forbidden_field, invalid_value, required
from merope.controlplane.scheme.kinds.base import (
    PROTOCOLS,
    at,
    check_enum,
    check_name,
    check_not_negative,
    check_port,
    check_unique,
    default_to,
    items,
    quantity,
)
from merope.lang import names

Object = dict[str, Any]

_PULL_POLICIES: Final = ("Always", "IfNotPresent", "Never")
_RESTART_POLICIES: Final = ("Always", "OnFailure", "Never")
_DNS_POLICIES: Final = ("ClusterFirstWithHostNet", "ClusterFirst", "Default", "None")
_CONTAINER_LISTS: Final = ("containers", "initContainers", "ephemeralContainers")
_MODE: Final = 420
_FIRST_SOURCES: Final = ("emptyDir", "hostPath")


def containers_of(spec: Object) -> Iterator[tuple[str, Object]]:
    """Every container of a pod with its path below the spec."""
    for key in _CONTAINER_LISTS:
        for index, container in enumerate(items(spec, key)):
            yield f"{key}[{index}]", container


# --- defaults ----------------------------------------------------------------------------------------------------


def fill_pod_spec(spec: Object) -> None:
    """Fill in what every description of a pod defaults, in place."""
    default_to(
        spec,
        restartPolicy="Always",
        terminationGracePeriodSeconds=30,
        dnsPolicy="ClusterFirst",
        schedulerName="default-scheduler",
    )
    if spec.get("securityContext") is None:
        spec["securityContext"] = {}
    # Two names of one field: the older one follows.
    if spec.get("serviceAccountName") or spec.get("serviceAccount"):
        default_to(spec, serviceAccountName=spec.get("serviceAccount"), serviceAccount=spec.get("serviceAccountName"))
    for _, container in containers_of(spec):
        _fill_container(container, host_network=bool(spec.get("hostNetwork")))
    for volume in items(spec, "volumes"):
        _fill_volume(volume)


def fill_pod_template(template: Object) -> None:
    """Fill in the defaults of a template in place."""
    fill_pod_spec(template.setdefault("spec", {}))


def fill_requests(spec: Object) -> None:
    """Requests that are not given equal the limits (pods only: templates stay as they are written)."""
    for _, container in containers_of(spec):
        resources = container.get("resources") or {}
        limits = resources.get("limits")
        if limits:
            requests = resources.setdefault("requests", {})
            for name, value in limits.items():
                requests.setdefault(name, value)


def _pull_policy(image: str) -> str:
    """Images without a tag, and ``latest``, are pulled every time."""
    if "@" in image:
        return "IfNotPresent"
    tag = image.rpartition("/")[2].partition(":")[2]
    return "IfNotPresent" if tag and tag != "latest" else "Always"


def _fill_container(container: Object, *, host_network: bool) -> None:
    default_to(
        container,
        terminationMessagePath="/dev/termination-log",
        terminationMessagePolicy="File",
        imagePullPolicy=_pull_policy(container.get("image", "")),
    )
    for port in items(container, "ports"):
        default_to(port, protocol="TCP")
        if host_network:
            default_to(port, hostPort=port.get("containerPort"))
    for variable in items(container, "env"):
        _fill_field_ref(at(variable, "valueFrom", "fieldRef"))
        selector = at(variable, "valueFrom", "resourceFieldRef")
        if selector is not None:
            default_to(selector, divisor="0")
    for key in ("livenessProbe", "readinessProbe", "startupProbe"):
        if container.get(key) is not None:
            _fill_probe(container[key])
    for hook in (container.get("lifecycle") or {}).values():
        if isinstance(hook, dict):
            _fill_http_get(hook.get("httpGet"))


def _fill_field_ref(reference: Object | None) -> None:
    if reference is not None:
        default_to(reference, apiVersion="v1")


def _fill_http_get(action: Object | None) -> None:
    if action is not None:
        default_to(action, path="/", scheme="HTTP")


def _fill_probe(probe: Object) -> None:
    default_to(probe, timeoutSeconds=1, periodSeconds=10, successThreshold=1, failureThreshold=3)
    _fill_http_get(probe.get("httpGet"))
    if probe.get("grpc") is not None:
        probe["grpc"].setdefault("service", "")


def _fill_volume(volume: Object) -> None:
    if not any(value is not None for key, value in volume.items() if key != "name"):
        volume["emptyDir"] = {}
        return
    for key in ("secret", "configMap", "downwardAPI", "projected"):
        if volume.get(key) is not None:
            default_to(volume[key], defaultMode=_MODE)
    if volume.get("hostPath") is not None:
        volume["hostPath"].setdefault("type", "")
    for item in items(volume.get("downwardAPI") or {}, "items"):
        _fill_field_ref(item.get("fieldRef"))
    for source in items(volume.get("projected") or {}, "sources"):
        if source.get("serviceAccountToken") is not None:
            default_to(source["serviceAccountToken"], expirationSeconds=3600)
        for item in items(source.get("downwardAPI") or {}, "items"):
            _fill_field_ref(item.get("fieldRef"))
    claim = at(volume, "ephemeral", "volumeClaimTemplate", "spec")
    if claim is not None:
        default_to(claim, volumeMode="Filesystem")


# --- checks ------------------------------------------------------------------------------------------------------


def check_pod_spec(spec: Object, path: str) -> list[FieldError]:
    """Complaints about the description of a pod at ``path``."""
    complaints, volumes = _check_volumes(items(spec, "volumes"), f"{path}.volumes")
    if not items(spec, "containers"):
        complaints.append(required(f"{path}.containers"))
    complaints += check_unique(f"{path}.containers", "name", items(spec, "containers"))
    taken = {container.get("name") for container in items(spec, "containers")}
    for index, container in enumerate(items(spec, "initContainers")):
        name = container.get("name")
        if name and name in taken:
            complaints.append(duplicate(f"{path}.initContainers[{index}].name", name))
        taken.add(name)
    for place, container in containers_of(spec):
        complaints += _check_container(container, f"{path}.{place}", volumes)
    complaints += check_enum(f"{path}.restartPolicy", spec.get("restartPolicy"), _RESTART_POLICIES)
    complaints += check_enum(f"{path}.dnsPolicy", spec.get("dnsPolicy"), _DNS_POLICIES)
    complaints += check_not_negative(f"{path}.terminationGracePeriodSeconds", spec.get("terminationGracePeriodSeconds"))
    deadline = spec.get("activeDeadlineSeconds")
    if deadline is not None and not 1 <= deadline <= 2147483647:
        detail = "must be between 1 and 2147483647, inclusive"
        complaints.append(invalid_value(f"{path}.activeDeadlineSeconds", deadline, detail))
    complaints += check_name(
        f"{path}.serviceAccountName", spec.get("serviceAccountName"), names.is_dns1123_subdomain, optional=True
    )
    complaints += check_name(f"{path}.nodeName", spec.get("nodeName"), names.is_dns1123_subdomain, optional=True)
    complaints += check_name(f"{path}.hostname", spec.get("hostname"), names.is_dns1123_label, optional=True)
    return complaints


def _check_volumes(volumes: Sequence[Object], path: str) -> tuple[list[FieldError], set[str]]:
    """Complaints about volumes, and the names of those that are fit to be mounted."""
    complaints = check_unique(path, "name", volumes)
    usable = set()
    for index, volume in enumerate(volumes):
        found = _check_volume(volume, f"{path}[{index}]")
        complaints += found
        if not found:
            usable.add(volume["name"])
    return complaints, usable


def _check_volume(volume: Object, path: str) -> list[FieldError]:
    complaints = check_name(f"{path}.name", volume.get("name"), names.is_dns1123_label)
    sources = [key for key, value in volume.items() if key != "name" and value is not None]
    # The first that is looked at counts: emptyDir and hostPath before all others.
    sources.sort(key=lambda key: _FIRST_SOURCES.index(key) if key in _FIRST_SOURCES else len(_FIRST_SOURCES))
    complaints += [forbidden_field(f"{path}.{key}", "may not specify more than 1 volume type") for key in sources[1:]]
    for source, key in (("secret", "secretName"), ("configMap", "name"), ("persistentVolumeClaim", "claimName")):
        if volume.get(source) is not None and not volume[source].get(key):
            complaints.append(required(f"{path}.{source}.{key}"))
    return complaints


def _check_container(container: Object, path: str, volumes: set[str]) -> list[FieldError]:
    complaints = check_name(f"{path}.name", container.get("name"), names.is_dns1123_label)
    if not container.get("image"):
        complaints.append(required(f"{path}.image"))
    complaints += check_enum(f"{path}.imagePullPolicy", container.get("imagePullPolicy"), _PULL_POLICIES)
    policies = ("File", "FallbackToLogsOnError")
    complaints += check_enum(f"{path}.terminationMessagePolicy", container.get("terminationMessagePolicy"), policies)
    for index, port in enumerate(items(container, "ports")):
        place = f"{path}.ports[{index}]"
        number = port.get("containerPort")
        complaints += check_port(f"{place}.containerPort", number) if number else [required(f"{place}.containerPort")]
        complaints += check_enum(f"{place}.protocol", port.get("protocol"), PROTOCOLS)
    complaints += check_unique(f"{path}.ports", "name", items(container, "ports"))
    for index, variable in enumerate(items(container, "env")):
        complaints += _check_variable(variable, f"{path}.env[{index}]")
    mounts = items(container, "volumeMounts")
    complaints += check_unique(f"{path}.volumeMounts", "mountPath", mounts)
    for index, mount in enumerate(mounts):
        place = f"{path}.volumeMounts[{index}]"
        name = mount.get("name", "")
        if not name:
            complaints.append(required(f"{place}.name"))
        elif name not in volumes:
            complaints.append(FieldError(f"{place}.name", NOT_FOUND, name))
        if not mount.get("mountPath"):
            complaints.append(required(f"{place}.mountPath"))
    return complaints + _check_resources(container.get("resources") or {}, f"{path}.resources")


def _check_variable(variable: Object, path: str) -> list[FieldError]:
    complaints = [] if variable.get("name") else [required(f"{path}.name")]
    source = variable.get("valueFrom")
    if source is not None:
        if variable.get("value"):
            detail = "may not be specified when `value` is not empty"
            complaints.append(invalid_value(f"{path}.valueFrom", "", detail))
        elif not any(value is not None for value in source.values()):
            keys = "`fieldRef`, `resourceFieldRef`, `configMapKeyRef`, `secretKeyRef` or `fileKeyRef`"
            complaints.append(invalid_value(f"{path}.valueFrom", "", f"must specify one of: {keys}"))
    return complaints


def _check_resources(resources: Object, path: str) -> list[FieldError]:
    complaints = []
    limits, requests = resources.get("limits") or {}, resources.get("requests") or {}
    for key, amounts in (("limits", limits), ("requests", requests)):
        for name, text in amounts.items():
            amount = quantity(text)
            if amount is not None and amount.nanos < 0:
                detail = "must be greater than or equal to 0"
                complaints.append(invalid_value(f"{path}.{key}[{name}]", str(text), detail))
    for name, text in requests.items():
        amount, limit = quantity(text), quantity(limits.get(name))
        if amount is not None and limit is not None and amount > limit:
            detail = f"must be less than or equal to {name} limit of {limits[name]}"
            complaints.append(invalid_value(f"{path}.requests", str(text), detail))
    return complaints


def qos_class(spec: Object) -> str:
    """The class of service that follows from requests and limits: ``Guaranteed``, ``Burstable`` or ``BestEffort``."""
    any_set, guaranteed = False, True
    for key in ("containers", "initContainers"):
        for container in items(spec, key):
            resources = container.get("resources") or {}
            limits, requests = resources.get("limits") or {}, resources.get("requests") or {}
            any_set = any_set or any(name in amounts for amounts in (limits, requests) for name in ("cpu", "memory"))
            for name in ("cpu", "memory"):
                limit = quantity(limits.get(name))
                guaranteed = guaranteed and limit is not None and limit == (quantity(requests.get(name)) or limit)
    if not any_set:
        return "BestEffort"
    return "Guaranteed" if guaranteed else "Burstable"
