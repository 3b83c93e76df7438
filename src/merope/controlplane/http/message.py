"""A request and a response, whatever carries them: a TLS connection or a call within the process."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any
from urllib.parse import parse_qsl

import orjson
from multidict import CIMultiDict

#: Sends a piece of a streamed body; returns when the transport can take more.
Write = Callable[[bytes], Awaitable[None]]
#: Produces a streamed body, piece by piece; returning ends it.
Stream = Callable[[Write], Awaitable[None]]

JSON = "application/json"
YAML = "application/yaml"
TEXT = "text/plain; charset=utf-8"


@dataclass
class HttpRequest:
    """One request. ``target`` is the path with its query, percent-encoded as it was sent.

    ``peer_certificate`` is the client's certificate (DER) where the transport verified one. ``oversized`` tells that
    the body was longer than the server accepts and was not read to its end.
    """

    method: str
    target: str
    headers: Mapping[str, str] = field(default_factory=CIMultiDict)
    body: bytes = b""
    peer_certificate: bytes | None = None
    remote: str = ""
    oversized: bool = False

    @cached_property
    def path(self) -> str:
        """The path as sent, without the query."""
        return self.target.partition("?")[0]

    @cached_property
    def query(self) -> dict[str, str]:
        """The query's parameters; of a repeated one the first value counts."""
        text = self.target.partition("?")[2]
        out: dict[str, str] = {}
        if text:
            for key, value in parse_qsl(text, keep_blank_values=True):
                out.setdefault(key, value)
        return out


@dataclass
class HttpResponse:
    """One response: with ``body``, or with ``stream`` where it is produced as it goes.

    ``immediate`` asks the transport to send the headers before the first piece of the stream is there (watches).
    """

    status: int
    headers: CIMultiDict[str] = field(default_factory=CIMultiDict)
    body: bytes | None = b""
    stream: Stream | None = None
    immediate: bool = False


def json_response(body: Any, status: int = 200, content_type: str = JSON) -> HttpResponse:
    """A JSON document; bytes are taken as already encoded."""
    data = body if isinstance(body, bytes) else orjson.dumps(body)
    return HttpResponse(status, CIMultiDict({"Content-Type": content_type}), data)


def text_response(text: str, status: int = 200) -> HttpResponse:
    return HttpResponse(status, CIMultiDict({"Content-Type": TEXT}), text.encode())
