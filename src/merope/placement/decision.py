"""From a Placement and the state of the fleet to everything that is to be written about it: one pure function."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from merope.placement.balance import Tally
from merope.placement.fleet import Fleet
from merope.placement.groups import Grouping, divide
from merope.placement.policy import Misconfigured, Policy
from merope.placement.scheduler import Inputs, Outcome, schedule
from merope.placement.sets import Available
from merope.placement.verdict import misconfigured, satisfied
from merope.sdk.decisions import Slice, slices

#: Decisions carry the Placement's name as the value of a label.
_LONGEST_NAME: Final = 63


@dataclass(frozen=True, slots=True)
class Decision:
    """What is to be true of a Placement: its decisions, ``status.decisionGroups``, and its conditions as status,
    reason and message."""

    outcome: Outcome
    slices: Sequence[Slice]
    groups: Sequence[Mapping[str, Any]]
    misconfigured: tuple[bool, str, str]
    satisfied: tuple[bool, str, str]

    @property
    def selected(self) -> int:
        """How many clusters are chosen: ``status.numberOfSelectedClusters``."""
        return len(self.outcome.selected)

    @property
    def warning(self) -> str:
        """What Events about changed decisions have to warn of; ``""`` where there is nothing."""
        if self.outcome.code != "Warning":
            return ""
        return f": {self.outcome.message} in plugin {self.outcome.plugin}"


def decide(
    namespace: str, name: str, policy: Policy, available: Available, fleet: Fleet, tally: Tally, now: float
) -> Decision:
    """Decide for one Placement. ``now`` is the time in Unix seconds."""
    owner = (namespace, name)
    outcome = schedule(policy, Inputs(fleet, available.clusters, tally.own(owner), tally.others(owner), now))
    mistake = Misconfigured(outcome.plugin, outcome.message) if outcome.code == "Misconfigured" else None
    if len(name) > _LONGEST_NAME:
        mistake = Misconfigured(
            "", f"name must be no more than {_LONGEST_NAME} characters: decisions carry it as label"
        )
        outcome = Outcome(outcome.inputs, outcome.available, code="Misconfigured", message=mistake.message)
        grouping = Grouping(())
    else:
        grouping = divide(policy, fleet, outcome.selected)
    objects, groups = slices(name, grouping.groups)
    return Decision(
        outcome,
        objects,
        groups,
        misconfigured(grouping.mistake or mistake),
        satisfied(available.bindings, policy.cluster_sets, available.eligible, outcome),
    )
