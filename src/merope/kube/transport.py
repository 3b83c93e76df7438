"""The seam of this package: how the bytes of a request reach an API server.

A ``Transport`` takes a method, a target (path and query), headers and a body, and gives a streaming ``Response``.
It owns what depends on the way the server is reached: connections, TLS, proxies, and the credential. The ``Client``
above it knows nothing of sockets. There are two: ``HttpsTransport`` here, and ``InProcessTransport`` for control
planes that live in this process (``merope.kube.inprocess``).

Connections. HTTP/1.1 carries one request at a time, so each running watch holds a connection, and other requests
share what is left. When the credential's certificate changes, the connections made with the old one finish what
they do and close; watches on them are broken off at once and resume on new ones.
"""

from __future__ import annotations

import asyncio
import logging
import socket
import ssl
import sys
from base64 import b64encode
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import suppress
from typing import Final, Protocol

import aiohttp
from multidict import CIMultiDict
from yarl import URL

from merope.kube.config import ClientConfig
from merope.kube.credentials import Credential, Credentials
from merope.kube.errors import ConfigError, ConnectionFailed, error_from_response
from merope.kube.proxy import proxy_for
from merope.kube.tls import client_context

_log = logging.getLogger(__name__)

CONNECT_TIMEOUT: Final = 10.0
_KEEPALIVE: Final = 90.0  # seconds an idle connection is kept: longer than the 60 s between an agent's heartbeats
_DRAIN: Final = 60.0  # seconds that requests on connections of an old certificate have to finish


class Response(Protocol):
    """The head of a response and the means to get the rest. Must be read to its end, or closed."""

    status: int

    @property
    def headers(self) -> Mapping[str, str]:
        """Response headers; lookup ignores case."""

    async def read(self) -> bytes:
        """The whole body. Raises ``ConnectionFailed`` where it ends early."""

    def chunks(self) -> AsyncIterator[bytes]:
        """The body as it arrives. Raises ``ConnectionFailed`` where it breaks off or stays silent for too long."""

    async def close(self) -> None:
        """Lets go of the response, wherever it stands."""


class Transport(Protocol):
    """A way to reach one API server as one identity."""

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
        """Sends a request and waits for the head of the response.

        ``timeout`` limits the whole exchange, ``idle`` the time between two pieces of it (seconds; streams have
        only that). Raises ``ConnectionFailed``; ``ConfigError`` where there is no usable credential.
        """

    def renew(self) -> bool:
        """The server said 401. Returns whether another try could go differently (the credential comes from
        somewhere).
        """

    async def alive(self, *, anonymous: bool) -> bool:
        """Whether a fresh connection, with or without our client certificate, gets any answer on ``/livez``."""

    @property
    def certified(self) -> bool:
        """Whether the current credential includes a client certificate."""

    async def close(self) -> None:
        """Closes all connections. Running requests fail."""


class HttpsTransport:
    """HTTP/1.1 over TLS on aiohttp. ``connections`` limits the open ones (0: no limit)."""

    def __init__(self, config: ClientConfig, *, connections: int = 0) -> None:
        self._config = config
        self._base = config.server.rstrip("/")
        self._credentials = Credentials(config)
        self._limit = connections
        self._pool: _Pool | None = None
        self._draining: set[_Pool] = set()
        self._closers: set[asyncio.Task[None]] = set()
        self._proxy = proxy_for(config.server, config.proxy_url)
        self._impersonation = config.impersonation_headers()

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
        credential = await self._credentials.current()
        pool = self._pool
        if pool is None or pool.credential is not credential:
            pool = self._pool_for(credential)
        sent = CIMultiDict(headers)
        if self._impersonation:
            sent.extend(self._impersonation)
        if credential.authorization is not None:
            sent["Authorization"] = credential.authorization
        if self._config.disable_compression:
            sent["Accept-Encoding"] = "identity"
        return await pool.request(method, self._base + target, sent, body, timeout, idle)

    async def upgrade(self, target: str, protocols: Sequence[str]) -> aiohttp.ClientWebSocketResponse:
        """Opens a WebSocket (exec, attach, port-forward: ``v5.channel.k8s.io`` and its elders); the caller closes
        it.

        Raises ``ApiError`` where the server answers something else, ``ConnectionFailed``.
        """
        credential = await self._credentials.current()
        pool = self._pool
        if pool is None or pool.credential is not credential:
            pool = self._pool_for(credential)
        sent = CIMultiDict(self._impersonation)
        if credential.authorization is not None:
            sent["Authorization"] = credential.authorization
        return await pool.upgrade(self._base + target, sent, protocols)

    def renew(self) -> bool:
        return self._credentials.invalidate()

    @property
    def certified(self) -> bool:
        return self._pool is not None and self._pool.credential.certificate is not None

    async def alive(self, *, anonymous: bool) -> bool:
        credential = await self._credentials.current()
        if anonymous:
            credential = Credential(ca=credential.ca)
        pool = self._make_pool(credential)
        try:
            response = await pool.request("GET", f"{self._base}/livez", {}, None, CONNECT_TIMEOUT, None)
            await response.close()
        except ConnectionFailed:
            return False
        finally:
            await pool.close()
        return True

    async def close(self) -> None:
        pools = [pool for pool in (self._pool, *self._draining) if pool is not None]
        self._pool = None
        closers = list(self._closers)
        for task in closers:
            task.cancel()
        await asyncio.gather(*closers, return_exceptions=True)
        for pool in pools:
            await pool.close()

    @property
    def connections(self) -> int:
        """Connections open at this moment, idle ones included."""
        return sum(pool.connections for pool in (self._pool, *self._draining) if pool is not None)

    def _make_pool(self, credential: Credential) -> _Pool:
        context: ssl.SSLContext | None = None
        if self._config.server.startswith("https://"):
            context = client_context(
                credential.ca,
                insecure=self._config.insecure,
                certificate=credential.certificate,
                key=credential.key,
            )
        return _Pool(credential, context, self._limit, self._proxy, self._config.tls_server_name)

    def _pool_for(self, credential: Credential) -> _Pool:
        """The pool whose connections speak for this credential; replaces the current one where TLS material changed."""
        old = self._pool
        if old is not None and credential.same_tls(old.credential):
            old.credential = credential
            return old
        try:
            pool = self._make_pool(credential)
        except ConfigError as error:
            if old is None:
                raise
            # Half of a rotation: the certificate is there and its key isn't yet. The old pair serves until both are.
            _log.warning("keeping the previous client certificate of %s: %s", self._base, error)
            return old
        self._pool = pool
        if old is not None:
            _log.info("client certificate or CA of %s changed: new connections", self._base)
            self._draining.add(old)
            task = asyncio.create_task(self._drain(old))
            self._closers.add(task)
            task.add_done_callback(self._closers.discard)
        return pool

    async def _drain(self, pool: _Pool) -> None:
        try:
            await pool.drain(_DRAIN)
        finally:
            self._draining.discard(pool)
            await pool.close()


class _Pool:
    """The connections made with one credential."""

    def __init__(
        self,
        credential: Credential,
        context: ssl.SSLContext | None,
        limit: int,
        proxy: str | None,
        server_name: str | None,
    ) -> None:
        self.credential = credential
        self._context = context
        self._server_name = server_name
        self._proxy: URL | None = None
        self._proxy_headers: dict[str, str] | None = None
        if proxy is not None:
            url = URL(proxy)
            if url.user is not None:
                pair = b64encode(f"{url.user}:{url.password or ''}".encode()).decode()
                self._proxy_headers = {"Proxy-Authorization": f"Basic {pair}"}
            self._proxy = url.with_user(None)
        self._connector = aiohttp.TCPConnector(
            ssl=context if context is not None else False,
            limit=limit,
            keepalive_timeout=_KEEPALIVE,
            ttl_dns_cache=30,
        )
        self._session = aiohttp.ClientSession(
            connector=self._connector,
            cookie_jar=aiohttp.DummyCookieJar(),
            timeout=aiohttp.ClientTimeout(total=None),
            read_bufsize=256 * 1024,
        )
        self._timeouts: dict[tuple[float | None, float | None], aiohttp.ClientTimeout] = {}
        self._open: set[_AiohttpResponse] = set()
        self._idle = asyncio.Event()
        self._in_flight = 0

    @property
    def connections(self) -> int:
        acquired = len(getattr(self._connector, "_acquired", ()))
        return acquired + sum(len(idle) for idle in getattr(self._connector, "_conns", {}).values())

    async def request(
        self,
        method: str,
        url: str,
        headers: Mapping[str, str],
        body: bytes | None,
        timeout: float | None,
        idle: float | None,
    ) -> _AiohttpResponse:
        limits = self._timeouts.get((timeout, idle))
        if limits is None:
            limits = aiohttp.ClientTimeout(total=timeout, sock_connect=CONNECT_TIMEOUT, sock_read=idle)
            if len(self._timeouts) < 64:
                self._timeouts[timeout, idle] = limits
        self._in_flight += 1
        try:
            response = await self._session.request(
                method,
                URL(url, encoded=True),
                headers=headers,
                data=body,
                timeout=limits,
                proxy=self._proxy,
                proxy_headers=self._proxy_headers,
                server_hostname=self._server_name,
                allow_redirects=False,
            )
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            self._finished()
            raise _failure(error, f"{method} {url.partition('?')[0]}") from error
        except BaseException:
            self._finished()
            raise
        wrapped = _AiohttpResponse(response, self, streaming=timeout is None)
        if wrapped.streaming:
            self._open.add(wrapped)
            _keep_alive(response)
        return wrapped

    async def upgrade(
        self, url: str, headers: Mapping[str, str], protocols: Sequence[str]
    ) -> aiohttp.ClientWebSocketResponse:
        try:
            return await self._session.ws_connect(
                URL(url, encoded=True),
                protocols=protocols,
                headers=headers,
                proxy=self._proxy,
                proxy_headers=self._proxy_headers,
                server_hostname=self._server_name,
                max_msg_size=0,
            )
        except aiohttp.WSServerHandshakeError as error:
            target = f"GET {url.partition('?')[0]}"
            raise error_from_response(error.status, error.headers or {}, b"", request=target) from error
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            raise _failure(error, f"GET {url.partition('?')[0]}") from error

    def released(self, response: _AiohttpResponse) -> None:
        self._open.discard(response)
        self._finished()

    def _finished(self) -> None:
        self._in_flight -= 1
        if self._in_flight == 0:
            self._idle.set()

    async def drain(self, limit: float) -> None:
        """Breaks off streams, and gives everything else time to finish."""
        for response in list(self._open):
            response.abort()
        self._idle.clear()
        if self._in_flight:
            with suppress(TimeoutError):
                async with asyncio.timeout(limit):
                    await self._idle.wait()

    async def close(self) -> None:
        await self._session.close()


class _AiohttpResponse:
    """A response of aiohttp behind the protocol."""

    __slots__ = ("_pool", "_response", "status", "streaming")

    def __init__(self, response: aiohttp.ClientResponse, pool: _Pool, *, streaming: bool) -> None:
        self._response = response
        self._pool: _Pool | None = pool
        self.status = response.status
        self.streaming = streaming

    @property
    def headers(self) -> Mapping[str, str]:
        return self._response.headers

    @property
    def _target(self) -> str:
        return f"{self._response.method} {self._response.url.path}"

    async def read(self) -> bytes:
        try:
            return await self._response.read()
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            raise _failure(error, self._target, started=True) from error
        finally:
            self._release()

    async def chunks(self) -> AsyncIterator[bytes]:
        try:
            async for chunk in self._response.content.iter_any():
                yield chunk
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            raise _failure(error, self._target, started=True) from error
        finally:
            self._release()

    async def close(self) -> None:
        self._release()

    def abort(self) -> None:
        """Ends the stream from outside: whoever reads it gets ``ConnectionFailed``."""
        self._response.close()
        self._response.content.set_exception(aiohttp.ClientConnectionError("the credential was replaced"))

    def _release(self) -> None:
        if self._pool is not None:
            pool, self._pool = self._pool, None
            if not self._response.closed:
                self._response.close()  # nothing left to do where the body was read to its end
            pool.released(self)


def _failure(error: BaseException, target: str, *, started: bool = False) -> ConnectionFailed:
    """What aiohttp reports, in our words."""
    text = str(error) or type(error).__name__
    if isinstance(error, aiohttp.ClientConnectorCertificateError):
        return ConnectionFailed(f"{target}: the server's certificate is not trusted: {text}", sent=False)
    if isinstance(error, aiohttp.ClientHttpProxyError):
        return ConnectionFailed(f"{target}: the proxy refused: {error.status} {error.message}", sent=False)
    if isinstance(error, TimeoutError):
        connecting = isinstance(error, aiohttp.ConnectionTimeoutError)
        return ConnectionFailed(f"{target}: timed out{' connecting' if connecting else ''}", sent=not connecting)
    if isinstance(error, aiohttp.ClientConnectorError):
        # A server that checks certificates in the handshake ends it with an alert or a reset.
        early = isinstance(error, aiohttp.ClientConnectorSSLError) or isinstance(error.os_error, ConnectionResetError)
        return ConnectionFailed(f"{target}: {text}", sent=False, early=early)
    early = not started and isinstance(error, (aiohttp.ServerDisconnectedError, OSError))
    return ConnectionFailed(f"{target}: {text}", early=early)


def _keep_alive(response: aiohttp.ClientResponse) -> None:
    """Lets the kernel notice a peer that is gone: a watch only listens and would wait for the idle limit otherwise."""
    connection = response.connection
    transport = connection.transport if connection is not None else None
    sock = transport.get_extra_info("socket") if transport is not None else None
    if sock is None:
        return
    with suppress(OSError):
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        if sys.platform == "linux":
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE, 30)
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPINTVL, 10)
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPCNT, 3)
