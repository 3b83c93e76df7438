"""Objects as the client asked for them: plain, as a table, as metadata only; in JSON or YAML.

Plain JSON of stored objects is never decoded: a list joins the stored bytes and is sent piece by piece.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final

import orjson
from multidict import CIMultiDict

from merope.controlplane.entry import Entry
from merope.controlplane.http.message import HttpResponse, Write
from merope.controlplane.http.negotiation import Output
from merope.controlplane.registry.listing import ListResult
from merope.controlplane.resource import GroupVersionKind, Object, Resource
from merope.controlplane.scheme import tables

if TYPE_CHECKING:
    from merope.controlplane.server import Server

#: Lists beyond this size are streamed.
_STREAM_BYTES: Final = 512 * 1024
_PIECE_BYTES: Final = 256 * 1024
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
        import yaml

        value = orjson.loads(obj) if isinstance(obj, bytes) else obj
        dumper = getattr(yaml, "CSafeDumper", yaml.SafeDumper)
        data = yaml.dump(value, Dumper=dumper, sort_keys=True, allow_unicode=True, width=1 << 30).encode()
    elif output.pretty:
        data = orjson.dumps(orjson.loads(obj) if isinstance(obj, bytes) else obj, option=orjson.OPT_INDENT_2) + b"\n"
    else:
        data = obj if isinstance(obj, bytes) else orjson.dumps(obj)
    return HttpResponse(status, CIMultiDict({"Content-Type": output.media}), data)


async def entry_response(
    server: Server, resource: Resource, entry: Entry, output: Output, include: str, status: int = 200
) -> HttpResponse:
    """A stored object."""
    if not output.kind:
        return document(await server.views.encoded(resource, entry), output, status)
    return object_response(resource, await server.views.shared(resource, entry), output, include, status)


def object_response(resource: Resource, obj: Object, output: Output, include: str, status: int = 200) -> HttpResponse:
    """An object that is not stored (dry run, subresource, the last state of a deleted one)."""
    if output.kind == "Table" and obj.get("kind") != "Status":
        metadata = {"resourceVersion": (obj.get("metadata") or {}).get("resourceVersion", "")}
        return document(table(resource, [obj], output, include, metadata), output, status)
    if output.kind == "PartialObjectMetadata" and obj.get("kind") != "Status":
        return document(partial(obj, output), output, status)
    return document(obj, output, status)


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
    """A page of a list."""
    if output.kind == "Table":
        tables.check_include_object(include or "Metadata")
        return document(await _table(server, resource, page, output, include), output)
    if output.kind == "PartialObjectMetadataList":
        items = []
        deadline = time.perf_counter() + _SLICE
        for entry in page.entries:
            items.append(partial(await server.views.shared(resource, entry), output))
            if time.perf_counter() > deadline:
                await asyncio.sleep(0)
                deadline = time.perf_counter() + _SLICE
        body = {
            "kind": "PartialObjectMetadataList",
            "apiVersion": output.api_version,
            "metadata": list_metadata(resource, page),
            "items": items,
        }
        return document(body, output)
    gvk = GroupVersionKind(resource.group, resource.version, resource.list_kind)
    head = orjson.dumps(
        {
            "kind": gvk.kind,
            "apiVersion": gvk.api_version,
            "metadata": list_metadata(resource, page, always_continue=not resource.builtin),
        }
    )
    objects = await server.views.encoded_all(resource, page.entries)
    if resource.builtin:
        prefix = b'{"apiVersion":"%b","kind":"%b",' % (resource.api_version.encode(), resource.kind.encode())
        cut = len(prefix)
        objects = [b"{" + item[cut:] if item.startswith(prefix) else item for item in objects]
    opening = head[:-1] + b',"items":['
    size = sum(map(len, objects))
    if output.yaml or size < _STREAM_BYTES:
        return document(opening + b",".join(objects) + b"]}", output)

    async def stream(write: Write) -> None:
        pending: list[bytes] = []
        held = 0
        separator = opening
        for item in objects:
            pending.append(separator)
            pending.append(item)
            separator = b","
            held += len(item)
            if held >= _PIECE_BYTES:
                await write(b"".join(pending))
                pending.clear()
                held = 0
                await asyncio.sleep(0)
        pending.append(b"]}")
        await write(b"".join(pending))

    return HttpResponse(200, CIMultiDict({"Content-Type": output.media}), None, stream)


async def _table(server: Server, resource: Resource, page: ListResult, output: Output, include: str) -> Object:
    """A table made slice by slice, so that a long one does not hold the loop."""
    found = table(resource, [], output, include, list_metadata(resource, page))
    rows: list[Any] = found["rows"]
    deadline = time.perf_counter() + _SLICE
    for entry in page.entries:
        obj = await server.views.shared(resource, entry)
        rows += tables.table(resource, [obj], include_object=include or "Metadata", headers=False)["rows"]
        if time.perf_counter() > deadline:
            await asyncio.sleep(0)
            deadline = time.perf_counter() + _SLICE
    return found
