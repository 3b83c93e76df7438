"""``merope controlplane export``: what a cluster holds, as YAML that ``kubectl apply`` takes to another one.

It reads through the API like any client, so it works on any Kubernetes. What each cluster has of its own is left out
(bootstrap policy, default accounts, leases, events), and so is what a server or a controller sets (uids, versions,
status, addresses): the other cluster sets its own. Definitions come first, then namespaces, then everything that other
things stand on, and last what would stand in the way of the rest: webhooks and aggregated APIs.
"""

from __future__ import annotations

import asyncio
import re
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import IO, Any, Final
from urllib.parse import urlsplit

import yaml

from merope.kube import Client, ClientConfig, NotFound, ResourceRef

Manifest = dict[str, Any]

#: Namespaces that each cluster has; the first is for users' objects, too, the others belong to the cluster.
DEFAULT_NAMESPACE: Final = "default"
SYSTEM_NAMESPACES: Final = frozenset({"kube-system", "kube-public", "kube-node-lease"})

#: (group, plural) of what describes a cluster itself, or what it makes from other objects.
_OF_THE_CLUSTER: Final = frozenset(
    {
        ("", "bindings"),
        ("", "componentstatuses"),
        ("", "endpoints"),
        ("", "events"),
        ("", "nodes"),
        ("apiserver.k8s.io", "storageversions"),
        ("internal.apiserver.k8s.io", "storageversions"),
        ("certificates.k8s.io", "certificatesigningrequests"),
        ("coordination.k8s.io", "leases"),
        ("coordination.k8s.io", "leasecandidates"),
        ("discovery.k8s.io", "endpointslices"),
        ("events.k8s.io", "events"),
        ("networking.k8s.io", "ipaddresses"),
        ("networking.k8s.io", "servicecidrs"),
        ("resource.k8s.io", "resourceslices"),
        ("storage.k8s.io", "csinodes"),
        ("storage.k8s.io", "csistoragecapacities"),
        ("storage.k8s.io", "volumeattachments"),
    }
)
#: Kinds whose objects, where another object controls them, are made again from that one.
_MADE_BY_CONTROLLERS: Final = frozenset({"Pod", "ReplicaSet", "ControllerRevision", "Job"})

_SET_BY_SERVERS: Final = (
    "uid",
    "resourceVersion",
    "creationTimestamp",
    "deletionTimestamp",
    "deletionGracePeriodSeconds",
    "generation",
    "managedFields",
    "selfLink",
)
_ANNOTATIONS: Final = (
    "kubectl.kubernetes.io/last-applied-configuration",
    "deployment.kubernetes.io/revision",
    "pv.kubernetes.io/bind-completed",
    "pv.kubernetes.io/bound-by-controller",
    "volume.kubernetes.io/selected-node",
)
_JOB_LABELS: Final = (
    "controller-uid",
    "job-name",
    "batch.kubernetes.io/controller-uid",
    "batch.kubernetes.io/job-name",
)

#: The order of kinds: each may need those before it. Kinds that are not named come where the empty string is.
_ORDER: Final = {
    kind: index
    for index, kind in enumerate(
        (
            "CustomResourceDefinition",
            "Namespace",
            "PriorityClass",
            "StorageClass",
            "ResourceQuota",
            "LimitRange",
            "NetworkPolicy",
            "ServiceAccount",
            "Secret",
            "ConfigMap",
            "PersistentVolume",
            "PersistentVolumeClaim",
            "ClusterRole",
            "ClusterRoleBinding",
            "Role",
            "RoleBinding",
            "Service",
            "",
            "APIService",
            "MutatingWebhookConfiguration",
            "ValidatingWebhookConfiguration",
        )
    )
}


@dataclass(slots=True)
class Exported:
    """An object as another cluster takes it; ``notes`` say what was taken away that a person may miss."""

    manifest: Manifest
    notes: list[str] = field(default_factory=list)


# --- what is exported -------------------------------------------------------------------------------------------------


def belongs_to_cluster(obj: Manifest, *, system: bool = False) -> bool:
    """Whether an object is one that each cluster has of its own, or is on its way out.

    ``system``: what lies in the namespaces ``kube-*`` counts as the user's.
    """
    kind, metadata = obj["kind"], obj["metadata"]
    name, namespace = metadata["name"], metadata.get("namespace", "")
    labels, annotations = metadata.get("labels") or {}, metadata.get("annotations") or {}
    if metadata.get("deletionTimestamp") or (not system and namespace in SYSTEM_NAMESPACES):
        return True
    if labels.get("kubernetes.io/bootstrapping") == "rbac-defaults":
        return True
    if annotations.get("apf.kubernetes.io/autoupdate-spec") == "true":
        return True
    if kind in _MADE_BY_CONTROLLERS and any(owner.get("controller") for owner in metadata.get("ownerReferences") or ()):
        return True
    match kind:
        case "Namespace":
            return name == DEFAULT_NAMESPACE or name in SYSTEM_NAMESPACES
        case "ServiceAccount":
            return name == "default" and not obj.get("imagePullSecrets")
        case "ConfigMap":
            return name == "kube-root-ca.crt" or (namespace, name) == (
                "kube-system",
                "extension-apiserver-authentication",
            )
        case "Secret":
            # Signed by the old cluster, for the uid of an account there.
            return bool(obj.get("type") == "kubernetes.io/service-account-token")
        case "Service":
            return (namespace, name) == (DEFAULT_NAMESPACE, "kubernetes")
        case "APIService":
            return not (obj.get("spec") or {}).get("service")
        case "PriorityClass":
            return bool(name.startswith("system-"))
    return False


def clean(obj: Manifest) -> Exported:
    """An object without what servers and controllers set. The argument may be changed."""
    metadata: Manifest = {key: value for key, value in obj["metadata"].items() if key not in _SET_BY_SERVERS}
    _without(metadata, "annotations", _ANNOTATIONS)
    notes = []
    owners = metadata.pop("ownerReferences", None)
    if owners:
        # By uid, which is another one there: the garbage collector would remove the object.
        notes.append("owned by " + ", ".join(f"{owner.get('kind')} {owner.get('name')}" for owner in owners))
    finalizers = metadata.pop("finalizers", None)
    if finalizers:
        # Whoever cares for them adds them again; where nobody does, nobody would take them away either.
        notes.append("finalizers " + ", ".join(finalizers))
    rest = {key: value for key, value in obj.items() if key not in ("apiVersion", "kind", "metadata", "status")}
    manifest: Manifest = {"apiVersion": obj["apiVersion"], "kind": obj["kind"], "metadata": metadata, **rest}
    special = _SPECIAL.get((obj["apiVersion"].rpartition("/")[0], obj["kind"]))
    if special is not None:
        special(manifest)
    return Exported(manifest, notes)


def _namespace(manifest: Manifest) -> None:
    manifest.pop("spec", None)
    _without(manifest["metadata"], "labels", ("kubernetes.io/metadata.name",))


def _service_account(manifest: Manifest) -> None:
    manifest.pop("secrets", None)


def _service(manifest: Manifest) -> None:
    spec = manifest.get("spec") or {}
    if spec.get("clusterIP") != "None":
        spec.pop("clusterIP", None)
        spec.pop("clusterIPs", None)
    # Which families there are, and which ports of nodes are free, is the cluster's matter.
    for key in ("ipFamilies", "healthCheckNodePort"):
        spec.pop(key, None)
    if spec.get("ipFamilyPolicy") == "SingleStack":
        del spec["ipFamilyPolicy"]
    for port in spec.get("ports") or ():
        port.pop("nodePort", None)


def _job(manifest: Manifest) -> None:
    spec = manifest.get("spec") or {}
    if not spec.get("manualSelector"):
        spec.pop("selector", None)
        for metadata in (manifest["metadata"], (spec.get("template") or {}).get("metadata") or {}):
            _without(metadata, "labels", _JOB_LABELS)


def _pod(manifest: Manifest) -> None:
    spec = manifest.get("spec") or {}
    spec.pop("nodeName", None)
    injected = {volume["name"] for volume in spec.get("volumes") or () if volume["name"].startswith("kube-api-access-")}
    if injected:
        spec["volumes"] = [volume for volume in spec["volumes"] if volume["name"] not in injected]
        for container in (*(spec.get("initContainers") or ()), *(spec.get("containers") or ())):
            mounts = container.get("volumeMounts") or ()
            container["volumeMounts"] = [mount for mount in mounts if mount["name"] not in injected]


def _claim(manifest: Manifest) -> None:
    (manifest.get("spec") or {}).pop("volumeName", None)


def _volume(manifest: Manifest) -> None:
    _without(manifest.get("spec") or {}, "claimRef", ("uid", "resourceVersion"))


_SPECIAL: Final[Mapping[tuple[str, str], Callable[[Manifest], None]]] = {
    ("", "Namespace"): _namespace,
    ("", "ServiceAccount"): _service_account,
    ("", "Service"): _service,
    ("", "Pod"): _pod,
    ("", "PersistentVolumeClaim"): _claim,
    ("", "PersistentVolume"): _volume,
    ("batch", "Job"): _job,
}


def _without(parent: Manifest, key: str, dropped: Iterable[str]) -> None:
    """Take entries out of the map ``parent[key]``, and the map itself when nothing is left."""
    found = parent.get(key)
    if found is None:
        return
    left = {name: value for name, value in found.items() if name not in dropped}
    if left:
        parent[key] = left
    else:
        del parent[key]


def local_webhook(obj: Manifest) -> str:
    """The URL of a webhook that only the machine of the old cluster can reach; empty: there is none."""
    configurations = [webhook.get("clientConfig") or {} for webhook in obj.get("webhooks") or ()]
    conversion = ((obj.get("spec") or {}).get("conversion") or {}) if obj["kind"] == "CustomResourceDefinition" else {}
    configurations.append((conversion.get("webhook") or {}).get("clientConfig") or {})
    for configuration in configurations:
        url = str(configuration.get("url") or "")
        if (urlsplit(url).hostname or "") in ("localhost", "127.0.0.1", "::1"):
            return url
    return ""


def order(exported: Iterable[Exported]) -> list[Exported]:
    """What others need comes before them."""

    def key(one: Exported) -> tuple[int, str, str, str, str]:
        metadata, kind = one.manifest["metadata"], one.manifest["kind"]
        rank = _ORDER.get(kind, _ORDER[""])
        return rank, one.manifest["apiVersion"], kind, metadata.get("namespace", ""), metadata["name"]

    return sorted(exported, key=key)


# --- YAML -------------------------------------------------------------------------------------------------------------

#: Strings that some reader of YAML takes for a number, a truth value or a time where PyYAML does not.
_AMBIGUOUS: Final = re.compile(r"[-+]?\.?[0-9].*|[yYnN]|[-+]?\.(?:inf|nan)|~", re.IGNORECASE | re.DOTALL)


_DumperBase: Any = getattr(yaml, "CSafeDumper", yaml.SafeDumper)


class _Dumper(_DumperBase):  # type: ignore[misc]
    """Writes what occurs twice out twice: aliases are read by programs, but not by people."""

    def ignore_aliases(self, data: object) -> bool:
        return True


def _text(dumper: Any, value: str) -> yaml.Node:
    style = "|" if "\n" in value else "'" if _AMBIGUOUS.fullmatch(value) else None
    node: yaml.Node = dumper.represent_scalar("tag:yaml.org,2002:str", value, style=style)
    return node


_Dumper.add_representer(str, _text)


def document(exported: Exported) -> str:
    """One document of the stream, with its notes as a comment."""
    notes = "".join(f"# not exported: {re.sub(r'[^ -~]', '?', note)}\n" for note in exported.notes)
    body = yaml.dump(exported.manifest, Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=120)
    return f"---\n{notes}{body}"


# --- reading ----------------------------------------------------------------------------------------------------------


async def resources(client: Client) -> list[ResourceRef]:
    """What can be listed and created, each in the version that the server prefers."""
    found: list[ResourceRef] = []
    for group, versions in (await client.mapper.groups()).items():
        seen: set[str] = set()
        for version in versions:
            path = f"/apis/{group}/{version}" if group else f"/api/{version}"
            for resource in (await client.request_json("GET", path)).get("resources") or ():
                plural, verbs = resource["name"], resource.get("verbs") or ()
                if "/" in plural or plural in seen or (group, plural) in _OF_THE_CLUSTER:
                    continue
                if "list" in verbs and "create" in verbs:
                    seen.add(plural)
                    found.append(ResourceRef(group, version, plural, resource["namespaced"], resource["kind"]))
    return found


async def collect(
    client: Client, namespaces: Sequence[str] = (), *, system: bool = False, warn: Callable[[str], None]
) -> list[Exported]:
    """What is to be exported, in order.

    ``namespaces``: these with what lies in them, and nothing else (empty: everything). ``system``: also what lies in
    the namespaces ``kube-*``. ``warn`` gets what is left out though it may be missed. Raises KubeError.
    """
    exported = []
    chosen = [await client.get(_NAMESPACES, name) for name in dict.fromkeys(namespaces)]
    for ref in await resources(client):
        found: list[Manifest] = []
        if not namespaces:
            found = await _list(client, ref, None)
        elif ref == _NAMESPACES:
            found = chosen
        elif ref.namespaced:
            for namespace in chosen:
                found += await _list(client, ref, namespace["metadata"]["name"])
        for obj in found:
            obj = {**obj, "apiVersion": ref.api_version, "kind": ref.kind}
            if belongs_to_cluster(obj, system=system or bool(namespaces)):
                continue
            url = local_webhook(obj)
            if url:
                warn(f"{ref.kind} {obj['metadata']['name']} is left out: its webhook {url} is on the old machine")
                continue
            exported.append(clean(obj))
    return order(exported)


_NAMESPACES: Final = ResourceRef("", "v1", "namespaces", False, "Namespace")


async def _list(client: Client, ref: ResourceRef, namespace: str | None) -> list[Manifest]:
    try:
        return await client.list(ref, namespace)
    except NotFound:
        # Its definition went since the server was asked what there is.
        return []


def render(exported: Sequence[Exported], source: str) -> Iterator[str]:
    """The YAML stream, piece by piece."""
    yield f"# Exported from {re.sub(r'[^ -~]', '?', source)}: {len(exported)} objects. Secrets are among them.\n"
    for one in exported:
        yield document(one)


def export(
    kubeconfig: str | None,
    context: str | None,
    namespaces: Sequence[str],
    *,
    system: bool,
    file: IO[str] | None = None,
) -> None:
    """Print what a cluster holds. Raises KubeError."""
    config = ClientConfig.load(kubeconfig, context)

    def warn(text: str) -> None:
        print(f"warning: {text}", file=sys.stderr)

    async def read() -> list[Exported]:
        async with Client(config, user_agent="merope") as client:
            return await collect(client, namespaces, system=system, warn=warn)

    for piece in render(asyncio.run(read()), config.server):
        print(piece, end="", file=file)
