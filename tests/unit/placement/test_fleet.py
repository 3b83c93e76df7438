"""The columns: clusters come, change and go, and every answer is that of now."""

from __future__ import annotations

import pytest

from merope.lang.selectors import label_selector
from merope.placement.balance import Tally
from merope.placement.fleet import Fleet, Taint, difference, read_cluster
from merope.placement.policy import Aspect
from unit.placement.worlds import Manifest, World, chosen, cluster, time


def members(fleet: Fleet, **labels: str) -> list[str]:
    return [fleet.names[at] for at in fleet.members([label_selector({"matchLabels": labels})])]


def test_members_are_those_of_now_in_the_order_of_names() -> None:
    fleet = Fleet()
    for number in reversed(range(300)):
        fleet.put(read_cluster(cluster(f"c{number:03}", labels={"half": str(number % 2)})))
    assert members(fleet, half="1") == [f"c{number:03}" for number in range(1, 300, 2)]

    fleet.put(read_cluster(cluster("c001", labels={})))
    fleet.remove("c003")
    leaving = cluster("c005", labels={"half": "1"})
    leaving["metadata"]["deletionTimestamp"] = time(0)
    fleet.put(read_cluster(leaving))
    fleet.put(read_cluster(cluster("b", labels={"half": "1"})))
    assert members(fleet, half="1") == ["b", *(f"c{number:03}" for number in range(7, 300, 2))]


def test_values_that_nobody_has_any_more_are_forgotten() -> None:
    fleet = Fleet()
    fleet.put(read_cluster(cluster("steady", labels={"version": "kept"})))
    for number in range(1000):
        fleet.put(read_cluster(cluster("restless", labels={"version": f"v{number}"})))

    assert len(fleet._labels._values["version"]) <= 2 * fleet.room
    assert members(fleet, version="kept") == ["steady"]
    assert members(fleet, version="v999") == ["restless"]
    assert members(fleet, version="v5") == []


def change(**parts: object) -> Manifest:
    made = cluster("a", labels={"x": "1"}, claims={"y": "1"}, amounts={"cpu": "1", "memory": "1"})
    made["metadata"]["resourceVersion"] = "2"
    for part, value in parts.items():
        made[part] = {**made[part], **value}  # type: ignore[dict-item]
    return made


@pytest.mark.parametrize(
    ("after", "changed"),
    [
        (change(), Aspect.WHOLE),
        (change(metadata={"labels": {"x": "2"}}), Aspect.LABELS | Aspect.WHOLE),
        (change(status={"clusterClaims": []}), Aspect.CLAIMS | Aspect.WHOLE),
        (change(spec={"taints": [{"key": "t", "effect": "NoSelect"}]}), Aspect.TAINTS | Aspect.WHOLE),
        (change(status={"allocatable": {"cpu": "2", "memory": "1"}}), Aspect.CPU | Aspect.WHOLE),
        (change(status={"allocatable": {"cpu": "1"}}), Aspect.MEMORY | Aspect.WHOLE),
        (change(metadata={"deletionTimestamp": time(0)}), Aspect.LIFE | Aspect.WHOLE),
    ],
)
def test_what_of_a_cluster_has_changed(after: Manifest, changed: Aspect) -> None:
    before = read_cluster({**change(), "metadata": {**change()["metadata"], "resourceVersion": "1"}})
    assert difference(before, read_cluster(after)) == changed
    assert difference(None, read_cluster(after)) == ~Aspect.NONE


def test_the_same_version_is_no_change() -> None:
    assert difference(read_cluster(change()), read_cluster(change())) == Aspect.NONE


def test_what_does_not_parse_counts_as_absent() -> None:
    odd = cluster("a", amounts={"cpu": "much"})
    odd["spec"]["taints"] = [{"key": "k", "effect": "NoSelect", "timeAdded": "yesterday"}]
    read = read_cluster(odd)
    assert (read.cpu, read.taints) == (None, (Taint("k", "", "NoSelect", None),))


def test_counts_follow_decisions_that_move_between_placements() -> None:
    fleet = Fleet()
    tally = Tally(fleet)
    tally.put("d1", ("ns", "p"), ["a", "a", "b"])
    tally.put("d2", ("ns", "q"), ["b"])
    a, b = fleet.ordinal("a"), fleet.ordinal("b")
    assert tally.others(("ns", "q"))[[a, b]].tolist() == [2, 1]
    assert tally.others(("ns", "p"))[[a, b]].tolist() == [0, 1]
    tally.put("d1", ("ns", "q"), ["a"])
    assert tally.others(("ns", "q"))[[a, b]].tolist() == [0, 0]
    assert tally.others(("ns", "p"))[[a, b]].tolist() == [1, 1]
    tally.remove("d1")
    tally.remove("d1")
    tally.remove("d2")
    assert tally.others(("ns", "p")).sum() == 0


def test_more_clusters_than_there_was_room_for() -> None:
    world = World().put(*(cluster(f"c{number:03}") for number in range(70)))
    assert len(chosen(world.place({}))) == 70
    world.put(*(cluster(f"d{number:03}", claims={"z": "1"}) for number in range(200)))
    claim = {"claimSelector": {"matchExpressions": [{"key": "z", "operator": "Exists"}]}}
    assert len(chosen(world.place({"predicates": [{"requiredClusterSelector": claim}]}))) == 200
