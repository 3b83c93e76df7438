"""Informers against a scripted server that restarts, forgets, lies, overloads and falls silent."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from merope.kube import CORE, Client, ClientConfig, Informer, ObjectKey
from unit.kube.scripted import Server, Stream, bookmark, configmap, document, event, listing, refusal, serve, until

CM = CORE["ConfigMap"]
ALL = "/api/v1/namespaces/ns/configmaps"


@pytest.fixture
async def server():
    async with serve(Server()) as running:
        yield running


@pytest.fixture
async def client(server):
    async with Client(ClientConfig(server=server.url), patience=0.2) as made:
        yield made


class Following:
    """A running informer, and the changes that it told of."""

    def __init__(self, informer: Informer) -> None:
        self.informer = informer
        self.changes: list[tuple[str, str, str]] = []
        self._changed = asyncio.Event()
        informer.add_handler(self._note)

    def _note(self, change) -> None:
        kind = "add" if change.old is None else "delete" if change.new is None else "update"
        self.changes.append((kind, change.key.name, change.current.resource_version))
        self._changed.set()

    until = staticmethod(until)

    @property
    def objects(self) -> dict[str, str]:
        return {snapshot.name: snapshot.resource_version for snapshot in self.informer.list()}


@asynccontextmanager
async def following(client: Client, **options) -> AsyncIterator[Following]:
    informer = Informer(client, CM, **{"namespace": "ns", "first_pause": 0.01, **options})
    task = asyncio.create_task(informer.run())
    try:
        yield Following(informer)
    finally:
        task.cancel()
        await asyncio.wait([task])
        if not task.cancelled():
            task.result()


def streamed(*objects, version: int) -> Stream:
    stream = Stream()
    stream.send(*(event("ADDED", one) for one in objects), bookmark(version, initial_end=True))
    return stream


async def test_the_initial_state_is_streamed_and_then_followed_on_the_same_connection(server, client):
    stream = streamed(configmap("a", 1), configmap("b", 2), version=5)
    server.always("WATCH", ALL, stream)

    async with following(client) as seen:
        await seen.informer.wait_synced()
        assert seen.objects == {"a": "1", "b": "2"}
        stream.send(event("MODIFIED", configmap("a", 6)), event("DELETED", configmap("b", 7)))
        await seen.until(lambda: seen.objects == {"a": "6"})

    (request,) = server.seen("WATCH")
    assert request.query["sendInitialEvents"] == "true"
    assert request.query["resourceVersionMatch"] == "NotOlderThan"
    assert seen.changes == [("add", "a", "1"), ("add", "b", "2"), ("update", "a", "6"), ("delete", "b", "2")]


@pytest.mark.parametrize("code", [422, 400])
async def test_a_server_that_refuses_streaming_lists_is_listed_in_pages(server, client, code):
    server.then("WATCH", ALL, refusal(code, "Invalid" if code == 422 else "BadRequest"))
    server.then("GET", ALL, listing([configmap("a", 1)], 5, "more"), listing([configmap("b", 2)], 5))
    stream = Stream()
    server.always("WATCH", ALL, stream)

    async with following(client, page_size=1) as seen:
        await seen.informer.wait_synced()
        await server.wait_for("WATCH", ALL, 2)

    assert seen.objects == {"a": "1", "b": "2"}
    assert server.seen("WATCH")[1].query["resourceVersion"] == "5"
    assert server.seen("GET", ALL)[1].query["continue"] == "more"


async def test_a_server_that_ignores_streaming_lists_is_found_out(server, client, monkeypatch):
    monkeypatch.setattr("merope.kube.informer._STREAM_SILENCE", 0.1)
    ignorant = Stream()
    ignorant.send(event("ADDED", configmap("a", 1)))
    server.then("WATCH", ALL, ignorant)
    server.always("WATCH", ALL, Stream())
    server.always("GET", ALL, listing([configmap("a", 1)], 5))

    async with following(client) as seen:
        await seen.informer.wait_synced()

    assert client.streaming_lists is False
    assert seen.objects == {"a": "1"}


async def test_a_watch_that_ends_is_resumed_from_the_last_version_or_bookmark(server, client):
    first, second, third = streamed(configmap("a", 1), version=5), Stream(), Stream()
    first.send(event("MODIFIED", configmap("a", 8)))
    first.end()
    second.send(bookmark(20))
    second.break_off()
    server.then("WATCH", ALL, first, second, third)

    async with following(client) as seen:
        await server.wait_for("WATCH", ALL, 3)

    requests = server.seen("WATCH")
    assert [request.query.get("resourceVersion") for request in requests] == [None, "8", "20"]
    assert seen.informer.relists == 1


async def test_a_forgotten_version_leads_to_a_new_list_with_deletions(server, client):
    first = streamed(configmap("a", 1), configmap("b", 2), version=5)
    first.send(event("ERROR", {"kind": "Status", "code": 410, "reason": "Expired", "message": "too old"}))
    second = streamed(configmap("b", 9), configmap("c", 8), version=10)
    server.then("WATCH", ALL, first, second)

    async with following(client) as seen:
        await seen.until(lambda: seen.objects == {"b": "9", "c": "8"})

    assert seen.changes[2:] == [("update", "b", "9"), ("add", "c", "8"), ("delete", "a", "1")]
    assert seen.informer.relists == 2


@pytest.mark.parametrize(
    "answer",
    [
        refusal(410, "Expired", "too old resource version"),
        refusal(
            504, "Timeout", "Too large resource version: 5, current: 2", causes=[{"reason": "ResourceVersionTooLarge"}]
        ),
    ],
)
async def test_a_version_that_the_server_can_not_resume_leads_to_a_new_list(server, client, answer):
    first = streamed(configmap("a", 5), version=5)
    first.end()
    server.then("WATCH", ALL, first, answer, streamed(configmap("a", 1), version=2))

    async with following(client) as seen:
        await seen.until(lambda: seen.objects == {"a": "1"})  # a restored server has older versions, and is believed


async def test_an_object_recreated_between_lists_is_deleted_and_added(server, client):
    first = streamed(configmap("a", 1, uid="one"), version=5)
    first.end()
    server.then("WATCH", ALL, first, refusal(410, "Expired"), streamed(configmap("a", 7, uid="two"), version=8))

    async with following(client) as seen:
        await seen.until(lambda: seen.objects == {"a": "7"})

    assert seen.changes == [("add", "a", "1"), ("delete", "a", "1"), ("add", "a", "7")]


async def test_a_server_restart_is_survived(client, server):
    port = int(server.url.rpartition(":")[2])
    restarted = Server()
    server.always("WATCH", ALL, streamed(configmap("a", 1), version=5))
    after = Stream()
    after.send(event("MODIFIED", configmap("a", 9)))
    restarted.always("WATCH", ALL, after)

    elsewhere = Server()
    async with serve(elsewhere) as one:
        elsewhere.always("WATCH", ALL, streamed(configmap("a", 1), version=5))
        port = int(one.url.rpartition(":")[2])
        other = Client(ClientConfig(server=one.url), patience=0.1)
        informer = Informer(other, CM, namespace="ns", first_pause=0.01)
        task = asyncio.create_task(informer.run())
        await informer.wait_synced()
    async with serve(restarted, port=port):
        seen = Following(informer)
        await seen.until(lambda: seen.objects == {"a": "9"})
    task.cancel()
    await asyncio.wait([task])
    await other.close()

    assert restarted.seen("WATCH")[0].query["resourceVersion"] == "5"
    assert informer.relists == 1


async def test_overload_is_survived(server, client):
    busy = refusal(429, "TooManyRequests", headers={"Retry-After": "1"})
    server.then("WATCH", ALL, busy, busy, streamed(configmap("a", 1), version=5))

    async with following(client) as seen:
        await seen.informer.wait_synced()

    assert seen.objects == {"a": "1"}


async def test_where_watching_is_forbidden_it_lists_again_and_again(server, client):
    server.always("WATCH", ALL, refusal(403, "Forbidden"))
    server.then("GET", ALL, listing([configmap("a", 1)], 5), listing([configmap("b", 6)], 7))
    server.always("GET", ALL, listing([configmap("b", 6)], 7))

    async with following(client, poll=0.02) as seen:
        await seen.until(lambda: seen.objects == {"b": "6"})

    assert seen.changes == [("add", "a", "1"), ("add", "b", "6"), ("delete", "a", "1")]


async def test_a_connection_that_fell_silent_is_given_up(server, client):
    silent = streamed(configmap("a", 1), version=5)
    after = Stream()
    after.send(event("MODIFIED", configmap("a", 6)))
    server.then("WATCH", ALL, silent, after)

    async with following(client, idle=0.2) as seen:
        await seen.until(lambda: seen.objects == {"a": "6"})

    assert server.seen("WATCH")[1].query["resourceVersion"] == "5"


async def test_malformed_events_are_skipped_and_repaired_by_the_next_list(server, client):
    first = streamed(configmap("a", 1), version=5)
    first.send(
        b"}{\n",
        event("MODIFIED", {"kind": "ConfigMap"}),
        event("SURPRISE", configmap("a", 6)),
        event("MODIFIED", {"metadata": {"name": 7}}),
        event("MODIFIED", configmap("a", 8)),
    )
    server.then("WATCH", ALL, first, streamed(configmap("a", 8), configmap("lost", 7), version=9))

    async with following(client) as seen:
        await seen.until(lambda: seen.objects == {"a": "8"})
        assert seen.informer.malformed == 4
        first.end()
        await seen.until(lambda: seen.objects == {"a": "8", "lost": "7"})
        await seen.until(lambda: seen.informer.relists == 2)


async def test_own_writes_are_cached_at_once_and_their_echo_is_dropped(server, client):
    stream = streamed(configmap("a", 1), version=5)
    server.always("WATCH", ALL, stream)
    server.then("PATCH", f"{ALL}/a", document(configmap("a", 7)))
    server.then("POST", ALL, document(configmap("b", 8), 201))

    async with following(client) as seen:
        await seen.informer.wait_synced()
        await client.patch(CM, "a", {}, namespace="ns")
        await client.create(CM, configmap("b", ""))
        assert seen.objects == {"a": "7", "b": "8"}
        stream.send(
            event("MODIFIED", configmap("a", 6)),  # somebody else's write before ours
            event("MODIFIED", configmap("a", 7)),
            event("ADDED", configmap("b", 8)),
            event("MODIFIED", configmap("a", 9)),
        )
        await seen.until(lambda: seen.objects["a"] == "9")

    assert seen.changes == [("add", "a", "1"), ("update", "a", "7"), ("add", "b", "8"), ("update", "a", "9")]


async def test_own_deletions_leave_a_tombstone_for_late_echoes(server, client):
    stream = streamed(configmap("a", 1, uid="u"), version=5)
    server.always("WATCH", ALL, stream)
    gone = {"kind": "Status", "apiVersion": "v1", "status": "Success", "details": {"uid": "u"}}
    server.then("DELETE", f"{ALL}/a", document(gone))

    async with following(client) as seen:
        await seen.informer.wait_synced()
        await client.delete(CM, "a", "ns")
        assert seen.objects == {}
        stream.send(
            event("MODIFIED", configmap("a", 6, uid="u")),
            event("DELETED", configmap("a", 7, uid="u")),
            event("ADDED", configmap("a", 8, uid="v")),
        )
        await seen.until(lambda: seen.objects == {"a": "8"})

    assert seen.changes == [("add", "a", "1"), ("delete", "a", "1"), ("add", "a", "8")]


async def test_own_writes_outside_the_informers_scope_stay_out_of_its_cache(server, client):
    server.always("WATCH", ALL, streamed(version=5))
    server.then("POST", ALL, document(configmap("a", 7), 201))
    server.then("POST", ALL, document(configmap("b", 8, metadata={"labels": {"x": "y"}}), 201))

    async with following(client, label_selector="x=y") as seen:
        await seen.informer.wait_synced()
        await client.create(CM, configmap("a", ""))
        await client.create(CM, configmap("b", ""))

    assert seen.objects == {"b": "8"}


async def test_what_was_written_during_a_list_survives_it(server, client):
    first = streamed(configmap("a", 1), version=5)
    second = Stream()
    server.then("WATCH", ALL, first, refusal(410, "Expired"), second)
    server.then("POST", ALL, document(configmap("mine", 9), 201))

    async with following(client) as seen:
        await seen.informer.wait_synced()
        first.end()
        await server.wait_for("WATCH", ALL, 3)
        second.send(event("ADDED", configmap("a", 1)))
        await client.create(CM, configmap("mine", ""))
        second.send(bookmark(8, initial_end=True))
        await seen.until(lambda: seen.informer.relists == 2)

    assert seen.objects == {"a": "1", "mine": "9"}
    assert seen.changes == [("add", "a", "1"), ("add", "mine", "9")]


async def test_a_projection_keeps_less_and_an_object_that_breaks_it_does_not_stop_the_rest(server, client):
    stream = streamed(configmap("a", 1, data={"size": "3"}), configmap("b", 2), version=5)
    server.always("WATCH", ALL, stream)

    async with following(
        client,
        projection=lambda work: int(work.raw["data"]["size"]),
        indexes={"size": lambda snapshot: [snapshot.value]},
    ) as seen:
        await seen.informer.wait_synced()

    (a,) = seen.informer.by_index("size", 3)
    assert (a.name, a.value, a.whole) == ("a", 3, False)
    assert len(seen.informer.cache) == 1
    assert seen.informer.malformed == 1
    with pytest.raises(LookupError):
        _ = a.raw


async def test_informers_beyond_the_connections_take_turns_and_miss_nothing(server):
    async with Client(ClientConfig(server=server.url), connections=2) as client:
        client.watch_slots._turn = 0.05
        streams = {}
        for namespace in ("n1", "n2", "n3"):
            path = f"/api/v1/namespaces/{namespace}/configmaps"
            server.then("WATCH", path, streamed(version=5))
            streams[namespace] = path
        informers = [Informer(client, CM, namespace=namespace, first_pause=0.01) for namespace in streams]
        for number, path in enumerate(streams.values()):
            later = Stream()
            server.then("WATCH", path, later)
            later.send(event("ADDED", configmap("late", 10 + number, namespace=f"n{number + 1}")))
            server.always("WATCH", path, Stream())
        most = 0
        async with asyncio.timeout(10), asyncio.TaskGroup() as group:
            tasks = [group.create_task(informer.run()) for informer in informers]
            while not all(len(informer.cache) for informer in informers):
                most = max(most, client._transport.connections)
                await asyncio.sleep(0.005)
            for task in tasks:
                task.cancel()

    assert most <= 2
    assert [informer.relists for informer in informers] == [1, 1, 1]


async def test_a_large_list_gives_way_to_others(server, client):
    server.always("WATCH", ALL, refusal(422, "Invalid"))
    many = [configmap(f"c{number}", number + 1, data={"x": "y" * 200}) for number in range(20000)]
    server.always("GET", ALL, listing(many[:500], 99999))
    informer = Informer(client, CM, namespace="ns")
    gaps = []

    async def beat() -> None:
        loop = asyncio.get_running_loop()
        while True:
            before = loop.time()
            await asyncio.sleep(0)
            gaps.append(loop.time() - before)

    from merope.kube.snapshot import Snapshot
    from unit.kube.scripted import orjson

    snapshots = {ObjectKey("ns", one["metadata"]["name"]): Snapshot(orjson.dumps(one), CM, None) for one in many}
    async with asyncio.TaskGroup() as group:
        beating = group.create_task(beat())
        await informer._replace(snapshots, "99999")
        beating.cancel()

    assert len(informer.cache) == 20000
    assert sorted(gaps)[-2] < 0.02
    assert len(gaps) > 5


async def test_the_late_answer_to_the_write_that_ended_an_object_does_not_bring_it_back(server, client):
    stream = streamed(configmap("a", 5, uid="u"), version=5)
    server.always("WATCH", ALL, stream)

    async with following(client) as seen:
        await seen.informer.wait_synced()
        stream.send(event("DELETED", configmap("a", 7, uid="u")))
        await seen.until(lambda: seen.objects == {})
        # The answer to the removal of the last finalizer, which the event has overtaken.
        server.then("PATCH", f"{ALL}/a", document(configmap("a", 7, uid="u")))
        await client.patch(CM, "a", {"metadata": {"finalizers": None}}, namespace="ns")

    assert seen.objects == {}
    assert seen.changes == [("add", "a", "5"), ("delete", "a", "5")]
