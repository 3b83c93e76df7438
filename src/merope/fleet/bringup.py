"""Bringing a fleet up: have its control planes run, install, have hub and agents run, accept the clusters.

Every step first looks whether it is done, so that a fleet that was interrupted anywhere, or killed, or survived a
reboot, comes to the same end. Hub and agents get ServiceAccounts with the roles of OCM; the administrator's identity
is used by this command alone.
"""

from __future__ import annotations

import asyncio
import functools
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from merope.fleet.launch import agent_started, await_ready, clear_away, supervise
from merope.fleet.layout import Fleet, FleetError, Layout
from merope.fleet.plan import CONTROL_PLANES, HUB, control_planes, plan, processes

_LOOK_SECONDS: Final = 0.02

Progress = Callable[[str], None]


@dataclass(slots=True)
class Outcome:
    """What ``up`` achieved, and how long it took (seconds)."""

    fleet: Fleet
    seconds: float


def bring_up(
    layout: Layout, clusters: int | None, seconds: float = 120.0, progress: Progress = lambda step: None
) -> Outcome:
    """Bring a fleet up with ``clusters`` managed clusters (None: as many as it has, 2 for a new one).

    Returns when all are available. ``progress`` is told each step as a short sentence. Raises FleetError where
    something has to be mended, and where it takes longer than ``seconds``; what runs then goes on running.
    """
    began = time.monotonic()
    layout.prepare()
    with layout.locked():
        fleet = plan(layout, clusters)
        clear_away(layout, fleet)
        progress("starting the control planes")
        text = supervise(layout, [control_planes(layout, fleet)], alone=False)
        # Loaded while the control planes start, which takes about as long.
        from merope.kube import KubeError

        try:
            asyncio.run(_finish(layout, fleet, text, progress, seconds - (time.monotonic() - began)))
        except TimeoutError:
            raise FleetError(
                f"the fleet {fleet.name!r} is not complete after {seconds:g} s; see: merope status, merope logs"
            ) from None
        except KubeError as error:
            raise FleetError(str(error)) from error
    return Outcome(fleet, time.monotonic() - began)


async def _finish(layout: Layout, fleet: Fleet, text: str, progress: Progress, seconds: float) -> None:
    from merope.fleet import enrol

    async with asyncio.timeout(seconds):
        objects = enrol.Objects()
        await _until_ready(layout, CONTROL_PLANES, text)
        progress("installing the hub and the agents' permissions")
        await enrol.install_all(layout, fleet, objects)
        progress("starting the hub and the agents")
        text = supervise(layout, processes(layout, fleet), alone=True)
        hub_ready = asyncio.Event()

        async def watch_hub() -> None:
            await _until_ready(layout, HUB, text)
            hub_ready.set()

        with enrol.one_failure():
            async with asyncio.TaskGroup() as group:
                # The clusters come while the hub is still starting.
                started = functools.partial(agent_started, layout)
                group.create_task(enrol.accept_all(layout, fleet, progress, started, hub_ready))
                group.create_task(watch_hub())


async def _until_ready(layout: Layout, name: str, text: str) -> None:
    is_ready = await_ready(layout, name, text)
    while not is_ready():  # noqa: ASYNC110 - another process tells, through a file
        await asyncio.sleep(_LOOK_SECONDS)
