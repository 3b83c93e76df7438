"""Decision groups and the objects that hold them."""

from __future__ import annotations

from typing import Any

import pytest

from merope.placement.groups import group_size
from unit.placement.worlds import Manifest, World, cluster


@pytest.mark.parametrize(
    ("wanted", "total", "size"),
    [
        ("25%", 10, 3),
        ("33%", 10, 4),
        ("50%", 7, 4),
        ("1%", 50, 1),
        ("7%", 100, 8),
        ("14%", 50, 8),
        ("28%", 50, 15),
        ("55%", 100, 56),
        ("56%", 100, 57),
        ("100%", 7, 7),
        (0, 310, 310),
        (-3, 310, 310),
        (500, 310, 310),
        ("100%", 0, 0),
        (5, 0, 0),
    ],
)
def test_the_size_of_groups(wanted: int | str, total: int, size: int) -> None:
    assert group_size(wanted, total) == size


def strategy(size: int | str | None = None, *groups: tuple[str, list[str]]) -> Manifest:
    found: dict[str, Any] = {}
    if size is not None:
        found["clustersPerDecisionGroup"] = size
    found["decisionGroups"] = [
        {
            "groupName": name,
            "groupClusterSelector": {
                "labelSelector": {"matchExpressions": [{"key": "name", "operator": "In", "values": members}]}
            },
        }
        for name, members in groups
    ]
    return {"decisionStrategy": {"groupStrategy": found}}


def named(count: int) -> World:
    width = 2 if count < 100 else 3
    names = [f"c{number:0{width}}" for number in range(1, count + 1)]
    return World().put(*(cluster(name, labels={"fleet": "s", "name": name}) for name in names))


CANARY = ("canary", ["c02", "c09"])


@pytest.mark.parametrize(
    ("count", "spec", "expected"),
    [
        (10, strategy(4, CANARY), [("canary", [2]), ("", [4]), ("", [4])]),
        (10, strategy("25%", CANARY), [("canary", [2]), ("", [3]), ("", [3]), ("", [2])]),
        (10, strategy(1, CANARY), [("canary", [1]), ("canary", [1]), *[("", [1])] * 8]),
        (250, {}, [("", [100, 100, 50])]),
        (310, strategy(150), [("", [100, 50]), ("", [100, 50]), ("", [10])]),
        (3, strategy(0, ("first", ["c02"]), ("second", ["c02"])), [("first", [1]), ("", [2])]),
        (0, {}, [("", [0])]),
        (100, strategy("55%"), [("", [56]), ("", [44])]),
        (2, strategy(0, ("nobody", ["x"])), [("", [2])]),
    ],
)
def test_groups_and_their_decisions(count: int, spec: Manifest, expected: list[tuple[str, list[int]]]) -> None:
    decided = named(count).place(spec)

    assert [group["decisionGroupIndex"] for group in decided.groups] == list(range(len(expected)))
    assert [group["decisionGroupName"] for group in decided.groups] == [name for name, _ in expected]
    assert [group["clusterCount"] for group in decided.groups] == [sum(sizes) for _, sizes in expected]
    assert [len(one.clusters) for one in decided.slices] == [size for _, sizes in expected for size in sizes]
    assert [one.name for one in decided.slices] == [
        f"p-decision-{number}" for number in range(1, len(decided.slices) + 1)
    ]
    assert [name for group in decided.groups for name in group["decisions"]] == [one.name for one in decided.slices]


def test_members_are_in_the_order_of_names() -> None:
    decided = named(10).place(strategy(4, CANARY))
    assert [one.clusters for one in decided.slices] == [
        ("c02", "c09"),
        ("c01", "c03", "c04", "c05"),
        ("c06", "c07", "c08", "c10"),
    ]
    assert decided.slices[1].labels == {
        "cluster.open-cluster-management.io/placement": "p",
        "cluster.open-cluster-management.io/decision-group-index": "1",
        "cluster.open-cluster-management.io/decision-group-name": "",
    }


def test_a_size_that_is_no_percentage_leaves_no_groups_but_the_count() -> None:
    decided = named(2).place(strategy("half"))
    assert (list(decided.slices), list(decided.groups), decided.selected) == ([], [], 2)
    assert decided.misconfigured == (True, "Misconfigured", ":half invalid type: string is not a percentage")
    assert decided.satisfied[:2] == (True, "AllDecisionsScheduled")


def test_a_group_that_is_wrong_keeps_those_before_it() -> None:
    spec = strategy(0, ("first", ["c01"]), ("second", ["c02"]))
    broken = spec["decisionStrategy"]["groupStrategy"]["decisionGroups"][1]
    broken["groupClusterSelector"]["labelSelector"]["matchExpressions"][0]["operator"] = "Foo"
    decided = named(3).place(spec)
    assert [group["decisionGroupName"] for group in decided.groups] == ["first"]
    assert decided.misconfigured == (True, "Misconfigured", ':"Foo" is not a valid label selector operator')
