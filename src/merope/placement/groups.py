"""The choice divided into decision groups: the named ones first, then the rest, cut to a size."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from merope.placement.fleet import Fleet, Ints
from merope.placement.policy import Misconfigured, Policy
from merope.sdk.decisions import Group


@dataclass(frozen=True, slots=True)
class Grouping:
    """The groups, and what was wrong with the policy. A mistake keeps the groups before it."""

    groups: Sequence[Group]
    mistake: Misconfigured | None = None


def divide(policy: Policy, fleet: Fleet, selected: Ints) -> Grouping:
    """Divide ``selected``, which is in the order of names."""
    try:
        size = group_size(policy.group_size, len(selected))
    except Misconfigured as error:
        return Grouping((), error)
    groups: list[Group] = []
    rest = selected
    for named in policy.groups:
        if isinstance(named, Misconfigured):
            return Grouping(groups, named)
        inside = np.ones(len(rest), dtype=np.bool_)
        if not named.labels.empty:
            inside &= fleet.labelled(named.labels)[rest]
        if not named.claims.empty:
            inside &= fleet.claiming(named.claims)[rest]
        groups += _cut(named.name, fleet, rest[inside], size)
        rest = rest[~inside]
    groups += _cut("", fleet, rest, size)
    return Grouping(groups or [Group("", ())])


def group_size(wanted: int | str, total: int) -> int:
    """How many clusters a group has: a number, or a share of ``total`` such as ``25%``, rounded up.

    Computed in doubles from left to right, as others do: 7% of 100 is 8. Raises Misconfigured.
    """
    if isinstance(wanted, str):
        share = wanted.removesuffix("%")
        if share == wanted or not share.removeprefix("-").isdecimal():
            raise Misconfigured("", f"{wanted} invalid type: string is not a percentage")
        size = math.ceil(int(share) / 100 * total)
    else:
        size = wanted
    return size if 0 < size <= total else total


def _cut(name: str, fleet: Fleet, clusters: Ints, size: int) -> list[Group]:
    names = [fleet.names[at] for at in clusters.tolist()]
    return [Group(name, names[start : start + size]) for start in range(0, len(names), max(1, size))]
