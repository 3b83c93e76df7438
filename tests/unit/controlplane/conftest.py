"""A server in memory for the tests of a module, and a client that calls it with the bytes that a wire would carry."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from typing import Any

import pytest_asyncio
from multidict import CIMultiDict

from fixtures.conditions import eventually
from merope.controlplane.http.message import HttpRequest, HttpResponse
from merope.controlplane.pki import Pki
from merope.controlplane.resource import GroupResource, UserInfo
from merope.controlplane.server import Server
from merope.controlplane.store import Store

_ACCOUNTS = GroupResource("", "serviceaccounts")
TOKENS = {
    "admin": UserInfo("admin", ("system:masters", "system:authenticated")),
    "nobody": UserInfo("nobody", ("system:authenticated",)),
}


@dataclass
class Answer:
    code: int
    headers: CIMultiDict[str]
    text: str

    @property
    def body(self) -> Any:
        return json.loads(self.text)

    @property
    def warnings(self) -> list[str]:
        return self.headers.getall("Warning", [])


class Api:
    """Requests to one server in memory, as an administrator unless a test says otherwise."""

    def __init__(self, server: Server) -> None:
        self.server = server
        self._namespaces = 0

    async def send(
        self,
        method: str,
        target: str,
        body: Any = None,
        headers: Mapping[str, str] | None = None,
        *,
        token: str = "admin",
    ) -> HttpResponse:
        sent = CIMultiDict({"User-Agent": "test/1", "Accept": "application/json"})
        if token:
            sent["Authorization"] = f"Bearer {token}"
        sent.update(headers or {})
        data = body if isinstance(body, bytes) else b"" if body is None else json.dumps(body).encode()
        return await self.server.handle(HttpRequest(method, target, sent, data))

    async def call(self, method: str, target: str, body: Any = None, headers: Any = None, **options: Any) -> Answer:
        response = await self.send(method, target, body, headers, **options)
        data = response.body
        if data is None:
            pieces: list[bytes] = []

            async def write(piece: bytes) -> None:
                pieces.append(piece)

            assert response.stream is not None
            await response.stream(write)
            data = b"".join(pieces)
        return Answer(response.status, response.headers, data.decode())

    async def patch(self, target: str, patch: Any, kind: str = "merge", **options: Any) -> Answer:
        media = "application/apply-patch+yaml" if kind == "apply" else f"application/{kind}-patch+json"
        return await self.call("PATCH", target, patch, {"Content-Type": media}, **options)

    async def namespace(self) -> str:
        self._namespaces += 1
        name = f"test-{self._namespaces}"
        assert (await self.call("POST", "/api/v1/namespaces", {"metadata": {"name": name}})).code == 201
        # Pods can be created only once the namespace has its service account.
        await eventually(lambda: self.server.store.get(_ACCOUNTS, name, "default"), "service account", interval=0.001)
        return name

    async def watch(self, target: str, **options: Any) -> Watch:
        return Watch(await self.send("GET", target, **options))


class Watch:
    """A watch that runs in the background; an async context manager."""

    def __init__(self, response: HttpResponse) -> None:
        self.code = response.status
        self._response = response
        self._events: asyncio.Queue[Any] = asyncio.Queue()
        self._task: asyncio.Task[None] | None = None

    async def _write(self, data: bytes) -> None:
        for line in data.splitlines():
            self._events.put_nowait(json.loads(line))

    async def next(self) -> Any:
        """The next event; fails where there is none for some seconds."""
        async with asyncio.timeout(5):
            return await self._events.get()

    async def events(self, count: int) -> list[tuple[str, str]]:
        """Types and names of the next events."""
        found = [await self.next() for _ in range(count)]
        return [(event["type"], event["object"]["metadata"].get("name", "")) for event in found]

    @property
    def quiet(self) -> bool:
        return self._events.empty()

    async def __aenter__(self) -> Watch:
        assert self._response.stream is not None, self._response.body
        self._task = asyncio.create_task(self._response.stream(self._write))
        return self

    async def __aexit__(self, *_: object) -> None:
        assert self._task is not None
        self._task.cancel()
        await asyncio.gather(self._task, return_exceptions=True)


@pytest_asyncio.fixture(loop_scope="module", scope="module")
async def api() -> AsyncIterator[Api]:
    server = Server("test", Store(), Pki(), static_tokens=TOKENS)
    await server.start()
    yield Api(server)
    await server.stop()
