"""The objects of a klusterlet: what a managed cluster holds before its agent starts."""

from __future__ import annotations

from typing import Final

from merope.api.crds import crds
from merope.operator.objects import Manifest, aggregate, binding, namespace, role, rule, service_account

AGENT_NAMESPACE: Final = "open-cluster-management-agent"
ADDON_NAMESPACE: Final = "open-cluster-management-agent-addon"
REGISTRATION_ACCOUNT: Final = "klusterlet-registration-sa"
WORK_ACCOUNT: Final = "klusterlet-work-sa"
#: Label of ClusterRoles whose rules the work agent gets: how users let it manage further kinds.
AGGREGATE_TO_WORK: Final = "open-cluster-management.io/aggregate-to-work"

_WORK: Final = "work.open-cluster-management.io"
_RBAC: Final = "rbac.authorization.k8s.io"
_LEASES: Final = "coordination.k8s.io"
_KINDS: Final = frozenset({"AppliedManifestWork", "ClusterClaim", "ClusterProperty"})


def klusterlet_objects(name: str = "klusterlet", agent_namespace: str = AGENT_NAMESPACE) -> list[Manifest]:
    """Everything the agent needs on its cluster, in the order in which it has to be created.

    ``name`` is that of the Klusterlet, which is part of the roles' names.
    """
    labels = {"open-cluster-management.io/created-by-klusterlet": name}
    return [
        *(crd for crd in crds() if crd["spec"]["names"]["kind"] in _KINDS),
        namespace(agent_namespace),
        namespace(ADDON_NAMESPACE),
        service_account(REGISTRATION_ACCOUNT, agent_namespace, labels),
        service_account(WORK_ACCOUNT, agent_namespace, labels),
        *_registration(name, agent_namespace, labels),
        *_work(name, agent_namespace, labels),
    ]


def _registration(name: str, agent_namespace: str, labels: dict[str, str]) -> list[Manifest]:
    account = REGISTRATION_ACCOUNT
    agent = f"open-cluster-management:{name}-registration:agent"
    addons = f"open-cluster-management:{name}-registration:addon-management"
    managing = f"open-cluster-management:management:{name}-registration:agent"
    managing_addons = f"open-cluster-management:management:{name}-registration:addon-management"
    addon_rules = [
        rule("get list watch create delete update patch", "core", "secrets"),
        rule("create get list update watch patch", _LEASES, "leases"),
    ]
    return [
        role(
            agent,
            rule("get list watch", "core", "nodes"),
            rule("create get list update watch patch", "core", "namespaces"),
            rule("get list watch", "cluster.open-cluster-management.io", "clusterclaims"),
            rule("get list watch", "about.k8s.io", "clusterproperties"),
            labels=labels,
        ),
        binding(agent, agent, account, agent_namespace, labels=labels),
        role(addons, *addon_rules, labels=labels),
        binding(addons, addons, account, agent_namespace, labels=labels),
        role(managing_addons, *addon_rules, labels=labels),
        binding(managing_addons, managing_addons, account, agent_namespace, labels=labels),
        role(
            managing,
            rule("get list watch create delete update patch", "core", "configmaps"),
            rule("get", "core", "pods"),
            rule("get", "apps", "replicasets"),
            rule("create get list update watch patch", _LEASES, "leases"),
            rule("get list watch create delete update patch", "core", "secrets"),
            rule("create patch update", "core events.k8s.io", "events"),
            namespace=agent_namespace,
            labels=labels,
        ),
        binding(managing, managing, account, agent_namespace, namespace=agent_namespace, labels=labels),
    ]


def _work(name: str, agent_namespace: str, labels: dict[str, str]) -> list[Manifest]:
    account = WORK_ACCOUNT
    agent = f"open-cluster-management:{name}-work:agent"
    execution = f"open-cluster-management:{name}-work:execution"
    collected = f"open-cluster-management:{name}-work:aggregate"
    managing = f"open-cluster-management:management:{name}-work:agent"
    return [
        role(
            agent,
            rule("get list watch create update patch delete", _WORK, "appliedmanifestworks"),
            rule("patch update", _WORK, "appliedmanifestworks/status"),
            rule("update", _WORK, "appliedmanifestworks/finalizers"),
            rule("create", "authorization.k8s.io", "subjectaccessreviews"),
            rule("impersonate", "core", "serviceaccounts"),
            labels=labels,
        ),
        binding(agent, agent, account, agent_namespace, labels=labels),
        role(
            execution,
            rule("get list watch create delete update", "apiextensions.k8s.io", "customresourcedefinitions"),
            rule("create update patch delete", "core", "namespaces"),
            rule("get list watch create update patch delete", _RBAC, "clusterrolebindings rolebindings"),
            rule("get list watch create update patch delete escalate bind", _RBAC, "clusterroles roles"),
            rule("get list watch create update patch delete", "monitoring.coreos.com", "servicemonitors"),
            rule("get list watch create patch update delete", "oauth.openshift.io", "oauthclients"),
            rule("get list watch create patch update delete", "scheduling.k8s.io", "priorityclasses"),
            rule(
                "get list watch create update patch",
                "admissionregistration.k8s.io",
                "mutatingwebhookconfigurations validatingwebhookconfigurations",
            ),
            labels={**labels, AGGREGATE_TO_WORK: "true"},
        ),
        binding(f"{execution}-admin", "admin", account, agent_namespace, labels=labels),
        aggregate(collected, AGGREGATE_TO_WORK, labels),
        binding(collected, collected, account, agent_namespace, labels=labels),
        role(
            managing,
            rule("get list watch create delete update patch", "core", "configmaps"),
            rule("create get list update watch patch", _LEASES, "leases"),
            rule("create patch update", "core events.k8s.io", "events"),
            rule("get", "core", "pods"),
            rule("get", "apps", "replicasets"),
            namespace=agent_namespace,
            labels=labels,
        ),
        binding(managing, managing, account, agent_namespace, namespace=agent_namespace, labels=labels),
    ]
