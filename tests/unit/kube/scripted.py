"""A scripted API server on a real socket: answers what a test tells it to, and breaks where a test wants it broken."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import orjson
from aiohttp import web

Answer = Callable[[web.Request], Awaitable[web.StreamResponse]]


def configmap(name: str, version: int | str, *, namespace: str = "ns", uid: str = "", **extra: Any) -> dict[str, Any]:
    """A ConfigMap as a server would return it."""
    metadata = {"name": name, "namespace": namespace, "uid": uid or f"uid-{name}", "resourceVersion": str(version)}
    metadata.update(extra.pop("metadata", {}))
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, **extra}


def event(type_: str, obj: dict[str, Any]) -> bytes:
    """A line of a watch stream."""
    return orjson.dumps({"type": type_, "object": obj}) + b"\n"


def bookmark(version: int, *, initial_end: bool = False) -> bytes:
    metadata: dict[str, Any] = {"resourceVersion": str(version)}
    if initial_end:
        metadata["annotations"] = {"k8s.io/initial-events-end": "true"}
    return event("BOOKMARK", {"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata})


def status(code: int, reason: str, message: str = "", **details: Any) -> dict[str, Any]:
    return {
        "apiVersion": "v1",
        "kind": "Status",
        "status": "Failure",
        "code": code,
        "reason": reason,
        "message": message or reason,
        "details": details,
    }


def refusal(code: int, reason: str, message: str = "", headers: dict[str, str] | None = None, **details: Any) -> Answer:
    async def answer(request: web.Request) -> web.StreamResponse:
        body = orjson.dumps(status(code, reason, message, **details))
        return web.Response(status=code, body=body, content_type="application/json", headers=headers)

    return answer


def listing(items: list[dict[str, Any]], version: int, token: str = "") -> Answer:
    async def answer(request: web.Request) -> web.StreamResponse:
        metadata = {"resourceVersion": str(version), "continue": token}
        bare = [{key: value for key, value in item.items() if key not in ("apiVersion", "kind")} for item in items]
        body = {"apiVersion": "v1", "kind": "ConfigMapList", "metadata": metadata, "items": bare}
        return web.json_response(body)

    return answer


def document(body: dict[str, Any], code: int = 200) -> Answer:
    async def answer(request: web.Request) -> web.StreamResponse:
        return web.json_response(body, status=code)

    return answer


async def hang_up(request: web.Request) -> web.StreamResponse:
    """Closes the connection without a response."""
    assert request.transport is not None
    request.transport.abort()
    return web.Response()


@dataclass
class Stream:
    """A watch that the test drives: what it puts is sent, None ends it, ``Exception`` breaks it off."""

    queue: asyncio.Queue[bytes | type[Exception] | None] = field(default_factory=asyncio.Queue)
    requests: asyncio.Queue[web.Request] = field(default_factory=asyncio.Queue)

    def send(self, *pieces: bytes) -> None:
        for piece in pieces:
            self.queue.put_nowait(piece)

    def end(self) -> None:
        self.queue.put_nowait(None)

    def break_off(self) -> None:
        self.queue.put_nowait(Exception)

    async def __call__(self, request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse(headers={"Content-Type": "application/json"})
        response.enable_chunked_encoding()
        await response.prepare(request)
        self.requests.put_nowait(request)
        while True:
            piece = await self.queue.get()
            if piece is None:
                return response
            if piece is Exception:
                assert request.transport is not None
                request.transport.abort()
                return response
            assert isinstance(piece, bytes)
            await response.write(piece)


class Server:
    """Answers requests from a script: the next answer for (method, path), or the standing one."""

    def __init__(self) -> None:
        self.url = ""
        self.requests: list[web.Request] = []
        self.bodies: list[bytes] = []
        self._once: list[tuple[str, str, Answer]] = []
        self._always: dict[tuple[str, str], Answer] = {}
        self._seen = asyncio.Condition()

    def then(self, method: str, path: str, *answers: Answer) -> None:
        """Answers the next requests for this method and path, one each. The method WATCH is a GET with ``watch=1``."""
        self._once.extend((method, path, answer) for answer in answers)

    def always(self, method: str, path: str, answer: Answer) -> None:
        self._always[method, path] = answer

    def seen(self, method: str, path: str = "") -> list[web.Request]:
        return [request for request in self.requests if _method(request) == method and path in ("", request.path)]

    async def wait_for(self, method: str, path: str, count: int = 1, timeout: float = 10) -> list[web.Request]:
        """Waits until that many such requests have come."""
        async with asyncio.timeout(timeout), self._seen:
            await self._seen.wait_for(lambda: len(self.seen(method, path)) >= count)
        return self.seen(method, path)

    async def handle(self, request: web.BaseRequest) -> web.StreamResponse:
        assert isinstance(request, web.BaseRequest)
        self.bodies.append(await request.read())
        async with self._seen:
            self.requests.append(request)  # type: ignore[arg-type]
            self._seen.notify_all()
        method = _method(request)
        for at, (wanted, path, answer) in enumerate(self._once):
            if (wanted, path) == (method, request.path):
                del self._once[at]
                return await answer(request)  # type: ignore[arg-type]
        standing = self._always.get((method, request.path))
        if standing is None:
            return await refusal(404, "NotFound", f"nothing scripted for {method} {request.path}")(request)  # type: ignore[arg-type]
        return await standing(request)  # type: ignore[arg-type]


def _method(request: web.BaseRequest) -> str:
    return "WATCH" if request.query.get("watch") else request.method


@asynccontextmanager
async def serve(server: Server, *, port: int = 0, context: ssl.SSLContext | None = None) -> AsyncIterator[Server]:
    """Runs a scripted server on a port of this machine."""
    runner = web.ServerRunner(web.Server(server.handle, handler_cancellation=True), shutdown_timeout=0.05)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", port, ssl_context=context, reuse_address=True)
    await site.start()
    host, bound = runner.addresses[0][:2]
    server.url = f"{'https' if context else 'http'}://{host}:{bound}"
    try:
        yield server
    finally:
        await runner.cleanup()


async def until(condition: Callable[[], object], timeout: float = 10) -> None:
    """Waits for something that has no event of its own to wait for."""
    async with asyncio.timeout(timeout):
        while not condition():  # noqa: ASYNC110
            await asyncio.sleep(0.005)
