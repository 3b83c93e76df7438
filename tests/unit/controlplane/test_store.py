"""The store without a disk: versions, conflicts, lists, history and indexes."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import AsyncIterator
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from merope.controlplane.resource import GroupResource
from merope.controlplane.store import Change, Conflict, Entry, Expired, HistoryLimits, Store, Unavailable

WORKS = GroupResource("work.open-cluster-management.io", "manifestworks")
LEASES = GroupResource("coordination.k8s.io", "leases")


def work(name: str, namespace: str = "c1", **metadata: Any) -> dict[str, Any]:
    return {
        "apiVersion": "work.open-cluster-management.io/v1",
        "kind": "ManifestWork",
        "metadata": {"name": name, "namespace": namespace, "uid": f"uid-{namespace}-{name}", **metadata},
    }


@pytest.fixture
async def store() -> AsyncIterator[Store]:
    store = Store()
    yield store
    await store.close()


async def put(store: Store, name: str, namespace: str = "c1", **metadata: Any) -> Entry:
    head = store.head(WORKS, namespace, name)
    return await store.put(WORKS, namespace, name, work(name, namespace, **metadata), head)


async def remove(store: Store, name: str, namespace: str = "c1") -> Entry:
    head = store.head(WORKS, namespace, name)
    assert head is not None
    return await store.delete(WORKS, namespace, name, head)


async def test_each_write_gets_a_version_of_its_own_and_the_object_carries_it(store: Store) -> None:
    obj = work("a")
    first = await store.put(WORKS, "c1", "a", obj, None)
    second = await store.put(LEASES, "c1", "a", work("a"), None)

    assert first.rv == 2
    assert second.rv == 3
    assert obj["metadata"]["resourceVersion"] == "2"
    assert first.parsed()["metadata"]["resourceVersion"] == "2"
    assert store.rv == 3


async def test_an_entry_knows_what_selectors_and_garbage_collection_ask_for(store: Store) -> None:
    entry = await put(
        store,
        "a",
        labels={"x": "y"},
        finalizers=["f/1"],
        deletionTimestamp="2026-01-01T00:00:00Z",
        ownerReferences=[{"uid": "owner"}],
    )
    loaded = Entry.load(entry.key, entry.rv, entry.data, store._cache)

    for either in (entry, loaded):
        assert (either.uid, either.labels, either.finalizers) == ("uid-c1-a", {"x": "y"}, ("f/1",))
        assert (either.owners, either.deleting) == (("owner",), True)


async def test_a_write_on_anything_but_the_head_is_a_conflict(store: Store) -> None:
    first = await put(store, "a")
    second = await store.put(WORKS, "c1", "a", work("a"), first)

    for expected in (None, first):
        with pytest.raises(Conflict) as caught:
            await store.put(WORKS, "c1", "a", work("a"), expected)
        assert caught.value.head is second
    with pytest.raises(Conflict):
        await store.delete(WORKS, "c1", "a", first)
    with pytest.raises(Conflict) as caught:
        await store.put(WORKS, "c1", "b", work("b"), second)
    assert caught.value.head is None


async def test_writes_are_checked_against_writes_that_are_still_on_their_way(store: Store) -> None:
    first = store.begin_put(WORKS, "c1", "a", work("a"), None)
    pending = store.head(WORKS, "c1", "a")
    assert pending is not None
    assert store.get(WORKS, "c1", "a") is None
    with pytest.raises(Conflict):
        store.begin_put(WORKS, "c1", "a", work("a"), None)

    removed = store.begin_delete(WORKS, "c1", "a", pending)
    assert store.head(WORKS, "c1", "a") is None
    again = store.begin_put(WORKS, "c1", "a", work("a"), None)

    entries = await asyncio.gather(first, removed, again)
    assert [entry.rv for entry in entries] == [2, 3, 4]
    assert store.get(WORKS, "c1", "a") is store.head(WORKS, "c1", "a") is entries[2]


async def test_the_head_outlives_batches_while_later_writes_wait(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("merope.controlplane.store.BATCH", 1)
    futures = []
    for _ in range(3):
        futures.append(store.begin_put(WORKS, "c1", "a", work("a"), None))
        head = store.head(WORKS, "c1", "a")
        assert head is not None
        futures.append(store.begin_delete(WORKS, "c1", "a", head))
    heads: list[Entry | None] = []
    store.subscribe(lambda change: heads.append(store.head(WORKS, "c1", "a")))

    await asyncio.gather(*futures)

    assert heads == [None] * 6


async def test_an_object_that_json_cannot_hold_leaves_no_trace(store: Store) -> None:
    with pytest.raises(TypeError):
        store.begin_put(WORKS, "c1", "a", {**work("a"), "big": 2**70}, None)

    assert store.head(WORKS, "c1", "a") is None
    assert (await put(store, "a")).rv == 2


async def test_a_cancelled_writer_does_not_take_its_write_back(store: Store) -> None:
    task = asyncio.create_task(put(store, "a"))
    await asyncio.sleep(0)
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    await put(store, "b")

    assert [entry.name for entry in store.list(WORKS)] == ["a", "b"]


async def test_lists_are_sorted_by_namespace_and_name_bytewise(store: Store) -> None:
    places = [("b", "z"), ("a", "10"), ("a", "9"), ("", "x"), ("b", "A"), ("a", "b.c"), ("a", "b-c"), ("ab", "q")]
    for namespace, name in places:
        await put(store, name, namespace)
    await remove(store, "z", "b")
    await put(store, "z", "b")

    assert [(entry.namespace, entry.name) for entry in store.list(WORKS)] == sorted(places)
    assert [entry.name for entry in store.list(WORKS, "a")] == ["10", "9", "b-c", "b.c"]
    assert store.list(LEASES) == []
    assert store.count(WORKS) == 8
    assert list(store.storages()) == [WORKS]


async def test_a_deletion_has_the_last_content_with_a_version_of_its_own(store: Store) -> None:
    entry = await put(store, "a", labels={"x": "y"})
    seen: list[Change] = []
    store.subscribe(seen.append, WORKS)

    deleted = await store.delete(WORKS, "c1", "a", entry)

    assert deleted.rv == entry.rv + 1
    assert deleted.parsed()["metadata"]["resourceVersion"] == str(deleted.rv)
    assert deleted.labels == {"x": "y"}
    assert store.get(WORKS, "c1", "a") is None
    assert [(change.type, change.entry, change.previous) for change in seen] == [("DELETED", deleted, entry)]


async def test_a_deletion_may_bring_a_last_state(store: Store) -> None:
    entry = await put(store, "a", finalizers=["f/1"])
    final = entry.copy()
    del final["metadata"]["finalizers"]

    assert (await store.delete(WORKS, "c1", "a", entry, final)).finalizers == ()


async def test_dependents_follow_owner_references(store: Store) -> None:
    await put(store, "a", ownerReferences=[{"uid": "o1"}, {"uid": "o2"}])
    await put(store, "b", ownerReferences=[{"uid": "o1"}])
    assert [entry.name for entry in store.dependents("o1")] == ["a", "b"]

    await put(store, "a", ownerReferences=[{"uid": "o2"}])
    assert [entry.name for entry in store.dependents("o1")] == ["b"]
    assert [entry.name for entry in store.dependents("o2")] == ["a"]

    await remove(store, "b")
    assert store.dependents("o1") == []


async def test_subscribers_hear_changes_in_version_order_although_they_write_themselves(store: Store) -> None:
    order: list[tuple[str, int]] = []
    futures: list[asyncio.Future[Entry]] = []

    def echo(change: Change) -> None:
        order.append(("echo", change.rv))
        if change.entry.storage == WORKS:
            futures.append(store.begin_put(LEASES, "c1", change.entry.name, work(change.entry.name), None))

    store.subscribe(echo)
    end = store.subscribe(lambda change: order.append(("second", change.rv)))
    await asyncio.gather(put(store, "a"), put(store, "b"))
    await asyncio.gather(*futures)

    for who in ("echo", "second"):
        assert [rv for name, rv in order if name == who] == [2, 3, 4, 5]
    end()
    await put(store, "c")
    assert ("second", 6) not in order


async def test_showing_a_batch_to_many_lets_others_run_in_between(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("merope.controlplane.store.PUBLISH_SECONDS", 0.0)
    seen: list[int] = []
    turns: list[int] = []
    store.subscribe(lambda change: seen.append(change.rv))
    futures = [store.begin_put(WORKS, "c1", f"w{number}", work(f"w{number}"), None) for number in range(20)]

    while not futures[-1].done():
        await asyncio.sleep(0)
        turns.append(len(seen))
        assert store.count(WORKS) == len(seen)
        assert len(seen) == 0 or store.rv == seen[-1]

    assert seen == list(range(2, 22))
    assert max(after - before for before, after in itertools.pairwise(turns)) <= 2
    later = store.begin_put(WORKS, "c1", "last", work("last"), None)
    await store.close()
    assert (await later).rv == 22


async def test_a_failing_subscriber_is_reported_and_harms_nobody(store: Store) -> None:
    reported: list[dict[str, Any]] = []
    asyncio.get_running_loop().set_exception_handler(lambda loop, context: reported.append(context))
    seen: list[Change] = []
    store.subscribe(lambda change: 1 / 0)  # type: ignore[arg-type, return-value]
    store.subscribe(seen.append)

    await put(store, "a")

    assert len(seen) == len(reported) == 1
    assert isinstance(reported[0]["exception"], ZeroDivisionError)


async def test_waiting_for_a_version_ends_with_it_or_with_the_time(store: Store) -> None:
    waiting = asyncio.create_task(store.wait_for(3, 5))
    await put(store, "a")
    assert not waiting.done()
    await put(store, "b")

    assert await waiting
    assert await store.wait_for(2, 0)
    assert not await store.wait_for(4, 0.01)


async def test_a_closed_store_takes_no_writes() -> None:
    store = Store()
    begun = store.begin_put(WORKS, "c1", "a", work("a"), None)
    await store.close()

    assert (await begun).name == "a"
    with pytest.raises(Unavailable):
        store.begin_put(WORKS, "c1", "b", work("b"), None)


async def test_history_is_bounded_by_count(store: Store) -> None:
    store = Store(limits=HistoryLimits(changes=3))
    for _ in range(5):
        await put(store, "a")

    assert [entry.rv for entry in store.list_at(WORKS, "", 3)] == [3]
    with pytest.raises(Expired, match=r"too old resource version: 2 \(4\)") as caught:
        store.list_at(WORKS, "", 2)
    assert (caught.value.requested, caught.value.oldest) == (2, 4)
    with pytest.raises(Expired):
        store.watch(WORKS, since=2)
    assert [change.rv for change in await store.watch(WORKS, since=3).batch()] == [4, 5, 6]


async def test_history_is_bounded_by_age_above_a_floor() -> None:
    now = 0.0
    store = Store(limits=HistoryLimits(floor=2, age=10), clock=lambda: now)
    for _ in range(4):
        await put(store, "a")
    now = 11.0
    await put(store, "a")

    with pytest.raises(Expired):
        store.list_at(WORKS, "", 3)
    assert store.list_at(WORKS, "", 4)[0].rv == 4


async def test_history_is_bounded_by_bytes_over_all_resources() -> None:
    store = Store(limits=HistoryLimits(total_bytes=50_000))
    lease = await store.put(LEASES, "c1", "l", work("l"), None)
    for _ in range(60):
        head = store.head(WORKS, "c1", "a")
        await store.put(WORKS, "c1", "a", {**work("a"), "pad": "x" * 5000}, head)

    assert store.statistics()["history_bytes"] <= 50_000
    with pytest.raises(Expired):
        store.list_at(WORKS, "", 3)
    # The resource that hardly changes keeps its past.
    assert store.list_at(LEASES, "", lease.rv) == [lease]


async def test_decoded_objects_are_kept_within_a_budget() -> None:
    store = Store(decoded_bytes=2_000)
    entries = [await put(store, f"w{number}") for number in range(50)]
    hot = entries[0]
    shared = hot.parsed()
    for entry in entries[1:]:
        entry.parsed()
        assert hot.parsed() is shared

    assert store.statistics()["decoded_objects"] < 20
    assert hot.copy() is not shared


Step = tuple[str, int, str]
steps = st.lists(
    st.tuples(st.sampled_from(["put", "put", "delete"]), st.integers(0, 5), st.sampled_from(["c1", "c2"])), max_size=40
)


@given(steps, st.integers(1, 7))
@settings(max_examples=150, deadline=None)
def test_every_past_version_can_be_listed_and_watched_from(script: list[Step], group: int) -> None:
    async def run() -> None:
        store = Store()
        snapshots: dict[int, dict[tuple[str, str], int]] = {1: {}}
        state: dict[tuple[str, str], int] = {}
        futures = []
        for turn, (verb, number, namespace) in enumerate(script):
            name = f"w{number}"
            head = store.head(WORKS, namespace, name)
            if verb == "put":
                futures.append(store.begin_put(WORKS, namespace, name, work(name, namespace), head))
                state[(namespace, name)] = store._issued
            elif head is not None:
                futures.append(store.begin_delete(WORKS, namespace, name, head))
                del state[(namespace, name)]
            snapshots[store._issued] = dict(state)
            if turn % group == 0:
                await asyncio.gather(*futures)
        await asyncio.gather(*futures)

        assert store.rv == max(snapshots)
        for rv, expected in snapshots.items():
            found = [(entry.namespace, entry.name, entry.rv) for entry in store.list_at(WORKS, "", rv)]
            assert found == [(*place, version) for place, version in sorted(expected.items())]
            part = [(entry.name, entry.rv) for entry in store.list_at(WORKS, "c2", rv)]
            assert part == [(name, version) for _, name, version in found if _ == "c2"]
            # The list and the events after it lead to what is there now.
            replayed = dict(expected)
            for change in store.watch(WORKS, since=rv).take():
                place = (change.entry.namespace, change.entry.name)
                assert (change.type == "ADDED") == (place not in replayed)
                if change.type == "DELETED":
                    del replayed[place]
                else:
                    replayed[place] = change.rv
            assert replayed == state
        await store.close()

    asyncio.run(run())
