"""The permissions of one managed cluster's agent on the hub: pure functions from the cluster's name.

Two users' groups get them: the one of the agent's certificate, and the one that other registration drivers use.
"""

from __future__ import annotations

from typing import Any, Final

Manifest = dict[str, Any]

CLUSTER_NAME_LABEL: Final = "open-cluster-management.io/cluster-name"
ADDON_NAME_LABEL: Final = "open-cluster-management.io/addon-name"
#: Selects the RBAC objects, signing requests and leases that belong to clusters, not to their add-ons.
CLUSTER_OBJECTS: Final = f"{CLUSTER_NAME_LABEL},!{ADDON_NAME_LABEL}"

REGISTRATION_ROLE: Final = "open-cluster-management:managedcluster:registration"
WORK_ROLE: Final = "open-cluster-management:managedcluster:work"
#: Keeps the work agent's permission until it has finished its works.
WORK_FINALIZER: Final = "cluster.open-cluster-management.io/manifest-work-cleanup"

_RBAC: Final = "rbac.authorization.k8s.io"


#: Namespaces of the hub itself: what is in them (locks, Secrets, other people's objects) is no cluster's business.
_HUB_NAMESPACES: Final = frozenset(
    {
        "default",
        "open-cluster-management",
        "open-cluster-management-hub",
        "open-cluster-management-agent",
        "open-cluster-management-agent-addon",
    }
)


def refusal(cluster: str) -> str | None:
    """Why no cluster of this name can be accepted; None where one can.

    A cluster's name is that of its namespace on the hub, and the last part of the name of its ClusterRole: neither may
    be one that serves others.
    """
    if role_name(cluster) in (REGISTRATION_ROLE, WORK_ROLE):
        return f"a cluster cannot be named {cluster}: ClusterRole {role_name(cluster)} belongs to all clusters"
    if cluster in _HUB_NAMESPACES or cluster.startswith("kube-"):
        return f"a cluster cannot be named {cluster}: the namespace of this name belongs to the hub"
    return None


def role_name(cluster: str) -> str:
    """Name of the ClusterRole and ClusterRoleBinding of a cluster."""
    return f"open-cluster-management:managedcluster:{cluster}"


def registration_binding_name(cluster: str) -> str:
    return f"{role_name(cluster)}:registration"


def work_binding_name(cluster: str) -> str:
    return f"{role_name(cluster)}:work"


def subjects(cluster: str) -> list[Manifest]:
    """The groups of the cluster's identities."""
    return [
        {"kind": "Group", "apiGroup": _RBAC, "name": f"system:open-cluster-management:{cluster}"},
        {"kind": "Group", "apiGroup": _RBAC, "name": f"open-cluster-management:{cluster}"},
    ]


def cluster_role(cluster: str, *, accepted: bool) -> Manifest:
    """What the agent may do cluster-wide: with its own ManagedCluster only; once denied, no more than look at it."""
    group = "cluster.open-cluster-management.io"
    if accepted:
        rules = [
            _rule(["create", "get", "list", "watch"], "certificates.k8s.io", ["certificatesigningrequests"]),
            _rule(["renew"], "register.open-cluster-management.io", ["managedclusters/clientcertificates"]),
            _rule(["get", "list", "update", "watch"], group, ["managedclusters"], cluster),
            _rule(["patch", "update"], group, ["managedclusters/status"], cluster),
        ]
    else:
        rules = [_rule(["get", "list", "watch"], group, ["managedclusters"], cluster)]
    return _object("ClusterRole", role_name(cluster), cluster, rules=rules)


def cluster_role_binding(cluster: str) -> Manifest:
    return _object(
        "ClusterRoleBinding",
        role_name(cluster),
        cluster,
        subjects=subjects(cluster),
        roleRef={"apiGroup": _RBAC, "kind": "ClusterRole", "name": role_name(cluster)},
    )


def role_bindings(cluster: str) -> list[Manifest]:
    """The bindings in the cluster's namespace: registration, then work (which a finalizer keeps)."""

    def binding(name: str, role: str) -> Manifest:
        ref = {"apiGroup": _RBAC, "kind": "ClusterRole", "name": role}
        return _object("RoleBinding", name, cluster, namespace=cluster, subjects=subjects(cluster), roleRef=ref)

    work = binding(work_binding_name(cluster), WORK_ROLE)
    work["metadata"]["finalizers"] = [WORK_FINALIZER]
    return [binding(registration_binding_name(cluster), REGISTRATION_ROLE), work]


def shared_roles() -> list[Manifest]:
    """The two ClusterRoles that all clusters' namespaced bindings refer to."""
    registration = [
        _rule(["get", "list", "watch", "update"], "coordination.k8s.io", ["leases"]),
        _rule(["get", "list", "watch"], "addon.open-cluster-management.io", ["managedclusteraddons"]),
        _rule(["patch", "update"], "addon.open-cluster-management.io", ["managedclusteraddons/status"]),
        _rule(["create"], "events.k8s.io", ["events"]),
    ]
    works = "work.open-cluster-management.io"
    events = _rule(["create", "patch", "update"], "", ["events"])
    events["apiGroups"] = ["", "events.k8s.io"]
    work = [
        events,
        _rule(["get", "list", "watch", "update", "patch"], works, ["manifestworks"]),
        _rule(["patch", "update"], works, ["manifestworks/status"]),
    ]
    return [
        _object("ClusterRole", REGISTRATION_ROLE, "", rules=registration),
        _object("ClusterRole", WORK_ROLE, "", rules=work),
    ]


def _rule(verbs: list[str], group: str, resources: list[str], name: str = "") -> Manifest:
    rule: Manifest = {"verbs": verbs, "apiGroups": [group], "resources": resources}
    if name:
        rule["resourceNames"] = [name]
    return rule


def _object(kind: str, name: str, cluster: str, *, namespace: str = "", **content: Any) -> Manifest:
    metadata: Manifest = {"name": name, "labels": {CLUSTER_NAME_LABEL: cluster}}
    if namespace:
        metadata["namespace"] = namespace
    return {"apiVersion": f"{_RBAC}/v1", "kind": kind, "metadata": metadata, **content}
