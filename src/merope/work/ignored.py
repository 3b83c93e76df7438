"""Fields that a work leaves to others (``ignoreFields`` of server-side apply): taking them out, and the hash of what is
left. Pure functions over raw manifests; both change nothing that is given.
"""

from __future__ import annotations

import copy
import hashlib
import re
from collections.abc import Iterable, Mapping, Sequence
from functools import lru_cache
from typing import Any, Final

from merope.kube import Manifest
from merope.lang.goformat import format_value
from merope.lang.jsonpath import JSONPathError, compile_jsonpath

#: On applied objects: what they were applied with, so that what others change stays until the manifest does.
HASH_ANNOTATION: Final = "open-cluster-management.io/config-spec-hash"


class IgnoreFieldError(ValueError):
    """A field that can't be taken out as it was asked for."""


def without_null_creation_times(value: Any) -> Any:
    """The same without ``creationTimestamp: null`` in any metadata: it would be a new generation with every apply."""
    if isinstance(value, dict):
        cleaned = {key: without_null_creation_times(item) for key, item in value.items()}
        metadata = cleaned.get("metadata")
        if isinstance(metadata, dict) and "creationTimestamp" in metadata and metadata["creationTimestamp"] is None:
            del metadata["creationTimestamp"]
        return cleaned
    if isinstance(value, list):
        return [without_null_creation_times(item) for item in value]
    return value


def strip(manifest: Manifest, ignore_fields: Sequence[Mapping[str, Any]]) -> Manifest:
    """A copy of the manifest without the fields that are ignored where the object exists. Raises IgnoreFieldError."""
    stripped = copy.deepcopy(manifest)
    for entry in ignore_fields:
        if (entry.get("condition") or "OnSpokePresent") != "OnSpokePresent":
            continue
        for path in entry.get("jsonPaths") or ():
            _remove_path(stripped, path)
        for pointer in entry.get("jsonPointers") or ():
            _remove_pointer(stripped, pointer)
        for expression in entry.get("jqPathExpressions") or ():
            stripped = _remove_jq(stripped, expression)
    return stripped


def config_hash(manifest: Manifest) -> str:
    """The hash of a stripped manifest; other implementations compute the same."""
    return hashlib.md5(f"&{{{format_value(manifest)}}}".encode(), usedforsecurity=False).hexdigest()


def with_hash(manifest: Manifest, value: str) -> Manifest:
    metadata = dict(manifest.get("metadata") or {})
    metadata["annotations"] = {**(metadata.get("annotations") or {}), HASH_ANNOTATION: value}
    return {**manifest, "metadata": metadata}


@lru_cache(maxsize=256)
def _parent(path: str) -> Any:
    return compile_jsonpath(f"{{{path}}}", allow_missing=True)


def _remove_path(manifest: Manifest, path: str) -> None:
    """A JSONPath whose last segment is a key. One that makes no sense removes nothing."""
    parent, _, key = path.rpartition(".")
    parents: Iterable[Any]
    try:
        parents = _parent(parent).find(manifest) if parent else [manifest]
    except JSONPathError:
        return
    for found in parents:
        if isinstance(found, dict):
            found.pop(key, None)


def _remove_pointer(manifest: Manifest, pointer: str) -> None:
    """A JSON pointer (RFC 6901). What isn't there needs no removal; a list index must be one."""
    if not pointer.startswith("/"):
        return
    *parents, last = [part.replace("~1", "/").replace("~0", "~") for part in pointer[1:].split("/")]
    current: Any = manifest
    for part in parents:
        if isinstance(current, dict):
            current = current.get(part)
        elif isinstance(current, list):
            current = current[index] if (index := _index(pointer, part)) < len(current) else None
        else:
            return
    if isinstance(current, dict):
        current.pop(last, None)
    elif isinstance(current, list) and (index := _index(pointer, last)) < len(current):
        del current[index]


def _index(pointer: str, part: str) -> int:
    if not re.fullmatch(r"0|[1-9][0-9]*", part):
        raise IgnoreFieldError(f"JSON Pointer error in '{pointer}': {part!r} is not an index of a list")
    return int(part)


def _remove_jq(manifest: Manifest, expression: str) -> Manifest:
    """A jq path: what ``del`` of it leaves, if that is an object."""
    from merope.lang import jq  # few works need it

    try:
        result = jq.delete(expression, manifest)
    except jq.JqError as error:
        raise IgnoreFieldError(f"JQ expression error in '{expression}': {error}") from error
    if not isinstance(result, dict):
        raise IgnoreFieldError(f"JQ expression error in '{expression}': jq expression did not return an object")
    return result
