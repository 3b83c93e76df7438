"""Ownership after a write that is not an apply: whoever changes a field takes it over, without conflict."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from merope.controlplane.fieldmanager import managed, typed
from merope.controlplane.fieldmanager.fieldset import FieldSet
from merope.controlplane.fieldmanager.managed import Convert, Owned, Owner, Record
from merope.lang.schema import Node


def update(
    node: Node,
    live: Mapping[str, Any] | None,
    new: dict[str, Any],
    *,
    manager: str,
    api_version: str,
    subresource: str = "",
    reset: Sequence[Sequence[str]] = (),
    now: str,
    convert: Convert | None = None,
) -> None:
    """Set ``new["metadata"]["managedFields"]`` for a create (``live`` None), update, patch or status write.

    ``reset`` are the field paths that this endpoint does not write. The record that ``new`` brings along is taken if
    it is one; an empty one resets it. An object without a record that exists already stays without one until it is
    first applied. Never fails: what cannot be tracked clears the record.
    """
    metadata = new.setdefault("metadata", {})
    record = _starting_record(live, metadata.pop("managedFields", None), subresource)
    if not record and live is not None and live.get("metadata", {}).get("uid"):
        return
    try:
        before = _untracked(live or {})
        owner = managed.owner_of("Update", manager, api_version, subresource)
        _transfer(node, before, new, record, owner, api_version, managed.reset_fields(reset), now, convert)
    except typed.TypedError:
        return
    managed.cap(record)
    entries = managed.encode(record)
    if entries:
        metadata["managedFields"] = entries


def _starting_record(live: Mapping[str, Any] | None, brought: Any, subresource: str) -> Record:
    stored = (live or {}).get("metadata", {}).get("managedFields")
    if subresource:
        return managed.decode_or_empty(stored)
    if managed.is_reset(brought):
        return {}
    return managed.decode_or_empty(brought) or managed.decode_or_empty(stored)


def _untracked(obj: Mapping[str, Any]) -> Mapping[str, Any]:
    metadata = obj.get("metadata")
    if not metadata or "managedFields" not in metadata:
        return obj
    return {**obj, "metadata": {key: value for key, value in metadata.items() if key != "managedFields"}}


def _transfer(
    node: Node,
    before: Mapping[str, Any],
    after: Mapping[str, Any],
    record: Record,
    owner: Owner,
    api_version: str,
    ignored: FieldSet,
    now: str,
    convert: Convert | None,
) -> None:
    managed.reconcile(node, record, api_version)
    difference = typed.compare(node, before, after).without(ignored)
    comparisons: dict[str, typed.Comparison | None] = {api_version: difference}
    for other, owned in list(record.items()):
        seen = comparison_at(owned.api_version, comparisons, before, after, ignored, convert)
        if seen is None:
            del record[other]
            continue
        if not seen.same:
            changed = seen.modified.union(seen.added).union(seen.removed)
            owned.fields = owned.fields.difference(changed)
            if not owned.fields and other != owner:
                del record[other]
    gained = managed.strip_meta(difference.modified.union(difference.added))
    mine = record.get(owner)
    if gained:
        fields = gained if mine is None else mine.fields.union(gained)
        record[owner] = Owned(fields, api_version, now)
    elif mine is not None and not mine.fields:
        del record[owner]


def comparison_at(
    api_version: str,
    known: dict[str, typed.Comparison | None],
    before: Mapping[str, Any],
    after: Mapping[str, Any],
    ignored: FieldSet,
    convert: Convert | None,
) -> typed.Comparison | None:
    """The difference as seen in ``api_version`` (computed once); None where that version is gone.

    Without a converter all versions are taken to have one structure.
    """
    if api_version in known:
        return known[api_version]
    found: typed.Comparison | None
    if convert is None:
        found = next(iter(known.values()))
    else:
        one, other = convert(before, api_version), convert(after, api_version)
        found = typed.compare(other[0], one[1], other[1]).without(ignored) if one and other else None
    known[api_version] = found
    return found
