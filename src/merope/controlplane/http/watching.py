"""Watch responses: events, one JSON object a line, until the deadline, the end of the resource, or of the client."""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final

import orjson
from multidict import CIMultiDict

from merope.controlplane.entry import Change, Entry, EventType
from merope.controlplane.errors import ApiError, expired
from merope.controlplane.http import rendering
from merope.controlplane.http.message import JSON, HttpResponse, Write
from merope.controlplane.http.negotiation import Output
from merope.controlplane.http.options import ListOptions
from merope.controlplane.resource import Object, Request, Resource
from merope.controlplane.store import Expired
from merope.controlplane.watch import EventEncoder, Watcher, event_line, stream

if TYPE_CHECKING:
    from merope.controlplane.registry.views import Views
    from merope.controlplane.server import Server

#: Seconds that a watch lasts where the client names no limit: at least this, at most twice as long.
_MIN_TIMEOUT: Final = 1800
_INITIAL_END: Final = "k8s.io/initial-events-end"


async def watch_response(server: Server, request: Request, options: ListOptions, output: Output) -> HttpResponse:
    """Accept a watch. What can be wrong with the request is raised here; later failures are ERROR events."""
    include = request.options.query.get("includeObject", "")
    selection = server.registry.selection(request, options)
    resource = request.resource
    timeout: float = (
        options.timeout if options.timeout else random.uniform(_MIN_TIMEOUT, 2 * _MIN_TIMEOUT)  # noqa: S311
    )
    try:
        watcher = await server.registry.watch(request, options)
    except Expired as error:
        message = f"too old resource version: {options.version} ({error.oldest})"
        return _failed(expired(message))
    form = ("watch", resource.group, resource.version, output.kind, output.version, include)
    encoder: EventEncoder
    if output.kind == "Table":
        encoder = _TableEncoder(form, _table_line(server.views, resource, output, include), selection)
    elif output.kind:
        encoder = EventEncoder(form, _partial_line(server.views, resource, output), selection)
    else:
        encoder = EventEncoder(form, _plain_line(server.views, resource), selection)
    bookmark = _bookmark(resource, output, include)
    initial_end: Callable[[int], bytes] | None = None
    if options.initial_events and options.bookmarks:

        def initial_end(rv: int) -> bytes:
            return bookmark(rv, initial=True)

    async def produce(write: Write) -> None:
        server.metrics.watches += 1
        try:
            await stream(
                _prepared(server.views, resource, watcher),
                encoder,
                write,
                initial_end=initial_end,
                bookmark=bookmark if options.bookmarks else None,
                timeout=timeout,
            )
        finally:
            server.metrics.watches -= 1

    return HttpResponse(200, CIMultiDict({"Content-Type": JSON}), None, produce, immediate=True)


def _failed(error: ApiError) -> HttpResponse:
    """A stream of one ERROR event, as a watch that was accepted reports that it cannot go on."""

    async def produce(write: Write) -> None:
        await write(event_line("ERROR", orjson.dumps(error.status())))

    return HttpResponse(200, CIMultiDict({"Content-Type": JSON}), None, produce, immediate=True)


def _plain_line(views: Views, resource: Resource) -> Callable[[EventType, Entry], bytes]:
    def line(type: EventType, entry: Entry) -> bytes:
        if views.as_stored(resource, entry):
            return event_line(type, entry.data)
        return event_line(type, orjson.dumps(views.shared_now(resource, entry)))

    return line


def _partial_line(views: Views, resource: Resource, output: Output) -> Callable[[EventType, Entry], bytes]:
    def line(type: EventType, entry: Entry) -> bytes:
        return event_line(type, orjson.dumps(rendering.partial(views.shared_now(resource, entry), output)))

    return line


def _table_line(views: Views, resource: Resource, output: Output, include: str) -> Callable[..., bytes]:
    def line(type: EventType, entry: Entry, *, headers: bool = False) -> bytes:
        metadata = {"resourceVersion": str(entry.rv)}
        obj = views.shared_now(resource, entry)
        return event_line(
            type, orjson.dumps(rendering.table(resource, [obj], output, include, metadata, headers=headers))
        )

    return line


class _TableEncoder(EventEncoder):
    """Table rows, of which the first to be sent brings the definitions of the columns."""

    __slots__ = ("_first", "_line", "_selected")

    def __init__(self, form: Any, line: Callable[..., bytes], selection: Any) -> None:
        super().__init__(form, line, selection)
        self._line = line
        self._selected = selection
        self._first = True

    def line(self, change: Change) -> bytes | None:
        """The line of a change."""
        if not self._first:
            return super().line(change)
        event = change.event(self._selected)
        if event is None:
            return None
        self._first = False
        return self._line(*event, headers=True)

    def initial(self, entry: Entry) -> bytes | None:
        """The line of an object that was there at the start."""
        matches = self._selected.matches
        if matches is not None and not matches(entry):
            return None
        first, self._first = self._first, False
        return self._line("ADDED", entry, headers=first)


def _bookmark(resource: Resource, output: Output, include: str) -> Callable[..., bytes]:
    """Makes bookmark events: an object of the watched kind that has nothing but a version."""

    def line(rv: int, *, initial: bool = False) -> bytes:
        metadata: Object = {"resourceVersion": str(rv)}
        if initial:
            metadata["annotations"] = {_INITIAL_END: "true"}
        obj: Object = {"kind": resource.kind, "apiVersion": resource.api_version, "metadata": metadata}
        if output.kind == "Table":
            obj = rendering.table(resource, [obj], output, include, {"resourceVersion": str(rv)}, headers=False)
        elif output.kind:
            obj = rendering.partial(obj, output)
        return event_line("BOOKMARK", orjson.dumps(obj))

    return line


def _prepared(views: Views, resource: Resource, watcher: Watcher) -> Watcher:
    """The watcher; where objects are converted by a webhook, one that waits for the conversions first."""
    if not getattr(resource.strategy, "converts_remotely", False):
        return watcher
    return _ConvertingWatcher(views, resource, watcher)  # type: ignore[return-value]


class _ConvertingWatcher:
    """Converts what a watcher brings before anyone encodes it, since encoding cannot wait."""

    def __init__(self, views: Views, resource: Resource, watcher: Watcher) -> None:
        self._views = views
        self._resource = resource
        self._watcher = watcher
        self.initial = watcher.initial
        self._ready = False

    @property
    def start(self) -> int:
        """The version of the initial objects."""
        return self._watcher.start

    @property
    def rv(self) -> int:
        """The version up to which everything was handed out."""
        return self._watcher.rv

    @property
    def closed(self) -> str:
        """Why the watch ended."""
        return self._watcher.closed

    async def batch(self, timeout: float | None = None) -> list[Change]:
        """The next changes, converted."""
        changes = await self._watcher.batch(timeout)
        for change in changes:
            await self._views.encoded(self._resource, change.entry)
            if change.previous is not None:
                await self._views.encoded(self._resource, change.previous)
        return changes

    def close(self, reason: str = "done") -> None:
        self._watcher.close(reason)
