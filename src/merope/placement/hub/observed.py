"""What the placement controller knows of the hub, and which Placements a change concerns.

Handlers of informers keep the columns and the tally of decisions; each says which Placements read what changed, so
that a cluster's heartbeat wakes nobody and a new label only those who ask for labels. They run on the event loop,
between the scheduler's steps, never within one.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Container, Iterable, Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Final, NamedTuple

from merope.api.cluster.v1 import ManagedCluster
from merope.api.cluster.v1alpha1 import AddOnPlacementScore
from merope.api.cluster.v1beta1 import Placement, PlacementDecision
from merope.api.cluster.v1beta2 import ManagedClusterSet, ManagedClusterSetBinding
from merope.kube import Change, Informer, Manager, ObjectKey, Snapshot, metadata_or_generation_changed
from merope.lang.selectors import Selector
from merope.placement.balance import Owner, Tally
from merope.placement.fleet import Fleet, Scores, read_cluster, read_scores
from merope.placement.policy import Aspect, Policy, read_policy
from merope.placement.sets import Available, BrokenSet, available, selector_of
from merope.sdk.decisions import DISABLE_ANNOTATION, PLACEMENT_LABEL, decided_clusters

#: The key that stands for "see whom the changes concern".
SWEEP: Final = ObjectKey("", "")
_BY_SET = "set"
_BY_PLACEMENT = "placement"


class Decided(NamedTuple):
    """What is kept of a PlacementDecision. ``plain`` is whether its entries say no more than the clusters' names."""

    clusters: tuple[str, ...]
    plain: bool


def decided(decision: Snapshot[PlacementDecision]) -> Decided:
    """Projection: the names of clusters are shared between decisions, there may be ten million of them."""
    raw = decision.raw
    entries = (raw.get("status") or {}).get("decisions") or ()
    plain = all(not entry.get("reason") and not entry.get("score") for entry in entries)
    return Decided(tuple(map(sys.intern, decided_clusters(raw))), plain)


def scored(score: Snapshot[AddOnPlacementScore]) -> Scores:
    """Projection of an AddOnPlacementScore."""
    return read_scores(score.raw)


def _sets_of_binding(binding: Snapshot[ManagedClusterSetBinding]) -> Iterable[str]:
    # Scheduling goes by the binding's name; where nothing enforces that it is the set's, both lead to it.
    spec = binding.value.spec
    return {binding.name, spec.cluster_set or binding.name} if spec else {binding.name}


def _placement_of_decision(decision: Snapshot[Decided]) -> Iterable[Owner]:
    return [owner_of(decision)]


def owner_of(decision: Snapshot[Decided]) -> Owner:
    """The Placement that a decision's label names (the name is ``""`` where there is none)."""
    return decision.namespace, decision.labels.get(PLACEMENT_LABEL, "")


@dataclass(slots=True)
class _Dirt:
    """What has changed of the clusters that a binding leads to: aspects, and names of scores."""

    bits: int = 0
    resources: set[str] = field(default_factory=set)

    def concerns(self, policy: Policy) -> bool:
        """Whether a Placement with this policy looks at any of it."""
        if self.bits & policy.reads.value:
            return True
        if policy.score_resources is None:
            return bool(self.resources)
        return not self.resources.isdisjoint(policy.score_resources)


class Observed:
    """The caches, and what is computed from them.

    ``wake`` is called with the Placements that a change concerns; with SWEEP where that is still to be found out, by
    `sweep`: changes come in droves, and asking all Placements after each of them would take longer than they take.
    """

    def __init__(self, manager: Manager, wake: Callable[[ObjectKey], None]) -> None:
        self.fleet = Fleet()
        self.tally = Tally(self.fleet)
        self.placements: Informer[Placement] = manager.informer(Placement)
        self.decisions: Informer[Decided] = manager.informer(
            PlacementDecision, projection=decided, indexes={_BY_PLACEMENT: _placement_of_decision}
        )
        self._clusters = manager.informer(ManagedCluster)
        self._sets = manager.informer(ManagedClusterSet)
        self._bindings = manager.informer(ManagedClusterSetBinding, indexes={_BY_SET: _sets_of_binding})
        self._scores: Informer[Scores] = manager.informer(AddOnPlacementScore, projection=scored)
        self._wake = wake
        self._policies: dict[ObjectKey, tuple[str, int, Policy]] = {}
        self._selectors: dict[str, Selector | BrokenSet] = {}
        self._whole_readers: set[ObjectKey] = set()
        self._dirty: dict[str, dict[str, _Dirt]] = {}
        # Sets come first: their members are asked for by the handlers that follow.
        self._sets.add_handler(self._set_changed)
        self._bindings.add_handler(self._binding_changed)
        self._clusters.add_handler(self._cluster_changed)
        self._scores.add_handler(self._scores_changed)
        self.decisions.add_handler(self._decision_changed)
        self.placements.add_handler(self._placement_changed)

    @property
    def informers(self) -> tuple[Informer[Any], ...]:
        """All that must be complete before anything is decided."""
        return self.placements, self.decisions, self._clusters, self._sets, self._bindings, self._scores

    def policy(self, placement: Snapshot[Placement]) -> Policy:
        """What a Placement asks for."""
        known = self._policies.get(placement.key)
        if known is not None and known[:2] == (placement.uid, placement.generation):
            return known[2]
        policy = read_policy(placement.raw.get("spec") or {})
        self._policies[placement.key] = (placement.uid, placement.generation, policy)
        if policy.reads & Aspect.WHOLE:
            self._whole_readers.add(placement.key)
        else:
            self._whole_readers.discard(placement.key)
        return policy

    def available(self, namespace: str, policy: Policy) -> Available:
        """The bound sets and their clusters. Raises BrokenSet."""
        bindings = [binding.name for binding in self._bindings.list(namespace=namespace)]
        return available(self.fleet, policy, bindings, self._selectors)

    def decisions_of(self, placement: Snapshot[Placement]) -> Mapping[str, Snapshot[Decided]]:
        """The decisions that carry a Placement's label, by name."""
        found = self.decisions.by_index(_BY_PLACEMENT, (placement.namespace, placement.name))
        return {decision.name: decision for decision in found}

    # --- changes ---------------------------------------------------------------------------------------------------

    def _placement_changed(self, change: Change[Placement]) -> None:
        if change.new is None:
            self._policies.pop(change.key, None)
            self._whole_readers.discard(change.key)
        elif not metadata_or_generation_changed(change) and self.tally.pending(change.key):
            return  # the status that we are just writing
        self._wake(change.key)

    def _decision_changed(self, change: Change[Decided]) -> None:
        if change.new is None:
            self.tally.remove(change.key)
        else:
            self.tally.put(change.key, owner_of(change.new), change.new.value.clusters)
        for state in change.states:
            key = ObjectKey(*owner_of(state))
            if key.name and not self._restless(key):
                self._wake(key)

    def _restless(self, key: ObjectKey) -> bool:
        """Whether a Placement wants other clusters as soon as it has some, and has just been given some.

        It gets them at the next change of something else; its own decisions would keep it going for ever.
        """
        placement = self.placements.get(key.name, key.namespace)
        return placement is not None and self.tally.pending(key) and self.policy(placement).restless

    def _set_changed(self, change: Change[ManagedClusterSet]) -> None:
        name = change.key.name
        before = self._selectors.get(name)
        if change.new is None:
            self._selectors.pop(name, None)
            after = None
        else:
            after = self._selectors[name] = selector_of(name, change.new.raw.get("spec"))
        if before != after:
            self._mark([name], ~Aspect.NONE)

    def _binding_changed(self, change: Change[ManagedClusterSetBinding]) -> None:
        if change.old is not None and change.new is not None:
            return  # scheduling asks for nothing but a binding's existence
        self._mark_binding(change.key, ~Aspect.NONE)

    def _cluster_changed(self, change: Change[ManagedCluster]) -> None:
        name = change.key.name
        before = self.fleet.cluster(name)
        if change.new is None:
            self.fleet.remove(name)
            changed = ~Aspect.NONE
        else:
            changed = self.fleet.put(read_cluster(change.new.raw, partial(_manifest, change.new)))
        if not changed & ~Aspect.WHOLE and not self._whole_readers:
            return
        after = self.fleet.cluster(name)
        old_sets = self._sets_of(before.labels) if before is not None else set()
        new_sets = self._sets_of(after.labels) if after is not None else set()
        self._mark(old_sets ^ new_sets, ~Aspect.NONE)
        self._mark(old_sets & new_sets, changed)

    def _scores_changed(self, change: Change[Scores]) -> None:
        cluster, resource = change.key
        new = change.new.value if change.new is not None else None
        self.fleet.put_scores(cluster, resource, new)
        known = self.fleet.cluster(cluster)
        if known is not None and new != (change.old.value if change.old is not None else None):
            self._mark(self._sets_of(known.labels), Aspect.NONE, resource)

    # --- whom it concerns ------------------------------------------------------------------------------------------

    def sweep(self, awake: Container[ObjectKey] = ()) -> None:
        """Wake the Placements that look at what has changed since the last time, but for those that are ``awake``."""
        dirty, self._dirty = self._dirty, {}
        for namespace, bindings in dirty.items():
            everything = _Dirt()
            for dirt in bindings.values():
                everything.bits |= dirt.bits
                everything.resources |= dirt.resources
            for placement in self.placements.list(namespace=namespace):
                policy = self.policy(placement)
                if not policy.cluster_sets:
                    concerned = everything.concerns(policy)
                else:
                    found = (bindings.get(name) for name in policy.cluster_sets)
                    concerned = any(dirt.concerns(policy) for dirt in found if dirt is not None)
                if concerned and placement.key not in awake:
                    self._wake(placement.key)

    def _mark(self, sets: Iterable[str], changed: Aspect, resource: str = "") -> None:
        """Something of the clusters of these sets has changed."""
        for name in sets:
            for key in self._bindings.cache.index_keys(_BY_SET, name):
                self._mark_binding(key, changed, resource)

    def _mark_binding(self, binding: ObjectKey, changed: Aspect, resource: str = "") -> None:
        dirt = self._dirty.setdefault(binding.namespace, {}).setdefault(binding.name, _Dirt())
        dirt.bits |= changed.value
        if resource:
            dirt.resources.add(resource)
        self._wake(SWEEP)

    def _sets_of(self, labels: Mapping[str, str]) -> set[str]:
        return {
            name
            for name, selector in self._selectors.items()
            if isinstance(selector, Selector) and selector.matches(labels)
        }


def schedulable(placement: Snapshot[Placement] | None) -> bool:
    """Whether this controller decides for a Placement: it stays, and nobody else does."""
    return placement is not None and not placement.deleting and placement.annotations.get(DISABLE_ANNOTATION) != "true"


def _manifest(cluster: Snapshot[ManagedCluster]) -> Mapping[str, Any]:
    return cluster.raw
