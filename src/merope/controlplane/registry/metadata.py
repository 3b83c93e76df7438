"""The rules of ObjectMeta that hold for every kind: what a client may set, what the server owns, what is valid."""

from __future__ import annotations

import secrets
import uuid
from collections.abc import Mapping, Sequence
from typing import Any, Final

from merope.controlplane.errors import (
    TOO_LONG,
    FieldError,
    forbidden_field,
    invalid_value,
    required,
)
from merope.controlplane.resource import Object, restore
from merope.lang import names

ORPHAN: Final = "orphan"
FOREGROUND: Final = "foregroundDeletion"
#: Finalizers without a slash that built-in kinds know.
_STANDARD_FINALIZERS: Final = frozenset(
    {"kubernetes", ORPHAN, FOREGROUND, "customresourcecleanup.apiextensions.k8s.io"}
)
_ANNOTATIONS_LIMIT: Final = 256 * 1024
_GENERATED_BASE: Final = 58
_GENERATED_SUFFIX: Final = 5
#: No vowels and nothing that looks like another character: generated names spell no words.
_ALPHABET: Final = "bcdfghjklmnpqrstvwxz2456789"
_SERVER_OWNED: Final = ("creationTimestamp", "uid", "deletionTimestamp", "deletionGracePeriodSeconds", "selfLink")
#: ObjectMeta's members as they are declared.
_ORDER: Final = (
    "name",
    "generateName",
    "namespace",
    "selfLink",
    "uid",
    "resourceVersion",
    "generation",
    "creationTimestamp",
    "deletionTimestamp",
    "deletionGracePeriodSeconds",
    "labels",
    "annotations",
    "ownerReferences",
    "finalizers",
    "managedFields",
)
_MANAGER_LIMIT: Final = 128
_SUBRESOURCE_LIMIT: Final = 256


def metadata_of(obj: Object) -> dict[str, Any]:
    """The metadata of an object, made where it is missing."""
    metadata = obj.get("metadata")
    if metadata is None:
        metadata = obj["metadata"] = {}
    return metadata


def canonical(obj: Object) -> Object:
    """``obj`` in the order that objects are stored in: apiVersion, kind, metadata, then the rest as it came.

    Metadata is in the order in which Kubernetes prints it. The result shares with ``obj``.
    """
    metadata = obj["metadata"]
    # The store fills in the version: its place is taken here.
    ordered = {key: metadata.get(key, "") for key in _ORDER if key in metadata or key == "resourceVersion"}
    for key in metadata:
        if key not in ordered:
            ordered[key] = metadata[key]
    out: Object = {"apiVersion": obj["apiVersion"], "kind": obj["kind"], "metadata": ordered}
    for key in obj:
        if key not in out:
            out[key] = obj[key]
    return out


def wipe_for_create(metadata: dict[str, Any]) -> None:
    """Drop what only the server sets."""
    for key in _SERVER_OWNED:
        metadata.pop(key, None)


def drop_duplicate_owners(metadata: dict[str, Any]) -> list[str]:
    """Keep one owner reference for each uid; returns warnings."""
    owners = metadata.get("ownerReferences")
    if not owners or len(owners) < 2:
        return []
    seen: dict[str, Any] = {}
    repeated: list[str] = []
    for owner in owners:
        uid = owner.get("uid", "")
        if uid in seen:
            if uid not in repeated:
                repeated.append(uid)
        else:
            seen[uid] = owner
    if len(seen) == len(owners):
        return []
    metadata["ownerReferences"] = list(seen.values())
    return [
        f".metadata.ownerReferences contains duplicate entries; API server dedups owner references in 1.20+, and may "
        f"reject such requests as early as 1.24; please fix your requests; duplicate UID(s) observed: "
        f"{', '.join(repeated)}"
    ]


def generated_name(prefix: str) -> str:
    """A fresh name that starts with ``prefix``."""
    return prefix[:_GENERATED_BASE] + "".join(secrets.choice(_ALPHABET) for _ in range(_GENERATED_SUFFIX))


def new_uid() -> str:
    return str(uuid.uuid4())


def restore_for_update(metadata: dict[str, Any], old: Mapping[str, Any]) -> None:
    """Put back what an update may leave out or get wrong without harm; ``validate_update`` refuses the rest."""
    if not metadata.get("uid"):
        metadata["uid"] = old.get("uid", "")
    for key in ("creationTimestamp", "generation", "selfLink"):
        restore(metadata, old, key)  # type: ignore[arg-type]
    for key in ("deletionTimestamp", "deletionGracePeriodSeconds"):
        if metadata.get(key) is None and key in old:
            metadata[key] = old[key]


# --- validation --------------------------------------------------------------------------------------------------


def name_problems(rule: str, name: str, *, prefix: bool = False) -> list[str]:
    """Problems of a name under a kind's rule; ``prefix`` checks a generateName (its last character may be a dash)."""
    if prefix and rule != "path" and name.endswith("-"):
        name = name[:-1] + "a"
    if rule == "path":
        return names.is_path_segment_name(name)
    if rule == "label":
        if "." in name:
            return ["must not contain dots"]
        return names.is_dns1123_label(name)
    if rule == "label1035":
        return names.is_dns1035_label(name)
    return names.is_dns1123_subdomain(name)


def validate(metadata: Mapping[str, Any], *, namespaced: bool, rule: str, builtin: bool) -> list[FieldError]:
    """Complaints about the metadata of a new object or of a changed one."""
    out: list[FieldError] = []
    generate = metadata.get("generateName")
    name = metadata.get("name") or ""
    if generate:
        out += [
            invalid_value("metadata.generateName", generate, problem)
            for problem in name_problems(rule, generate, prefix=True)
        ]
    if not name:
        out.append(required("metadata.name", "name or generateName is required"))
    else:
        out += [invalid_value("metadata.name", name, problem) for problem in name_problems(rule, name)]
    namespace = metadata.get("namespace") or ""
    if namespaced:
        if not namespace:
            out.append(required("metadata.namespace"))
        else:
            out += [
                invalid_value("metadata.namespace", namespace, problem) for problem in names.is_dns1123_label(namespace)
            ]
    elif namespace:
        out.append(forbidden_field("metadata.namespace", "not allowed on this type"))
    generation = metadata.get("generation")
    if isinstance(generation, int) and generation < 0:
        out.append(invalid_value("metadata.generation", generation, "must be greater than or equal to 0"))
    out += labels_complaints(metadata.get("labels"), "metadata.labels")
    out += annotations_complaints(metadata.get("annotations"), "metadata.annotations")
    out += _owner_complaints(metadata.get("ownerReferences"))
    out += _finalizer_complaints(metadata.get("finalizers"), builtin=builtin)
    out += _managed_fields_complaints(metadata.get("managedFields"))
    return out


def labels_complaints(labels: Mapping[str, str] | None, path: str) -> list[FieldError]:
    """Complaints about a set of labels."""
    out: list[FieldError] = []
    for key, value in (labels or {}).items():
        out += [invalid_value(path, key, problem) for problem in names.is_qualified_name(key)]
        out += [invalid_value(path, value, problem) for problem in names.is_label_value(value)]
    return out


def annotations_complaints(annotations: Mapping[str, str] | None, path: str) -> list[FieldError]:
    """Complaints about a set of annotations."""
    out: list[FieldError] = []
    size = 0
    for key, value in (annotations or {}).items():
        out += [invalid_value(path, key, problem) for problem in names.is_qualified_name(key.lower())]
        size += len(key.encode()) + len(value.encode())
    if size > _ANNOTATIONS_LIMIT:
        out.append(FieldError(path, TOO_LONG, detail=f"may not be more than {_ANNOTATIONS_LIMIT} bytes"))
    return out


def _owner_complaints(owners: Sequence[Mapping[str, Any]] | None) -> list[FieldError]:
    if not owners:
        return []
    out: list[FieldError] = []
    path = "metadata.ownerReferences"
    controller: Mapping[str, Any] | None = None
    for owner in owners:
        api_version = owner.get("apiVersion") or ""
        if not api_version.rpartition("/")[2]:
            out.append(invalid_value(f"{path}.apiVersion", api_version, "version must not be empty"))
        for key in ("kind", "name", "uid"):
            if not owner.get(key):
                out.append(invalid_value(f"{path}.{key}", owner.get(key) or "", "must not be empty"))
        if api_version == "v1" and owner.get("kind") == "Event":
            out.append(invalid_value(path, dict(owner), "/v1, Kind=Event is disallowed from being an owner"))
        if owner.get("controller"):
            if controller is not None:
                first = f"{controller.get('kind')}/{controller.get('name')}"
                second = f"{owner.get('kind')}/{owner.get('name')}"
                out.append(
                    invalid_value(
                        path,
                        list(owners),
                        'Only one reference can have Controller set to true. Found "true" in references for '
                        f"{first} and {second}",
                    )
                )
            else:
                controller = owner
    return out


def _finalizer_complaints(finalizers: Sequence[str] | None, *, builtin: bool) -> list[FieldError]:
    if not finalizers:
        return []
    out: list[FieldError] = []
    path = "metadata.finalizers"
    for finalizer in finalizers:
        out += [invalid_value(path, finalizer, problem) for problem in names.is_qualified_name(finalizer)]
    if builtin:
        for index, finalizer in enumerate(finalizers):
            if "/" not in finalizer and finalizer not in _STANDARD_FINALIZERS:
                out.append(
                    invalid_value(
                        f"{path}[{index}]",
                        finalizer,
                        "name is neither a standard finalizer name nor is it fully qualified",
                    )
                )
    if ORPHAN in finalizers and FOREGROUND in finalizers:
        out.append(invalid_value(path, list(finalizers), "finalizer orphan and foregroundDeletion cannot be both set"))
    return out


def _managed_fields_complaints(entries: Sequence[Mapping[str, Any]] | None) -> list[FieldError]:
    out: list[FieldError] = []
    for index, entry in enumerate(entries or ()):
        path = f"metadata.managedFields[{index}]"
        if entry.get("operation") not in ("Apply", "Update"):
            out.append(invalid_value(f"{path}.operation", entry.get("operation"), "must be `Apply` or `Update`"))
        if entry.get("fieldsType") not in ("FieldsV1", None, ""):
            out.append(invalid_value(f"{path}.fieldsType", entry.get("fieldsType"), "must be `FieldsV1`"))
        if len(str(entry.get("manager", "")).encode()) > _MANAGER_LIMIT:
            out.append(FieldError(f"{path}.manager", TOO_LONG, detail=f"may not be more than {_MANAGER_LIMIT} bytes"))
        if len(str(entry.get("subresource", "")).encode()) > _SUBRESOURCE_LIMIT:
            out.append(
                FieldError(f"{path}.subresource", TOO_LONG, detail=f"may not be more than {_SUBRESOURCE_LIMIT} bytes")
            )
    return out


def finalizer_warnings(metadata: Mapping[str, Any]) -> list[str]:
    """Custom resources may use finalizers without a domain; their users hear that it is unwise."""
    return [
        f'metadata.finalizers: "{finalizer}": prefer a domain-qualified finalizer name'
        f"{' including a path (/)' if '.' in finalizer else ''} to avoid accidental conflicts with other finalizer "
        "writers"
        for finalizer in metadata.get("finalizers") or ()
        if "/" not in finalizer and finalizer not in (ORPHAN, FOREGROUND)
    ]


_IMMUTABLE: Final = (
    "name",
    "namespace",
    "uid",
    "creationTimestamp",
    "deletionTimestamp",
    "deletionGracePeriodSeconds",
)


def validate_update(metadata: Mapping[str, Any], old: Mapping[str, Any]) -> list[FieldError]:
    """Complaints about what an update changed in metadata although it is fixed."""
    out: list[FieldError] = []
    for key in _IMMUTABLE:
        if metadata.get(key) != old.get(key):
            out.append(invalid_value(f"metadata.{key}", metadata.get(key), "field is immutable"))
    if old.get("deletionTimestamp"):
        before = old.get("finalizers") or ()
        added = [finalizer for finalizer in metadata.get("finalizers") or () if finalizer not in before]
        if added:
            quoted = ", ".join(f'"{finalizer}"' for finalizer in added)
            out.append(
                forbidden_field(
                    "metadata.finalizers",
                    "no new finalizers can be added if the object is being deleted, found new finalizers "
                    f"[]string{{{quoted}}}",
                )
            )
    return out
