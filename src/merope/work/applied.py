"""The AppliedManifestWork: the anchor of a work on the managed cluster, and the record of what the work applied.

Every applied object has an owner reference to it, which decides who deletes the object; its status lists the objects,
which tells what a work no longer names. Pure functions over raw objects.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final, NamedTuple

from merope.api.work.v1 import GROUP
from merope.kube import Manifest

#: On a ManifestWork: what it applied is still to be deleted.
WORK_FINALIZER: Final = "cluster.open-cluster-management.io/manifest-work-cleanup"
#: On an AppliedManifestWork: the same.
APPLIED_WORK_FINALIZER: Final = "cluster.open-cluster-management.io/applied-manifest-work-cleanup"
API_VERSION: Final = f"{GROUP}/v1"
KIND: Final = "AppliedManifestWork"
#: Ends an owner's uid, a label's or an annotation's key that is to be removed.
REMOVAL: Final = "-"


def hub_hash(address: str) -> str:
    """What tells hubs apart: the SHA-256 of the hub's address, exactly as the kubeconfig has it."""
    return hashlib.sha256(address.encode()).hexdigest()


def applied_work_name(hub: str, work: str) -> str:
    """The name of the AppliedManifestWork of a work of this hub (its hash)."""
    return f"{hub}-{work}"


def work_name(hub: str, applied_work: str) -> str:
    """The name of the work whose AppliedManifestWork this is; empty where it is none of this hub's."""
    prefix = applied_work_name(hub, "")
    return applied_work.removeprefix(prefix) if applied_work.startswith(prefix) else ""


def new_applied_work(name: str, spec: Mapping[str, Any], labels: Mapping[str, str]) -> Manifest:
    """The AppliedManifestWork to be created. The work's labels are copied this once."""
    metadata: dict[str, Any] = {"name": name, "finalizers": [APPLIED_WORK_FINALIZER]}
    if labels:
        metadata["labels"] = dict(labels)
    return {"apiVersion": API_VERSION, "kind": KIND, "metadata": metadata, "spec": dict(spec)}


def applied_work_spec(hub: str, agent_id: str, work: str) -> dict[str, Any]:
    return {"hubHash": hub, "agentID": agent_id, "manifestWorkName": work}


# --- owners ----------------------------------------------------------------------------------------------------------


def owner_reference(name: str, uid: str, *, owned: bool = True) -> dict[str, Any]:
    """The reference to an AppliedManifestWork; with ``owned`` False the order to remove it."""
    return {"apiVersion": API_VERSION, "kind": KIND, "name": name, "uid": uid if owned else uid + REMOVAL}


def _group(api_version: Any) -> str:
    return str(api_version or "").rpartition("/")[0]


def merge_owner(existing: Sequence[Mapping[str, Any]] | None, wanted: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Owner references with the wanted one in it, or without it where its uid orders the removal.

    Owners are the same where name, kind and API group are: an AppliedManifestWork that was made again takes over.
    """
    merged = [dict(owner) for owner in existing or ()]
    remove = str(wanted["uid"]).endswith(REMOVAL)
    for index, owner in enumerate(merged):
        if (owner.get("name"), owner.get("kind")) == (wanted["name"], wanted["kind"]) and _group(
            owner.get("apiVersion")
        ) == _group(wanted["apiVersion"]):
            if remove:
                del merged[index]
            elif owner != wanted:
                merged[index] = dict(wanted)
            return merged
    if not remove:
        merged.append(dict(wanted))
    return merged


def without_owner(existing: Sequence[Mapping[str, Any]] | None, uid: str) -> list[dict[str, Any]]:
    """Owner references but the one of this uid."""
    return [dict(owner) for owner in existing or () if owner.get("uid") != uid]


class Ownership(NamedTuple):
    """Who holds an object, seen from one AppliedManifestWork."""

    ours: bool
    shared: bool
    """Whether another AppliedManifestWork holds it, too."""


def ownership(owners: Sequence[Mapping[str, Any]] | None, uid: str) -> Ownership:
    ours = any(owner.get("uid") == uid for owner in owners or ())
    shared = any(
        owner.get("apiVersion") == API_VERSION and owner.get("kind") == KIND and owner.get("uid") != uid
        for owner in owners or ()
    )
    return Ownership(ours, shared)


# --- the record ------------------------------------------------------------------------------------------------------


def applied_resource(group: str, version: str, resource: str, namespace: str, name: str, uid: str) -> dict[str, Any]:
    """An entry of ``status.appliedResources``, all fields written."""
    return {
        "group": group,
        "version": version,
        "resource": resource,
        "namespace": namespace,
        "name": name,
        "uid": uid,
    }


def identity(entry: Mapping[str, Any]) -> tuple[str, str, str, str]:
    """What makes two entries the same object: neither version nor uid."""
    return (
        entry.get("group") or "",
        entry.get("resource") or "",
        entry.get("namespace") or "",
        entry.get("name") or "",
    )


def untracked(recorded: Iterable[Mapping[str, Any]], applied: Iterable[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    """The recorded objects that the work no longer names."""
    named = {identity(entry) for entry in applied}
    return [entry for entry in recorded if identity(entry) not in named]


def sorted_resources(entries: Iterable[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Entries in the order in which they are recorded, so that the same objects give the same list."""
    return sorted(
        (dict(entry) for entry in entries),
        key=lambda entry: tuple(
            entry.get(field) or "" for field in ("group", "version", "resource", "namespace", "name")
        ),
    )
