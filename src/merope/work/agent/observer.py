"""Looking at what a work applied: is it there, how is it, what do the work's rules conclude from it."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from typing import Any, Final

from merope.kube import Client, KubeError, Manifest, NotFound, ResourceRef
from merope.work.conditions import Found, Observation, availability
from merope.work.feedback import FeedbackLimits, feedback
from merope.work.manifests import Settings, Target, settings

#: Objects of one work that are read at a time.
_READS: Final = 8


class Observer:
    """Reads objects of the managed cluster and evaluates the rules of their works."""

    def __init__(self, client: Client, limits: FeedbackLimits) -> None:
        self._client = client
        self._limits = limits

    async def observe(
        self, spec: Mapping[str, Any], targets: Sequence[Target], known: Mapping[Target, Manifest]
    ) -> list[Observation]:
        """What is seen of each target. ``known`` are objects that were read or written just now."""
        gate = asyncio.Semaphore(_READS)

        async def one(target: Target) -> Observation:
            live = known.get(target)
            if live is None:
                async with gate:
                    read = await self.read(target)
                if isinstance(read, Found):
                    return Observation(target, read)
                live = read
            return evaluate(target, live, settings(spec.get("manifestConfigs"), target), self._limits)

        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(one(target)) for target in targets]
        return [task.result() for task in tasks]

    async def read(self, target: Target) -> Manifest | Found:
        """The object, or the condition Available that says why there is none."""
        unavailable = availability(target)
        if unavailable.status != "True":
            return unavailable
        ref = ResourceRef(target.group, target.version, target.resource, bool(target.namespace), target.kind)
        try:
            return await self._client.get(ref, target.name, target.namespace or None)
        except NotFound:
            return availability(target, missing=True)
        except KubeError as error:
            return availability(target, error)


def evaluate(target: Target, live: Manifest, wanted: Settings, limits: FeedbackLimits) -> Observation:
    """What an object shows, by the settings of its manifest."""
    synced, values = feedback(wanted.feedback_rules, live, limits)
    rules: Sequence[Found] = ()
    if wanted.condition_rules:
        from merope.work.rules import conclude

        rules = conclude(wanted.condition_rules, live)
    return Observation(target, availability(target), synced, values, rules)
