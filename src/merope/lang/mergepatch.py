"""JSON merge patches (RFC 7396): applied by servers, created by clients that write only what they changed.

A merge patch is an object shaped like the document: a member replaces, an object merges, null removes, a list
replaces the whole list. So it cannot set a member to null; see `create_merge_patch`.

API servers go beyond the RFC in one thing: a null is also dropped from the objects inside of a list in the patch.
"""

from typing import Any

import orjson

from merope.api.diff import create_merge_patch

__all__ = ["apply", "create_merge_patch"]


def apply(doc: Any, patch: Any) -> Any:
    """The patched document. Neither argument is changed; untouched parts are shared with `doc`."""
    if not isinstance(patch, dict):
        return _without_nulls(patch)
    merged = dict(doc) if isinstance(doc, dict) else {}
    for key, value in patch.items():
        if value is None:
            merged.pop(key, None)
        elif isinstance(value, dict):
            merged[key] = apply(merged.get(key), value)
        else:
            # A list that takes the place of an object is the one that is left alone.
            merged[key] = value if isinstance(merged.get(key), dict) else _without_nulls(value)
    return merged


def _without_nulls(value: Any) -> Any:
    """A copy without the members that are null, at any depth; a null that is a list item stays."""
    if not isinstance(value, dict | list):
        return value
    try:
        raw = orjson.dumps(value)
    except TypeError:  # a number of more than 64 bits
        return _pruned(value)
    # Nearly always there is none to be found, and then the copy of the encoded form is by far the cheapest.
    return _pruned(value) if b"null" in raw else orjson.loads(raw)


def _pruned(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _pruned(inner) for key, inner in value.items() if inner is not None}
    if isinstance(value, list):
        return [_pruned(inner) for inner in value]
    return value
