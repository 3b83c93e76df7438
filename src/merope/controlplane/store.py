"""The store: every object of one logical server, its versions, and who is told of changes.

One event loop owns all state, so there are no locks. A write is a short synchronous section at the call of
``begin_put`` or ``begin_delete``: compare with the head, take the next version, queue. Writes that gather while the
disk is busy go there together, as one batch; when the batch is synced, each of its changes is installed, remembered,
and told to subscribers and watchers, in version order; only then does the caller get its entry.

So there are two states. *Visible* is what is on disk: reads, lists and watches see nothing else, and a version that
somebody has seen survives any crash. The *head* also counts writes on their way to disk: it is what the next write is
checked against, so that two writers of one object cannot both win. When a batch fails, its writes and all that build
on them fail, the head falls back to the visible state, and further writes are refused.

In the relaxed mode a batch is visible at once and saved within 50 ms; in the memory mode there is no disk. Versions
are unique for ever in both file modes (see ``persistence``).
"""

from __future__ import annotations

import asyncio
import logging
import sys
import time
from collections import deque
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import Any, Final

from merope.controlplane.entry import ADDED, DELETED, MODIFIED, Change, DecodedCache, Entry, Key, Object, Selection
from merope.controlplane.errors import ApiError
from merope.controlplane.history import Expired, History, HistoryLimits
from merope.controlplane.persistence import (
    RESERVATION,
    Connect,
    Database,
    Durability,
    Loaded,
    Quarantined,
    Row,
    Writer,
    connect,
    is_disk_full,
)
from merope.controlplane.resource import GroupResource
from merope.controlplane.watch import Watcher

__all__ = [
    "Change",
    "Conflict",
    "Durability",
    "Entry",
    "Expired",
    "HistoryLimits",
    "Selection",
    "Store",
    "Unavailable",
    "Watcher",
]

log = logging.getLogger(__name__)

#: Writes committed together at most.
BATCH: Final = 256
#: Seconds of showing changes after which other tasks get their turn.
PUBLISH_SECONDS: Final = 0.005
#: Seconds until a relaxed write is handed to the disk.
RELAXED_DELAY: Final = 0.05
#: Seconds between attempts to write again after the disk was full.
RETRY_DELAY: Final = 1.0
#: Changes, and bytes of them, whose encoded event lines are kept.
FRESH_CHANGES: Final = 512
FRESH_BYTES: Final = 4 * 1024 * 1024

Subscriber = Callable[[Change], None]


class Conflict(Exception):
    """The object is not (or no longer) what the writer expected. ``head`` is what it is; None: it does not exist."""

    def __init__(self, key: Key, head: Entry | None) -> None:
        super().__init__(f"{key[0]} {key[1]}/{key[2]} is not in the expected version")
        self.head = head


class Unavailable(ApiError):
    """The store takes no writes: its disk failed, or it shuts down."""


@dataclass(slots=True)
class _Write:
    change: Change
    future: asyncio.Future[Entry]


def _row_key(key: Key) -> str:
    storage, namespace, name = key
    return f"{storage.group}/{storage.plural}/{namespace}/{name}"


class _Shelf:
    """The objects of one resource, by namespace and name.

    Dicts keep insertion order, so a dict whose keys came in sorted is a sorted index that costs nothing. Keys that
    come out of order only mark their namespace; it is sorted when somebody lists it.
    """

    __slots__ = ("_last", "_namespaces_sorted", "_unsorted", "count", "namespaces")

    def __init__(self) -> None:
        self.namespaces: dict[str, dict[str, Entry]] = {}
        self.count = 0
        self._namespaces_sorted = True
        self._last = ""
        self._unsorted: set[str] = set()

    def get(self, namespace: str, name: str) -> Entry | None:
        names = self.namespaces.get(namespace)
        return names.get(name) if names is not None else None

    def put(self, entry: Entry) -> None:
        namespace, name = entry.namespace, entry.name
        names = self.namespaces.get(namespace)
        if names is None:
            if self.namespaces and namespace < self._last:
                self._namespaces_sorted = False
            else:
                self._last = namespace
            self.namespaces[namespace] = {name: entry}
            self.count += 1
            return
        if name not in names:
            self.count += 1
            if names and namespace not in self._unsorted and name < next(reversed(names)):
                self._unsorted.add(namespace)
        names[name] = entry

    def remove(self, namespace: str, name: str) -> None:
        names = self.namespaces[namespace]
        del names[name]
        self.count -= 1
        if not names:
            del self.namespaces[namespace]
            self._unsorted.discard(namespace)

    def list(self, namespace: str) -> list[Entry]:
        if namespace:
            if namespace in self._unsorted:
                self._sort(namespace)
            return list(self.namespaces.get(namespace, {}).values())
        for unsorted in tuple(self._unsorted):
            self._sort(unsorted)
        if not self._namespaces_sorted:
            self.namespaces = dict(sorted(self.namespaces.items()))
            self._last = next(reversed(self.namespaces), "")
            self._namespaces_sorted = True
        return list(chain.from_iterable(names.values() for names in self.namespaces.values()))

    def _sort(self, namespace: str) -> None:
        self.namespaces[namespace] = dict(sorted(self.namespaces[namespace].items()))
        self._unsorted.discard(namespace)


class Store:
    """Objects, versions, subscribers and watchers of one logical server.

    ``path`` is the database file (None: nothing is kept, whatever ``durability`` says). ``connect`` opens the
    database's connection. ``clock`` gives seconds, for the age of history. A store without a file works without
    ``open``; it must still be closed so that its watchers end.
    """

    def __init__(
        self,
        path: Path | None = None,
        *,
        durability: Durability = Durability.DURABLE,
        limits: HistoryLimits | None = None,
        connect: Connect = connect,
        clock: Callable[[], float] = time.monotonic,
        decoded_bytes: int = 16 * 1024 * 1024,
    ) -> None:
        self.durability = Durability.MEMORY if path is None else durability
        self._path = path if self.durability is not Durability.MEMORY else None
        self._connect = connect
        self._limits = limits or HistoryLimits()
        self._clock = clock
        self._cache = DecodedCache(decoded_bytes)
        #: Highest visible version; 1 in a new store, since clients take 0 for "any".
        self.rv = 1
        #: Stored objects that could not be read at start, and were moved out of the way.
        self.quarantined: list[Quarantined] = []
        self._shelves: dict[GroupResource, _Shelf] = {}
        self._by_owner: dict[str, dict[Key, None]] = {}
        self._history = History(self.rv, self._limits)
        # Writes: issued versions, what waits for a batch, what is on its way to disk.
        self._issued = self.rv
        self._ceiling = 0
        self._heads: dict[Key, tuple[int, Entry | None]] = {}
        self._queue: deque[_Write] = deque()
        self._flush_scheduled = False
        self._batch: list[_Write] = []
        # What is committed and not yet shown, because showing takes longer than a turn of the loop may.
        self._committed: deque[_Write] = deque()
        self._publish_scheduled = False
        self._unsaved: dict[str, Row] = {}
        self._saving = False
        self._save_timer: asyncio.TimerHandle | None = None
        self._retry_timer: asyncio.TimerHandle | None = None
        self._failure: BaseException | None = None
        self._closing = False
        self._idle: asyncio.Future[None] | None = None
        self._database: Database | None = None
        self._writer: Writer | None = None
        # Readers.
        self._subscribers: dict[GroupResource | None, tuple[Subscriber, ...]] = {}
        self._watchers: dict[GroupResource, dict[tuple[str, str], dict[Watcher, None]]] = {}
        self._watches_ended = False
        self._waiters: list[tuple[int, asyncio.Future[None]]] = []
        self._fresh: deque[Change] = deque()
        self._fresh_bytes = 0

    # --- life -----------------------------------------------------------------------------------------------------

    async def open(self) -> None:
        """Read the file. Raises StateInUse, FormatTooNew, sqlite3.Error."""
        if self._path is None or self._writer is not None:
            return
        database = Database(self._path, self.durability, connect=self._connect)
        writer = Writer(f"store {self._path}")
        try:
            loaded, entries = await writer.run(lambda: self._load(database))
        except BaseException:
            # Also when the caller was cancelled, while the thread went on to open the file.
            writer.stop()
            database.close()
            raise
        self._database, self._writer = database, writer
        self.quarantined = loaded.quarantined
        for entry in entries:
            self._shelf(entry.storage).put(entry)
            self._index_owners(entry)
        self.rv = self._issued = loaded.ceiling
        self._ceiling = loaded.ceiling + RESERVATION
        self._history = History(self.rv, self._limits)

    def _load(self, database: Database) -> tuple[Loaded, list[Entry]]:
        """In the writer thread: the rows as entries."""
        loaded = database.open()
        entries: list[Entry] = []
        storages: dict[str, GroupResource] = {}
        for text, rv, data in loaded.rows:
            try:
                group, plural, namespace, name = text.split("/", 3)
                storage = storages.setdefault(f"{group}/{plural}", GroupResource(group, plural))
                entries.append(Entry.load((storage, sys.intern(namespace), name), rv, data, self._cache))
            except ValueError as error:
                item = Quarantined(text, str(error))
                database.quarantine(item)
                loaded.quarantined.append(item)
        loaded.rows = []
        return loaded, entries

    async def close(self) -> None:
        """Finish the writes that were begun, end all watches, and close the file. Idempotent."""
        if self._closing:
            return
        self._closing = True
        for timer in (self._save_timer, self._retry_timer):
            if timer is not None:
                timer.cancel()
        self._save_timer = self._retry_timer = None
        while self._busy:
            self._idle = asyncio.get_running_loop().create_future()
            await self._idle
        self.end_watches(reason="shutdown")
        writer, database = self._writer, self._database
        if writer is not None and database is not None:
            rows, self._unsaved = self._unsaved, {}
            issued = self._issued

            def finish() -> None:
                try:
                    if rows and self._failure is None:
                        database.write(rows)
                finally:
                    database.close(issued if self._failure is None else None)

            try:
                await writer.run(finish)
            finally:
                self._writer = self._database = None
                writer.stop()

    @property
    def failure(self) -> str:
        """Why writes are refused; empty while they are taken."""
        return (str(self._failure) or repr(self._failure)) if self._failure is not None else ""

    def problems(self) -> list[str]:
        """What an operator should know of, one sentence each; empty when all is well."""
        found = [f"{item.key} is quarantined: {item.reason}" for item in self.quarantined]
        if self._failure is not None:
            found.append(f"writes are refused: {self.failure}")
        return found

    async def backup(self, target: Path) -> None:
        """Copy the database as of now to the new file ``target``. Stores without a file have nothing to copy."""
        if self._writer is None or self._database is None:
            raise Unavailable(503, "ServiceUnavailable", "the store has no file")
        database = self._database
        rows = dict(self._unsaved)

        def copy() -> None:
            if rows:
                database.write(rows)
            database.backup(target)

        await self._writer.run(copy)

    # --- reading --------------------------------------------------------------------------------------------------

    def get(self, storage: GroupResource, namespace: str, name: str) -> Entry | None:
        """The visible version of an object."""
        shelf = self._shelves.get(storage)
        return shelf.get(namespace, name) if shelf is not None else None

    def head(self, storage: GroupResource, namespace: str, name: str) -> Entry | None:
        """The newest version, be it visible or on its way to disk: what a write is checked against."""
        if self._heads:
            head = self._heads.get((storage, namespace, name))
            if head is not None:
                return head[1]
        return self.get(storage, namespace, name)

    def list(self, storage: GroupResource, namespace: str = "") -> Sequence[Entry]:
        """The visible objects of a namespace (empty: of all), sorted by namespace and name."""
        shelf = self._shelves.get(storage)
        return shelf.list(namespace) if shelf is not None else []

    def list_at(self, storage: GroupResource, namespace: str, rv: int) -> Sequence[Entry]:
        """The objects as they were at version ``rv``, sorted likewise. Raises Expired.

        A version that does not exist yet is taken for the current one: wait for it first.
        """
        if rv >= self.rv:
            return self.list(storage, namespace)
        before = self._history.of(storage).undo(rv)
        if namespace:
            before = {place: entry for place, entry in before.items() if place[0] == namespace}
        current = self.list(storage, namespace)
        if not before:
            return current
        found = [entry for entry in current if (entry.namespace, entry.name) not in before]
        found.extend(entry for entry in before.values() if entry is not None)
        found.sort(key=lambda entry: (entry.namespace, entry.name))
        return found

    def dependents(self, uid: str) -> Sequence[Entry]:
        """The visible objects with an owner reference to ``uid``."""
        return [entry for key in self._by_owner.get(uid, ()) if (entry := self.get(*key)) is not None]

    def count(self, storage: GroupResource) -> int:
        """The number of visible objects."""
        shelf = self._shelves.get(storage)
        return shelf.count if shelf is not None else 0

    def storages(self) -> Collection[GroupResource]:
        """The resources of which there are visible objects."""
        return [storage for storage, shelf in self._shelves.items() if shelf.count]

    def namespaces(self, storage: GroupResource) -> Collection[str]:
        """The namespaces that hold visible objects of a resource ("" for cluster-scoped ones)."""
        shelf = self._shelves.get(storage)
        return list(shelf.namespaces) if shelf is not None else []

    # --- writing --------------------------------------------------------------------------------------------------

    def begin_put(
        self, storage: GroupResource, namespace: str, name: str, obj: Object, expected: Entry | None
    ) -> asyncio.Future[Entry]:
        """Write ``obj``, whose resourceVersion is set in place; the future gives the entry once it is visible.

        ``expected`` is the version that the write builds on (None: the object must not exist). Raises Conflict,
        Unavailable, and TypeError where ``obj`` cannot be encoded; then nothing has happened.
        """
        key = (storage, namespace, name)
        head = self._check(key, expected)
        rv = self._issued + 1
        entry = Entry.encode(key, rv, obj, self._cache)
        return self._enqueue(key, entry, Change(rv, MODIFIED if head is not None else ADDED, entry, head))

    def begin_delete(
        self, storage: GroupResource, namespace: str, name: str, expected: Entry, final: Object | None = None
    ) -> asyncio.Future[Entry]:
        """Remove an object; the future gives the entry of the DELETED event once the removal is visible.

        ``final`` is the last state where it is not that of ``expected``. Raises Conflict, Unavailable.
        """
        key = (storage, namespace, name)
        head = self._check(key, expected)
        rv = self._issued + 1
        entry = Entry.encode(key, rv, expected.copy() if final is None else final, self._cache)
        return self._enqueue(key, None, Change(rv, DELETED, entry, head))

    async def put(
        self, storage: GroupResource, namespace: str, name: str, obj: Object, expected: Entry | None
    ) -> Entry:
        """``begin_put``, and wait. A caller that is cancelled does not take the write back."""
        return await self.begin_put(storage, namespace, name, obj, expected)

    async def delete(
        self, storage: GroupResource, namespace: str, name: str, expected: Entry, final: Object | None = None
    ) -> Entry:
        """``begin_delete``, and wait. A caller that is cancelled does not take the removal back."""
        return await self.begin_delete(storage, namespace, name, expected, final)

    def _check(self, key: Key, expected: Entry | None) -> Entry | None:
        if self._failure is not None:
            raise Unavailable(
                503,
                "ServiceUnavailable",
                f"the store refuses writes: {self.failure}",
                {"retryAfterSeconds": 1},
            )
        if self._closing:
            raise Unavailable(503, "ServiceUnavailable", "the server is shutting down", {"retryAfterSeconds": 1})
        head = self.head(*key)
        if (head.rv if head is not None else 0) != (expected.rv if expected is not None else 0):
            raise Conflict(key, head)
        return head

    def _enqueue(self, key: Key, head: Entry | None, change: Change) -> asyncio.Future[Entry]:
        loop = asyncio.get_running_loop()
        future: asyncio.Future[Entry] = loop.create_future()
        self._issued = change.rv
        self._heads[key] = (change.rv, head)
        self._queue.append(_Write(change, future))
        if not self._flush_scheduled and not self._batch:
            # At the end of this turn: what else is written in the turn shares the batch.
            self._flush_scheduled = True
            loop.call_soon(self._flush)
        return future

    def _flush(self) -> None:
        self._flush_scheduled = False
        durable = self.durability is Durability.DURABLE
        if self._batch or not self._queue or (self._committed and not durable):
            return
        relaxed = self.durability is Durability.RELAXED
        size = min(BATCH, len(self._queue))
        if relaxed and self._queue[size - 1].change.rv >= self._ceiling:
            # A relaxed version may be seen before it is saved, but not before the ceiling above it is.
            self._save(raise_ceiling=True)
            return
        batch = [self._queue.popleft() for _ in range(size)]
        if durable:
            self._batch = batch
            self._submit(_rows(batch), self._batch_written)
            return
        if relaxed:
            self._unsaved.update(_rows(batch))
            if self._save_timer is None and not self._saving and not self._closing:
                self._save_timer = asyncio.get_running_loop().call_later(RELAXED_DELAY, self._save)
        self._committed.extend(batch)
        self._publish()

    def _submit(self, rows: dict[str, Row], done: Callable[[None, BaseException | None], None]) -> None:
        writer, database = self._writer, self._database
        if writer is None or database is None:
            done(None, RuntimeError("the store is not open"))
            return
        ceiling = self._issued + RESERVATION if self._issued + RESERVATION // 2 > self._ceiling else None

        def written(_: None, error: BaseException | None) -> None:
            if error is None and ceiling is not None:
                self._ceiling = ceiling
            done(None, error)

        writer.submit(lambda: database.write(rows, ceiling), written)

    def _batch_written(self, _: None, error: BaseException | None) -> None:
        batch, self._batch = self._batch, []
        if error is None:
            self._committed.extend(batch)
        else:
            self._fail(error, batch)
        # The disk begins with the next batch while this one is shown.
        self._settle()
        self._publish()

    def _save(self, *, raise_ceiling: bool = False) -> None:
        """Hand relaxed writes to the disk, and the reservation of further versions where that is due."""
        if self._save_timer is not None:
            self._save_timer.cancel()
            self._save_timer = None
        if self._saving or not (self._unsaved or raise_ceiling):
            return
        rows, self._unsaved = self._unsaved, {}
        self._saving = True

        def saved(_: None, error: BaseException | None) -> None:
            self._saving = False
            if error is not None:
                self._unsaved = rows | self._unsaved
                self._fail(error, [])
            elif self._unsaved and not self._closing:
                self._save_timer = asyncio.get_running_loop().call_later(RELAXED_DELAY, self._save)
            self._settle()

        self._submit(rows, saved)

    def _settle(self) -> None:
        """After a batch: begin the next, or tell ``close`` that there is none."""
        if self._queue:
            if not self._flush_scheduled and not self._batch:
                self._flush_scheduled = True
                asyncio.get_running_loop().call_soon(self._flush)
        elif not self._busy and self._idle is not None and not self._idle.done():
            self._idle.set_result(None)

    @property
    def _busy(self) -> bool:
        return bool(self._queue or self._batch or self._saving or self._committed)

    def _fail(self, error: BaseException, batch: Iterable[_Write]) -> None:
        """The disk failed: nothing that is not committed will ever be visible, and no more writes are taken."""
        if self._failure is None:
            log.error("%s: writes are refused: %s", self._path, error or repr(error))
        self._failure = error
        failed = [*batch, *self._queue]
        self._queue.clear()
        self._heads.clear()
        for write in self._committed:
            change = write.change
            self._heads[change.entry.key] = (change.rv, None if change.type == DELETED else change.entry)
        for write in failed:
            if not write.future.done():
                write.future.set_exception(
                    Unavailable(500, "InternalError", f"Internal error occurred: the write failed: {self.failure}")
                )
        if is_disk_full(error) and not self._closing:
            self._retry_timer = asyncio.get_running_loop().call_later(RETRY_DELAY, self._retry)

    def _retry(self) -> None:
        """After the disk was full: see whether it takes a small write, and what is still unsaved, by now."""
        self._retry_timer = None
        writer, database = self._writer, self._database
        if writer is None or database is None or self._saving:
            return
        rows, self._unsaved = self._unsaved, {}
        ceiling = self._issued + RESERVATION
        self._saving = True

        def tried(_: None, error: BaseException | None) -> None:
            self._saving = False
            if error is None:
                self._ceiling = ceiling
                self._failure = None
                log.info("%s: writes are taken again", self._path)
            else:
                self._unsaved = rows
                self._fail(error, [])
            self._settle()

        writer.submit(lambda: database.write(rows, ceiling), tried)

    # --- becoming visible -----------------------------------------------------------------------------------------

    def _publish(self) -> None:
        """Show what is committed, in order; where that takes long, go on in another turn of the loop."""
        self._publish_scheduled = False
        now = self._clock()
        loop = asyncio.get_running_loop()
        until = loop.time() + PUBLISH_SECONDS
        while self._committed:
            write = self._committed.popleft()
            change = write.change
            change.at = now
            self._install(change)
            self._history.append(change)
            self._keep_fresh(change)
            self._tell(change)
            if not write.future.done():
                write.future.set_result(change.entry)
            if loop.time() > until:
                break
        if self._waiters:
            self._wake_waiters()
        if not self._committed:
            self._settle()
        elif not self._publish_scheduled:
            self._publish_scheduled = True
            loop.call_soon(self._publish)

    def _install(self, change: Change) -> None:
        entry, previous = change.entry, change.previous
        key = entry.key
        shelf = self._shelf(entry.storage)
        if change.type == DELETED:
            shelf.remove(entry.namespace, entry.name)
            if previous is not None and previous.owners:
                self._unindex_owners(previous, ())
        else:
            shelf.put(entry)
            if previous is not None and previous.owners:
                self._unindex_owners(previous, entry.owners)
            if entry.owners:
                self._index_owners(entry)
        self.rv = change.rv
        # A later write of the same object may wait already; then the head is that one's.
        head = self._heads.get(key)
        if head is not None and head[0] == change.rv:
            del self._heads[key]

    def _shelf(self, storage: GroupResource) -> _Shelf:
        shelf = self._shelves.get(storage)
        if shelf is None:
            shelf = self._shelves[storage] = _Shelf()
        return shelf

    def _index_owners(self, entry: Entry) -> None:
        for uid in entry.owners:
            self._by_owner.setdefault(uid, {})[entry.key] = None

    def _unindex_owners(self, entry: Entry, kept: Collection[str]) -> None:
        for uid in entry.owners:
            keys = self._by_owner.get(uid)
            if uid not in kept and keys is not None:
                keys.pop(entry.key, None)
                if not keys:
                    del self._by_owner[uid]

    def _keep_fresh(self, change: Change) -> None:
        fresh = self._fresh
        fresh.append(change)
        self._fresh_bytes += len(change.entry.data)
        while len(fresh) > FRESH_CHANGES or (self._fresh_bytes > FRESH_BYTES and len(fresh) > 1):
            old = fresh.popleft()
            self._fresh_bytes -= len(old.entry.data)
            old.settle()

    def _tell(self, change: Change) -> None:
        entry = change.entry
        for storage in (None, entry.storage):
            for callback in self._subscribers.get(storage, ()):
                try:
                    callback(change)
                except Exception as error:
                    # One subscriber's fault must not keep the change from the others, nor fail the writer.
                    asyncio.get_running_loop().call_exception_handler(
                        {"message": f"a subscriber failed on {change!r}", "exception": error}
                    )
        scopes = self._watchers.get(entry.storage)
        if scopes:
            namespace, name = entry.namespace, entry.name
            for scope in {(namespace, name), (namespace, ""), ("", name), ("", "")}:
                for watcher in tuple(scopes.get(scope, ())):
                    watcher.push(change)

    def _wake_waiters(self) -> None:
        remaining = []
        for rv, future in self._waiters:
            if rv <= self.rv and not future.done():
                future.set_result(None)
            elif not future.done():
                remaining.append((rv, future))
        self._waiters = remaining

    # --- following ------------------------------------------------------------------------------------------------

    async def wait_for(self, rv: int, timeout: float) -> bool:
        """Wait until version ``rv`` is visible, at most ``timeout`` seconds; whether it is."""
        if rv <= self.rv:
            return True
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiters.append((rv, future))
        try:
            async with asyncio.timeout(timeout):
                await future
        except TimeoutError:
            return False
        return True

    def subscribe(self, callback: Subscriber, storage: GroupResource | None = None) -> Callable[[], None]:
        """Call ``callback`` with each change of a resource (None: of all) as it becomes visible, in version order.

        The callback must not block; it may begin writes, which become visible after it has returned. Returns a
        function that ends the subscription.
        """
        self._subscribers[storage] = (*self._subscribers.get(storage, ()), callback)

        def unsubscribe() -> None:
            rest = list(self._subscribers.get(storage, ()))
            if callback in rest:
                rest.remove(callback)
            self._subscribers[storage] = tuple(rest)

        return unsubscribe

    def watch(
        self,
        storage: GroupResource,
        *,
        namespace: str = "",
        name: str = "",
        since: int | None = None,
        initial: bool = False,
    ) -> Watcher:
        """Follow the objects of a namespace (empty: all), or those of one name.

        ``initial``: begin with the current objects (``Watcher.initial``), whatever ``since`` says. Else ``since``
        is the version after which changes are wanted (None: from now on). Raises Expired.
        """
        watcher = Watcher(
            self.rv if initial or since is None else since,
            current=lambda: self.rv,
            detach=lambda gone: self._detach(storage, (namespace, name), gone),
        )
        if initial:
            found = self.list(storage, namespace)
            watcher.initial = [entry for entry in found if entry.name == name] if name else found
        elif since is not None and since < self.rv:
            watcher.replay(
                change
                for change in self._history.of(storage).since(since)
                if (not namespace or change.entry.namespace == namespace) and (not name or change.entry.name == name)
            )
        self._watchers.setdefault(storage, {}).setdefault((namespace, name), {})[watcher] = None
        if self._watches_ended:
            watcher.close("shutdown")
        return watcher

    def _detach(self, storage: GroupResource, scope: tuple[str, str], watcher: Watcher) -> None:
        scopes = self._watchers.get(storage, {})
        watchers = scopes.get(scope)
        if watchers is not None:
            watchers.pop(watcher, None)
            if not watchers:
                del scopes[scope]

    def end_watches(self, storage: GroupResource | None = None, reason: str = "gone") -> None:
        """Close the watches of a resource (None: all), as when its definition is deleted.

        After a ``shutdown`` of all, later watches end at once, too.
        """
        if storage is None and reason == "shutdown":
            self._watches_ended = True
        for scopes in [self._watchers.get(storage, {})] if storage is not None else tuple(self._watchers.values()):
            for watchers in tuple(scopes.values()):
                for watcher in tuple(watchers):
                    watcher.close(reason)

    def watch_counts(self) -> Mapping[GroupResource, int]:
        """The number of open watches by resource."""
        return {
            storage: count
            for storage, scopes in self._watchers.items()
            if (count := sum(len(watchers) for watchers in scopes.values()))
        }

    def statistics(self) -> dict[str, Any]:
        """Figures for metrics: version, objects, bytes of history, decoded objects held."""
        return {
            "resource_version": self.rv,
            "objects": sum(shelf.count for shelf in self._shelves.values()),
            "history_bytes": self._history.size,
            "decoded_objects": len(self._cache),
        }


def _rows(batch: Iterable[_Write]) -> dict[str, Row]:
    """The rows of a batch; of several writes of one object only the last reaches the disk."""
    rows: dict[str, Row] = {}
    for write in batch:
        change = write.change
        rows[_row_key(change.entry.key)] = None if change.type == DELETED else (change.rv, change.entry.data)
    return rows
