"""Watches: what watchers get, when they end, and how events become lines."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import orjson
import pytest

from merope.controlplane.entry import Change, Entry, EventType, Selection
from merope.controlplane.resource import GroupResource
from merope.controlplane.store import Store
from merope.controlplane.watch import LAST_CHUNK, EventEncoder, Watcher, chunk, event_line, stream

CLUSTERS = GroupResource("cluster.open-cluster-management.io", "managedclusters")


@pytest.fixture
async def store() -> AsyncIterator[Store]:
    store = Store()
    yield store
    await store.close()


async def put(store: Store, name: str, namespace: str = "", pad: int = 0, **labels: str) -> Entry:
    obj = {
        "apiVersion": "cluster.open-cluster-management.io/v1",
        "kind": "ManagedCluster",
        "metadata": {"name": name, "namespace": namespace, "uid": name, "labels": labels},
        "pad": "x" * pad,
    }
    return await store.put(CLUSTERS, namespace, name, obj, store.head(CLUSTERS, namespace, name))


async def delete(store: Store, name: str) -> Entry:
    entry = store.get(CLUSTERS, "", name)
    assert entry is not None
    return await store.delete(CLUSTERS, "", name, entry)


def summary(changes: list[Change]) -> list[tuple[str, str, int]]:
    return [(change.type, change.entry.name, change.rv) for change in changes]


async def test_a_watch_begins_with_the_current_objects_and_goes_on_with_what_follows(store: Store) -> None:
    await put(store, "b")
    await put(store, "a")
    watcher = store.watch(CLUSTERS, initial=True)
    await put(store, "a")
    await delete(store, "b")

    assert [entry.name for entry in watcher.initial] == ["a", "b"]
    assert watcher.start == 3
    assert summary(await watcher.batch()) == [("MODIFIED", "a", 4), ("DELETED", "b", 5)]


async def test_a_watch_without_a_version_begins_now(store: Store) -> None:
    await put(store, "a")
    watcher = store.watch(CLUSTERS)
    await put(store, "b")

    assert summary(await watcher.batch()) == [("ADDED", "b", 3)]


async def test_two_watches_from_one_version_see_the_same_events(store: Store) -> None:
    first = store.watch(CLUSTERS, since=1)
    await put(store, "a")
    await delete(store, "a")
    await put(store, "a")
    second = store.watch(CLUSTERS, since=1)

    expected = [("ADDED", "a", 2), ("DELETED", "a", 3), ("ADDED", "a", 4)]
    assert summary(first.take()) == summary(second.take()) == expected


async def test_a_watch_from_a_future_version_is_silent_until_then(store: Store) -> None:
    watcher = store.watch(CLUSTERS, since=3)
    await put(store, "a")
    await put(store, "b")
    await put(store, "c")

    assert summary(watcher.take()) == [("ADDED", "c", 4)]


@pytest.mark.parametrize(
    ("scope", "expected"),
    [
        ({}, [("n1", "a"), ("n1", "b"), ("n2", "a")]),
        ({"namespace": "n1"}, [("n1", "a"), ("n1", "b")]),
        ({"name": "a"}, [("n1", "a"), ("n2", "a")]),
        ({"namespace": "n2", "name": "a"}, [("n2", "a")]),
        ({"namespace": "n3"}, []),
    ],
)
async def test_a_scope_narrows_live_replayed_and_initial_objects_alike(
    store: Store, scope: dict[str, str], expected: list[tuple[str, str]]
) -> None:
    live = store.watch(CLUSTERS, **scope)
    for namespace, name in (("n1", "a"), ("n1", "b"), ("n2", "a")):
        await put(store, name, namespace)
    replayed = store.watch(CLUSTERS, since=1, **scope)
    initial = store.watch(CLUSTERS, initial=True, **scope)

    for changes in (live.take(), replayed.take()):
        assert [(change.entry.namespace, change.entry.name) for change in changes] == expected
    assert [(entry.namespace, entry.name) for entry in initial.initial] == expected


async def test_a_batch_waits_for_the_first_change_and_takes_all(store: Store) -> None:
    watcher = store.watch(CLUSTERS)
    waiting = asyncio.create_task(watcher.batch())
    await asyncio.gather(*(put(store, f"c{number}") for number in range(5)))

    assert len(await waiting) == 5
    assert await watcher.batch(timeout=0.001) == []
    assert watcher.closed == ""


async def test_waits_of_different_length_end_in_time(store: Store) -> None:
    watcher = store.watch(CLUSTERS)
    loop = asyncio.get_running_loop()
    for timeout in (0.03, 0.001, 0.02, 0):
        begin = loop.time()
        assert await watcher.batch(timeout) == []
        assert timeout <= loop.time() - begin < timeout + 1
    waiting = asyncio.create_task(watcher.batch(30))
    await asyncio.sleep(0.05)
    assert not waiting.done()
    watcher.close()
    assert await waiting == []


@pytest.mark.parametrize(("count", "pad"), [(1_001, 0), (9, 1024 * 1024)])
async def test_a_watcher_that_does_not_keep_up_is_closed(store: Store, count: int, pad: int) -> None:
    slow, quick = store.watch(CLUSTERS), store.watch(CLUSTERS)
    for _ in range(count):
        await put(store, "a", pad=pad)
        quick.take()

    assert (slow.closed, quick.closed) == ("overflow", "")
    assert await slow.batch() == []
    assert store.watch_counts() == {CLUSTERS: 1}


async def test_a_long_replay_does_not_count_as_falling_behind(store: Store) -> None:
    for _ in range(1_200):
        await put(store, "a")
    watcher = store.watch(CLUSTERS, since=1)
    await put(store, "a")

    assert len(watcher.take()) == 1_201
    assert watcher.closed == ""


async def test_watches_end_with_their_resource_and_with_the_store() -> None:
    store = Store()
    leases = GroupResource("coordination.k8s.io", "leases")
    gone, stays = store.watch(CLUSTERS), store.watch(leases)
    waiting = asyncio.create_task(gone.batch())
    await asyncio.sleep(0)
    store.end_watches(CLUSTERS)

    assert await waiting == []
    assert (gone.closed, stays.closed) == ("gone", "")
    await store.close()
    assert stays.closed == "shutdown"
    assert await stays.batch() == []
    assert store.watch(leases).closed == "shutdown"
    assert store.watch_counts() == {}


async def test_a_bookmark_says_no_more_than_what_was_handed_out(store: Store) -> None:
    watcher = store.watch(CLUSTERS)
    await put(store, "a")
    assert watcher.rv == 1
    watcher.take()
    assert watcher.rv == 2
    await store.put(GroupResource("", "secrets"), "", "s", {"metadata": {}}, None)
    assert watcher.rv == 3


GREEN = Selection("green", lambda entry: entry.labels.get("set") == "green")


async def test_events_follow_an_object_into_and_out_of_a_selection(store: Store) -> None:
    watcher = store.watch(CLUSTERS)
    await put(store, "a", set="red")
    await put(store, "a", set="green")
    await put(store, "a", set="green", more="x")
    await put(store, "a", set="red")
    await put(store, "a", set="green")
    await delete(store, "a")
    await put(store, "b", set="red")
    await delete(store, "b")

    events = [change.event(GREEN) for change in watcher.take()]

    assert [event and (event[0], event[1].rv) for event in events] == [
        None,
        ("ADDED", 3),
        ("MODIFIED", 4),
        ("DELETED", 5),
        ("ADDED", 6),
        ("DELETED", 7),
        None,
        None,
    ]
    left = events[3]
    assert left is not None
    # What leaves is shown as it last matched, under the version of the change.
    assert left[1].labels == {"set": "green", "more": "x"}
    assert left[1].parsed()["metadata"]["resourceVersion"] == "5"


async def test_an_event_is_encoded_and_judged_once_for_all_watches(store: Store) -> None:
    encoded, judged = [], []

    def encode(type: EventType, entry: Entry) -> bytes:
        encoded.append(entry.rv)
        return event_line(type, entry.data)

    def matches(entry: Entry) -> bool:
        judged.append(entry.rv)
        return True

    watcher = store.watch(CLUSTERS)
    await put(store, "a")
    (change,) = watcher.take()
    encoders = [EventEncoder("full", encode, Selection("all", matches)) for _ in range(50)]
    other = EventEncoder("partial", encode, Selection("all", matches))

    lines = {encoder.line(change) for encoder in encoders}
    other.line(change)

    assert lines == {b'{"type":"ADDED","object":%b}\n' % change.entry.data}
    assert len(encoded) == 2
    assert len(judged) == 1


async def test_lines_are_not_kept_for_the_whole_of_history(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("merope.controlplane.store.FRESH_CHANGES", 3)
    watcher = store.watch(CLUSTERS)
    encoder = EventEncoder()
    for _ in range(5):
        await put(store, "a")
    changes = watcher.take()
    lines = [encoder.line(change) for change in changes]

    assert [len(change.lines) for change in changes] == [0, 0, 1, 1, 1]
    assert all(line is not None and orjson.loads(line)["type"] in ("ADDED", "MODIFIED") for line in lines)


def bookmark(rv: int) -> bytes:
    return event_line("BOOKMARK", b"%d" % rv)


class Sink:
    """What a client has got; ``wait_for`` waits until it holds a number of lines."""

    def __init__(self) -> None:
        self.writes: list[bytes] = []
        self._grown = asyncio.Event()

    async def write(self, data: bytes) -> None:
        self.writes.append(data)
        self._grown.set()

    @property
    def events(self) -> list[tuple[str, Any]]:
        found = [orjson.loads(line) for line in b"".join(self.writes).splitlines()]
        return [
            (
                event["type"],
                event["object"]["metadata"]["name"] if isinstance(event["object"], dict) else event["object"],
            )
            for event in found
        ]

    async def wait_for(self, count: int) -> None:
        async with asyncio.timeout(5):
            while len(self.events) < count:
                self._grown.clear()
                await self._grown.wait()


async def test_a_stream_sends_the_state_its_end_and_what_follows(store: Store) -> None:
    await put(store, "a")
    await put(store, "b", set="green")
    watcher, sink = store.watch(CLUSTERS, initial=True), Sink()
    task = asyncio.create_task(
        stream(watcher, EventEncoder(selection=GREEN), sink.write, initial_end=bookmark, bookmark=bookmark)
    )
    await sink.wait_for(2)
    await asyncio.gather(put(store, "c", set="green"), put(store, "d"), put(store, "e", set="green"))
    await sink.wait_for(4)
    store.end_watches()
    await asyncio.wait_for(task, 5)

    assert sink.events == [("ADDED", "b"), ("BOOKMARK", 3), ("ADDED", "c"), ("ADDED", "e")]
    # Events of one batch travel together.
    assert len(sink.writes) == 3
    assert watcher.closed == "gone"


async def test_a_stream_ends_at_its_deadline_with_a_bookmark_before(store: Store) -> None:
    sink = Sink()
    watcher = store.watch(CLUSTERS)
    await asyncio.wait_for(stream(watcher, EventEncoder(), sink.write, bookmark=bookmark, timeout=0.05), 5)

    assert sink.events == [("BOOKMARK", 1)]
    assert watcher.closed == "done"
    assert store.watch_counts() == {}


async def test_bookmarks_come_at_intervals(store: Store) -> None:
    sink = Sink()
    task = asyncio.create_task(
        stream(store.watch(CLUSTERS), EventEncoder(), sink.write, bookmark=bookmark, bookmark_interval=0.005)
    )
    await sink.wait_for(3)
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)

    assert set(sink.events) == {("BOOKMARK", 1)}
    assert store.watch_counts() == {}


async def test_no_bookmark_is_sent_that_was_not_asked_for(store: Store) -> None:
    sink = Sink()
    await stream(store.watch(CLUSTERS), EventEncoder(), sink.write, timeout=0.01)

    assert sink.writes == []


async def test_a_stream_whose_client_is_gone_leaves_no_watch_behind(store: Store) -> None:
    async def broken(data: bytes) -> None:
        raise ConnectionResetError

    watcher = store.watch(CLUSTERS)
    await put(store, "a")
    with pytest.raises(ConnectionResetError):
        await stream(watcher, EventEncoder(), broken)

    assert store.watch_counts() == {}


async def test_a_large_state_is_sent_in_pieces_that_let_others_run(store: Store) -> None:
    for number in range(30):
        await put(store, f"c{number:02}", pad=40_000)
    sink = Sink()
    turns = 0

    async def others() -> None:
        nonlocal turns
        while True:
            turns += 1
            await asyncio.sleep(0)

    ticking = asyncio.create_task(others())
    await stream(store.watch(CLUSTERS, initial=True), EventEncoder(), sink.write, timeout=0.01)
    ticking.cancel()

    assert len(sink.events) == 30
    assert max(map(len, sink.writes)) < 512 * 1024
    assert turns > 3


def test_a_chunk_joins_its_parts() -> None:
    assert chunk([b"0123456789", b"abcdef"]) == b"10\r\n0123456789abcdef\r\n"
    assert LAST_CHUNK == b"0\r\n\r\n"


def test_a_watcher_can_stand_alone() -> None:
    assert Watcher(5, current=lambda: 3).rv == 5
