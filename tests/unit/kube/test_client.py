"""The client against a scripted server: verbs, typed results, errors, retries."""

from __future__ import annotations

import asyncio
from contextlib import aclosing

import orjson
import pytest
from aiohttp import web
from msgspec import UNSET

from merope.api.cluster.v1 import ManagedCluster
from merope.kube import (
    CORE,
    AlreadyExists,
    ApiError,
    Client,
    ClientConfig,
    Conflict,
    ConnectionFailed,
    Expired,
    Forbidden,
    Gone,
    HttpsTransport,
    Invalid,
    NoMatch,
    NotFound,
    PatchType,
    Propagation,
    TooManyRequests,
    Unauthorized,
)
from unit.kube.scripted import (
    Server,
    Stream,
    bookmark,
    configmap,
    document,
    event,
    hang_up,
    listing,
    refusal,
    serve,
    until,
)

CM = CORE["ConfigMap"]
ONE = "/api/v1/namespaces/ns/configmaps/a"
ALL = "/api/v1/namespaces/ns/configmaps"


@pytest.fixture
async def server():
    async with serve(Server()) as running:
        yield running


@pytest.fixture
async def client(server):
    async with Client(ClientConfig(server=server.url), patience=3) as made:
        yield made


async def test_a_typed_kind_gives_typed_objects(server, client):
    cluster = {
        "apiVersion": "cluster.open-cluster-management.io/v1",
        "kind": "ManagedCluster",
        "metadata": {"name": "c1", "uid": "u", "resourceVersion": "7", "labels": {"a": "b"}},
        "spec": {"hubAcceptsClient": True, "fromTheFuture": 1},
    }
    path = "/apis/cluster.open-cluster-management.io/v1/managedclusters/c1"
    server.always("GET", path, document(cluster))

    typed = await client.get(ManagedCluster, "c1")
    snapshot = await client.fetch(ManagedCluster, "c1")

    assert isinstance(typed, ManagedCluster)
    assert typed.spec is not UNSET
    assert typed.spec.hub_accepts_client is True
    assert snapshot.value == typed
    assert snapshot.raw == cluster
    assert snapshot.labels == {"a": "b"}


async def test_creating_a_typed_object_sends_apiversion_and_kind_and_no_unset_fields(server, client):
    from merope.api.cluster.v1 import ManagedClusterSpec
    from merope.api.meta.v1 import ObjectMeta

    path = "/apis/cluster.open-cluster-management.io/v1/managedclusters"

    async def echo(request: web.Request) -> web.Response:
        body = orjson.loads(server.bodies[-1])
        return web.json_response({**body, "metadata": {**body["metadata"], "uid": "u"}}, status=201)

    server.always("POST", path, echo)

    made = await client.create(
        ManagedCluster(metadata=ObjectMeta(name="c1"), spec=ManagedClusterSpec(hub_accepts_client=False))
    )

    assert made.metadata.uid == "u"
    assert orjson.loads(server.bodies[-1]) == {
        "apiVersion": "cluster.open-cluster-management.io/v1",
        "kind": "ManagedCluster",
        "metadata": {"name": "c1"},
        "spec": {"hubAcceptsClient": False},
    }


async def test_a_list_follows_its_pages_and_gives_items_their_kind(server, client):
    server.then("GET", ALL, listing([configmap("a", 1)], 5, "more"), listing([configmap("b", 2)], 5))

    items = await client.list(CM, "ns", label_selector="x in (a, b)", page_size=1)

    assert items == [configmap("a", 1), configmap("b", 2)]
    first, second = server.requests
    assert dict(first.query) == {"labelSelector": "x in (a, b)", "limit": "1"}
    assert second.query["continue"] == "more"


@pytest.mark.parametrize(
    ("type_", "patch", "content_type"),
    [
        (PatchType.MERGE, {"data": {"a": None}}, "application/merge-patch+json"),
        (PatchType.JSON, [{"op": "remove", "path": "/data"}], "application/json-patch+json"),
        (PatchType.STRATEGIC, {"data": {}}, "application/strategic-merge-patch+json"),
        (PatchType.APPLY, {"apiVersion": "v1"}, "application/apply-patch+yaml"),
    ],
)
async def test_each_patch_type_has_its_content_type(server, client, type_, patch, content_type):
    server.always("PATCH", ONE, document(configmap("a", 2)))

    await client.patch(CM, "a", patch, namespace="ns", type=type_, field_manager="me", force=True)

    request = server.requests[0]
    assert request.headers["Content-Type"] == content_type
    assert dict(request.query) == {"fieldManager": "me", "force": "true"}
    assert orjson.loads(server.bodies[0]) == patch


async def test_delete_sends_preconditions_and_says_whether_the_object_is_gone(server, client):
    gone = {"kind": "Status", "apiVersion": "v1", "status": "Success", "details": {"uid": "u"}}
    waiting = configmap("a", 3, metadata={"deletionTimestamp": "2026-01-01T00:00:00Z", "finalizers": ["x"]})
    server.then("DELETE", ONE, document(gone), document(waiting), refusal(404, "NotFound"), refusal(404, "NotFound"))

    assert await client.delete(CM, "a", "ns", uid="u", resource_version="2", propagation=Propagation.FOREGROUND)
    assert not await client.delete(CM, "a", "ns")
    assert await client.delete(CM, "a", "ns", missing_ok=True)
    with pytest.raises(NotFound):
        await client.delete(CM, "a", "ns")

    assert orjson.loads(server.bodies[0]) == {
        "apiVersion": "v1",
        "kind": "DeleteOptions",
        "propagationPolicy": "Foreground",
        "preconditions": {"uid": "u", "resourceVersion": "2"},
    }


@pytest.mark.parametrize(
    ("code", "reason", "error"),
    [
        (404, "NotFound", NotFound),
        (409, "Conflict", Conflict),
        (409, "AlreadyExists", AlreadyExists),
        (410, "Expired", Expired),
        (410, "", Gone),
        (422, "Invalid", Invalid),
        (418, "Teapot", ApiError),
    ],
)
async def test_a_refusal_is_an_exception_of_its_reason(server, client, code, reason, error):
    server.always("GET", ONE, refusal(code, reason, "no", causes=[{"reason": "R", "field": "f"}]))

    with pytest.raises(error, match="no") as raised:
        await client.get(CM, "a", "ns")

    assert type(raised.value) is error
    assert raised.value.code == code
    assert raised.value.has_cause("R")


async def test_an_answer_that_is_no_status_still_is_an_error_of_its_code(server, client):
    async def proxy_page(request: web.Request) -> web.Response:
        return web.Response(status=404, text="<html>not here</html>")

    server.always("GET", ONE, proxy_page)

    with pytest.raises(NotFound, match="not here"):
        await client.get(CM, "a", "ns")


async def test_too_many_requests_is_retried_for_every_verb_when_the_server_says(server, client):
    busy = refusal(429, "TooManyRequests", headers={"Retry-After": "0"})
    server.then("POST", ALL, busy, busy, document(configmap("a", 1), 201))

    made = await client.create(CM, configmap("a", ""))

    assert made == configmap("a", 1)
    assert len(server.requests) == 3


async def test_a_server_that_stays_overloaded_is_reported_within_the_patience(server):
    server.always("GET", ONE, refusal(429, "TooManyRequests", headers={"Retry-After": "3600"}))

    async with Client(ClientConfig(server=server.url), patience=3) as client:
        with pytest.raises(TooManyRequests) as raised:
            await client.get(CM, "a", "ns")

    assert raised.value.retry_after == 3600


async def test_a_lost_connection_is_retried_for_reads_and_patches(server, client):
    server.then("GET", ONE, hang_up, hang_up, document(configmap("a", 1)))
    server.then("PATCH", ONE, hang_up, document(configmap("a", 2)))

    assert await client.get(CM, "a", "ns") == configmap("a", 1)
    assert await client.patch(CM, "a", {}, namespace="ns") == configmap("a", 2)


async def test_a_lost_connection_is_not_retried_for_creates_that_the_server_may_have_seen(server, client):
    server.always("POST", ALL, hang_up)

    with pytest.raises(ConnectionFailed):
        await client.create(CM, configmap("a", ""))

    assert len(server.seen("POST")) == 1


async def test_a_create_is_retried_where_the_connection_could_not_be_made():
    late = Server()
    late.always("POST", ALL, document(configmap("a", 1), 201))
    async with serve(Server()) as probe:
        port = int(probe.url.rpartition(":")[2])
    async with Client(ClientConfig(server=f"http://127.0.0.1:{port}")) as client:
        creating = asyncio.create_task(client.create(CM, configmap("a", "")))
        await until(lambda: client.requests_total >= 2)

        async with serve(late, port=port):
            assert await creating == configmap("a", 1)


async def test_a_deletion_whose_answer_was_lost_counts_as_done(server, client):
    server.then("DELETE", ONE, hang_up, refusal(429, "TooManyRequests", headers={"Retry-After": "0"}))

    server.always("DELETE", ONE, refusal(404, "NotFound"))

    assert await client.delete(CM, "a", "ns")


async def test_a_refused_token_is_read_again_once(server, tmp_path):
    token = tmp_path / "token"
    token.write_text("old\n")

    async def check(request: web.Request) -> web.StreamResponse:
        if request.headers["Authorization"] == "Bearer new":
            return await document(configmap("a", 1))(request)
        token.write_text("newer")
        token.write_text("new")
        return await refusal(401, "Unauthorized")(request)

    server.always("GET", ONE, check)
    async with Client(ClientConfig(server=server.url, token_file=str(token))) as client:
        assert await client.get(CM, "a", "ns") == configmap("a", 1)

    async with Client(ClientConfig(server=server.url, token="static")) as client:
        with pytest.raises(Unauthorized):
            await client.get(CM, "a", "ns")


async def test_impersonation_headers_name_every_group(server):
    server.always("GET", ONE, document(configmap("a", 1)))
    config = ClientConfig(server=server.url).acting_as("jane", "dev", "ops", uid="7")

    async with Client(config) as client:
        await client.get(CM, "a", "ns")

    headers = server.requests[0].headers
    assert headers["Impersonate-User"] == "jane"
    assert headers["Impersonate-Uid"] == "7"
    assert headers.getall("Impersonate-Group") == ["dev", "ops"]


async def test_a_watch_yields_events_until_the_server_ends_it(server, client):
    stream = Stream()
    server.always("WATCH", ALL, stream)
    whole = event("ADDED", configmap("a", 1)) + event("MODIFIED", configmap("a", 2)) + bookmark(9)
    stream.send(whole[:30], whole[30:150], whole[150:], b"not json\n", event("DELETED", configmap("a", 10)))
    stream.end()

    events = [event async for event in client.watch(CM, "ns", resource_version="0")]

    assert [(event.type, event.resource_version) for event in events] == [
        ("ADDED", "1"),
        ("MODIFIED", "2"),
        ("BOOKMARK", "9"),
        ("DELETED", "10"),
    ]


async def test_an_error_event_raises_after_the_events_before_it(server, client):
    stream = Stream()
    server.always("WATCH", ALL, stream)
    expired = {"kind": "Status", "code": 410, "reason": "Expired", "message": "too old resource version: 1 (5)"}
    stream.send(event("ADDED", configmap("a", 1)) + event("ERROR", expired))
    seen = []

    async def follow() -> None:
        async for one in client.watch(CM, "ns", resource_version="1"):
            seen.append(one)

    with pytest.raises(Expired, match="too old"):
        await follow()

    assert len(seen) == 1


async def test_leaving_a_watch_early_closes_its_connection(server, client):
    stream = Stream()
    server.always("WATCH", ALL, stream)
    stream.send(event("ADDED", configmap("a", 1)))

    async with aclosing(client.watch(CM, "ns")) as events:
        async for _ in events:
            break

    assert client._transport.connections == 0


async def test_discovery_is_asked_once_and_again_only_for_what_is_missing(server, client):
    resources = [{"name": "widgets", "kind": "Widget", "namespaced": True, "verbs": ["get"]}]
    server.always("GET", "/apis/x.io/v1", document({"resources": resources}))
    client.mapper._retry = 0

    ref = await client.mapper.ref("x.io/v1", "Widget")
    again = await client.mapper.ref("x.io/v1", "Widget")
    with pytest.raises(NoMatch):
        await client.mapper.ref("x.io/v1", "Gadget")
    with pytest.raises(NoMatch):
        await client.mapper.ref("y.io/v1", "Widget")
    resources.append({"name": "gadgets", "kind": "Gadget", "namespaced": False, "verbs": []})

    assert ref == again
    assert ref.path("w", "ns") == "/apis/x.io/v1/namespaces/ns/widgets/w"
    assert (await client.mapper.ref("x.io/v1", "Gadget")).path("g") == "/apis/x.io/v1/gadgets/g"


async def test_what_discovery_lacks_is_asked_for_soon_and_then_ever_less_often(server, client, monkeypatch):
    server.always("GET", "/apis/x.io/v1", document({"resources": []}))
    now = 1000.0
    monkeypatch.setattr("merope.kube.resources.monotonic", lambda: now)
    asked = []

    for _ in range(500):  # ten milliseconds each
        before = len(server.requests)
        with pytest.raises(NoMatch):
            await client.mapper.ref("x.io/v1", "Widget")
        asked += [now - 1000.0] * (len(server.requests) - before)
        now += 0.01

    assert asked[1] < 0.05, "a definition that was applied a moment ago is found at once"
    assert sum(moment < 1.0 for moment in asked) <= 7
    assert sum(moment >= 3.0 for moment in asked) <= 2, "at most once a second"


def test_a_namespaced_object_needs_its_namespace_and_a_cluster_scoped_one_has_none():
    with pytest.raises(ValueError, match="needs a namespace"):
        CM.path("a")
    with pytest.raises(ValueError, match="cluster-scoped"):
        CORE["Namespace"].path("a", "ns")
    assert CM.path("a/b", "ns") == "/api/v1/namespaces/ns/configmaps/a%2Fb"
    assert CORE["ClusterRole"].path("system:x") == ("/apis/rbac.authorization.k8s.io/v1/clusterroles/system:x")


async def test_an_upgrade_opens_a_websocket_or_says_why_not(server):
    async def echo(request: web.Request) -> web.StreamResponse:
        socket = web.WebSocketResponse(protocols=("v5.channel.k8s.io",))
        await socket.prepare(request)
        async for message in socket:
            await socket.send_bytes(message.data)
        return socket

    path = "/api/v1/namespaces/ns/pods/p/exec"
    server.then("GET", path, echo, refusal(403, "Forbidden"))
    transport = HttpsTransport(ClientConfig(server=server.url, token="t"))
    try:
        socket = await transport.upgrade(f"{path}?command=id", ["v5.channel.k8s.io"])
        await socket.send_bytes(b"\x00in")
        assert await socket.receive_bytes() == b"\x00in"
        assert socket.protocol == "v5.channel.k8s.io"
        await socket.close()
        with pytest.raises(Forbidden):
            await transport.upgrade(path, ["v5.channel.k8s.io"])
    finally:
        await transport.close()

    assert server.requests[0].headers["Authorization"] == "Bearer t"
    assert server.requests[0].query["command"] == "id"
