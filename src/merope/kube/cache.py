"""What an informer knows: the objects, found by key, namespace or index, and how they may change.

Invariants. Only the informer's task and this process's own writes change a cache, both on the event loop, each
change in one step: readers never see half of one. Handlers run once for every change, after the cache has it.

Versions. Within one watch lineage (everything since the last relist) versions of an object only grow: an event that
is older than what is cached is the late echo of something we know better (our own write came first), one of the
same version is that echo itself. Both are dropped. A relist starts a new lineage and is believed whatever its
versions are (the server may have been restored from a backup), with one exception: what this process wrote after
the list was made. Our own deletions leave a tombstone, by uid, until the server's DELETED event or the next relist. A
uid that is gone never comes back: answers to own writes that arrive after its DELETED event are dropped.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Hashable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, Generic, TypeVar

from merope.kube.snapshot import ObjectKey, Snapshot

_log = logging.getLogger(__name__)

V = TypeVar("V")

_REMEMBERED: Final = 1000  # uids of deleted objects


@dataclass(frozen=True, slots=True)
class Change(Generic[V]):
    """One object before and after. ``old`` is None where it is new, ``new`` is None where it is gone."""

    old: Snapshot[V] | None
    new: Snapshot[V] | None

    @property
    def current(self) -> Snapshot[V]:
        """The newest state there is: after the change, or the last one of a deleted object."""
        found = self.new if self.new is not None else self.old
        assert found is not None
        return found

    @property
    def key(self) -> ObjectKey:
        return self.current.key

    @property
    def states(self) -> tuple[Snapshot[V], ...]:
        """Both states that there are: whatever follows from either must be looked at again."""
        return tuple(state for state in (self.old, self.new) if state is not None)


Handler = Callable[[Change[V]], None]
IndexFunction = Callable[[Snapshot[V]], Iterable[Hashable]]


class Cache(Generic[V]):
    """Read side: ``get``, ``list``, ``by_index``. What comes out is shared and read-only."""

    def __init__(self, indexes: Mapping[str, IndexFunction[V]] | None = None) -> None:
        self._objects: dict[str, dict[str, Snapshot[V]]] = {}
        self._count = 0
        self._functions: dict[str, IndexFunction[V]] = dict(indexes or {})
        self._indexes: dict[str, dict[Hashable, dict[ObjectKey, None]]] = {name: {} for name in self._functions}
        self._handlers: list[Handler[V]] = []
        self._tombstones: set[str] = set()
        self._gone: dict[str, None] = {}  # uids of the last DELETED events: answers to own writes may come later
        self._written: dict[ObjectKey, Snapshot[V] | None] | None = None  # own writes while a relist is under way

    # --- reading ---------------------------------------------------------------------------------------------------

    def get(self, name: str, namespace: str = "") -> Snapshot[V] | None:
        """One object, or None."""
        return self._objects.get(namespace, {}).get(name)

    def __getitem__(self, key: ObjectKey) -> Snapshot[V]:
        return self._objects[key.namespace][key.name]

    def __contains__(self, key: ObjectKey) -> bool:
        return key.name in self._objects.get(key.namespace, {})

    def __len__(self) -> int:
        return self._count

    def __iter__(self) -> Iterator[Snapshot[V]]:
        """All objects. The cache must not change meanwhile: no ``await`` in such a loop (``list`` makes a copy)."""
        for objects in self._objects.values():
            yield from objects.values()

    def list(self, namespace: str | None = None) -> list[Snapshot[V]]:
        """All objects, or those of one namespace, in no particular order."""
        if namespace is not None:
            return [*self._objects.get(namespace, {}).values()]
        return [*self]

    def keys(self) -> Iterator[ObjectKey]:
        """The keys of all objects."""
        for namespace, objects in self._objects.items():
            for name in objects:
                yield ObjectKey(namespace, name)

    def by_index(self, index: str, value: Hashable) -> Sequence[Snapshot[V]]:
        """The objects for which the index function gave this value. Raises ``KeyError`` for an index that isn't
        there.
        """
        return [self[key] for key in self._indexes[index].get(value, ())]

    def index_keys(self, index: str, value: Hashable) -> Iterable[ObjectKey]:
        """The keys of those objects, without looking at the objects."""
        return tuple(self._indexes[index].get(value, ()))

    def index_values(self, index: str) -> Iterable[Hashable]:
        """The values that occur in an index."""
        return self._indexes[index].keys()

    # --- wiring ----------------------------------------------------------------------------------------------------

    def add_index(self, name: str, function: IndexFunction[V]) -> None:
        """A further index, filled from what is cached. A name that exists must come with the same function."""
        known = self._functions.get(name)
        if known is not None:
            if known is not function:
                raise ValueError(f"index {name!r} exists with another function")
            return
        self._functions[name] = function
        self._indexes[name] = {}
        for snapshot in self:
            self._index_one(name, function, snapshot)

    def add_handler(self, handler: Handler[V]) -> Callable[[], None]:
        """Calls the handler for all that is cached, and then for every change; returns what ends that."""
        self._handlers.append(handler)
        for snapshot in self.list():
            self._call(handler, Change(None, snapshot))
        return lambda: self._handlers.remove(handler)

    # --- changes: for the informer only ----------------------------------------------------------------------------

    def put(self, snapshot: Snapshot[V]) -> None:
        """A state from the watch."""
        if snapshot.uid in self._tombstones:
            return
        old = self.get(snapshot.name, snapshot.namespace)
        if old is not None and (old.resource_version == snapshot.resource_version or _older(snapshot, old)):
            return
        self._set(old, snapshot)

    def remove(self, snapshot: Snapshot[Any]) -> None:
        """A DELETED event from the watch, with the version of the deletion."""
        self._tombstones.discard(snapshot.uid)
        self._gone[snapshot.uid] = None
        if len(self._gone) > _REMEMBERED:
            del self._gone[next(iter(self._gone))]
        old = self.get(snapshot.name, snapshot.namespace)
        if old is None or (old.uid != snapshot.uid and _older(snapshot, old)):
            return
        self._drop(old)

    def wrote(self, snapshot: Snapshot[V]) -> None:
        """The answer to a write of this process, ahead of its echo, or behind the event of a deletion that it completed
        (the removal of the last finalizer).
        """
        if snapshot.uid in self._gone:
            return
        if self._written is not None:
            self._written[snapshot.key] = snapshot
        self.put(snapshot)

    def unwrote(self, key: ObjectKey, uid: str) -> None:
        """A deletion by this process that took effect at once."""
        if self._written is not None:
            self._written[key] = None
        self._tombstones.add(uid)
        old = self.get(key.name, key.namespace)
        if old is not None and old.uid == uid:
            self._drop(old)

    def begin_relist(self) -> None:
        """A list is about to be made: from here on own writes are remembered, for they may be newer."""
        self._written = {}

    def abandon_relist(self) -> None:
        """The list failed; everything stays as it is."""
        self._written = None

    def relisted(self, listed: Mapping[ObjectKey, Snapshot[V]], version: str) -> Iterator[None]:
        """Makes the cache what the list says; yields after every object, so that the caller can give way to others."""
        self._tombstones.clear()
        written = self._written if self._written is not None else {}
        for key, snapshot in listed.items():
            ours = written.get(key, _NONE)
            old = self.get(key.name, key.namespace)
            kept = ours is None or (ours is not _NONE and _older(snapshot, ours))
            if not kept and (
                old is None or (old.uid, old.resource_version) != (snapshot.uid, snapshot.resource_version)
            ):
                self._set(old, snapshot)
            yield
        listed_at = int(version) if version.isdigit() else None
        for key in [*self.keys()]:
            if key not in listed:
                old = self.get(key.name, key.namespace)
                ours = written.get(key)
                since = ours.version() if ours is not None else None
                if old is not None and not (since is not None and listed_at is not None and since > listed_at):
                    self._drop(old)
            yield
        self._written = None

    def _set(self, old: Snapshot[V] | None, new: Snapshot[V]) -> None:
        if old is not None and old.uid != new.uid:
            self._drop(old)  # deleted and created again: two changes, never one update
            old = None
        if old is None:
            self._count += 1
        else:
            self._unindex(old)
        self._objects.setdefault(new.namespace, {})[new.name] = new
        for name, function in self._functions.items():
            self._index_one(name, function, new)
        self._tell(Change(old, new))

    def _drop(self, old: Snapshot[V]) -> None:
        objects = self._objects[old.namespace]
        del objects[old.name]
        if not objects:
            del self._objects[old.namespace]
        self._count -= 1
        self._unindex(old)
        self._tell(Change(old, None))

    def _values(self, name: str, function: IndexFunction[V], snapshot: Snapshot[V]) -> Iterable[Hashable]:
        try:
            return tuple(function(snapshot))
        except Exception:  # an object that doesn't fit its type: found by key, not by this index
            _log.exception("index %s: no values for %r", name, snapshot)
            return ()

    def _index_one(self, name: str, function: IndexFunction[V], snapshot: Snapshot[V]) -> None:
        index = self._indexes[name]
        for value in self._values(name, function, snapshot):
            index.setdefault(value, {})[snapshot.key] = None

    def _unindex(self, old: Snapshot[V]) -> None:
        for name, function in self._functions.items():
            index = self._indexes[name]
            for value in self._values(name, function, old):
                keys = index.get(value)
                if keys is not None:
                    keys.pop(old.key, None)
                    if not keys:
                        del index[value]

    def _tell(self, change: Change[V]) -> None:
        for handler in [*self._handlers]:
            self._call(handler, change)

    @staticmethod
    def _call(handler: Handler[V], change: Change[V]) -> None:
        try:
            handler(change)
        except Exception:  # one handler must not keep the others, or the cache, from the change
            _log.exception("handler %r failed for %r", handler, change.current)


_NONE: Any = object()


def _older(one: Snapshot[Any], other: Snapshot[Any]) -> bool:
    """Whether one state is certainly older than the other: versions that aren't numbers say nothing."""
    first, second = one.version(), other.version()
    return first is not None and second is not None and first < second
