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
from merope.kube import BatchFailed, Controller, Manager, ObjectKey, Snapshot
from merope.placement.fleet import NOWHERE
from merope.placement.groups import Grouping, divide
from merope.placement.hub.binding import Binder, Desired, compare
from merope.placement.hub.observed import Available, Observed, schedulable
from merope.placement.policy import Misconfigured, Policy
from merope.placement.scheduler import Inputs, Outcome, masks, schedule
from merope.placement.verdict import misconfigured, satisfied, score_note
from merope.sdk.decisions import slices

#: Changes are gathered for this long (seconds): they come in droves, and one evaluation serves them all.
_LINGER: Final = 0.05
_BATCH: Final = 256
#: Seconds of computing after which others on the loop get their turn.
_STEP: Final = 0.008
#: Seconds after which everything is looked at again: what other Placements chose moves the balance, but wakes nobody.
_EVERYTHING: Final = 600.0
_LONGEST_NAME: Final = 63


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
        self._controller.sources.extend(self._observed.informers)
        self._controller.every(_EVERYTHING, self._all)
        self._manager.add(self._controller)

    def _all(self) -> Iterable[ObjectKey]:
        return list(self._observed.placements.cache.keys())

    async def reconcile(self, keys: list[ObjectKey]) -> Mapping[ObjectKey, float]:
        """Decide for these Placements; returns when time alone calls for another look. Raises BatchFailed."""
        failures: dict[ObjectKey, Exception] = {}
        again: dict[ObjectKey, float] = {}
        self._given = perf_counter()
        async with asyncio.TaskGroup() as writes:
            for key in keys:
                try:
                    desired = await self._decide(key, again)
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
        owner = (key.namespace, key.name)
        tally = self._observed.tally
        available = self._observed.available(key.namespace, policy)
        inputs = Inputs(self._observed.fleet, available.clusters, tally.own(owner), tally.others(owner), now)
        outcome = schedule(policy, inputs)
        if outcome.again_at is not None:
            again[key] = max(0.0, outcome.again_at - now) + 0.001
        desired = self._desired(placement, policy, available, outcome)
        if desired.decides:
            tally.begin(owner, outcome.selected)
        return desired

    def _desired(
        self, placement: Snapshot[Placement], policy: Policy, available: Available, outcome: Outcome
    ) -> Desired:
        mistake = Misconfigured(outcome.plugin, outcome.message) if outcome.code == "Misconfigured" else None
        grouping = divide(policy, self._observed.fleet, outcome.selected)
        if len(placement.name) > _LONGEST_NAME:
            mistake = Misconfigured(
                "", f"name must be no more than {_LONGEST_NAME} characters: decisions carry it as label"
            )
            grouping, outcome = Grouping((), mistake), Outcome(outcome.inputs, outcome.available, NOWHERE)
        mistake = grouping.mistake or mistake
        objects, groups = slices(placement.name, grouping.groups)
        decisions = self._observed.decisions
        found = ((one.name, decisions.get(one.name, placement.namespace)) for one in objects)
        named = {name: decision for name, decision in found if decision is not None}
        missing, changed, relabelled, surplus = compare(objects, named, self._observed.decisions_of(placement))
        tells_scores = bool(changed) or any(one.clusters for one in missing)
        warns = outcome.code == "Warning" and mistake is None
        return Desired(
            placement,
            missing,
            changed,
            relabelled,
            surplus,
            len(outcome.selected),
            groups,
            misconfigured(mistake),
            satisfied(available.bindings, policy.cluster_sets, available.eligible, outcome),
            warning=f": {outcome.message} in plugin {outcome.plugin}" if warns else "",
            scores=score_note(outcome.totals()) if tells_scores else "",
        )

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
