"""The status of a work, written by two passes that respect each other."""

from __future__ import annotations

import copy
from typing import Any

import pytest

from merope.work.conditions import (
    Found,
    Observation,
    Outcome,
    aggregated,
    availability,
    available,
    find,
    set_applied,
    set_deleting,
    set_observed,
)
from merope.work.manifests import Target

A = Target(0, "", "v1", "ConfigMap", "configmaps", "a", "default")
B = Target(1, "", "v1", "ConfigMap", "configmaps", "b", "default")
T1, T2, T3 = ("2026-01-01T00:00:01Z", "2026-01-01T00:00:02Z", "2026-01-01T00:00:03Z")


def condition(status: dict[str, Any], type_: str, manifest: int | None = None) -> dict[str, Any]:
    conditions = status["conditions"]
    if manifest is not None:
        conditions = status["resourceStatus"]["manifests"][manifest]["conditions"]
    return next(entry for entry in conditions if entry["type"] == type_)


def test_applying_is_reported_for_each_manifest_and_for_the_work() -> None:
    status: dict[str, Any] = {}

    set_applied(status, [Outcome(A), Outcome(B, "no"), Outcome(B, "bad", "AppliedManifestSSAIgnoreFieldError")], 1, T1)

    assert condition(status, "Applied") == {
        "type": "Applied",
        "status": "False",
        "reason": "AppliedManifestWorkFailed",
        "message": "Failed to apply manifest work",
        "observedGeneration": 1,
        "lastTransitionTime": T1,
    }
    manifests = status["resourceStatus"]["manifests"]
    assert [entry["conditions"][0]["message"] for entry in manifests] == [
        "Apply manifest complete",
        "Failed to apply manifest: no",
        "Failed to process ignoreFields: bad",
    ]
    assert manifests[0]["resourceMeta"]["ordinal"] == 0
    assert manifests[0]["statusFeedback"] == {}


def test_a_manifests_time_is_new_with_each_generation_and_the_works_with_each_flip() -> None:
    status: dict[str, Any] = {}
    set_applied(status, [Outcome(A)], 1, T1)
    set_applied(status, [Outcome(A)], 1, T2)
    assert condition(status, "Applied", 0)["lastTransitionTime"] == T1

    set_applied(status, [Outcome(A)], 2, T2)
    assert condition(status, "Applied", 0)["lastTransitionTime"] == T2
    assert (condition(status, "Applied")["lastTransitionTime"], condition(status, "Applied")["observedGeneration"]) == (
        T1,
        2,
    )

    set_applied(status, [Outcome(A, "no")], 2, T3)
    assert condition(status, "Applied")["lastTransitionTime"] == T3


def test_what_is_known_of_an_object_moves_with_its_manifest() -> None:
    status: dict[str, Any] = {}
    set_applied(status, [Outcome(A), Outcome(B)], 1, T1)
    set_observed(status, [observation(B, values=[value("v", 1)])], 1, T1)

    set_applied(status, [Outcome(B._replace(ordinal=0))], 2, T2)

    [entry] = status["resourceStatus"]["manifests"]
    assert entry["statusFeedback"] == {"values": [value("v", 1)]}
    assert condition(status, "Available", 0)["lastTransitionTime"] == T1


def test_an_object_that_is_named_twice_is_found_by_its_place_only() -> None:
    entries = [{"resourceMeta": A.meta()}, {"resourceMeta": A._replace(ordinal=1).meta()}]

    assert find(entries, A) is entries[0]
    assert find(entries, A._replace(ordinal=2)) is None
    assert find(entries[:1], A._replace(ordinal=2)) is entries[0]
    assert find(entries, B) is None


def value(name: str, number: int) -> dict[str, Any]:
    return {"name": name, "fieldValue": {"type": "Integer", "integer": number}}


def observation(target: Target, *, values: list[Any] | None = None, rules: list[Found] | None = None) -> Observation:
    synced = Found("StatusFeedbackSynced", "True", "StatusFeedbackSynced", "")
    return Observation(target, availability(target), synced, values or [], rules or [])


def test_feedback_is_as_old_as_its_values() -> None:
    status: dict[str, Any] = {}
    set_applied(status, [Outcome(A)], 1, T1)
    set_observed(status, [observation(A, values=[value("v", 1)])], 1, T1)
    before = copy.deepcopy(status)
    set_observed(status, [observation(A, values=[value("v", 1)])], 1, T2)
    assert status == before

    set_observed(status, [observation(A, values=[value("v", 2)])], 1, T3)

    assert condition(status, "StatusFeedbackSynced", 0)["lastTransitionTime"] == T3
    assert condition(status, "Available", 0)["lastTransitionTime"] == T1
    set_observed(status, [observation(A)], 1, T3)
    assert status["resourceStatus"]["manifests"][0]["statusFeedback"] == {}


def test_an_object_that_cannot_be_read_keeps_what_is_known_of_it() -> None:
    status: dict[str, Any] = {}
    set_applied(status, [Outcome(A)], 1, T1)
    rule = Found("Complete", "True", "ConditionRuleEvaluated", "done")
    set_observed(status, [observation(A, values=[value("v", 1)], rules=[rule])], 1, T1)

    set_observed(status, [Observation(A, availability(A, missing=True))], 2, T2)

    assert condition(status, "Available", 0)["status"] == "False"
    assert condition(status, "Complete", 0)["status"] == "True"
    assert condition(status, "Complete")["observedGeneration"] == 2
    assert status["resourceStatus"]["manifests"][0]["statusFeedback"] == {"values": [value("v", 1)]}


def test_conditions_of_rules_that_are_gone_go() -> None:
    status: dict[str, Any] = {}
    set_applied(status, [Outcome(A)], 1, T1)
    rule = Found("Complete", "True", "ConditionRuleEvaluated", "done")
    set_observed(status, [observation(A, rules=[rule])], 1, T1)
    assert condition(status, "Complete")["reason"] == "ConditionRulesAggregated"

    set_applied(status, [Outcome(A)], 2, T2)
    set_observed(status, [observation(A)], 2, T2)

    assert [entry["type"] for entry in status["conditions"]] == ["Applied", "Available"]
    types = [entry["type"] for entry in status["resourceStatus"]["manifests"][0]["conditions"]]
    assert sorted(types) == ["Applied", "Available", "StatusFeedbackSynced"]


@pytest.mark.parametrize(
    ("statuses", "expected"),
    [
        (["True", "True"], ("True", "ResourcesAvailable", "All resources are available")),
        (["True", "False"], ("False", "ResourcesNotAvailable", "1 of 3 resources are not available")),
        (["Unknown", "False"], ("False", "ResourcesNotAvailable", "1 of 3 resources are not available")),
        (["True", "Unknown"], ("Unknown", "ResourcesStatusUnknown", "1 of 3 resources have unknown status")),
        ([], ("Unknown", "ResourcesStatusUnknown", "cannot get any available resource ")),
    ],
)
def test_a_work_is_available_when_all_its_objects_are(statuses: list[str], expected: tuple[str, str, str]) -> None:
    found = available([{"status": status} for status in statuses], 3)

    assert (found.status, found.reason, found.message) == expected


@pytest.mark.parametrize(
    ("type_", "statuses", "expected"),
    [
        ("Progressing", "True False Unknown", "True"),
        ("Progressing", "False Unknown", "Unknown"),
        ("Progressing", "False False", "False"),
        ("Complete", "True False Unknown", "False"),
        ("Complete", "True Unknown", "Unknown"),
        ("Complete", "True True", "True"),
        ("Degraded", "True False", "False"),
    ],
)
def test_rules_are_aggregated(type_: str, statuses: str, expected: str) -> None:
    found = aggregated(type_, [{"status": status, "message": "m"} for status in statuses.split()])

    assert found.status == expected
    assert found.message == f"Aggregated from {len(statuses.split())} manifest conditions"


def test_a_single_rule_lends_its_message() -> None:
    assert aggregated("Complete", [{"status": "True", "message": "Job is finished"}]).message == "Job is finished"
    assert (
        aggregated("Complete", [{"status": "True", "message": ""}]).message == "Aggregated from 1 manifest conditions"
    )


@pytest.mark.parametrize(
    ("target", "missing", "error", "expected"),
    [
        (A, False, None, ("True", "ResourceAvailable", "Resource is available")),
        (A, True, None, ("False", "ResourceNotAvailable", "Resource is not available")),
        (A, False, OSError("x"), ("Unknown", "FetchingResourceFailed", "Failed to fetch resource: x")),
        (
            A._replace(resource=""),
            False,
            None,
            ("Unknown", "IncompleteResourceMeta", "Resource meta is incomplete"),
        ),
    ],
)
def test_availability_says_why(
    target: Target, missing: bool, error: Exception | None, expected: tuple[str, str, str]
) -> None:
    found = availability(target, error, missing=missing)

    assert (found.status, found.reason, found.message) == expected


def test_a_message_that_no_server_would_take_is_cut() -> None:
    status: dict[str, Any] = {}
    set_applied(status, [Outcome(A, "x" * 40000)], 1, T1)

    assert len(condition(status, "Applied", 0)["message"]) == 32768


def test_deletion_is_reported() -> None:
    status: dict[str, Any] = {}
    set_deleting(status, 2)

    found = condition(status, "Deleting")
    assert (found["status"], found["reason"], found["message"]) == (
        "True",
        "WorkDeleting",
        "ManifestWork is being deleted",
    )
