"""A controller: events become keys, keys are reconciled, what fails comes back.

A controller is level-triggered. ``reconcile(key)`` gets no event, only the name of what to look at; it reads the
caches, decides, writes the difference, and may be called again at any time for any reason. Sources say which keys
follow from a changed object; a key is never reconciled twice at a time.

Where an algorithm gains from seeing many keys at once, a controller has ``reconcile_batch(keys)`` instead, and one
worker.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Hashable, Iterable, Mapping
from time import perf_counter
from typing import Any, Generic, TypeVar, cast

from merope.kube.cache import Change
from merope.kube.errors import Conflict, KubeError
from merope.kube.informer import Informer
from merope.kube.metrics import Metrics
from merope.kube.queue import QueueClosed, WorkQueue
from merope.kube.snapshot import ObjectKey, Snapshot

_log = logging.getLogger(__name__)

K = TypeVar("K", bound=Hashable)
V = TypeVar("V")

Reconcile = Callable[[K], Awaitable[float | None]]
"""Brings one key to its desired state. Returns the seconds after which to look again, or None. Raises to be retried."""

ReconcileBatch = Callable[[list[K]], Awaitable[Mapping[K, float] | None]]
"""The same for many keys; the mapping says which to look at again, and when. Raises ``BatchFailed`` for some of
them.
"""


class TerminalError(Exception):
    """Raised by a reconcile that cannot succeed until something changes: reported, not retried."""


class BatchFailed(Exception):
    """Raised by ``reconcile_batch`` where some keys failed: those are retried, the others went well."""

    def __init__(self, failures: Mapping[Any, Exception]) -> None:
        super().__init__(f"{len(failures)} keys failed")
        self.failures = dict(failures)


class Controller(Generic[K]):
    """One reconcile function and what feeds it. ``run()`` needs its informers running (the ``Manager`` sees to it).

    ``workers`` keys are reconciled at a time. ``max_batch`` limits a batch (0: no limit); ``linger`` is how long
    (seconds) a batch waits for more keys after its first. ``timeout`` ends a reconcile that hangs (seconds; it
    counts as failed).
    """

    def __init__(
        self,
        name: str,
        reconcile: Reconcile[K] | None = None,
        *,
        reconcile_batch: ReconcileBatch[K] | None = None,
        workers: int = 4,
        max_batch: int = 0,
        linger: float = 0.0,
        timeout: float | None = 300.0,
        queue: WorkQueue[K] | None = None,
    ) -> None:
        if (reconcile is None) == (reconcile_batch is None):
            raise ValueError(f"controller {name}: needs either reconcile or reconcile_batch")
        self.name = name
        self.queue: WorkQueue[K] = queue if queue is not None else WorkQueue()
        self.sources: list[Informer[Any]] = []
        self._reconcile = reconcile
        self._reconcile_batch = reconcile_batch
        self._workers = workers
        self._max_batch = max_batch
        self._linger = linger
        self._timeout = timeout
        self._timers: list[tuple[float, Callable[[], Iterable[K]]]] = []
        self._unsubscribe: list[Callable[[], None]] = []
        self._stopped = asyncio.Event()
        self.instrument(Metrics())

    # --- what feeds it ---------------------------------------------------------------------------------------------

    def watches(
        self,
        informer: Informer[V],
        keys: Callable[[Snapshot[V]], Iterable[K]] | None = None,
        *,
        when: Callable[[Change[V]], bool] | None = None,
    ) -> None:
        """Reconciles the keys that follow from a changed object (default: the object's own ``ObjectKey``).

        The function is asked for the state before and the state after. ``when`` filters changes, such as those of
        the spec alone (``generation_changed``). May be called before or after the informer has started.
        """
        self.sources.append(informer)
        mapping = keys if keys is not None else cast("Callable[[Snapshot[V]], Iterable[K]]", _own_key)

        def changed(change: Change[V]) -> None:
            if when is not None and not when(change):
                return
            for state in change.states:
                for key in mapping(state):
                    self.queue.add(key)

        self._unsubscribe.append(informer.add_handler(changed))

    def needs(self, *informers: Informer[Any]) -> None:
        """Begins only once these informers are complete, too: for what the reconcile reads and is not woken by."""
        self.sources.extend(informers)

    def every(self, seconds: float, keys: Callable[[], Iterable[K]]) -> None:
        """Reconciles these keys again and again, for the timers that the API prescribes."""
        self._timers.append((seconds, keys))

    def add(self, key: K) -> None:
        """Reconciles a key soon."""
        self.queue.add(key)

    def instrument(self, metrics: Metrics) -> None:
        """Reports into these metrics (the ``Manager`` gives its own)."""
        labels = ("controller",)
        self._total = metrics.counter("merope_reconcile_total", "Reconciles by outcome.", ("controller", "result"))
        self._seconds = metrics.histogram("merope_reconcile_seconds", "Time that a reconcile took.", labels)
        metrics.gauge("merope_queue_depth", "Keys that wait for a worker.", labels).function(
            lambda: len(self.queue), self.name
        )
        metrics.gauge("merope_queue_delayed", "Keys that wait for their time.", labels).function(
            lambda: self.queue.delayed, self.name
        )

    # --- running ---------------------------------------------------------------------------------------------------

    async def run(self) -> None:
        """Works until cancelled, or until ``stop`` was called and the reconciles under way are done."""
        if not await self._synced():
            return
        work = self._work_batches if self._reconcile_batch is not None else self._work
        workers = 1 if self._reconcile_batch is not None else self._workers
        async with asyncio.TaskGroup() as group:
            timers = [group.create_task(self._tick(*timer)) for timer in self._timers]
            tasks = [group.create_task(work(), name=f"{self.name}-{number}") for number in range(workers)]
            await asyncio.wait(tasks)
            for task in timers:
                task.cancel()

    def stop(self) -> None:
        """No new reconciles. ``run`` returns when those under way are done."""
        for unsubscribe in self._unsubscribe:
            unsubscribe()
        self._unsubscribe.clear()
        self._stopped.set()
        self.queue.close()

    async def _synced(self) -> bool:
        """Waits for the caches; False where ``stop`` was called before they were complete."""

        async def all_synced() -> None:
            for informer in self.sources:
                await informer.wait_synced()

        waiting = {asyncio.ensure_future(all_synced()), asyncio.ensure_future(self._stopped.wait())}
        try:
            await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in waiting:
                task.cancel()
        return not self._stopped.is_set()

    async def _tick(self, seconds: float, keys: Callable[[], Iterable[K]]) -> None:
        while True:
            await asyncio.sleep(seconds)
            for key in keys():
                self.queue.add(key)

    async def _work(self) -> None:
        assert self._reconcile is not None
        while True:
            try:
                key = await self.queue.get()
            except QueueClosed:
                return
            started = perf_counter()
            try:
                async with asyncio.timeout(self._timeout):
                    again = await self._reconcile(key)
            except Exception as error:
                self._failed(key, error)
            else:
                self._succeeded(key, again)
            finally:
                self.queue.done(key)
            self._seconds.observe(perf_counter() - started, self.name)

    async def _work_batches(self) -> None:
        assert self._reconcile_batch is not None
        while True:
            try:
                keys = await self.queue.get_batch(1 if self._linger else self._max_batch)
                if self._linger:
                    await asyncio.sleep(self._linger)
                    room = self._max_batch - len(keys) if self._max_batch else 0
                    if len(self.queue) and (room or not self._max_batch):
                        keys += await self.queue.get_batch(room)
            except QueueClosed:
                return
            started = perf_counter()
            again: Mapping[K, float] = {}
            failures: Mapping[K, Exception] = {}
            try:
                async with asyncio.timeout(self._timeout):
                    again = await self._reconcile_batch(keys) or {}
            except BatchFailed as error:
                failures = error.failures
            except Exception as error:
                failures = dict.fromkeys(keys, error)
            finally:
                for key in keys:
                    self.queue.done(key)
            for key in keys:
                if key in failures:
                    self._failed(key, failures[key])
                else:
                    self._succeeded(key, again.get(key))
            self._seconds.observe(perf_counter() - started, self.name)

    def _succeeded(self, key: K, again: float | None) -> None:
        self.queue.forget(key)
        if again is not None:
            self.queue.add_after(key, again)
        self._total.inc(self.name, "success" if again is None else "requeue_after")

    def _failed(self, key: K, error: Exception) -> None:
        if isinstance(error, TerminalError):
            self.queue.forget(key)
            self._total.inc(self.name, "terminal_error")
            _log.error("%s: %s: %s", self.name, key, error)
            return
        delay = self.queue.retry(key)
        self._total.inc(self.name, "error")
        if isinstance(error, Conflict):
            _log.debug("%s: %s: %s; again in %.3f s", self.name, key, error, delay)
        elif isinstance(error, (KubeError, TimeoutError)):
            _log.warning("%s: %s: %s; again in %.3f s", self.name, key, error or "timed out", delay)
        else:
            _log.error("%s: %s: again in %.3f s", self.name, key, delay, exc_info=error)


def _own_key(snapshot: Snapshot[Any]) -> Iterable[ObjectKey]:
    return (snapshot.key,)


def owner_keys(kind: str, group: str = "") -> Callable[[Snapshot[Any]], Iterable[ObjectKey]]:
    """Maps an object to its controlling owner of this kind, in the object's namespace (``Owns`` of
    controller-runtime).
    """

    def keys(snapshot: Snapshot[Any]) -> Iterable[ObjectKey]:
        owner = snapshot.controller
        if owner is None or owner.kind != kind or owner.api_version.rpartition("/")[0] != group:
            return ()
        return (ObjectKey(snapshot.namespace, owner.name),)

    return keys


def generation_changed(change: Change[Any]) -> bool:
    """For ``when``: the spec changed, or the object came, went, or was asked to go. Status writes don't count."""
    old, new = change.old, change.new
    return old is None or new is None or old.generation != new.generation or old.deleting != new.deleting


def metadata_or_generation_changed(change: Change[Any]) -> bool:
    """For ``when``: like ``generation_changed``, or labels, annotations, finalizers or owners changed."""
    old, new = change.old, change.new
    if old is None or new is None or generation_changed(change):
        return True
    return (old.labels, old.annotations, old.finalizers, old.owners) != (
        new.labels,
        new.annotations,
        new.finalizers,
        new.owners,
    )
