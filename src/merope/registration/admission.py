"""Admission of ManagedClusters and ManagedClusterSetBindings.

The rule behind all of it is the double opt-in: a cluster may ask to join, but only somebody with a permission for it
may accept it, move it between sets, or bind a set to a namespace.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, Final
from urllib.parse import urlsplit

from merope.lang.names import is_dns1123_label
from merope.sdk.admission import (
    AdmissionRequest,
    Handler,
    Hub,
    JSONPatch,
    Manifest,
    Permission,
    bad_request,
    forbidden,
)
from merope.sdk.webhooks import configuration, webhook

CLUSTER_GROUP: Final = "cluster.open-cluster-management.io"
REGISTER_GROUP: Final = "register.open-cluster-management.io"
CLUSTER_SET_LABEL: Final = "cluster.open-cluster-management.io/clusterset"
DEFAULT_SET: Final = "default"

MUTATE_CLUSTER: Final = "/mutate-cluster-open-cluster-management-io-v1-managedcluster"
VALIDATE_CLUSTER: Final = "/validate-cluster-open-cluster-management-io-v1-managedcluster"
VALIDATE_BINDING: Final = "/validate-cluster-open-cluster-management-io-v1beta2-managedclustersetbinding"


# --- mutation ----------------------------------------------------------------------------------------------------


def stamp_taints(
    taints: Sequence[Mapping[str, Any]], old: Sequence[Mapping[str, Any]] | None, now: str
) -> list[Manifest]:
    """``taints`` with their ``timeAdded``; ``old`` is None on creation.

    The hub alone says since when a taint is there: on creation whatever the client sent is replaced; on update a taint
    that is new or changed gets the time, one that is unchanged keeps it. A taint is compared with the first of its key.
    Raises Denied where the client sets a time itself.
    """
    stamped: list[Manifest] = []
    refused: list[str] = []
    for taint in taints:
        if old is None:
            stamped.append({**taint, "timeAdded": now})
            continue
        earlier = next((each for each in old if each.get("key") == taint.get("key")), None)
        same = earlier is not None and all(
            (earlier.get(key) or "") == (taint.get(key) or "") for key in ("value", "effect")
        )
        if same and earlier is not None:
            if taint.get("timeAdded") != earlier.get("timeAdded"):
                refused.append(str(taint.get("key", "")))
            stamped.append(dict(taint))
        else:
            if taint.get("timeAdded"):
                refused.append(str(taint.get("key", "")))
            stamped.append({**taint, "timeAdded": now})
    if refused:
        raise bad_request(f'It is not allowed to set TimeAdded of Taint "{",".join(refused)}".')
    return stamped


def _taints(cluster: Manifest) -> list[Manifest]:
    """The taints of a cluster; API servers ask for mutation before they hold an object against its schema.

    Raises Denied where they are anything but a list of objects.
    """
    spec = cluster.get("spec") or {}
    taints = (spec.get("taints") or []) if isinstance(spec, dict) else None
    if not isinstance(taints, list) or not all(isinstance(taint, dict) for taint in taints):
        raise bad_request("spec.taints: a list of objects is needed")
    return taints


async def mutate_cluster(request: AdmissionRequest, hub: Hub) -> JSONPatch | None:
    """Stamp the taints; put a cluster without a set into the default one."""
    cluster = request.object
    if cluster is None or request.operation not in ("CREATE", "UPDATE"):
        return None
    patch: JSONPatch = []
    taints = _taints(cluster)
    if taints:
        old = _taints(request.old or {}) if request.operation == "UPDATE" else None
        stamped = stamp_taints(taints, old, datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ"))
        if stamped != taints:
            patch.append({"op": "replace", "path": "/spec/taints", "value": stamped})
    labels = (cluster.get("metadata") or {}).get("labels")
    if not (labels or {}).get(CLUSTER_SET_LABEL):
        if labels is None:
            patch.append({"op": "add", "path": "/metadata/labels", "value": {CLUSTER_SET_LABEL: DEFAULT_SET}})
        else:
            escaped = CLUSTER_SET_LABEL.replace("~", "~0").replace("/", "~1")
            patch.append({"op": "add", "path": f"/metadata/labels/{escaped}", "value": DEFAULT_SET})
    return patch or None


# --- validation --------------------------------------------------------------------------------------------------


def _accepted(cluster: Manifest | None) -> bool:
    return bool(((cluster or {}).get("spec") or {}).get("hubAcceptsClient"))


def _set_of(cluster: Manifest | None) -> str:
    labels: Mapping[str, str] = ((cluster or {}).get("metadata") or {}).get("labels") or {}
    return labels.get(CLUSTER_SET_LABEL, "")


def _is_https(url: str) -> bool:
    """Whether ``url`` is one that agents can be reached by: https, and nothing in it that URLs may not hold."""
    if any(character <= " " or character == "\x7f" for character in url):
        return False  # the parser of the standard library strips or removes these
    try:
        return urlsplit(url).scheme == "https"
    except ValueError:
        return False


def check_shape(cluster: Manifest) -> None:
    """Client configurations need https URLs, and a cluster that has any needs a name fit for a namespace."""
    configs = (cluster.get("spec") or {}).get("managedClusterClientConfigs") or ()
    for config in configs:
        url = config.get("url", "")
        if not _is_https(url):
            raise bad_request(f'url "{url}" is invalid in client configs')
    if not configs:
        return
    problems = is_dns1123_label((cluster.get("metadata") or {}).get("name", ""))
    if problems:
        raise bad_request(f"metadata.name format is not correct: {','.join(problems)}")


async def validate_cluster(request: AdmissionRequest, hub: Hub) -> JSONPatch | None:
    """Accepting a cluster and moving it between sets need permissions of their own."""
    cluster, old = request.object, request.old if request.operation == "UPDATE" else None
    if cluster is None or request.operation not in ("CREATE", "UPDATE"):
        return None
    check_shape(cluster)
    name = (cluster.get("metadata") or {}).get("name", "") or request.name
    if _accepted(cluster) and not _accepted(old):
        await _check_acceptance(request, hub, name)
    before, after = _set_of(old), _set_of(cluster)
    if before != after:
        for each in filter(None, (before, after)):
            await _check_join(request, hub, each)
    return None


async def _check_acceptance(request: AdmissionRequest, hub: Hub, name: str) -> None:
    resource = "managedclusters/accept"
    if await hub.namespace_phase(name) == "Terminating":
        raise forbidden(CLUSTER_GROUP, resource, name, f'cluster namespace "{name}" is terminating')
    permission = Permission("update", REGISTER_GROUP, "managedclusters", "accept", name)
    if not await hub.allows(request.requester, permission):
        cause = f'user "{request.requester.username}" cannot update the HubAcceptsClient field'
        raise forbidden(CLUSTER_GROUP, resource, name, cause)


async def _check_join(request: AdmissionRequest, hub: Hub, cluster_set: str) -> None:
    permission = Permission("create", CLUSTER_GROUP, "managedclustersets", "join", cluster_set)
    if not await hub.allows(request.requester, permission):
        cause = (
            f'user "{request.requester.username}" cannot add/remove a ManagedCluster to/from '
            f'ManagedClusterSet "{cluster_set}"'
        )
        raise forbidden(CLUSTER_GROUP, "managedclustersets/join", cluster_set, cause)


async def validate_binding(request: AdmissionRequest, hub: Hub) -> JSONPatch | None:
    """A binding is named after its set, and whoever creates it must be allowed to bind that set."""
    binding = request.object
    if binding is None or request.operation not in ("CREATE", "UPDATE"):
        return None
    name = (binding.get("metadata") or {}).get("name", "") or request.name
    cluster_set = (binding.get("spec") or {}).get("clusterSet", "")
    if name != cluster_set:
        raise bad_request("The ManagedClusterSetBinding must have the same name as the target ManagedClusterSet")
    if request.operation == "CREATE":
        permission = Permission("create", CLUSTER_GROUP, "managedclustersets", "bind", cluster_set)
        if not await hub.allows(request.requester, permission):
            cause = f'user "{request.requester.username}" is not allowed to bind cluster set "{cluster_set}"'
            # Clients match on this text; the group in it is the reference's.
            raise forbidden("apps", "managedclustersets/bind", cluster_set, cause)
    return None


HANDLERS: Final[dict[str, Handler]] = {
    MUTATE_CLUSTER: mutate_cluster,
    VALIDATE_CLUSTER: validate_cluster,
    VALIDATE_BINDING: validate_binding,
}


def webhook_configurations(url: str, bundle: str) -> list[Manifest]:
    """The registrations of these handlers at the listener ``url`` (no trailing slash) with its CA bundle (base64)."""

    def named(name: str, path: str, versions: Sequence[str], resource: str) -> Manifest:
        full = f"{name}.admission.{CLUSTER_GROUP}"
        return webhook(full, url + path, bundle, CLUSTER_GROUP, versions, resource)

    return [
        configuration(
            "MutatingWebhookConfiguration", named("managedclustermutators", MUTATE_CLUSTER, ["*"], "managedclusters")
        ),
        configuration(
            "ValidatingWebhookConfiguration",
            named("managedclustervalidators", VALIDATE_CLUSTER, ["*"], "managedclusters"),
        ),
        configuration(
            "ValidatingWebhookConfiguration",
            named("managedclustersetbindingvalidators", VALIDATE_BINDING, ["v1beta2"], "managedclustersetbindings"),
        ),
    ]
