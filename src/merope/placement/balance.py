"""How often each cluster has been chosen, over all PlacementDecisions, kept by differences.

A Placement's own decisions don't count for it. While its new ones are being written, what they will be counts instead
of what is still there, so that Placements that are scheduled one after the other don't all choose the same clusters.
"""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from typing import TypeAlias

import numpy as np

from merope.placement.fleet import NOWHERE, Fleet, Ints

#: Namespace and name of a Placement; the name is "" for decisions that name none.
Owner: TypeAlias = tuple[str, str]


class Tally:
    """The counts, by ordinal of the fleet."""

    def __init__(self, fleet: Fleet) -> None:
        self._fleet = fleet
        self._total: Ints = np.zeros(fleet.room, dtype=np.int64)
        self._decisions: dict[Hashable, tuple[Owner, Ints]] = {}
        self._of: dict[Owner, dict[Hashable, None]] = {}
        self._pending: dict[Owner, Ints] = {}

    def put(self, decision: Hashable, owner: Owner, clusters: Sequence[str]) -> None:
        """A PlacementDecision names these clusters."""
        self.remove(decision)
        ordinals = self._fleet.ordinals(clusters)
        self._decisions[decision] = (owner, ordinals)
        self._of.setdefault(owner, {})[decision] = None
        if owner not in self._pending:
            self._add(ordinals, 1)

    def remove(self, decision: Hashable) -> None:
        """A PlacementDecision is gone."""
        owner, ordinals = self._decisions.pop(decision, (("", ""), NOWHERE))
        decisions = self._of.get(owner)
        if decisions is None or decision not in decisions:
            return
        del decisions[decision]
        if not decisions:
            del self._of[owner]
        if owner not in self._pending:
            self._add(ordinals, -1)

    def own(self, owner: Owner) -> Ints:
        """The ordinals that a Placement's decisions name; one that they name twice is there twice."""
        found = [self._decisions[decision][1] for decision in self._of.get(owner, ())]
        return np.concatenate(found) if found else NOWHERE

    def others(self, owner: Owner) -> Ints:
        """How often each cluster is named by decisions that aren't this Placement's: one number an ordinal.

        Not to be changed, and not to be kept: it may be the tally itself.
        """
        self._fit()
        own = self._pending[owner] if owner in self._pending else self.own(owner)
        if not len(own):
            return self._total
        others = self._total.copy()
        np.subtract.at(others, own, 1)
        return others

    def begin(self, owner: Owner, chosen: Ints) -> None:
        """From now on a Placement counts as having chosen these, until `end`."""
        self.end(owner)
        self._add(self.own(owner), -1)
        self._add(chosen, 1)
        self._pending[owner] = chosen

    def pending(self, owner: Owner) -> bool:
        """Whether a Placement's new decisions are being written."""
        return owner in self._pending

    def end(self, owner: Owner) -> None:
        """From now on what a Placement's decisions say counts again."""
        chosen = self._pending.pop(owner, None)
        if chosen is not None:
            self._add(chosen, -1)
            self._add(self.own(owner), 1)

    def _add(self, ordinals: Ints, by: int) -> None:
        self._fit()
        np.add.at(self._total, ordinals, by)

    def _fit(self) -> None:
        if len(self._total) < self._fleet.room:
            longer = np.zeros(self._fleet.room, dtype=np.int64)
            longer[: len(self._total)] = self._total
            self._total = longer
