"""Controllers, managers and elections against a scripted server."""

from __future__ import annotations

import asyncio
import urllib.request

import orjson
import pytest
from aiohttp import web

from merope.kube import (
    CORE,
    BatchFailed,
    Client,
    ClientConfig,
    Controller,
    EventRecorder,
    LeaderElector,
    LeadershipLost,
    LeaderTimes,
    Manager,
    ObjectKey,
    TerminalError,
    generation_changed,
    make_informer,
    persistent_identity,
)
from unit.kube.scripted import Server, Stream, bookmark, configmap, document, event, refusal, serve, until

CM = CORE["ConfigMap"]
ALL = "/api/v1/namespaces/ns/configmaps"
LEASES = "/apis/coordination.k8s.io/v1/namespaces/ns/leases"
TIMES = LeaderTimes(lease_duration=0.5, renew_deadline=0.3, retry_period=0.05)


@pytest.fixture
async def server():
    async with serve(Server()) as running:
        yield running


@pytest.fixture
async def client(server):
    async with Client(ClientConfig(server=server.url), patience=0) as made:
        yield made


def streamed(*objects, version: int = 5) -> Stream:
    stream = Stream()
    stream.send(*(event("ADDED", one) for one in objects), bookmark(version, initial_end=True))
    return stream


async def test_changes_become_keys_and_failures_come_back(server, client):
    stream = streamed(configmap("a", 1), configmap("b", 2))
    server.always("WATCH", ALL, stream)
    manager = Manager(client)
    informer = manager.informer(CM, namespace="ns")
    assert manager.informer(CM, namespace="ns") is informer
    calls: list[ObjectKey] = []

    async def reconcile(key: ObjectKey) -> None:
        calls.append(key)
        if calls.count(key) < 3 and key.name == "a":
            raise RuntimeError("not yet")

    controller: Controller[ObjectKey] = Controller("c", reconcile)
    controller.watches(informer)
    manager.add(controller)
    running = asyncio.create_task(manager.run())
    await until(lambda: len(calls) == 4)
    stream.send(event("DELETED", configmap("b", 9)))
    await until(lambda: len(calls) == 5)
    manager.stop()
    await running

    assert sorted(key.name for key in calls) == ["a", "a", "a", "b", "b"]
    assert 'merope_reconcile_total{controller="c",result="error"} 2' in manager.metrics.render()


async def test_a_result_is_the_time_until_the_next_look_and_a_terminal_error_is_final():
    calls: list[str] = []

    async def reconcile(key: str) -> float | None:
        calls.append(key)
        if key == "hopeless":
            raise TerminalError("no")
        return 0.01 if calls.count(key) < 3 else None

    controller: Controller[str] = Controller("c", reconcile)
    controller.add("again")
    controller.add("hopeless")
    running = asyncio.create_task(controller.run())
    await until(lambda: len(calls) == 4)
    controller.stop()
    await running

    assert calls.count("again") == 3
    assert controller.queue.failures("hopeless") == 0


async def test_a_key_is_never_reconciled_twice_at_a_time():
    active: set[str] = set()
    most = 0
    done = 0

    async def reconcile(key: str) -> None:
        nonlocal most, done
        assert key not in active
        active.add(key)
        most = max(most, len(active))
        await asyncio.sleep(0.001)
        active.remove(key)
        done += 1

    controller: Controller[str] = Controller("c", reconcile, workers=4)
    running = asyncio.create_task(controller.run())
    for _ in range(20):
        for key in "abc":
            controller.add(key)
        await asyncio.sleep(0.0005)
    await until(lambda: len(controller.queue) == 0 and not active)
    controller.stop()
    await running

    assert most == 3
    assert 6 <= done <= 60


async def test_a_batch_gets_all_keys_and_only_those_that_failed_come_back():
    batches: list[list[str]] = []

    async def reconcile(keys: list[str]) -> None:
        batches.append(keys)
        if len(batches) == 1:
            raise BatchFailed({"b": RuntimeError("no")})

    controller: Controller[str] = Controller("c", reconcile_batch=reconcile)
    for key in "abc":
        controller.add(key)
    running = asyncio.create_task(controller.run())
    await until(lambda: len(batches) == 2)
    controller.stop()
    await running

    assert batches == [["a", "b", "c"], ["b"]]


async def test_mapped_keys_follow_from_the_state_before_and_after(server, client):
    stream = streamed(configmap("a", 1, metadata={"labels": {"owner": "x"}, "generation": 1}))
    server.always("WATCH", ALL, stream)
    manager = Manager(client)
    informer = manager.informer(CM, namespace="ns")
    calls: list[str] = []

    async def reconcile(key: str) -> None:
        calls.append(key)

    controller: Controller[str] = Controller("c", reconcile)
    controller.watches(informer, lambda one: [one.labels["owner"]], when=generation_changed)
    manager.add(controller)
    running = asyncio.create_task(manager.run())
    await until(lambda: calls == ["x"])
    stream.send(event("MODIFIED", configmap("a", 6, metadata={"labels": {"owner": "z"}, "generation": 1})))
    stream.send(event("MODIFIED", configmap("a", 7, metadata={"labels": {"owner": "y"}, "generation": 2})))
    await until(lambda: len(calls) == 3)
    manager.stop()
    await running

    assert sorted(calls[1:]) == ["y", "z"]


async def test_stopping_waits_for_the_reconcile_under_way(client):
    entered, go_on = asyncio.Event(), asyncio.Event()
    finished = False

    async def reconcile(key: str) -> None:
        nonlocal finished
        entered.set()
        await go_on.wait()
        finished = True

    manager = Manager(client)
    controller: Controller[str] = Controller("c", reconcile)
    manager.add(controller)
    controller.add("a")
    running = asyncio.create_task(manager.run())
    await entered.wait()
    manager.stop()
    await asyncio.sleep(0.01)
    assert not running.done()
    go_on.set()
    await running

    assert finished


async def test_a_controller_that_waits_for_its_caches_can_be_stopped(client):
    async def reconcile(key):
        return None

    controller = Controller("waiting", reconcile)
    controller.watches(make_informer(client, CM))  # which never runs, as if its API were not served
    running = asyncio.create_task(controller.run())
    await asyncio.sleep(0)

    controller.stop()

    async with asyncio.timeout(1):
        await running


async def test_a_controller_waits_for_caches_that_it_only_reads(client):
    reconciled = asyncio.Event()

    async def reconcile(key):
        reconciled.set()

    controller = Controller("reading", reconcile)
    controller.needs(make_informer(client, CM))  # which never runs
    controller.add("a")
    running = asyncio.create_task(controller.run())
    await asyncio.sleep(0.02)

    controller.stop()
    await running

    assert not reconciled.is_set()


async def test_a_reconcile_that_outstays_the_grace_is_ended(client):
    entered = asyncio.Event()

    async def reconcile(key: str) -> None:
        entered.set()
        await asyncio.sleep(3600)

    manager = Manager(client, grace=0.05)
    controller: Controller[str] = Controller("c", reconcile)
    manager.add(controller)
    controller.add("a")
    running = asyncio.create_task(manager.run())
    await entered.wait()
    manager.stop()

    async with asyncio.timeout(2):
        await running


async def test_a_service_that_fails_ends_the_manager_with_its_error(client):
    async def service() -> None:
        raise OSError("port in use")

    manager = Manager(client)
    manager.add_service("listener", service)

    with pytest.raises(OSError, match="port in use"):
        await manager.run()


async def test_health_endpoints_answer_for_their_checks(server, client):
    server.always("WATCH", ALL, Stream())
    manager = Manager(client, health="127.0.0.1:0")
    manager.informer(CM, namespace="ns")
    manager.check("broken", lambda: "is broken", live=True)
    running = asyncio.create_task(manager.run())
    await until(lambda: manager.health.address)

    def get(path: str) -> tuple[int, str]:
        try:
            with urllib.request.urlopen(f"http://{manager.health.address}{path}") as response:
                return response.status, response.read().decode()
        except urllib.error.HTTPError as error:
            return error.code, error.read().decode()

    async def ask(path: str) -> tuple[int, str]:
        return await asyncio.to_thread(get, path)

    assert (await ask("/healthz"))[0] == 500
    assert await ask("/healthz/ping") == (200, "ok")
    code, text = await ask("/readyz")
    assert code == 500
    assert "informers failed: not synced: informer of configmaps.v1 in ns" in text
    code, text = await ask("/metrics")
    assert code == 200
    assert "merope_loop_longest_step_seconds" in text
    assert (await ask("/elsewhere"))[0] == 404
    manager.stop()
    await running


class LeaseServer:
    """Leases as a server keeps them: created once, replaced only with the current version."""

    def __init__(self, server: Server) -> None:
        self.lease: dict | None = None
        self.version = 0
        self.broken = False
        self.writes = 0
        server.always("GET", f"{LEASES}/lock", self._get)
        server.always("POST", LEASES, self._create)
        server.always("PUT", f"{LEASES}/lock", self._update)

    def _store(self, body: dict) -> dict:
        self.version += 1
        self.writes += 1
        body["metadata"] = {**body["metadata"], "uid": "u", "resourceVersion": str(self.version)}
        self.lease = body
        return body

    async def _get(self, request: web.Request) -> web.StreamResponse:
        if self.broken:
            return await refusal(500, "InternalError")(request)
        return await (document(self.lease) if self.lease else refusal(404, "NotFound"))(request)

    async def _create(self, request: web.Request) -> web.StreamResponse:
        if self.lease is not None:
            return await refusal(409, "AlreadyExists")(request)
        return await document(self._store(orjson.loads(await request.read())), 201)(request)

    async def _update(self, request: web.Request) -> web.StreamResponse:
        body = orjson.loads(await request.read())
        if self.broken:
            return await refusal(500, "InternalError")(request)
        if body["metadata"]["resourceVersion"] != str(self.version):
            return await refusal(409, "Conflict")(request)
        return await document(self._store(body))(request)

    @property
    def holder(self) -> str | None:
        return self.lease and self.lease["spec"]["holderIdentity"]


def elector(client: Client, identity: str) -> LeaderElector:
    return LeaderElector(client, "lock", "ns", identity=identity, times=TIMES)


async def test_one_leads_and_the_other_takes_over_when_the_lease_is_given_back(server, client):
    leases = LeaseServer(server)
    stop = asyncio.Event()
    first, second = elector(client, "one"), elector(client, "two")
    running = asyncio.create_task(first.run(lambda: stop.wait()))
    await until(lambda: first.leading)
    waiting = asyncio.create_task(second.run(asyncio.Event().wait))
    await until(lambda: leases.writes > 5)
    assert not second.leading
    acquired = leases.lease["spec"]["acquireTime"]
    assert leases.lease["spec"]["renewTime"] > acquired

    stop.set()
    await running
    await until(lambda: second.leading)

    assert leases.holder == "two"
    assert leases.lease["spec"]["leaseTransitions"] == 1
    waiting.cancel()
    await asyncio.wait([waiting])
    assert leases.holder == ""


async def test_a_lease_is_given_back_although_a_renewal_was_cut_short_that_the_server_has_stored(server, client):
    leases = LeaseServer(server)
    stop = asyncio.Event()
    leader = elector(client, "one")
    running = asyncio.create_task(leader.run(stop.wait))
    await until(lambda: leader.leading)
    leases._store(dict(leases.lease))

    stop.set()
    await running

    assert leases.holder == ""


async def test_a_lease_whose_holder_is_silent_is_taken_after_its_duration(server, client):
    leases = LeaseServer(server)
    leases._store(
        {
            "metadata": {"name": "lock", "namespace": "ns"},
            "spec": {"holderIdentity": "dead", "leaseDurationSeconds": 1, "renewTime": "2020-01-01T00:00:00.000000Z"},
        }
    )
    loop = asyncio.get_running_loop()
    started = loop.time()
    taking = elector(client, "me")

    await taking.acquire()

    assert loop.time() - started >= 1  # by our own clock from when we saw it: the time in the record is not believed
    assert leases.holder == "me"


async def test_the_same_identity_takes_its_own_lease_back_at_once(server, client, tmp_path):
    leases = LeaseServer(server)
    identity = persistent_identity(tmp_path / "identity")
    await elector(client, identity).acquire()

    again = elector(client, persistent_identity(tmp_path / "identity"))
    async with asyncio.timeout(0.3):
        await again.acquire()

    assert leases.holder == identity


async def test_a_leader_that_cannot_renew_steps_down_before_anybody_may_take_over(server, client):
    leases = LeaseServer(server)
    losing = elector(client, "me")
    ended = asyncio.Event()

    async def lead() -> None:
        try:
            await asyncio.sleep(3600)
        finally:
            ended.set()

    running = asyncio.create_task(losing.run(lead))
    await until(lambda: losing.leading)
    leases.broken = True

    with pytest.raises(LeadershipLost):
        async with asyncio.timeout(TIMES.lease_duration):
            await running

    assert ended.is_set()
    assert not losing.leading


async def test_a_lease_that_somebody_else_took_is_lost(server, client):
    leases = LeaseServer(server)
    losing = elector(client, "me")
    running = asyncio.create_task(losing.run(asyncio.Event().wait))
    await until(lambda: losing.leading)
    leases.lease["spec"]["holderIdentity"] = "other"
    leases._store(leases.lease)

    with pytest.raises(LeadershipLost, match="taken by other"):
        await running


async def test_a_manager_whose_lease_is_lost_stops_its_controllers(server, client):
    leases = LeaseServer(server)
    calls = []
    cancelled = asyncio.Event()

    async def reconcile(key: str) -> None:
        calls.append(key)
        try:
            await asyncio.sleep(3600)
        finally:
            cancelled.set()

    manager = Manager(client, leader=elector(client, "me"))
    controller: Controller[str] = Controller("c", reconcile)
    controller.add("a")
    manager.add(controller)
    running = asyncio.create_task(manager.run())
    await until(lambda: calls)
    leases.broken = True

    with pytest.raises(LeadershipLost):
        await running
    assert cancelled.is_set()


async def test_a_manager_that_waits_for_the_lease_can_be_stopped(server, client):
    leases = LeaseServer(server)
    leases._store(
        {
            "metadata": {"name": "lock", "namespace": "ns"},
            "spec": {"holderIdentity": "other", "leaseDurationSeconds": 100},
        }
    )
    manager = Manager(client, leader=elector(client, "me"))
    running = asyncio.create_task(manager.run())
    await until(lambda: server.seen("GET", f"{LEASES}/lock"))
    manager.stop()

    async with asyncio.timeout(2):
        await running


async def test_what_repeats_becomes_a_series(server, client):
    created: list[dict] = []
    path = "/apis/events.k8s.io/v1/namespaces/ns/events"

    async def create(request: web.Request) -> web.StreamResponse:
        body = orjson.loads(await request.read())
        created.append(body)
        name = body["metadata"]["name"]
        server.always("PATCH", f"{path}/{name}", patch)
        return await document({**body, "metadata": {**body["metadata"], "uid": "e", "resourceVersion": "1"}}, 201)(
            request
        )

    patches: list[dict] = []

    async def patch(request: web.Request) -> web.StreamResponse:
        patches.append(orjson.loads(await request.read()))
        return await document(created[0] | {"metadata": {**created[0]["metadata"], "uid": "e"}})(request)

    server.always("POST", path, create)
    now = 0.0
    recorder = EventRecorder(client, "example.com/c", clock=lambda: now)
    running = asyncio.create_task(recorder.run())
    about = configmap("a", 1)
    for _ in range(5):
        recorder.warning(about, "Broken", "it is " + "x" * 2000)
    recorder.normal(about, "Fine", "other")
    await until(lambda: len(created) == 2 and patches)
    running.cancel()
    await asyncio.wait([running])

    assert patches == [{"series": {"count": 2, "lastObservedTime": patches[0]["series"]["lastObservedTime"]}}]
    first = created[0]
    assert (first["reason"], first["type"], first["action"]) == ("Broken", "Warning", "Reconcile")
    assert first["regarding"]["uid"] == "uid-a"
    assert first["metadata"]["namespace"] == "ns"
    assert len(first["note"]) == 1024
