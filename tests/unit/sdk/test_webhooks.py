"""Serving admission webhooks: the authority that replicas share, its renewal, the listener, the registrations."""

from __future__ import annotations

import asyncio
import base64
import copy
import logging
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from typing import Any, cast

import aiohttp
import orjson
import pytest
from cryptography import x509

from merope.kube import AlreadyExists, Client, Conflict, ConnectionFailed, NotFound
from merope.sdk import webhooks
from merope.sdk.admission import AdmissionRequest, Handler, Hub, JSONPatch, Permission, Requester, bad_request
from merope.sdk.webhooks import (
    SECRET_NAME,
    SigningAuthority,
    WebhookServer,
    WebhookService,
    configuration,
    ensure_authority,
    ensure_configurations,
    needs_renewal,
    webhook,
)
from unit.kube.scripted import until

NAMESPACE = "open-cluster-management-hub"
NOW = datetime(2026, 5, 1, tzinfo=UTC)


class FakeHub:
    """The few requests that serving webhooks makes, on objects in memory. ``down`` refuses all of them."""

    def __init__(self) -> None:
        self.objects: dict[tuple[str, str], dict[str, Any]] = {}
        self.requests: list[str] = []
        self.down = False
        self._version = 0

    async def get(self, ref: Any, name: str, namespace: str | None = None) -> dict[str, Any]:
        self._note("get", ref, name)
        found = self.objects.get((ref.kind, name))
        if found is None:
            raise NotFound({"code": 404, "message": f"{name} not found"})
        return copy.deepcopy(found)

    async def create(self, ref: Any, obj: dict[str, Any], namespace: str | None = None) -> dict[str, Any]:
        name = obj["metadata"]["name"]
        self._note("create", ref, name)
        if (ref.kind, name) in self.objects:
            raise AlreadyExists({"code": 409, "message": f"{name} exists"})
        return self._store(ref, obj)

    async def update(self, ref: Any, obj: dict[str, Any]) -> dict[str, Any]:
        name = obj["metadata"]["name"]
        self._note("update", ref, name)
        found = self.objects.get((ref.kind, name))
        if found is None:
            raise NotFound({"code": 404, "message": f"{name} not found"})
        if obj["metadata"].get("resourceVersion") != found["metadata"]["resourceVersion"]:
            raise Conflict({"code": 409, "message": f"{name} was changed"})
        return self._store(ref, obj)

    def _store(self, ref: Any, obj: dict[str, Any]) -> dict[str, Any]:
        self._version += 1
        stored = copy.deepcopy(obj)
        stored["metadata"]["resourceVersion"] = str(self._version)
        self.objects[ref.kind, obj["metadata"]["name"]] = stored
        return copy.deepcopy(stored)

    def _note(self, verb: str, ref: Any, name: str) -> None:
        if self.down:
            raise ConnectionFailed("refused")
        self.requests.append(f"{verb} {ref.kind} {name}")

    @property
    def client(self) -> Client:
        return cast(Client, self)

    @property
    def secret(self) -> dict[str, Any]:
        return self.objects["Secret", SECRET_NAME]

    def bundles(self) -> list[bytes]:
        """The CA bundles of all registrations."""
        return [
            base64.b64decode(hook["clientConfig"]["caBundle"])
            for (kind, _), obj in self.objects.items()
            if kind.endswith("WebhookConfiguration")
            for hook in obj["webhooks"]
        ]


class Nobody(Hub):
    async def allows(self, requester: Requester, permission: Permission) -> bool:
        return False

    async def namespace_phase(self, name: str) -> str:
        return ""


def review(operation: str = "CREATE", **request: Any) -> dict[str, Any]:
    return {
        "apiVersion": "admission.k8s.io/v1",
        "kind": "AdmissionReview",
        "request": {"uid": "u1", "operation": operation, "userInfo": {"username": "jane"}, **request},
    }


async def admits(request: AdmissionRequest, hub: Hub) -> JSONPatch | None:
    return None


async def labels(request: AdmissionRequest, hub: Hub) -> JSONPatch | None:
    return [{"op": "add", "path": "/metadata/labels", "value": {"a": "b"}}]


async def refuses(request: AdmissionRequest, hub: Hub) -> JSONPatch | None:
    raise bad_request("not like this")


async def breaks(request: AdmissionRequest, hub: Hub) -> JSONPatch | None:
    raise RuntimeError("the password is hunter2")


HANDLERS: dict[str, Handler] = {"/admits": admits, "/labels": labels, "/refuses": refuses, "/breaks": breaks}


def server_of(**options: Any) -> WebhookServer:
    return WebhookServer(HANDLERS, Nobody(), host="127.0.0.1", port=0, **options)


def verifying(bundle: bytes) -> ssl.SSLContext:
    return ssl.create_default_context(cadata=bundle.decode())


@asynccontextmanager
async def serving(server: WebhookServer, authority: SigningAuthority) -> AsyncIterator[str]:
    server.present(authority)
    await server.start()
    try:
        yield f"https://127.0.0.1:{server.address[1]}"
    finally:
        await server.stop()


async def post(url: str, bundle: bytes, body: Any) -> tuple[int, Any]:
    data = body if isinstance(body, (bytes, str)) else orjson.dumps(body)
    connector = aiohttp.TCPConnector(ssl=verifying(bundle), force_close=True)
    async with aiohttp.ClientSession(connector=connector) as session, session.post(url, data=data) as response:
        content = await response.read()
        json = response.headers.get("Content-Type", "").startswith("application/json")
        return response.status, orjson.loads(content) if json else content.decode()


# --- the authority ---------------------------------------------------------------------------------------------------


async def test_replicas_that_start_together_share_one_authority() -> None:
    hub = FakeHub()

    found = await asyncio.gather(*(ensure_authority(hub.client, NAMESPACE) for _ in range(4)))

    assert len({each.certificate.serial_number for each in found}) == 1
    assert hub.secret["type"] == "kubernetes.io/tls"
    assert set(hub.secret["data"]) == {"tls.crt", "tls.key", "ca-bundle.crt"}


async def test_an_authority_that_is_there_is_read_and_nothing_written() -> None:
    hub = FakeHub()
    first = await ensure_authority(hub.client, NAMESPACE)
    hub.requests.clear()

    second = await ensure_authority(hub.client, NAMESPACE)

    assert second.certificate == first.certificate
    assert hub.requests == [f"get Secret {SECRET_NAME}"]


@pytest.mark.parametrize(
    "broken",
    [
        pytest.param({}, id="empty"),
        pytest.param({"tls.crt": "!", "tls.key": "!"}, id="no base64"),
        pytest.param({"tls.crt": "AAAA", "tls.key": "AAAA"}, id="no certificate"),
    ],
)
async def test_an_unreadable_secret_is_replaced(broken: dict[str, str]) -> None:
    hub = FakeHub()
    await ensure_authority(hub.client, NAMESPACE)
    hub.secret["data"] = broken

    found = await ensure_authority(hub.client, NAMESPACE)

    assert SigningAuthority.decode(hub.secret).certificate == found.certificate


async def test_a_key_that_is_not_the_certificates_is_no_authority() -> None:
    hub = FakeHub()
    await ensure_authority(hub.client, NAMESPACE)
    other = SigningAuthority.create(datetime.now(UTC)).encode()
    hub.secret["data"]["tls.key"] = other["tls.key"]

    found = await ensure_authority(hub.client, NAMESPACE)

    assert found.key.public_key() == found.certificate.public_key()
    assert hub.secret["data"] == found.encode()


def test_a_new_authority_keeps_the_valid_ones_in_its_bundle() -> None:
    expired = SigningAuthority.create(NOW - timedelta(days=400))
    old = SigningAuthority.create(NOW - timedelta(days=300), expired.bundle)

    new = SigningAuthority.create(NOW, old.bundle + expired.bundle)

    inside = x509.load_pem_x509_certificates(new.bundle)
    assert inside == [new.certificate, old.certificate]


@pytest.mark.parametrize(("days", "due"), [(0, False), (291, False), (293, True), (366, True)])
def test_an_authority_is_renewed_when_a_fifth_of_its_year_is_left(days: int, due: bool) -> None:
    authority = SigningAuthority.create(NOW)

    assert needs_renewal(authority.certificate, NOW + timedelta(days=days)) is due


@pytest.mark.parametrize("host", ["hub.example.com", "10.0.0.1", "::1", "h" * 60 + ".elb.eu-central-1.amazonaws.com"])
def test_the_serving_certificate_is_for_the_hosts_by_which_it_is_reached(host: str) -> None:
    authority = SigningAuthority.create(NOW)

    pem, _ = authority.serving([host, "127.0.0.1"], NOW)

    names = x509.load_pem_x509_certificate(pem).extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert host in [str(each) for each in (*names.get_values_for_type(x509.DNSName), *_addresses(names))]


def _addresses(names: x509.SubjectAlternativeName) -> list[Any]:
    return list(names.get_values_for_type(x509.IPAddress))


# --- registrations ---------------------------------------------------------------------------------------------------


def registrations(bundle: str) -> list[dict[str, Any]]:
    hook = webhook("a.example.com", "https://127.0.0.1:1/a", bundle, "example.com", ["*"], "things")
    return [configuration("MutatingWebhookConfiguration", hook), configuration("ValidatingWebhookConfiguration", hook)]


async def test_registrations_are_created_once_and_then_left_alone() -> None:
    hub = FakeHub()

    await ensure_configurations(hub.client, registrations("Y2E="))
    for obj in hub.objects.values():  # what a server adds
        obj["webhooks"][0].update(matchPolicy="Equivalent", namespaceSelector={}, objectSelector={})
        obj["webhooks"][0]["rules"][0]["scope"] = "*"
    hub.requests.clear()
    await ensure_configurations(hub.client, registrations("Y2E="))

    assert [request.split()[0] for request in hub.requests] == ["get", "get"]


async def test_registrations_that_were_changed_are_put_right() -> None:
    hub = FakeHub()
    await ensure_configurations(hub.client, registrations("Y2E="))
    for obj in hub.objects.values():
        obj["webhooks"][0]["failurePolicy"] = "Ignore"
        obj["metadata"]["labels"] = {"mine": "yes"}

    await ensure_configurations(hub.client, registrations("Y2E="))

    for obj in hub.objects.values():
        assert obj["webhooks"][0]["failurePolicy"] == "Fail"
        assert obj["metadata"]["labels"] == {"mine": "yes"}


# --- answers ---------------------------------------------------------------------------------------------------------


async def test_answers_carry_patch_refusal_and_failure_and_never_what_went_wrong_inside(
    caplog: pytest.LogCaptureFixture,
) -> None:
    authority = SigningAuthority.create(datetime.now(UTC))
    async with serving(server_of(), authority) as url:
        admitted = await post(f"{url}/admits", authority.bundle, review())
        labelled = await post(f"{url}/labels", authority.bundle, review())
        refused = await post(f"{url}/refuses", authority.bundle, review())
        failed = await post(f"{url}/breaks", authority.bundle, review())

    assert admitted[1]["response"] == {"uid": "u1", "allowed": True}
    assert admitted[1]["apiVersion"] == "admission.k8s.io/v1"
    patch = orjson.loads(base64.b64decode(labelled[1]["response"]["patch"]))
    assert patch == [{"op": "add", "path": "/metadata/labels", "value": {"a": "b"}}]
    assert labelled[1]["response"]["patchType"] == "JSONPatch"
    assert refused[1]["response"]["allowed"] is False
    assert refused[1]["response"]["status"]["code"] == 400
    assert refused[1]["response"]["status"]["message"] == "not like this"
    assert failed[0] == 200
    assert failed[1]["response"]["status"]["code"] == 500
    assert "hunter2" not in str(failed[1])


async def test_a_review_of_v1beta1_is_answered_in_v1beta1() -> None:
    authority = SigningAuthority.create(datetime.now(UTC))
    async with serving(server_of(), authority) as url:
        old = {**review(), "apiVersion": "admission.k8s.io/v1beta1"}
        _, answer = await post(f"{url}/admits", authority.bundle, old)

    assert answer["apiVersion"] == "admission.k8s.io/v1beta1"


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{",
        b"[]",
        b"null",
        b"1",
        b"\xff\xfe",
        b"[" * 100_000,
        b'{"request":null}',
        b'{"request":[]}',
        b'{"request":{"uid":""}}',
        b'{"request":{"uid":{}}}',
        b'{"request":{"uid":"u","userInfo":[]}}',
        b'{"request":{"uid":"u","userInfo":{"groups":1}}}',
        b'{"request":{"uid":"u","userInfo":{"username":{"a":1}}}}',
        b'{"request":{"uid":"u","userInfo":{"extra":[1]}}}',
        b'{"request":{"uid":"u","object":"text"}}',
        b'{"request":{"uid":"u","oldObject":[1]}}',
    ],
)
async def test_what_is_no_review_is_refused_without_a_word_in_the_log(
    body: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    authority = SigningAuthority.create(datetime.now(UTC))
    async with serving(server_of(), authority) as url:
        status, text = await post(f"{url}/admits", authority.bundle, body)

    assert status == 400
    assert len(text) < 300
    assert not [record for record in caplog.records if record.levelno >= logging.WARNING]


async def test_unknown_paths_and_methods_are_refused() -> None:
    authority = SigningAuthority.create(datetime.now(UTC))
    async with serving(server_of(), authority) as url:
        connector = aiohttp.TCPConnector(ssl=verifying(authority.bundle), force_close=True)
        async with aiohttp.ClientSession(connector=connector) as session:
            async with session.get(f"{url}/admits") as response:
                assert response.status == 405
            async with session.post(f"{url}/nothing", data=b"{}") as response:
                assert response.status == 404
            async with session.get(f"{url}/healthz") as response:
                assert response.status == 200


async def test_a_review_may_be_as_large_as_two_of_the_largest_objects() -> None:
    authority = SigningAuthority.create(datetime.now(UTC))
    large = {"data": "x" * (3 * 1024 * 1024 - 4096)}
    async with serving(server_of(), authority) as url:
        status, answer = await post(f"{url}/admits", authority.bundle, review("UPDATE", object=large, oldObject=large))

    assert (status, answer["response"]["allowed"]) == (200, True)


async def test_an_endless_body_is_cut_off() -> None:
    authority = SigningAuthority.create(datetime.now(UTC))

    async def endless() -> AsyncIterator[bytes]:
        while True:
            yield b" " * 65536

    async with serving(server_of(), authority) as url:
        connector = aiohttp.TCPConnector(ssl=verifying(authority.bundle), force_close=True)
        async with aiohttp.ClientSession(connector=connector) as session:
            async with asyncio.timeout(20):
                try:
                    async with session.post(f"{url}/admits", data=endless()) as response:
                        assert response.status == 413
                except aiohttp.ClientError:
                    pass  # the connection was ended before the answer could be read: as good


async def test_a_client_that_sends_slowly_loses_its_connection_and_disturbs_nobody(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(webhooks, "_READ_SECONDS", 0.2)
    authority = SigningAuthority.create(datetime.now(UTC))
    async with serving(server_of(), authority) as url:
        port = int(url.rpartition(":")[2])
        slow = [await asyncio.open_connection("127.0.0.1", port, ssl=verifying(authority.bundle)) for _ in range(20)]
        for _, writer in slow:
            writer.write(b"POST /admits HTTP/1.1\r\nHost: x\r\nContent-Length: 1000\r\n\r\n{")
            await writer.drain()

        status, _ = await post(f"{url}/admits", authority.bundle, review())

        assert status == 200
        async with asyncio.timeout(5):
            for reader, writer in slow:
                assert (await reader.read()).startswith(b"HTTP/1.1 408")
                writer.close()


# --- renewal ---------------------------------------------------------------------------------------------------------


@asynccontextmanager
async def replica(hub: FakeHub) -> AsyncIterator[tuple[WebhookService, WebhookServer]]:
    server = server_of()
    service = WebhookService(hub.client, NAMESPACE, server, registrations)
    await service.prepare()
    try:
        yield service, server
    finally:
        await server.stop()


async def verified(hub: FakeHub, server: WebhookServer) -> None:
    """Calls a replica as an API server does, with what each registration says. Raises where one does not fit."""
    for bundle in hub.bundles():
        status, _ = await post(f"https://127.0.0.1:{server.address[1]}/admits", bundle, review())
        assert status == 200


def age(hub: FakeHub, days: int) -> None:
    """Makes the shared authority one of that many days ago."""
    hub.secret["data"] = SigningAuthority.create(datetime.now(UTC) - timedelta(days=days)).encode()


async def test_an_authority_is_replaced_while_every_replica_stays_reachable() -> None:
    hub = FakeHub()
    await ensure_authority(hub.client, NAMESPACE)
    age(hub, 280)
    async with replica(hub) as (first, one), replica(hub) as (second, two):
        old = hub.secret["data"]["tls.crt"]
        hub.secret["data"] = SigningAuthority.decode(hub.secret).encode()
        age_bundle = SigningAuthority.decode(hub.secret)
        hub.secret["data"] = SigningAuthority.create(datetime.now(UTC), age_bundle.bundle).encode()

        await first.check()  # the other has not noticed yet
        await verified(hub, one)
        await verified(hub, two)
        await second.check()

        await verified(hub, one)
        await verified(hub, two)
        assert hub.secret["data"]["tls.crt"] != old


async def test_a_deleted_authority_takes_no_replica_out_of_service() -> None:
    hub = FakeHub()
    async with replica(hub) as (first, one), replica(hub) as (second, two):
        del hub.objects["Secret", SECRET_NAME]

        await first.check()

        await verified(hub, one)
        await verified(hub, two)
        await second.check()
        await verified(hub, one)
        await verified(hub, two)


async def test_deleted_or_changed_registrations_come_back() -> None:
    hub = FakeHub()
    async with replica(hub) as (service, server):
        for key in [key for key in hub.objects if key[0] == "ValidatingWebhookConfiguration"]:
            del hub.objects[key]

        await service.check()

        assert len(hub.bundles()) == 2
        await verified(hub, server)


async def test_an_api_server_that_is_away_does_not_end_the_webhooks(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(webhooks, "_CHECK_SECONDS", 0.01)
    monkeypatch.setattr(webhooks, "_AGAIN_SECONDS", 0.01)
    monkeypatch.setattr(WebhookService, "_followed", lambda _: [])
    hub = FakeHub()
    async with replica(hub) as (service, server):
        keeping = asyncio.create_task(service.keep())
        hub.down = True
        await until(lambda: bool(caplog.records))
        hub.down = False
        hub.objects.pop(("MutatingWebhookConfiguration", "a.example.com"))
        await until(lambda: len(hub.bundles()) == 2)

        assert not keeping.done()
        await verified(hub, server)
        keeping.cancel()
        with pytest.raises(asyncio.CancelledError):
            await keeping


def test_no_key_shows_in_the_text_of_an_authority() -> None:
    authority = SigningAuthority.create(NOW)

    assert "PRIVATE" not in repr(authority)
