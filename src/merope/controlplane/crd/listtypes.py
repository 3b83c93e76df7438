"""Lists that are sets or maps: no value, no combination of keys, may occur twice.

Schemas can't say it in their value keywords, so it is checked apart. An update of an object that already has such
duplicates may leave them and add more, as with Kubernetes.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import orjson

from merope.controlplane.crd.values import NOTHING
from merope.controlplane.errors import FieldError, duplicate, invalid_value
from merope.lang.schema import Node

_Check = Callable[[Any, str, "list[FieldError]"], None]


def item_key(item: dict[str, Any], keys: tuple[str, ...]) -> bytes:
    """What identifies an item of a map list: the values of its keys, as far as it has them."""
    return orjson.dumps([item.get(key) for key in keys])


def check_list_types(node: Node, obj: Any, old: Any = NOTHING, path: str = "") -> list[FieldError]:
    """Complaints about duplicates anywhere in ``obj``; ``old`` is the value before an update (NOTHING on create)."""
    check = _check(node)
    if check is None:
        return []
    errors: list[FieldError] = []
    check(obj, path, errors)
    if errors and old is not NOTHING:
        before: list[FieldError] = []
        check(old, path, before)
        if before:
            return []
    return errors


def _check(node: Node) -> _Check | None:
    """None where no list at or below the node has a type that needs unique items."""
    if "listtypes" not in node.compiled:
        node.compiled["listtypes"] = None if node.ref else _compile(node)
    found: _Check | None = node.compiled["listtypes"]
    return found


def _compile(node: Node) -> _Check | None:
    fields = {name: below for name, child in node.properties.items() if (below := _check(child)) is not None}
    values = _check(node.additional) if node.additional is not None else None
    items = _check(node.items) if node.items is not None else None
    of_list: _Check | None = None
    if node.list_type in ("set", "map") or items is not None:
        of_list = _list(node, items)
    if not fields and values is None:
        return of_list

    def check(value: Any, path: str, errors: list[FieldError]) -> None:
        if value.__class__ is dict:
            for key, inner in value.items():
                of_field = fields.get(key)
                if of_field is not None:
                    of_field(inner, f"{path}.{key}" if path else key, errors)
                elif values is not None and key not in node.properties:
                    values(inner, f"{path}[{key}]", errors)
        elif of_list is not None:
            of_list(value, path, errors)

    return check


def _list(node: Node, items: _Check | None) -> _Check:
    keys = node.list_map_keys if node.list_type == "map" else ()
    unique = node.list_type in ("set", "map")

    def check(value: Any, path: str, errors: list[FieldError]) -> None:
        if value.__class__ is not list:
            return
        if keys:
            for index, item in enumerate(value):
                if item.__class__ is not dict:
                    text = "must be an object for an array of list-type map"
                    errors.append(invalid_value(f"{path}[{index}]", item, text))
        if unique and len(value) > 1 and not _distinct(value, keys):
            errors.extend(_duplicates(value, path, keys))
        if items is not None:
            for index, item in enumerate(value):
                items(item, f"{path}[{index}]", errors)

    return check


def _distinct(value: list[Any], keys: tuple[str, ...]) -> bool:
    """A quick look that most lists pass; False means that it takes a closer one."""
    try:
        if len(keys) == 1:
            key = keys[0]
            return len({item[key] for item in value}) == len(value)
        if keys:
            return len({tuple([item.get(key) for key in keys]) for item in value}) == len(value)
        return len(set(value)) == len(value)
    except (TypeError, KeyError, AttributeError):
        return False


def _duplicates(value: list[Any], path: str, keys: tuple[str, ...]) -> list[FieldError]:
    """One complaint for each value that is there more than once, at its second place."""
    errors = []
    for index in _repeated(value, keys):
        item = value[index]
        shown = {name: item[name] for name in keys if name in item} if keys else item
        errors.append(duplicate(f"{path}[{index}]", shown))
    return errors


def _repeated(value: list[Any], keys: tuple[str, ...]) -> list[int]:
    """The places of the second occurrence of all items that occur more than once."""
    seen: dict[bytes, bool] = {}
    repeated: list[int] = []
    for index, item in enumerate(value):
        if keys:
            if item.__class__ is not dict:
                continue
            key = item_key(item, keys)
        else:
            key = orjson.dumps(item, option=orjson.OPT_SORT_KEYS)
        if key not in seen:
            seen[key] = False
        elif not seen[key]:
            seen[key] = True
            repeated.append(index)
    return repeated
