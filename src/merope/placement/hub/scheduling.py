"""The scheduling controller: for each Placement that a change concerns, choose, compare, write.

Placements are scheduled one after the other, each seeing what the ones before it chose, for Balance would be void
otherwise; their writes run side by side. A batch gives the loop back every few milliseconds, and long evaluations of
CEL expressions over the whole fleet happen in such pieces before the choice is made.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterable, Mapping
from time import perf_counter
from typing import Final

from merope.api.cluster.v1beta1 import Placement
from merope.kube import BatchFailed, Controller, Manager, ObjectKey, Snapshot, TerminalError
from merope.placement.decision import Decision, decide
from merope.placement.hub.binding import Binder, Desired, compare
from merope.placement.hub.observed import SWEEP, Observed, schedulable
from merope.placement.scheduler import masks
from merope.placement.sets import BrokenSet
from merope.placement.verdict import score_note

#: Changes are gathered for this long (seconds): they come in droves, and one evaluation serves them all. A change of
#: clusters takes two rounds, one to see whom it concerns.
_LINGER: Final = 0.025
_BATCH: Final = 256
#: Seconds of computing after which others on the loop get their turn.
_STEP: Final = 0.008
#: Seconds after which everything is looked at again: what other Placements chose moves the balance, but wakes nobody.
_EVERYTHING: Final = 600.0
#: Seconds after a deadline at which it is looked at: never before it has passed.
_AFTER: Final = 0.001


class SchedulingController:
    """Turns Placements into PlacementDecisions."""

    def __init__(self, manager: Manager, *, clock: Callable[[], float] = time.time) -> None:
        self._manager = manager
        self._clock = clock
        self._controller: Controller[ObjectKey] = Controller(
            "SchedulingController", reconcile_batch=self.reconcile, max_batch=_BATCH, linger=_LINGER
        )
        self._observed = Observed(manager, self._controller.add)
        self._binder = Binder(manager.client, manager.recorder("placement-controller"))
        self._given = 0.0

    def register(self) -> None:
        """Add the controller to its manager."""
        self._controller.needs(*self._observed.informers)
        self._controller.every(_EVERYTHING, self._all)
        self._manager.add(self._controller)

    def _all(self) -> Iterable[ObjectKey]:
        return list(self._observed.placements.cache.keys())

    async def reconcile(self, keys: list[ObjectKey]) -> Mapping[ObjectKey, float]:
        """Decide for these Placements; returns when time alone calls for another look. Raises BatchFailed."""
        failures: dict[ObjectKey, Exception] = {}
        again: dict[ObjectKey, float] = {}
        self._given = perf_counter()
        if SWEEP in keys:
            self._observed.sweep(awake=set(keys))
        async with asyncio.TaskGroup() as writes:
            for key in keys:
                if key == SWEEP:
                    continue
                try:
                    desired = await self._decide(key, again)
                except BrokenSet as error:
                    failures[key] = TerminalError(str(error))  # once the set is repaired we hear of it
                    continue
                except Exception as error:
                    failures[key] = error
                    continue
                if desired is not None:
                    writes.create_task(self._bind(key, desired, failures))
                await self._give_way()
        if failures:
            for key in failures:
                again.pop(key, None)
            for key, seconds in again.items():
                self._controller.queue.add_after(key, seconds)
            raise BatchFailed(failures)
        return again

    async def _decide(self, key: ObjectKey, again: dict[ObjectKey, float]) -> Desired | None:
        placement = self._observed.placements.get(key.name, key.namespace)
        if placement is None or not schedulable(placement):
            return None
        policy = self._observed.policy(placement)
        for mask in masks(policy, self._observed.fleet):
            for _ in self._observed.fleet.refreshing(mask):
                await self._give_way()
        # From here to the end nothing is awaited: the choice is made on one state of everything.
        now = self._clock()
        observed = self._observed
        available = observed.available(key.namespace, policy)
        decision = decide(key.namespace, key.name, policy, available, observed.fleet, observed.tally, now)
        if decision.outcome.again_at is not None:
            again[key] = max(0.0, decision.outcome.again_at - now) + _AFTER
        desired = self._desired(placement, decision)
        if desired.decides:
            observed.tally.begin((key.namespace, key.name), decision.outcome.selected)
        return desired

    def _desired(self, placement: Snapshot[Placement], decision: Decision) -> Desired:
        decisions = self._observed.decisions
        found = ((one.name, decisions.get(one.name, placement.namespace)) for one in decision.slices)
        named = {name: current for name, current in found if current is not None}
        difference = compare(decision.slices, named, self._observed.decisions_of(placement))
        tells_scores = bool(difference.changed) or any(one.clusters for one in difference.missing)
        scores = score_note(decision.outcome.totals()) if tells_scores else ""
        return Desired(placement, decision, difference, scores)

    async def _bind(self, key: ObjectKey, desired: Desired, failures: dict[ObjectKey, Exception]) -> None:
        try:
            await self._binder.bind(desired)
        except Exception as error:
            failures[key] = error
        finally:
            self._observed.tally.end((key.namespace, key.name))

    async def _give_way(self) -> None:
        if perf_counter() - self._given > _STEP:
            await asyncio.sleep(0)
            self._given = perf_counter()
