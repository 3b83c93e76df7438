"""What the placement controller knows of the hub, and which Placements a change concerns.

Handlers of informers keep the columns and the tally of decisions; each says which Placements read what changed, so
that a cluster's heartbeat wakes nobody and a new label only those who ask for labels. They run on the event loop,
between the scheduler's steps, never within one.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any, NamedTuple

import numpy as np

from merope.api.cluster.v1 import ManagedCluster
from merope.api.cluster.v1alpha1 import AddOnPlacementScore
from merope.api.cluster.v1beta1 import Placement, PlacementDecision
from merope.api.cluster.v1beta2 import ManagedClusterSet, ManagedClusterSetBinding
from merope.kube import Change, Informer, Manager, ObjectKey, Snapshot
from merope.lang.selectors import NOTHING, Selector, SelectorError
from merope.placement.balance import Owner, Tally
from merope.placement.fleet import NOWHERE, Fleet, Ints, Scores, read_cluster, read_scores
from merope.placement.policy import Aspect, Policy, read_policy
from merope.sdk.clustersets import UnknownSelectorType, is_exclusive, set_selector
from merope.sdk.decisions import DISABLE_ANNOTATION, PLACEMENT_LABEL, decided_clusters

_BY_SET = "set"
_BY_PLACEMENT = "placement"


class BrokenSet(Exception):
    """A bound set whose members cannot be told; nothing is decided until it is repaired."""


class Decided(NamedTuple):
    """What is kept of a PlacementDecision. ``plain`` is whether its entries say no more than the clusters' names."""

    clusters: tuple[str, ...]
    plain: bool


@dataclass(frozen=True, slots=True)
class Available:
    """The sets that a Placement may use, and their clusters."""

    bindings: tuple[str, ...]
    eligible: tuple[str, ...]
    clusters: Ints


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


class Observed:
    """The caches, and what is computed from them. ``wake`` is called with the Placements that a change concerns."""

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
        bindings = sorted(
            binding.name for binding in self._bindings.list(namespace=namespace) if binding.name in self._selectors
        )
        wanted = set(policy.cluster_sets)
        eligible = [name for name in bindings if not wanted or name in wanted]
        members = np.zeros(self.fleet.room, dtype=np.bool_)
        for name in eligible:
            selector = self._selectors[name]
            if isinstance(selector, BrokenSet):
                raise selector
            if not selector.nothing:
                members |= self.fleet.bits(self.fleet.labelled(selector))
        clusters = np.flatnonzero(members & self.fleet.alive) if eligible else NOWHERE
        return Available(tuple(bindings), tuple(eligible), clusters)

    def decisions_of(self, placement: Snapshot[Placement]) -> Mapping[str, Snapshot[Decided]]:
        """The decisions that carry a Placement's label, by name."""
        found = self.decisions.by_index(_BY_PLACEMENT, (placement.namespace, placement.name))
        return {decision.name: decision for decision in found}

    # --- changes ---------------------------------------------------------------------------------------------------

    def _placement_changed(self, change: Change[Placement]) -> None:
        if change.new is None:
            self._policies.pop(change.key, None)
            self._whole_readers.discard(change.key)
        self._wake(change.key)

    def _decision_changed(self, change: Change[Decided]) -> None:
        if change.new is None:
            self.tally.remove(change.key)
        else:
            self.tally.put(change.key, owner_of(change.new), change.new.value.clusters)
        for state in change.states:
            namespace, placement = owner_of(state)
            if placement:
                self._wake(ObjectKey(namespace, placement))

    def _set_changed(self, change: Change[ManagedClusterSet]) -> None:
        name = change.key.name
        before = self._selectors.get(name)
        if change.new is None:
            self._selectors.pop(name, None)
            after = None
        else:
            after = self._selectors[name] = _selector_of(change.new)
        if before == after:
            return
        for namespace, bound in self._namespaces_of([name]).items():
            for key, _ in self._reading(namespace, bound, ~Aspect.NONE):
                self._wake(key)

    def _binding_changed(self, change: Change[ManagedClusterSetBinding]) -> None:
        if change.old is not None and change.new is not None:
            return  # scheduling asks for nothing but a binding's existence
        for key, _ in self._reading(change.key.namespace, {change.key.name}, ~Aspect.NONE):
            self._wake(key)

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
        for namespace, bound in self._namespaces_of(old_sets ^ new_sets).items():
            for key, _ in self._reading(namespace, bound, ~Aspect.NONE):
                self._wake(key)
        for namespace, bound in self._namespaces_of(old_sets & new_sets).items():
            for key, _ in self._reading(namespace, bound, changed):
                self._wake(key)

    def _scores_changed(self, change: Change[Scores]) -> None:
        cluster, resource = change.key
        new = change.new.value if change.new is not None else None
        self.fleet.put_scores(cluster, resource, new)
        if new == (change.old.value if change.old is not None else None):
            return
        known = self.fleet.cluster(cluster)
        if known is None:
            return
        for namespace, bound in self._namespaces_of(self._sets_of(known.labels)).items():
            for key, policy in self._reading(namespace, bound, ~Aspect.NONE):
                if policy.score_resources is None or resource in policy.score_resources:
                    self._wake(key)

    def _sets_of(self, labels: Mapping[str, str]) -> set[str]:
        return {
            name
            for name, selector in self._selectors.items()
            if isinstance(selector, Selector) and selector.matches(labels)
        }

    def _namespaces_of(self, sets: Iterable[str]) -> Mapping[str, set[str]]:
        """The namespaces that sets are bound to, each with the names of its bindings of them."""
        found: dict[str, set[str]] = {}
        for name in sets:
            for namespace, binding in self._bindings.cache.index_keys(_BY_SET, name):
                found.setdefault(namespace, set()).add(binding)
        return found

    def _reading(self, namespace: str, bindings: set[str], changed: Aspect) -> Iterator[tuple[ObjectKey, Policy]]:
        """The Placements there that may use one of these bindings and look at what changed."""
        for placement in self.placements.list(namespace=namespace):
            policy = self.policy(placement)
            if not policy.reads & changed:
                continue
            if not policy.cluster_sets or not bindings.isdisjoint(policy.cluster_sets):
                yield placement.key, policy


def schedulable(placement: Snapshot[Placement] | None) -> bool:
    """Whether this controller decides for a Placement: it stays, and nobody else does."""
    return placement is not None and not placement.deleting and placement.annotations.get(DISABLE_ANNOTATION) != "true"


def _selector_of(cluster_set: Snapshot[ManagedClusterSet]) -> Selector | BrokenSet:
    name, spec = cluster_set.name, cluster_set.raw.get("spec")
    try:
        return set_selector(name, spec)
    except UnknownSelectorType:
        kind = spec["clusterSelector"]["selectorType"] if spec else ""
        problem = f"selectorType is not right: {kind}"
    except SelectorError as error:
        if is_exclusive(spec):
            return NOTHING  # a name that is no label value: no cluster can carry it
        problem = str(error)
    return BrokenSet(f'failed to get clusters from ClusterSet "{name}": {problem}')


def _manifest(cluster: Snapshot[ManagedCluster]) -> Mapping[str, Any]:
    return cluster.raw
