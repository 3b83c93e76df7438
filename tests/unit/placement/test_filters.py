"""Sets, predicates, taints: which clusters may be chosen at all, and what is said where there are none."""

from __future__ import annotations

from typing import Any

import pytest

from merope.lang.cel import EvaluationError
from merope.placement.expressions import compile_expression, matches, subject
from merope.placement.sets import BrokenSet
from unit.placement.worlds import Manifest, World, chosen, cluster, decision, label_set, score, time


def taint(effect: str, key: str, added: float | None, value: str = "") -> Manifest:
    found = {"effect": effect, "key": key, "value": value}
    return found if added is None else {**found, "timeAdded": time(added)}


def tolerate(key: str | None, seconds: int | None = None, **more: Any) -> Manifest:
    found: Manifest = {"operator": "Exists", **more}
    if key is not None:
        found["key"] = key
    if seconds is not None:
        found["tolerationSeconds"] = seconds
    return found


GPU = taint("NoSelect", "gpu", 0, "true")
AWAY = taint("NoSelect", "unreachable", 40)


@pytest.mark.parametrize(
    ("taints", "tolerations", "chosen_before", "passes", "expiry"),
    [
        ([GPU], [], False, False, None),
        ([GPU], [{"key": "gpu", "operator": "Equal", "value": "true"}], False, True, None),
        ([GPU], [{"key": "gpu", "value": "true"}], False, True, None),
        ([GPU], [{"key": "gpu", "value": "false"}], False, False, None),
        ([GPU], [tolerate("gpu", effect="NoSelectIfNew")], False, False, None),
        ([AWAY], [tolerate(None, 61)], True, True, 101.0),
        ([AWAY], [tolerate(None, 60)], True, False, None),
        ([taint("NoSelect", "unreachable", None)], [tolerate("unreachable", 300)], True, False, None),
        ([taint("NoSelect", "a", 40)], [tolerate("a", 10), tolerate("a")], False, True, None),
        ([taint("NoSelect", "a", 90)], [tolerate("a", 30), tolerate("a")], True, True, 120.0),
        ([taint("NoSelectIfNew", "m", 0)], [], True, True, None),
        ([taint("NoSelectIfNew", "m", 0)], [], False, False, None),
        ([taint("PreferNoSelect", "x", 0)], [], False, True, None),
        ([taint("NoSelect", "a", 90), taint("NoSelect", "b", 95)], [tolerate(None, 20)], True, True, 110.0),
        ([GPU], [tolerate("gpu", operator="Matches")], False, False, None),
        ([AWAY], [tolerate(None, 0)], True, False, None),
    ],
)
def test_taints_and_tolerations(
    taints: list[Manifest], tolerations: list[Manifest], chosen_before: bool, passes: bool, expiry: float | None
) -> None:
    world = World().put(cluster("c1", taints=tuple(taints)))
    if chosen_before:
        world.decide_before(decision("ns", "p-decision-1", "p", "c1"))

    decided = world.place({"tolerations": tolerations})

    assert chosen(decided) == (["c1"] if passes else [])
    assert decided.outcome.again_at == expiry


def test_chosen_clusters_arm_their_expiry_at_once() -> None:
    world = World().put(cluster("c1", taints=(AWAY,)))
    assert world.place({"tolerations": [tolerate(None, 61)]}).outcome.again_at == 101


@pytest.mark.parametrize(
    ("toleration", "message"),
    [
        ({"operator": "Equal"}, "If the key is empty, operator must be Exists."),
        ({}, "If the key is empty, operator must be Exists."),
        ({"key": "a", "operator": "Exists", "value": "b"}, "If the operator is Exists, the value should be empty."),
    ],
)
def test_mistakes_in_tolerations_count_where_there_are_candidates(toleration: Manifest, message: str) -> None:
    decided = World().put(cluster("c1")).place({"tolerations": [toleration]})
    assert decided.misconfigured == (True, "Misconfigured", f"TaintToleration:{message}")
    assert World().place({"tolerations": [toleration]}).misconfigured[0] is False


def predicate(labels: Manifest | None = None, claims: list[Manifest] | None = None, *cel: str) -> Manifest:
    selector: Manifest = {}
    if labels is not None:
        selector["labelSelector"] = labels
    if claims is not None:
        selector["claimSelector"] = {"matchExpressions": claims}
    if cel:
        selector["celSelector"] = {"celExpressions": list(cel)}
    return {"requiredClusterSelector": selector}


@pytest.mark.parametrize(
    ("predicates", "expected"),
    [
        ([], ["a", "b", "c"]),
        ([predicate()], ["a", "b", "c"]),
        ([predicate({"matchLabels": {"tier": "gold"}})], ["a"]),
        (
            [predicate({"matchLabels": {"tier": "gold"}}), predicate(None, [{"key": "zone", "operator": "Exists"}])],
            ["a", "b"],
        ),
        ([predicate({"matchLabels": {"tier": "gold"}}, [{"key": "zone", "operator": "Exists"}])], []),
        ([predicate({"matchExpressions": [{"key": "tier", "operator": "NotIn", "values": ["gold"]}]})], ["b", "c"]),
        ([predicate({"matchExpressions": [{"key": "tier", "operator": "DoesNotExist"}]})], ["b", "c"]),
        ([predicate(None, [{"key": "zone", "operator": "In", "values": ["z1"]}])], ["b"]),
        ([predicate(None, None, "managedCluster.metadata.name == 'c'")], ["c"]),
        ([predicate({"matchLabels": {"tier": "gold"}}, None, "managedCluster.metadata.name == 'c'")], []),
    ],
)
def test_predicates_are_alternatives_of_labels_claims_and_expressions(
    predicates: list[Manifest], expected: list[str]
) -> None:
    world = World().put(
        cluster("a", labels={"fleet": "s", "tier": "gold"}), cluster("b", claims={"zone": "z1"}), cluster("c")
    )
    assert chosen(world.place({"predicates": predicates})) == expected


@pytest.mark.parametrize(
    ("labels", "message"),
    [
        (
            {"matchExpressions": [{"key": "a", "operator": "Foo"}]},
            'Predicate:"Foo" is not a valid label selector operator',
        ),
    ],
)
def test_mistakes_in_predicates_count_where_there_are_candidates(labels: Manifest, message: str) -> None:
    spec = {"predicates": [predicate(labels)]}
    decided = World().put(cluster("a")).place(spec)
    assert decided.misconfigured == (True, "Misconfigured", message)
    assert decided.satisfied[:2] == (False, "NoManagedClusterMatched")
    empty = World().place(spec)
    assert (empty.misconfigured[0], empty.satisfied[1]) == (False, "AllManagedClusterSetsEmpty")


def test_expressions_that_dont_compile_are_a_mistake() -> None:
    decided = World().put(cluster("a")).place({"predicates": [predicate(None, None, "managedCluster.(")]})
    assert decided.misconfigured[:2] == (True, "Misconfigured")
    assert decided.misconfigured[2].startswith("Predicate:compilation failed: ")


CEL = {
    "metadata": {"name": "cluster1", "labels": {"env": "dev", "v": "1.30.2"}},
    "kind": "ManagedCluster",
    "apiVersion": "v1",
}
SCORES = {"cap": {"a": 1, "b": 2, "c": 3}}


@pytest.mark.parametrize(
    ("expression", "result", "cost"),
    [
        ('managedCluster.metadata.name == "cluster1"', True, 4),
        ('managedCluster.metadata.labels["env"] == "prod"', False, 5),
        ("managedCluster.metadata.labels[\"v\"].matches('^1\\\\.(30|31)')", True, 7),
        ('semver(managedCluster.metadata.labels["v"]).isLessThan(semver("1.31.0"))', True, 7),
        (
            'managedCluster.scores("cap")',
            [{"name": "a", "value": 1}, {"name": "b", "value": 2}, {"name": "c", "value": 3}],
            104,
        ),
        ("'{\"a\":[1,2]}'.parseJSON()", {"a": [1.0, 2.0]}, 42),
    ],
)
def test_expressions_and_what_they_cost(expression: str, result: Any, cost: int) -> None:
    bound = {"managedCluster": subject(CEL, SCORES.get)}
    assert compile_expression(expression).evaluate(bound) == (result, cost)
    assert matches([expression], subject(CEL, SCORES.get)) is (result is True)


@pytest.mark.parametrize(
    "expression",
    [
        'managedCluster.scores("none")',
        'managedCluster.kind == "ManagedCluster"',
        "managedCluster.metadata.labels.missing == ''",
        "'{'.parseJSON()",
        "'NaN'.parseJSON()",
    ],
)
def test_expressions_that_fail_match_nothing(expression: str) -> None:
    with pytest.raises(EvaluationError):
        compile_expression(expression).evaluate({"managedCluster": subject(CEL, SCORES.get)})
    assert matches([expression], subject(CEL, SCORES.get)) is False


def test_expressions_are_bounded() -> None:
    costly = "[1,2,3,4,5,6,7,8,9,10]"
    nested = (
        f"{costly}.all(a, {costly}.all(b, {costly}.all(c, {costly}.all(d, {costly}.all(e, {costly}.all(f, true))))))"
    )
    assert matches([nested], subject(CEL, SCORES.get)) is False


def test_expressions_see_scores_as_they_change_and_conditions_as_null() -> None:
    world = World().put(cluster("a"), cluster("b")).give(score("a", "cap", free=3))
    spec = {"predicates": [predicate(None, None, "managedCluster.scores('cap').exists(s, s.value > 2)")]}
    assert chosen(world.place(spec)) == ["a"]
    world.give(score("b", "cap", free=5))
    assert chosen(world.place(spec)) == ["a", "b"]
    world.take("a", "cap")
    assert chosen(world.place(spec)) == ["b"]
    conditions = {"predicates": [predicate(None, None, "managedCluster.status.conditions == null")]}
    assert chosen(world.place(conditions)) == ["a", "b"]


@pytest.mark.parametrize(
    ("sets", "bindings", "spec", "reason", "message"),
    [
        (
            ["s"],
            [],
            {},
            "NoManagedClusterSetBindings",
            "No valid ManagedClusterSetBindings found in placement namespace",
        ),
        (
            ["s"],
            ["missing"],
            {},
            "NoManagedClusterSetBindings",
            "No valid ManagedClusterSetBindings found in placement namespace",
        ),
        (
            ["s"],
            ["s"],
            {"clusterSets": ["x", "y"]},
            "NoIntersection",
            "None of ManagedClusterSets [x,y] is bound to placement namespace",
        ),
        (
            ["t", "u"],
            ["u", "t"],
            {},
            "AllManagedClusterSetsEmpty",
            "All ManagedClusterSets [t,u] have no member ManagedCluster",
        ),
        (
            ["s"],
            ["s"],
            {"numberOfClusters": 3},
            "NotAllDecisionsScheduled",
            "1 cluster decisions unscheduled",
        ),
        (
            ["s"],
            ["s"],
            {"numberOfClusters": 0},
            "NoManagedClusterMatched",
            "No ManagedCluster matches any of the cluster predicate",
        ),
    ],
)
def test_why_a_placement_isnt_satisfied(
    sets: list[str], bindings: list[str], spec: Manifest, reason: str, message: str
) -> None:
    world = World(sets=[label_set(name, fleet=name) for name in sets], bindings=bindings)
    world.put(cluster("a"), cluster("b"))

    decided = world.place(spec)

    assert decided.satisfied == (False, reason, message)
    assert decided.misconfigured == (False, "Succeedconfigured", "Placement configurations check pass")


def test_sets_select_by_the_exclusive_label_or_by_any() -> None:
    exclusive = {"metadata": {"name": "e"}, "spec": {"clusterSelector": {"selectorType": "ExclusiveClusterSetLabel"}}}
    nothing = {"metadata": {"name": "n"}, "spec": {"clusterSelector": {"selectorType": "LabelSelector"}}}
    all_ = {
        "metadata": {"name": "g"},
        "spec": {"clusterSelector": {"selectorType": "LabelSelector", "labelSelector": {}}},
    }
    world = World(sets=[exclusive, nothing, all_], bindings=["e", "n"])
    world.put(
        cluster("a", labels={"cluster.open-cluster-management.io/clusterset": "e"}),
        cluster("b", labels={"cluster.open-cluster-management.io/clusterset": "f"}),
    )
    leaving = cluster("c")
    leaving["metadata"]["deletionTimestamp"] = time(1)
    world.put(leaving)
    assert chosen(world.place({})) == ["a"]
    world.bindings = ["g", "e"]
    assert chosen(world.place({})) == ["a", "b"]
    assert chosen(world.place({"clusterSets": ["e"]})) == ["a"]


def test_a_set_that_cannot_be_understood_stops_everything() -> None:
    broken = {"metadata": {"name": "x"}, "spec": {"clusterSelector": {"selectorType": "Magic"}}}
    world = World(sets=[broken], bindings=["x"]).put(cluster("a"))
    with pytest.raises(BrokenSet) as raised:
        world.place({})
    assert str(raised.value) == 'failed to get clusters from ClusterSet "x": selectorType is not right: Magic'


def test_a_placement_whose_name_is_no_label_value_is_told_so() -> None:
    decided = World().put(cluster("a")).place({}, name="p" * 64)
    assert decided.slices == []
    assert decided.misconfigured[:2] == (True, "Misconfigured")
