"""Short forms for the objects that an installation consists of."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

Manifest = dict[str, Any]

_RBAC: Final = "rbac.authorization.k8s.io"


def rule(verbs: str, groups: str, resources: str, *, names: str = "") -> Manifest:
    """A PolicyRule; several values are separated by spaces, the core group is written ``core``."""
    out: Manifest = {
        "apiGroups": ["" if group == "core" else group for group in groups.split()],
        "resources": resources.split(),
        "verbs": verbs.split(),
    }
    if names:
        out["resourceNames"] = names.split()
    return out


def namespace(name: str, annotations: Mapping[str, str] | None = None) -> Manifest:
    metadata: Manifest = {"name": name}
    if annotations:
        metadata["annotations"] = dict(annotations)
    return {"apiVersion": "v1", "kind": "Namespace", "metadata": metadata}


def service_account(name: str, namespace: str, labels: Mapping[str, str] | None = None) -> Manifest:
    return {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": _metadata(name, namespace, labels)}


def role(name: str, *rules: Manifest, namespace: str = "", labels: Mapping[str, str] | None = None) -> Manifest:
    """A Role, or without ``namespace`` a ClusterRole."""
    return {
        "apiVersion": f"{_RBAC}/v1",
        "kind": "Role" if namespace else "ClusterRole",
        "metadata": _metadata(name, namespace, labels),
        "rules": list(rules),
    }


def aggregate(name: str, label: str, labels: Mapping[str, str] | None = None) -> Manifest:
    """A ClusterRole that collects the rules of those labelled ``label: "true"``."""
    return {
        "apiVersion": f"{_RBAC}/v1",
        "kind": "ClusterRole",
        "metadata": _metadata(name, "", labels),
        "aggregationRule": {"clusterRoleSelectors": [{"matchLabels": {label: "true"}}]},
    }


def binding(
    name: str,
    role_name: str,
    account: str,
    account_namespace: str,
    *,
    namespace: str = "",
    cluster_role: bool = False,
    labels: Mapping[str, str] | None = None,
) -> Manifest:
    """A binding of one ServiceAccount: a RoleBinding in ``namespace``, or without it a ClusterRoleBinding."""
    kind = "Role" if namespace and not cluster_role else "ClusterRole"
    return {
        "apiVersion": f"{_RBAC}/v1",
        "kind": "RoleBinding" if namespace else "ClusterRoleBinding",
        "metadata": _metadata(name, namespace, labels),
        "roleRef": {"apiGroup": _RBAC, "kind": kind, "name": role_name},
        "subjects": [{"kind": "ServiceAccount", "name": account, "namespace": account_namespace}],
    }


def _metadata(name: str, namespace: str, labels: Mapping[str, str] | None) -> Manifest:
    metadata: Manifest = {"name": name}
    if namespace:
        metadata["namespace"] = namespace
    if labels:
        metadata["labels"] = dict(labels)
    return metadata
