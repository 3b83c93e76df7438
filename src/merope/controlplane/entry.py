"""One version of one object, and the change that brought it.

The store keeps objects as the bytes that clients get: a GET hands them out, a LIST joins them. Beside the bytes stand
the few members of metadata that selectors, garbage collection and deletion ask for all the time. The decoded form is
made on demand and kept only as long as it is in use, since a decoded object takes three to five times the memory of
its bytes.
"""

from __future__ import annotations

import sys
from collections import deque
from collections.abc import Callable, Hashable, Mapping
from typing import Any, Final, Literal

import msgspec
import orjson

from merope.controlplane.resource import GroupResource

Object = dict[str, Any]
Key = tuple[GroupResource, str, str]
EventType = Literal["ADDED", "MODIFIED", "DELETED"]

ADDED: Final = "ADDED"
MODIFIED: Final = "MODIFIED"
DELETED: Final = "DELETED"

_NO_LABELS: Final[Mapping[str, str]] = {}


class _OwnerReference(msgspec.Struct):
    uid: str = ""


class _Metadata(msgspec.Struct, rename="camel"):
    uid: str = ""
    labels: dict[str, str] | None = None
    finalizers: list[str] | None = None
    owner_references: list[_OwnerReference] | None = None
    deletion_timestamp: str | None = None


class _Envelope(msgspec.Struct):
    metadata: _Metadata


_decode_envelope: Final = msgspec.json.Decoder(_Envelope).decode


class DecodedCache:
    """Keeps decoded forms of entries within a budget, counted in encoded bytes.

    Second chance in place of a strict LRU: a hit sets one flag, so reading stays as cheap as an attribute.
    """

    __slots__ = ("_budget", "_entries", "_held")

    def __init__(self, budget: int = 16 * 1024 * 1024) -> None:
        self._budget = budget
        self._held = 0
        self._entries: deque[Entry] = deque()

    def add(self, entry: Entry) -> None:
        """Count ``entry``, which was just decoded, and let go of others until the budget holds."""
        entries = self._entries
        entries.append(entry)
        self._held += len(entry.data)
        while self._held > self._budget and len(entries) > 1:
            oldest = entries.popleft()
            if oldest._recent:
                oldest._recent = False
                entries.append(oldest)
            else:
                oldest._parsed = None
                self._held -= len(oldest.data)

    def __len__(self) -> int:
        return len(self._entries)


class Entry:
    """One version of one object; immutable.

    ``data`` is the compact JSON of the storage version with apiVersion, kind and ``metadata.resourceVersion``.
    ``owners`` are the uids of metadata.ownerReferences. ``deleting`` tells whether a deletionTimestamp is set.
    """

    __slots__ = (
        "_cache",
        "_parsed",
        "_recent",
        "data",
        "deleting",
        "finalizers",
        "labels",
        "name",
        "namespace",
        "owners",
        "rv",
        "storage",
        "uid",
    )

    storage: GroupResource
    namespace: str
    name: str
    uid: str
    rv: int
    data: bytes
    labels: Mapping[str, str]
    owners: tuple[str, ...]
    finalizers: tuple[str, ...]
    deleting: bool
    _parsed: Object | None
    _cache: DecodedCache
    _recent: bool

    def __init__(self, key: Key, rv: int, data: bytes, metadata: Mapping[str, Any], cache: DecodedCache) -> None:
        self.storage, self.namespace, self.name = key
        self.rv = rv
        self.data = data
        self.uid = metadata.get("uid") or ""
        labels = metadata.get("labels")
        self.labels = dict(labels) if labels else _NO_LABELS
        owners = metadata.get("ownerReferences")
        self.owners = tuple(owner.get("uid", "") for owner in owners) if owners else ()
        finalizers = metadata.get("finalizers")
        self.finalizers = tuple(finalizers) if finalizers else ()
        self.deleting = metadata.get("deletionTimestamp") is not None
        self._parsed = None
        self._cache = cache
        self._recent = False

    @classmethod
    def encode(cls, key: Key, rv: int, obj: Object, cache: DecodedCache) -> Entry:
        """The entry of ``obj``, whose resourceVersion is set in place.

        Raises TypeError where ``obj`` is nothing that JSON can hold (integers beyond 64 bits included).
        """
        metadata = obj["metadata"]
        metadata["resourceVersion"] = str(rv)
        # A copy, since orjson's own result keeps the buffer of several kilobytes that it was built in.
        return cls(key, rv, bytes(memoryview(orjson.dumps(obj))), metadata, cache)

    @classmethod
    def load(cls, key: Key, rv: int, data: bytes, cache: DecodedCache) -> Entry:
        """The entry of bytes that were stored before, looking at the metadata alone.

        Raises msgspec.DecodeError (a ValueError) where they are no object with metadata.
        """
        found = _decode_envelope(data).metadata
        entry = cls(key, rv, data, {}, cache)
        entry.uid = found.uid
        if found.labels:
            entry.labels = found.labels
        if found.owner_references:
            entry.owners = tuple(owner.uid for owner in found.owner_references)
        if found.finalizers:
            # Few different ones, each of which thousands of objects carry.
            entry.finalizers = tuple(map(sys.intern, found.finalizers))
        entry.deleting = found.deletion_timestamp is not None
        return entry

    @property
    def key(self) -> Key:
        """Where the object is stored: storage, namespace, name."""
        return (self.storage, self.namespace, self.name)

    def parsed(self) -> Object:
        """The decoded object, shared by all readers: not to be changed."""
        obj = self._parsed
        if obj is None:
            obj = self._parsed = orjson.loads(self.data)
            self._cache.add(self)
        else:
            self._recent = True
        return obj

    def copy(self) -> Object:
        """A decoded object of the caller's own."""
        obj: Object = orjson.loads(self.data)
        return obj

    def at(self, rv: int) -> Entry:
        """The same content under another resourceVersion, as events of objects that leave a selection carry it."""
        return Entry.encode(self.key, rv, self.copy(), self._cache)

    def __repr__(self) -> str:
        place = f"{self.namespace}/{self.name}" if self.namespace else self.name
        return f"Entry({self.storage} {place} @{self.rv})"


class Selection:
    """What a watch is interested in, beyond its scope: label and field selectors.

    Selections with equal ``key`` must agree on every entry; their verdict on a change is found once and shared by
    all watches. ``matches`` None selects everything.
    """

    __slots__ = ("key", "matches")

    def __init__(self, key: Hashable = None, matches: Callable[[Entry], bool] | None = None) -> None:
        self.key = key
        self.matches = matches


EVERYTHING: Final = Selection()


class Change:
    """A committed write: ``entry`` replaced ``previous`` at version ``rv``.

    A deletion's ``entry`` is the last state with the deletion's own version. ``at`` is the time of becoming visible,
    in seconds of the store's clock.
    """

    __slots__ = ("_verdicts", "at", "entry", "fresh", "lines", "previous", "rv", "type")

    def __init__(self, rv: int, type: EventType, entry: Entry, previous: Entry | None, at: float = 0.0) -> None:
        self.rv = rv
        self.type: EventType = type
        self.entry = entry
        self.previous = previous
        self.at = at
        #: Encoded event lines by form; filled only while ``fresh``, so that history doesn't hold every object twice.
        self.lines: dict[Hashable, bytes | None] = {}
        self.fresh = True
        self._verdicts: dict[Hashable, tuple[EventType, Entry] | None] = {}

    def event(self, selection: Selection) -> tuple[EventType, Entry] | None:
        """The event that a watch with ``selection`` sees; None: nothing.

        An object that comes to match is ADDED; one that stops to match is DELETED, with its previous content under
        the change's version.
        """
        if selection.matches is None:
            return (self.type, self.entry)
        try:
            return self._verdicts[selection.key]
        except KeyError:
            verdict = self._judge(selection.matches)
            if self.fresh:
                self._verdicts[selection.key] = verdict
            return verdict

    def _judge(self, matches: Callable[[Entry], bool]) -> tuple[EventType, Entry] | None:
        before = self.previous is not None and matches(self.previous)
        if self.type == DELETED:
            return (DELETED, self.entry) if before else None
        now = matches(self.entry)
        if now:
            return (MODIFIED if before else ADDED, self.entry)
        if before:
            assert self.previous is not None
            return (DELETED, self.previous.at(self.rv))
        return None

    def settle(self) -> None:
        """Let go of the encoded lines and verdicts: from now on they are made anew where they are asked for."""
        self.fresh = False
        self.lines = _NO_LINES
        self._verdicts = _NO_VERDICTS

    def __repr__(self) -> str:
        return f"Change({self.type} {self.entry!r})"


# What all settled changes share; nothing is ever put in.
_NO_LINES: Final[dict[Hashable, bytes | None]] = {}
_NO_VERDICTS: Final[dict[Hashable, tuple[EventType, Entry] | None]] = {}
