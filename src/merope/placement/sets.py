"""Which clusters a namespace may use: bound sets, and who is in them. Pure functions."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from merope.lang.selectors import NOTHING, Selector, SelectorError
from merope.placement.fleet import NOWHERE, Fleet, Ints
from merope.placement.policy import Policy
from merope.sdk.clustersets import UnknownSelectorType, is_exclusive, set_selector


class BrokenSet(Exception):
    """A bound set whose members cannot be told; nothing is decided until it is repaired."""

    def __eq__(self, other: object) -> bool:
        return isinstance(other, BrokenSet) and self.args == other.args

    def __hash__(self) -> int:
        return hash(self.args)


@dataclass(frozen=True, slots=True)
class Available:
    """The sets that are bound, those of them that a Placement may use, and the clusters in these:
    ordinals, in the order of names."""

    bindings: tuple[str, ...] = ()
    eligible: tuple[str, ...] = ()
    clusters: Ints = field(default_factory=lambda: NOWHERE)


def selector_of(name: str, spec: Mapping[str, Any] | None) -> Selector | BrokenSet:
    """What a set's members have in common, or why that cannot be told."""
    try:
        return set_selector(name, spec)
    except UnknownSelectorType:
        problem = f"selectorType is not right: {((spec or {}).get('clusterSelector') or {}).get('selectorType')}"
    except SelectorError as error:
        if is_exclusive(spec):
            return NOTHING  # a name that is no label value: no cluster can carry it
        problem = str(error)
    return BrokenSet(f'failed to get clusters from ClusterSet "{name}": {problem}')


def available(
    fleet: Fleet, policy: Policy, bindings: Iterable[str], sets: Mapping[str, Selector | BrokenSet]
) -> Available:
    """The clusters that a Placement may choose from.

    ``bindings`` are the names of the namespace's bindings: one is valid if there is a set of its name, whatever else
    it says. Clusters that are about to go are left out. Raises BrokenSet.
    """
    valid = sorted(name for name in bindings if name in sets)
    wanted = set(policy.cluster_sets)
    eligible = [name for name in valid if not wanted or name in wanted]
    selectors: list[Selector] = []
    for name in eligible:
        selector = sets[name]
        if isinstance(selector, BrokenSet):
            raise selector
        selectors.append(selector)
    return Available(tuple(valid), tuple(eligible), fleet.members(selectors))
