"""The objects every cluster starts with: namespaces, default roles and bindings, the client CA for extension servers.

At each start missing objects, rules and subjects are added back; nothing is taken away, and an object whose annotation
``rbac.authorization.kubernetes.io/autoupdate`` is ``"false"`` is left alone, as on any Kubernetes cluster.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, Any, Final

from merope.controlplane.authz import GROUP, Rule, uncovered
from merope.controlplane.errors import ApiError
from merope.controlplane.resource import GroupResource, Object

if TYPE_CHECKING:
    from merope.controlplane.server import Server

NAMESPACES: Final = ("default", "kube-system", "kube-public", "kube-node-lease")
_LABELS: Final = {"kubernetes.io/bootstrapping": "rbac-defaults"}
_AUTOUPDATE: Final = "rbac.authorization.kubernetes.io/autoupdate"
_READ: Final = ("get", "list", "watch")
_WRITE: Final = ("create", "delete", "deletecollection", "patch", "update")
_ALL: Final = ("create", "delete", "deletecollection", "get", "list", "patch", "update", "watch")
_HEALTH: Final = ("/healthz", "/livez", "/readyz", "/version", "/version/")
_API_VERSION: Final = f"{GROUP}/v1"

RuleDict = dict[str, list[str]]
#: Group, version and plural of a resource.
Path = tuple[str, str, str]


def _rule(verbs: Sequence[str], groups: Sequence[str], resources: Sequence[str], names: Sequence[str] = ()) -> RuleDict:
    rule = {"verbs": list(verbs), "apiGroups": list(groups), "resources": list(resources)}
    if names:
        rule["resourceNames"] = list(names)
    return rule


def _paths(verbs: Sequence[str], *paths: str) -> RuleDict:
    return {"verbs": list(verbs), "nonResourceURLs": list(paths)}


_ADMIN: Final = [
    _rule(["create"], ["authorization.k8s.io"], ["localsubjectaccessreviews"]),
    _rule(_ALL, [GROUP], ["rolebindings", "roles"]),
]
_POD_CHANNELS: Final = ["pods/attach", "pods/exec", "pods/portforward", "pods/proxy"]
_EDIT: Final = [
    _rule(_READ, [""], [*_POD_CHANNELS, "secrets", "services/proxy"]),
    _rule(["impersonate"], [""], ["serviceaccounts"]),
    _rule(_WRITE, [""], ["pods", *_POD_CHANNELS]),
    _rule(["create"], [""], ["pods/eviction"]),
    _rule(
        _WRITE,
        [""],
        [
            "configmaps",
            "persistentvolumeclaims",
            "replicationcontrollers",
            "replicationcontrollers/scale",
            "secrets",
            "serviceaccounts",
            "services",
            "services/proxy",
        ],
    ),
    _rule(["create"], [""], ["serviceaccounts/token"]),
    _rule(_WRITE, ["", "events.k8s.io"], ["events"]),
    _rule(
        _WRITE,
        ["apps"],
        [
            "daemonsets",
            "deployments",
            "deployments/rollback",
            "deployments/scale",
            "replicasets",
            "replicasets/scale",
            "statefulsets",
            "statefulsets/scale",
        ],
    ),
    _rule(_WRITE, ["autoscaling"], ["horizontalpodautoscalers"]),
    _rule(_WRITE, ["batch"], ["cronjobs", "jobs"]),
    _rule(
        _WRITE,
        ["extensions"],
        [
            "daemonsets",
            "deployments",
            "deployments/rollback",
            "deployments/scale",
            "ingresses",
            "networkpolicies",
            "replicasets",
            "replicasets/scale",
            "replicationcontrollers/scale",
        ],
    ),
    _rule(_WRITE, ["policy"], ["poddisruptionbudgets"]),
    _rule(_WRITE, ["networking.k8s.io"], ["ingresses", "networkpolicies"]),
    _rule(_ALL, ["coordination.k8s.io"], ["leases"]),
    _rule(_WRITE, ["resource.k8s.io"], ["resourceclaims", "resourceclaimtemplates"]),
]
_VIEW: Final = [
    _rule(
        _READ,
        [""],
        [
            "configmaps",
            "endpoints",
            "persistentvolumeclaims",
            "persistentvolumeclaims/status",
            "pods",
            "replicationcontrollers",
            "replicationcontrollers/scale",
            "serviceaccounts",
            "services",
            "services/status",
        ],
    ),
    _rule(
        _READ,
        [""],
        [
            "bindings",
            "limitranges",
            "namespaces/status",
            "pods/log",
            "pods/status",
            "replicationcontrollers/status",
            "resourcequotas",
            "resourcequotas/status",
        ],
    ),
    _rule(_READ, [""], ["namespaces"]),
    _rule(_READ, ["", "events.k8s.io"], ["events"]),
    _rule(_READ, ["discovery.k8s.io"], ["endpointslices"]),
    _rule(
        _READ,
        ["apps"],
        [
            "controllerrevisions",
            "daemonsets",
            "daemonsets/status",
            "deployments",
            "deployments/scale",
            "deployments/status",
            "replicasets",
            "replicasets/scale",
            "replicasets/status",
            "statefulsets",
            "statefulsets/scale",
            "statefulsets/status",
        ],
    ),
    _rule(_READ, ["autoscaling"], ["horizontalpodautoscalers", "horizontalpodautoscalers/status"]),
    _rule(_READ, ["batch"], ["cronjobs", "cronjobs/status", "jobs", "jobs/status"]),
    _rule(
        _READ,
        ["extensions"],
        [
            "daemonsets",
            "daemonsets/status",
            "deployments",
            "deployments/scale",
            "deployments/status",
            "ingresses",
            "ingresses/status",
            "networkpolicies",
            "replicasets",
            "replicasets/scale",
            "replicasets/status",
            "replicationcontrollers/scale",
        ],
    ),
    _rule(_READ, ["policy"], ["poddisruptionbudgets", "poddisruptionbudgets/status"]),
    _rule(_READ, ["networking.k8s.io"], ["ingresses", "ingresses/status", "networkpolicies"]),
    _rule(_READ, ["resource.k8s.io"], ["resourceclaims", "resourceclaims/status", "resourceclaimtemplates"]),
]

#: ClusterRoles with rules of their own.
_CLUSTER_ROLES: Final[dict[str, list[RuleDict]]] = {
    "cluster-admin": [_rule(["*"], ["*"], ["*"]), _paths(["*"], "*")],
    "system:discovery": [
        _paths(["get"], "/api", "/api/*", "/apis", "/apis/*", "/openapi", "/openapi/*", *_HEALTH),
    ],
    "system:basic-user": [
        _rule(["create"], ["authorization.k8s.io"], ["selfsubjectaccessreviews", "selfsubjectrulesreviews"]),
        _rule(["create"], ["authentication.k8s.io"], ["selfsubjectreviews"]),
    ],
    "system:public-info-viewer": [_paths(["get"], *_HEALTH)],
    "system:monitoring": [
        _paths(
            ["get"], "/healthz", "/healthz/*", "/livez", "/livez/*", "/metrics", "/metrics/slis", "/readyz", "/readyz/*"
        ),
        _rule(["get"], [""], ["nodes/metrics"]),
    ],
    "system:auth-delegator": [
        _rule(["create"], ["authentication.k8s.io"], ["tokenreviews"]),
        _rule(["create"], ["authorization.k8s.io"], ["subjectaccessreviews"]),
    ],
    "system:node-bootstrapper": [
        _rule(["create", "get", "list", "watch"], ["certificates.k8s.io"], ["certificatesigningrequests"]),
    ],
    "system:certificates.k8s.io:certificatesigningrequests:nodeclient": [
        _rule(["create"], ["certificates.k8s.io"], ["certificatesigningrequests/nodeclient"]),
    ],
    "system:certificates.k8s.io:certificatesigningrequests:selfnodeclient": [
        _rule(["create"], ["certificates.k8s.io"], ["certificatesigningrequests/selfnodeclient"]),
    ],
    "system:service-account-issuer-discovery": [
        _paths(
            ["get"],
            "/.well-known/openid-configuration",
            "/.well-known/openid-configuration/",
            "/openid/v1/jwks",
            "/openid/v1/jwks/",
        ),
    ],
    # Components that do not run here; programs look these roles up or bind them by name.
    **{
        f"system:{component}": []
        for component in (
            "heapster",
            "kube-aggregator",
            "kube-controller-manager",
            "kube-dns",
            "kube-scheduler",
            "kubelet-api-admin",
            "node",
            "node-problem-detector",
            "node-proxier",
            "persistent-volume-provisioner",
            "volume-scheduler",
        )
    },
}
_APPROVED_SIGNERS: Final = (
    "kube-apiserver-client",
    "kube-apiserver-client-kubelet",
    "kubelet-serving",
    "legacy-unknown",
)

#: ClusterRoles that collect the rules of others: name -> label that the collected ones carry.
_AGGREGATES: Final = {"admin": "admin", "edit": "edit", "view": "view"}
_AGGREGATED: Final = {
    "system:aggregate-to-admin": ("admin", _ADMIN),
    "system:aggregate-to-edit": ("edit", _EDIT),
    "system:aggregate-to-view": ("view", _VIEW),
}

#: ClusterRoleBindings to the role of the same name: subjects as (kind, name).
_BINDINGS: Final[dict[str, list[tuple[str, str]]]] = {
    "cluster-admin": [("Group", "system:masters")],
    "system:discovery": [("Group", "system:authenticated")],
    "system:basic-user": [("Group", "system:authenticated")],
    "system:public-info-viewer": [("Group", "system:authenticated"), ("Group", "system:unauthenticated")],
    "system:monitoring": [("Group", "system:monitoring")],
    "system:service-account-issuer-discovery": [("Group", "system:serviceaccounts")],
    "system:kube-controller-manager": [("User", "system:kube-controller-manager")],
    "system:kube-scheduler": [("User", "system:kube-scheduler")],
    "system:volume-scheduler": [("User", "system:kube-scheduler")],
    "system:node-proxier": [("User", "system:kube-proxy")],
}


def _aggregation_label(to: str) -> str:
    return f"{GROUP}/aggregate-to-{to}"


def _metadata(name: str, namespace: str = "", labels: dict[str, str] | None = None) -> Object:
    metadata: Object = {
        "name": name,
        "labels": {**_LABELS, **(labels or {})},
        "annotations": {_AUTOUPDATE: "true"},
    }
    if namespace:
        metadata["namespace"] = namespace
    return metadata


def cluster_roles() -> Iterator[Object]:
    """The default ClusterRoles."""

    def role(name: str, rules: list[RuleDict], labels: dict[str, str] | None = None, **more: Any) -> Object:
        metadata = _metadata(name, labels=labels)
        return {"apiVersion": _API_VERSION, "kind": "ClusterRole", "metadata": metadata, "rules": rules, **more}

    for name, rules in _CLUSTER_ROLES.items():
        yield role(name, rules)
    for signer in _APPROVED_SIGNERS:
        rule = _rule(["approve"], ["certificates.k8s.io"], ["signers"], [f"kubernetes.io/{signer}"])
        yield role(f"system:certificates.k8s.io:{signer}-approver", [rule])
    for name, (to, rules) in _AGGREGATED.items():
        yield role(name, rules, {_aggregation_label(to): "true"})
    into = {"edit": "admin", "view": "edit"}
    for name, to in _AGGREGATES.items():
        labels = {_aggregation_label(into[name]): "true"} if name in into else None
        selectors = [{"matchLabels": {_aggregation_label(to): "true"}}]
        yield role(name, [], labels, aggregationRule={"clusterRoleSelectors": selectors})


def cluster_role_bindings() -> Iterator[Object]:
    """The default ClusterRoleBindings."""
    for name, subjects in _BINDINGS.items():
        yield {
            "apiVersion": _API_VERSION,
            "kind": "ClusterRoleBinding",
            "metadata": _metadata(name),
            "roleRef": {"apiGroup": GROUP, "kind": "ClusterRole", "name": name},
            "subjects": [{"apiGroup": GROUP, "kind": kind, "name": subject} for kind, subject in subjects],
        }


def roles() -> Iterator[Object]:
    """The default Roles of ``kube-system``."""
    name = "extension-apiserver-authentication"
    yield {
        "apiVersion": _API_VERSION,
        "kind": "Role",
        "metadata": _metadata(f"{name}-reader", "kube-system"),
        "rules": [_rule(_READ, [""], ["configmaps"], [name])],
    }


async def ensure(server: Server) -> None:
    """Create what is missing and complete what is incomplete. Idempotent; run at each start before serving.

    The namespaces come first, then everything else side by side: so the store syncs all of it at once.
    """
    namespaces: list[Object] = [{"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": n}} for n in NAMESPACES]
    await _ensure_all(server, ((("", "v1", "namespaces"), namespace) for namespace in namespaces))
    bundle = server.pki.ca_pem.decode()
    authentication: Object = {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {"name": "extension-apiserver-authentication", "namespace": "kube-system"},
        "data": {"client-ca-file": bundle},
    }
    wanted: list[tuple[Path, Object]] = [(("", "v1", "configmaps"), authentication)]
    for plural, objects in (
        ("clusterroles", cluster_roles()),
        ("roles", roles()),
        ("clusterrolebindings", cluster_role_bindings()),
    ):
        wanted += [((GROUP, "v1", plural), obj) for obj in objects]
    await _ensure_all(server, wanted)


async def _ensure_all(server: Server, wanted: Iterable[tuple[Path, Object]]) -> None:
    async with asyncio.TaskGroup() as group:
        for path, obj in wanted:
            group.create_task(_ensure(server, path, obj))


async def _ensure(server: Server, gvr: Path, wanted: Object) -> None:
    metadata = wanted["metadata"]
    namespace, name = metadata.get("namespace", ""), metadata["name"]
    entry = server.store.get(GroupResource(gvr[0], gvr[2]), namespace, name)
    if entry is None:
        try:
            await server.local().create(gvr, wanted, namespace)
        except ApiError as error:
            if error.reason != "AlreadyExists":
                raise
        return
    if gvr[0] == GROUP:
        completed = completion(entry.parsed(), wanted)
    else:
        completed = {key: value for key, value in wanted.items() if key == "data" and entry.parsed().get(key) != value}
    if completed:
        await server.local().patch(gvr, name, completed, namespace=namespace)


def completion(found: Object, wanted: Object) -> Object:
    """The merge patch that adds back rules, subjects and the aggregation rule that ``found`` lacks; empty if none."""
    annotations = found.get("metadata", {}).get("annotations") or {}
    if annotations.get(_AUTOUPDATE) == "false":
        return {}
    patch: Object = {}
    if "subjects" in wanted:
        have = found.get("subjects") or []
        missing = [subject for subject in wanted["subjects"] if subject not in have]
        if missing:
            patch["subjects"] = [*have, *missing]
    elif "aggregationRule" in wanted:
        if found.get("aggregationRule") != wanted["aggregationRule"]:
            patch["aggregationRule"] = wanted["aggregationRule"]
    elif "rules" in wanted:
        have = found.get("rules") or []
        lacking = uncovered([Rule.of(rule) for rule in have], [Rule.of(rule) for rule in wanted["rules"]])
        if lacking:
            patch["rules"] = [*have, *(rule.to_dict() for rule in lacking)]
    return patch
