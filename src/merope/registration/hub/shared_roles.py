"""The two ClusterRoles that the agents of all clusters share: there as long as any ManagedCluster is."""

from __future__ import annotations

from typing import Any

from merope.api.cluster.v1 import ManagedCluster
from merope.kube import Client, Informer
from merope.registration import cluster_rbac
from merope.sdk import rbac


class SharedRolesReconciler:
    """Reconciles both roles at once; the key is without meaning."""

    def __init__(
        self, client: Client, clusters: Informer[ManagedCluster], cluster_roles: Informer[dict[str, Any]]
    ) -> None:
        self._client = client
        self._clusters = clusters
        self._cluster_roles = cluster_roles

    async def reconcile(self, key: str) -> float | None:
        any_cluster = bool(self._clusters.list())
        for wanted in cluster_rbac.shared_roles():
            cached = self._cluster_roles.get(wanted["metadata"]["name"])
            if any_cluster:
                await rbac.ensure(self._client, cached, wanted)
            elif cached is not None:
                await rbac.remove(self._client, "ClusterRole", wanted["metadata"]["name"])
        return None
