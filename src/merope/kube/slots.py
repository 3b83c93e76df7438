"""How many watches a client may have running, and turns where there are more that want to.

HTTP/1.1 gives every watch a connection of its own, and an agent may hold only three to its hub. With two slots and
two informers nobody notices. With more, each informer whose turn is over ends its watch when another waits, and
resumes later from the version it had reached: events come late by a turn or two, none is lost, and the hub carries
no more connections than before.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager


class WatchSlots:
    """``limit`` watches at a time (0: any number); with more, ``turn`` seconds for each while others wait."""

    def __init__(self, limit: int = 0, turn: float = 5.0) -> None:
        self._limit = limit
        self._turn = turn
        self._holders: dict[asyncio.Timeout, float] = {}
        self._asked: set[asyncio.Timeout] = set()
        self._waiting: deque[asyncio.Future[None]] = deque()
        self._promised = 0  # slots given to waiters that haven't run since

    @property
    def held(self) -> int:
        """Watches that hold a slot now."""
        return len(self._holders)

    @asynccontextmanager
    async def hold(self, scope: asyncio.Timeout) -> AsyncIterator[None]:
        """A slot for the time of a watch. The timeout scope around the watch expires when the turn is over.

        The caller tells that end from others by ``scope.expired()``.
        """
        if self._limit and len(self._holders) + self._promised >= self._limit:
            await self._wait()
            self._promised -= 1
        self._holders[scope] = asyncio.get_running_loop().time()
        self._ask()
        try:
            yield
        finally:
            del self._holders[scope]
            self._asked.discard(scope)
            self._wake()

    async def _wait(self) -> None:
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.append(future)
        self._ask()
        try:
            await future
        except asyncio.CancelledError:
            if future.done() and not future.cancelled():
                self._promised -= 1  # the slot was ours already: it goes to the next
                self._wake()
            raise
        finally:
            if future in self._waiting:
                self._waiting.remove(future)

    def _ask(self) -> None:
        """Asks as many holders as others wait, longest-holding first, to end when their turn is over."""
        wanted = len(self._waiting) - len(self._asked)
        now = asyncio.get_running_loop().time()
        for scope, since in sorted(self._holders.items(), key=lambda item: item[1]):
            if wanted <= 0:
                return
            if scope not in self._asked:
                self._asked.add(scope)
                scope.reschedule(max(now, since + self._turn))
                wanted -= 1

    def _wake(self) -> None:
        while self._waiting:
            future = self._waiting.popleft()
            if not future.done():
                self._promised += 1
                future.set_result(None)
                return
