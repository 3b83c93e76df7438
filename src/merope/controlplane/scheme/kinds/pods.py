"""Pods: defaults, what may change after they were created, and the state a pod has before anything ran it."""

from __future__ import annotations

import copy
import secrets
from typing import TYPE_CHECKING, Final

from merope.controlplane.errors import FieldError, forbidden_field
from merope.controlplane.resource import Object, Request, Strategy
from merope.controlplane.scheme.kinds.base import BuiltinStrategy, NoStatus, Paths, default_to, items, keep, spec_of
from merope.controlplane.scheme.kinds.pod_spec import (
    check_pod_spec,
    fill_pod_spec,
    fill_pod_template,
    fill_requests,
    qos_class,
)

if TYPE_CHECKING:
    from merope.controlplane.server import Server

_UPDATE: Final = (
    "pod updates may not change fields other than `spec.containers[*].image`,`spec.initContainers[*].image`,"
    "`spec.activeDeadlineSeconds`,`spec.tolerations` (only additions to existing tolerations),"
    "`spec.terminationGracePeriodSeconds` (allow it to be set to 1 if it was previously negative)"
)
_TOKEN_PATH: Final = "/var/run/secrets/kubernetes.io/serviceaccount"  # noqa: S105 - a directory
#: Seconds: an hour and some, so that a token is renewed within the hour.
_TOKEN_LIFETIME: Final = 3607
_SUFFIX: Final = "bcdfghjklmnpqrstvwxz2456789"
#: Pods stay this long on a node that is not ready or not reachable.
_TOLERATION_SECONDS: Final = 300


class PodStrategy(BuiltinStrategy):
    """Pods end gracefully; their spec changes in few places only."""

    tracks_generation = True
    graceful = True
    delete_returns_object = True

    def fill(self, obj: Object) -> None:
        spec = spec_of(obj)
        fill_pod_spec(spec)
        fill_requests(spec)
        default_to(spec, enableServiceLinks=True)
        status = obj.get("status")
        if status:
            _fill_status(status)

    def prepare_create(self, server: Server, request: Request, obj: Object) -> None:
        spec = spec_of(obj)
        obj["status"] = {"phase": "Pending", "qosClass": qos_class(spec)}
        default_to(spec, serviceAccountName="default")
        spec["serviceAccount"] = spec["serviceAccountName"]
        if spec.get("automountServiceAccountToken", True):
            _mount_token(spec)
        _tolerate(spec)
        default_to(spec, priority=0, preemptionPolicy="PreemptLowerPriority")

    def prepare_update(self, server: Server, request: Request, obj: Object, old: Object) -> None:
        match request.subresource:
            case "status":
                keep(obj, old, "spec")
                keep(obj["metadata"], old["metadata"], "ownerReferences")
                status = obj.setdefault("status", {})
                if not status.get("qosClass"):
                    status["qosClass"] = (old.get("status") or {}).get("qosClass") or qos_class(spec_of(old))
            case "ephemeralcontainers":
                spec = copy.deepcopy(old["spec"])
                containers = spec_of(obj).get("ephemeralContainers")
                if containers:
                    spec["ephemeralContainers"] = containers
                obj["spec"] = spec
                keep(obj, old, "status")
            case "resize":
                spec = copy.deepcopy(old["spec"])
                wanted = {one.get("name"): one for one in items(spec_of(obj), "containers")}
                for container in spec["containers"]:
                    if container["name"] in wanted:
                        keep(container, wanted[container["name"]], "resources", "resizePolicy")
                obj["spec"] = spec
                keep(obj, old, "status")
            case "binding":
                pass
            case _:
                keep(obj, old, "status")

    def validate(self, server: Server, request: Request, obj: Object, old: Object | None) -> list[FieldError]:
        complaints = check_pod_spec(spec_of(obj), "spec")
        if old is not None and not request.subresource:
            complaints += _check_update(spec_of(obj), spec_of(old))
        return complaints

    def reset_paths(self, subresource: str) -> Paths:
        match subresource:
            case "status":
                return (("spec",), ("metadata", "deletionTimestamp"), ("metadata", "ownerReferences"))
            case "ephemeralcontainers" | "resize":
                return (("status",),)
        return (("status",),)


def _fill_status(status: Object) -> None:
    """The first address exists under two names."""
    addresses = status.get("podIPs")
    if status.get("podIP") and not addresses:
        status["podIPs"] = [{"ip": status["podIP"]}]
    elif addresses and not status.get("podIP"):
        status["podIP"] = addresses[0].get("ip", "")
    hosts = status.get("hostIPs")
    if status.get("hostIP") and not hosts:
        status["hostIPs"] = [{"ip": status["hostIP"]}]


def _mount_token(spec: Object) -> None:
    """Give every container a token of its service account, unless it mounts something there itself."""
    name = "kube-api-access-" + "".join(secrets.choice(_SUFFIX) for _ in range(5))
    mounted = False
    for key in ("initContainers", "containers"):
        for container in items(spec, key):
            if any(mount.get("mountPath") == _TOKEN_PATH for mount in items(container, "volumeMounts")):
                continue
            mount = {"name": name, "readOnly": True, "mountPath": _TOKEN_PATH}
            container.setdefault("volumeMounts", []).append(mount)
            mounted = True
    if not mounted:
        return
    namespace = {"apiVersion": "v1", "fieldPath": "metadata.namespace"}
    sources = [
        {"serviceAccountToken": {"expirationSeconds": _TOKEN_LIFETIME, "path": "token"}},
        {"configMap": {"name": "kube-root-ca.crt", "items": [{"key": "ca.crt", "path": "ca.crt"}]}},
        {"downwardAPI": {"items": [{"path": "namespace", "fieldRef": namespace}]}},
    ]
    spec.setdefault("volumes", []).append({"name": name, "projected": {"sources": sources, "defaultMode": 420}})


def _tolerate(spec: Object) -> None:
    tolerations = spec.setdefault("tolerations", [])
    for key in ("node.kubernetes.io/not-ready", "node.kubernetes.io/unreachable"):
        covered = any(
            (not one.get("key") or one["key"] == key) and (not one.get("effect") or one["effect"] == "NoExecute")
            for one in tolerations
        )
        if not covered:
            tolerations.append(
                {"key": key, "operator": "Exists", "effect": "NoExecute", "tolerationSeconds": _TOLERATION_SECONDS}
            )


def _check_update(new: Object, old: Object) -> list[FieldError]:
    """Only images, the deadline, further tolerations, and scheduling gates that go."""
    wanted = copy.deepcopy(new)
    for key in ("containers", "initContainers"):
        before = items(old, key)
        after = items(wanted, key)
        if len(before) == len(after):
            for one, other in zip(after, before, strict=True):
                keep(one, other, "image")
    if wanted.get("activeDeadlineSeconds") is not None:
        keep(wanted, old, "activeDeadlineSeconds")
    if old.get("terminationGracePeriodSeconds", 0) < 0 and wanted.get("terminationGracePeriodSeconds") == 1:
        keep(wanted, old, "terminationGracePeriodSeconds")
    if all(one in items(new, "tolerations") for one in items(old, "tolerations")):
        keep(wanted, old, "tolerations")
    if all(one in items(old, "schedulingGates") for one in items(new, "schedulingGates")):
        keep(wanted, old, "schedulingGates")
    return [] if wanted == old else [forbidden_field("spec", _UPDATE)]


class PodTemplateStrategy(NoStatus):
    """A stored template."""

    delete_returns_object = True
    tracks_generation = True

    def fill(self, obj: Object) -> None:
        fill_pod_template(obj.setdefault("template", {}))

    def spec_changed(self, obj: Object, old: Object) -> bool:
        return bool(obj.get("template") != old.get("template"))

    def check(self, obj: Object) -> list[FieldError]:
        return check_pod_spec((obj.get("template") or {}).get("spec") or {}, "template.spec")


STRATEGIES: Final[dict[tuple[str, str], Strategy]] = {
    ("", "Pod"): PodStrategy(),
    ("", "PodTemplate"): PodTemplateStrategy(),
}
