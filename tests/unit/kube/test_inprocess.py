"""The in-process transport: the same bytes and the same identity, without sockets."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import Any

import orjson
import pytest
from cryptography import x509
from multidict import CIMultiDict

from fixtures.certificates import CertificateAuthority
from merope.kube import CORE, Client, ClientConfig, ConnectionFailed, Informer
from merope.kube.inprocess import InProcessTransport
from unit.kube.scripted import bookmark, configmap, event, until

CM = CORE["ConfigMap"]


@dataclass
class Answer:
    status: int
    headers: CIMultiDict
    body: bytes | None
    stream: Any = None


class ControlPlane:
    def __init__(self) -> None:
        self.requests: list[Any] = []
        self.events: asyncio.Queue[bytes] = asyncio.Queue()
        self.streaming = 0

    async def handle(self, request: Any) -> Answer:
        self.requests.append(request)
        if request.query.get("watch"):
            return Answer(200, CIMultiDict(), None, self._stream)
        return Answer(200, CIMultiDict(), orjson.dumps(configmap("a", 1)))

    async def _stream(self, write) -> None:
        self.streaming += 1
        try:
            while True:
                await write(await self.events.get())
        finally:
            self.streaming -= 1


async def test_requests_carry_identity_and_watches_stream_until_they_are_closed():
    plane = ControlPlane()
    certificate, key = CertificateAuthority("ca").issue_client("jane")
    config = ClientConfig(server="https://hub", certificate_data=certificate, key_data=key, token="t").acting_as(
        "bob", "g"
    )
    async with Client(config, transport=InProcessTransport(plane, config)) as client:
        assert await client.get(CM, "a", "ns") == configmap("a", 1)
        informer = Informer(client, CM, namespace="ns")
        running = asyncio.create_task(informer.run())
        plane.events.put_nowait(event("ADDED", configmap("a", 1)) + bookmark(5, initial_end=True))
        await informer.wait_synced()
        plane.events.put_nowait(event("MODIFIED", configmap("a", 6)))
        await until(lambda: informer.get("a", "ns").resource_version == "6")
        assert plane.streaming == 1
        running.cancel()
        await asyncio.wait([running])
        assert plane.streaming == 0

    request = plane.requests[0]
    assert (request.method, request.path) == ("GET", "/api/v1/namespaces/ns/configmaps/a")
    assert request.headers["Authorization"] == "Bearer t"
    assert request.headers["Impersonate-User"] == "bob"
    assert x509.load_der_x509_certificate(request.peer_certificate).subject.rfc4514_string().endswith("CN=jane")


async def test_closing_the_transport_ends_its_streams():
    plane = ControlPlane()
    config = ClientConfig(server="https://hub")
    client = Client(config, transport=InProcessTransport(plane, config))
    watching = client.watch(CM, "ns")
    plane.events.put_nowait(event("ADDED", configmap("a", 1)))
    assert (await anext(watching)).type == "ADDED"

    await client.close()

    assert plane.streaming == 0
    with pytest.raises(RuntimeError, match="closed"):
        await client.get(CM, "a", "ns")
    with pytest.raises(ConnectionFailed, match="closed"):
        await anext(watching)
