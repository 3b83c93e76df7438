"""The decisions of the controllers beside the API, as pure functions."""

from __future__ import annotations

from collections import Counter
from typing import Any

import pytest

from merope.controlplane.bootstrap import cluster_role_bindings, cluster_roles, completion
from merope.controlplane.controllers.aggregation import aggregated_rules
from merope.controlplane.controllers.garbage import Delete, Keep, OwnerState, Retry, decide
from merope.controlplane.controllers.namespace_deletion import Findings, conditions
from merope.controlplane.resource import GroupResource


@pytest.mark.parametrize(
    ("owners", "finalizers", "dependents", "waiting", "decision"),
    [
        ([("a", "solid")], (), False, False, Keep()),
        ([("a", "solid"), ("b", "dangling"), ("c", "waiting")], (), True, False, Keep(("b", "c"))),
        ([("a", "dangling")], (), False, False, Delete("Background")),
        ([("a", "dangling")], ("orphan",), True, False, Delete("Orphan")),
        ([("a", "dangling")], ("foregroundDeletion",), True, False, Delete("Foreground")),
        ([("a", "waiting")], (), True, False, Delete("Foreground")),
        ([("a", "waiting")], (), True, True, Delete("Foreground", unblock=True)),
        ([("a", "waiting")], (), False, False, Delete("Background")),
        ([("a", "dangling"), ("b", "unknown")], (), False, False, Retry()),
        ([("a", "solid"), ("b", "unknown")], (), False, False, Retry()),
    ],
)
def test_an_objects_fate_follows_from_its_owners(
    owners: list[tuple[str, OwnerState]],
    finalizers: tuple[str, ...],
    dependents: bool,
    waiting: bool,
    decision: Keep | Delete | Retry,
) -> None:
    assert decide(owners, finalizers=finalizers, has_dependents=dependents, dependent_is_waiting=waiting) == decision


def role(name: str, labels: dict[str, str], *resources: str) -> dict[str, Any]:
    return {
        "metadata": {"name": name, "labels": labels},
        "rules": [{"verbs": ["get"], "apiGroups": [""], "resources": [resource]} for resource in resources],
    }


def test_a_collecting_role_has_each_rule_of_the_others_once_in_order() -> None:
    collecting = {
        **role("all", {"x": "1"}, "overwritten"),
        "aggregationRule": {"clusterRoleSelectors": [{"matchLabels": {"x": "2"}}, {"matchLabels": {"x": "1"}}]},
    }
    others = [
        collecting,
        role("b", {"x": "1"}, "pods"),
        role("a", {"x": "1"}, "secrets", "pods"),
        role("c", {"x": "2"}, "nodes"),
    ]

    rules = aggregated_rules(collecting, others)

    assert [rule["resources"][0] for rule in rules] == ["nodes", "secrets", "pods"]


def test_the_conditions_of_a_terminating_namespace_say_what_remains_and_why() -> None:
    findings = Findings(
        remaining=Counter(
            {GroupResource("work.open-cluster-management.io", "manifestworks"): 2, GroupResource("", "configmaps"): 1}
        ),
        finalizers=Counter({"example.com/x": 2}),
    )

    found = {each["type"]: each for each in conditions(findings, [], "T1")}

    assert found["NamespaceContentRemaining"]["message"] == (
        "Some resources are remaining: configmaps. has 1 resource instances, "
        "manifestworks.work.open-cluster-management.io has 2 resource instances"
    )
    assert found["NamespaceFinalizersRemaining"]["reason"] == "SomeFinalizersRemain"
    assert found["NamespaceFinalizersRemaining"]["message"] == (
        "Some content in the namespace has finalizers remaining: example.com/x in 2 resource instances"
    )
    assert found["NamespaceDeletionContentFailure"]["status"] == "False"


def test_times_of_conditions_move_only_with_their_status() -> None:
    first = conditions(Findings(), [], "T1")

    second = conditions(Findings(remaining=Counter({GroupResource("", "pods"): 1})), first, "T2")

    times = {each["type"]: each["lastTransitionTime"] for each in second}
    assert times["NamespaceContentRemaining"] == "T2"
    assert times["NamespaceDeletionContentFailure"] == "T1"
    assert conditions(Findings(), first, "T3") == first


def test_missing_bootstrap_rules_and_subjects_are_added_back_and_others_kept() -> None:
    wanted = next(each for each in cluster_roles() if each["metadata"]["name"] == "system:discovery")
    found = {**wanted, "rules": [{"verbs": ["get"], "nonResourceURLs": ["/api", "/extra"]}]}

    patch = completion(found, wanted)

    assert {"verbs": ["get"], "nonResourceURLs": ["/api", "/extra"]} in patch["rules"]
    assert completion({**found, "rules": patch["rules"]}, wanted) == {}
    left_alone = {"annotations": {"rbac.authorization.kubernetes.io/autoupdate": "false"}}
    assert completion({**found, "metadata": left_alone}, wanted) == {}

    binding = next(each for each in cluster_role_bindings() if each["metadata"]["name"] == "system:public-info-viewer")
    one = {**binding, "subjects": [*binding["subjects"][:1], {"kind": "User", "name": "extra"}]}
    assert completion(one, binding)["subjects"] == [*one["subjects"], binding["subjects"][1]]


def test_every_bootstrap_binding_has_its_role() -> None:
    names = {each["metadata"]["name"] for each in cluster_roles()}

    assert {each["roleRef"]["name"] for each in cluster_role_bindings()} <= names
