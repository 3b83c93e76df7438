"""JSON merge patches (RFC 7396): applied by servers, created by clients that write only what they changed.

A merge patch is an object shaped like the document: a member replaces, an object merges, null removes, a list
replaces the whole list. So it cannot set a member to null; see `create_merge_patch`.
"""

from typing import Any

from merope.api.diff import create_merge_patch

__all__ = ["apply", "create_merge_patch"]


def apply(doc: Any, patch: Any) -> Any:
    """The patched document. Neither argument is changed; untouched parts are shared with `doc`."""
    if not isinstance(patch, dict):
        return patch
    merged = dict(doc) if isinstance(doc, dict) else {}
    for key, value in patch.items():
        if value is None:
            merged.pop(key, None)
        elif isinstance(value, dict):
            merged[key] = apply(merged.get(key), value)
        else:
            merged[key] = value
    return merged
