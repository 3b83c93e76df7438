"""The queue between events and workers.

A key is in it once, however many events name it; while a worker has the key, further adds wait until the worker is
done and then make it run again, so a key is never worked on twice at a time and no event is lost. Keys come out in
the order in which they went in. A key that fails comes back after 5 ms, doubled with every failure up to 1,000 s,
and holds up no other key meanwhile.
"""

from __future__ import annotations

import asyncio
import heapq
from collections import deque
from collections.abc import Hashable
from typing import Final, Generic, TypeVar

K = TypeVar("K", bound=Hashable)

FIRST_DELAY: Final = 0.005
LONGEST_DELAY: Final = 1000.0


class QueueClosed(Exception):
    """The queue was closed and holds nothing more."""


class WorkQueue(Generic[K]):
    """For one event loop; only ``get`` and ``get_batch`` wait."""

    def __init__(self, *, first_delay: float = FIRST_DELAY, longest_delay: float = LONGEST_DELAY) -> None:
        self._first_delay = first_delay
        self._longest_delay = longest_delay
        self._ready: deque[K] = deque()
        self._queued: set[K] = set()
        self._active: set[K] = set()
        self._again: set[K] = set()
        self._due: dict[K, float] = {}
        self._heap: list[tuple[float, int, K]] = []
        self._serial = 0
        self._failures: dict[K, int] = {}
        self._timer: tuple[float, asyncio.TimerHandle] | None = None
        self._waiters: deque[asyncio.Future[None]] = deque()
        self._closed = False
        self.added = 0
        """Adds that put a key into the queue (not those that found it there)."""

    def __len__(self) -> int:
        """Keys that are ready and wait for a worker."""
        return len(self._ready)

    @property
    def delayed(self) -> int:
        """Keys that wait for their time."""
        return len(self._due)

    @property
    def active(self) -> int:
        """Keys that workers have."""
        return len(self._active)

    def add(self, key: K) -> None:
        """To be worked on, as soon as a worker is free."""
        if self._closed:
            return
        if key in self._active:
            self._again.add(key)
        elif key not in self._queued:
            self._queued.add(key)
            self._ready.append(key)
            self.added += 1
            self._wake()

    def add_after(self, key: K, delay: float) -> None:
        """To be worked on in ``delay`` seconds; of several times for one key the earliest counts."""
        if delay <= 0:
            self.add(key)
            return
        if self._closed:
            return
        due = asyncio.get_running_loop().time() + delay
        if key in self._due and self._due[key] <= due:
            return
        self._due[key] = due
        self._serial += 1
        heapq.heappush(self._heap, (due, self._serial, key))
        self._schedule()

    def retry(self, key: K) -> float:
        """The key failed: again after its growing delay. Returns the delay in seconds."""
        failures = self._failures.get(key, 0)
        self._failures[key] = failures + 1
        delay = min(self._longest_delay, self._first_delay * 2.0 ** min(failures, 60))
        self.add_after(key, delay)
        return delay

    def forget(self, key: K) -> None:
        """The key went well: its next failure starts from the first delay."""
        self._failures.pop(key, None)

    def failures(self, key: K) -> int:
        """How many times in a row the key failed."""
        return self._failures.get(key, 0)

    async def get(self) -> K:
        """The next key; ``done`` must be called when it has been worked on. Raises ``QueueClosed``."""
        await self._available()
        return self._take()

    async def get_batch(self, limit: int = 0) -> list[K]:
        """All keys that are ready, at least one, at most ``limit`` (0: no limit). Raises ``QueueClosed``."""
        await self._available()
        count = len(self._ready) if not limit else min(limit, len(self._ready))
        return [self._take() for _ in range(count)]

    def done(self, key: K) -> None:
        """A worker is finished with a key; if events named it meanwhile, it is queued again."""
        self._active.discard(key)
        if key in self._again:
            self._again.discard(key)
            self.add(key)

    def close(self) -> None:
        """No further keys: workers finish what they have, and then get ``QueueClosed``."""
        self._closed = True
        if self._timer is not None:
            self._timer[1].cancel()
            self._timer = None
        self._ready.clear()
        self._queued.clear()
        self._due.clear()
        self._heap.clear()
        for waiter in self._waiters:
            if not waiter.done():
                waiter.set_result(None)

    def _take(self) -> K:
        key = self._ready.popleft()
        self._queued.discard(key)
        self._active.add(key)
        return key

    async def _available(self) -> None:
        while not self._ready:
            if self._closed:
                raise QueueClosed
            waiter: asyncio.Future[None] = asyncio.get_running_loop().create_future()
            self._waiters.append(waiter)
            try:
                await waiter
            except asyncio.CancelledError:
                if waiter.done() and not waiter.cancelled() and self._ready:
                    self._wake()  # the key that we were woken for goes to somebody else
                raise
            finally:
                if waiter in self._waiters:
                    self._waiters.remove(waiter)

    def _wake(self) -> None:
        while self._waiters:
            waiter = self._waiters.popleft()
            if not waiter.done():
                waiter.set_result(None)
                return

    def _schedule(self) -> None:
        """One timer, for the key that is due first."""
        while self._heap and self._due.get(self._heap[0][2]) != self._heap[0][0]:
            heapq.heappop(self._heap)  # replaced by an earlier time
        if not self._heap:
            return
        due = self._heap[0][0]
        if self._timer is not None:
            if self._timer[0] <= due:
                return
            self._timer[1].cancel()
        self._timer = (due, asyncio.get_running_loop().call_at(due, self._ripen))

    def _ripen(self) -> None:
        self._timer = None
        now = asyncio.get_running_loop().time()
        while self._heap and self._heap[0][0] <= now:
            due, _, key = heapq.heappop(self._heap)
            if self._due.get(key) == due:
                del self._due[key]
                self.add(key)
        self._schedule()
