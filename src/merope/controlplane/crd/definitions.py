"""The kind CustomResourceDefinition: its defaults, what may change, and its deletion."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from merope.controlplane.crd.lifecycle import FINALIZER
from merope.controlplane.crd.naming import TERMINATING, make, set_condition
from merope.controlplane.crd.validity import definition_complaints
from merope.controlplane.errors import FieldError
from merope.controlplane.resource import Object, Request, Strategy, restore

if TYPE_CHECKING:
    from merope.controlplane.server import Server


class DefinitionStrategy(Strategy):
    """Strategy of CustomResourceDefinition."""

    unconditional_update = False
    tracks_generation = True
    #: DELETE leaves no grace period on a definition: it waits for its instances.
    records_grace = False

    def default(self, server: Server, request: Request, obj: Object) -> None:
        spec = obj.get("spec")
        if not isinstance(spec, dict):
            return
        names = spec.get("names")
        if isinstance(names, dict) and names.get("kind"):
            if not names.get("singular"):
                names["singular"] = names["kind"].lower()
            if not names.get("listKind"):
                names["listKind"] = names["kind"] + "List"
        conversion = spec.get("conversion")
        if not isinstance(conversion, dict):
            conversion = spec["conversion"] = {}
        if not conversion.get("strategy"):
            conversion["strategy"] = "None"
        service = ((conversion.get("webhook") or {}).get("clientConfig") or {}).get("service")
        if isinstance(service, dict) and service.get("port") is None:
            service["port"] = 443
        if spec.get("preserveUnknownFields") is False:
            del spec["preserveUnknownFields"]

    def prepare_create(self, server: Server, request: Request, obj: Object) -> None:
        status: Object = {"conditions": None, "acceptedNames": {"plural": "", "kind": ""}, "storedVersions": []}
        obj["status"] = status
        _store_version(obj)

    def prepare_update(self, server: Server, request: Request, obj: Object, old: Object) -> None:
        if request.subresource == "status":
            managed = obj["metadata"].get("managedFields")
            obj["spec"] = old["spec"]
            obj["metadata"] = dict(old["metadata"])
            if managed is not None:
                obj["metadata"]["managedFields"] = managed
            if not (obj.get("status") or {}).get("storedVersions"):
                obj.setdefault("status", {})
                _store_version(obj)
        else:
            restore(obj, old, "status")
            if "status" in obj:
                obj["status"] = dict(obj["status"])
            _store_version(obj)

    def reset_paths(self, subresource: str) -> tuple[tuple[str, ...], ...]:
        return (("metadata",), ("spec",)) if subresource == "status" else (("status",),)

    def validate(self, server: Server, request: Request, obj: Object, old: Object | None) -> list[FieldError]:
        if request is not None and request.subresource == "status":
            return []
        if old is not None and obj["metadata"].get("deletionTimestamp"):
            return []  # whatever is wrong with it must not keep it from going
        return definition_complaints(obj, old, server.catalogue.graph)

    def prepare_delete(self, server: Server, request: Request, obj: Object) -> None:
        """The first DELETE: instances go first."""
        finalizers = obj["metadata"].setdefault("finalizers", [])
        if FINALIZER not in finalizers:
            finalizers.append(FINALIZER)
        verdict = make(
            TERMINATING,
            "True",
            "InstanceDeletionPending",
            "CustomResourceDefinition marked for deletion; CustomResource deletion will begin soon",
        )
        set_condition(obj, verdict, server.now())


def _store_version(obj: Mapping[str, Any]) -> None:
    """Remember the version that objects are stored in now; it is forgotten only by a write of the status."""
    stored = list((obj.get("status") or {}).get("storedVersions") or ())
    for version in (obj.get("spec") or {}).get("versions") or ():
        if version.get("storage") and version.get("name") not in stored:
            stored.append(version["name"])
            break
    obj["status"]["storedVersions"] = stored


STRATEGIES: dict[tuple[str, str], Strategy] = {
    ("apiextensions.k8s.io", "CustomResourceDefinition"): DefinitionStrategy()
}
