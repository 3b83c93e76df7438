"""A watch stream, from chunks of bytes to events.

The server sends one JSON object a line. A line is split into its type and the bytes of its object without decoding
the object; what can't be understood becomes an event too (``malformed``), because one broken line must not cost a
controller its view of everything else.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Final, Generic, TypeVar

import msgspec
import orjson

from merope.kube.errors import ApiError, error_from_status
from merope.kube.resources import ResourceRef
from merope.kube.snapshot import Snapshot

V = TypeVar("V")

ADDED: Final = "ADDED"
MODIFIED: Final = "MODIFIED"
DELETED: Final = "DELETED"
BOOKMARK: Final = "BOOKMARK"

INITIAL_EVENTS_END: Final = "k8s.io/initial-events-end"
_LINE_LIMIT: Final = 64 * 1024 * 1024


class _Line(msgspec.Struct):
    type: str
    object: msgspec.Raw


class _BookmarkMeta(msgspec.Struct, rename="camel"):
    resource_version: str = ""
    annotations: dict[str, str] | None = None


class _Bookmark(msgspec.Struct):
    metadata: _BookmarkMeta


_line: Final = msgspec.json.Decoder(_Line)
_bookmark: Final = msgspec.json.Decoder(_Bookmark)


@dataclass(frozen=True, slots=True)
class WatchEvent(Generic[V]):
    """One event. ``object`` is None for bookmarks; ``initial_end`` marks the bookmark after the initial state."""

    type: str
    object: Snapshot[V] | None
    resource_version: str
    initial_end: bool = False


@dataclass(frozen=True, slots=True)
class Malformed:
    """A line that is no event, or whose object is none. ``error`` says why; the content is not repeated: it may be
    a Secret.
    """

    error: str


async def lines(chunks: AsyncIterator[bytes]) -> AsyncIterator[list[bytes]]:
    """The complete lines of each chunk, together: what arrived at once can be handled at once."""
    rest: list[bytes] = []
    size = 0
    async for chunk in chunks:
        end = chunk.rfind(b"\n")
        if end < 0:
            rest.append(chunk)
            size += len(chunk)
            if size > _LINE_LIMIT:
                raise ValueError(f"a watch event of more than {_LINE_LIMIT} bytes")
            continue
        whole = b"".join((*rest, chunk[:end]))
        rest = [chunk[end + 1 :]] if end + 1 < len(chunk) else []
        size = len(chunk) - end - 1
        yield [line for line in whole.split(b"\n") if line]
    last = b"".join(rest).strip()
    if last:
        yield [last]


def parse(line: bytes, ref: ResourceRef, type_: type[V] | None) -> WatchEvent[V] | Malformed:
    """One line as an event. Raises ``ApiError`` (``Expired``, mostly) for an ERROR event: it ends the watch."""
    try:
        split = _line.decode(line)
        if split.type == BOOKMARK:
            metadata = _bookmark.decode(split.object).metadata
            ended = (metadata.annotations or {}).get(INITIAL_EVENTS_END) == "true"
            return WatchEvent(BOOKMARK, None, metadata.resource_version, ended)
        if split.type in (ADDED, MODIFIED, DELETED):
            snapshot = Snapshot(bytes(split.object), ref, type_)
            return WatchEvent(split.type, snapshot, snapshot.resource_version)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        return Malformed(str(error))
    if split.type == "ERROR":
        raise _error(split.object, ref)
    return Malformed(f"unknown event type {split.type[:32]!r}")


def _error(status: msgspec.Raw, ref: ResourceRef) -> ApiError:
    try:
        decoded = orjson.loads(bytes(status))
    except ValueError:
        decoded = {}
    return error_from_status(decoded if isinstance(decoded, dict) else {}, request=f"watch {ref}")
