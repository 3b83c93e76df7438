"""Structural schemas at work on objects: prune what they don't declare, drop nulls, fill in defaults.

Each node of a type graph is compiled once, on first use, into a closure that knows what there is to do below it;
subtrees where nothing can happen cost nothing. Closures are kept on the node. Values decide which branch is walked,
not declared types: an object where the schema has a list of strings is still pruned (all its fields are unknown), and
validation complains about the type afterwards, as Kubernetes does.

Paths of unknown fields are composed on the way back up and only when there is one, so that the common case (nothing
unknown) never builds a string.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

import orjson

from merope.controlplane.crd.validation import validate as validate
from merope.controlplane.errors import REQUEST_LIMIT, request_too_large
from merope.lang.schema import Node

#: Takes a value and the mode; gives the paths (relative, with their leading ``.`` or ``[``) that are unknown, or None.
_Cleaner = Callable[[Any, int], "list[str] | None"]
_Defaulter = Callable[[Any, "_Room"], None]

_REPORT: Final = 0
_DROP_UNKNOWN: Final = 1
_DROP_NULLS: Final = 2


def prune(node: Node, obj: Any) -> list[str]:
    """Drop the fields that the schema doesn't declare, in place; gives their paths (``spec.list[0].x``), sorted."""
    return _paths(_cleaner(node)(obj, _DROP_UNKNOWN))


def unknown_fields(node: Node, obj: Any) -> list[str]:
    """The paths that ``prune`` would drop, sorted; ``obj`` is left as it is."""
    return _paths(_cleaner(node)(obj, _REPORT))


def drop_nulls(node: Node, obj: Any) -> None:
    """Remove nulls of fields that are neither nullable nor defaulted, in place; unknown fields stay."""
    _cleaner(node)(obj, _DROP_NULLS)


def clean(node: Node, obj: Any) -> list[str]:
    """``prune`` and ``drop_nulls`` in one walk: what a create, update, JSON patch or merge patch goes through."""
    return _paths(_cleaner(node)(obj, _DROP_UNKNOWN | _DROP_NULLS))


def has_defaults(node: Node) -> bool:
    """Whether ``default`` can ever do anything for objects of this node."""
    return _defaulter(node) is not None


def default(node: Node, obj: Any) -> None:
    """Fill in defaults of missing fields, in place, parents first.

    A null of a field that is not nullable counts as missing. Below a missing parent without a default nothing is
    created. Defaults inside referenced definitions (ObjectMeta) are documentation of zero values and never applied.
    Raises ApiError 413 where the defaults of many items would make an object larger than any that can be sent.
    """
    walk = _defaulter(node)
    if walk is not None:
        walk(obj, _Room(REQUEST_LIMIT))


def _paths(found: list[str] | None) -> list[str]:
    return sorted(path.removeprefix(".") for path in found) if found else []


# --- unknown fields and nulls --------------------------------------------------------------------------------------


def _cleaner(node: Node, *, preserve: bool = False) -> _Cleaner:
    """``preserve``: as if the node itself said that it preserves unknown fields (items of a list that does)."""
    key = "clean preserving" if preserve else "clean"
    found: _Cleaner | None = node.compiled.get(key)
    if found is None:
        found = node.compiled[key] = _compile_cleaner(node, preserve or node.preserve_unknown)
    return found


def _keep(value: Any, mode: int) -> None:
    return None


def _keeps_everything(node: Node, preserve: bool) -> bool:
    """Whether the schema says nothing of the inside, so that nothing in it can be unknown or wrongly null."""
    if node.raw:
        return True
    silent = not node.schema.get("properties") and node.additional is None and node.items is None
    if preserve:
        return silent
    return silent and bool(node.ref)


def _compile_cleaner(node: Node, open_ended: bool) -> _Cleaner:
    if _keeps_everything(node, open_ended):
        return _keep

    # Children are compiled when a value first reaches them: graphs may be cyclic and most fields are never used.
    properties = node.properties
    additional = node.additional
    items = node.items
    implicit = frozenset(("apiVersion", "kind", "metadata")) if node.embedded else frozenset()
    nulls_kept = frozenset(name for name, child in properties.items() if child.nullable or child.has_default)
    map_nulls_kept = additional is not None and (additional.nullable or additional.has_default)
    children: dict[str, _Cleaner] = {}
    of_map: list[_Cleaner] = []
    of_items: list[_Cleaner] = []

    def clean_object(value: dict[str, Any], mode: int) -> list[str] | None:
        unknown: list[str] | None = None
        dropped: list[str] | None = None
        for key, inner in value.items():
            walk = children.get(key)
            if walk is None:
                child = properties.get(key)
                if child is not None:
                    walk = children[key] = _cleaner(child)
                elif additional is not None:
                    if inner is None:
                        if mode & _DROP_NULLS and not map_nulls_kept:
                            dropped = [*(dropped or ()), key]
                        continue
                    if not of_map:
                        of_map.append(_cleaner(additional))
                    walk = of_map[0]
                else:
                    if not open_ended and key not in implicit:
                        unknown = [*(unknown or ()), f".{key}"]
                        if mode & _DROP_UNKNOWN:
                            dropped = [*(dropped or ()), key]
                    continue
            if inner is None:
                if mode & _DROP_NULLS and key not in nulls_kept:
                    dropped = [*(dropped or ()), key]
            elif walk is not _keep and (inner.__class__ is dict or inner.__class__ is list):
                below = walk(inner, mode)
                if below is not None:
                    unknown = [*(unknown or ()), *(f".{key}{path}" for path in below)]
        if dropped is not None:
            for key in dropped:
                del value[key]
        return unknown

    def clean_list(value: list[Any], mode: int) -> list[str] | None:
        if not of_items:
            if items is not None:
                of_items.append(_cleaner(items, preserve=open_ended))
            elif open_ended or node.ref:
                of_items.append(_keep)
            else:
                of_items.append(_unknown_inside)
        walk = of_items[0]
        if walk is _keep:
            return None
        unknown: list[str] | None = None
        for index, inner in enumerate(value):
            if inner.__class__ is dict or inner.__class__ is list:
                below = walk(inner, mode)
                if below is not None:
                    unknown = [*(unknown or ()), *(f"[{index}]{path}" for path in below)]
        return unknown

    def clean_value(value: Any, mode: int) -> list[str] | None:
        if value.__class__ is dict:
            return clean_object(value, mode)
        if value.__class__ is list:
            return clean_list(value, mode)
        return None

    return clean_value


def _unknown_inside(value: Any, mode: int) -> list[str] | None:
    """For items of a list that no schema describes: fields of objects in them are unknown."""
    unknown: list[str] | None = None
    if value.__class__ is dict:
        unknown = [f".{key}" for key in value] or None
        if mode & _DROP_UNKNOWN:
            value.clear()
    elif value.__class__ is list:
        for index, inner in enumerate(value):
            below = _unknown_inside(inner, mode)
            if below is not None:
                unknown = [*(unknown or ()), *(f"[{index}]{path}" for path in below)]
    return unknown


# --- defaults ------------------------------------------------------------------------------------------------------


def _defaulter(node: Node) -> _Defaulter | None:
    """None where no default can apply at or below the node's fields."""
    if "default" not in node.compiled:
        node.compiled["default"] = None if node.ref else _compile_defaulter(node)
    found: _Defaulter | None = node.compiled["default"]
    return found


class _Room:
    """How many bytes of defaults an object may still get."""

    __slots__ = ("left",)

    def __init__(self, left: int) -> None:
        self.left = left


def _maker(value: Any) -> Callable[[_Room], Any]:
    """Gives a fresh copy of a default at each call, as long as there is room for it."""
    encoded = orjson.dumps(value)
    size = len(encoded)
    plain = not isinstance(value, dict | list)

    def make(room: _Room) -> Any:
        room.left -= size
        if room.left < 0:
            raise request_too_large()
        return value if plain else orjson.loads(encoded)

    return make


def _compile_defaulter(node: Node) -> _Defaulter | None:
    makers: list[tuple[str, Callable[[_Room], Any], bool]] = []
    inside: dict[str, _Defaulter] = {}
    for name, child in node.properties.items():
        if child.has_default:
            makers.append((name, _maker(child.default), child.nullable))
        walk = _defaulter(child)
        if walk is not None:
            inside[name] = walk
    of_map = _value_defaulter(node.additional, frozenset(node.properties))
    of_items = _list_defaulter(node.items)
    if not makers and not inside and of_map is None:
        return of_items

    names = tuple(inside.items())

    def default_value(value: Any, room: _Room) -> None:
        if value.__class__ is dict:
            for name, make, nullable in makers:
                if name not in value or (value[name] is None and not nullable):
                    value[name] = make(room)
            for name, walk in names:
                inner = value.get(name)
                if inner is not None:
                    walk(inner, room)
            if of_map is not None:
                of_map(value, room)
        elif of_items is not None:
            of_items(value, room)

    return default_value


def _value_defaulter(child: Node | None, declared: frozenset[str]) -> _Defaulter | None:
    """Defaults inside map values; a null value that may not be one becomes the values' default."""
    if child is None:
        return None
    walk = _defaulter(child)
    make = _maker(child.default) if child.has_default and not child.nullable else None
    if walk is None and make is None:
        return None

    def default_map(value: dict[str, Any], room: _Room) -> None:
        for key, inner in value.items():
            if key in declared:
                continue
            if inner is None:
                if make is None:
                    continue
                inner = value[key] = make(room)
            if walk is not None:
                walk(inner, room)

    return default_map


def _list_defaulter(child: Node | None) -> _Defaulter | None:
    if child is None:
        return None
    walk = _defaulter(child)
    make = _maker(child.default) if child.has_default and not child.nullable else None
    if walk is None and make is None:
        return None

    def default_list(value: Any, room: _Room) -> None:
        if value.__class__ is not list:
            return
        for index, inner in enumerate(value):
            if inner is None:
                if make is None:
                    continue
                inner = value[index] = make(room)
            if walk is not None:
                walk(inner, room)

    return default_list
