"""Cluster sets: how many clusters they hold, the two sets that always exist, and bindings to namespaces."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Final

from merope.api.cluster.v1 import ManagedCluster
from merope.api.cluster.v1beta2 import ManagedClusterSet, ManagedClusterSetBinding
from merope.kube import (
    AlreadyExists,
    Change,
    Client,
    Informer,
    ObjectKey,
    Snapshot,
    TerminalError,
    set_condition,
    write,
)
from merope.lang.selectors import NOTHING, Selector
from merope.sdk.clustersets import CLUSTER_SET_LABEL, is_exclusive, set_selector

Manifest = dict[str, Any]

AUTOUPDATE: Final = "cluster.open-cluster-management.io/autoupdate"
#: The sets that the hub keeps, with the selectors they have.
KEPT_SETS: Final[Mapping[str, Manifest]] = {
    "default": {"selectorType": "ExclusiveClusterSetLabel"},
    "global": {"selectorType": "LabelSelector", "labelSelector": {}},
}
KEPT_SETS_SECONDS: Final = 10.0


class ClusterSets:
    """The sets of the hub with their selectors, and which of them a cluster is in."""

    def __init__(self, sets: Informer[ManagedClusterSet], clusters: Informer[ManagedCluster]) -> None:
        """``clusters`` needs the index ``set``: the value of the exclusive label."""
        self._sets = sets
        self._clusters = clusters
        self._selectors: dict[str, Selector | None] = {}
        sets.add_handler(self._compile)

    def _compile(self, change: Change[ManagedClusterSet]) -> None:
        """Selectors are made once a set changes: they are asked for each cluster that comes or changes its labels."""
        name = change.current.name
        if change.new is None:
            self._selectors.pop(name, None)
            return
        spec = change.new.raw.get("spec")
        try:
            self._selectors[name] = None if is_exclusive(spec) else set_selector(name, spec)
        except ValueError:
            self._selectors[name] = NOTHING

    def members(self, cluster_set: Snapshot[ManagedClusterSet]) -> list[Snapshot[ManagedCluster]]:
        """The clusters of a set. Raises ValueError for a selector that cannot be understood."""
        spec = cluster_set.raw.get("spec")
        selector = set_selector(cluster_set.name, spec)
        if is_exclusive(spec):
            return list(self._clusters.by_index("set", cluster_set.name))
        clusters = self._clusters.list()
        return clusters if selector.empty else [each for each in clusters if selector.matches(each.labels)]

    def of(self, labels: Mapping[str, str]) -> Iterable[str]:
        """The names of the sets that select ``labels``; sets that cannot be evaluated are left out."""
        exclusive = labels.get(CLUSTER_SET_LABEL)
        for name, selector in self._selectors.items():
            if name == exclusive if selector is None else selector.matches(labels):
                yield name

    def touched(self, change: Change[ManagedCluster]) -> Iterable[str]:
        """The sets whose membership a change of a cluster alters."""
        if change.old is not None and change.new is not None and change.old.labels == change.new.labels:
            return ()
        before = set(self.of(change.old.labels)) if change.old is not None else set()
        after = set(self.of(change.new.labels)) if change.new is not None else set()
        return before ^ after


def by_set_label(cluster: Snapshot[ManagedCluster]) -> Iterable[str]:
    """Index function of clusters: the value of the exclusive label."""
    value = cluster.labels.get(CLUSTER_SET_LABEL)
    return (value,) if value else ()


class ClusterSetReconciler:
    """Says of one set, by name, whether it is empty and how many clusters it holds."""

    def __init__(self, client: Client, sets: Informer[ManagedClusterSet], members: ClusterSets) -> None:
        self._client = client
        self._sets = sets
        self._members = members

    async def reconcile(self, name: str) -> float | None:
        cluster_set = self._sets.get(name)
        if cluster_set is None or cluster_set.deleting:
            return None
        try:
            count = len(self._members.members(cluster_set))
        except ValueError as error:
            raise TerminalError(f"ManagedClusterSet {name}: {error}") from error

        def change(raw: Manifest) -> None:
            conditions = raw.setdefault("status", {}).setdefault("conditions", [])
            if count:
                message = f"{count} ManagedClusters selected"
                set_condition(conditions, "ClusterSetEmpty", "False", "ClustersSelected", message)
            else:
                set_condition(conditions, "ClusterSetEmpty", "True", "NoClusterMatched", "No ManagedCluster selected")

        await write(self._client, ManagedClusterSet, cluster_set, change, subresource="status")
        return None


class KeptSetReconciler:
    """Keeps the sets ``default`` and ``global``: creates them, and takes back changes of their selectors."""

    def __init__(self, client: Client, sets: Informer[ManagedClusterSet]) -> None:
        self._client = client
        self._sets = sets

    async def reconcile(self, name: str) -> float | None:
        selector = KEPT_SETS[name]
        found = self._sets.get(name)
        if found is None:
            wanted = {"metadata": {"name": name}, "spec": {"clusterSelector": dict(selector)}}
            try:
                await self._client.create(ManagedClusterSet, wanted)
            except AlreadyExists:
                pass
            return None
        if found.deleting or found.annotations.get(AUTOUPDATE) == "false":
            return None
        raw = found.raw
        spec = raw.setdefault("spec", {})
        if spec.get("clusterSelector") != selector:
            await self._client.update(ManagedClusterSet, {**raw, "spec": {**spec, "clusterSelector": dict(selector)}})
        return None


class BindingReconciler:
    """Says of one binding whether its set exists."""

    def __init__(
        self,
        client: Client,
        bindings: Informer[ManagedClusterSetBinding],
        sets: Informer[ManagedClusterSet],
    ) -> None:
        self._client = client
        self._bindings = bindings
        self._sets = sets

    async def reconcile(self, key: ObjectKey) -> float | None:
        binding = self._bindings.get(key.name, key.namespace)
        if binding is None or binding.deleting:
            return None
        bound = self._sets.get(set_of(binding)) is not None

        def change(raw: Manifest) -> None:
            conditions = raw.setdefault("status", {}).setdefault("conditions", [])
            if bound:
                set_condition(conditions, "Bound", "True", "ClusterSetBound")
            else:
                set_condition(conditions, "Bound", "False", "ClusterSetNotFound")

        await write(self._client, ManagedClusterSetBinding, binding, change, subresource="status")
        return None


def set_of(binding: Snapshot[ManagedClusterSetBinding]) -> str:
    """The name of the set that a binding binds."""
    return str((binding.raw.get("spec") or {}).get("clusterSet", ""))
