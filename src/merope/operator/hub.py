"""The objects of a hub: APIs, one identity for each component, and the permissions that each needs."""

from __future__ import annotations

from typing import Final

from merope.api.crds import crds
from merope.operator.objects import Manifest, binding, namespace, role, rule, service_account

OPERATOR_NAMESPACE: Final = "open-cluster-management"
HUB_NAMESPACE: Final = "open-cluster-management-hub"
#: The ServiceAccount whose token agents bootstrap with.
BOOTSTRAP_ACCOUNT: Final = "agent-registration-bootstrap"

_CLUSTER: Final = "cluster.open-cluster-management.io"
_WORK: Final = "work.open-cluster-management.io"
_ADDON: Final = "addon.open-cluster-management.io"
_REGISTER: Final = "register.open-cluster-management.io"
_PROFILES: Final = "multicluster.x-k8s.io"
_CERTIFICATES: Final = "certificates.k8s.io"
_RBAC: Final = "rbac.authorization.k8s.io"
_LEASES: Final = "coordination.k8s.io"
_AUTHORIZATION: Final = "authorization.k8s.io"
_ADMISSION: Final = "admissionregistration.k8s.io"

_HUB_KINDS: Final = frozenset(
    {
        "AddOnPlacementScore",
        "ClusterProfile",
        "ManagedCluster",
        "ManagedClusterSet",
        "ManagedClusterSetBinding",
        "ManifestWork",
        "ManifestWorkReplicaSet",
        "Placement",
        "PlacementDecision",
    }
)
_WEBHOOK_CONFIGURATIONS: Final = (
    "managedclustermutators.admission.cluster.open-cluster-management.io "
    "managedclustervalidators.admission.cluster.open-cluster-management.io "
    "managedclustersetbindingvalidators.admission.cluster.open-cluster-management.io "
    "manifestworkvalidators.admission.work.open-cluster-management.io"
)


def hub_objects(name: str = "cluster-manager", hub_namespace: str = HUB_NAMESPACE) -> list[Manifest]:
    """Everything a hub needs before its components start, in the order in which it has to be created.

    ``name`` is that of the ClusterManager, which is part of the roles' names.
    """
    return [
        *(crd for crd in crds() if crd["spec"]["names"]["kind"] in _HUB_KINDS),
        namespace(OPERATOR_NAMESPACE),
        namespace(hub_namespace),
        *_bootstrap(),
        *_components(name, hub_namespace),
    ]


def _bootstrap() -> list[Manifest]:
    """Who may ask to join: create a ManagedCluster and a signing request, and look at them."""
    name = "open-cluster-management:bootstrap"
    return [
        service_account(BOOTSTRAP_ACCOUNT, OPERATOR_NAMESPACE),
        role(
            name,
            rule("get", "core", "configmaps"),
            rule("create get list watch", _CERTIFICATES, "certificatesigningrequests"),
            rule("get create list watch", _CLUSTER, "managedclusters"),
            rule("create", _CLUSTER, "managedclustersets/join"),
        ),
        binding(f"{name}:agent-registration", name, BOOTSTRAP_ACCOUNT, OPERATOR_NAMESPACE),
    ]


def _components(name: str, hub_namespace: str) -> list[Manifest]:
    labels = {"open-cluster-management.io/created-by-clustermanager": name}
    prefix = f"open-cluster-management:{name}"
    accounts = {
        f"{prefix}-registration:controller": "registration-controller-sa",
        f"{prefix}-registration:webhook": "registration-webhook-sa",
        f"{prefix}-placement:controller": "placement-controller-sa",
        f"{prefix}-work:controller": "work-controller-sa",
        f"{prefix}-work:webhook": "work-webhook-sa",
    }
    roles = {
        f"{prefix}-registration:controller": _registration_rules(),
        f"{prefix}-registration:webhook": _webhook_rules(rule("get", "core", "namespaces")),
        f"{prefix}-placement:controller": _placement_rules(),
        f"{prefix}-work:controller": _work_rules(),
        f"{prefix}-work:webhook": _webhook_rules(),
    }
    out: list[Manifest] = [service_account(account, hub_namespace) for account in accounts.values()]
    for role_name, rules in roles.items():
        out.append(role(role_name, *rules, labels=labels))
        out.append(binding(role_name, role_name, accounts[role_name], hub_namespace, labels=labels))
    out.extend(_webhook_keeper(prefix, hub_namespace, labels))
    return out


def _registration_rules() -> list[Manifest]:
    return [
        rule("create get list watch", _CERTIFICATES, "certificatesigningrequests"),
        rule("update", _CERTIFICATES, "certificatesigningrequests/status certificatesigningrequests/approval"),
        rule("get list watch create delete update", "core", "namespaces serviceaccounts configmaps"),
        rule("create", "core", "serviceaccounts/token", names=BOOTSTRAP_ACCOUNT),
        rule("get", "core", "pods"),
        rule("create patch update", "core events.k8s.io", "events"),
        rule("get", "apps", "replicasets"),
        rule("create", _AUTHORIZATION, "subjectaccessreviews"),
        rule("get list watch create update patch delete", _RBAC, "clusterrolebindings rolebindings"),
        rule("get list watch create update patch delete", _RBAC, "clusterroles roles"),
        rule("get list watch create delete update patch", _LEASES, "leases"),
        rule("get list watch update patch", _CLUSTER, "managedclusters"),
        rule("update patch", _CLUSTER, "managedclusters/status"),
        rule("get list watch create update delete deletecollection patch execute-as", _WORK, "manifestworks"),
        rule("patch update", _WORK, "manifestworks/status"),
        rule("get list watch update delete deletecollection patch", _WORK, "manifestworkreplicasets"),
        rule("update patch", _WORK, "manifestworkreplicasets/status"),
        rule("update", _WORK, "manifestworkreplicasets/finalizers"),
        rule("approve", _CERTIFICATES, "signers", names="kubernetes.io/kube-apiserver-client"),
        rule("get list watch create update patch delete", _CLUSTER, "managedclustersets"),
        rule("update patch", _CLUSTER, "managedclustersets/status"),
        rule("get list watch", _CLUSTER, "managedclustersetbindings"),
        rule("update patch", _CLUSTER, "managedclustersetbindings/status"),
        rule("create", "authentication.k8s.io", "tokenreviews"),
        rule("get list watch delete", _ADDON, "managedclusteraddons"),
        rule("patch update", _ADDON, "managedclusteraddons/status"),
        # The rules of the roles that agents get: nobody may grant what he does not hold.
        rule("renew", _REGISTER, "managedclusters/clientcertificates"),
        rule("update", _REGISTER, "managedclusters/accept"),
        rule("get list watch create update patch delete", _PROFILES, "clusterprofiles"),
        rule("update patch", _PROFILES, "clusterprofiles/status"),
    ]


def _placement_rules() -> list[Manifest]:
    return [
        rule("get list watch create delete update", "core", "configmaps"),
        rule("get", "core", "pods"),
        rule("get", "apps", "replicasets"),
        rule("create", "authentication.k8s.io", "tokenreviews"),
        rule("create", _AUTHORIZATION, "subjectaccessreviews"),
        rule("create patch update", "core events.k8s.io", "events"),
        rule("create get list update watch patch", _LEASES, "leases"),
        rule("get list watch", _CLUSTER, "managedclusters managedclustersets managedclustersetbindings"),
        rule("get list watch", _CLUSTER, "addonplacementscores"),
        rule("get list watch", _CLUSTER, "placements"),
        rule("get list watch create update patch delete", _CLUSTER, "placementdecisions"),
        rule("update patch", _CLUSTER, "placements/status placementdecisions/status"),
        rule("update", _CLUSTER, "placements/finalizers"),
    ]


def _work_rules() -> list[Manifest]:
    return [
        rule("get list watch", "core", "configmaps"),
        rule("get", "core", "pods"),
        rule("create", _AUTHORIZATION, "subjectaccessreviews"),
        rule("create get list update watch patch", _LEASES, "leases"),
        rule("create patch update", "core events.k8s.io", "events"),
        rule("get list watch create update delete deletecollection patch execute-as", _WORK, "manifestworks"),
        rule("get list watch update patch", _WORK, "manifestworkreplicasets"),
        rule("patch update", _WORK, "manifestworkreplicasets/status"),
        rule("update", _WORK, "manifestworkreplicasets/finalizers"),
        rule("get list watch", _CLUSTER, "placements placementdecisions"),
        rule("get", "apps", "replicasets"),
    ]


def _webhook_rules(*more: Manifest) -> list[Manifest]:
    return [
        rule("get list watch", "core", "configmaps"),
        *more,
        rule("create", _AUTHORIZATION, "subjectaccessreviews"),
    ]


def _webhook_keeper(prefix: str, hub_namespace: str, labels: dict[str, str]) -> list[Manifest]:
    """The webhook component writes its own registrations and shares its authority with its replicas.

    The reference's operator does both for it; here it needs no more than the four configurations and one Secret.
    """
    name = f"{prefix}-registration-webhook:serving"
    account = "registration-webhook-sa"
    kinds = "mutatingwebhookconfigurations validatingwebhookconfigurations"
    return [
        role(
            name,
            rule("create", _ADMISSION, kinds),
            rule("get list watch update patch", _ADMISSION, kinds, names=_WEBHOOK_CONFIGURATIONS),
            labels=labels,
        ),
        binding(name, name, account, hub_namespace, labels=labels),
        role(
            name,
            rule("create", "core", "secrets"),
            rule("get list watch update patch", "core", "secrets", names="signer-secret"),
            namespace=hub_namespace,
            labels=labels,
        ),
        binding(name, name, account, hub_namespace, namespace=hub_namespace, labels=labels),
    ]
