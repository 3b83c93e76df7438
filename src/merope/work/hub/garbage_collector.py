"""Deletes works some time after they are complete, where they say so (``deleteOption.ttlSecondsAfterFinished``).

The deletion is an ordinary one: the agent removes what it applied, then its finalizer. Works that a replica set made
are the replica set's to delete.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Final, NamedTuple

from merope.api.meta.times import parse_time
from merope.api.work.v1 import COMPLETE, ManifestWork
from merope.kube import Client, Controller, Informer, Manager, ObjectKey, Snapshot

REPLICA_SET_LABEL: Final = "work.open-cluster-management.io/manifestworkreplicaset"


class Expiry(NamedTuple):
    """What the collector needs to know of a work."""

    completed: str | None
    """When the work became complete; None where it isn't."""
    ttl: int | None
    """Seconds after that; None where the work stays."""


def expiry(work: Snapshot[ManifestWork]) -> Expiry:
    """Projection of a work: manifests and status are dropped."""
    spec, status = work.value.spec or None, work.value.status or None
    option = (spec.delete_option or None) if spec is not None else None
    ttl = option.ttl_seconds_after_finished if option is not None else None
    conditions = (status.conditions or ()) if status is not None else ()
    completed = next(
        (condition.last_transition_time for condition in conditions if (condition.type, condition.status) == _DONE),
        None,
    )
    return Expiry(completed, ttl if isinstance(ttl, int) else None)


_DONE: Final = (COMPLETE, "True")


def remaining(completed: str, ttl: int, now: datetime) -> float:
    """Seconds until a work may be deleted; 0 or less: now."""
    return ttl - (now - parse_time(completed)).total_seconds() if ttl > 0 else 0.0


class GarbageCollector:
    """The controller: one timer a completed work, to the second."""

    def __init__(self, client: Client, works: Informer[Expiry]) -> None:
        self._client = client
        self._works = works

    def controller(self) -> Controller[ObjectKey]:
        controller: Controller[ObjectKey] = Controller(
            "ManifestWorkGarbageCollectionController", self.reconcile, workers=5
        )
        controller.watches(self._works)
        return controller

    async def reconcile(self, key: ObjectKey) -> float | None:
        work = self._works.get(key.name, key.namespace)
        if work is None or work.deleting or REPLICA_SET_LABEL in work.labels:
            return None
        completed, ttl = work.value
        if completed is None or ttl is None:
            return None
        left = remaining(completed, ttl, datetime.now(UTC))
        if left > 0:
            return left
        await self._client.delete(ManifestWork, key.name, key.namespace, uid=work.uid, missing_ok=True)
        return None


def add(manager: Manager) -> None:
    """Adds the collector to a manager of the hub."""
    works = manager.informer(ManifestWork, projection=expiry)
    manager.add(GarbageCollector(manager.client, works).controller())
