"""The recent past of the store: what watches resume from and what exact lists are computed from.

Each resource has its own line of changes. They share entries with the live objects, so only superseded versions cost
memory. The past is bounded by count, by age and by bytes over all resources; asking for more than is kept is answered
with ``Expired``, upon which clients list anew. Nothing of it is written to disk: a start begins with an empty past.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass

from merope.controlplane.entry import DELETED, Change, Entry
from merope.controlplane.resource import GroupResource


class Expired(Exception):
    """A version is asked for that is no longer kept. ``oldest`` is the first version that can still be had."""

    def __init__(self, requested: int, oldest: int) -> None:
        super().__init__(f"too old resource version: {requested} ({oldest})")
        self.requested = requested
        self.oldest = oldest


@dataclass(frozen=True, slots=True)
class HistoryLimits:
    """How much is kept: changes a resource, bytes over all resources, seconds.

    Age alone never takes a resource below ``floor`` changes: a client that was away for long can still resume where
    little happened.
    """

    changes: int = 10_000
    floor: int = 1_000
    total_bytes: int = 64 * 1024 * 1024
    age: float = 300.0


def _cost(change: Change) -> int:
    """Bytes that are held only because the change is remembered."""
    size = 200 + (len(change.previous.data) if change.previous is not None else 0)
    return size + len(change.entry.data) if change.type == DELETED else size


class ResourceHistory:
    """The changes of one resource. ``forgotten`` is the last version that is no longer kept."""

    __slots__ = ("changes", "forgotten", "size")

    def __init__(self, forgotten: int) -> None:
        self.changes: deque[Change] = deque()
        self.forgotten = forgotten
        self.size = 0

    def append(self, change: Change) -> int:
        cost = _cost(change)
        self.changes.append(change)
        self.size += cost
        return cost

    def forget(self) -> int:
        """Drop the oldest change; returns its cost."""
        change = self.changes.popleft()
        self.forgotten = change.rv
        cost = _cost(change)
        self.size -= cost
        return cost

    def since(self, rv: int) -> list[Change]:
        """The changes after version ``rv``, oldest first. Raises Expired."""
        self._require(rv)
        found: list[Change] = []
        for change in reversed(self.changes):
            if change.rv <= rv:
                break
            found.append(change)
        found.reverse()
        return found

    def undo(self, rv: int) -> dict[tuple[str, str], Entry | None]:
        """What (namespace, name) held at version ``rv`` where it is not what it holds now; None: nothing.

        Raises Expired.
        """
        self._require(rv)
        before: dict[tuple[str, str], Entry | None] = {}
        for change in reversed(self.changes):
            if change.rv <= rv:
                break
            before[(change.entry.namespace, change.entry.name)] = change.previous
        return before

    def _require(self, rv: int) -> None:
        if rv < self.forgotten:
            raise Expired(rv, self.forgotten + 1)


class History:
    """The histories of all resources under one budget. ``start`` is the version at which the past begins."""

    def __init__(self, start: int, limits: HistoryLimits) -> None:
        self._start = start
        self._limits = limits
        self._resources: dict[GroupResource, ResourceHistory] = {}
        self._size = 0

    @property
    def size(self) -> int:
        """Bytes held by superseded versions."""
        return self._size

    def of(self, storage: GroupResource) -> ResourceHistory:
        """The history of one resource, empty where nothing happened yet."""
        history = self._resources.get(storage)
        if history is None:
            history = self._resources[storage] = ResourceHistory(self._start)
        return history

    def append(self, change: Change) -> None:
        """Remember ``change`` (versions must arrive in order) and forget what exceeds the limits."""
        limits = self._limits
        history = self.of(change.entry.storage)
        self._size += history.append(change)
        changes = history.changes
        while len(changes) > limits.changes:
            self._size -= history.forget()
        horizon = change.at - limits.age
        while len(changes) > limits.floor and changes[0].at < horizon:
            self._size -= history.forget()
        if self._size > limits.total_bytes:
            self._shrink()

    def _shrink(self) -> None:
        """Make room, an eighth at once: finding the largest resource is not for each write."""
        target = self._limits.total_bytes * 7 // 8
        while self._size > target:
            largest = max(self._resources.values(), key=lambda history: history.size)
            if not largest.changes:
                return
            goal = max(target - (self._size - largest.size), largest.size * 3 // 4)
            while largest.changes and largest.size > goal:
                self._size -= largest.forget()
