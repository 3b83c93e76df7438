"""Acceptance: a ManagedCluster that the hub accepts gets its namespace and permissions; one that is denied loses them.

Nothing is granted before ``spec.hubAcceptsClient`` is true. The cluster's namespace is never deleted here, and a work
agent keeps its permission until it has finished its works.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from merope.api.cluster.v1 import HUB_ACCEPTED, ManagedCluster
from merope.api.work.v1 import ManifestWork
from merope.kube import (
    CORE,
    AlreadyExists,
    Client,
    Informer,
    KubeError,
    Snapshot,
    StatusWriter,
    add_finalizer,
    is_condition_true,
    remove_finalizer,
    set_condition,
    write,
)
from merope.registration import cluster_rbac
from merope.sdk import rbac

Manifest = dict[str, Any]

FINALIZER: Final = "cluster.open-cluster-management.io/api-resource-cleanup"
#: Seconds after which remaining works are looked for again.
WORKS_LEFT_SECONDS: Final = 5.0


class ManagedClusterReconciler:
    """Reconciles one cluster by name."""

    def __init__(
        self,
        client: Client,
        clusters: Informer[ManagedCluster],
        rbac_objects: Mapping[str, Informer[Manifest]],
        status: StatusWriter[ManagedCluster],
        labels: Mapping[str, str],
    ) -> None:
        """``rbac_objects`` are informers of the clusters' RBAC objects by kind; ``labels`` go on every namespace."""
        self._client = client
        self._clusters = clusters
        self._rbac = rbac_objects
        self._status = status
        self._labels = dict(labels)

    async def reconcile(self, name: str) -> float | None:
        cluster = self._clusters.get(name)
        refused = cluster_rbac.refusal(name)
        if cluster is None:
            return await self._withdraw(name) if refused is None else None
        if refused is not None:
            await self._refuse(cluster, refused)
            return None
        if cluster.deleting:
            again = await self._withdraw(name)
            if again is None:
                await self._set_finalizer(cluster, present=False)
            return again
        if (cluster.raw.get("spec") or {}).get("hubAcceptsClient"):
            await self._accept(cluster)
            return None
        if self._was_accepted(cluster):
            return await self._deny(cluster)
        return None

    async def _refuse(self, cluster: Snapshot[ManagedCluster], why: str) -> None:
        if cluster.deleting:
            await self._set_finalizer(cluster, present=False)
        elif (cluster.raw.get("spec") or {}).get("hubAcceptsClient"):
            await self._say_accepted(cluster, "False", "Error", why)

    # --- accepted ------------------------------------------------------------------------------------------------

    async def _accept(self, cluster: Snapshot[ManagedCluster]) -> None:
        try:
            await self._ensure_namespace(cluster.name)
            cluster = await self._set_finalizer(cluster, present=True)
            if cluster.deleting:
                return  # since we looked; its change calls us again
            await self._ensure(cluster_rbac.cluster_role(cluster.name, accepted=True))
            await self._ensure(cluster_rbac.cluster_role_binding(cluster.name))
            for binding in cluster_rbac.role_bindings(cluster.name):
                await self._ensure(binding)
        except KubeError as error:
            await self._say_accepted(cluster, "False", "Error", str(error))
            raise
        await self._say_accepted(cluster, "True", "HubClusterAdminAccepted", "Accepted by hub cluster admin")

    async def _ensure_namespace(self, name: str) -> None:
        ref = CORE["Namespace"]
        wanted = {cluster_rbac.CLUSTER_NAME_LABEL: name, **self._labels}
        cached = self._rbac["Namespace"].get(name)
        if cached is not None and all(cached.labels.get(key) == value for key, value in wanted.items()):
            return
        if cached is None:
            try:
                await self._client.create(ref, {"metadata": {"name": name, "labels": wanted}})
            except AlreadyExists:
                cached = await self._client.fetch(ref, name)
            else:
                return

        def label(raw: Manifest) -> None:
            raw["metadata"].setdefault("labels", {}).update(wanted)

        await self._update(cached, label)

    async def _update(self, namespace: Snapshot[Manifest], change: Any) -> None:
        """By PUT: the hub's role has no ``patch`` on namespaces."""
        raw = namespace.raw
        before = namespace.raw
        change(raw)
        if raw != before:
            await self._client.update(CORE["Namespace"], raw)

    # --- denied or gone ------------------------------------------------------------------------------------------

    def _was_accepted(self, cluster: Snapshot[ManagedCluster]) -> bool:
        """Whether a cluster that is not accepted has, or is said to have, more than a denied one may keep.

        The condition alone would not do: the agent may write it, and a hub that was ended halfway through acceptance
        never did.
        """
        if is_condition_true((cluster.raw.get("status") or {}).get("conditions"), HUB_ACCEPTED):
            return True
        name = cluster.name
        names = (cluster_rbac.registration_binding_name(name), cluster_rbac.work_binding_name(name))
        if any(self._rbac["RoleBinding"].get(each, name) is not None for each in names):
            return True
        role = self._rbac["ClusterRole"].get(cluster_rbac.role_name(name))
        return role is not None and role.raw.get("rules") != cluster_rbac.cluster_role(name, accepted=False)["rules"]

    async def _deny(self, cluster: Snapshot[ManagedCluster]) -> float | None:
        await self._ensure(cluster_rbac.cluster_role(cluster.name, accepted=False))
        await self._ensure(cluster_rbac.cluster_role_binding(cluster.name))
        again = await self._remove_role_bindings(cluster.name)
        if again is not None:
            return again
        await self._say_accepted(cluster, "False", "HubClusterAdminDenied", "Denied by hub cluster admin")
        return None

    async def _withdraw(self, name: str) -> float | None:
        for kind in ("ClusterRole", "ClusterRoleBinding"):
            if self._rbac[kind].get(cluster_rbac.role_name(name)) is not None:
                await rbac.remove(self._client, kind, cluster_rbac.role_name(name))
        return await self._remove_role_bindings(name)

    async def _remove_role_bindings(self, name: str) -> float | None:
        bindings = self._rbac["RoleBinding"]
        for binding in (cluster_rbac.registration_binding_name(name), cluster_rbac.work_binding_name(name)):
            found = bindings.get(binding, name)
            if found is not None and not found.deleting:
                await rbac.remove(self._client, "RoleBinding", binding, name)
        work = bindings.get(cluster_rbac.work_binding_name(name), name)
        if work is None or cluster_rbac.WORK_FINALIZER not in work.finalizers:
            return None
        left = await self._client.page(ManifestWork, name, limit=1)
        if left.items:
            return WORKS_LEFT_SECONDS

        def release(raw: Manifest) -> None:
            remove_finalizer(raw, cluster_rbac.WORK_FINALIZER)

        await write(self._client, CORE["RoleBinding"], work, release)
        return None

    # --- writes --------------------------------------------------------------------------------------------------

    async def _ensure(self, wanted: Manifest) -> None:
        metadata = wanted["metadata"]
        cached = self._rbac[wanted["kind"]].get(metadata["name"], metadata.get("namespace", ""))
        await rbac.ensure(self._client, cached, wanted)

    async def _set_finalizer(self, cluster: Snapshot[ManagedCluster], *, present: bool) -> Snapshot[ManagedCluster]:
        def change(raw: Manifest) -> None:
            if not present:
                remove_finalizer(raw, FINALIZER)
            elif not raw["metadata"].get("deletionTimestamp"):
                add_finalizer(raw, FINALIZER)

        return await write(self._client, ManagedCluster, cluster, change)

    async def _say_accepted(self, cluster: Snapshot[ManagedCluster], status: Any, reason: str, message: str) -> None:
        def change(raw: Manifest) -> None:
            conditions = raw.setdefault("status", {}).setdefault("conditions", [])
            set_condition(conditions, HUB_ACCEPTED, status, reason, message)

        await self._status.write(cluster, change)
