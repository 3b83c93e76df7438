"""The two controllers that serve a work: one applies it, the other looks after what was applied.

Applying happens when the work changes, when an applied object drifts, and every few minutes in any case. It looks at
the objects as well, so that one patch tells the hub everything about a new work. Between that, the other controller
looks at the objects at an interval. Both take turns for one work, and what they find goes through one status writer.
"""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Final

from merope.api.work.v1 import APPLIED, AppliedManifestWork, ManifestWork
from merope.kube import (
    ApiError,
    Change,
    Client,
    Controller,
    Informer,
    KubeError,
    Manifest,
    NoMatch,
    NotFound,
    ObjectKey,
    ResourceRef,
    Snapshot,
    StatusWriter,
    find_condition,
    write,
)
from merope.work.agent.applier import FIELD_MANAGER, Applier, ApplyConflict
from merope.work.agent.executor import RETRY, Executors, InvalidExecutor, NotAllowed
from merope.work.agent.inventory import Inventory
from merope.work.agent.observer import Observer
from merope.work.agent.watches import READ_ONLY, Left, Tracked, Watches, left
from merope.work.applied import (
    WORK_FINALIZER,
    applied_resource,
    applied_work_name,
    applied_work_spec,
    new_applied_work,
    owner_reference,
    sorted_resources,
    untracked,
    work_name,
)
from merope.work.conditions import Outcome, complete, find, set_applied, set_observed
from merope.work.go_errors import aggregate
from merope.work.ignored import IgnoreFieldError
from merope.work.manifests import InvalidManifest, Target, owned, parse, rank, settings, target
from merope.work.update import UnsupportedManifest

_log = logging.getLogger(__name__)

#: Seconds after which a work is applied again though nothing is known to have changed, and how much later at most.
RESYNC: Final = 240.0
_RESYNC_JITTER: Final = 0.5
_STATUS_JITTER: Final = 0.9
#: Manifests of one rank that are applied at a time.
_APPLIES: Final = 8


class WorkFailed(KubeError):
    """Parts of a work could not be applied or removed: to be tried again."""


@dataclass
class Result:
    """What became of one manifest."""

    target: Target
    manifest: Manifest
    ref: ResourceRef | None = None
    live: Manifest | None = None
    error: Exception | None = None

    def outcome(self) -> Outcome:
        if self.error is None:
            return Outcome(self.target)
        if isinstance(self.error, IgnoreFieldError):
            return Outcome(self.target, text_of(self.error), "AppliedManifestSSAIgnoreFieldError")
        return Outcome(self.target, text_of(self.error) or type(self.error).__name__)


def text_of(error: Exception) -> str:
    """What the API server said, without which request it said it to."""
    return error.message if isinstance(error, ApiError) else str(error)


class Turns:
    """Lets one at a time work on a key."""

    def __init__(self) -> None:
        self._locks: dict[str, tuple[asyncio.Lock, int]] = {}

    @contextmanager
    def lock(self, key: str) -> Iterator[asyncio.Lock]:
        """The key's lock, which lives as long as somebody uses it."""
        lock, users = self._locks.get(key) or (asyncio.Lock(), 0)
        self._locks[key] = (lock, users + 1)
        try:
            yield lock
        finally:
            lock, users = self._locks[key]
            if users == 1:
                del self._locks[key]
            else:
                self._locks[key] = (lock, users - 1)


class WorkController:
    """Applies works, keeps the record of what they applied, and reports."""

    def __init__(
        self,
        *,
        spoke: Client,
        cluster_name: str,
        works: Informer[ManifestWork],
        applied_works: Informer[AppliedManifestWork],
        hub_hash: str,
        agent_id: str,
        status: StatusWriter[ManifestWork],
        applier: Applier,
        inventory: Inventory,
        observer: Observer,
        executors: Executors,
        status_sync_interval: float,
        watch_limit: int,
        workers: int,
    ) -> None:
        self._spoke = spoke
        self._cluster_name = cluster_name
        self._works = works
        self._applied_works = applied_works
        self._hub_hash = hub_hash
        self._agent_id = agent_id
        self._status = status
        self._applier = applier
        self._inventory = inventory
        self._observer = observer
        self._executors = executors
        self._status_sync_interval = status_sync_interval
        self._turns = Turns()
        self._removals: dict[str, int] = {}
        self.applying: Controller[ObjectKey] = Controller("manifestwork-controller", self._reconcile, workers=workers)
        self.applying.watches(works, when=concerns_applying)
        self.applying.watches(applied_works, self._work_keys, when=lambda change: change.new is None)
        works.add_handler(self._forget_failures)
        self.looking: Controller[ObjectKey] = Controller("AvailableStatusController", self._look, workers=workers)
        self.watches = Watches(
            spoke,
            drifted=lambda work, delay: self.applying.queue.add_after(ObjectKey(cluster_name, work), delay),
            changed=lambda work: self.looking.add(ObjectKey(cluster_name, work)),
            limit=watch_limit,
        )

    def _forget_failures(self, change: Change[ManifestWork]) -> None:
        """A work that changed is tried at once, however often it has failed."""
        old, new = change.old, change.new
        if old is not None and new is not None and (old.generation, old.labels) != (new.generation, new.labels):
            self.applying.queue.forget(new.key)

    def _work_keys(self, applied_work: Snapshot[AppliedManifestWork]) -> list[ObjectKey]:
        work = work_name(self._hub_hash, applied_work.name)
        return [ObjectKey(self._cluster_name, work)] if work else []

    # --- applying --------------------------------------------------------------------------------------------------

    async def _reconcile(self, key: ObjectKey) -> float | None:
        with self._turns.lock(key.name) as lock:
            async with lock:
                return await self._serve(key)

    async def _serve(self, key: ObjectKey) -> float | None:
        work = self._works.get(key.name, key.namespace)
        if work is None:
            self._removals.pop(key.name, None)
            self.watches.forget(key.name)
            return None
        if WORK_FINALIZER not in work.finalizers:
            return None
        raw = work.raw
        spec, status = raw.get("spec") or {}, raw.get("status") or {}
        if work.deleting or complete(status.get("conditions")):
            self.watches.forget(key.name)
            self.looking.add(key)
            return None
        applied_work = await self._applied_work(work)
        if applied_work.deleting:
            self.watches.forget(key.name)
            return None  # what is applied now would go with it; its end is an event
        with self.watches.applying(key.name):
            results = await self._apply_all(work, spec, status, applied_work)
            self._track(key.name, spec, results)
        await self._report(work, spec, results)
        self.looking.queue.add_after(key, jitter(self._status_sync_interval, _STATUS_JITTER))
        again = jitter(RESYNC, _RESYNC_JITTER)
        errors = [result.error for result in results if result.error is not None]
        if any(isinstance(error, NotAllowed) for error in errors):
            again = min(again, RETRY)
        failures = [text_of(error) for error in errors if not isinstance(error, (NotAllowed, ApplyConflict))]
        try:
            pending = await self._record(applied_work, results)
        except (KubeError, WorkFailed) as error:
            failures.append(text_of(error))
        else:
            again = min(again, self._removal_delay(key.name, pending))
        if failures:
            raise WorkFailed(aggregate(failures))
        return again

    def _removal_delay(self, name: str, pending: bool) -> float:
        """Seconds until objects that are going are looked at again: a little later each time."""
        if not pending:
            self._removals.pop(name, None)
            return RESYNC * 2
        count = self._removals.get(name, 0)
        self._removals[name] = count + 1
        return float(min(1000.0, 0.005 * 2.0 ** min(count, 30)))

    async def _applied_work(self, work: Snapshot[ManifestWork]) -> Snapshot[AppliedManifestWork]:
        """The work's anchor on the cluster, made where it is missing."""
        name = applied_work_name(self._hub_hash, work.name)
        wanted = applied_work_spec(self._hub_hash, self._agent_id, work.name)
        found = self._applied_works.get(name)
        if found is None:
            manifest = new_applied_work(name, wanted, work.labels)
            await self._spoke.create(AppliedManifestWork, manifest, field_manager=FIELD_MANAGER)
            found = self._applied_works.get(name)
            return found if found is not None else await self._spoke.fetch(AppliedManifestWork, name)

        def specify(raw: Manifest) -> None:
            raw["spec"] = {**(raw.get("spec") or {}), **wanted}

        return await write(self._spoke, AppliedManifestWork, found, specify)

    async def _apply_all(
        self,
        work: Snapshot[ManifestWork],
        spec: Mapping[str, Any],
        status: Mapping[str, Any],
        applied_work: Snapshot[AppliedManifestWork],
    ) -> list[Result]:
        """Applies the manifests rank by rank; results in the order of the manifests. No failure stops the others."""
        manifests = (spec.get("workload") or {}).get("manifests") or []
        results = [await self._mapped(ordinal, manifest) for ordinal, manifest in enumerate(manifests)]
        entries = (status.get("resourceStatus") or {}).get("manifests") or ()
        gate = asyncio.Semaphore(_APPLIES)

        async def one(result: Result) -> None:
            entry = find(entries, result.target)
            if entry is not None and complete(entry.get("conditions")):
                return
            async with gate:
                try:
                    result.live = await self._apply(result, spec, applied_work)
                except (KubeError, NotAllowed, InvalidExecutor, IgnoreFieldError, UnsupportedManifest) as error:
                    result.error = error
                except Exception as error:
                    _log.exception("work %s: manifest %d", work.name, result.target.ordinal)
                    result.error = error

        mapped = [result for result in results if result.error is None]
        for level in sorted({rank(result.target.kind) for result in mapped}):
            async with asyncio.TaskGroup() as group:
                for result in mapped:
                    if rank(result.target.kind) == level:
                        group.create_task(one(result))
        return results

    async def _mapped(self, ordinal: int, manifest: Any) -> Result:
        """What a manifest names, and where the cluster serves it."""
        try:
            named = parse(ordinal, manifest)
        except InvalidManifest as error:
            return Result(Target(ordinal), {}, error=error)
        try:
            ref = await self._spoke.mapper.ref(named.api_version, named.kind)
        except NoMatch:
            missing = NoMatch(f'the server doesn\'t have a resource type "{named.kind}"')
            return Result(named, manifest, error=missing)
        except KubeError as error:
            return Result(named, manifest, error=error)
        named = named._replace(resource=ref.plural)
        if not ref.namespaced:
            named = named._replace(namespace="")
        return Result(named, manifest, ref)

    async def _apply(
        self, result: Result, spec: Mapping[str, Any], applied_work: Snapshot[AppliedManifestWork]
    ) -> Manifest | None:
        assert result.ref is not None
        ours = owned(spec.get("deleteOption"), result.target)
        await self._executors.check(spec.get("executor"), result.ref, result.target, result.manifest, owned=ours)
        owner = owner_reference(applied_work.name, applied_work.uid, owned=ours)
        chosen = settings(spec.get("manifestConfigs"), result.target)
        return await self._applier.apply(result.ref, result.target, result.manifest, owner, chosen)

    def _track(self, name: str, spec: Mapping[str, Any], results: Sequence[Result]) -> None:
        """Has the objects watched: what was applied for drift, what feedback is wanted of for any change."""
        applied: dict[Tracked, Left] = {}
        followed: list[Tracked] = []
        for result in results:
            if result.ref is None or result.error is not None:
                continue
            chosen = settings(spec.get("manifestConfigs"), result.target)
            tracked = Tracked(result.ref, result.target.namespace, result.target.name)
            if result.live is not None:
                applied[tracked] = left(result.live, contents=chosen.strategy != "CreateOnly")
            elif chosen.watched:
                applied[tracked] = READ_ONLY
            if chosen.watched:
                followed.append(tracked)
        self.watches.track(name, applied, followed)

    # --- reporting -------------------------------------------------------------------------------------------------

    async def _report(self, work: Snapshot[ManifestWork], spec: Mapping[str, Any], results: Sequence[Result]) -> None:
        """Tells the hub what was applied and what is seen of it, in one patch."""
        known = {result.target: result.live for result in results if result.live is not None}
        observations = await self._observer.observe(spec, [result.target for result in results], known)
        outcomes = [result.outcome() for result in results]
        generation = work.generation

        def report(raw: Manifest) -> None:
            status = raw.setdefault("status", {})
            set_applied(status, outcomes, generation)
            if outcomes:
                set_observed(status, observations, generation)

        await self._status.write(work, report)

    async def _look(self, key: ObjectKey) -> float | None:
        """Looks at the objects of a work and reports what changed."""
        with self._turns.lock(key.name) as lock:
            async with lock:
                work = self._works.get(key.name, key.namespace)
                if work is None or WORK_FINALIZER not in work.finalizers:
                    return None
                raw = work.raw
                status = raw.get("status") or {}
                if find_condition(status.get("conditions"), APPLIED) is None:
                    return None
                entries = (status.get("resourceStatus") or {}).get("manifests") or ()
                targets = [target(entry.get("resourceMeta") or {}) for entry in entries]
                observations = await self._observer.observe(raw.get("spec") or {}, targets, {})
                generation = work.generation

                def report(raw: Manifest) -> None:
                    set_observed(raw.setdefault("status", {}), observations, generation)

                try:
                    written = await self._status.write(work, report)
                except NotFound:
                    return None  # it went while we looked
                if complete(status.get("conditions")) and not complete(conditions_of(written)):
                    self.applying.add(key)  # it was left alone, and is to be served again
                return jitter(self._status_sync_interval, _STATUS_JITTER)

    # --- the record ------------------------------------------------------------------------------------------------

    async def _record(self, applied_work: Snapshot[AppliedManifestWork], results: Sequence[Result]) -> bool:
        """Records what was applied, and deletes what is no longer named; whether some of that is still there.

        Nothing is deleted unless every manifest could be told: a cluster that answers badly must not cost objects.
        """
        applied_work = self._applied_works.get(applied_work.name) or applied_work
        if applied_work.deleting or not results:
            return False
        entries = [entry for entry in [await self._entry(result) for result in results] if entry is not None]
        recorded = ((applied_work.raw.get("status") or {}).get("appliedResources")) or []
        removal = await self._inventory.remove(untracked(recorded, entries), applied_work.uid)
        if removal.errors:
            raise WorkFailed(aggregate(map(text_of, removal.errors)))
        applied = sorted_resources([*entries, *removal.pending])

        def record(raw: Manifest) -> None:
            raw.setdefault("status", {})["appliedResources"] = applied
            if not applied:
                del raw["status"]["appliedResources"]

        await write(self._spoke, AppliedManifestWork, applied_work, record, subresource="status")
        return bool(removal.pending)

    async def _entry(self, result: Result) -> dict[str, Any] | None:
        """The record of one object; None where there is no such object."""
        named = result.target
        if result.ref is None:
            raise WorkFailed(f"resource with key {named.namespace}/{named.name} not found")
        live = result.live if result.error is None else None
        if live is None:
            if not named.name or (result.ref.namespaced and not named.namespace):
                return None  # it names no object, so none was applied
            try:
                live = await self._spoke.get(result.ref, named.name, named.namespace or None)
            except NotFound:
                return None
        uid = str(live["metadata"].get("uid") or "")
        return applied_resource(named.group, named.version, named.resource, named.namespace, named.name, uid)


def conditions_of(work: Snapshot[ManifestWork]) -> Sequence[Mapping[str, Any]]:
    return (work.raw.get("status") or {}).get("conditions") or ()


def concerns_applying(change: Change[ManifestWork]) -> bool:
    """Whether a change of a work is a reason to apply it: not the status, which is ours."""
    old, new = change.old, change.new
    if new is None or WORK_FINALIZER not in new.finalizers:
        return new is None
    if old is None or WORK_FINALIZER not in old.finalizers:
        return True
    return (old.generation, old.labels, old.deleting) != (new.generation, new.labels, new.deleting)


def jitter(seconds: float, share: float) -> float:
    """A time between the given one and the given share more."""
    return seconds * random.uniform(1.0, 1.0 + share)  # noqa: S311
