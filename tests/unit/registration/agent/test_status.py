"""What becomes of what an agent finds out: the pure parts of the status."""

from __future__ import annotations

import copy
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from merope.registration.agent.claims import exposed
from merope.registration.agent.facts import Facts, apply, is_clock_off
from merope.registration.agent.managed_namespaces import label_of, wanted_names
from merope.registration.agent.probe import Answer, Patience
from merope.registration.agent.resources import NodeResources, totals

ACCEPTED = {
    "type": "HubAcceptedManagedCluster",
    "status": "True",
    "reason": "HubClusterAdminAccepted",
    "message": "Accepted by hub cluster admin",
    "lastTransitionTime": "2030-01-01T00:00:00Z",
}


def cluster(*conditions: dict[str, Any], **status: Any) -> dict[str, Any]:
    return {"metadata": {"name": "c1"}, "status": {"conditions": [dict(each) for each in conditions], **status}}


def conditions(obj: dict[str, Any]) -> dict[str, tuple[str, str, str]]:
    return {each["type"]: (each["status"], each["reason"], each["message"]) for each in obj["status"]["conditions"]}


GOOD = Facts("available", version="v1.35.3")


def test_nothing_is_reported_before_the_hub_accepts() -> None:
    obj = cluster()
    before = copy.deepcopy(obj)

    apply(obj, GOOD)

    assert obj == before


def test_an_accepted_cluster_joins_and_is_available() -> None:
    obj = cluster(ACCEPTED)

    apply(obj, GOOD)

    assert conditions(obj)["ManagedClusterJoined"] == ("True", "ManagedClusterJoined", "Managed cluster joined")
    assert conditions(obj)["ManagedClusterConditionAvailable"] == (
        "True",
        "ManagedClusterAvailable",
        "Managed cluster is available",
    )
    assert obj["status"]["version"] == {"kubernetes": "v1.35.3"}
    assert set(obj["status"]) == {"conditions", "version"}


def test_saying_the_same_again_changes_nothing() -> None:
    obj = cluster(ACCEPTED, managedNamespaces=[{"name": "a", "clusterSet": "s"}])
    facts = Facts("available", "", "v1.35.3", {"cpu": "4"}, {"cpu": "3"}, [{"name": "n", "value": "v"}], {"a": None})
    apply(obj, facts)
    before = copy.deepcopy(obj)

    apply(obj, facts)

    assert obj == before


def test_the_hubs_unknown_is_put_back_to_true() -> None:
    unknown = {**ACCEPTED, "type": "ManagedClusterConditionAvailable", "status": "Unknown", "reason": "X"}
    obj = cluster(ACCEPTED, unknown)

    apply(obj, GOOD)

    assert conditions(obj)["ManagedClusterConditionAvailable"][0] == "True"


def test_a_failure_that_may_pass_keeps_the_condition_and_the_rest() -> None:
    obj = cluster(ACCEPTED, capacity={"cpu": "1"})

    apply(obj, Facts("pending", "status code: 500, x"))

    assert set(conditions(obj)) == {"HubAcceptedManagedCluster", "ManagedClusterJoined"}
    assert obj["status"]["capacity"] == {"cpu": "1"}


def test_a_lasting_failure_makes_the_cluster_unavailable() -> None:
    obj = cluster(ACCEPTED, allocatable={"cpu": "1"})

    apply(obj, Facts("unavailable", Answer(403, "unknown").complaint))

    assert conditions(obj)["ManagedClusterConditionAvailable"] == (
        "False",
        "ManagedClusterKubeAPIServerUnavailable",
        "The kube-apiserver is not ok, status code: 403, unknown",
    )
    assert obj["status"]["allocatable"] == {"cpu": "1"}


def test_capacity_of_others_stays_and_allocatable_is_replaced() -> None:
    obj = cluster(ACCEPTED, capacity={"sockets": "2", "cpu": "1"}, allocatable={"gpu": "1"})

    apply(obj, Facts("available", "", "v1", {"cpu": "4"}, {"cpu": "3"}))

    assert obj["status"]["capacity"] == {"sockets": "2", "cpu": "4"}
    assert obj["status"]["allocatable"] == {"cpu": "3"}


def test_what_is_empty_is_left_out() -> None:
    obj = cluster(ACCEPTED, allocatable={"cpu": "1"}, clusterClaims=[{"name": "a", "value": "b"}])

    apply(obj, GOOD)

    assert "allocatable" not in obj["status"]
    assert "clusterClaims" not in obj["status"]


def test_namespaces_get_conditions_and_keep_what_others_wrote() -> None:
    entries = [{"name": "good", "clusterSet": "s"}, {"name": "bad", "clusterSet": "s"}, {"name": "new"}]
    obj = cluster(ACCEPTED, managedNamespaces=entries)
    complaint = "Failed to apply namespace: no"

    apply(obj, Facts("available", "", "v1", namespaces={"good": None, "bad": complaint}))

    good, bad, new = obj["status"]["managedNamespaces"]
    assert (good["clusterSet"], good["conditions"][0]["status"]) == ("s", "True")
    assert good["conditions"][0]["message"] == "Namespace successfully applied and managed"
    assert (bad["conditions"][0]["reason"], bad["conditions"][0]["message"]) == ("NamespaceApplyFailed", complaint)
    assert "conditions" not in new


def test_a_clock_is_off_only_where_the_hub_says_so() -> None:
    synced = {**ACCEPTED, "type": "ManagedClusterConditionClockSynced"}

    assert is_clock_off(cluster({**synced, "status": "False"}))
    assert not is_clock_off(cluster(synced))
    assert not is_clock_off(cluster())
    assert not is_clock_off({})


def test_reserved_claims_come_first_and_custom_ones_are_limited() -> None:
    claims = [(name, name.upper()) for name in ("zeta", "alpha", "x.reserved.io", "product.open-cluster-management.io")]

    shown = exposed([*claims, ("id.k8s.io", "1")], limit=1, reserved_suffixes=["reserved.io"])

    assert [each["name"] for each in shown] == [
        "id.k8s.io",
        "product.open-cluster-management.io",
        "x.reserved.io",
        "alpha",
    ]


def test_a_property_takes_the_place_of_a_claim() -> None:
    assert exposed([("a", "claim")], [("a", "property"), ("b", "2")], limit=9) == [
        {"name": "a", "value": "property"},
        {"name": "b", "value": "2"},
    ]


@given(st.dictionaries(st.text("abc.", min_size=1), st.text()), st.integers(0, 5), st.lists(st.text("abc.")))
def test_claims_are_unique_and_no_more_than_allowed(values: dict[str, str], limit: int, suffixes: list[str]) -> None:
    shown = exposed(values.items(), limit=limit, reserved_suffixes=suffixes)

    names = [each["name"] for each in shown]
    assert len(names) == len(set(names))
    custom = [name for name in names if not name.endswith(tuple(filter(None, suffixes)))]
    assert len(custom) == min(limit, sum(not name.endswith(tuple(filter(None, suffixes))) for name in values))
    assert custom == sorted(custom)


def test_resources_are_summed_over_nodes_and_allocatable_over_those_that_take_pods() -> None:
    nodes = [
        NodeResources({"cpu": "4", "memory": "8Gi"}, {"cpu": "3500m"}, True),
        NodeResources({"cpu": "2", "memory": "1024Mi", "gpu": "1"}, {"cpu": "1500m"}, True),
        NodeResources({"cpu": "1", "odd": "many"}, {"cpu": "1"}, False),
    ]

    capacity, allocatable = totals(nodes)

    assert capacity == {"cpu": "7", "memory": "9Gi", "gpu": "1"}
    assert allocatable == {"cpu": "5"}


def test_failures_count_once_they_last_for_twenty_seconds() -> None:
    now = [0.0]
    patience = Patience(lambda: now[0])

    seen = []
    for now[0], healthy in ((0, False), (5, False), (10, True), (11, False), (30.9, False), (31, False), (32, True)):
        seen.append(patience.judge(healthy))

    assert seen == ["pending", "pending", "available", "pending", "pending", "unavailable", "available"]


def test_each_hub_marks_namespaces_with_a_label_of_its_own() -> None:
    label = label_of("c23e6b72d1ebe716e09455c6e876c4d013aae4f5a3b4eee26231e92b02de8631")

    assert (
        label == "clusterset.open-cluster-management.io/c23e6b72d1ebe716e09455c6e876c4d013aae4f5a3b4eee26231e92b02de863"
    )


@pytest.mark.parametrize(
    ("metadata", "expected"), [({}, ["a", "b"]), ({"deletionTimestamp": "2030-01-01T00:00:00Z"}, [])]
)
def test_a_cluster_that_is_deleted_wants_no_namespaces(metadata: dict[str, str], expected: list[str]) -> None:
    obj = {"metadata": metadata, "status": {"managedNamespaces": [{"name": "b"}, {"name": "a"}]}}

    assert wanted_names(obj) == expected
