"""Watches: how changes that have become visible reach those who wait for them.

The store pushes each change into the queue of every watcher in whose scope it lies, once, in version order; waking is
coalesced, so a watcher that was asleep during a batch takes the whole batch in one turn. A watcher that does not keep
up is closed, not buffered without end: its client watches again from the last version that it saw.

For the network, an ``EventEncoder`` turns changes into lines. A line is encoded once for each form and selection, not
once for each watcher: it stays with the change while the change is fresh.
"""

from __future__ import annotations

import asyncio
import math
import random
from collections import deque
from collections.abc import Awaitable, Callable, Hashable, Iterable, Sequence
from typing import Final, Protocol

from merope.controlplane.entry import ADDED, EVERYTHING, Change, Entry, EventType, Selection

QUEUE_EVENTS: Final = 1_000
QUEUE_BYTES: Final = 8 * 1024 * 1024
#: Bytes of encoded events handed to the transport at once; between two such steps other tasks run.
WRITE_BYTES: Final = 256 * 1024
#: Seconds between bookmarks, and before the end of the watch for the last one.
BOOKMARK_INTERVAL: Final = 60.0
BOOKMARK_LEAD: Final = 2.0


class Watcher:
    """The queue of one watch.

    ``initial`` are the objects that the watch starts with (sorted by namespace and name), as they were at version
    ``start``; the changes after ``start`` come from ``batch``. Closed by ``close``, by the store when it shuts down
    or the resource goes away, and on overflow; what was queued then is dropped.
    """

    __slots__ = (
        "_bytes",
        "_current",
        "_delivered",
        "_detach",
        "_max_bytes",
        "_max_events",
        "_queue",
        "_timer",
        "_timer_at",
        "_waiter",
        "closed",
        "initial",
        "start",
    )

    def __init__(
        self,
        start: int,
        *,
        initial: Sequence[Entry] = (),
        current: Callable[[], int],
        detach: Callable[[Watcher], None] | None = None,
    ) -> None:
        self.start = start
        self.initial = initial
        #: Why the watch ended: ``overflow``, ``shutdown``, ``gone`` (resource), ``done`` (closed by its owner); or "".
        self.closed = ""
        self._queue: deque[Change] = deque()
        self._bytes = 0
        self._max_events = QUEUE_EVENTS
        self._max_bytes = QUEUE_BYTES
        self._waiter: asyncio.Future[None] | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._timer_at = 0.0
        self._detach = detach
        self._current = current
        self._delivered = start

    @property
    def rv(self) -> int:
        """The version up to which everything in scope was handed out: what a bookmark may say."""
        return self._delivered if self._queue else max(self.start, self._current())

    def push(self, change: Change) -> None:
        """Queue a change (store only)."""
        if self.closed or change.rv <= self.start:
            return
        self._queue.append(change)
        self._bytes += len(change.entry.data)
        if len(self._queue) > self._max_events or self._bytes > self._max_bytes:
            self.close("overflow")
            return
        self._wake()

    def replay(self, changes: Iterable[Change]) -> None:
        """Queue changes of the past (store only).

        Their number is bounded by history, and they come on top of the limits until they are taken.
        """
        for change in changes:
            self._queue.append(change)
            self._bytes += len(change.entry.data)
        self._max_events = QUEUE_EVENTS + len(self._queue)
        self._max_bytes = QUEUE_BYTES + self._bytes

    async def batch(self, timeout: float | None = None) -> list[Change]:
        """All changes since the last call, waiting for the first of them.

        Empty when ``timeout`` seconds passed without any, and when the watch is closed (see ``closed``).
        """
        if self._queue or self.closed or (timeout is not None and timeout <= 0):
            return self.take()
        loop = asyncio.get_running_loop()
        deadline = loop.time() + timeout if timeout is not None else None
        while True:
            self._waiter = loop.create_future()
            if deadline is not None and (self._timer is None or self._timer_at > deadline):
                self._arm(loop, deadline)
            try:
                await self._waiter
            finally:
                self._waiter = None
            if self._queue or self.closed or (deadline is not None and loop.time() >= deadline):
                return self.take()

    def _arm(self, loop: asyncio.AbstractEventLoop, deadline: float) -> None:
        """See to it that a waiter is woken at ``deadline``, or before.

        The timer outlives the wait: a watch waits for the same deadline again and again, and making a timer anew for
        each event would cost more than the event.
        """
        if self._timer is not None:
            self._timer.cancel()
        self._timer = loop.call_at(deadline, self._alarm)
        self._timer_at = deadline

    def _alarm(self) -> None:
        self._timer = None
        self._wake()

    def _wake(self) -> None:
        waiter = self._waiter
        if waiter is not None and not waiter.done():
            waiter.set_result(None)

    def take(self) -> list[Change]:
        """What is queued now, without waiting."""
        changes = list(self._queue)
        if changes:
            self._queue.clear()
            self._bytes = 0
            self._max_events = QUEUE_EVENTS
            self._max_bytes = QUEUE_BYTES
            self._delivered = changes[-1].rv
        return changes

    def close(self, reason: str = "done") -> None:
        """End the watch; a waiting ``batch`` returns empty. Idempotent: the first reason stays."""
        if self.closed:
            return
        self.closed = reason
        self._queue.clear()
        self._bytes = 0
        if self._detach is not None:
            self._detach(self)
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        self._wake()


def event_line(type: str, data: bytes) -> bytes:
    """A watch event as a line of JSON; ``data`` is the encoded object."""
    return b'{"type":"%b","object":%b}\n' % (type.encode(), data)


def chunk(parts: Iterable[bytes]) -> bytes:
    """``parts`` joined into one chunk of HTTP/1.1 chunked encoding, for writers that own the transport."""
    body = b"".join(parts)
    return b"%x\r\n%b\r\n" % (len(body), body)


#: Ends a body in chunked encoding.
LAST_CHUNK: Final = b"0\r\n\r\n"


def _stored_bytes(type: EventType, entry: Entry) -> bytes | None:
    return event_line(type, entry.data)


class EventEncoder:
    """Changes as lines, in one form and for one selection.

    ``form`` names the encoding; encoders of equal form must produce equal lines. ``encode(type, entry)`` makes a line
    from an event (None leaves it out); by default the stored bytes in an event. Lines are cached on the change, shared
    by all encoders of the same form and selection.
    """

    __slots__ = ("_encode", "_key", "_selection")

    def __init__(
        self,
        form: Hashable = "json",
        encode: Callable[[EventType, Entry], bytes | None] = _stored_bytes,
        selection: Selection = EVERYTHING,
    ) -> None:
        self._encode = encode
        self._selection = selection
        self._key = (form, selection.key)

    def line(self, change: Change) -> bytes | None:
        """The line of ``change``; None: this watch does not see it."""
        lines = change.lines
        try:
            return lines[self._key]
        except KeyError:
            event = change.event(self._selection)
            line = self._encode(*event) if event is not None else None
            if change.fresh:
                lines[self._key] = line
            return line

    def initial(self, entry: Entry) -> bytes | None:
        """The line of an object that exists when the watch begins; None: not selected."""
        matches = self._selection.matches
        if matches is not None and not matches(entry):
            return None
        return self._encode(ADDED, entry)


class Source(Protocol):
    """What ``stream`` needs of a watcher; also what stands before one, to prepare its changes."""

    initial: Sequence[Entry]

    @property
    def start(self) -> int: ...

    @property
    def rv(self) -> int: ...

    @property
    def closed(self) -> str: ...

    async def batch(self, timeout: float | None = None) -> list[Change]: ...

    def close(self, reason: str = "done") -> None: ...


async def stream(
    watcher: Source,
    encoder: EventEncoder,
    write: Callable[[bytes], Awaitable[None]],
    *,
    initial_end: Callable[[int], bytes] | None = None,
    bookmark: Callable[[int], bytes] | None = None,
    timeout: float | None = None,
    bookmark_interval: float = BOOKMARK_INTERVAL,
) -> None:
    """Write the events of ``watcher`` until ``timeout`` seconds have passed or the watch is closed.

    ``write`` takes whole lines, several at once, and returns when the transport can take more; its failure ends the
    stream. ``initial_end(rv)`` is the line that closes the initial events. ``bookmark(rv)`` makes the bookmarks that
    the client asked for: about one an interval (jittered, so that many watches don't write in the same moment) and
    one shortly before the end. Closes the watcher in any case.
    """
    loop = asyncio.get_running_loop()
    deadline = loop.time() + timeout if timeout is not None else math.inf
    try:
        await _write_lines(map(encoder.initial, watcher.initial), write)
        watcher.initial = ()
        if initial_end is not None:
            await write(initial_end(watcher.start))
        due = math.inf
        if bookmark is not None:
            # A watch that is to last for a moment only gets its bookmark right away.
            now = loop.time()
            due = now if now >= deadline - BOOKMARK_LEAD else _next_bookmark(now, bookmark_interval, deadline)
        while not watcher.closed:
            remaining = min(deadline, due) - loop.time()
            if remaining <= 0:
                now = loop.time()
                if now >= deadline:
                    return
                if bookmark is not None:
                    await write(bookmark(watcher.rv))
                    due = _next_bookmark(now, bookmark_interval, deadline)
                continue
            changes = await watcher.batch(remaining if remaining < math.inf else None)
            if len(changes) == 1:
                line = encoder.line(changes[0])
                if line is not None:
                    await write(line)
            else:
                await _write_lines(map(encoder.line, changes), write)
    finally:
        watcher.close()


def _next_bookmark(now: float, interval: float, deadline: float) -> float:
    """When the next bookmark is due: after about an interval, but also shortly before the end; then never again."""
    last = deadline - BOOKMARK_LEAD
    if now >= last:
        return math.inf
    return min(now + interval * random.uniform(0.75, 1.25), last)  # noqa: S311


async def _write_lines(lines: Iterable[bytes | None], write: Callable[[bytes], Awaitable[None]]) -> None:
    pending: list[bytes] = []
    size = 0
    for line in lines:
        if line is None:
            continue
        pending.append(line)
        size += len(line)
        if size >= WRITE_BYTES:
            await write(b"".join(pending))
            pending.clear()
            size = 0
            await asyncio.sleep(0)
    if pending:
        await write(pending[0] if len(pending) == 1 else b"".join(pending))
