"""Conditions with the semantics of metav1."""

from __future__ import annotations

from merope.kube import (
    condition_status,
    find_condition,
    is_condition_false,
    is_condition_true,
    remove_condition,
    set_condition,
)

OLD, NEW = "2026-01-01T00:00:00Z", "2026-02-02T00:00:00Z"


def test_a_new_condition_gets_the_time_of_its_transition():
    conditions = []
    assert set_condition(conditions, "Ready", "True", "Ok", "fine", observed_generation=3, now=OLD)
    assert conditions == [
        {
            "type": "Ready",
            "status": "True",
            "reason": "Ok",
            "message": "fine",
            "lastTransitionTime": OLD,
            "observedGeneration": 3,
        }
    ]


def test_the_time_moves_only_with_the_status():
    conditions = []
    set_condition(conditions, "Ready", "True", "Ok", now=OLD)

    assert not set_condition(conditions, "Ready", "True", "Ok", now=NEW)
    assert set_condition(conditions, "Ready", "True", "Other", "text", now=NEW)
    assert conditions[0]["lastTransitionTime"] == OLD
    assert set_condition(conditions, "Ready", "False", "Other", "text", now=NEW)
    assert conditions[0]["lastTransitionTime"] == NEW


def test_fields_that_somebody_else_added_survive():
    conditions = [
        {"type": "Ready", "status": "True", "reason": "A", "message": "", "extra": 1, "lastTransitionTime": OLD}
    ]
    set_condition(conditions, "Ready", "False", "B", now=NEW)
    assert conditions[0]["extra"] == 1


def test_an_observed_generation_that_is_not_given_is_left():
    conditions = []
    set_condition(conditions, "Ready", "True", "Ok", observed_generation=3, now=OLD)
    assert not set_condition(conditions, "Ready", "True", "Ok", now=OLD)
    assert set_condition(conditions, "Ready", "True", "Ok", observed_generation=4, now=NEW)
    assert conditions[0]["lastTransitionTime"] == OLD


def test_conditions_are_found_by_type_and_removed():
    conditions = [{"type": "A", "status": "True"}, {"type": "B", "status": "False"}]
    assert is_condition_true(conditions, "A")
    assert is_condition_false(conditions, "B")
    assert condition_status(conditions, "C") is None
    assert find_condition(None, "A") is None
    assert remove_condition(conditions, "A")
    assert not remove_condition(conditions, "A")
    assert conditions == [{"type": "B", "status": "False"}]
