"""Prioritizers, weights and selection: the numbers that clients of OCM see."""

from __future__ import annotations

from typing import Any

import pytest

from merope.placement.fleet import amount
from merope.placement.verdict import score_note
from unit.placement.worlds import World, chosen, cluster, decision, score


def built_in(name: str, weight: int | None = 1) -> dict[str, Any]:
    configuration: dict[str, Any] = {"scoreCoordinate": {"type": "BuiltIn", "builtIn": name}}
    return configuration if weight is None else {**configuration, "weight": weight}


def add_on(resource: str, name: str, weight: int = 1) -> dict[str, Any]:
    coordinate = {"type": "AddOn", "addOn": {"resourceName": resource, "scoreName": name}}
    return {"scoreCoordinate": coordinate, "weight": weight}


def exact(*configurations: dict[str, Any]) -> dict[str, Any]:
    return {"prioritizerPolicy": {"mode": "Exact", "configurations": list(configurations)}}


def additive(*configurations: dict[str, Any]) -> dict[str, Any]:
    return {"prioritizerPolicy": {"configurations": list(configurations)}}


def balanced_world() -> World:
    world = World().put(*(cluster(f"c{number}") for number in range(1, 5)))
    return world.decide_before(
        decision("ns", "p-decision-1", "p", "c1"),
        decision("other", "a", "x", "c1", "c2", "c4"),
        decision("other", "b", "y", "c1", "c4"),
        decision("ns", "c", None, "c1"),
    )


def test_what_others_chose_weighs_against_what_we_have() -> None:
    decided = balanced_world().place({"numberOfClusters": 2})

    assert decided.outcome.totals() == {"c1": 0, "c2": 32, "c3": 100, "c4": -32}
    assert chosen(decided) == ["c2", "c3"]
    assert score_note(decided.outcome.totals()) == "c1:0 c2:32 c3:100 c4:-32 "


def test_more_weight_on_steady_keeps_a_cluster_that_ties() -> None:
    decided = balanced_world().place({"numberOfClusters": 2, **additive(built_in("Steady", 2))})

    assert decided.outcome.totals()["c1"] == 100
    assert chosen(decided) == ["c1", "c3"]


@pytest.mark.parametrize(
    ("most", "expected"),
    [
        (1, [-100]),
        (2, [0, -100]),
        (3, [32, -32, -100]),
        (4, [50, 0, -50, -100]),
        (5, [60, 18, -18, -60, -100]),
        (6, [66, 32, 0, -32, -66, -100]),
        (7, [70, 42, 14, -14, -42, -70, -100]),
        (8, [74, 50, 24, 0, -24, -50, -74, -100]),
        (10, [80, 60, 40, 18, 0, -18, -38, -60, -80, -100]),
    ],
)
def test_balance_by_how_often_others_chose_a_cluster(most: int, expected: list[int]) -> None:
    names = [f"c{count:02}" for count in range(1, most + 1)]
    world = World().put(*map(cluster, names))
    for round_ in range(most):
        world.decide_before(decision("other", f"d{round_}", f"p{round_}", *names[round_:]))

    decided = world.place(exact(built_in("Balance")))

    assert list(decided.outcome.totals().values()) == expected


def test_the_most_chosen_cluster_counts_even_where_it_cannot_be_chosen() -> None:
    world = (
        World().put(cluster("a")).decide_before(decision("o", "d1", "x", "gone", "a"), decision("o", "d2", "y", "gone"))
    )
    assert world.place({}).outcome.totals() == {"a": 0}


@pytest.mark.parametrize(
    ("amounts", "expected"),
    [
        (["20", "60", "100"], [-100, 0, 100]),
        (["1", "2", "3", "4"], [-100, -33, 33, 100]),
        (["0", "1", "2", "3", "4", "5"], [-100, -60, -19, 19, 60, 100]),
        (["16Gi", "32Gi", "64Gi"], [-100, -33, 100]),
        (["3860m", "7910m", "15890m", "8"], [-100, -32, 100, -31]),
        (["5", "5", "5"], [100, 100, 100]),
        (["7"], [100]),
    ],
)
@pytest.mark.parametrize(
    ("resource", "prioritizer"), [("cpu", "ResourceAllocatableCPU"), ("memory", "ResourceAllocatableMemory")]
)
def test_allocatable_amounts_are_spread_over_the_scale(
    resource: str, prioritizer: str, amounts: list[str], expected: list[int]
) -> None:
    world = World().put(*(cluster(f"c{at}", amounts={resource: text}) for at, text in enumerate(amounts)))
    decided = world.place(exact(built_in(prioritizer)))
    assert list(decided.outcome.totals().values()) == expected


def test_what_is_allocatable_counts_only_with_a_capacity() -> None:
    poor = cluster("poor", amounts={"cpu": "1"})
    poor["status"]["capacity"] = {}
    world = World().put(poor, cluster("rich", amounts={"cpu": "10"}), cluster("less", amounts={"cpu": "2"}))
    assert world.place(exact(built_in("ResourceAllocatableCPU"))).outcome.totals() == {
        "less": -100,
        "poor": 0,
        "rich": 100,
    }


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("3860m", 3860 * 0.001),
        ("1.5", 15 * 10.0**-1),
        ("2k", 2000.0),
        ("1Gi", 2.0**30),
        ("-5", -5.0),
        ("", None),
        ("much", None),
    ],
)
def test_quantities_become_numbers_digit_by_digit(text: str, expected: float | None) -> None:
    assert amount(text) == expected


def scored_world() -> World:
    world = World().put(
        cluster("c1", amounts={"memory": "16Gi"}),
        cluster("c2", amounts={"memory": "32Gi"}),
        cluster("c3", amounts={"memory": "64Gi"}),
        cluster("c4"),
    )
    return world.give(
        score("c1", "cap", cpu=80), score("c3", "cap", until=99, cpu=90), score("c4", "cap", until=150, cpu=-20)
    )


def test_weights_multiply_and_expired_scores_are_nothing_but_a_warning() -> None:
    spec = additive(built_in("ResourceAllocatableMemory", 2), add_on("cap", "cpu", 3))
    decided = scored_world().place({"numberOfClusters": 2, **spec})

    assert decided.outcome.totals() == {"c1": 140, "c2": 34, "c3": 300, "c4": 40}
    assert chosen(decided) == ["c1", "c3"]
    assert decided.warning == ": AddOnPlacementScores c3/cap expired in plugin AddOn/cap/cpu"
    assert decided.satisfied == (True, "AllDecisionsScheduled", "All cluster decisions scheduled")
    assert decided.misconfigured[0] is False
    assert decided.outcome.again_at == 150


def test_scores_count_until_the_last_moment() -> None:
    world = World(now=100).put(cluster("a")).give(score("a", "cap", until=100, cpu=7))
    assert world.place(exact(add_on("cap", "cpu"))).outcome.totals() == {"a": 7}
    world.now = 100.5
    assert world.place(exact(add_on("cap", "cpu"))).outcome.totals() == {"a": 0}


def test_negative_weights_prefer_the_least() -> None:
    decided = scored_world().place(exact(built_in("ResourceAllocatableMemory", -1)))
    assert decided.outcome.totals() == {"c1": 100, "c2": 33, "c3": -100, "c4": 0}


@pytest.mark.parametrize(
    ("spec", "expected"),
    [
        (additive(add_on("cap", "cpu", 1), add_on("cap", "cpu", 2)), 100 + 150),
        (additive(built_in("Balance", 2), built_in("Balance", 5)), 500),
        (additive(built_in("Balance", None)), 100),
        (additive(built_in("Balance", 0)), 0),
        (exact(), 0),
        ({"prioritizerPolicy": {}}, 100),
        ({"prioritizerPolicy": {"mode": ""}}, 100),
        ({}, 100),
        (exact(add_on("cap", "unknown")), 0),
        (exact(add_on("unknown", "cpu")), 0),
    ],
)
def test_configurations_override_built_in_ones_and_add_up_for_add_ons(spec: dict[str, Any], expected: int) -> None:
    world = World().put(cluster("a")).give(score("a", "cap", cpu=50))
    assert world.place(spec).outcome.totals() == {"a": expected}


@pytest.mark.parametrize(
    ("policy", "message"),
    [
        ({"mode": "Sum"}, "incorrect prioritizer policy mode: Sum"),
        ({"configurations": [{"weight": 1}]}, "scoreCoordinate field is required"),
        ({"configurations": [built_in("Spread")]}, "incorrect builtin prioritizer: Spread"),
        ({"configurations": [built_in("")]}, "incorrect builtin prioritizer: "),
        ({"configurations": [{"scoreCoordinate": {"type": "AddOn"}}]}, "addOn should not be empty"),
        ({"configurations": [{"scoreCoordinate": {"builtIn": "Balance"}}]}, "addOn should not be empty"),
    ],
)
def test_mistakes_in_prioritizers_are_reported_without_a_plugin(policy: dict[str, Any], message: str) -> None:
    decided = World().put(cluster("a")).place({"prioritizerPolicy": policy})

    assert decided.misconfigured == (True, "Misconfigured", f":{message}")
    assert chosen(decided) == []


def test_a_prioritizer_without_weight_isnt_looked_at() -> None:
    decided = World().put(cluster("a")).place(additive(built_in("Spread", 0)))
    assert decided.misconfigured[0] is False
    assert chosen(decided) == ["a"]


def test_ties_are_broken_by_the_bytes_of_names() -> None:
    world = World().put(*map(cluster, ["cluster2", "cluster10", "cluster1", "cluster-2"]))
    assert chosen(world.place({"numberOfClusters": 3})) == ["cluster-2", "cluster1", "cluster10"]


def test_ties_are_broken_by_name_in_large_fleets_too() -> None:
    world = World().put(*(cluster(f"c{number:05}") for number in reversed(range(2000))))
    assert chosen(world.place({"numberOfClusters": 7})) == [f"c{number:05}" for number in range(7)]


@pytest.mark.parametrize(("wanted", "count", "missing"), [(0, 0, 0), (1, 1, 0), (3, 3, 0), (5, 3, 2), (None, 3, 0)])
def test_the_number_of_clusters(wanted: int | None, count: int, missing: int) -> None:
    spec = {} if wanted is None else {"numberOfClusters": wanted}
    decided = World().put(cluster("a"), cluster("b"), cluster("c")).place(spec)
    assert (decided.selected, decided.outcome.unscheduled) == (count, missing)


def test_a_negative_number_of_clusters_is_a_mistake_and_no_crash() -> None:
    decided = World().put(cluster("a")).place({"numberOfClusters": -1})
    assert decided.misconfigured == (True, "Misconfigured", ":numberOfClusters must not be negative: -1")
    assert decided.selected == 0


def test_the_note_of_scores_is_cut_before_a_thousand_characters() -> None:
    note = score_note({f"cluster-{number:04}": 100 for number in range(200)})
    assert len(note) <= 1000
    assert note.endswith(" ......")
    assert score_note({}) == ""


def test_placements_that_are_being_written_count_as_what_they_will_be() -> None:
    world = World().put(cluster("a"), cluster("b")).decide_before(decision("ns", "q-decision-1", "q", "a"))
    world.tally.begin(("ns", "q"), world.fleet.ordinals(["b"]))
    assert chosen(world.place({"numberOfClusters": 1})) == ["a"]

    world.decide_before(decision("ns", "q-decision-1", "q", "b"))
    assert chosen(world.place({"numberOfClusters": 1})) == ["a"]
    world.tally.end(("ns", "q"))
    assert chosen(world.place({"numberOfClusters": 1})) == ["a"]
    world.undecide("ns", "q-decision-1")
    assert world.place({}).outcome.totals() == {"a": 100, "b": 100}
