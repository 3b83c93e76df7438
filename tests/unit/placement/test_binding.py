"""What has to be written: the difference between the decisions there are and those there should be."""

from __future__ import annotations

from typing import Any

import orjson

from merope.api.cluster.v1beta1 import PlacementDecision
from merope.kube import Snapshot
from merope.kube.resources import ref_of
from merope.placement.hub.binding import compare, set_status
from merope.placement.hub.observed import Decided, decided
from merope.sdk.decisions import Group, slices
from unit.placement.worlds import World, cluster


def current(name: str, labels: dict[str, str], *entries: dict[str, Any]) -> Snapshot[Decided]:
    raw = {
        "metadata": {"namespace": "ns", "name": name, "uid": name, "resourceVersion": "1", "labels": labels},
        "status": {"decisions": list(entries)},
    }
    return Snapshot(orjson.dumps(raw), ref_of(PlacementDecision), PlacementDecision).project(decided)


def entry(name: str, **more: Any) -> dict[str, Any]:
    return {"clusterName": name, "reason": "", **more}


def test_only_decisions_that_differ_are_written() -> None:
    wanted, _ = slices(
        "p", [Group("one", ["a"]), Group("two", ["b"]), Group("", ["c"]), Group("", ["d"]), Group("", ["e"])]
    )
    labels = [dict(one.labels) for one in wanted]
    named = {
        "p-decision-1": current("p-decision-1", labels[0], entry("a")),
        "p-decision-2": current("p-decision-2", labels[1], entry("x")),
        "p-decision-3": current("p-decision-3", labels[2] | {"extra": "1"}, entry("c")),
        "p-decision-4": current("p-decision-4", labels[3], entry("d", score=5)),
    }
    old = current("p-decision-9", labels[0], entry("z"))

    difference = compare(wanted, named, {**named, "p-decision-9": old})

    assert [one.name for one in difference.missing] == ["p-decision-5"]
    assert [one.name for one, _ in difference.changed] == ["p-decision-2", "p-decision-4"]
    assert [one.name for one, _ in difference.relabelled] == ["p-decision-3"]
    assert [one.name for one in difference.surplus] == ["p-decision-9"]


def test_nothing_differs_where_all_is_as_it_should_be() -> None:
    wanted, _ = slices("p", [Group("", ())])
    there = current("p-decision-1", dict(wanted[0].labels))
    assert not compare(wanted, {"p-decision-1": there}, {"p-decision-1": there})


def test_a_status_is_changed_only_where_it_says_something_else() -> None:
    raw: dict[str, Any] = {}
    set_status(raw, World().place({}))
    assert "numberOfSelectedClusters" not in raw["status"]
    assert [one["type"] for one in raw["status"]["conditions"]] == ["PlacementMisconfigured", "PlacementSatisfied"]
    before = orjson.dumps(raw)
    set_status(raw, World().place({}))
    assert orjson.dumps(raw) == before

    set_status(raw, World().put(cluster("a")).place({}))
    assert raw["status"]["numberOfSelectedClusters"] == 1
    set_status(raw, World().place({}))
    assert raw["status"]["numberOfSelectedClusters"] == 0
