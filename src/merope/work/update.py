"""The update strategy ``Update``: what an object that exists becomes when its manifest is applied.

Metadata is merged: labels, annotations and owners that others added stay, and keys that end in ``-`` remove. The rest
depends on the kind. For the kinds in the table below only the parts that the manifest governs are replaced, so what the
API server filled in, or another controller wrote, is kept. Every other kind is replaced as a whole.

Pure functions over raw objects; what is given is not changed.
"""

from __future__ import annotations

import base64
import copy
import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from merope.kube import Manifest
from merope.lang import gojson
from merope.lang.quantity import Quantity, QuantityError
from merope.work.applied import merge_owner
from merope.work.manifests import without_removals

_SPEC_HASH: Final = "operator.openshift.io/spec-hash"
_DEFAULT_CLASS: Final = "storageclass.kubernetes.io/is-default-class"
_CSI_PROFILE: Final = "security.openshift.io/csi-ephemeral-volume-profile"
_RBAC: Final = "rbac.authorization.k8s.io"


class UnsupportedManifest(ValueError):
    """A manifest that can't be applied as it is."""


@dataclass(frozen=True)
class Update:
    """What is to be done to an object that exists: ``obj`` is written (None: nothing is to be done); with
    ``recreate`` the object is deleted first, because it can't be changed in that way.
    """

    obj: Manifest | None = None
    recreate: bool = False


# --- comparing as decoded objects ------------------------------------------------------------------------------------


def pruned(value: Any) -> Any:
    """A value without what decoded objects don't tell from absence: null, empty lists, maps and texts."""
    if isinstance(value, Mapping):
        return {key: item for key, item in ((key, pruned(item)) for key, item in value.items()) if not _empty(item)}
    if isinstance(value, list):
        return [pruned(item) for item in value]
    return value


def _empty(value: Any) -> bool:
    return value is None or (isinstance(value, (str, list, dict)) and not value)


def same(one: Any, other: Any) -> bool:
    """Whether two parts of objects mean the same."""
    return _same(pruned(one), pruned(other))


def _same(one: Any, other: Any) -> bool:
    if isinstance(one, dict) and isinstance(other, dict):
        return one.keys() == other.keys() and all(_same(item, other[key]) for key, item in one.items())
    if isinstance(one, list) and isinstance(other, list):
        return len(one) == len(other) and all(map(_same, one, other))
    if isinstance(one, bool) or isinstance(other, bool):
        return one is other
    if one == other:
        return True
    return (_empty(one) and _empty(other)) or _same_quantity(one, other)


def _same_quantity(one: Any, other: Any) -> bool:
    """``1`` and ``1000m`` in resource lists. Texts that merely look alike differ at their first character at least."""
    if not all(isinstance(value, (str, int, float)) for value in (one, other)):
        return False
    if not all(str(value)[:1].isdigit() for value in (one, other)):
        return False
    try:
        return Quantity.parse(one) == Quantity.parse(other)
    except QuantityError:
        return False


# --- metadata --------------------------------------------------------------------------------------------------------


def merged_metadata(live: Mapping[str, Any], wanted: Mapping[str, Any]) -> dict[str, Any]:
    """The live metadata with the manifest's labels, annotations and owners merged into it."""
    merged = {key: copy.deepcopy(value) for key, value in live.items() if key != "managedFields"}
    for field in ("labels", "annotations"):
        values = _merged_map(merged.get(field) or {}, wanted.get(field) or {})
        if values or field in live:
            merged[field] = values
    owners = merged.get("ownerReferences") or []
    for owner in wanted.get("ownerReferences") or ():
        owners = merge_owner(owners, owner)
    if owners or "ownerReferences" in live:
        merged["ownerReferences"] = owners
    return merged


def _merged_map(live: Mapping[str, str], wanted: Mapping[str, str]) -> dict[str, str]:
    merged = dict(live)
    for key, value in wanted.items():
        if key.endswith("-"):
            merged.pop(key.rstrip("-"), None)
        else:
            merged[key] = value
    return merged


def metadata_changed(before: Mapping[str, Any], after: Mapping[str, Any]) -> bool:
    return any(
        (before.get(field) or None) != (after.get(field) or None)
        for field in ("labels", "annotations", "ownerReferences")
    )


# --- the kinds -------------------------------------------------------------------------------------------------------

# A merge changes a copy of the live object, whose metadata is merged already, towards the (prepared) manifest; it
# returns whether it changed anything.
_Merge = Callable[[Manifest, Manifest], bool]


@dataclass(frozen=True)
class _Kind:
    merge: _Merge
    prepare: Callable[[Manifest], Manifest] = lambda manifest: manifest
    recreate: Callable[[Manifest, Manifest], bool] = lambda live, manifest: False
    only_merge: bool = False
    """Whether changed metadata alone is no reason to write."""
    keep_removals: bool = False
    """Whether orders to remove are created as they are."""
    whole_spec: bool = False
    """Whether the manifest's spec replaces the live one where anything at all is written."""


def _replace(live: Manifest, field: str, value: Any) -> bool:
    if same(live.get(field), value):
        return False
    if value is None:
        live.pop(field, None)
    else:
        live[field] = copy.deepcopy(value)
    return True


def _replace_all(live: Manifest, values: Mapping[str, Any]) -> bool:
    changed = False
    for field, value in values.items():
        changed = _replace(live, field, value) or changed
    return changed


def _fields(*names: str) -> _Merge:
    def merge(live: Manifest, manifest: Manifest) -> bool:
        return _replace_all(live, {name: manifest.get(name) for name in names})

    return merge


def _nothing(live: Manifest, manifest: Manifest) -> bool:
    return False


def _config_map(live: Manifest, manifest: Manifest) -> bool:
    wanted = dict(manifest.get("data") or {})
    existing = live.get("data") or {}
    metadata = manifest.get("metadata") or {}
    if (metadata.get("labels") or {}).get("config.openshift.io/inject-trusted-cabundle") == "true":
        _keep_injected(wanted, existing, "ca-bundle.crt")
    if (metadata.get("annotations") or {}).get("service.beta.openshift.io/inject-cabundle") == "true":
        _keep_injected(wanted, existing, "service-ca.crt", always=True)
    changed = _replace(live, "data", wanted or None)
    return _replace(live, "binaryData", manifest.get("binaryData")) or changed


def _keep_injected(wanted: dict[str, Any], existing: Mapping[str, Any], key: str, *, always: bool = False) -> None:
    """A bundle that another controller puts in stays, unless the manifest has its own."""
    if key in existing and (always or key not in wanted):
        wanted[key] = existing[key]


def _prepared_secret(manifest: Manifest) -> Manifest:
    """``stringData`` folded into ``data``, and the default type."""
    prepared = {key: value for key, value in manifest.items() if key != "stringData"}
    data = dict(manifest.get("data") or {})
    for key, text in (manifest.get("stringData") or {}).items():
        encoded = base64.b64encode(str(text).encode()).decode()
        if key in data and data[key] != encoded:
            raise UnsupportedManifest(f'Secret.stringData["{key}"] conflicts with Secret.data["{key}"]')
        data[key] = encoded
    if data or "data" in manifest:
        prepared["data"] = data
    prepared["type"] = manifest.get("type") or "Opaque"
    return prepared


def _secret(live: Manifest, manifest: Manifest) -> bool:
    wanted = manifest.get("data") or {}
    if manifest.get("type") == "kubernetes.io/service-account-token":
        wanted = {**(live.get("data") or {}), **wanted}
    return _replace(live, "data", wanted or None)


def _secret_recreated(live: Manifest, manifest: Manifest) -> bool:
    return bool((live.get("type") or "Opaque") != manifest["type"])


#: Fields of a Service's spec in the order of their declaration, which the hash depends on.
_SERVICE_FIELDS: Final = (
    "ports",
    "selector",
    "clusterIP",
    "clusterIPs",
    "type",
    "externalIPs",
    "sessionAffinity",
    "loadBalancerIP",
    "loadBalancerSourceRanges",
    "externalName",
    "externalTrafficPolicy",
    "healthCheckNodePort",
    "publishNotReadyAddresses",
    "sessionAffinityConfig",
    "ipFamilies",
    "ipFamilyPolicy",
    "allocateLoadBalancerNodePorts",
    "loadBalancerClass",
    "internalTrafficPolicy",
    "trafficDistribution",
)
_PORT_FIELDS: Final = ("name", "protocol", "appProtocol", "port", "targetPort", "nodePort")
#: Pointers: false is not the same as absent.
_SERVICE_POINTERS: Final = frozenset({"allocateLoadBalancerNodePorts"})


def service_spec_hash(spec: Mapping[str, Any]) -> str:
    """SHA-256 of a Service's spec as Go writes it."""
    ordered: list[tuple[str, Any]] = []
    for field in _SERVICE_FIELDS:
        value = spec.get(field)
        if field == "ports":
            value = [_service_port(port) for port in value or ()]
        elif field == "selector":
            value = _ordered(sorted((value or {}).items()))
        if value or (value is False and field in _SERVICE_POINTERS):
            ordered.append((field, value))
    return hashlib.sha256(_go_struct(ordered)).hexdigest()


def _service_port(port: Mapping[str, Any]) -> _GoStruct:
    fields: list[tuple[str, Any]] = []
    for field in _PORT_FIELDS:
        value = port.get(field)
        if field in ("port", "targetPort"):
            fields.append((field, value if value is not None else 0))
        elif value:
            fields.append((field, value))
    return _ordered(fields)


class _GoStruct(list[tuple[str, Any]]):
    """Fields in order, to be written as a JSON object."""


def _ordered(fields: Any) -> _GoStruct:
    return _GoStruct(fields)


def _go_struct(fields: list[tuple[str, Any]]) -> bytes:
    return b"{" + b",".join(gojson.dumps(key) + b":" + _go_value(value) for key, value in fields) + b"}"


def _go_value(value: Any) -> bytes:
    if isinstance(value, _GoStruct):
        return _go_struct(value)
    if isinstance(value, list):
        return b"[" + b",".join(map(_go_value, value)) + b"]"
    return gojson.dumps(value)


def _with_spec_hash(digest: Callable[[Mapping[str, Any]], str]) -> Callable[[Manifest], Manifest]:
    def prepare(manifest: Manifest) -> Manifest:
        metadata = dict(manifest.get("metadata") or {})
        metadata["annotations"] = {
            **(metadata.get("annotations") or {}),
            _SPEC_HASH: digest(manifest.get("spec") or {}),
        }
        return {**manifest, "metadata": metadata}

    return prepare


def _service(live: Manifest, manifest: Manifest) -> bool:
    """Selector and type; whether the rest of the spec changed is told by the hash among the annotations."""
    wanted, existing = manifest.get("spec") or {}, live.get("spec") or {}
    return not same(wanted.get("selector"), existing.get("selector")) or (
        (wanted.get("type") or "ClusterIP") != (existing.get("type") or "ClusterIP")
    )


def _prepared_binding(manifest: Manifest) -> Manifest:
    """The API groups that the server assumes are written out."""
    prepared = copy.deepcopy(manifest)
    if prepared.get("roleRef"):
        prepared["roleRef"].setdefault("apiGroup", _RBAC)
    for subject in prepared.get("subjects") or ():
        if subject.get("kind") in ("User", "Group"):
            subject.setdefault("apiGroup", _RBAC)
    return prepared


def _cluster_role(live: Manifest, manifest: Manifest) -> bool:
    changed = _replace(live, "aggregationRule", manifest.get("aggregationRule"))
    if manifest.get("aggregationRule"):
        return changed
    return _replace(live, "rules", manifest.get("rules")) or changed


def _prepared_crd(manifest: Manifest) -> Manifest:
    """What the server fills in, so that it is no difference."""
    prepared = copy.deepcopy(manifest)
    spec = prepared.get("spec")
    if not isinstance(spec, dict):
        return prepared
    names = spec.get("names")
    if isinstance(names, dict) and names.get("kind"):
        names["singular"] = names.get("singular") or str(names["kind"]).lower()
        names["listKind"] = names.get("listKind") or f"{names['kind']}List"
    conversion = spec.get("conversion") or {"strategy": "None"}
    spec["conversion"] = conversion
    service = ((conversion.get("webhook") or {}).get("clientConfig") or {}).get("service")
    if isinstance(service, dict) and not service.get("port"):
        service["port"] = 443
    return prepared


_STORAGE_CLASS_FIXED: Final = ("parameters", "provisioner", "reclaimPolicy", "volumeBindingMode")
_STORAGE_CLASS_DEFAULTS: Final = {"reclaimPolicy": "Delete", "volumeBindingMode": "Immediate"}


def _storage_class(live: Manifest, manifest: Manifest) -> bool:
    fields = {key for key in (*live, *manifest) if key not in ("apiVersion", "kind", "metadata")}
    return _replace_all(live, {field: manifest.get(field, _STORAGE_CLASS_DEFAULTS.get(field)) for field in fields})


def _storage_class_recreated(live: Manifest, manifest: Manifest) -> bool:
    return any(
        not same(live.get(field), manifest.get(field, _STORAGE_CLASS_DEFAULTS.get(field)))
        for field in _STORAGE_CLASS_FIXED
    )


def _csi_driver_recreated(live: Manifest, manifest: Manifest) -> bool:
    wanted = (manifest["metadata"].get("annotations") or {}).get(_SPEC_HASH)
    return ((live.get("metadata") or {}).get("annotations") or {}).get(_SPEC_HASH) != wanted


def _json_hash(spec: Mapping[str, Any]) -> str:
    return hashlib.sha256(gojson.dumps(spec)).hexdigest()


def _webhooks(live: Manifest, manifest: Manifest) -> bool:
    """CA bundles are usually put in by others: they stay where the manifest has none."""
    bundles = {
        hook.get("name"): (hook.get("clientConfig") or {}).get("caBundle") for hook in live.get("webhooks") or ()
    }
    wanted = copy.deepcopy(manifest.get("webhooks") or [])
    for hook in wanted:
        client = hook.setdefault("clientConfig", {})
        if not client.get("caBundle") and bundles.get(hook.get("name")):
            client["caBundle"] = bundles[hook.get("name")]
    return _replace(live, "webhooks", wanted)


def _refused(manifest: Manifest) -> Manifest:
    raise UnsupportedManifest("missing migrationClient")


_METADATA: Final = _Kind(_nothing)
_SPEC: Final = _Kind(_fields("spec"))
_MONITORING: Final = _Kind(_fields("spec"), keep_removals=True)
_KINDS: Final[Mapping[tuple[str, str, str], _Kind]] = {
    ("", "v1", "Namespace"): _METADATA,
    ("", "v1", "ServiceAccount"): _METADATA,
    ("", "v1", "Pod"): _METADATA,
    ("", "v1", "ConfigMap"): _Kind(_config_map),
    ("", "v1", "Secret"): _Kind(_secret, _prepared_secret, _secret_recreated),
    ("", "v1", "Service"): _Kind(_service, _with_spec_hash(service_spec_hash), whole_spec=True),
    ("networking.k8s.io", "v1", "NetworkPolicy"): _SPEC,
    ("policy", "v1", "PodDisruptionBudget"): _SPEC,
    (_RBAC, "v1", "Role"): _Kind(_fields("rules")),
    (_RBAC, "v1", "ClusterRole"): _Kind(_cluster_role),
    (_RBAC, "v1", "RoleBinding"): _Kind(_fields("subjects", "roleRef"), _prepared_binding),
    (_RBAC, "v1", "ClusterRoleBinding"): _Kind(_fields("subjects", "roleRef"), _prepared_binding),
    ("apiextensions.k8s.io", "v1", "CustomResourceDefinition"): _Kind(_fields("spec"), _prepared_crd),
    ("storage.k8s.io", "v1", "StorageClass"): _Kind(_storage_class, recreate=_storage_class_recreated),
    ("storage.k8s.io", "v1", "CSIDriver"): _Kind(_nothing, _with_spec_hash(_json_hash), _csi_driver_recreated),
    ("admissionregistration.k8s.io", "v1", "ValidatingWebhookConfiguration"): _Kind(_webhooks),
    ("admissionregistration.k8s.io", "v1", "MutatingWebhookConfiguration"): _Kind(_webhooks),
    ("admissionregistration.k8s.io", "v1", "ValidatingAdmissionPolicy"): _SPEC,
    ("admissionregistration.k8s.io", "v1", "ValidatingAdmissionPolicyBinding"): _SPEC,
    ("admissionregistration.k8s.io", "v1beta1", "ValidatingAdmissionPolicy"): _SPEC,
    ("admissionregistration.k8s.io", "v1beta1", "ValidatingAdmissionPolicyBinding"): _SPEC,
    ("snapshot.storage.k8s.io", "v1", "VolumeSnapshotClass"): _Kind(
        _fields("parameters", "driver", "deletionPolicy"), only_merge=True
    ),
    ("migration.k8s.io", "v1alpha1", "StorageVersionMigration"): _Kind(_nothing, _refused),
}
_MONITORING_KINDS: Final = frozenset({"ServiceMonitor", "PrometheusRule", "Alertmanager", "Prometheus"})


def _kind(manifest: Mapping[str, Any]) -> _Kind | None:
    group, _, version = str(manifest.get("apiVersion") or "").rpartition("/")
    kind = str(manifest.get("kind") or "")
    if group == "monitoring.coreos.com" and kind in _MONITORING_KINDS:
        return _MONITORING
    return _KINDS.get((group, version, kind))


def special(manifest: Mapping[str, Any]) -> bool:
    """Whether the kind has rules of its own."""
    return _kind(manifest) is not None


def created(manifest: Manifest) -> Manifest:
    """The object to be created for a manifest. Raises UnsupportedManifest."""
    kind = _kind(manifest)
    if kind is None:
        return without_removals(manifest)
    prepared = kind.prepare(manifest)
    return prepared if kind.keep_removals else without_removals(prepared)


def updated(manifest: Manifest, live: Manifest) -> Update:
    """What becomes of a live object when the manifest is applied. Raises UnsupportedManifest."""
    kind = _kind(manifest)
    return _replaced(manifest, live) if kind is None else _merged(kind, kind.prepare(manifest), live)


def _replaced(manifest: Manifest, live: Manifest) -> Update:
    """The generic way: the manifest is the object, but for metadata that others own."""
    metadata = merged_metadata(live.get("metadata") or {}, manifest.get("metadata") or {})
    if not metadata_changed(live.get("metadata") or {}, metadata) and _content(manifest) == _content(live):
        return Update()
    return Update({**copy.deepcopy(manifest), "metadata": metadata})


def _content(obj: Mapping[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in obj.items() if key not in ("metadata", "status")}


def _merged(kind: _Kind, manifest: Manifest, live: Manifest) -> Update:
    if kind.recreate(live, manifest):
        return Update(without_removals(_carried_over(manifest, live)), recreate=True)
    before = live.get("metadata") or {}
    metadata = merged_metadata(before, _live_wins(manifest, before) or manifest.get("metadata") or {})
    obj = {**copy.deepcopy(live), "metadata": metadata}
    changed = kind.merge(obj, manifest)
    if not changed and (kind.only_merge or not metadata_changed(before, metadata)):
        return Update()
    if kind.whole_spec:
        obj["spec"] = copy.deepcopy(manifest.get("spec") or {})
    return Update(obj)


def _live_wins(manifest: Manifest, live: Mapping[str, Any]) -> dict[str, Any] | None:
    """The manifest's metadata where a value that the live object has wins over the manifest's."""
    field, key = {
        "StorageClass": ("annotations", _DEFAULT_CLASS),
        "CSIDriver": ("labels", _CSI_PROFILE),
    }.get(str(manifest.get("kind")), ("", ""))
    if not field or key not in (live.get(field) or {}):
        return None
    wanted = dict(manifest.get("metadata") or {})
    wanted[field] = {**(wanted.get(field) or {}), key: live[field][key]}
    return wanted


def _carried_over(manifest: Manifest, live: Manifest) -> Manifest:
    """The object that replaces a deleted one: owners that others have in it go on."""
    metadata = dict(_live_wins(manifest, live.get("metadata") or {}) or manifest.get("metadata") or {})
    owners = (live.get("metadata") or {}).get("ownerReferences") or []
    for owner in metadata.get("ownerReferences") or ():
        owners = merge_owner(owners, owner)
    if owners:
        metadata["ownerReferences"] = owners
    else:
        metadata.pop("ownerReferences", None)
    return {**manifest, "metadata": metadata}
