"""What is said about a choice: the Placement's conditions and the notes of Events. Pure functions."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

from merope.placement.policy import Misconfigured
from merope.placement.scheduler import Outcome

SATISFIED: Final = "PlacementSatisfied"
MISCONFIGURED: Final = "PlacementMisconfigured"
_NOTE: Final = 1000
_CUT: Final = "......"


def misconfigured(mistake: Misconfigured | None) -> tuple[bool, str, str]:
    """Status, reason and message of the condition PlacementMisconfigured."""
    if mistake is None:
        return False, "Succeedconfigured", "Placement configurations check pass"
    return True, "Misconfigured", f"{mistake.plugin}:{mistake.message}"


def satisfied(
    bindings: Sequence[str], wanted_sets: Sequence[str], eligible_sets: Sequence[str], outcome: Outcome
) -> tuple[bool, str, str]:
    """Status, reason and message of the condition PlacementSatisfied: the first thing that is amiss.

    ``bindings`` are the sets that are bound to the namespace, ``eligible_sets`` those of them that the Placement wants.
    """
    if not bindings:
        return False, "NoManagedClusterSetBindings", "No valid ManagedClusterSetBindings found in placement namespace"
    if not eligible_sets:
        sets = ",".join(wanted_sets)
        return False, "NoIntersection", f"None of ManagedClusterSets [{sets}] is bound to placement namespace"
    if not len(outcome.available):
        sets = ",".join(eligible_sets)
        return (
            False,
            "AllManagedClusterSetsEmpty",
            f"All ManagedClusterSets [{sets}] have no member ManagedCluster",
        )
    if not len(outcome.selected):
        return False, "NoManagedClusterMatched", "No ManagedCluster matches any of the cluster predicate"
    if not outcome.unscheduled:
        return True, "AllDecisionsScheduled", "All cluster decisions scheduled"
    return False, "NotAllDecisionsScheduled", f"{outcome.unscheduled} cluster decisions unscheduled"


def score_note(totals: Mapping[str, int]) -> str:
    """The scores of all clusters that could have been chosen, as an Event tells them; ``""`` where there are none."""
    note = ""
    for name, total in totals.items():
        part = f"{name}:{total} "
        if len(note) + len(part) + len(_CUT) > _NOTE:
            return note + _CUT
        note += part
    return note
