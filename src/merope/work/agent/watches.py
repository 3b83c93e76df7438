"""Watching what was applied, so that drift is corrected at once.

After a work was applied, its objects are tracked with a mark of how they were left. One watch for each resource and
namespace (one for all namespaces where there are many) tells of every change, as metadata only; a tracked object whose
mark differs, or that is gone, makes its works be applied again. Nothing else is kept of what the watches show.

Where watching isn't permitted, and beyond the limit of watches, drift is found by the periodic application. A work
whose object somebody else keeps changing is applied again with growing delays: both shall have their turn, the API
server too.
"""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import Callable, Hashable, Iterable, Iterator, Mapping
from contextlib import aclosing, contextmanager
from dataclasses import dataclass, field
from time import monotonic
from typing import Any, Final, NamedTuple

import msgspec

from merope.kube import (
    ApiError,
    Client,
    Forbidden,
    Gone,
    KubeError,
    Manifest,
    MethodNotSupported,
    NotFound,
    ResourceRef,
)
from merope.kube.snapshot import Metadata, Snapshot
from merope.kube.watch import DELETED, Malformed

_log = logging.getLogger(__name__)

#: Namespaces of one resource that have a watch each; with more, one watch is for all of them.
_NAMESPACES: Final = 8
#: Seconds until a watch that was refused is tried again.
_REFUSED: Final = 300.0
_FIRST_PAUSE: Final = 0.5
_LONGEST_PAUSE: Final = 30.0
#: Seconds of silence after which a watch counts as dead; bookmarks come every minute.
_IDLE: Final = 150.0
#: Corrections of one work that are made at once though they follow each other; the next ones wait 2 s, 4 s, ...
_AT_ONCE: Final = 10
_LONGEST_DELAY: Final = 240.0
#: Seconds without a correction after which the next one counts as the first.
_QUIET: Final = 30.0


class Tracked(NamedTuple):
    """An object that a work applied."""

    ref: ResourceRef
    namespace: str
    name: str


class Left(NamedTuple):
    """How a work left an object. ``mark`` None: no change of the object is any concern of the work's strategy."""

    version: int
    mark: Hashable | None
    contents: bool = True
    """Whether a change of its contents is one of the mark."""


def left(live: Manifest, *, contents: bool = True) -> Left:
    """How an object was left."""
    metadata = msgspec.convert(live.get("metadata") or {}, Metadata)
    return Left(_number(metadata), _mark(metadata, contents), contents)


#: An object that a work only looks at.
READ_ONLY: Final = Left(0, None)


def _number(metadata: Metadata) -> int:
    """The resource version for comparing; 0 where the server uses something else."""
    text = metadata.resource_version
    return int(text) if text.isascii() and text.isdigit() else 0


def _mark(metadata: Metadata, contents: bool) -> Hashable:
    """What changes when somebody changes the object. Its status counts only where there is no generation."""
    return hash(
        (
            metadata.uid,
            (metadata.generation or metadata.resource_version) if contents else 0,
            tuple(sorted((metadata.labels or {}).items())) if contents else (),
            tuple(sorted((metadata.annotations or {}).items())) if contents else (),
            tuple((owner.kind, owner.name, owner.uid) for owner in metadata.owner_references or ()),
            metadata.deletion_timestamp is not None,
        )
    )


_Marks = tuple[Hashable, Hashable]


@dataclass
class _Object:
    """What is tracked of an object: how each of its works left it, which works follow all its changes, and the marks of
    its newest state, without and with its contents (None: deleted).
    """

    left: dict[str, Left] = field(default_factory=dict)
    followers: set[str] = field(default_factory=set)
    seen: int = 0
    marks: _Marks | None = None


class Watches:
    """The watches of one cluster. ``run()`` must be running.

    ``drifted(work, delay)`` is called when a work is to be applied again in so many seconds, ``changed(work)`` when an
    object changed that a work follows (feedback by watching). At most ``limit`` watches run.
    """

    def __init__(
        self, client: Client, *, drifted: Callable[[str, float], None], changed: Callable[[str], None], limit: int
    ) -> None:
        self._client = client
        self._drifted = drifted
        self._changed = changed
        self._limit = limit
        self._objects: dict[ResourceRef, dict[tuple[str, str], _Object]] = {}
        self._works: dict[str, set[Tracked]] = {}
        self._busy: set[str] = set()
        self._refused: dict[tuple[ResourceRef, str], float] = {}
        self._running: dict[tuple[ResourceRef, str], asyncio.Task[None]] = {}
        self._corrections: dict[str, _Corrections] = {}
        self._wake = asyncio.Event()

    @contextmanager
    def applying(self, work: str) -> Iterator[None]:
        """While a work is being applied its own changes are no drift; what others change is noticed by ``track``."""
        self._busy.add(work)
        try:
            yield
        finally:
            self._busy.discard(work)

    def track(self, work: str, applied: Mapping[Tracked, Left], followed: Iterable[Tracked] = ()) -> None:
        """What a work applied, as it was left; replaces what was tracked of it before."""
        before = self._works.get(work, set())
        for gone in before - applied.keys():
            self._untrack(work, gone)
        following = set(followed)
        for tracked, state in applied.items():
            entry = self._objects.setdefault(tracked.ref, {}).setdefault((tracked.namespace, tracked.name), _Object())
            entry.left[work] = state
            (entry.followers.add if tracked in following else entry.followers.discard)(work)
            if entry.seen > state.version and _differs(state, entry.marks):
                self._correct(work)
        if applied:
            self._works[work] = set(applied)
        else:
            self._works.pop(work, None)
        if before != applied.keys():
            self._wake.set()

    def forget(self, work: str) -> None:
        """Nothing of a work is to be watched any more."""
        self.track(work, {})
        self._corrections.pop(work, None)

    def _untrack(self, work: str, tracked: Tracked) -> None:
        objects = self._objects.get(tracked.ref, {})
        entry = objects.get((tracked.namespace, tracked.name))
        if entry is None:
            return
        entry.left.pop(work, None)
        entry.followers.discard(work)
        if not entry.left:
            del objects[tracked.namespace, tracked.name]
        if not objects:
            self._objects.pop(tracked.ref, None)

    # --- running ---------------------------------------------------------------------------------------------------

    async def run(self) -> None:
        """Keeps the watches that are needed running, until cancelled."""
        async with asyncio.TaskGroup() as group:
            while True:
                self._wake.clear()
                wanted = self._wanted()
                for key in self._running.keys() - wanted:
                    self._running.pop(key).cancel()
                for key in sorted(wanted - self._running.keys(), key=lambda key: (str(key[0]), key[1])):
                    if len(self._running) >= self._limit:
                        break
                    self._running[key] = group.create_task(self._follow(*key), name=f"watch of {key[0]} in {key[1]!r}")
                try:
                    async with asyncio.timeout(_REFUSED):
                        await self._wake.wait()
                except TimeoutError:
                    continue

    def _wanted(self) -> set[tuple[ResourceRef, str]]:
        now = monotonic()
        self._refused = {key: until for key, until in self._refused.items() if until > now}
        wanted: set[tuple[ResourceRef, str]] = set()
        for ref, objects in self._objects.items():
            namespaces = {namespace for namespace, _ in objects}
            if len(namespaces) > _NAMESPACES and (ref, "") not in self._refused:
                namespaces = {""}
            wanted.update((ref, namespace) for namespace in namespaces)
        return wanted - self._refused.keys()

    async def _follow(self, ref: ResourceRef, namespace: str) -> None:
        """One watch for good: resumed where it ended, begun anew where its version is lost."""
        version = ""
        pause = _FIRST_PAUSE
        while True:
            began = monotonic()
            try:
                batches = self._client.watch_batches(
                    ref,
                    namespace or None,
                    resource_version=version,
                    timeout_seconds=random.randint(300, 600),  # noqa: S311
                    idle=_IDLE,
                    metadata_only=True,
                )
                async with aclosing(batches):
                    async for batch in batches:
                        for event in batch:
                            if isinstance(event, Malformed):
                                continue
                            version = event.resource_version or version
                            if event.object is not None:
                                self._saw(ref, event.object, gone=event.type == DELETED)
            except (Forbidden, NotFound, MethodNotSupported) as error:
                _log.info("what is applied to %s in %r can't be watched: %s", ref, namespace, error)
                self._refused[ref, namespace] = monotonic() + _REFUSED
                self._running.pop((ref, namespace), None)
                self._wake.set()
                return
            except (KubeError, ValueError) as error:
                _log.debug("watch of %s in %r: %s", ref, namespace, error)
                if isinstance(error, Gone) or (isinstance(error, ApiError) and error.code == 410):
                    version = ""
                    self._missed(ref, namespace)
            pause = _FIRST_PAUSE if monotonic() - began > _LONGEST_PAUSE else min(_LONGEST_PAUSE, pause * 2)
            await asyncio.sleep(pause * random.uniform(0.5, 1.0))  # noqa: S311

    # --- deciding --------------------------------------------------------------------------------------------------

    def _saw(self, ref: ResourceRef, snapshot: Snapshot[Any], *, gone: bool) -> None:
        entry = self._objects.get(ref, {}).get((snapshot.namespace, snapshot.name))
        if entry is None:
            return
        version = _number(snapshot.metadata)
        entry.seen = version
        entry.marks = None if gone else (_mark(snapshot.metadata, False), _mark(snapshot.metadata, True))
        for work, state in entry.left.items():
            if work not in self._busy and not 0 < version <= state.version and _differs(state, entry.marks):
                self._correct(work)
        for work in entry.followers:
            self._changed(work)

    def _missed(self, ref: ResourceRef, namespace: str) -> None:
        """Events are lost, deletions among them: all works of these objects are looked at again."""
        for (at, _), entry in self._objects.get(ref, {}).items():
            if not namespace or at == namespace:
                for work in entry.left:
                    self._correct(work)

    def _correct(self, work: str) -> None:
        """Has a work applied again: some times at once, then with growing delays while changes follow each other."""
        delay = self._corrections.setdefault(work, _Corrections()).delay(monotonic())
        if delay is not None:
            self._drifted(work, delay)


@dataclass
class _Corrections:
    """The corrections of one work that followed each other."""

    count: int = 0
    due: float = float("-inf")
    _delay: float = 0.0

    def delay(self, now: float) -> float | None:
        """Seconds after which to correct once more; None where it is already to be done."""
        if now < self.due:
            return None
        if now - self.due > self._delay + _QUIET:
            self.count = 0
        self.count += 1
        self._delay = min(_LONGEST_DELAY, 2.0 ** (self.count - _AT_ONCE)) if self.count > _AT_ONCE else 0.0
        self.due = now + self._delay
        return self._delay


def _differs(state: Left, marks: _Marks | None) -> bool:
    """Whether an object (None: it is gone) isn't as it was left, in what concerns the work."""
    if state.mark is None:
        return False
    return marks is None or marks[state.contents] != state.mark
