"""Objects that go by themselves when their time is over: events, bootstrap tokens.

A heap of due times instead of scans: the timer sleeps until the earliest, and an object that was written again since
simply is due later.
"""

from __future__ import annotations

import asyncio
import base64
import contextlib
import heapq
from abc import ABC, abstractmethod
from collections.abc import Callable
from datetime import datetime
from typing import TYPE_CHECKING, Final

from merope.controlplane.entry import Change, Entry, Key
from merope.controlplane.errors import ApiError
from merope.controlplane.resource import GroupResource
from merope.controlplane.store import Conflict

if TYPE_CHECKING:
    from merope.controlplane.server import Server

EVENTS: Final = GroupResource("", "events")
_SECRETS: Final = GroupResource("", "secrets")
#: Seconds that an event lives after it was last written.
EVENT_TTL: Final = 3600.0
_BATCH: Final = 256


class Expiry(ABC):
    """Removes the objects of one resource at the time that ``due`` gives (seconds since the epoch; None: never)."""

    storage: GroupResource

    def __init__(self, server: Server) -> None:
        self._server = server
        self._due: list[tuple[float, Key, int]] = []
        self._wake = asyncio.Event()
        self._task: asyncio.Task[None] | None = None
        self._unsubscribe: Callable[[], None] = lambda: None

    @abstractmethod
    def due(self, entry: Entry) -> float | None:
        """When ``entry`` goes."""

    async def start(self) -> None:
        for entry in self._server.store.list(self.storage):
            self._plan(entry)
        self._unsubscribe = self._server.store.subscribe(self._changed, self.storage)
        self._task = asyncio.create_task(self._run(), name=f"expiry-{self.storage}")

    async def stop(self) -> None:
        self._unsubscribe()
        if self._task is not None:
            self._task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._task

    def _changed(self, change: Change) -> None:
        if change.type != "DELETED":
            self._plan(change.entry)

    def _plan(self, entry: Entry) -> None:
        moment = self.due(entry)
        if moment is None:
            return
        heapq.heappush(self._due, (moment, (entry.storage, entry.namespace, entry.name), entry.rv))
        if self._due[0][0] == moment:
            self._wake.set()

    async def _run(self) -> None:
        while True:
            self._wake.clear()
            wait = self._due[0][0] - self._server.clock() if self._due else None
            if wait is None or wait > 0:
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(wait):
                        await self._wake.wait()
                continue
            await self._remove_due()

    async def _remove_due(self) -> None:
        now = self._server.clock()
        for _ in range(_BATCH):
            if not self._due or self._due[0][0] > now:
                return
            _, (storage, namespace, name), rv = heapq.heappop(self._due)
            entry = self._server.store.head(storage, namespace, name)
            if entry is not None and entry.rv == rv:
                with contextlib.suppress(Conflict, ApiError):
                    await self._server.store.delete(storage, namespace, name, entry)


class EventExpiry(Expiry):
    """An event lives an hour after it was last written; one found at start counts from then."""

    storage = EVENTS

    def due(self, entry: Entry) -> float | None:
        return self._server.clock() + EVENT_TTL


class BootstrapTokenExpiry(Expiry):
    """Bootstrap tokens go when they expire."""

    storage = _SECRETS

    def due(self, entry: Entry) -> float | None:
        if entry.namespace != "kube-system" or b'"bootstrap.kubernetes.io/token"' not in entry.data:
            return None
        encoded = (entry.parsed().get("data") or {}).get("expiration", "")
        try:
            return datetime.fromisoformat(base64.b64decode(encoded).decode().replace("Z", "+00:00")).timestamp()
        except ValueError:
            return None
