"""The record of owners in ``metadata.managedFields``, decoded and encoded.

An owner that applies is one entry per manager and endpoint; an owner that updates is one per manager, endpoint and API
version. Entries keep their time unless they gain something.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, NamedTuple

import orjson

from merope.controlplane.fieldmanager.fieldset import FieldSet
from merope.lang.schema import Node

#: At most so many entries of managers that update; the oldest are folded into one.
MAX_UPDATE_MANAGERS: Final = 10
ANCIENT: Final = "ancient-changes"
BEFORE_FIRST_APPLY: Final = "before-first-apply"

#: (object, API version) -> the schema and the object in that version, or None where it is served no longer.
Convert = Callable[[Mapping[str, Any], str], "tuple[Node, Mapping[str, Any]] | None"]


class Owner(NamedTuple):
    """Who an entry belongs to. ``api_version`` is empty for owners that apply."""

    operation: str
    manager: str
    api_version: str
    subresource: str


@dataclass(slots=True)
class Owned:
    """What an owner owns, in which API version its paths are written, and since when."""

    fields: FieldSet
    api_version: str
    time: str


Record = dict[Owner, Owned]


def owner_of(operation: str, manager: str, api_version: str, subresource: str) -> Owner:
    return Owner(operation, manager, api_version if operation == "Update" else "", subresource)


def _names(*names: str) -> set[str]:
    return {f"f:{name}" for name in names}


#: What nobody owns: identity, and what the server alone writes.
_NEVER_OWNED: Final = FieldSet(
    _names("apiVersion", "kind", "metadata"),
    {
        "f:metadata": FieldSet(
            _names(
                "name",
                "namespace",
                "creationTimestamp",
                "selfLink",
                "uid",
                "clusterName",
                "generation",
                "managedFields",
                "resourceVersion",
                "deletionTimestamp",
                "deletionGracePeriodSeconds",
            )
        )
    },
)


def strip_meta(fields: FieldSet) -> FieldSet:
    return fields.difference(_NEVER_OWNED)


def reset_fields(paths: Sequence[Sequence[str]]) -> FieldSet:
    """Field-name paths as a set."""
    out = FieldSet()
    for path in paths:
        out.insert(tuple(f"f:{name}" for name in path))
    return out


#: Decoded sets by their JSON. Objects of one kind, and one object at each write, have few different ones. A set is not
#: changed any more once it is here.
_DECODED: Final[dict[bytes, FieldSet]] = {}
_DECODED_KEPT: Final = 2048


def _fields_of(fields: Mapping[str, Any]) -> FieldSet:
    key = orjson.dumps(fields)
    found = _DECODED.get(key)
    if found is None:
        found = FieldSet.from_json(fields)
        found.json = key
        if len(_DECODED) >= _DECODED_KEPT:
            _DECODED.clear()
        _DECODED[key] = found
    return found


def decode(entries: Any) -> Record:
    """Raises ValueError where an entry is malformed."""
    record: Record = {}
    for entry in entries or ():
        if not isinstance(entry, Mapping) or entry.get("operation") not in ("Apply", "Update"):
            raise ValueError("an entry needs the operation Apply or Update")
        if entry.get("fieldsType") != "FieldsV1":
            raise ValueError("fieldsType must be FieldsV1")
        api_version = entry.get("apiVersion", "")
        owner = owner_of(entry["operation"], entry.get("manager", ""), api_version, entry.get("subresource", ""))
        fields = _fields_of(entry.get("fieldsV1") or {})
        if fields:
            record[owner] = Owned(fields, api_version, entry.get("time") or "")
    return record


def decode_or_empty(entries: Any) -> Record:
    """As ``decode``; a record that is malformed counts as none: no write fails because of it."""
    try:
        return decode(entries)
    except (ValueError, TypeError, AttributeError):
        return {}


def is_reset(entries: Any) -> bool:
    """Whether a writer asks to forget all owners: an empty list, or one empty entry."""
    return isinstance(entries, list) and (not entries or (len(entries) == 1 and not entries[0]))


def encode(record: Record) -> list[dict[str, Any]]:
    """As managedFields, in the order that Kubernetes keeps."""

    def order(item: tuple[Owner, Owned]) -> tuple[str, str, str, str, str]:
        owner, owned = item
        return owner.operation, owned.time, owner.manager, owned.api_version, owner.subresource

    out: list[dict[str, Any]] = []
    for owner, owned in sorted(record.items(), key=order):
        if not owned.fields:
            continue
        entry: dict[str, Any] = {}
        if owner.manager:
            entry["manager"] = owner.manager
        entry["operation"] = owner.operation
        entry["apiVersion"] = owned.api_version
        if owned.time:
            entry["time"] = owned.time
        entry["fieldsType"] = "FieldsV1"
        known = owned.fields.json
        entry["fieldsV1"] = orjson.loads(known) if known else owned.fields.to_json()
        if owner.subresource:
            entry["subresource"] = owner.subresource
        out.append(entry)
    return out


def cap(record: Record) -> None:
    """Fold the oldest updating owners, per API version, into one each so that at most ten remain; in place."""
    updaters = sorted(
        (owner for owner in record if owner.operation == "Update"),
        key=lambda owner: (record[owner].time, owner.manager),
    )
    excess = len(updaters) - MAX_UPDATE_MANAGERS
    for owner in updaters:
        if excess <= 0:
            return
        if owner.manager == ANCIENT:
            continue
        folded = record.pop(owner)
        into = Owner("Update", ANCIENT, owner.api_version, "")
        older = record.get(into)
        if older is None:
            record[into] = folded
            # The new entry takes the place of the folded one; only a second one makes the list shorter.
        else:
            record[into] = Owned(older.fields.union(folded.fields), folded.api_version, max(older.time, folded.time))
            excess -= 1


def reconcile(node: Node, record: Record, api_version: str) -> None:
    """Follow schema changes in place: paths into what has become atomic collapse to the place itself."""
    for owned in record.values():
        if owned.api_version == api_version:
            owned.fields = _collapse(node, owned.fields, root=True)


def _collapse(node: Node | None, fields: FieldSet, *, root: bool = False) -> FieldSet:
    if node is None or not fields.children:
        return fields
    members = fields.members
    children: dict[str, FieldSet] = {}
    changed = False
    for element, child in fields.children.items():
        below = node.child(element[2:]) if element.startswith("f:") else node.items
        if root and element == "f:metadata":
            children[element] = child
        elif below is not None and _atomic(below):
            members = members | {element}
            changed = True
        else:
            inner = _collapse(below, child)
            changed = changed or inner is not child
            children[element] = inner
    return FieldSet(members, children) if changed else fields


def _atomic(node: Node) -> bool:
    if node.raw or node.map_type == "atomic":
        return True
    if node.kind != "array":
        return False
    return node.list_type == "atomic" or (node.list_type is None and "merge" not in node.patch_strategy)


# --- no-op writes ------------------------------------------------------------------------------------------------


def equal_ignoring_times(one: Sequence[Mapping[str, Any]], other: Sequence[Mapping[str, Any]]) -> bool:
    """Whether two managedFields say the same but for times (and therefore order)."""
    return len(one) == len(other) and _by_owner(one) == _by_owner(other)


def restore_times(new: Sequence[dict[str, Any]], old: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """``new`` with the times, and so the order, of the equal entries of ``old``."""
    times = {_identity(entry): entry.get("time") for entry in old}
    for entry in new:
        earlier = times.get(_identity(entry))
        if earlier:
            entry["time"] = earlier
    return encode(decode(new))


def _identity(entry: Mapping[str, Any]) -> tuple[str, ...]:
    return tuple(str(entry.get(key, "")) for key in ("manager", "operation", "apiVersion", "subresource"))


def _by_owner(entries: Sequence[Mapping[str, Any]]) -> dict[tuple[str, ...], Any]:
    return {_identity(entry): entry.get("fieldsV1") for entry in entries}
