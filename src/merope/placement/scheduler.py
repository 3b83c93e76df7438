"""The choice: filters, then weighted scores, then the best ones. Pure functions over the fleet's columns.

Order and arithmetic are those that clients of OCM rely on: doubles, truncation toward zero, ties broken by name.
Scores that cannot change the choice aren't computed until somebody asks for them (`Outcome.totals`).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Final, Literal, TypeAlias

import numpy as np

from merope.placement.fleet import NOWHERE, Bools, Fleet, Floats, Ints, Mask, Taint
from merope.placement.policy import (
    BALANCE,
    CPU,
    MEMORY,
    STEADY,
    Misconfigured,
    Policy,
    Prioritizer,
    Toleration,
)

Code: TypeAlias = Literal["Success", "Warning", "Misconfigured"]
_NAME_BITS: Final = 32


@dataclass(frozen=True, slots=True)
class Inputs:
    """What a choice follows from, besides the policy.

    ``available`` are the ordinals of the bound sets' clusters in the order of names, ``own`` those that the Placement's
    decisions name now, ``others`` how often other Placements' decisions name each cluster, ``now`` the time in Unix
    seconds.
    """

    fleet: Fleet
    available: Ints
    own: Ints
    others: Ints
    now: float


@dataclass(frozen=True, slots=True)
class Outcome:
    """The choice. Ordinals are in the order of names.

    ``unscheduled`` is how many clusters are missing, ``again_at`` when time alone will change the choice (Unix
    seconds). ``code``, ``plugin`` and ``message`` say how it went.
    """

    inputs: Inputs
    available: Ints
    feasible: Ints = field(default_factory=lambda: NOWHERE)
    selected: Ints = field(default_factory=lambda: NOWHERE)
    unscheduled: int = 0
    code: Code = "Success"
    plugin: str = ""
    message: str = ""
    again_at: float | None = None
    prioritizers: Sequence[Prioritizer] = ()

    def totals(self) -> dict[str, int]:
        """The weighted sum of each feasible cluster's scores, by name in the order of names."""
        names = self.inputs.fleet.names
        sums = total_scores(self.prioritizers, self.inputs, self.feasible)
        return {names[at]: int(total) for at, total in zip(self.feasible.tolist(), sums.tolist(), strict=True)}


def masks(policy: Policy, fleet: Fleet) -> Iterator[Mask]:
    """The masks that a choice will ask for: a caller may bring them up to date beforehand, a little at a time."""
    if not isinstance(policy.predicates, Misconfigured):
        for predicate in policy.predicates:
            if predicate.expressions:
                yield fleet.satisfying(predicate.expressions)


def schedule(policy: Policy, inputs: Inputs) -> Outcome:
    """Choose clusters."""
    fleet = inputs.fleet
    available = inputs.available
    feasible = available
    try:
        feasible = filter_predicates(policy, fleet, feasible)
        feasible = filter_taints(policy, inputs, feasible)
        if isinstance(policy.prioritizers, Misconfigured):
            raise policy.prioritizers
        if policy.number is not None and policy.number < 0:
            raise Misconfigured("", f"numberOfClusters must not be negative: {policy.number}")
    except Misconfigured as error:
        return Outcome(inputs, available, code="Misconfigured", plugin=error.plugin, message=error.message)
    prioritizers = policy.prioritizers
    selected, unscheduled = feasible, 0
    if policy.number is not None:
        unscheduled = max(0, policy.number - len(feasible))
        if policy.number < len(feasible):
            selected = best(fleet, feasible, total_scores(prioritizers, inputs, feasible), policy.number)
    again = [
        *expiries(policy, fleet, inputs.own, inputs.now),
        *expiries(policy, fleet, selected, inputs.now),
    ]
    code: Code = "Success"
    plugin = message = ""
    for prioritizer in prioritizers:
        if prioritizer.resource:
            until = fleet.column(prioritizer.resource, prioritizer.score).until[feasible]
            expired = feasible[until < inputs.now]
            if len(expired):
                named = " ".join(f"{fleet.names[at]}/{prioritizer.resource}" for at in expired.tolist())
                code, plugin, message = "Warning", prioritizer.name, f"AddOnPlacementScores {named} expired"
            future = until[(until >= inputs.now) & np.isfinite(until)]
            again += [float(future.min())] if len(future) else []
    return Outcome(
        inputs,
        available,
        feasible,
        selected,
        unscheduled,
        code,
        plugin,
        message,
        min(again, default=None),
        prioritizers,
    )


# --- filters ----------------------------------------------------------------------------------------------------------


def filter_predicates(policy: Policy, fleet: Fleet, candidates: Ints) -> Ints:
    """The candidates that match one of the predicates. Raises Misconfigured."""
    if not len(candidates) or not policy.predicates:
        return candidates
    if isinstance(policy.predicates, Misconfigured):
        raise policy.predicates
    matched: Bools = np.zeros(len(candidates), dtype=np.bool_)
    for predicate in policy.predicates:
        matching: Bools = np.ones(len(candidates), dtype=np.bool_)
        if not predicate.labels.empty:
            matching &= fleet.labelled(predicate.labels)[candidates]
        if not predicate.claims.empty:
            matching &= fleet.claiming(predicate.claims)[candidates]
        if predicate.expressions:
            matching &= fleet.bits(fleet.satisfying(predicate.expressions))[candidates]
        matched |= matching
    return candidates[matched]


def filter_taints(policy: Policy, inputs: Inputs, candidates: Ints) -> Ints:
    """The candidates whose taints are tolerated. Raises Misconfigured."""
    if not len(candidates):
        return candidates
    if isinstance(policy.tolerations, Misconfigured):
        raise policy.tolerations
    fleet, own = inputs.fleet, set(inputs.own.tolist())
    kept = np.ones(len(candidates), dtype=np.bool_)
    asked: dict[tuple[int, bool], bool] = {}  # by identity: clusters share equal taints
    places = np.flatnonzero(fleet.tainted[candidates])
    for place, at in zip(places.tolist(), candidates[places].tolist(), strict=True):
        taints, chosen = _taints(fleet, at), at in own
        passes = asked.get((id(taints), chosen))
        if passes is None:
            passes = tolerated(taints, policy.tolerations, chosen, inputs.now)[0]
            asked[id(taints), chosen] = passes
        if not passes:
            kept[place] = False
    return candidates[kept]


def expiries(policy: Policy, fleet: Fleet, chosen: Ints, now: float) -> Iterator[float]:
    """When the tolerations that keep chosen clusters expire (Unix seconds)."""
    if isinstance(policy.tolerations, Misconfigured):
        return
    for at in chosen[fleet.tainted[chosen]].tolist():
        passes, expiry = tolerated(_taints(fleet, at), policy.tolerations, True, now)
        if passes and expiry is not None:
            yield expiry


def _taints(fleet: Fleet, at: int) -> Sequence[Taint]:
    cluster = fleet.clusters[at]
    return cluster.taints if cluster is not None else ()


def tolerated(
    taints: Sequence[Taint], tolerations: Sequence[Toleration], chosen: bool, now: float
) -> tuple[bool, float | None]:
    """Whether all taints are tolerated, and when the first of the tolerations used expires (None: never).

    ``chosen`` is whether the Placement's decisions name the cluster already.
    """
    first: float | None = None
    for taint in taints:
        if taint.effect == "PreferNoSelect" or (taint.effect == "NoSelectIfNew" and chosen):
            continue
        for toleration in tolerations:
            if not _matches(toleration, taint):
                continue
            if toleration.seconds is None:
                break
            expiry = taint.added + toleration.seconds if taint.added is not None else now
            if now < expiry:
                first = expiry if first is None else min(first, expiry)
                break
        else:
            return False, None
    return True, first


def _matches(toleration: Toleration, taint: Taint) -> bool:
    if toleration.effect and toleration.effect != taint.effect:
        return False
    if toleration.key and toleration.key != taint.key:
        return False
    if toleration.operator in ("", "Equal"):
        return toleration.value == taint.value
    return toleration.operator == "Exists"


# --- scores -----------------------------------------------------------------------------------------------------------


def total_scores(prioritizers: Sequence[Prioritizer], inputs: Inputs, candidates: Ints) -> Ints:
    """The weighted sum of each candidate's scores."""
    total: Ints = np.zeros(len(candidates), dtype=np.int64)
    for prioritizer in prioritizers:
        total += prioritizer.weight * scores(prioritizer, inputs, candidates)
    return total


def scores(prioritizer: Prioritizer, inputs: Inputs, candidates: Ints) -> Ints:
    """One prioritizer's score of each candidate, -100 to 100; 0 for those that it knows nothing of."""
    fleet = inputs.fleet
    if prioritizer.name == BALANCE:
        return _balance(inputs.others, candidates)
    if prioritizer.name == STEADY:
        chosen = np.zeros(fleet.room, dtype=np.bool_)
        chosen[inputs.own] = True
        return np.where(chosen[candidates], 100, 0)
    if prioritizer.name == CPU:
        return _allocatable(fleet.cpu[candidates])
    if prioritizer.name == MEMORY:
        return _allocatable(fleet.memory[candidates])
    column = fleet.column(prioritizer.resource, prioritizer.score)
    return np.where(column.until[candidates] < inputs.now, 0, column.values[candidates])


def _balance(others: Ints, candidates: Ints) -> Ints:
    """The less often others chose a cluster, compared with the one of all that they chose most, the better."""
    most = int(others.max(initial=0))
    counts = others[candidates]
    if not most:
        return np.full(len(candidates), 100, dtype=np.int64)
    score = 2 * np.trunc(100.0 * (0.5 - counts / float(most))).astype(np.int64)
    return np.where(counts == 0, 100, score)


def _allocatable(amounts: Floats) -> Ints:
    """-100 for the least of the candidates, 100 for the most; 100 for all where all have the same."""
    known = ~np.isnan(amounts)
    out: Ints = np.zeros(len(amounts), dtype=np.int64)
    if not known.any():
        return out
    values = amounts[known]
    least, most = values.min(), values.max()
    if least == most:
        out[known] = 100
    else:
        out[known] = np.trunc((((values - least) / (most - least)) - 0.5) * 2.0 * 100.0).astype(np.int64)
    return out


# --- selection --------------------------------------------------------------------------------------------------------


def best(fleet: Fleet, candidates: Ints, totals: Ints, number: int) -> Ints:
    """The ``number`` candidates with the highest totals, ties broken by name; in the order of names."""
    if number <= 0:
        return NOWHERE
    order = (-totals << _NAME_BITS) | fleet.ranks[candidates]
    chosen = np.argpartition(order, number - 1)[:number] if number < len(candidates) else np.arange(len(candidates))
    return fleet.by_name(candidates[chosen])
