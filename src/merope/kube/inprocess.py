"""A transport to a control plane that lives in this process: the same bytes, no sockets.

For tests and for simulators that run thousands of agents. The control plane is anything with ``async
handle(request) -> response``; it gets method, target, headers, body and the client certificate (DER), and
authenticates and authorizes as it does over TLS. There is no back door.
"""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Final, Protocol
from urllib.parse import parse_qsl

from multidict import CIMultiDict

from merope.kube.config import ClientConfig
from merope.kube.credentials import Credentials
from merope.kube.errors import ConnectionFailed
from merope.kube.transport import Response

_BUFFERED: Final = 64  # pieces of a stream that may wait for their reader


@dataclass
class InProcessRequest:
    """What the handler gets. ``peer_certificate`` is the client's certificate in DER form."""

    method: str
    target: str
    headers: CIMultiDict[str] = field(default_factory=CIMultiDict)
    body: bytes = b""
    peer_certificate: bytes | None = None
    remote: str = "127.0.0.1"
    oversized: bool = False

    @cached_property
    def path(self) -> str:
        """The path as sent, without the query."""
        return self.target.partition("?")[0]

    @cached_property
    def query(self) -> dict[str, str]:
        """The query's parameters; of a repeated one the first value counts."""
        parameters: dict[str, str] = {}
        for key, value in parse_qsl(self.target.partition("?")[2], keep_blank_values=True):
            parameters.setdefault(key, value)
        return parameters


class Handler(Protocol):
    """A control plane, as far as this transport cares. The response has ``status``, ``headers``, and ``body`` or
    ``stream``.
    """

    async def handle(self, request: Any) -> Any:
        """Answers one request. ``stream`` of the answer is ``async (write) -> None`` with ``async write(bytes)``."""


class InProcessTransport:
    """Calls a control plane of this process. The credential is that of a ``ClientConfig``, as over HTTPS.

    ``request_type`` is called with method, target, headers, body, peer_certificate and remote; by default it is
    ``InProcessRequest``.
    """

    def __init__(
        self, handler: Handler, config: ClientConfig, *, request_type: Callable[..., Any] = InProcessRequest
    ) -> None:
        self._handler = handler
        self._credentials = Credentials(config)
        self._request_type = request_type
        self._impersonation = config.impersonation_headers()
        self._certificate: tuple[bytes | None, bytes | None] = (None, None)
        self._streams: set[_Stream] = set()
        self._closed = False

    async def request(
        self,
        method: str,
        target: str,
        headers: Mapping[str, str],
        body: bytes | None = None,
        *,
        timeout: float | None = None,
        idle: float | None = None,
    ) -> Response:
        if self._closed:
            raise ConnectionFailed(f"{method} {target}: the transport is closed", sent=False)
        credential = await self._credentials.current()
        sent = CIMultiDict(headers)
        sent.extend(self._impersonation)
        if credential.authorization is not None:
            sent["Authorization"] = credential.authorization
        if credential.certificate is not self._certificate[0]:
            self._certificate = (credential.certificate, _der(credential.certificate))
        request = self._request_type(
            method=method,
            target=target,
            headers=sent,
            body=body or b"",
            peer_certificate=self._certificate[1],
            remote="127.0.0.1",
        )
        try:
            async with asyncio.timeout(timeout):
                answer = await self._handler.handle(request)
        except TimeoutError:
            raise ConnectionFailed(f"{method} {target}: timed out") from None
        if answer.stream is not None:
            stream = _Stream(answer.status, answer.headers, answer.stream, idle or timeout, self._streams)
            self._streams.add(stream)
            return stream
        return _Whole(answer.status, answer.headers, answer.body or b"")

    def renew(self) -> bool:
        return self._credentials.invalidate()

    @property
    def certified(self) -> bool:
        return False  # nothing is refused before it is answered: there is no handshake

    async def alive(self, *, anonymous: bool) -> bool:
        return not self._closed

    async def close(self) -> None:
        self._closed = True
        for stream in list(self._streams):
            await stream.close()


@dataclass(slots=True)
class _Whole:
    status: int
    headers: Mapping[str, str]
    _body: bytes

    async def read(self) -> bytes:
        return self._body

    async def chunks(self) -> AsyncIterator[bytes]:
        yield self._body

    async def close(self) -> None:
        return None


class _Stream:
    """A response whose body a task of the control plane writes, with a bounded buffer between it and the reader."""

    def __init__(
        self,
        status: int,
        headers: Mapping[str, str],
        produce: Callable[[Callable[[bytes], Awaitable[None]]], Awaitable[None]],
        idle: float | None,
        owner: set[_Stream],
    ) -> None:
        self.status = status
        self.headers = headers
        self._idle = idle
        self._owner = owner
        self._queue: asyncio.Queue[bytes | None] = asyncio.Queue(_BUFFERED)
        self._error: Exception | None = None
        self._task = asyncio.create_task(self._run(produce))

    async def _run(self, produce: Callable[[Callable[[bytes], Awaitable[None]]], Awaitable[None]]) -> None:
        try:
            await produce(self._queue.put)
        except Exception as error:
            self._error = error
        await self._queue.put(None)

    async def read(self) -> bytes:
        return b"".join([chunk async for chunk in self.chunks()])

    async def chunks(self) -> AsyncIterator[bytes]:
        try:
            while True:
                try:
                    async with asyncio.timeout(self._idle):
                        chunk = await self._queue.get()
                except TimeoutError:
                    raise ConnectionFailed("the stream was silent for too long") from None
                if chunk is None:
                    if self._task.cancelled():
                        raise ConnectionFailed("the stream was closed")
                    if self._error is not None:
                        raise ConnectionFailed(f"the stream broke off: {self._error}") from self._error
                    return
                yield chunk
        finally:
            await self.close()

    async def close(self) -> None:
        self._owner.discard(self)
        self._task.cancel()
        await asyncio.wait([self._task])
        while not self._queue.empty():
            self._queue.get_nowait()
        self._queue.put_nowait(None)  # whoever still reads: it is over


def _der(pem: bytes | None) -> bytes | None:
    """The first certificate of a PEM file, in DER form."""
    if pem is None:
        return None
    text = pem.decode("ascii", "ignore")
    start = text.index("-----BEGIN CERTIFICATE-----")
    end = text.index("-----END CERTIFICATE-----") + len("-----END CERTIFICATE-----")
    return ssl.PEM_cert_to_DER_cert(text[start:end])
