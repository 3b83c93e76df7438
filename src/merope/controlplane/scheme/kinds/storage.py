"""Volumes, claims and storage classes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from merope.controlplane.errors import FieldError, forbidden_field, required
from merope.controlplane.resource import Object, Request, Strategy
from merope.controlplane.scheme.kinds.base import (
    BuiltinStrategy,
    NoStatus,
    at,
    check_enum,
    check_immutable,
    check_unchanged,
    default_to,
    spec_of,
)

if TYPE_CHECKING:
    from merope.controlplane.server import Server

_MODES: Final = ("ReadOnlyMany", "ReadWriteMany", "ReadWriteOnce", "ReadWriteOncePod")
_CLAIM_UPDATE: Final = (
    "spec is immutable after creation except resources.requests and volumeAttributesClassName for bound claims"
)


class ClaimStrategy(BuiltinStrategy):
    """No protecting finalizer is put on new claims: nothing here would ever take it off again."""

    delete_returns_object = True

    def fill(self, obj: Object) -> None:
        default_to(spec_of(obj), volumeMode="Filesystem")

    def initial_status(self, server: Server, request: Request, obj: Object) -> Object:
        return {"phase": "Pending"}

    def check(self, obj: Object) -> list[FieldError]:
        spec = spec_of(obj)
        complaints = []
        if not spec.get("accessModes"):
            complaints.append(required("spec.accessModes", "at least 1 access mode is required"))
        for index, mode in enumerate(spec.get("accessModes") or ()):
            complaints += check_enum(f"spec.accessModes[{index}]", mode, _MODES)
        if not at(spec, "resources", "requests", "storage"):
            complaints.append(required("spec.resources[storage]"))
        return complaints + check_enum("spec.volumeMode", spec.get("volumeMode"), ("Block", "Filesystem"))

    def check_update(self, obj: Object, old: Object) -> list[FieldError]:
        def fixed(one: Object) -> Object:
            spec = dict(spec_of(one))
            for key in ("resources", "volumeAttributesClassName"):
                spec.pop(key, None)
            # Binding fills in what a claim left open.
            for key in ("volumeName", "storageClassName"):
                if not spec_of(old).get(key):
                    spec.pop(key, None)
            return spec

        return check_unchanged("spec", fixed(obj), fixed(old), _CLAIM_UPDATE)


class VolumeStrategy(BuiltinStrategy):
    delete_returns_object = True

    def fill(self, obj: Object) -> None:
        spec = spec_of(obj)
        default_to(spec, persistentVolumeReclaimPolicy="Retain", volumeMode="Filesystem")
        if spec.get("hostPath") is not None:
            spec["hostPath"].setdefault("type", "")

    def initial_status(self, server: Server, request: Request, obj: Object) -> Object:
        return {"phase": "Pending"}

    def check(self, obj: Object) -> list[FieldError]:
        spec = spec_of(obj)
        complaints = []
        if not spec.get("accessModes"):
            complaints.append(required("spec.accessModes"))
        for index, mode in enumerate(spec.get("accessModes") or ()):
            complaints += check_enum(f"spec.accessModes[{index}]", mode, _MODES)
        if not spec.get("capacity"):
            complaints.append(required("spec.capacity"))
        policies = ("Delete", "Recycle", "Retain")
        return complaints + check_enum(
            "spec.persistentVolumeReclaimPolicy", spec.get("persistentVolumeReclaimPolicy"), policies
        )


class StorageClassStrategy(NoStatus):
    delete_returns_object = True

    def fill(self, obj: Object) -> None:
        default_to(obj, reclaimPolicy="Delete", volumeBindingMode="Immediate")

    def check(self, obj: Object) -> list[FieldError]:
        modes = ("Immediate", "WaitForFirstConsumer")
        return [
            *([] if obj.get("provisioner") else [required("provisioner")]),
            *check_enum("reclaimPolicy", obj.get("reclaimPolicy"), ("Delete", "Retain")),
            *check_enum("volumeBindingMode", obj.get("volumeBindingMode"), modes),
        ]

    def check_update(self, obj: Object, old: Object) -> list[FieldError]:
        complaints = [
            forbidden_field(key, f"updates to {key} are forbidden.")
            for key in ("parameters", "provisioner", "reclaimPolicy")
            if obj.get(key) != old.get(key)
        ]
        key = "volumeBindingMode"
        return complaints + check_immutable(key, obj.get(key), old.get(key))


class DriverStrategy(NoStatus):
    """A CSI driver's description."""

    tracks_generation = True

    def fill(self, obj: Object) -> None:
        spec = spec_of(obj)
        default_to(
            spec,
            attachRequired=True,
            podInfoOnMount=False,
            storageCapacity=False,
            fsGroupPolicy="ReadWriteOnceWithFSType",
            requiresRepublish=False,
            seLinuxMount=False,
        )
        if not spec.get("volumeLifecycleModes"):
            spec["volumeLifecycleModes"] = ["Persistent"]


class AttachmentStrategy(BuiltinStrategy):
    def initial_status(self, server: Server, request: Request, obj: Object) -> Object:
        return {"attached": False}

    def check_update(self, obj: Object, old: Object) -> list[FieldError]:
        return check_immutable("spec", obj.get("spec"), old.get("spec"))


STRATEGIES: Final[dict[tuple[str, str], Strategy]] = {
    ("", "PersistentVolumeClaim"): ClaimStrategy(),
    ("", "PersistentVolume"): VolumeStrategy(),
    ("storage.k8s.io", "StorageClass"): StorageClassStrategy(),
    ("storage.k8s.io", "CSIDriver"): DriverStrategy(),
    ("storage.k8s.io", "CSINode"): NoStatus(),
    ("storage.k8s.io", "CSIStorageCapacity"): NoStatus(),
    ("storage.k8s.io", "VolumeAttachment"): AttachmentStrategy(),
    ("storage.k8s.io", "VolumeAttributesClass"): NoStatus(),
}
