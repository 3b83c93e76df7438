"""How a work begins and ends: its finalizer, and the three steps of its deletion.

A work that is deleted on the hub waits for its finalizer. The agent deletes the AppliedManifestWork, which waits for a
finalizer of its own until every object that it holds alone is gone; then the work may go.
"""

from __future__ import annotations

from typing import Any, Final

from merope.api.work.v1 import AppliedManifestWork, ManifestWork
from merope.kube import (
    Change,
    Client,
    Controller,
    Informer,
    Manifest,
    NotFound,
    ObjectKey,
    Snapshot,
    StatusWriter,
    write,
)
from merope.work.agent.inventory import Inventory
from merope.work.agent.works import WorkFailed, text_of
from merope.work.applied import APPLIED_WORK_FINALIZER, WORK_FINALIZER, applied_work_name, sorted_resources, work_name
from merope.work.conditions import set_deleting
from merope.work.go_errors import aggregate

_FIRST_LOOK: Final = 0.05
_LONGEST_LOOK: Final = 60.0


def with_finalizer(raw: Manifest, finalizer: str) -> None:
    finalizers = raw["metadata"].setdefault("finalizers", [])
    if finalizer not in finalizers:
        finalizers.append(finalizer)


def without_finalizer(raw: Manifest, finalizer: str) -> None:
    finalizers = [name for name in raw["metadata"].get("finalizers") or () if name != finalizer]
    if finalizers:
        raw["metadata"]["finalizers"] = finalizers
    else:
        raw["metadata"].pop("finalizers", None)


class AddFinalizer:
    """Puts the finalizer on works, before anything of them is applied."""

    def __init__(self, hub: Client, works: Informer[ManifestWork]) -> None:
        self._hub = hub
        self._works = works
        self.controller: Controller[ObjectKey] = Controller(
            "ManifestWorkAddFinalizerController", self._reconcile, workers=1
        )
        self.controller.watches(works, when=_lacks_finalizer)

    async def _reconcile(self, key: ObjectKey) -> None:
        work = self._works.get(key.name, key.namespace)
        if work is None or work.deleting or WORK_FINALIZER in work.finalizers:
            return
        try:
            await write(self._hub, ManifestWork, work, _add)
        except NotFound:
            return


def _add(raw: Manifest) -> None:
    if not raw["metadata"].get("deletionTimestamp"):
        with_finalizer(raw, WORK_FINALIZER)


def _lacks_finalizer(change: Change[ManifestWork]) -> bool:
    return change.new is not None and not change.new.deleting and WORK_FINALIZER not in change.new.finalizers


class WorkFinalizer:
    """Deletes the AppliedManifestWork of a work that is being deleted; once it is gone, lets the work go."""

    def __init__(
        self,
        *,
        hub: Client,
        spoke: Client,
        cluster_name: str,
        works: Informer[ManifestWork],
        applied_works: Informer[AppliedManifestWork],
        hub_hash: str,
        status: StatusWriter[ManifestWork],
        workers: int,
    ) -> None:
        self._hub = hub
        self._spoke = spoke
        self._cluster_name = cluster_name
        self._works = works
        self._applied_works = applied_works
        self._hub_hash = hub_hash
        self._status = status
        self.controller: Controller[ObjectKey] = Controller("ManifestWorkFinalizer", self._reconcile, workers=workers)
        self.controller.watches(works, when=_is_deleting)
        self.controller.watches(applied_works, self._work_keys, when=_going_or_gone)

    def _work_keys(self, applied_work: Snapshot[AppliedManifestWork]) -> list[ObjectKey]:
        work = work_name(self._hub_hash, applied_work.name)
        return [ObjectKey(self._cluster_name, work)] if work else []

    async def _reconcile(self, key: ObjectKey) -> float | None:
        work = self._works.get(key.name, key.namespace)
        if work is None or not work.deleting or WORK_FINALIZER not in work.finalizers:
            return None
        applied_work = self._applied_works.get(applied_work_name(self._hub_hash, key.name))
        if applied_work is None:
            try:
                await write(self._hub, ManifestWork, work, lambda raw: without_finalizer(raw, WORK_FINALIZER))
            except NotFound:
                pass
            return None
        if not applied_work.deleting:
            generation = work.generation
            await self._status.write(work, lambda raw: set_deleting(raw.setdefault("status", {}), generation))
            await self._spoke.delete(AppliedManifestWork, applied_work.name, uid=applied_work.uid, missing_ok=True)
        return _LONGEST_LOOK  # its changes come as events


def _is_deleting(change: Change[ManifestWork]) -> bool:
    old, new = change.old, change.new
    return new is not None and new.deleting and (old is None or not old.deleting or old.finalizers != new.finalizers)


def _going_or_gone(change: Change[AppliedManifestWork]) -> bool:
    return change.new is None or change.new.deleting or change.old is None


class AppliedWorkFinalizer:
    """Deletes what an AppliedManifestWork holds that is being deleted; once that is gone, lets it go."""

    def __init__(
        self,
        *,
        spoke: Client,
        applied_works: Informer[AppliedManifestWork],
        inventory: Inventory,
        agent_id: str,
        workers: int,
    ) -> None:
        self._spoke = spoke
        self._applied_works = applied_works
        self._inventory = inventory
        self._agent_id = agent_id
        self._looks: dict[str, int] = {}
        self.controller: Controller[ObjectKey] = Controller(
            "AppliedManifestWorkFinalizer", self._reconcile, workers=workers
        )
        self.controller.watches(applied_works, when=_going_or_gone)

    async def _reconcile(self, key: ObjectKey) -> float | None:
        applied_work = self._applied_works.get(key.name)
        if applied_work is None or not applied_work.deleting or APPLIED_WORK_FINALIZER not in applied_work.finalizers:
            self._looks.pop(key.name, None)
            return None
        raw = applied_work.raw
        if (raw.get("spec") or {}).get("agentID") != self._agent_id:
            return None
        recorded: list[dict[str, Any]] = (raw.get("status") or {}).get("appliedResources") or []
        removal = await self._inventory.remove(recorded, applied_work.uid)
        left = sorted_resources(removal.pending)
        if removal.errors:  # what met an error would be in no record any more: nothing is recorded, all is tried again
            raise WorkFailed(aggregate(map(text_of, removal.errors)))
        applied_work = await write(self._spoke, AppliedManifestWork, applied_work, _record(left), subresource="status")
        if left:
            looks = self._looks.get(key.name, 0)
            self._looks[key.name] = looks + 1
            return float(min(_LONGEST_LOOK, _FIRST_LOOK * 2.0 ** min(looks, 20)))
        try:
            await write(
                self._spoke,
                AppliedManifestWork,
                applied_work,
                lambda raw: without_finalizer(raw, APPLIED_WORK_FINALIZER),
            )
        except NotFound:
            pass
        self._looks.pop(key.name, None)
        return None


def _record(left: list[dict[str, Any]]) -> Any:
    def change(raw: Manifest) -> None:
        status = raw.setdefault("status", {})
        if left:
            status["appliedResources"] = left
        else:
            status.pop("appliedResources", None)

    return change
