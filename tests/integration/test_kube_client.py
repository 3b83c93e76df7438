"""The Kubernetes client and controllers against a control plane, real or embedded."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import aclosing

import pytest

from fixtures.cluster import Cluster
from merope.kube import (
    CORE,
    AlreadyExists,
    Client,
    ClientConfig,
    Conflict,
    Controller,
    Forbidden,
    Informer,
    Invalid,
    LeaderElector,
    Manager,
    Manifest,
    NoMatch,
    NotFound,
    ObjectKey,
    PatchType,
    Propagation,
    Unauthorized,
    set_condition,
    write,
)

CM = CORE["ConfigMap"]


@pytest.fixture
def config(cluster: Cluster) -> ClientConfig:
    return ClientConfig.load(cluster.admin_kubeconfig)


@pytest.fixture
async def client(config: ClientConfig) -> AsyncIterator[Client]:
    async with Client(config) as made:
        yield made


def configmap(name: str, **data: str) -> Manifest:
    return {"metadata": {"name": name, "namespace": "default"}, "data": data}


async def until(condition, timeout: float = 15) -> None:
    async with asyncio.timeout(timeout):
        while not condition():  # noqa: ASYNC110
            await asyncio.sleep(0.01)


async def test_every_verb_on_an_object(client: Client) -> None:
    made = await client.create(CM, configmap("verbs", a="1"))
    with pytest.raises(AlreadyExists):
        await client.create(CM, configmap("verbs"))
    merged = await client.patch(CM, "verbs", {"data": {"b": "2"}}, namespace="default")
    await client.patch(CM, "verbs", [{"op": "remove", "path": "/data/a"}], namespace="default", type=PatchType.JSON)
    await client.patch(CM, "verbs", {"data": {"c": "3"}}, namespace="default", type=PatchType.STRATEGIC)
    with pytest.raises(Conflict):
        await client.update(CM, made)
    current = await client.get(CM, "verbs", "default")
    current["data"]["d"] = "4"
    updated = await client.update(CM, current)

    assert made["metadata"]["uid"]
    assert merged["data"] == {"a": "1", "b": "2"}
    assert updated["data"] == {"b": "2", "c": "3", "d": "4"}
    with pytest.raises(Conflict):
        await client.delete(CM, "verbs", "default", uid="not-this-one")
    assert await client.delete(CM, "verbs", "default", uid=made["metadata"]["uid"])
    with pytest.raises(NotFound):
        await client.get(CM, "verbs", "default")


async def test_server_side_apply_keeps_managers_apart(client: Client) -> None:
    mine = configmap("applied", a="1")
    await client.apply(CM, mine, field_manager="me")
    with pytest.raises(Conflict) as raised:
        await client.apply(CM, configmap("applied", a="2"), field_manager="you")
    taken = await client.apply(CM, configmap("applied", a="2"), field_manager="you", force=True)

    assert raised.value.has_cause("FieldManagerConflict")
    assert taken["data"] == {"a": "2"}


async def test_a_dry_run_changes_nothing(client: Client) -> None:
    made = await client.create(CM, configmap("dry"), dry_run=True)
    assert made["metadata"]["name"] == "dry"
    with pytest.raises(NotFound):
        await client.get(CM, "dry", "default")


async def test_lists_are_paged_and_selected(client: Client) -> None:
    for number in range(5):
        body = configmap(f"page{number}")
        body["metadata"]["labels"] = {"paged": "yes", "even": str(number % 2 == 0).lower()}
        await client.create(CM, body)

    everything = await client.list(CM, "default", label_selector="paged=yes", page_size=2)
    even = await client.list(CM, "default", label_selector="paged,even=true")
    one = await client.list(CM, field_selector="metadata.name=page3")
    page = await client.page(CM, "default", label_selector="paged", limit=2)

    assert [item["metadata"]["name"] for item in everything] == [f"page{number}" for number in range(5)]
    assert all(item["kind"] == "ConfigMap" and item["apiVersion"] == "v1" for item in everything)
    assert len(even) == 3
    assert len(one) == 1
    assert page.continue_token
    await client.delete_collection(CM, "default", label_selector="paged")
    assert await client.list(CM, "default", label_selector="paged") == []


async def test_refusals_have_their_types(client: Client, config: ClientConfig) -> None:
    with pytest.raises(Invalid) as raised:
        await client.create(CM, configmap("Not A Name"))
    assert raised.value.causes[0]["field"] == "metadata.name"
    with pytest.raises(NoMatch):
        await client.mapper.ref("nowhere.example.com/v1", "Nothing")
    async with Client(config.acting_as("nobody", "system:authenticated")) as nobody:
        with pytest.raises(Forbidden):
            await nobody.list(CORE["Secret"])
    async with Client(ClientConfig(server=config.server, ca_data=config.ca_data, token="wrong")) as stranger:
        with pytest.raises(Unauthorized):
            await stranger.list(CORE["Secret"])


async def test_discovery_maps_kinds_to_resources(client: Client) -> None:
    deployment = await client.mapper.ref("apps/v1", "Deployment")
    role = await client.mapper.by_group_kind("rbac.authorization.k8s.io", "ClusterRole")
    secrets = await client.mapper.by_plural("", "", "secrets")

    assert deployment == CORE["Deployment"]
    assert role == CORE["ClusterRole"]
    assert secrets == CORE["Secret"]
    assert {"get", "watch"} <= await client.mapper.verbs(secrets)


async def test_a_client_certificate_is_an_identity(cluster: Cluster, config: ClientConfig) -> None:
    certificate, key = await asyncio.to_thread(cluster.client_certificate, "jane", ["team"])
    as_jane = ClientConfig(server=config.server, ca_data=cluster.ca_pem, certificate_data=certificate, key_data=key)
    review = {"apiVersion": "authentication.k8s.io/v1", "kind": "SelfSubjectReview"}

    async with Client(as_jane) as jane:
        answer = await jane.request_json("POST", "/apis/authentication.k8s.io/v1/selfsubjectreviews", review)

    assert answer["status"]["userInfo"]["username"] == "jane"
    assert "team" in answer["status"]["userInfo"]["groups"]


async def test_a_token_is_asked_for_through_a_subresource(client: Client) -> None:
    account = {"metadata": {"name": "robot", "namespace": "default"}}
    await client.create(CORE["ServiceAccount"], account)
    request = {"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest", "spec": {"expirationSeconds": 3600}}

    answer = await client.create_subresource(CORE["ServiceAccount"], "robot", "token", request, "default")

    assert answer["status"]["token"].count(".") == 2
    await client.delete(CORE["ServiceAccount"], "robot", "default")


async def test_a_watch_follows_a_list(client: Client) -> None:
    page = await client.page(CM, "default")
    await client.create(CM, configmap("watched"))
    await client.delete(CM, "watched", "default")
    seen = []

    async with aclosing(client.watch(CM, "default", resource_version=page.resource_version)) as events:
        async with asyncio.timeout(15):
            async for event in events:
                if event.object is not None and event.object.name == "watched":
                    seen.append(event.type)
                if event.type == "DELETED":
                    break

    assert seen == ["ADDED", "DELETED"]


@pytest.mark.parametrize("streaming", [True, False])
async def test_an_informer_is_complete_and_follows(client: Client, streaming: bool) -> None:
    client.streaming_lists = streaming
    for number in range(5):
        await client.create(CM, configmap(f"seen{number}", n=str(number)))
    informer = Informer(
        client, CM, namespace="default", page_size=2, indexes={"n": lambda one: [one.value.get("data", {}).get("n")]}
    )
    running = asyncio.create_task(informer.run())
    try:
        async with asyncio.timeout(30):
            await informer.wait_synced()
        assert [one.name for one in informer.by_index("n", "3")] == ["seen3"]
        changes: list[tuple[str, str]] = []
        informer.add_handler(lambda change: changes.append((change.key.name, change.current.resource_version)))
        changes.clear()

        made = await client.create(CM, configmap("own", n="own"))
        assert informer.get("own", "default") is not None  # no waiting: the write brought it
        async with Client(client.config) as somebody:
            await somebody.patch(CM, "seen0", {"data": {"n": "new"}}, namespace="default")
            await somebody.delete(CM, "seen1", "default")
        await until(lambda: informer.by_index("n", "new") and informer.get("seen1", "default") is None)

        assert changes.count(("own", made["metadata"]["resourceVersion"])) == 1
        assert len(changes) == 3
        assert informer.relists == 1
    finally:
        running.cancel()
        await asyncio.wait([running])
        await client.delete_collection(CM, "default", field_selector="metadata.name!=kube-root-ca.crt")


async def test_an_informer_survives_the_restart_of_its_server(cluster: Cluster, config: ClientConfig) -> None:
    async with Client(config) as client:
        await client.create(CM, configmap("before"))
        informer = Informer(client, CM, namespace="default", first_pause=0.1)
        running = asyncio.create_task(informer.run())
        try:
            await informer.wait_synced()
            cluster.restart()  # in this thread: its processes end with the thread that started them
            await client.create(CM, configmap("after"))
            async with Client(config) as somebody:
                await somebody.patch(CM, "before", {"data": {"x": "1"}}, namespace="default")
            await until(
                lambda: (
                    informer.get("after", "default") and "x" in informer.get("before", "default").value.get("data", {})
                ),
                60,
            )
        finally:
            running.cancel()
            await asyncio.wait([running])


async def test_a_version_that_is_too_old_or_too_new_leads_to_a_fresh_list(client: Client) -> None:
    informer = Informer(client, CM, namespace="default", first_pause=0.05)
    informer._version = "1"
    running = asyncio.create_task(informer.run())
    try:
        # Servers answer a version this old with 410, or still have it: either way the cache has to follow.
        await client.create(CM, configmap("fresh"))
        await until(lambda: informer.get("fresh", "default") is not None or informer.relists, 30)
    finally:
        running.cancel()
        await asyncio.wait([running])
        await client.delete(CM, "fresh", "default")


async def test_a_controller_reaches_its_goal_and_then_writes_nothing(client: Client) -> None:
    manager = Manager(client, leader=LeaderElector(client, "tests-lock", "default"))
    informer = manager.informer(CM, namespace="default", label_selector="controlled")
    recorder = manager.recorder("merope.dev/tests")
    calls = 0

    async def reconcile(key: ObjectKey) -> None:
        nonlocal calls
        calls += 1
        current = informer.get(key.name, key.namespace)
        if current is None:
            return

        def change(raw: Manifest) -> None:
            raw.setdefault("data", {})["copy"] = raw["metadata"]["labels"]["controlled"]

        written = await write(client, CM, current, change)
        if written is not current:
            recorder.normal(written, "Copied", "label copied")

    controller: Controller[ObjectKey] = Controller("copier", reconcile)
    controller.watches(informer)
    manager.add(controller)
    running = asyncio.create_task(manager.run())
    try:
        body = configmap("controlled")
        body["metadata"]["labels"] = {"controlled": "one"}
        await informer.wait_synced()
        await client.create(CM, body)
        await until(lambda: (informer.get("controlled", "default").value.get("data") or {}).get("copy") == "one")
        await client.patch(CM, "controlled", {"metadata": {"labels": {"controlled": "two"}}}, namespace="default")
        await until(lambda: informer.get("controlled", "default").value["data"]["copy"] == "two")
        version = informer.get("controlled", "default").resource_version
        calls = 0
        for _ in range(5):
            controller.add(ObjectKey("default", "controlled"))
            await until(lambda: not len(controller.queue) and not controller.queue.active)
        assert calls > 0
        assert (await client.fetch(CM, "controlled", "default")).resource_version == version
    finally:
        manager.stop()
        await running

    lease = await client.get(CORE["Lease"], "tests-lock", "default")
    events = await client.list(CORE["Event"], "default", field_selector="regarding.name=controlled")
    assert lease["spec"]["holderIdentity"] == ""
    assert {event["reason"] for event in events} == {"Copied"}
    await client.delete(CM, "controlled", "default")
    await client.delete(CORE["Lease"], "tests-lock", "default")
    await client.delete_collection(CORE["Event"], "default")


async def test_deletion_waits_for_finalizers_and_dependents(client: Client) -> None:
    body = configmap("held")
    body["metadata"]["finalizers"] = ["merope.dev/test"]
    await client.create(CM, body)

    gone = await client.delete(CM, "held", "default", propagation=Propagation.BACKGROUND)
    held = await client.fetch(CM, "held", "default")
    assert not gone
    assert held.deleting
    await write(client, CM, held, lambda raw: raw["metadata"].update(finalizers=[]))
    with pytest.raises(NotFound):
        await client.get(CM, "held", "default")


async def test_conditions_are_written_through_the_status(client: Client) -> None:
    namespace = {"metadata": {"name": "conditions"}}
    await client.create(CORE["Namespace"], namespace)
    current = await client.fetch(CORE["Namespace"], "conditions")

    def change(raw: Manifest) -> None:
        conditions = raw.setdefault("status", {}).setdefault("conditions", [])
        set_condition(conditions, "Tested", "True", "ByTest", "it was")

    written = await write(client, CORE["Namespace"], current, change, subresource="status")
    again = await write(client, CORE["Namespace"], written, change, subresource="status")

    assert again is written
    assert written.raw["status"]["conditions"][0]["type"] == "Tested"
    await client.delete(CORE["Namespace"], "conditions")
