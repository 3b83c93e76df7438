"""What a work applied, and its removal: when the work no longer names it, and when the work goes.

Whether an object is deleted is decided by its owners at that moment, not by how it was once applied: an object that
lost our reference was taken away or orphaned, one that another work holds, too, only loses our reference.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

from merope.kube import Client, Conflict, KubeError, Manifest, NoMatch, NotFound, Propagation, ResourceRef
from merope.work.agent.applier import Applier
from merope.work.applied import ownership, without_owner


class Removal(NamedTuple):
    """What became of deleting objects."""

    pending: list[Mapping[str, Any]]
    """Entries of the record whose objects are going and not gone."""
    errors: list[Exception]


class Inventory:
    """Deletes recorded objects from the managed cluster."""

    def __init__(self, client: Client, applier: Applier) -> None:
        self._client = client
        self._applier = applier

    async def remove(self, entries: Iterable[Mapping[str, Any]], owner_uid: str) -> Removal:
        """Deletes what the AppliedManifestWork of this uid holds alone. An entry that met an error is in no list."""
        pending: list[Mapping[str, Any]] = []
        errors: list[Exception] = []
        for entry in entries:
            try:
                if await self._remove(entry, owner_uid):
                    pending.append(entry)
            except KubeError as error:
                errors.append(error)
        return Removal(pending, errors)

    async def _remove(self, entry: Mapping[str, Any], owner_uid: str) -> bool:
        """Whether the object is still there, on its way out."""
        group, version, resource = entry.get("group") or "", entry["version"], entry["resource"]
        namespace, name = entry.get("namespace") or "", entry["name"]
        self._applier.forget(group, resource, namespace, name, owner_uid)
        ref = ResourceRef(group, version, resource, bool(namespace))
        live = await self._live(ref, namespace, name)
        if live is None:
            return False
        metadata = live["metadata"]
        owners = metadata.get("ownerReferences")
        held = ownership(owners, owner_uid)
        if not held.ours:
            return False
        if held.shared:
            await self._applier.write_owners(ref, live, without_owner(owners, owner_uid))
            return False
        if metadata.get("uid") != entry.get("uid"):
            return False
        if metadata.get("deletionTimestamp"):
            return True
        try:
            await self._client.delete(
                ref, name, namespace or None, uid=metadata["uid"], propagation=Propagation.BACKGROUND
            )
        except (NotFound, Conflict):
            return False
        return True

    async def _live(self, ref: ResourceRef, namespace: str, name: str) -> Manifest | None:
        try:
            return await self._client.get(ref, name, namespace or None)
        except (NotFound, NoMatch):
            return None
