"""How long the scheduler takes for a whole fleet.

    bench/placement.py --compute-only [--clusters 10000] [--placements 1000] [--json]

One full pass with cold caches: every placement wants ten clusters of one set, by three prioritizers (an add-on score,
allocatable CPU, Balance), through one of fifty predicates and past taints; decisions and groups included. Each sees
what the ones before it chose. Prints a checksum of all decisions, and checks twenty placements against the plain
scheduler of the tests.
"""

from __future__ import annotations

import argparse
import hashlib
import random
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import orjson

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "tests"))

from merope.lang.selectors import label_selector
from merope.placement.balance import Tally
from merope.placement.decision import Decision, decide
from merope.placement.fleet import Fleet, read_cluster, read_scores
from merope.placement.policy import read_policy
from merope.placement.sets import available, selector_of
from merope.sdk.decisions import decision_entries
from unit.placement import brute_force

Manifest = dict[str, Any]

PREDICATES = 50
CHECKED = 20
SET: Manifest = {
    "metadata": {"name": "global"},
    "spec": {"clusterSelector": {"selectorType": "LabelSelector", "labelSelector": {}}},
}


def clusters(count: int) -> list[Manifest]:
    """Clusters with a region of ten, a tier of five, an amount of CPU; one in ten has a taint."""
    dice = random.Random(1)
    made = []
    for number in range(count):
        cpu = f"{dice.randint(4, 512) * 1000 - dice.randint(0, 500)}m"
        taint = {"key": "gpu", "value": "true", "effect": "NoSelect"}
        made.append(
            {
                "metadata": {
                    "name": f"cluster{number}",
                    "labels": {"region": f"r{number % 10}", "tier": f"t{dice.randint(0, 4)}", "id": str(number)},
                },
                "spec": {"taints": [taint] if number % 10 == 3 else []},
                "status": {"allocatable": {"cpu": cpu}, "capacity": {"cpu": cpu}},
            }
        )
    return made


def scores(count: int) -> list[Manifest]:
    """A score for every cluster."""
    dice = random.Random(2)
    return [
        {
            "metadata": {"namespace": f"cluster{number}", "name": "demo"},
            "status": {"scores": [{"name": "demo", "value": dice.randint(-100, 100)}]},
        }
        for number in range(count)
    ]


def placement(number: int) -> Manifest:
    """One placement of as many as there are; every third tolerates the taint."""
    region, tier = number % PREDICATES % 10, number % PREDICATES // 10
    expression = {"key": "tier", "operator": "NotIn", "values": [f"t{tier}"]}
    selector = {"matchLabels": {"region": f"r{region}"}, "matchExpressions": [expression]}
    built_in = [
        {"scoreCoordinate": {"type": "BuiltIn", "builtIn": name}, "weight": 1}
        for name in ("ResourceAllocatableCPU", "Balance")
    ]
    add_on = {
        "scoreCoordinate": {"type": "AddOn", "addOn": {"resourceName": "demo", "scoreName": "demo"}},
        "weight": 1,
    }
    return {
        "metadata": {"namespace": "bench", "name": f"p{number}"},
        "spec": {
            "numberOfClusters": 10,
            "predicates": [{"requiredClusterSelector": {"labelSelector": selector}}],
            "prioritizerPolicy": {"mode": "Exact", "configurations": [add_on, *built_in]},
            "tolerations": [{"key": "gpu", "operator": "Exists"}] if number % 3 == 0 else [],
            "decisionStrategy": {"groupStrategy": {"clustersPerDecisionGroup": "50%"}},
        },
    }


def as_objects(name: str, decided: Decision) -> list[Manifest]:
    """PlacementDecisions as the API has them."""
    return [
        {
            "metadata": {"namespace": "bench", "name": one.name, "labels": dict(one.labels)},
            "status": {"decisions": decision_entries(one.clusters)},
        }
        for one in decided.slices
    ]


def compute(cluster_count: int, placement_count: int) -> dict[str, Any]:
    """One full pass."""
    fleet_objects, score_objects = clusters(cluster_count), scores(cluster_count)
    placements = [placement(number) for number in range(placement_count)]
    selectors = {"global": selector_of("global", SET["spec"])}

    started = time.perf_counter()
    fleet = Fleet()
    for one in fleet_objects:
        fleet.put(read_cluster(one))
    for one in score_objects:
        fleet.put_scores(one["metadata"]["namespace"], one["metadata"]["name"], read_scores(one))
    loaded = time.perf_counter()
    busy = time.process_time()
    tally = Tally(fleet)
    decisions: list[Decision] = []
    for one in placements:
        name = one["metadata"]["name"]
        policy = read_policy(one["spec"])
        usable = available(fleet, policy, ["global"], selectors)
        decided = decide("bench", name, policy, usable, fleet, tally, 100.0)
        for object_ in decided.slices:
            tally.put(object_.name, ("bench", name), object_.clusters)
        decisions.append(decided)
    done = time.perf_counter()
    busy = time.process_time() - busy

    objects = [as_objects(one["metadata"]["name"], decided) for one, decided in zip(placements, decisions, strict=True)]
    digest = hashlib.sha256(orjson.dumps(objects, option=orjson.OPT_SORT_KEYS)).hexdigest()
    check(fleet_objects, score_objects, placements, objects)
    return {
        "clusters": cluster_count,
        "placements": placement_count,
        "load_seconds": round(loaded - started, 3),
        "compute_seconds": round(done - loaded, 3),
        "compute_cpu_seconds": round(busy, 3),
        "decisions": sum(map(len, objects)),
        "checked": min(CHECKED, placement_count),
        "checksum": digest,
    }


def check(
    fleet: list[Manifest], score_objects: list[Manifest], placements: list[Manifest], objects: Sequence[list[Manifest]]
) -> None:
    """Compare some placements with what the plain scheduler decides for them."""
    step = max(1, len(placements) // CHECKED)
    for number in range(0, len(placements), step)[:CHECKED]:
        one = placements[number]
        before = [decision for earlier in objects[:number] for decision in earlier]
        selector = label_selector(one["spec"]["predicates"][0]["requiredClusterSelector"]["labelSelector"])
        names = {each["metadata"]["name"] for each in fleet if selector.matches(each["metadata"]["labels"])}
        relevant = [each for each in score_objects if each["metadata"]["namespace"] in names]
        wanted = brute_force.place(one, fleet, [SET], ["global"], relevant, before, 100.0)
        found = [
            {
                "name": each["metadata"]["name"],
                "labels": each["metadata"]["labels"],
                "clusters": [entry["clusterName"] for entry in each["status"]["decisions"]],
            }
            for each in objects[number]
        ]
        if found != wanted["decisions"]:
            raise SystemExit(f"{one['metadata']['name']}: {found} differs from {wanted['decisions']}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--compute-only", action="store_true", help="the pure computation; the only part there is")
    parser.add_argument("--clusters", type=int, default=10_000)
    parser.add_argument("--placements", type=int, default=1_000)
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    options = parser.parse_args()
    result = compute(options.clusters, options.placements)
    if options.json:
        print(orjson.dumps(result).decode())
    else:
        for name, value in result.items():
            print(f"{name:20} {value}")


if __name__ == "__main__":
    main()
