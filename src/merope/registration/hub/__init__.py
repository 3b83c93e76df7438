"""Registration controllers that run on the hub: acceptance, availability, cluster sets, approval, clean-up.

``setup`` adds them to a manager; each controller is one module named after what it reconciles. All status of a
ManagedCluster goes through one writer.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from merope.api.cluster.v1 import ManagedCluster
from merope.api.cluster.v1beta2 import ManagedClusterSet, ManagedClusterSetBinding
from merope.kube import (
    CORE,
    Change,
    Controller,
    Informer,
    Manager,
    ObjectKey,
    Snapshot,
    StatusWriter,
    generation_changed,
)
from merope.registration import cluster_rbac
from merope.registration.hub.cleanup import CleanupReconciler
from merope.registration.hub.cluster_sets import (
    KEPT_SETS,
    KEPT_SETS_SECONDS,
    BindingReconciler,
    ClusterSetReconciler,
    ClusterSets,
    KeptSetReconciler,
    by_set_label,
    set_of,
)
from merope.registration.hub.csr import ApprovalReconciler
from merope.registration.hub.lease import ClockReconciler, LeaseReconciler, renewed
from merope.registration.hub.managed_cluster import ManagedClusterReconciler
from merope.registration.hub.managed_namespaces import ManagedNamespaceReconciler
from merope.registration.hub.shared_roles import SharedRolesReconciler
from merope.registration.hub.taints import TaintReconciler

Manifest = dict[str, Any]

_RBAC_KINDS = ("ClusterRole", "ClusterRoleBinding", "RoleBinding")


@dataclass(frozen=True, slots=True)
class RegistrationHubOptions:
    """``auto_approved_users``: users whose first signing requests need no person (gate ManagedClusterAutoApproval).

    ``labels`` are put on every cluster's namespace. ``resource_cleanup`` and ``default_cluster_set`` are the gates
    of these names, on by default.
    """

    auto_approved_users: frozenset[str] = frozenset()
    labels: Mapping[str, str] = field(default_factory=dict)
    resource_cleanup: bool = True
    default_cluster_set: bool = True


def setup(manager: Manager, *, options: RegistrationHubOptions | None = None) -> None:
    """Add the informers and controllers of registration to ``manager``, whose client is the hub's."""
    chosen = options or RegistrationHubOptions()
    client = manager.client
    clusters = manager.informer(ManagedCluster, indexes={"set": by_set_label})
    status: StatusWriter[ManagedCluster] = StatusWriter(client, ManagedCluster)
    selector = cluster_rbac.CLUSTER_OBJECTS
    objects = {kind: manager.informer(CORE[kind], label_selector=selector) for kind in (*_RBAC_KINDS, "Namespace")}
    leases = manager.informer(CORE["Lease"], label_selector=selector)

    _acceptance(manager, clusters, objects, status, chosen)
    _availability(manager, clusters, leases, status)
    _approval(manager, chosen)
    _cluster_sets(manager, clusters, status, chosen)
    if chosen.resource_cleanup:
        cleanup = Controller("resource-cleanup", CleanupReconciler(client, clusters, status).reconcile)
        cleanup.watches(clusters, _own_name)
        manager.add(cleanup)


def _acceptance(
    manager: Manager,
    clusters: Informer[ManagedCluster],
    objects: Mapping[str, Informer[Manifest]],
    status: StatusWriter[ManagedCluster],
    options: RegistrationHubOptions,
) -> None:
    client = manager.client
    reconciler = ManagedClusterReconciler(client, clusters, objects, status, options.labels)
    acceptance = Controller("managed-cluster", reconciler.reconcile)
    acceptance.watches(clusters, _own_name)
    for kind in _RBAC_KINDS:
        acceptance.watches(objects[kind], _cluster_of)
    acceptance.needs(objects["Namespace"])
    manager.add(acceptance)

    shared = Controller(
        "shared-cluster-roles",
        SharedRolesReconciler(client, clusters, objects["ClusterRole"]).reconcile,
        workers=1,
    )
    shared.watches(clusters, lambda cluster: ("shared",), when=_came_or_went)
    names = (cluster_rbac.REGISTRATION_ROLE, cluster_rbac.WORK_ROLE)
    shared.watches(objects["ClusterRole"], lambda role: ("shared",) if role.name in names else ())
    manager.add(shared)

    taints = Controller("taint", TaintReconciler(client, clusters).reconcile)
    taints.watches(clusters, _own_name)
    manager.add(taints)


def _availability(
    manager: Manager,
    clusters: Informer[ManagedCluster],
    leases: Informer[Manifest],
    status: StatusWriter[ManagedCluster],
) -> None:
    recorder = manager.recorder("registration-controller")
    lease = Controller("lease", LeaseReconciler(manager.client, clusters, leases, status, recorder).reconcile)
    lease.watches(clusters, _own_name)
    lease.watches(leases, _cluster_of)
    manager.add(lease)

    clock = Controller("clock-sync", ClockReconciler(clusters, leases, status).reconcile)
    clock.watches(leases, _cluster_of, when=renewed)
    clock.needs(clusters)
    manager.add(clock)


def _approval(manager: Manager, options: RegistrationHubOptions) -> None:
    requests = manager.informer(CORE["CertificateSigningRequest"], label_selector=cluster_rbac.CLUSTER_OBJECTS)
    approval = Controller(
        "csr-approving", ApprovalReconciler(manager.client, requests, options.auto_approved_users).reconcile
    )
    approval.watches(requests, _own_name)
    manager.add(approval)


def _cluster_sets(
    manager: Manager,
    clusters: Informer[ManagedCluster],
    status: StatusWriter[ManagedCluster],
    options: RegistrationHubOptions,
) -> None:
    client = manager.client
    sets = manager.informer(ManagedClusterSet)
    bindings = manager.informer(ManagedClusterSetBinding, indexes={"set": lambda binding: (set_of(binding),)})
    members = ClusterSets(sets, clusters)

    counting = Controller("cluster-set", ClusterSetReconciler(client, sets, members).reconcile)
    counting.watches(sets, _own_name)
    counting.needs(clusters)
    manager.add(counting)

    namespaces = ManagedNamespaceReconciler(clusters, sets, members, status)
    naming = Controller("managed-namespace", namespaces.reconcile)
    naming.watches(clusters, _own_name, when=_labels_changed)
    naming.watches(sets, namespaces.affected, when=generation_changed)
    manager.add(naming)

    def membership_changed(change: Change[ManagedCluster]) -> None:
        for name in members.touched(change):
            counting.add(name)

    clusters.add_handler(membership_changed)

    bound = Controller("cluster-set-binding", BindingReconciler(client, bindings, sets).reconcile)
    bound.watches(bindings)
    bound.watches(
        sets, lambda each: [binding.key for binding in bindings.by_index("set", each.name)], when=_came_or_went
    )
    manager.add(bound)

    if options.default_cluster_set:
        kept = Controller("kept-cluster-sets", KeptSetReconciler(client, sets).reconcile, workers=1)
        kept.watches(sets, lambda each: (each.name,) if each.name in KEPT_SETS else ())
        kept.every(KEPT_SETS_SECONDS, lambda: KEPT_SETS)
        for name in KEPT_SETS:
            kept.add(name)
        manager.add(kept)


def _own_name(obj: Snapshot[Any]) -> Iterable[str]:
    return (obj.name,)


def _cluster_of(obj: Snapshot[Any]) -> Iterable[str]:
    """The cluster that an object's label names."""
    name = obj.labels.get(cluster_rbac.CLUSTER_NAME_LABEL)
    return (name,) if name else ()


def _came_or_went(change: Change[Any]) -> bool:
    return change.old is None or change.new is None


def _labels_changed(change: Change[Any]) -> bool:
    return change.old is None or change.new is None or change.old.labels != change.new.labels


__all__ = ["ObjectKey", "RegistrationHubOptions", "setup"]
