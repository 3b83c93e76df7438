"""An informer: a cache that follows the server.

It lists, then watches from the version of the list, and goes on like that for good: a watch that ends is resumed
from the last version seen (bookmarks move it along), and only a version that the server no longer has, or doesn't
have yet (410, "too large resource version": a server restored from a backup), makes it list again. Where the server
streams lists (``sendInitialEvents``) the list is the beginning of the watch; where not, it comes in pages.

What may go wrong, and what happens then. Server gone, restarting or overloaded: tries again with jittered, growing
pauses; the cache keeps what it has. A peer that vanished without a word: the server sends a bookmark every minute,
so silence beyond ``idle`` seconds ends the connection. An identity that may list and not watch: lists every
``poll`` seconds. An event that can't be understood: skipped and counted, and the next end of the watch leads to a
fresh list instead of a resume. Large lists are taken in slices, so that nothing else on the event loop waits longer
than a few milliseconds.
"""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import Callable, Hashable, Mapping, Sequence
from contextlib import aclosing
from time import monotonic, perf_counter
from typing import Any, Final, Generic, TypeVar, cast, overload

from merope.api.meta.v1 import Object
from merope.kube.cache import Cache, Handler, IndexFunction
from merope.kube.client import Client
from merope.kube.errors import ApiError, BadRequest, Forbidden, Gone, Invalid, KubeError, NotFound, Unauthorized
from merope.kube.resources import Kind, Manifest, ObjectT, ResourceRef, ref_of
from merope.kube.snapshot import ObjectKey, Snapshot
from merope.kube.watch import DELETED, Malformed, WatchEvent
from merope.lang.selectors import parse_field_selector, parse_label_selector

_log = logging.getLogger(__name__)

V = TypeVar("V")
P = TypeVar("P")

_SLICE: Final = 0.005  # seconds of work before others get a turn
_FIRST_PAUSE: Final = 0.8
_LONGEST_PAUSE: Final = 30.0
_PAGE_BYTES: Final = 4 * 1024 * 1024  # pages larger than this make the next ones smaller
_STREAM_SILENCE: Final = 15.0  # seconds without the end of the initial events: the server doesn't know streaming lists


class Informer(Generic[V]):
    """Follows one resource. Made by ``make_informer()`` or ``Manager.informer()``; ``run()`` must be running."""

    def __init__(
        self,
        client: Client,
        kind: Kind,
        *,
        namespace: str | None = None,
        label_selector: str = "",
        field_selector: str = "",
        projection: Callable[[Snapshot[Any]], V] | None = None,
        indexes: Mapping[str, IndexFunction[V]] | None = None,
        page_size: int = 500,
        idle: float = 150.0,
        poll: float = 60.0,
        first_pause: float = _FIRST_PAUSE,
    ) -> None:
        """``idle`` is the silence (seconds) after which a watch counts as dead; ``poll`` is how often to list where
        watching is forbidden and listing is not.
        """
        self.client = client
        self.kind = kind
        self.ref: ResourceRef = ref_of(kind)
        self.cache: Cache[V] = Cache(indexes)
        self.malformed = 0
        """Events that could not be understood, since the start."""
        self.relists = 0
        """Lists made, the first included."""
        self.error: Exception | None = None
        """Why the last attempt failed; None while it follows."""
        self._type: type[Any] | None = None if isinstance(kind, ResourceRef) else kind
        self._namespace = namespace
        self._label_selector = label_selector
        self._field_selector = field_selector
        self._labels = parse_label_selector(label_selector) if label_selector else None
        self._fields = parse_field_selector(field_selector) if field_selector else None
        self._projection = projection
        self._page_size = page_size
        self._idle = idle
        self._poll = poll
        self._first_pause = first_pause
        self._version: str | None = None
        self._doubtful = False
        self._polling = False
        self._synced = asyncio.Event()
        self._paused_at = perf_counter()

    # --- for controllers -------------------------------------------------------------------------------------------

    @property
    def synced(self) -> bool:
        """Whether the cache has been complete at least once."""
        return self._synced.is_set()

    async def wait_synced(self) -> None:
        """Returns when the cache is complete for the first time."""
        await self._synced.wait()

    @property
    def resource_version(self) -> str:
        """The version that the cache has reached; empty before the first list."""
        return self._version or ""

    def get(self, name: str, namespace: str = "") -> Snapshot[V] | None:
        """One object of the cache, or None."""
        return self.cache.get(name, namespace)

    def list(self, namespace: str | None = None) -> list[Snapshot[V]]:
        """Objects of the cache."""
        return self.cache.list(namespace)

    def by_index(self, index: str, value: Hashable) -> Sequence[Snapshot[V]]:
        """Objects of the cache, by an index."""
        return self.cache.by_index(index, value)

    def add_handler(self, handler: Handler[V]) -> Callable[[], None]:
        """Calls a function for everything cached and then for every change (synchronously: it enqueues, it doesn't
        work).
        """
        return self.cache.add_handler(handler)

    # --- following -------------------------------------------------------------------------------------------------

    async def run(self) -> None:
        """Follows the server until cancelled."""
        unsubscribe = self.client.observe(self.kind, self)
        failures = 0
        try:
            while True:
                started = monotonic()
                version = self._version
                try:
                    await self._follow()
                    self.error = None
                    if monotonic() - started > 1 or self._version != version:
                        failures = 0
                        continue
                    failures += 1  # a server that hangs up at once, again and again, is not to be hammered
                except (KubeError, ValueError) as error:
                    if _version_lost(error):
                        self._version = None
                        if failures == 0:
                            failures = 1
                            _log.info("%s: %s; listing again", self, error)
                            continue
                    if monotonic() - started > 60:
                        failures = 0
                    failures += 1
                    self.error = error
                    level = logging.WARNING if failures in (1, 2, 4, 8) or failures % 16 == 0 else logging.DEBUG
                    _log.log(level, "%s: %s%s", self, error, self._remedy(error))
                pause = min(_LONGEST_PAUSE, self._first_pause * 2 ** min(failures - 1, 10))
                await asyncio.sleep(pause * random.uniform(0.5, 1.5))  # noqa: S311
        finally:
            unsubscribe()

    def _remedy(self, error: Exception) -> str:
        """What whoever reads the log can do about it."""
        if isinstance(error, NotFound):
            return f": {self.client.config.server} does not serve this API; is its CustomResourceDefinition installed?"
        if isinstance(error, Unauthorized):
            config = self.client.config
            where = config.token_file or config.certificate_file
            return f": the credential{f' in {where}' if where else ''} is expired or not of this cluster; renew it"
        return ""

    async def _follow(self) -> None:
        """One watch, with a list before it where there is no version to resume from; returns when the watch ends."""
        if self._doubtful:
            self._doubtful, self._version = False, None
        initial = self._version is None and self.client.streaming_lists
        if self._version is None and not initial:
            await self._list()
        turn = asyncio.timeout(None)
        silence = asyncio.timeout(None)
        try:
            async with turn, self.client.watch_slots.hold(turn):
                try:
                    async with silence:
                        await self._watch(initial, silence)
                except TimeoutError:
                    if not silence.expired():
                        raise
                    _log.info("%s: no end of the initial events; listing in pages from now on", self)
                    self.client.streaming_lists = False
        except TimeoutError:
            if not turn.expired():
                raise
        except (Invalid, BadRequest) as error:
            if not initial:
                raise
            _log.debug("%s: no streaming lists here: %s", self, error)
            self.client.streaming_lists = False
        except Forbidden as error:
            if not self._polling:
                self._polling = True
                _log.warning("%s: %s; listing every %.0f s instead", self, error, self._poll)
            await self._list()
            await asyncio.sleep(self._poll)

    async def _watch(self, initial: bool, silence: asyncio.Timeout) -> None:
        loop = asyncio.get_running_loop()
        listed: dict[ObjectKey, Snapshot[V]] | None = {} if initial else None
        if initial:
            self.cache.begin_relist()
            silence.reschedule(loop.time() + _STREAM_SILENCE)
        batches = self.client.watch_batches(
            self.kind,
            self._namespace,
            resource_version=self._version or "",
            label_selector=self._label_selector,
            field_selector=self._field_selector,
            timeout_seconds=random.randint(300, 600),  # noqa: S311
            initial_events=initial,
            idle=self._idle,
        )
        try:
            async with aclosing(batches):
                async for batch in batches:
                    self._paused_at = perf_counter()
                    for event in batch:
                        if isinstance(event, Malformed):
                            self._skip(event)
                        elif listed is None:
                            self._take(event)
                        elif event.initial_end:
                            silence.reschedule(None)
                            await self._replace(listed, event.resource_version)
                            listed = None
                        elif event.object is not None:
                            self._collect(listed, event.object)
                        await self._breathe()
                    if listed is not None:
                        silence.reschedule(loop.time() + _STREAM_SILENCE)
                    self.error = None
        finally:
            if listed is not None:
                self.cache.abandon_relist()

    def _take(self, event: WatchEvent[Any]) -> None:
        if event.object is not None:
            if event.type == DELETED:
                self.cache.remove(event.object)
            elif (snapshot := self._project(event.object)) is not None:
                self.cache.put(snapshot)
        if event.resource_version:
            self._version = event.resource_version

    def _skip(self, event: Malformed) -> None:
        self.malformed += 1
        self._doubtful = True  # what the event said is lost: the next list will say it again
        _log.warning("%s: skipped an event: %s", self, event.error)

    def _project(self, snapshot: Snapshot[Any]) -> Snapshot[V] | None:
        if self._projection is None:
            return cast("Snapshot[V]", snapshot)
        try:
            return snapshot.project(self._projection)
        except Exception as error:  # an object that doesn't fit its type must not hold up the others
            self._skip(Malformed(f"{snapshot!r}: {error}"))
            return None

    def _collect(self, listed: dict[ObjectKey, Snapshot[V]], snapshot: Snapshot[Any]) -> None:
        projected = self._project(snapshot)
        if projected is None:
            projected = self.cache.get(snapshot.name, snapshot.namespace)  # better what we had than nothing
        if projected is not None:
            listed[snapshot.key] = projected

    async def _list(self) -> None:
        """A list in pages, all of one version."""
        listed: dict[ObjectKey, Snapshot[V]] = {}
        token = ""
        limit = self._page_size
        self.cache.begin_relist()
        try:
            while True:
                page = await self.client.page(
                    cast(ResourceRef, self.kind),
                    self._namespace,
                    label_selector=self._label_selector,
                    field_selector=self._field_selector,
                    limit=limit,
                    continue_token=token,
                )
                self._paused_at = perf_counter()
                for snapshot in page.items:
                    self._collect(listed, snapshot)
                    await self._breathe()
                if page.size > _PAGE_BYTES:
                    limit = max(10, limit * _PAGE_BYTES // page.size)
                token = page.continue_token
                if not token:
                    break
            await self._replace(listed, page.resource_version)
        finally:
            self.cache.abandon_relist()

    async def _replace(self, listed: Mapping[ObjectKey, Snapshot[V]], version: str) -> None:
        for _ in self.cache.relisted(listed, version):
            await self._breathe()
        self._version = version
        self.relists += 1
        self.error = None
        self._synced.set()

    async def _breathe(self) -> None:
        if perf_counter() - self._paused_at > _SLICE:
            await asyncio.sleep(0)
            self._paused_at = perf_counter()

    # --- own writes ------------------------------------------------------------------------------------------------

    def written(self, snapshot: Snapshot[Any]) -> None:
        """The client wrote an object (called by the client): the cache has it before the writer goes on."""
        if not self._synced.is_set() or not self._covers(snapshot):
            return
        projected = self._project(snapshot.typed(self._type))
        if projected is not None:
            self.cache.wrote(projected)

    def deleted(self, key: ObjectKey, uid: str) -> None:
        """The client deleted an object (called by the client)."""
        if self._synced.is_set() and self._namespace in (None, "", key.namespace):
            self.cache.unwrote(key, uid)

    def _covers(self, snapshot: Snapshot[Any]) -> bool:
        """Whether the watch would show this object. Where we can't tell (fields of the kind's own), only what it
        has shown.
        """
        if self._namespace and snapshot.namespace != self._namespace:
            return False
        if self._labels is not None and not self._labels.matches(snapshot.labels):
            return False
        if self._fields is not None:
            known = {"metadata.name": snapshot.name, "metadata.namespace": snapshot.namespace}
            if any(term.path not in known for term in self._fields.terms):
                return snapshot.key in self.cache
            return self._fields.matches(known)
        return True

    def __str__(self) -> str:
        where = f" in {self._namespace}" if self._namespace else ""
        chosen = " ".join(filter(None, (self._label_selector, self._field_selector)))
        return f"informer of {self.ref}{where}{f' ({chosen})' if chosen else ''}"


def _version_lost(error: Exception) -> bool:
    """Whether the server can't go on from our version: it forgot it, or never had it."""
    if isinstance(error, Gone):
        return True
    if not isinstance(error, ApiError):
        return False
    return error.has_cause("ResourceVersionTooLarge") or "too large resource version" in error.message.lower()


@overload
def make_informer(
    client: Client,
    kind: type[ObjectT],
    *,
    namespace: str | None = None,
    label_selector: str = "",
    field_selector: str = "",
    projection: None = None,
    indexes: Mapping[str, IndexFunction[ObjectT]] | None = None,
    page_size: int = 500,
    idle: float = 150.0,
) -> Informer[ObjectT]: ...
@overload
def make_informer(
    client: Client,
    kind: type[ObjectT],
    *,
    namespace: str | None = None,
    label_selector: str = "",
    field_selector: str = "",
    projection: Callable[[Snapshot[ObjectT]], P],
    indexes: Mapping[str, IndexFunction[P]] | None = None,
    page_size: int = 500,
    idle: float = 150.0,
) -> Informer[P]: ...
@overload
def make_informer(
    client: Client,
    kind: ResourceRef,
    *,
    namespace: str | None = None,
    label_selector: str = "",
    field_selector: str = "",
    projection: None = None,
    indexes: Mapping[str, IndexFunction[Manifest]] | None = None,
    page_size: int = 500,
    idle: float = 150.0,
) -> Informer[Manifest]: ...
@overload
def make_informer(
    client: Client,
    kind: ResourceRef,
    *,
    namespace: str | None = None,
    label_selector: str = "",
    field_selector: str = "",
    projection: Callable[[Snapshot[Manifest]], P],
    indexes: Mapping[str, IndexFunction[P]] | None = None,
    page_size: int = 500,
    idle: float = 150.0,
) -> Informer[P]: ...
def make_informer(client: Client, kind: type[Object] | ResourceRef, **options: Any) -> Informer[Any]:
    """An informer whose value type follows from kind and projection.

    ``namespace`` None: all. ``projection`` makes of each object what is kept instead of it. ``indexes`` are named
    functions from an object to the values under which it is to be found.
    """
    return Informer(client, kind, **options)
