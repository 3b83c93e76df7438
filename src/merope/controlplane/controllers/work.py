"""What the controllers share: a queue of keys that are reconciled one at a time each, and who they are."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Hashable
from typing import TYPE_CHECKING, Final, Generic, TypeVar

from merope.controlplane.errors import ApiError
from merope.controlplane.resource import GroupResource, Resource, UserInfo

if TYPE_CHECKING:
    from merope.controlplane.server import Server

_logger = logging.getLogger(__name__)

_FIRST_DELAY: Final = 0.005
_LONGEST_DELAY: Final = 1000.0

K = TypeVar("K", bound=Hashable)


def controller_user(name: str) -> UserInfo:
    """The ServiceAccount of kube-system that the controller ``name`` is on a Kubernetes cluster."""
    groups = ("system:serviceaccounts", "system:serviceaccounts:kube-system", "system:authenticated")
    return UserInfo(f"system:serviceaccount:kube-system:{name}", groups)


class Reconciler(Generic[K]):
    """Runs ``reconcile`` for keys: each at most once at a time, several in parallel, failures again with back-off.

    A key that is added while it is being reconciled is reconciled once more afterwards.
    """

    def __init__(self, name: str, reconcile: Callable[[K], Awaitable[None]], *, workers: int = 4) -> None:
        self._name = name
        self._reconcile = reconcile
        self._workers = workers
        self._ready: asyncio.Queue[K] = asyncio.Queue()
        self._queued: set[K] = set()
        self._running: set[K] = set()
        self._again: set[K] = set()
        self._failures: dict[K, int] = {}
        self._timers: set[asyncio.TimerHandle] = set()
        self._tasks: list[asyncio.Task[None]] = []

    def add(self, key: K) -> None:
        """Reconcile ``key`` soon."""
        if key in self._running:
            self._again.add(key)
        elif key not in self._queued:
            self._queued.add(key)
            self._ready.put_nowait(key)

    def add_later(self, key: K, seconds: float) -> None:
        """Reconcile ``key`` after a while."""
        loop = asyncio.get_running_loop()

        def due() -> None:
            self._timers.discard(handle)
            self.add(key)

        handle = loop.call_later(seconds, due)
        self._timers.add(handle)

    def start(self) -> None:
        self._tasks = [asyncio.create_task(self._work(), name=self._name) for _ in range(self._workers)]

    async def stop(self) -> None:
        for handle in self._timers:
            handle.cancel()
        self._timers.clear()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        self._tasks.clear()

    async def _work(self) -> None:
        while True:
            key = await self._ready.get()
            self._queued.discard(key)
            self._running.add(key)
            try:
                await self._reconcile(key)
                self._failures.pop(key, None)
            except Exception as error:  # one bad object must not stop the controller
                self._retry(key, error)
            finally:
                self._running.discard(key)
            if key in self._again:
                self._again.discard(key)
                self.add(key)

    def _retry(self, key: K, error: Exception) -> None:
        failures = self._failures[key] = self._failures.get(key, 0) + 1
        delay = min(_FIRST_DELAY * 2 ** (failures - 1), _LONGEST_DELAY)
        if not (isinstance(error, ApiError) and error.code in (404, 409)):
            expected = isinstance(error, ApiError)
            _logger.warning("%s: %s: %s; again in %.3g s", self._name, key, error, delay, exc_info=not expected)
        self.add_later(key, delay)


class ResourceOfStorage:
    """Finds a served resource through which stored objects are written."""

    def __init__(self, server: Server) -> None:
        self._server = server
        self._generation = -1
        self._found: dict[GroupResource, Resource] = {}

    def __call__(self, storage: GroupResource) -> Resource | None:
        """The resource of the storage version where that is served, else of any version."""
        server = self._server
        if self._generation != server.resources_generation:
            self._generation = server.resources_generation
            found: dict[GroupResource, Resource] = {}
            for resource in sorted(server.all_resources(), key=_fitness):
                if "delete" in resource.verbs:
                    found[resource.storage] = resource
            self._found = found
        return self._found.get(storage)


def _fitness(resource: Resource) -> tuple[bool, bool]:
    return resource.group == resource.storage.group, resource.version == resource.storage_version
