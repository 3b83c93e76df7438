"""Objects as the client asked for them: plain, as a table, as metadata only; in JSON or YAML.

Plain JSON of stored objects is never decoded: a list joins the stored bytes and is sent piece by piece.
"""

from __future__ import annotations

import asyncio
import functools
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final

import orjson
from multidict import CIMultiDict

from merope.controlplane.entry import Entry
from merope.controlplane.http.message import HttpResponse, Write
from merope.controlplane.http.negotiation import Output
from merope.controlplane.registry.listing import ListResult
from merope.controlplane.resource import Object, Resource
from merope.controlplane.scheme import tables

if TYPE_CHECKING:
    from merope.controlplane.server import Server

#: Lists beyond this size are streamed.
_STREAM_BYTES: Final = 512 * 1024
_PIECE_BYTES: Final = 256 * 1024
#: JSON from these sizes on takes more than some milliseconds to become YAML, or to be indented.
_SLOW_YAML_BYTES: Final = 4 * 1024
_SLOW_PRETTY_BYTES: Final = 256 * 1024
#: Objects that are encoded between two looks at the clock.
_AT_ONCE: Final = 32
#: Seconds that rendering may hold the event loop.
_SLICE: Final = 0.01


def partial(obj: Mapping[str, Any], output: Output, kind: str = "PartialObjectMetadata") -> Object:
    """The metadata of an object alone."""
    return {"kind": kind, "apiVersion": output.api_version, "metadata": obj.get("metadata") or {}}


def table(
    resource: Resource,
    objects: Sequence[Object],
    output: Output,
    include: str,
    list_meta: Mapping[str, Any] | None = None,
    *,
    headers: bool = True,
) -> Object:
    """A table of objects in the version of meta.k8s.io that was asked for."""
    found = tables.table(resource, objects, list_meta=list_meta, include_object=include or "Metadata", headers=headers)
    found["apiVersion"] = output.api_version
    if not headers:
        found["columnDefinitions"] = None
    return found


def document(obj: Any, output: Output, status: int = 200) -> HttpResponse:
    """A JSON document in the form asked for; bytes are JSON already."""
    if output.yaml:
        from merope.controlplane.http import yamltext

        data = yamltext.dump(orjson.loads(obj) if isinstance(obj, bytes) else obj)
    elif output.pretty:
        data = orjson.dumps(orjson.loads(obj) if isinstance(obj, bytes) else obj, option=orjson.OPT_INDENT_2) + b"\n"
    else:
        data = obj if isinstance(obj, bytes) else orjson.dumps(obj)
    return HttpResponse(status, CIMultiDict({"Content-Type": output.media}), data)


async def encoded_document(data: bytes, output: Output, status: int = 200) -> HttpResponse:
    """``document`` of JSON, made beside the loop where that takes a while."""
    slow = _SLOW_YAML_BYTES if output.yaml else _SLOW_PRETTY_BYTES if output.pretty else len(data)
    if len(data) <= slow:
        return document(data, output, status)
    return await asyncio.to_thread(document, data, output, status)


async def entry_response(
    server: Server, resource: Resource, entry: Entry, output: Output, include: str, status: int = 200
) -> HttpResponse:
    """A stored object."""
    if not output.kind:
        return await encoded_document(await server.views.encoded(resource, entry), output, status)
    return object_response(resource, await server.views.shared(resource, entry), output, include, status)


def object_response(resource: Resource, obj: Object, output: Output, include: str, status: int = 200) -> HttpResponse:
    """An object that is not stored (dry run, subresource, the last state of a deleted one)."""
    if output.kind == "Table" and obj.get("kind") != "Status":
        metadata = {"resourceVersion": (obj.get("metadata") or {}).get("resourceVersion", "")}
        return document(table(resource, [obj], output, include, metadata), output, status)
    if output.kind == "PartialObjectMetadata" and obj.get("kind") != "Status":
        return document(partial(obj, output), output, status)
    return document(obj, output, status)


def scale_table(resource: Resource, scale: Object, output: Output) -> HttpResponse:
    """The scale of an object as a table."""
    metadata = {"resourceVersion": scale["metadata"].get("resourceVersion", "")}
    found = tables.table(resource, [scale], list_meta=metadata, columns=tables.SCALE)
    found["apiVersion"] = output.api_version
    return document(found, output)


def list_metadata(resource: Resource, page: ListResult, *, always_continue: bool = False) -> Object:
    """The metadata of a page."""
    metadata: Object = {"resourceVersion": str(page.version)}
    if page.token or always_continue:
        metadata["continue"] = page.token
    if page.remaining is not None and page.token:
        metadata["remainingItemCount"] = page.remaining
    return metadata


async def list_response(
    server: Server, resource: Resource, page: ListResult, output: Output, include: str
) -> HttpResponse:
    """A page of a list. A long one is streamed, made piece by piece as the transport takes it."""
    if getattr(resource.strategy, "converts_remotely", False):
        # One question to the webhook for all, whose failure is still an answer to the request.
        await server.views.encoded_all(resource, page.entries)
    encode: Callable[[Sequence[Entry]], Awaitable[list[bytes]]]
    if output.kind == "Table":
        tables.check_include_object(include or "Metadata")
        head = table(resource, [], output, include, list_metadata(resource, page))
        del head["rows"]
        members, encode = "rows", functools.partial(_encode_rows, server, resource, include)
    elif output.kind == "PartialObjectMetadataList":
        metadata = list_metadata(resource, page)
        head = {"kind": output.kind, "apiVersion": output.api_version, "metadata": metadata}
        members, encode = "items", functools.partial(_encode_metadata, server, resource, output)
    else:
        metadata = list_metadata(resource, page, always_continue=not resource.builtin)
        head = {"kind": resource.list_kind, "apiVersion": resource.api_version, "metadata": metadata}
        members, encode = "items", functools.partial(_encode_objects, server, resource)
    opening = orjson.dumps(head)[:-1] + b',"%b":[' % members.encode()
    pieces = _pieces(opening, page.entries, encode)
    size = sum(len(entry.data) for entry in page.entries)
    if size < _STREAM_BYTES or output.yaml or output.pretty:
        return await encoded_document(b"".join([piece async for piece in pieces]), output)

    async def stream(write: Write) -> None:
        async for piece in pieces:
            await write(piece)

    return HttpResponse(200, CIMultiDict({"Content-Type": output.media}), None, stream)


async def _pieces(
    opening: bytes, entries: Sequence[Entry], encode: Callable[[Sequence[Entry]], Awaitable[list[bytes]]]
) -> AsyncIterator[bytes]:
    """The text of a list, some objects at a time; between two pieces other tasks run."""
    pending: list[bytes] = [opening]
    held = 0
    first = True
    deadline = time.perf_counter() + _SLICE
    for start in range(0, len(entries), _AT_ONCE):
        for item in await encode(entries[start : start + _AT_ONCE]):
            if not first:
                pending.append(b",")
            first = False
            pending.append(item)
            held += len(item)
        if held >= _PIECE_BYTES or time.perf_counter() > deadline:
            yield b"".join(pending)
            pending.clear()
            held = 0
            await asyncio.sleep(0)
            deadline = time.perf_counter() + _SLICE
    pending.append(b"]}")
    yield b"".join(pending)


async def _encode_objects(server: Server, resource: Resource, entries: Sequence[Entry]) -> list[bytes]:
    """Objects as they are stored; items of built-in lists leave their type out."""
    objects = await server.views.encoded_all(resource, entries)
    if not resource.builtin:
        return objects
    prefix = b'{"apiVersion":"%b","kind":"%b",' % (resource.api_version.encode(), resource.kind.encode())
    cut = len(prefix)
    return [b"{" + item[cut:] if item.startswith(prefix) else item for item in objects]


async def _encode_metadata(server: Server, resource: Resource, output: Output, entries: Sequence[Entry]) -> list[bytes]:
    return [orjson.dumps(partial(await server.views.shared(resource, entry), output)) for entry in entries]


async def _encode_rows(server: Server, resource: Resource, include: str, entries: Sequence[Entry]) -> list[bytes]:
    objects = [await server.views.shared(resource, entry) for entry in entries]
    found = tables.table(resource, objects, include_object=include or "Metadata", headers=False)
    return [orjson.dumps(row) for row in found["rows"]]
