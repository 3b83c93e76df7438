"""Clients that send what no client should, or take nothing of what they asked for: they harm only themselves."""

from __future__ import annotations

import asyncio
import gzip
import json
import logging
import ssl
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from fixtures.conditions import eventually
from merope.controlplane.http import transport
from merope.controlplane.persistence import Durability
from merope.controlplane.process import Instance, Options, Process, ServerSpec
from merope.controlplane.resource import UserInfo

CONFIG_MAPS = "/api/v1/namespaces/default/configmaps"
TOKEN = "token-of-the-administrator"


@pytest.fixture
async def hub(tmp_path: Path) -> AsyncIterator[Instance]:
    tokens = {TOKEN: UserInfo("admin", ("system:masters", "system:authenticated"))}
    options = Options(tmp_path, [ServerSpec("hub")], Durability.MEMORY, static_tokens=tokens)
    async with Process(options) as process:
        yield process.instances["hub"]


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(transport, "BODY_TIMEOUT", 0.3)
    monkeypatch.setattr(transport, "LINGER", 0.1)
    monkeypatch.setattr(transport, "WRITE_TIMEOUT", 0.3)


def session(hub: Instance) -> aiohttp.ClientSession:
    context = ssl.create_default_context(cafile=str(hub.directory / "pki" / "ca.crt"))
    return aiohttp.ClientSession(
        hub.url,
        headers={"Authorization": f"Bearer {TOKEN}"},
        connector=aiohttp.TCPConnector(ssl=context),
        timeout=aiohttp.ClientTimeout(total=30),
    )


def config_map(name: str) -> dict[str, Any]:
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name}, "data": {"k": "v"}}


class Raw:
    """A connection on which anything can be sent."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader, self.writer = reader, writer

    @classmethod
    async def open(cls, hub: Instance, limit: int = 2**16) -> Raw:
        context = ssl.create_default_context(cafile=str(hub.directory / "pki" / "ca.crt"))
        return cls(*await asyncio.open_connection("127.0.0.1", hub.port, ssl=context, limit=limit))

    async def ask(self, data: bytes) -> tuple[int, bytes]:
        """Send, and read one answer: its status and its body (up to what its length says)."""
        self.writer.write(data)
        head = (await asyncio.wait_for(self.reader.readuntil(b"\r\n\r\n"), 10)).lower()
        length = int(head.partition(b"content-length: ")[2].split(b"\r\n")[0])
        return int(head.split()[1]), await self.reader.readexactly(length)

    async def ended(self) -> bool:
        """Wait for the server to close the connection."""
        try:
            while await asyncio.wait_for(self.reader.read(2**20), 10):
                pass
        except ConnectionError:
            pass
        return True

    def close(self) -> None:
        self.writer.close()


def head(line: str, *headers: str | bytes) -> bytes:
    lines = [line.encode(), b"Host: hub", f"Authorization: Bearer {TOKEN}".encode()]
    lines += [header.encode() if isinstance(header, str) else header for header in headers]
    return b"\r\n".join(lines) + b"\r\n\r\n"


@pytest.mark.parametrize("header", [b"Impersonate-User: \xff\xfe", b"User-Agent: \xed\xa0\x80", b"Accept: \xc3"])
async def test_headers_that_are_no_utf8_are_refused(hub: Instance, header: bytes) -> None:
    client = await Raw.open(hub)

    code, body = await client.ask(head("GET /api/v1/pods HTTP/1.1", header))

    assert (code, json.loads(body)["reason"]) == (400, "BadRequest")
    client.close()


@pytest.mark.parametrize(
    "request_",
    [
        b"POST %b HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        b"POST %b HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\nContent-Length: 5\r\n\r\nabcd",
        b"POST %b HTTP/1.1\r\nHost: a\r\nTransfer-Encoding : chunked\r\n\r\n0\r\n\r\n",
        b"POST %b HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: xchunked\r\n\r\n0\r\n\r\n",
        b"GET %b HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer hush-hush\0\r\n\r\n",
    ],
)
async def test_ambiguous_requests_end_the_connection_and_leave_no_secrets_in_the_log(
    hub: Instance, request_: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    client = await Raw.open(hub)

    code, _ = await client.ask(request_ % CONFIG_MAPS.encode())

    assert code == 400
    assert await client.ended()
    assert "hush-hush" not in caplog.text
    assert not [record for record in caplog.records if record.levelno >= logging.WARNING]
    client.close()


async def test_a_target_may_be_a_whole_url(hub: Instance) -> None:
    client = await Raw.open(hub)

    code, body = await client.ask(head("GET https://hub:6443/version?x=1 HTTP/1.1"))

    assert code == 200
    assert json.loads(body)["major"] == "1"
    client.close()


@pytest.mark.usefixtures("impatient")
async def test_a_body_that_does_not_come_ends_the_connection(hub: Instance) -> None:
    client = await Raw.open(hub)

    code, body = await client.ask(head(f"POST {CONFIG_MAPS} HTTP/1.1", "Content-Length: 1000") + b"{")

    assert (code, json.loads(body)["reason"]) == (504, "Timeout")
    assert await client.ended()
    client.close()


async def test_a_body_in_broken_chunks_is_refused(hub: Instance) -> None:
    client = await Raw.open(hub)
    sent = head(f"POST {CONFIG_MAPS} HTTP/1.1", "Transfer-Encoding: chunked", "Content-Type: application/json")

    code, _ = await client.ask(sent + b"xyz\r\n")

    assert code == 400
    client.close()


async def test_a_compressed_body_is_no_json(hub: Instance) -> None:
    data = gzip.compress(json.dumps(config_map("zipped")).encode())
    client = await Raw.open(hub)

    code, _ = await client.ask(
        head(
            f"POST {CONFIG_MAPS} HTTP/1.1",
            f"Content-Length: {len(data)}",
            "Content-Encoding: gzip",
            "Content-Type: application/json",
        )
        + data
    )

    assert code == 400
    client.close()


async def test_bodies_together_have_a_limit(hub: Instance, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(transport, "BODIES_LIMIT", 100_000)
    holding = [await Raw.open(hub) for _ in range(3)]
    for client in holding:
        client.writer.write(head(f"POST {CONFIG_MAPS} HTTP/1.1", "Content-Length: 50000") + b" " * 40_000)
    late = await Raw.open(hub)

    async def refused() -> bool:
        return (await late.ask(head(f"POST {CONFIG_MAPS} HTTP/1.1", "Content-Length: 50000") + b" " * 50_000))[0] == 429

    assert await refused()
    for client in holding:
        client.close()
    # What was held is given back when its connections end.
    await eventually(lambda: hub._connections.held == 0, "bodies forgotten")  # type: ignore[union-attr]
    late.close()


@pytest.mark.usefixtures("impatient")
@pytest.mark.parametrize("query", ["", "?watch=true"])
async def test_a_client_that_takes_nothing_is_cut_off(hub: Instance, query: str) -> None:
    async with session(hub) as writer:
        for number in range(24):
            made = {**config_map(f"large-{number}"), "data": {"k": "x" * 1_000_000}}
            async with writer.post(CONFIG_MAPS, json=made) as created:
                assert created.status == 201
        client = await Raw.open(hub)
        client.writer.transport.pause_reading()  # type: ignore[attr-defined]
        client.writer.write(head(f"GET {CONFIG_MAPS}{query} HTTP/1.1"))

        doors: Any = hub._connections
        await eventually(lambda: len(doors.connections) == 1, "only the writer's connection left")
    client.close()


async def test_many_idle_connections_disturb_nobody(hub: Instance) -> None:
    idle = [await Raw.open(hub) for _ in range(200)]

    async with session(hub) as client, client.get("/readyz") as response:
        assert response.status == 200

    for one in idle:
        one.close()


async def test_idle_connections_do_not_hold_up_a_stop(tmp_path: Path) -> None:
    async with Process(Options(tmp_path, [ServerSpec("hub")], Durability.MEMORY)) as process:
        idle = [await Raw.open(process.instances["hub"]) for _ in range(20)]
        started = time.monotonic()

    assert time.monotonic() - started < 0.8
    for one in idle:
        assert await one.ended()
        one.close()
