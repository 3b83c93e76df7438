"""Which sets a change of a cluster touches."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, cast

import orjson
import pytest

from merope.api.cluster.v1 import ManagedCluster
from merope.api.cluster.v1beta2 import ManagedClusterSet
from merope.kube import Change, Informer, Snapshot, ref_of
from merope.registration.hub.cluster_sets import ClusterSets, by_set_label

SET = "cluster.open-cluster-management.io/clusterset"


class Kept:
    """What a cache of sets or clusters is to those who ask it."""

    def __init__(self) -> None:
        self.objects: dict[str, Snapshot[Any]] = {}
        self.handlers: list[Callable[[Change[Any]], None]] = []

    def add_handler(self, handler: Callable[[Change[Any]], None]) -> None:
        self.handlers.append(handler)

    def put(self, snapshot: Snapshot[Any]) -> Change[Any]:
        change: Change[Any] = Change(self.objects.get(snapshot.name), snapshot)
        self.objects[snapshot.name] = snapshot
        for handler in self.handlers:
            handler(change)
        return change

    def drop(self, name: str) -> None:
        for handler in self.handlers:
            handler(Change(self.objects[name], None))
        del self.objects[name]

    def list(self) -> list[Snapshot[Any]]:
        return list(self.objects.values())

    def by_index(self, index: str, value: str) -> list[Snapshot[Any]]:
        return [each for each in self.objects.values() if value in by_set_label(each)]


def snapshot(kind: Any, name: str, **content: Any) -> Snapshot[Any]:
    ref = ref_of(kind)
    metadata = {"name": name, "uid": name, "resourceVersion": "1", **content.pop("metadata", {})}
    data = {"apiVersion": ref.api_version, "kind": ref.kind, "metadata": metadata, **content}
    return Snapshot(orjson.dumps(data), ref, kind)


def cluster(**labels: str) -> Snapshot[Any]:
    return snapshot(ManagedCluster, "c1", metadata={"labels": labels})


def labelled(name: str, selector: dict[str, Any]) -> Snapshot[Any]:
    spec = {"clusterSelector": {"selectorType": "LabelSelector", "labelSelector": selector}}
    return snapshot(ManagedClusterSet, name, spec=spec)


@pytest.fixture
def sets() -> Kept:
    return Kept()


@pytest.fixture
def members(sets: Kept) -> ClusterSets:
    clusters = Kept()
    found = ClusterSets(cast(Informer[ManagedClusterSet], sets), cast(Informer[ManagedCluster], clusters))
    sets.put(snapshot(ManagedClusterSet, "dev", spec={"clusterSelector": {"selectorType": "ExclusiveClusterSetLabel"}}))
    sets.put(snapshot(ManagedClusterSet, "ops", spec={}))
    sets.put(labelled("global", {}))
    sets.put(labelled("eu", {"matchLabels": {"region": "eu"}}))
    return found


def test_a_new_cluster_touches_all_sets_that_it_is_in(members: ClusterSets) -> None:
    assert set(members.touched(Change(None, cluster(**{SET: "dev"}, region="eu")))) == {"dev", "global", "eu"}


def test_a_changed_label_touches_the_sets_that_differ(members: ClusterSets) -> None:
    change = Change(cluster(**{SET: "dev"}, region="eu"), cluster(**{SET: "ops"}, region="us"))

    assert set(members.touched(change)) == {"dev", "ops", "eu"}


def test_a_change_of_anything_else_asks_no_selector(members: ClusterSets, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ClusterSets, "of", lambda *_: pytest.fail("asked"))

    assert set(members.touched(Change(cluster(a="b"), cluster(a="b")))) == set()


@pytest.mark.parametrize(
    "broken",
    [
        labelled("broken", {"matchExpressions": [{"key": "a", "operator": "Within", "values": ["b"]}]}),
        snapshot(ManagedClusterSet, "broken", spec={"clusterSelector": {"selectorType": "Magic"}}),
    ],
)
def test_a_set_that_cannot_be_understood_holds_back_no_other(
    members: ClusterSets, sets: Kept, broken: Snapshot[Any]
) -> None:
    sets.put(broken)

    assert set(members.of({SET: "dev"})) == {"dev", "global"}
    with pytest.raises(ValueError, match=r"Within|Magic"):
        members.members(broken)


def test_sets_are_followed_as_they_change_and_go(members: ClusterSets, sets: Kept) -> None:
    sets.put(labelled("eu", {"matchLabels": {"region": "us"}}))
    sets.drop("global")

    assert set(members.of({"region": "us"})) == {"eu"}
