"""Namespaces that cluster sets ask for on their clusters: which of them each cluster shall hold."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from merope.api.cluster.v1 import ManagedCluster
from merope.api.cluster.v1beta2 import ManagedClusterSet
from merope.kube import Informer, Snapshot, StatusWriter
from merope.registration.hub.cluster_sets import ClusterSets

Manifest = dict[str, Any]


def wanted_namespaces(
    sets: Iterable[tuple[str, Mapping[str, Any]]], before: Sequence[Mapping[str, Any]]
) -> list[Manifest]:
    """The entries of a cluster's status for the sets (name and spec) that it is in, sorted by set and name.

    Conditions that the agent wrote stay with their entries.
    """
    known = {(each.get("clusterSet"), each.get("name")): each for each in before}
    wanted = {(name, namespace["name"]) for name, spec in sets for namespace in spec.get("managedNamespaces") or ()}
    return [
        dict(known.get((cluster_set, name)) or {"clusterSet": cluster_set, "name": name})
        for cluster_set, name in sorted(wanted)
    ]


class ManagedNamespaceReconciler:
    """Reconciles the entries of one cluster by name."""

    def __init__(
        self,
        clusters: Informer[ManagedCluster],
        sets: Informer[ManagedClusterSet],
        members: ClusterSets,
        status: StatusWriter[ManagedCluster],
    ) -> None:
        self._clusters = clusters
        self._sets = sets
        self._members = members
        self._status = status

    async def reconcile(self, name: str) -> float | None:
        cluster = self._clusters.get(name)
        if cluster is None or cluster.deleting:
            return None
        found = [self._sets.get(each) for each in self._members.of(cluster.labels)]
        sets = [(each.name, each.raw.get("spec") or {}) for each in found if each is not None and not each.deleting]

        def change(raw: Manifest) -> None:
            status = raw.setdefault("status", {})
            before = status.get("managedNamespaces") or []
            after = wanted_namespaces(sets, before)
            if after != before:
                status["managedNamespaces"] = after or None

        await self._status.write(cluster, change)
        return None

    def affected(self, cluster_set: Snapshot[ManagedClusterSet]) -> Iterable[str]:
        """The clusters that a change of a set may concern: its members, and those whose status mentions it."""
        if not _asks_for_namespaces(cluster_set):
            return [each.name for each in self._clusters.list() if _mentions(each, cluster_set.name)]
        names = {each.name for each in self._clusters.list() if _mentions(each, cluster_set.name)}
        with contextlib.suppress(ValueError):  # a selector that cannot be understood selects nothing
            names.update(each.name for each in self._members.members(cluster_set))
        return names


def _asks_for_namespaces(cluster_set: Snapshot[ManagedClusterSet]) -> bool:
    return bool((cluster_set.raw.get("spec") or {}).get("managedNamespaces"))


def _mentions(cluster: Snapshot[ManagedCluster], cluster_set: str) -> bool:
    if b"managedNamespaces" not in cluster.data:
        return False
    entries = (cluster.raw.get("status") or {}).get("managedNamespaces") or ()
    return any(entry.get("clusterSet") == cluster_set for entry in entries)
