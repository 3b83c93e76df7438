"""The scheduler over columns against the plain one over objects: random hubs, through random changes."""

from __future__ import annotations

from typing import Any

import orjson
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from unit.placement import brute_force
from unit.placement.worlds import Manifest, World, decision, label_set, score, time

NOW = 100.0
NAMES = [f"c{number}" for number in range(12)]
SETS: list[Manifest] = [
    label_set("s", fleet="s"),
    {"metadata": {"name": "e"}, "spec": {"clusterSelector": {"selectorType": "ExclusiveClusterSetLabel"}}},
    {
        "metadata": {"name": "g"},
        "spec": {"clusterSelector": {"selectorType": "LabelSelector", "labelSelector": {}}},
    },
    {"metadata": {"name": "n"}, "spec": {"clusterSelector": {"selectorType": "LabelSelector"}}},
]
seconds = st.sampled_from([0, 40, 70, 99, 100, 101, 200])
keys = st.sampled_from(["a", "b"])
values = st.sampled_from(["x", "y"])
pairs = st.dictionaries(keys, values, max_size=2)


def optional(**fields: st.SearchStrategy[Any]) -> st.SearchStrategy[Manifest]:
    return st.fixed_dictionaries({}, optional=fields)


def mostly(usual: Any, otherwise: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    """Enough clusters have to get through all filters that there is something to choose from."""
    return st.integers(0, 2).flatmap(lambda drawn: otherwise if drawn == 2 else st.just(usual))


taints = st.fixed_dictionaries(
    {"key": keys, "value": values, "effect": st.sampled_from(["NoSelect", "PreferNoSelect", "NoSelectIfNew"])},
    optional={"timeAdded": seconds.map(time)},
)
expressions = st.one_of(
    st.fixed_dictionaries(
        {"key": keys, "operator": st.sampled_from(["In", "NotIn"]), "values": st.lists(values, min_size=1, max_size=2)}
    ),
    st.fixed_dictionaries({"key": keys, "operator": st.sampled_from(["Exists", "DoesNotExist"])}),
)
label_selectors = optional(matchLabels=pairs, matchExpressions=st.lists(expressions, max_size=2))
selectors = optional(
    labelSelector=label_selectors,
    claimSelector=st.fixed_dictionaries({"matchExpressions": st.lists(expressions, max_size=1)}),
)
tolerations = st.fixed_dictionaries(
    {},
    optional={
        "key": keys,
        "operator": st.sampled_from(["Exists", "Equal"]),
        "value": values,
        "effect": st.sampled_from(["NoSelect", "NoSelectIfNew"]),
        "tolerationSeconds": st.sampled_from([0, 20, 60, 100]),
    },
)
prioritizers = st.fixed_dictionaries(
    {
        "scoreCoordinate": st.one_of(
            st.fixed_dictionaries(
                {
                    "type": st.just("BuiltIn"),
                    "builtIn": st.sampled_from(
                        ["Balance", "Steady", "ResourceAllocatableCPU", "ResourceAllocatableMemory"]
                    ),
                }
            ),
            st.fixed_dictionaries(
                {
                    "type": st.just("AddOn"),
                    "addOn": st.fixed_dictionaries(
                        {"resourceName": st.sampled_from(["r1", "r2"]), "scoreName": st.sampled_from(["m", "n"])}
                    ),
                }
            ),
        )
    },
    optional={"weight": st.integers(-10, 10)},
)
specs = optional(
    clusterSets=mostly([], st.lists(st.sampled_from(["s", "e", "g", "n", "missing"]), max_size=2)),
    numberOfClusters=mostly(3, st.integers(-1, 8)),
    predicates=mostly([], st.lists(st.fixed_dictionaries({"requiredClusterSelector": selectors}), max_size=2)),
    tolerations=st.lists(tolerations, max_size=3),
    prioritizerPolicy=optional(
        mode=st.sampled_from(["", "Additive", "Exact"]), configurations=st.lists(prioritizers, min_size=1, max_size=4)
    ),
    decisionStrategy=st.fixed_dictionaries(
        {
            "groupStrategy": optional(
                clustersPerDecisionGroup=st.one_of(st.integers(-1, 5), st.sampled_from(["7%", "34%", "100%", "x"])),
                decisionGroups=st.lists(
                    st.fixed_dictionaries(
                        {"groupName": st.sampled_from(["one", "two"]), "groupClusterSelector": selectors}
                    ),
                    max_size=2,
                ),
            )
        }
    ),
)
amounts = st.sampled_from(["1", "2", "5", "3860m", "7910m", "16Gi", "33", "2k"])


@st.composite
def clusters(draw: st.DrawFn) -> Manifest:
    labels = dict(draw(pairs))
    if draw(st.booleans()):
        labels["fleet"] = "s"
    if draw(st.booleans()):
        labels[brute_force.SET_LABEL] = draw(st.sampled_from(["e", "f"]))
    metadata: Manifest = {"name": draw(st.sampled_from(NAMES)), "labels": labels}
    if draw(st.integers(0, 9)) == 0:
        metadata["deletionTimestamp"] = time(1)
    amount = optional(cpu=amounts, memory=amounts)
    status = {
        "allocatable": draw(amount),
        "capacity": draw(amount),
        "clusterClaims": [{"name": key, "value": value} for key, value in draw(pairs).items()],
    }
    return {"metadata": metadata, "spec": {"taints": draw(mostly([], st.lists(taints, max_size=2)))}, "status": status}


decided_names = st.lists(st.sampled_from([*NAMES, "gone"]), min_size=2, max_size=8)
decisions = st.builds(
    lambda namespace, name, placement, names: decision(namespace, name, placement, *names),
    st.sampled_from(["ns", "other"]),
    st.sampled_from(["d1", "d2", "d3", "p-decision-1"]),
    st.sampled_from(["p", "q", None]),
    decided_names,
)
scores = st.builds(
    lambda name, resource, until, given: score(name, resource, until, **given),
    st.sampled_from(NAMES),
    st.sampled_from(["r1", "r2"]),
    st.one_of(st.none(), seconds),
    st.dictionaries(st.sampled_from(["m", "n"]), st.integers(-100, 100), max_size=2),
)
changes = st.lists(
    st.one_of(
        st.tuples(st.just("put"), clusters()),
        st.tuples(st.just("remove"), st.sampled_from(NAMES)),
        st.tuples(st.just("decide"), decisions),
        st.tuples(st.just("undecide"), decisions),
        st.tuples(st.just("give"), scores),
        st.tuples(st.just("take"), scores),
    ),
    max_size=12,
)


@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large])
@given(
    st.lists(clusters(), min_size=8, max_size=16),
    mostly(["g"], st.lists(st.sampled_from(["s", "e", "g", "n", "unknown"]), max_size=3, unique=True)),
    st.lists(decisions, min_size=2, max_size=5),
    st.lists(scores, min_size=4, max_size=10),
    st.lists(specs, min_size=1, max_size=3),
    changes,
)
def test_decisions_are_those_of_the_plain_scheduler_byte_by_byte(
    first: list[Manifest],
    bindings: list[str],
    decided: list[Manifest],
    given_scores: list[Manifest],
    placements: list[Manifest],
    changed: list[tuple[str, Any]],
) -> None:
    world = World(sets=SETS, bindings=bindings, now=NOW)
    world.put(*first).decide_before(*decided).give(*given_scores)

    for spec in placements:
        compare(world, spec)
    for verb, what in changed:
        apply(world, verb, what)
    for spec in placements:
        compare(world, spec)


def apply(world: World, verb: str, what: Any) -> None:
    if verb == "put":
        world.put(what)
    elif verb == "remove":
        world.remove(what)
    elif verb == "decide":
        world.decide_before(what)
    elif verb == "undecide":
        world.undecide(what["metadata"]["namespace"], what["metadata"]["name"])
    elif verb == "give":
        world.give(what)
    else:
        world.take(what["metadata"]["namespace"], what["metadata"]["name"])


def compare(world: World, spec: Manifest) -> None:
    placement = {"metadata": {"namespace": "ns", "name": "p"}, "spec": spec}
    wanted = brute_force.place(
        placement,
        list(world.clusters.values()),
        world.sets,
        world.bindings,
        list(world.scores.values()),
        list(world.decisions.values()),
        world.now,
    )
    found = world.place(spec)
    wrong, _, message = found.misconfigured
    seen = {
        "decisions": [
            {"name": one.name, "labels": dict(one.labels), "clusters": list(one.clusters)} for one in found.slices
        ],
        "groups": list(found.groups),
        "selected": found.selected,
        "scores": found.outcome.totals(),
        "misconfigured": message if wrong else "",
        "satisfied": list(found.satisfied[:2]),
    }
    assert orjson.dumps(seen, option=orjson.OPT_SORT_KEYS) == orjson.dumps(wanted, option=orjson.OPT_SORT_KEYS)
