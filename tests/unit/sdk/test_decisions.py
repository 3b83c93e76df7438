"""PlacementDecisions as their consumers find them."""

from __future__ import annotations

from merope.sdk.decisions import (
    Group,
    decided_clusters,
    decision_entries,
    decision_labels,
    owner_reference,
    slices,
)


def test_groups_are_cut_into_decisions_that_are_numbered_over_all_groups() -> None:
    names = [f"c{number:03}" for number in range(150)]

    objects, groups = slices("p", [Group("canary", names[:1]), Group("", names), Group("last", ())])

    assert [(one.name, len(one.clusters)) for one in objects] == [
        ("p-decision-1", 1),
        ("p-decision-2", 100),
        ("p-decision-3", 50),
        ("p-decision-4", 0),
    ]
    assert [name for one in objects[1:3] for name in one.clusters] == names
    assert groups == [
        {"decisionGroupIndex": 0, "decisionGroupName": "canary", "decisions": ["p-decision-1"], "clusterCount": 1},
        {
            "decisionGroupIndex": 1,
            "decisionGroupName": "",
            "decisions": ["p-decision-2", "p-decision-3"],
            "clusterCount": 150,
        },
        {"decisionGroupIndex": 2, "decisionGroupName": "last", "decisions": ["p-decision-4"], "clusterCount": 0},
    ]
    assert [one.labels for one in objects] == [
        decision_labels("p", 0, "canary"),
        decision_labels("p", 1, ""),
        decision_labels("p", 1, ""),
        decision_labels("p", 2, "last"),
    ]


def test_decisions_say_what_was_written_into_them() -> None:
    assert decided_clusters({"status": {"decisions": decision_entries(["b", "a"])}}) == ["b", "a"]
    assert decided_clusters({}) == []
    assert decided_clusters({"status": {}}) == []
    assert decision_entries(["a"]) == [{"clusterName": "a", "reason": ""}]


def test_a_decision_goes_with_its_placement() -> None:
    assert owner_reference("p", "u") == {
        "apiVersion": "cluster.open-cluster-management.io/v1beta1",
        "kind": "Placement",
        "name": "p",
        "uid": "u",
        "controller": True,
        "blockOwnerDeletion": True,
    }
