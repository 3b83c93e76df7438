"""Writes: nothing where nothing differs, patches with uid and version, conflicts recomputed, one status writer."""

from __future__ import annotations

import asyncio

import msgspec
import orjson
import pytest
from aiohttp import web

from merope.api.cluster.v1 import ManagedCluster
from merope.kube import (
    CORE,
    Client,
    ClientConfig,
    Conflict,
    NotFound,
    Snapshot,
    StatusWriter,
    set_condition,
    write,
    write_typed,
)
from merope.lang import mergepatch
from unit.kube.scripted import Server, configmap, document, refusal, serve

CM = CORE["ConfigMap"]
ONE = "/api/v1/namespaces/ns/configmaps/a"


@pytest.fixture
async def server():
    async with serve(Server()) as running:
        yield running


@pytest.fixture
async def client(server):
    async with Client(ClientConfig(server=server.url), patience=0) as made:
        yield made


def snapshot(obj, kind=CM, type_=None):
    return Snapshot(orjson.dumps(obj), kind, type_)


class Stored:
    """One object on the server: takes merge patches, checks version and uid as a server does."""

    def __init__(self, server: Server, path: str, obj: dict) -> None:
        self.object = obj
        self.patches: list[dict] = []
        server.always("GET", path, self.get)
        for target in (path, f"{path}/status"):
            server.always("PATCH", target, self.patch)

    async def get(self, request: web.Request) -> web.StreamResponse:
        return await document(self.object)(request)

    async def patch(self, request: web.Request) -> web.StreamResponse:
        patch = orjson.loads(await request.read())
        wanted = patch["metadata"]
        metadata = self.object["metadata"]
        if (wanted["uid"], wanted["resourceVersion"]) != (metadata["uid"], metadata["resourceVersion"]):
            return await refusal(409, "Conflict")(request)
        self.patches.append(patch)
        self.object = mergepatch.apply(self.object, patch)
        self.change()
        return await document(self.object)(request)

    def change(self, **fields) -> None:
        self.object = {**self.object, **fields}
        metadata = self.object["metadata"]
        self.object["metadata"] = {**metadata, "resourceVersion": str(int(metadata["resourceVersion"]) + 1)}


async def test_nothing_is_sent_where_nothing_differs(server, client):
    current = snapshot(configmap("a", 1, data={"x": "1"}))

    result = await write(client, CM, current, lambda raw: raw["data"].update(x="1"))

    assert result is current
    assert server.requests == []


async def test_a_write_is_a_merge_patch_with_uid_and_version(server, client):
    stored = Stored(server, ONE, configmap("a", 1, data={"x": "1", "y": "2"}))

    def change(raw) -> None:
        raw["data"]["x"] = "3"
        del raw["data"]["y"]

    result = await write(client, CM, snapshot(stored.object), change)

    assert stored.patches == [{"data": {"x": "3", "y": None}, "metadata": {"uid": "uid-a", "resourceVersion": "1"}}]
    assert result.raw["data"] == {"x": "3"}


async def test_after_a_conflict_the_change_is_made_again_on_the_live_object(server, client):
    stored = Stored(server, ONE, configmap("a", 1, data={"n": "1"}))
    stale = snapshot(stored.object)
    stored.change(data={"n": "5", "other": "x"})

    def increment(raw) -> None:
        raw["data"]["n"] = str(int(raw["data"]["n"]) + 1)

    result = await write(client, CM, stale, increment)

    assert result.raw["data"] == {"n": "6", "other": "x"}
    assert len(server.seen("GET")) == 1


async def test_after_three_refusals_the_conflict_goes_to_the_caller(server, client):
    Stored(server, ONE, configmap("a", 1))
    server.always("PATCH", ONE, refusal(409, "Conflict"))

    with pytest.raises(Conflict):
        await write(client, CM, snapshot(configmap("a", 1)), lambda raw: raw.update(data={"x": "1"}))

    assert len(server.seen("PATCH")) == 3
    assert len(server.seen("GET")) == 2


async def test_a_namesake_is_not_written_to(server, client):
    stored = Stored(server, ONE, configmap("a", 9, uid="another"))

    with pytest.raises(NotFound, match="another object has its name"):
        await write(client, CM, snapshot(configmap("a", 1)), lambda raw: raw.update(data={"x": "1"}))

    assert stored.patches == []


async def test_a_typed_change_keeps_what_the_struct_does_not_know(server, client):
    path = "/apis/cluster.open-cluster-management.io/v1/managedclusters/c1"
    stored = Stored(
        server,
        path,
        {
            "apiVersion": "cluster.open-cluster-management.io/v1",
            "kind": "ManagedCluster",
            "metadata": {"name": "c1", "uid": "u", "resourceVersion": "1"},
            "spec": {"hubAcceptsClient": False, "new": {"x": None}},
        },
    )
    current = snapshot(stored.object, CM, ManagedCluster)

    result = await write_typed(
        client,
        ManagedCluster,
        current,
        lambda cluster: msgspec.structs.replace(
            cluster, spec=msgspec.structs.replace(cluster.spec, hub_accepts_client=True)
        ),
    )

    assert stored.patches[0]["spec"] == {"hubAcceptsClient": True}
    assert result.value.spec.hub_accepts_client is True
    assert result.raw["spec"]["new"] == {"x": None}


async def test_several_controllers_statuses_become_one_patch(server, client):
    stored = Stored(server, ONE, configmap("a", 1))
    status = StatusWriter(client, CM)
    current = snapshot(stored.object)

    def sets(type_: str):
        def change(raw) -> None:
            conditions = raw.setdefault("status", {}).setdefault("conditions", [])
            set_condition(conditions, type_, "True", "Ok")

        return change

    await asyncio.gather(*(status.write(current, sets(type_)) for type_ in ("A", "B", "C", "D")))

    assert {condition["type"] for condition in stored.object["status"]["conditions"]} == {"A", "B", "C", "D"}
    assert len(stored.patches) <= 2
    assert status._objects == {}


async def test_a_cancelled_status_write_does_not_take_the_others_with_it(server, client):
    stored = Stored(server, ONE, configmap("a", 1))
    status = StatusWriter(client, CM)
    arrived, go_on = asyncio.Event(), asyncio.Event()

    async def slow(request):
        arrived.set()
        await go_on.wait()
        return await stored.patch(request)

    server.then("PATCH", f"{ONE}/status", slow)
    current = snapshot(stored.object)
    first = asyncio.create_task(status.write(current, lambda raw: raw.setdefault("status", {}).update(a=1)))
    await arrived.wait()
    second = asyncio.create_task(status.write(current, lambda raw: raw.setdefault("status", {}).update(b=2)))
    await asyncio.sleep(0)
    first.cancel()
    await asyncio.wait([first])

    result = await second

    assert result.raw["status"]["b"] == 2
    assert first.cancelled()


async def test_a_status_write_that_fails_fails_for_everybody_who_wanted_it(server, client):
    server.always("PATCH", f"{ONE}/status", refusal(403, "Forbidden"))
    status = StatusWriter(client, CM)
    current = snapshot(configmap("a", 1))

    results = await asyncio.gather(
        *(status.write(current, lambda raw: raw.setdefault("status", {}).update(a=1)) for _ in range(3)),
        return_exceptions=True,
    )

    assert {type(result).__name__ for result in results} == {"Forbidden"}
