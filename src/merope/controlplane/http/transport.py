"""A server's door: HTTP/1.1 on aiohttp's low-level server.

No router, no middlewares: each request becomes an ``HttpRequest`` and goes to one function. Streams write chunks to
the transport themselves, which costs a fraction of going through the response object event by event.

Nobody may hold what others need: a body must arrive, and an answer must be taken, in about the time that a request
may last, and all bodies together have a limit. Heads of requests and idle connections have aiohttp's keep-alive time.
"""

from __future__ import annotations

import asyncio
import functools
import logging
from typing import TYPE_CHECKING, Any, Final

import orjson
from aiohttp import web

from merope.controlplane.errors import REQUEST_LIMIT, ApiError, bad_request, timeout, too_many_requests
from merope.controlplane.http.message import JSON, HttpRequest

if TYPE_CHECKING:
    from merope.controlplane.http.message import HttpResponse
    from merope.controlplane.server import Server

_KEEP_ALIVE: Final = 180.0
_LINE_LIMIT: Final = 64 * 1024
#: Seconds in which a body must have arrived.
BODY_TIMEOUT: Final = 60.0
#: Seconds for which a client may leave an answer lying that it was sent.
WRITE_TIMEOUT: Final = 60.0
#: Seconds in which a client may finish a body that nobody reads any more, so that it gets to see the answer.
LINGER: Final = 10.0
#: Bytes of bodies that a server holds at the same time, wherever they come from.
BODIES_LIMIT: Final = 256 * 1024 * 1024

_logger = logging.getLogger(__name__)


class _Connection(web.RequestHandler):
    """One connection; given up when its client takes nothing for too long."""

    __slots__ = ("_stalled",)

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._stalled: asyncio.TimerHandle | None = None

    def pause_writing(self) -> None:
        """The transport holds more than the client takes: the clock starts."""
        super().pause_writing()
        self._stalled = asyncio.get_running_loop().call_later(WRITE_TIMEOUT, self._give_up)

    def resume_writing(self) -> None:
        """The client has caught up."""
        self._forget()
        super().resume_writing()

    def connection_lost(self, exc: BaseException | None) -> None:
        """The connection has ended."""
        self._forget()
        super().connection_lost(exc)

    async def shutdown(self, timeout: float | None = 15.0) -> None:
        """End the connection: at once where it is idle, else when its request is answered or the time is up."""
        self.close()
        await super().shutdown(timeout)

    def _forget(self) -> None:
        if self._stalled is not None:
            self._stalled.cancel()
            self._stalled = None

    def _give_up(self) -> None:
        self._stalled = None
        if self.transport is not None:
            _logger.info("a client took nothing of its answer for %g s and is cut off", WRITE_TIMEOUT)
            self.transport.abort()

    def handle_error(
        self,
        request: web.BaseRequest,
        status: int = 500,
        exc: BaseException | None = None,
        message: str | None = None,
    ) -> web.StreamResponse:
        """The answer to what is no request. What was sent is not logged: it may be a credential."""
        if status == 400:
            _logger.debug("a client sent something that is no request: %s", type(exc).__name__)
            response = web.Response(status=400, text="400 Bad Request\n")
            response.force_close()
            return response
        return super().handle_error(request, status, exc, message)


class _Door(web.Server):
    """Makes the connections, and counts what their bodies hold."""

    def __init__(self, server: Server) -> None:
        super().__init__(functools.partial(_serve, server, self), handler_cancellation=True)
        self.held = 0

    def __call__(self) -> web.RequestHandler:
        return _Connection(
            self,
            loop=asyncio.get_running_loop(),
            access_log=None,
            keepalive_timeout=_KEEP_ALIVE,
            lingering_time=LINGER,
            max_line_size=_LINE_LIMIT,
            max_field_size=_LINE_LIMIT,
            # As in Kubernetes, bodies come as they are; what is compressed is no JSON.
            auto_decompress=False,
        )


def protocol_factory(server: Server) -> web.Server:
    """Makes the protocol of each connection to ``server``; ``shutdown(seconds)`` ends them all.

    To be called within a running loop.
    """
    return _Door(server)


async def _serve(server: Server, door: _Door, request: web.BaseRequest) -> web.StreamResponse:
    if not request.can_read_body:
        return await _answer(server, request, b"", oversized=False)
    transport = request.transport
    if transport is not None and request.headers.get("Expect", "").lower() == "100-continue":
        transport.write(b"HTTP/1.1 100 Continue\r\n\r\n")
    pieces: list[bytes] = []
    try:
        try:
            async with asyncio.timeout(BODY_TIMEOUT):
                oversized = await _read(door, request, pieces)
        except TimeoutError:
            return _refusal(timeout("the body did not arrive within the allotted time"))
        except web.RequestPayloadError:
            return _refusal(bad_request("the body is not encoded as its headers say"))
        except ApiError as error:
            return _refusal(error)
        body = pieces[0] if len(pieces) == 1 else b"".join(pieces)
        return await _answer(server, request, body, oversized=oversized)
    finally:
        door.held -= sum(map(len, pieces))


def _refusal(error: ApiError) -> web.Response:
    """An answer to a request of which not all was read, after which the connection cannot go on."""
    headers = {**error.headers, "Content-Type": JSON}
    response = web.Response(status=error.code, headers=headers, body=orjson.dumps(error.status()))
    response.force_close()
    return response


async def _answer(server: Server, request: web.BaseRequest, body: bytes, *, oversized: bool) -> web.StreamResponse:
    transport = request.transport
    certificate: bytes | None = None
    if transport is not None:
        ssl_object = transport.get_extra_info("ssl_object")
        if ssl_object is not None:
            certificate = ssl_object.getpeercert(binary_form=True)
    response = await server.handle(
        HttpRequest(
            request.method,
            _origin_form(request.raw_path),
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


def _origin_form(target: str) -> str:
    """The path and query of a request's target, which clients may also send as a whole URL."""
    if target.startswith("/"):
        return target
    scheme, separator, rest = target.partition("://")
    return "/" + rest.partition("/")[2] if separator and scheme.lower() in ("http", "https") else target


async def _read(door: _Door, request: web.BaseRequest, pieces: list[bytes]) -> bool:
    """Read the body into ``pieces``; whether it is longer than the server takes."""
    length = request.content_length
    if length is not None and length > REQUEST_LIMIT:
        return True
    size = 0
    content = request.content
    while piece := await content.readany():
        size += len(piece)
        if size > REQUEST_LIMIT:
            return True
        if door.held + len(piece) > BODIES_LIMIT:
            raise too_many_requests("too many large requests at once, please try again later", 1)
        door.held += len(piece)
        pieces.append(piece)
    return False
