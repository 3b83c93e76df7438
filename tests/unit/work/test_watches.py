"""Which changes of applied objects are drift."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any
from unittest import mock

import orjson
import pytest

from merope.kube import CORE, Client, Snapshot
from merope.work.agent import watches as module
from merope.work.agent.watches import READ_ONLY, Tracked, Watches, left

CM = CORE["ConfigMap"]
OBJECT = Tracked(CM, "n", "a")


def manifest(version: int, **metadata: Any) -> dict[str, Any]:
    base = {"name": "a", "namespace": "n", "uid": "u", "resourceVersion": str(version)}
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {**base, **metadata}}


class Seen:
    """Watches without connections: events are put in by hand."""

    def __init__(self) -> None:
        self.drifted: list[tuple[str, float]] = []
        self.changed: list[str] = []
        client = mock.create_autospec(Client, instance=True)
        self.watches = Watches(
            client, drifted=lambda work, delay: self.drifted.append((work, delay)), changed=self.changed.append, limit=9
        )

    def event(self, obj: dict[str, Any], *, gone: bool = False) -> None:
        self.watches._saw(CM, Snapshot(orjson.dumps(obj), CM, None), gone=gone)


@pytest.fixture
def seen() -> Seen:
    return Seen()


@pytest.fixture
def clock() -> Iterator[mock.Mock]:
    with mock.patch.object(module, "monotonic", return_value=1000.0) as clock:
        yield clock


def test_what_we_left_is_no_drift_and_what_others_changed_is(seen: Seen) -> None:
    seen.watches.track("w", {OBJECT: left(manifest(5))})
    seen.event(manifest(4))  # older: on the way while we wrote
    seen.event(manifest(5))
    seen.event({**manifest(9), "metadata": {**manifest(9)["metadata"], "name": "other"}})
    assert seen.drifted == []

    seen.event(manifest(6))

    assert seen.drifted == [("w", 0.0)]


def test_a_deleted_object_is_drift(seen: Seen) -> None:
    seen.watches.track("w", {OBJECT: left(manifest(5))})

    seen.event(manifest(6), gone=True)

    assert seen.drifted == [("w", 0.0)]


def test_a_new_status_is_no_drift_where_there_is_a_generation(seen: Seen) -> None:
    seen.watches.track("w", {OBJECT: left(manifest(5, generation=1))}, [OBJECT])

    seen.event(manifest(6, generation=1))

    assert seen.drifted == []
    assert seen.changed == ["w"]
    seen.event(manifest(7, generation=2))
    assert seen.drifted == [("w", 0.0)]


def test_created_only_objects_drift_by_deletion_and_owners_only(seen: Seen) -> None:
    owners = [{"kind": "X", "name": "x", "uid": "x", "apiVersion": "v1"}]
    seen.watches.track("w", {OBJECT: left(manifest(5, ownerReferences=owners), contents=False)})
    seen.event(manifest(6, labels={"a": "b"}, ownerReferences=owners))
    assert seen.drifted == []

    seen.event(manifest(7))

    assert seen.drifted == [("w", 0.0)]


def test_objects_that_are_only_looked_at_never_drift(seen: Seen) -> None:
    seen.watches.track("w", {OBJECT: READ_ONLY}, [OBJECT])

    seen.event(manifest(6))
    seen.event(manifest(7), gone=True)

    assert seen.drifted == []
    assert seen.changed == ["w", "w"]


def test_while_a_work_is_applied_its_own_changes_are_no_drift_and_those_of_others_are_noticed_after(seen: Seen) -> None:
    seen.watches.track("w", {OBJECT: left(manifest(5))})
    with seen.watches.applying("w"):
        seen.event(manifest(6))  # ours
        seen.watches.track("w", {OBJECT: left(manifest(6))})
    assert seen.drifted == []

    with seen.watches.applying("w"):
        seen.event(manifest(8, labels={"theirs": "1"}))
        seen.watches.track("w", {OBJECT: left(manifest(7))})

    assert seen.drifted == [("w", 0.0)]


def test_each_work_of_a_shared_object_has_its_own_view(seen: Seen) -> None:
    seen.watches.track("one", {OBJECT: left(manifest(5))})
    seen.watches.track("two", {OBJECT: left(manifest(6))})
    seen.event(manifest(6))
    assert seen.drifted == [("one", 0.0)]

    seen.watches.forget("two")
    seen.event(manifest(7))

    assert [work for work, _ in seen.drifted] == ["one", "one"]


def test_what_is_forgotten_is_not_watched(seen: Seen) -> None:
    seen.watches.track("w", {OBJECT: left(manifest(5))})
    assert seen.watches._wanted() == {(CM, "n")}

    seen.watches.track("w", {})

    assert seen.watches._wanted() == set()
    seen.event(manifest(6))
    assert seen.drifted == []


def test_many_namespaces_share_a_watch_unless_it_is_refused(seen: Seen) -> None:
    applied = {Tracked(CM, f"n{number}", "a"): left(manifest(1)) for number in range(9)}
    seen.watches.track("w", applied)

    assert seen.watches._wanted() == {(CM, "")}
    seen.watches._refused[CM, ""] = float("inf")
    assert seen.watches._wanted() == {(CM, f"n{number}") for number in range(9)}


def test_a_fight_is_given_time_and_forgotten_after_a_while(seen: Seen, clock: mock.Mock) -> None:
    seen.watches.track("w", {OBJECT: left(manifest(5))})
    for version in range(6, 6 + 13):
        seen.event(manifest(version))
        clock.return_value += 5.0 if version < 17 else 100.0

    assert [delay for _, delay in seen.drifted] == [0.0] * 10 + [2.0, 4.0, 0.0]
    clock.return_value += 1
    seen.event(manifest(99))
    assert seen.drifted[-1] == ("w", 0.0)
