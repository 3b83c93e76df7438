"""Strategic merge patches: merge patches that know which lists are keyed.

The schema says of a list whether a patch replaces it or merges into it, and by which key items are the same; the patch
may steer that with directives (``$patch``, ``$deleteFromPrimitiveList/F``, ``$setElementOrder/F``, ``$retainKeys``).
Pure: neither the object nor the patch is changed.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

from merope.lang.goformat import format_value
from merope.lang.schema import ANY, Node

_DIRECTIVE: Final = "$patch"
_RETAIN_KEYS: Final = "$retainKeys"
_DELETE_FROM: Final = "$deleteFromPrimitiveList/"
_ORDER: Final = "$setElementOrder/"


class StrategicMergeError(ValueError):
    """A patch that cannot be applied. ``internal`` marks those that Kubernetes reports as a server error."""

    def __init__(self, message: str, *, internal: bool = False) -> None:
        super().__init__(message)
        self.internal = internal


def apply(doc: Mapping[str, Any], patch: Mapping[str, Any], node: Node) -> dict[str, Any]:
    """``doc`` with ``patch`` merged in as ``node`` says. Raises StrategicMergeError."""
    return _merge_map(doc, patch, node)


def _merge_map(doc: Mapping[str, Any], patch: Mapping[str, Any], node: Node) -> dict[str, Any]:
    match patch.get(_DIRECTIVE):
        case None | "merge":
            pass
        case "replace":
            return {key: _without_directives(value) for key, value in patch.items() if key != _DIRECTIVE}
        case "delete":
            return {}
        case unknown:
            raise StrategicMergeError(f"Unknown patch type: {unknown} in map: {format_value(patch)}", internal=True)
    out = _retained(doc, patch)
    orders: dict[str, Sequence[Any]] = {}
    for key, value in patch.items():
        if key in (_DIRECTIVE, _RETAIN_KEYS):
            continue
        if key.startswith(_DELETE_FROM):
            _delete_scalars(out, key[len(_DELETE_FROM) :], value)
        elif key.startswith(_ORDER):
            orders[key[len(_ORDER) :]] = value
    for key, value in patch.items():
        if key.startswith("$"):
            continue
        _merge_member(out, key, value, node.child(key) or ANY, orders.pop(key, None), doc)
    for key, order in orders.items():
        if isinstance(out.get(key), list):
            below = node.child(key) or ANY
            out[key] = _ordered(out[key], [], order, doc.get(key) or [], below.patch_merge_key or "")
    return out


def _retained(doc: Mapping[str, Any], patch: Mapping[str, Any]) -> dict[str, Any]:
    keys = patch.get(_RETAIN_KEYS)
    if keys is None:
        return dict(doc)
    if not isinstance(keys, list):
        raise StrategicMergeError(f"{_RETAIN_KEYS} must be a list", internal=True)
    for key, value in patch.items():
        if not key.startswith("$") and value is not None and key not in keys:
            raise StrategicMergeError(f"{_RETAIN_KEYS} doesn't contain all the keys of the patch: {key}", internal=True)
    return {key: value for key, value in doc.items() if key in keys}


def _merge_member(
    out: dict[str, Any], key: str, value: Any, node: Node, order: Sequence[Any] | None, doc: Mapping[str, Any]
) -> None:
    if value is None:
        out.pop(key, None)
        return
    existing = out.get(key)
    if isinstance(value, Mapping):
        if value.get(_DIRECTIVE) == "delete":
            out.pop(key, None)
        elif isinstance(existing, Mapping) and "replace" not in node.patch_strategy:
            out[key] = _merge_map(existing, value, node)
        else:
            out[key] = _without_directives(value)
        return
    if isinstance(value, list) and "merge" in node.patch_strategy:
        live = existing if isinstance(existing, list) else []
        if node.patch_merge_key and _holds_maps(value, live):
            out[key] = _merge_keyed(live, value, node, order, doc.get(key) or [])
        else:
            out[key] = _merge_scalars(live, value, order, doc.get(key) or [])
        return
    out[key] = _without_directives(value)


def _holds_maps(*lists: Sequence[Any]) -> bool:
    return any(isinstance(item, Mapping) for items in lists for item in items)


def _delete_scalars(out: dict[str, Any], key: str, values: Any) -> None:
    live = out.get(key)
    if isinstance(live, list) and isinstance(values, list):
        out[key] = [item for item in live if item not in values]


def _merge_scalars(
    live: Sequence[Any], patch: Sequence[Any], order: Sequence[Any] | None, original: Sequence[Any]
) -> list[Any]:
    united = list(live)
    for item in patch:
        if item not in united:
            united.append(item)
    distinct = [item for index, item in enumerate(united) if item not in united[:index]]
    return _ordered(distinct, patch, order, original, "")


def _merge_keyed(
    live: Sequence[Any], patch: Sequence[Any], node: Node, order: Sequence[Any] | None, original: Sequence[Any]
) -> list[Any]:
    key = node.patch_merge_key or ""
    inner = node.items or ANY
    replace = any(isinstance(item, Mapping) and item.get(_DIRECTIVE) == "replace" for item in patch)
    wanted: list[Mapping[str, Any]] = []
    deleted: list[Any] = []
    for item in patch:
        if not isinstance(item, Mapping):
            raise StrategicMergeError(f"cannot merge {format_value(item)} into a list of maps", internal=True)
        directive = item.get(_DIRECTIVE)
        if directive == "replace":
            continue
        if key not in item:
            if replace:
                wanted.append(item)
                continue
            raise StrategicMergeError(
                f"map: {format_value(item)} does not contain declared merge key: {key}",
                internal=True,
            )
        if directive == "delete":
            deleted.append(item[key])
        else:
            wanted.append(item)
    if replace:
        return [_without_directives(item) for item in wanted]
    out = [item for item in live if not (isinstance(item, Mapping) and item.get(key) in deleted)]
    for item in wanted:
        for index, existing in enumerate(out):
            if isinstance(existing, Mapping) and existing.get(key) == item[key]:
                out[index] = _merge_map(existing, item, inner)
                break
        else:
            out.append(_without_directives(item))
    return _ordered(out, wanted, order, original, key)


def _ordered(
    merged: Sequence[Any], patch: Sequence[Any], order: Sequence[Any] | None, live: Sequence[Any], key: str
) -> list[Any]:
    """Put ``merged`` in order.

    The items that the order names (without one: those of the patch) form one group in that order, the rest another in
    the order of the live list. The groups are interleaved: an item of the rest comes first when it stands before the
    next named one in the live list.
    """

    def identity(item: Any) -> Any:
        return item.get(key) if key and isinstance(item, Mapping) else item

    patched = [identity(item) for item in patch]
    if order is None:
        named = patched
    else:
        named = [identity(item) for item in order]
        if any(item not in named for item in patched):
            raise StrategicMergeError(
                f"The order in patch list:\n{format_value(list(patch))}\n"
                f" doesn't match $setElementOrder list:\n{format_value(list(order))}\n",
                internal=True,
            )
    places = {_hashable(identity(item)): index for index, item in reversed(list(enumerate(live)))}
    ranks = {_hashable(item): index for index, item in reversed(list(enumerate(named)))}
    first = sorted(
        (item for item in merged if _hashable(identity(item)) in ranks),
        key=lambda item: ranks[_hashable(identity(item))],
    )
    rest = sorted(
        (item for item in merged if _hashable(identity(item)) not in ranks),
        key=lambda item: places.get(_hashable(identity(item)), len(live)),
    )
    out: list[Any] = []
    i = j = 0
    while i < len(first) and j < len(rest):
        next_named = places.get(_hashable(identity(first[i])))
        next_rest = places.get(_hashable(identity(rest[j])))
        if next_named is not None and next_rest is not None and next_rest < next_named:
            out.append(rest[j])
            j += 1
        else:
            out.append(first[i])
            i += 1
    return [*out, *first[i:], *rest[j:]]


def _hashable(value: Any) -> Any:
    return repr(value) if isinstance(value, Mapping | list) else (type(value) is bool, value)


def _without_directives(value: Any) -> Any:
    """A newly added value: directives mean nothing there, and nulls would only delete what is not there."""
    if isinstance(value, Mapping):
        if value.get(_DIRECTIVE) == "delete":
            return {}
        return {
            key: _without_directives(member)
            for key, member in value.items()
            if member is not None
            and not key.startswith((_DELETE_FROM, _ORDER))
            and key not in (_DIRECTIVE, _RETAIN_KEYS)
        }
    if isinstance(value, list):
        return [
            _without_directives(item)
            for item in value
            if not (isinstance(item, Mapping) and item.get(_DIRECTIVE) in ("delete", "replace"))
        ]
    return value
