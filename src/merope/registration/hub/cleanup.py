"""Clean-up when a cluster goes: its add-ons first, then its works, each in order of priority; then it may go."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any, Final

from merope.api.cluster.v1 import DELETING, ManagedCluster
from merope.kube import (
    Client,
    Informer,
    KubeError,
    NotFound,
    ResourceRef,
    Snapshot,
    StatusWriter,
    add_finalizer,
    remove_finalizer,
    set_condition,
    write,
)

Manifest = dict[str, Any]

FINALIZER: Final = "cluster.open-cluster-management.io/resource-cleanup"
PRIORITY: Final = "open-cluster-management.io/cleanup-priority"
AGAIN_SECONDS: Final = 5.0
#: What the reference reads as a number: no spaces, no underscores, no digits of other scripts.
_NUMBER: Final = re.compile(r"[+-]?[0-9]{1,19}")
#: What is removed, in this order.
RESOURCES: Final = (
    ResourceRef("addon.open-cluster-management.io", "v1beta1", "managedclusteraddons", True, "ManagedClusterAddOn"),
    ResourceRef("work.open-cluster-management.io", "v1", "manifestworks", True, "ManifestWork"),
)


def priority(obj: Mapping[str, Any]) -> int:
    """When an object goes: 0 first, 100 last; what is not a number in this range counts as 0."""
    text = ((obj.get("metadata") or {}).get("annotations") or {}).get(PRIORITY, "")
    if not _NUMBER.fullmatch(text):
        return 0
    value = int(text)
    return value if 0 <= value <= 100 else 0


def next_to_delete(objects: Sequence[Manifest]) -> list[Manifest]:
    """The objects of the lowest priority that is left."""
    lowest = min(priority(obj) for obj in objects)
    return [obj for obj in objects if priority(obj) == lowest]


def remaining_message(plural: str, objects: Sequence[Manifest]) -> str:
    pending = sum(1 for obj in objects if obj["metadata"].get("finalizers"))
    return (
        f"The resource {plural} is remaning, the remaining count is {len(objects)}, "
        f"the finalizer pending count is {pending}"
    )


class CleanupReconciler:
    """Reconciles one cluster by name."""

    def __init__(
        self,
        client: Client,
        clusters: Informer[ManagedCluster],
        status: StatusWriter[ManagedCluster],
        resources: Sequence[ResourceRef] = RESOURCES,
    ) -> None:
        self._client = client
        self._clusters = clusters
        self._status = status
        self._resources = tuple(resources)

    async def reconcile(self, name: str) -> float | None:
        cluster = self._clusters.get(name)
        if cluster is None:
            # Gone with its finalizer taken off by somebody: what it leaves is removed nevertheless.
            return AGAIN_SECONDS if await self._clean(name) is not None else None
        if not cluster.deleting:
            await self._set_finalizer(cluster, present=True)
            return None
        # Also where the deletion came before our finalizer: the works would keep the cluster's other finalizers.
        try:
            remaining = await self._clean(name)
        except KubeError as error:
            await self._say(cluster, "False", "DeletingError", str(error))
            raise
        if remaining is not None:
            await self._say(cluster, "False", "ResourceRemaining", remaining)
            return AGAIN_SECONDS
        cluster = await self._say(cluster, "True", "NoResource", "No cleaned resource in cluster ns.")
        await self._set_finalizer(cluster, present=False)
        return None

    async def _clean(self, namespace: str) -> str | None:
        """Delete what is next in order; what to say of what remains, None where nothing does."""
        for ref in self._resources:
            left = await self._remaining(ref, namespace)
            if not left:
                continue
            for obj in next_to_delete(left):
                if not obj["metadata"].get("deletionTimestamp"):
                    await self._client.delete(ref, obj["metadata"]["name"], namespace, missing_ok=True)
            return remaining_message(ref.plural, left)
        return None

    async def _remaining(self, ref: ResourceRef, namespace: str) -> list[Manifest]:
        try:
            return list(await self._client.list(ref, namespace))
        except NotFound:
            return []  # the kind is not installed on this hub

    async def _say(
        self, cluster: Snapshot[ManagedCluster], status: Any, reason: str, message: str
    ) -> Snapshot[ManagedCluster]:
        def change(raw: Manifest) -> None:
            conditions = raw.setdefault("status", {}).setdefault("conditions", [])
            set_condition(conditions, DELETING, status, reason, message)

        return await self._status.write(cluster, change)

    async def _set_finalizer(self, cluster: Snapshot[ManagedCluster], *, present: bool) -> None:
        def change(raw: Manifest) -> None:
            if not present:
                remove_finalizer(raw, FINALIZER)
            elif not raw["metadata"].get("deletionTimestamp"):
                add_finalizer(raw, FINALIZER)

        try:
            await write(self._client, ManagedCluster, cluster, change)
        except NotFound:
            return
