"""The manager: what a process is made of, started in order, stopped in order.

Start: health endpoints, services that every replica runs (webhook listeners), informers, then, when this process
leads, the controllers, each as soon as its caches are complete. Stop: controllers finish the reconciles under way
(for ``grace`` seconds), services and informers end, the Lease is given back, the health endpoints close. Every task
belongs to a task group; one that fails ends the manager with its error.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Final, TypeVar, overload

from merope.kube.cache import IndexFunction
from merope.kube.client import Client
from merope.kube.controller import Controller
from merope.kube.events import EventRecorder
from merope.kube.health import Check, Health
from merope.kube.informer import Informer
from merope.kube.leader import LeaderElector
from merope.kube.metrics import Metrics
from merope.kube.resources import Kind, Manifest, ObjectT, ResourceRef, ref_of
from merope.kube.snapshot import Snapshot

_log = logging.getLogger(__name__)

P = TypeVar("P")

Runnable = Callable[[], Awaitable[None]]

_SAMPLE: Final = 0.2  # seconds between two looks at how long the event loop was busy
_WINDOW: Final = 300  # samples that the gauge looks back over: one minute


class Manager:
    """Composes informers, controllers and services of a process. ``await manager.run()`` runs them.

    ``client`` is what ``informer`` and ``recorder`` use unless told otherwise. ``health`` is ``host:port`` for the
    health endpoints (None: none). With ``leader`` only the holder of its Lease runs the controllers; where the
    Lease is lost, ``run`` raises ``LeadershipLost`` and the caller decides whether to start again.
    """

    def __init__(
        self,
        client: Client,
        *,
        health: str | None = None,
        leader: LeaderElector | None = None,
        grace: float = 30.0,
        metrics: Metrics | None = None,
    ) -> None:
        self.client = client
        self.metrics = metrics if metrics is not None else Metrics()
        self.health = Health(self.metrics)
        self.leader = leader
        self._bind = health
        self._grace = grace
        self._informers: dict[tuple[Any, ...], Informer[Any]] = {}
        self._controllers: list[tuple[Controller[Any], bool]] = []
        self._services: list[tuple[str, Runnable, bool]] = []
        self._group: asyncio.TaskGroup | None = None
        self._stop: asyncio.Event | None = None
        self._running: set[asyncio.Task[Any]] = set()
        self.health.ready["informers"] = self._unsynced
        if leader is not None:
            held = self.metrics.gauge("merope_leader", "Whether this process holds the Lease.", ("name",))
            held.function(lambda: float(leader.leading), leader.name)

    # --- composing -------------------------------------------------------------------------------------------------

    @overload
    def informer(
        self,
        kind: type[ObjectT],
        *,
        client: Client | None = None,
        namespace: str | None = None,
        label_selector: str = "",
        field_selector: str = "",
        projection: None = None,
        indexes: Mapping[str, IndexFunction[ObjectT]] | None = None,
    ) -> Informer[ObjectT]: ...
    @overload
    def informer(
        self,
        kind: type[ObjectT],
        *,
        client: Client | None = None,
        namespace: str | None = None,
        label_selector: str = "",
        field_selector: str = "",
        projection: Callable[[Snapshot[ObjectT]], P],
        indexes: Mapping[str, IndexFunction[P]] | None = None,
    ) -> Informer[P]: ...
    @overload
    def informer(
        self,
        kind: ResourceRef,
        *,
        client: Client | None = None,
        namespace: str | None = None,
        label_selector: str = "",
        field_selector: str = "",
        projection: None = None,
        indexes: Mapping[str, IndexFunction[Manifest]] | None = None,
    ) -> Informer[Manifest]: ...
    @overload
    def informer(
        self,
        kind: ResourceRef,
        *,
        client: Client | None = None,
        namespace: str | None = None,
        label_selector: str = "",
        field_selector: str = "",
        projection: Callable[[Snapshot[Manifest]], P],
        indexes: Mapping[str, IndexFunction[P]] | None = None,
    ) -> Informer[P]: ...
    def informer(
        self,
        kind: Kind,
        *,
        client: Client | None = None,
        namespace: str | None = None,
        label_selector: str = "",
        field_selector: str = "",
        projection: Callable[[Snapshot[Any]], Any] | None = None,
        indexes: Mapping[str, IndexFunction[Any]] | None = None,
    ) -> Informer[Any]:
        """The informer of these objects in this form, shared by all who ask for the same (one watch, one cache).

        ``projection`` is part of its identity: give the same function, not an equal lambda. Indexes add up. May be
        called while the manager runs: the informer starts at once.
        """
        used = client if client is not None else self.client
        key = (id(used), kind, namespace, label_selector, field_selector, projection)
        known = self._informers.get(key)
        if known is None:
            known = Informer(
                used,
                kind,
                namespace=namespace,
                label_selector=label_selector,
                field_selector=field_selector,
                projection=projection,
            )
            self._informers[key] = known
            self._measure(known)
            if self._group is not None:
                self._start(self._group, known.run(), str(known))
        for name, function in (indexes or {}).items():
            known.cache.add_index(name, function)
        return known

    def add(self, controller: Controller[Any], *, leader: bool = True) -> None:
        """Runs a controller, on the leader only unless ``leader`` is False. Before ``run``."""
        controller.instrument(self.metrics)
        self._controllers.append((controller, leader))

    def add_service(self, name: str, run: Runnable, *, leader: bool = False) -> None:
        """Runs something else as long as the manager runs (a webhook listener, a heartbeat). Before ``run``.

        One that returns is finished; one that raises ends the manager.
        """
        self._services.append((name, run, leader))

    def recorder(self, controller: str, *, client: Client | None = None) -> EventRecorder:
        """An event recorder that the manager runs. Before ``run``."""
        recorder = EventRecorder(client if client is not None else self.client, controller)
        self.add_service(f"events of {controller}", recorder.run)
        return recorder

    def check(self, name: str, check: Check, *, live: bool = False) -> None:
        """A further check of ``/readyz`` (or of ``/healthz`` with ``live``)."""
        (self.health.live if live else self.health.ready)[name] = check

    async def wait_synced(self) -> None:
        """Returns when every informer asked for so far has a complete cache."""
        for informer in list(self._informers.values()):
            await informer.wait_synced()

    # --- running ---------------------------------------------------------------------------------------------------

    def stop(self) -> None:
        """Ends ``run`` gracefully. For signal handlers."""
        if self._stop is not None:
            self._stop.set()

    async def run(self) -> None:
        """Runs until ``stop``. Cancellation ends everything at once.

        Raises what the part that failed raised (an ``ExceptionGroup`` only where several failed at a time).
        """
        try:
            await self._run()
        except BaseExceptionGroup as group:
            raise _single(group) from None

    async def _run(self) -> None:
        self._stop = asyncio.Event()
        async with self.health.serve(self._bind):
            try:
                async with asyncio.TaskGroup() as group:
                    self._group = group
                    self._start(group, self._sample(), "event loop monitor")
                    for name, run, leader_only in self._services:
                        if not leader_only:
                            self._start(group, run(), name)
                    for informer in self._informers.values():
                        self._start(group, informer.run(), str(informer))
                    try:
                        await self._controllers_until_stopped(self._stop)
                    finally:
                        for task in list(self._running):
                            task.cancel()
            finally:
                self._group = None
                self._stop = None

    async def _controllers_until_stopped(self, stop: asyncio.Event) -> None:
        async with asyncio.TaskGroup() as group:
            everywhere = group.create_task(self._work(stop, leader=False))
            if self.leader is None:
                await self._work(stop, leader=True)
            else:
                election = group.create_task(self.leader.run(lambda: self._work(stop, leader=True)))
                stopping = group.create_task(stop.wait())
                await asyncio.wait({election, stopping}, return_when=asyncio.FIRST_COMPLETED)
                if not election.done() and not self.leader.leading:
                    election.cancel()  # still waiting for the Lease: there is nothing to finish
                await asyncio.wait({election})
            await everywhere

    async def _work(self, stop: asyncio.Event, *, leader: bool) -> None:
        """Runs the controllers (of leaders, or of everybody) until stopped, then lets them finish."""
        controllers = [controller for controller, leader_only in self._controllers if leader_only is leader]
        services = [(name, run) for name, run, leader_only in self._services if leader_only and leader]
        async with asyncio.TaskGroup() as group:
            working = {group.create_task(controller.run(), name=controller.name) for controller in controllers}
            serving = {group.create_task(_run(run), name=name) for name, run in services}
            try:
                await stop.wait()
            finally:
                for controller in controllers:
                    controller.stop()
                for task in serving:
                    task.cancel()
            if working:
                _, unfinished = await asyncio.wait(working, timeout=self._grace)
                for task in unfinished:
                    _log.warning("%s: not finished after %.0f s, ended", task.get_name(), self._grace)
                    task.cancel()

    def _start(self, group: asyncio.TaskGroup, work: Awaitable[None], name: str) -> None:
        task = group.create_task(_await(work), name=name)
        self._running.add(task)
        task.add_done_callback(self._running.discard)

    # --- observing -------------------------------------------------------------------------------------------------

    def _unsynced(self) -> str | None:
        waiting = [str(informer) for informer in self._informers.values() if not informer.synced]
        return f"not synced: {', '.join(waiting)}" if waiting else None

    def _measure(self, informer: Informer[Any]) -> None:
        resource, scope = str(ref_of(informer.kind)), str(informer)
        labels = ("resource", "informer")
        self.metrics.gauge("merope_informer_objects", "Objects cached.", labels).function(
            lambda: len(informer.cache), resource, scope
        )
        self.metrics.gauge("merope_informer_relists", "Lists made.", labels).function(
            lambda: informer.relists, resource, scope
        )
        self.metrics.gauge("merope_informer_malformed_events", "Events skipped.", labels).function(
            lambda: informer.malformed, resource, scope
        )

    async def _sample(self) -> None:
        """Measures how late a timer comes: as late as the longest step that somebody took meanwhile."""
        longest = self.metrics.gauge(
            "merope_loop_longest_step_seconds", "Longest time the event loop was busy in the last minute."
        )
        loop = asyncio.get_running_loop()
        recent: list[float] = [0.0] * _WINDOW
        longest.function(lambda: max(recent))
        at = 0
        while True:
            due = loop.time() + _SAMPLE
            await asyncio.sleep(_SAMPLE)
            recent[at] = max(0.0, loop.time() - due)
            at = (at + 1) % _WINDOW


async def _run(run: Runnable) -> None:
    await run()


async def _await(work: Awaitable[None]) -> None:
    await work


def _single(error: BaseException) -> BaseException:
    """The one exception inside nested groups, or the group where there are several."""
    while isinstance(error, BaseExceptionGroup) and len(error.exceptions) == 1:
        error = error.exceptions[0]
    return error
