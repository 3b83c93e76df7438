"""Eviction: the end of AppliedManifestWorks whose work is not on the hub any more, after a time of grace.

A hub that can't be reached evicts nothing: only a complete list of the hub's works shows that one is missing.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Final

from merope.api.meta.times import format_time, parse_time
from merope.api.work.v1 import AppliedManifestWork, ManifestWork
from merope.kube import Change, Client, Controller, Informer, Manifest, NotFound, ObjectKey, Snapshot, write
from merope.work.applied import applied_work_name

#: Seconds of grace from which on nothing is evicted: a hundred years.
NEVER: Final = 100 * 365 * 24 * 3600.0


class Eviction:
    """The controller of works that went without a deletion, or whose hub has another address now."""

    def __init__(
        self,
        *,
        spoke: Client,
        cluster_name: str,
        works: Informer[ManifestWork],
        applied_works: Informer[AppliedManifestWork],
        hub_hash: str,
        agent_id: str,
        grace: float,
    ) -> None:
        self._spoke = spoke
        self._cluster_name = cluster_name
        self._works = works
        self._applied_works = applied_works
        self._hub_hash = hub_hash
        self._agent_id = agent_id
        self._grace = grace
        self.controller: Controller[ObjectKey] = Controller("UnManagedAppliedManifestWork", self._reconcile, workers=1)
        self.controller.watches(works, self._applied_keys, when=_came_or_went)
        self.controller.watches(applied_works)

    def _applied_keys(self, work: Snapshot[ManifestWork]) -> list[ObjectKey]:
        return [ObjectKey("", applied_work_name(self._hub_hash, work.name))]

    async def _reconcile(self, key: ObjectKey) -> float | None:
        applied_work = self._applied_works.get(key.name)
        if applied_work is None or applied_work.deleting:
            return None
        raw = applied_work.raw
        spec, status = raw.get("spec") or {}, raw.get("status") or {}
        if spec.get("agentID") != self._agent_id:
            return None
        started = status.get("evictionStartTime")
        missing = self._works.get(str(spec.get("manifestWorkName")), self._cluster_name) is None
        if self._grace >= NEVER or not (missing or not key.name.startswith(self._hub_hash)):
            if started:
                await self._mark(applied_work, None)
            return None
        now = datetime.now(UTC)
        if not started:
            await self._mark(applied_work, format_time(now))
            return self._grace
        left = self._grace - (now - parse_time(started)).total_seconds()
        if left > 0:
            return left
        await self._spoke.delete(AppliedManifestWork, key.name, uid=applied_work.uid, missing_ok=True)
        return None

    async def _mark(self, applied_work: Snapshot[AppliedManifestWork], since: str | None) -> None:
        def change(raw: Manifest) -> None:
            status = raw.setdefault("status", {})
            if since is None:
                status.pop("evictionStartTime", None)
            else:
                status.setdefault("evictionStartTime", since)

        try:
            await write(self._spoke, AppliedManifestWork, applied_work, change, subresource="status")
        except NotFound:
            return


def _came_or_went(change: Change[ManifestWork]) -> bool:
    return change.old is None or change.new is None
