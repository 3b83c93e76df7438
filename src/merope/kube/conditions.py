"""Conditions in a status, as raw lists of dicts, with the semantics of metav1: pure functions.

``lastTransitionTime`` says when the status of a condition last changed from one value to another. A changed reason
or message keeps it, and a condition that says what it said before is left as it is, so that nothing needs to be
written.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from typing import Any, Literal, TypeAlias

Condition: TypeAlias = dict[str, Any]
ConditionStatus: TypeAlias = Literal["True", "False", "Unknown"]


def timestamp(moment: datetime | None = None) -> str:
    """A time as ``metav1.Time`` writes it: UTC, whole seconds. Default: now."""
    return (moment or datetime.now(UTC)).astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def find_condition(conditions: Iterable[Mapping[str, Any]] | None, type_: str) -> Mapping[str, Any] | None:
    """The condition of this type, or None."""
    return next((condition for condition in conditions or () if condition.get("type") == type_), None)


def condition_status(conditions: Iterable[Mapping[str, Any]] | None, type_: str) -> str | None:
    """``"True"``, ``"False"``, ``"Unknown"``, or None where there is no such condition."""
    condition = find_condition(conditions, type_)
    return str(condition.get("status")) if condition is not None else None


def is_condition_true(conditions: Iterable[Mapping[str, Any]] | None, type_: str) -> bool:
    """Whether the condition is there and True."""
    return condition_status(conditions, type_) == "True"


def is_condition_false(conditions: Iterable[Mapping[str, Any]] | None, type_: str) -> bool:
    """Whether the condition is there and False."""
    return condition_status(conditions, type_) == "False"


def set_condition(
    conditions: list[Condition],
    type_: str,
    status: ConditionStatus,
    reason: str,
    message: str = "",
    *,
    observed_generation: int | None = None,
    now: str | None = None,
) -> bool:
    """Sets a condition in place; returns whether anything about it changed.

    ``now`` (default: the current time) becomes ``lastTransitionTime`` where the status is new or changed.
    ``observed_generation`` None leaves the one that is there.
    """
    for condition in conditions:
        if condition.get("type") == type_:
            break
    else:
        added: Condition = {"type": type_, "status": status, "lastTransitionTime": now or timestamp()}
        added["reason"] = reason
        added["message"] = message
        if observed_generation:
            added["observedGeneration"] = observed_generation
        conditions.append(added)
        return True
    changed = False
    if condition.get("status") != status:
        condition["status"] = status
        condition["lastTransitionTime"] = now or timestamp()
        changed = True
    if condition.get("reason") != reason:
        condition["reason"] = reason
        changed = True
    if (condition.get("message") or "") != message:
        condition["message"] = message
        changed = True
    if observed_generation is not None and (condition.get("observedGeneration") or 0) != observed_generation:
        condition["observedGeneration"] = observed_generation
        changed = True
    return changed


def remove_condition(conditions: list[Condition], type_: str) -> bool:
    """Removes a condition in place; returns whether it was there."""
    before = len(conditions)
    conditions[:] = [condition for condition in conditions if condition.get("type") != type_]
    return len(conditions) != before
