"""A server's door: HTTP/1.1 on aiohttp's low-level server.

No router, no middlewares: each request becomes an ``HttpRequest`` and goes to one function. Streams write chunks to
the transport themselves, which costs a fraction of going through the response object event by event.
"""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING, Any, Final

from aiohttp import web

from merope.controlplane.errors import REQUEST_LIMIT
from merope.controlplane.http.message import HttpRequest

if TYPE_CHECKING:
    from merope.controlplane.http.message import HttpResponse
    from merope.controlplane.server import Server

_KEEP_ALIVE: Final = 180.0
_LINE_LIMIT: Final = 64 * 1024


def protocol_factory(server: Server) -> web.Server:
    """Makes the protocol of each connection to ``server``; ``shutdown(seconds)`` ends them all.

    To be called within a running loop.
    """
    return web.Server(
        functools.partial(_serve, server),
        handler_cancellation=True,
        access_log=None,
        keepalive_timeout=_KEEP_ALIVE,
        max_line_size=_LINE_LIMIT,
        max_field_size=_LINE_LIMIT,
        auto_decompress=True,
    )


async def _serve(server: Server, request: web.BaseRequest) -> web.StreamResponse:
    transport = request.transport
    certificate: bytes | None = None
    if transport is not None:
        ssl_object = transport.get_extra_info("ssl_object")
        if ssl_object is not None:
            certificate = ssl_object.getpeercert(binary_form=True)
    body, oversized = b"", False
    if request.can_read_body:
        if transport is not None and request.headers.get("Expect", "").lower() == "100-continue":
            transport.write(b"HTTP/1.1 100 Continue\r\n\r\n")
        body, oversized = await _read(request)
    response = await server.handle(
        HttpRequest(
            request.method,
            request.raw_path,
            request.headers,
            body,
            certificate,
            request.remote or "",
            oversized,
        )
    )
    if response.stream is None:
        return web.Response(status=response.status, headers=response.headers, body=response.body)
    return await _stream(request, response)


async def _stream(request: web.BaseRequest, response: HttpResponse) -> web.StreamResponse:
    out = web.StreamResponse(status=response.status, headers=response.headers)
    out.enable_chunked_encoding()
    writer: Any = await out.prepare(request)
    if response.immediate:
        writer.send_headers()

    async def write(data: bytes) -> None:
        transport = writer.transport
        if transport is None or transport.is_closing():
            raise ConnectionResetError("the client has gone")
        writer.send_headers()
        transport.write(b"%x\r\n%b\r\n" % (len(data), data))
        await writer.drain()

    assert response.stream is not None
    try:
        await response.stream(write)
    except ConnectionError:
        return out
    await out.write_eof()
    return out


async def _read(request: web.BaseRequest) -> tuple[bytes, bool]:
    """The body, and whether it is longer than the server takes."""
    length = request.content_length
    if length is not None and length > REQUEST_LIMIT:
        return b"", True
    pieces: list[bytes] = []
    size = 0
    content = request.content
    while True:
        piece = await content.readany()
        if not piece:
            return pieces[0] if len(pieces) == 1 else b"".join(pieces), False
        size += len(piece)
        if size > REQUEST_LIMIT:
            return b"", True
        pieces.append(piece)
