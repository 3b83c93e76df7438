"""Bringing RBAC objects to a wanted state without taking away what others added to their metadata."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from merope.kube import CORE, AlreadyExists, Client, Conflict, NotFound, Snapshot

Manifest = dict[str, Any]


def merged(found: Mapping[str, Any], wanted: Mapping[str, Any]) -> Manifest:
    """``found`` with the labels, annotations and rules (or subjects) of ``wanted``; finalizers stay as they are.

    A label or annotation whose key ends in ``-`` is removed.
    """
    metadata = dict(found["metadata"])
    for part in ("labels", "annotations"):
        values = dict(metadata.get(part) or {})
        for key, value in ((wanted["metadata"].get(part)) or {}).items():
            if key.endswith("-"):
                values.pop(key[:-1], None)
            else:
                values[key] = value
        if values:
            metadata[part] = values
        else:
            metadata.pop(part, None)
    content = {key: wanted[key] for key in ("rules", "subjects", "roleRef") if key in wanted}
    return {**found, "metadata": metadata, **content}


async def ensure(client: Client, cached: Snapshot[Any] | None, wanted: Manifest) -> bool:
    """Create ``wanted`` or update what exists; whether anything was written.

    ``cached`` is what the caller's cache shows; an object hidden from it (by a selector) is read live.
    """
    ref = CORE[wanted["kind"]]
    name, namespace = wanted["metadata"]["name"], wanted["metadata"].get("namespace")
    found: Manifest | None = cached.raw if cached is not None else None
    while True:
        if found is None:
            try:
                await client.create(ref, wanted, namespace)
            except AlreadyExists:
                found = await client.get(ref, name, namespace)
                continue
            return True
        changed = merged(found, wanted)
        if changed == found:
            return False
        try:
            await client.update(ref, changed)
        except Conflict:
            found = await client.get(ref, name, namespace)
            continue
        except NotFound:
            found = None
            continue
        return True


async def remove(client: Client, kind: str, name: str, namespace: str | None = None) -> None:
    """Delete an RBAC object; one that is gone already is fine."""
    await client.delete(CORE[kind], name, namespace, missing_ok=True)
