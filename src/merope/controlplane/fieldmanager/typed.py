"""Objects beside their schema: which paths one has, how two differ, what merging and removing give.

What a place is depends on the schema and, where that is silent, on the value: a map is granular (each entry on its own)
or atomic, a list is associative (items known by their keys or, in a set, by their value) or atomic, anything else is a
scalar. Built-in kinds without a list type are associative where strategic merge patches merge them.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final, Literal

import orjson

from merope.controlplane.fieldmanager.fieldset import Element, FieldSet, Path, path_text, value_json
from merope.lang.goformat import format_value, type_name
from merope.lang.schema import ANY, Node, build

Shape = Literal["granular", "associative", "leaf"]
_ABSENT: Final = object()


class TypedError(Exception):
    """An object that does not fit its schema well enough to be tracked; the text names the place."""


# --- the shape of a place ----------------------------------------------------------------------------------------


def shape(node: Node, value: Any) -> Shape:
    """How ``value`` (None counts as empty) is owned at ``node``."""
    if isinstance(value, dict):
        if node.raw or node.map_type == "atomic" or node.list_type is not None:
            return "leaf"
        return "granular"
    if isinstance(value, list):
        return "associative" if _associative(node) else "leaf"
    return "leaf"


def _associative(node: Node) -> bool:
    if node.raw:
        return False
    if node.list_type is not None:
        return node.list_type in ("set", "map")
    return "merge" in node.patch_strategy and node.kind == "array"


def list_keys(node: Node) -> tuple[str, ...]:
    """The keys of items of an associative list; empty for sets."""
    if node.list_type == "map":
        return node.list_map_keys
    if node.list_type is None and node.patch_merge_key:
        return (node.patch_merge_key,)
    return ()


def item_element(node: Node, item: Any) -> Element:
    """The path element of an item of an associative list. Raises TypedError where it has no keys."""
    keys = list_keys(node)
    if not keys:
        if isinstance(item, dict | list):
            raise TypedError("associative list without keys has an element that's a map type")
        return f"v:{value_json(item)}"
    if not isinstance(item, dict):
        raise TypedError("associative list with keys may not have non-map elements")
    found: dict[str, Any] = {}
    for key in sorted(keys):
        if item.get(key) is not None:
            found[key] = item[key]
            continue
        below = node.items.child(key) if node.items is not None else None
        if below is not None and below.has_default:
            found[key] = below.default
    if not found:
        listed = " ".join(f'"{key}"' for key in keys)
        raise TypedError(
            f"associative list with keys has an element that omits all key fields [{listed}] "
            "(and doesn't have default values for any key fields)"
        )
    return f"k:{value_json(found)}"


_OBJECT_META: Final = build(
    {
        "type": "object",
        "properties": {
            "labels": {"type": "object", "additionalProperties": {"type": "string"}},
            "annotations": {"type": "object", "additionalProperties": {"type": "string"}},
            "finalizers": {
                "type": "array",
                "items": {"type": "string"},
                "x-kubernetes-list-type": "set",
            },
            "ownerReferences": {
                "type": "array",
                "items": {"type": "object", "x-kubernetes-map-type": "atomic"},
                "x-kubernetes-list-type": "map",
                "x-kubernetes-list-map-keys": ["uid"],
            },
            **{
                name: {"type": "string"}
                for name in (
                    "name",
                    "namespace",
                    "generateName",
                    "uid",
                    "resourceVersion",
                    "creationTimestamp",
                    "deletionTimestamp",
                    "selfLink",
                )
            },
            "generation": {"type": "integer"},
            "deletionGracePeriodSeconds": {"type": "integer"},
            "managedFields": {"type": "array", "x-kubernetes-list-type": "atomic"},
        },
    }
)
_STRING: Final = build({"type": "string"})


def field_node(node: Node, name: str, *, resource: bool = False) -> Node | None:
    """The node of a field; a resource has ``apiVersion``, ``kind`` and ``metadata`` whatever its schema says."""
    if resource or node.embedded:
        if name == "metadata":
            declared = node.properties.get(name)
            return declared if declared is not None and declared.properties.get("labels") else _OBJECT_META
        if name in ("apiVersion", "kind"):
            return _STRING
    found = node.child(name)
    if found is None and (node.deduced or node.preserve_unknown):
        return ANY
    return found


def _declared(node: Node, name: str, *, resource: bool) -> bool:
    """Whether ``name`` is a field of a struct, in contrast to the key of a map entry."""
    if resource and name in ("apiVersion", "kind", "metadata"):
        return True
    return name in node.properties or (node.embedded and name in ("apiVersion", "kind", "metadata"))


# --- the paths of an object --------------------------------------------------------------------------------------


def field_set(node: Node, obj: Mapping[str, Any]) -> FieldSet:
    """All paths that ``obj`` sets. Raises TypedError for list items without identity."""
    out = FieldSet()
    _collect(node, obj, out, resource=True)
    return out


def _collect(node: Node, value: Mapping[str, Any], out: FieldSet, *, resource: bool = False) -> None:
    for name, child in value.items():
        element = f"f:{name}"
        below = field_node(node, name, resource=resource) or ANY
        if not _declared(node, name, resource=resource) or child is None or child == {}:
            out.members.add(element)
        _collect_value(below, child, out, element)


def _collect_value(node: Node, value: Any, out: FieldSet, element: Element) -> None:
    kind = shape(node, value)
    if kind == "leaf":
        if value is not None:
            out.members.add(element)
        return
    below = FieldSet()
    if kind == "granular":
        _collect(node, value, below)
    else:
        _collect_items(node, value, below)
    if below:
        out.children[element] = below


def _collect_items(node: Node, items: Sequence[Any], out: FieldSet) -> None:
    elements = [item_element(node, item) for item in items]
    repeated = (
        {element for element in elements if elements.count(element) > 1} if len(set(elements)) < len(elements) else ()
    )
    inner = node.items or ANY
    for element, item in zip(elements, items, strict=True):
        out.members.add(element)
        if element not in repeated and shape(inner, item) != "leaf":
            _collect_value(inner, item, out, element)


# --- comparing ---------------------------------------------------------------------------------------------------


class Comparison:
    """What differs between two objects, as three sets of paths."""

    __slots__ = ("added", "modified", "removed")

    def __init__(self) -> None:
        self.added = FieldSet()
        self.modified = FieldSet()
        self.removed = FieldSet()

    def without(self, ignored: FieldSet) -> Comparison:
        out = Comparison()
        out.added = self.added.without_subtrees(ignored)
        out.modified = self.modified.without_subtrees(ignored)
        out.removed = self.removed.without_subtrees(ignored)
        return out

    @property
    def same(self) -> bool:
        return not (self.added or self.modified or self.removed)


def compare(node: Node, old: Mapping[str, Any], new: Mapping[str, Any]) -> Comparison:
    """The difference from ``old`` to ``new``. Raises TypedError for list items without identity."""
    out = Comparison()
    _compare_maps(node, old, new, (), out, resource=True)
    return out


def _compare_maps(
    node: Node, old: Mapping[str, Any], new: Mapping[str, Any], path: Path, out: Comparison, *, resource: bool = False
) -> None:
    for name in old.keys() | new.keys():
        before, after = old.get(name, _ABSENT), new.get(name, _ABSENT)
        if before is after:
            continue
        below = field_node(node, name, resource=resource) or ANY
        _compare(below, before, after, (*path, f"f:{name}"), out)


def _compare(node: Node, before: Any, after: Any, path: Path, out: Comparison) -> None:
    if before is _ABSENT or after is _ABSENT:
        target, value = (out.added, after) if before is _ABSENT else (out.removed, before)
        target.insert(path)
        _whole(node, value, path, target)
        return
    if equal(before, after):
        return  # most of an object is as it was: told in one go, without a walk
    kinds = {shape(node, value) for value in (before, after) if value not in (None, {}, [])}
    if not kinds:
        if before != after or type(before) is not type(after):
            out.modified.insert(path)
        return
    if kinds == {"granular"}:
        _compare_maps(node, before or {}, after or {}, path, out)
    elif kinds == {"associative"}:
        _compare_lists(node, before or [], after or [], path, out)
    elif kinds == {"leaf"}:
        out.modified.insert(path)
    else:  # the value changed its nature
        out.removed.insert(path)
        _whole(node, before, path, out.removed)
        out.added.insert(path)
        _whole(node, after, path, out.added)


def _whole(node: Node, value: Any, path: Path, target: FieldSet) -> None:
    """Put every node below ``path`` into ``target``: all of it came or went."""
    kind = shape(node, value)
    if kind == "granular":
        for name, child in value.items():
            below = (*path, f"f:{name}")
            target.insert(below)
            _whole(field_node(node, name) or ANY, child, below, target)
    elif kind == "associative":
        for item in value:
            below = (*path, item_element(node, item))
            target.insert(below)
            _whole(node.items or ANY, item, below, target)


def _compare_lists(node: Node, old: Sequence[Any], new: Sequence[Any], path: Path, out: Comparison) -> None:
    before, after = _by_element(node, old), _by_element(node, new)
    inner = node.items or ANY
    for element in before.keys() | after.keys():
        below = (*path, element)
        was, now = before.get(element, ()), after.get(element, ())
        if len(was) <= 1 and len(now) <= 1:
            _compare(inner, was[0] if was else _ABSENT, now[0] if now else _ABSENT, below, out)
        elif not was:
            out.added.insert(below)
        elif not now:
            out.removed.insert(below)
        elif not equal(list(was), list(now)):
            out.modified.insert(below)


def _by_element(node: Node, items: Sequence[Any]) -> dict[Element, list[Any]]:
    out: dict[Element, list[Any]] = {}
    for item in items:
        out.setdefault(item_element(node, item), []).append(item)
    return out


def equal(one: Any, other: Any) -> bool:
    """Equality of JSON values: true is not 1, while 1 is 1.0."""
    if not one == other:  # noqa: SIM201 - Python's equality is the coarser one, and by far the faster
        return False
    if isinstance(one, str) or one is other:
        return True
    if isinstance(one, dict | list):
        try:
            if orjson.dumps(one) == orjson.dumps(other):
                return True
        except TypeError:  # a number of more than 64 bits
            pass
        return _strictly_equal(one, other)
    return isinstance(one, bool) is isinstance(other, bool)


def _strictly_equal(one: Any, other: Any) -> bool:
    """For values that Python calls equal: whether the same places hold booleans."""
    if isinstance(one, dict):
        return all(_strictly_equal(value, other[key]) for key, value in one.items())
    if isinstance(one, list):
        return all(map(_strictly_equal, one, other))
    return isinstance(one, bool) is isinstance(other, bool)


# --- merging -----------------------------------------------------------------------------------------------------


def merge(node: Node, live: Mapping[str, Any], config: Mapping[str, Any]) -> dict[str, Any]:
    """What results when ``config`` is laid over ``live``: the config wins on leaves, everything else is united."""
    return _merge_maps(node, live, config, resource=True)


def _merge_maps(
    node: Node, live: Mapping[str, Any], config: Mapping[str, Any], *, resource: bool = False
) -> dict[str, Any]:
    out = dict(live)
    for name, value in config.items():
        if name in live:
            out[name] = _merge(field_node(node, name, resource=resource) or ANY, live[name], value)
        else:
            out[name] = value
    return out


def _merge(node: Node, live: Any, config: Any) -> Any:
    kind = shape(node, config)
    if config is None and live and shape(node, live) != "leaf":
        return live
    if kind == "leaf" or live is None or shape(node, live) != kind:
        return config
    if kind == "granular":
        return _merge_maps(node, live, config) if live or not config else config
    return _merge_lists(node, live, config)


def _merge_lists(node: Node, live: Sequence[Any], config: Sequence[Any]) -> list[Any]:
    """Unite two associative lists.

    Both lists are walked together: items that only the live list has keep their place, shared ones follow the order of
    the config, and those only in the config come where they stand there.
    """
    lefts = [item_element(node, item) for item in live]
    rights = [item_element(node, item) for item in config]
    left_items = {element: item for element, item in zip(lefts, live, strict=True) if lefts.count(element) == 1}
    right_items = dict(zip(rights, config, strict=True))
    inner = node.items or ANY

    def united(element: Element) -> Any:
        if element in left_items:
            return _merge(inner, left_items[element], right_items[element])
        return right_items[element]

    known = set(lefts)
    shared = iter([element for element in rights if element in known])
    expected = next(shared, None)
    done: set[Element] = set()
    out: list[Any] = []
    i = j = 0
    while i < len(lefts) or j < len(rights):
        if i < len(lefts) and j < len(rights):
            if lefts[i] == rights[j]:
                out.append(united(lefts[i]))
                done.add(lefts[i])
                expected = next(shared, None)
                i, j = i + 1, j + 1
                continue
            if lefts[i] in right_items and expected is not None and lefts[i] != expected:
                i += 1  # shared, but due at another place of the config
                continue
        if i < len(lefts):
            if lefts[i] not in right_items:
                out.append(live[i])
                i += 1
                continue
            if lefts[i] in done:
                i += 1
        if j < len(rights):
            element = rights[j]
            out.append(united(element))
            done.add(element)
            if element == expected:
                expected = next(shared, None)
            j += 1
    return out


# --- removing ----------------------------------------------------------------------------------------------------


def remove(node: Node, obj: Mapping[str, Any], paths: FieldSet) -> dict[str, Any]:
    """``obj`` without the members of ``paths`` (with all below them). Containers that run empty stay."""
    return _remove_fields(node, obj, paths, resource=True)


def _remove_fields(node: Node, value: Mapping[str, Any], paths: FieldSet, *, resource: bool = False) -> dict[str, Any]:
    out: dict[str, Any] = {}
    for name, child in value.items():
        element = f"f:{name}"
        if element in paths.members:
            continue
        below = paths.children.get(element)
        if below is not None:
            child = _remove_below(field_node(node, name, resource=resource) or ANY, child, below)
        out[name] = child
    return out


def _remove_below(node: Node, value: Any, paths: FieldSet) -> Any:
    kind = shape(node, value)
    if kind == "granular":
        return _remove_fields(node, value, paths)
    if kind != "associative":
        return value
    out: list[Any] = []
    for item in value:
        element = item_element(node, item)
        if element in paths.members:
            continue
        below = paths.children.get(element)
        out.append(item if below is None else _remove_below(node.items or ANY, item, below))
    return out


# --- checking an applied configuration ---------------------------------------------------------------------------


def problems(node: Node, obj: Mapping[str, Any]) -> Iterator[str]:
    """What keeps ``obj`` from being applied: undeclared fields, wrong types, list items without identity or twice."""
    yield from _field_problems(node, obj, (), resource=True)


def _field_problems(node: Node, value: Mapping[str, Any], path: Path, *, resource: bool = False) -> Iterator[str]:
    for name, child in value.items():
        below = (*path, f"f:{name}")
        inner = field_node(node, name, resource=resource)
        if inner is None:
            yield f"{path_text(below)}: field not declared in schema"
        else:
            yield from _value_problems(inner, child, below)


def _value_problems(node: Node, value: Any, path: Path) -> Iterator[str]:
    if value is None or node.raw:
        return
    where = path_text(path)
    match node.kind:
        case "object":
            if not isinstance(value, dict):
                yield f"{where}: expected map, got &{{{format_value(value)}}}"
            elif node.map_type != "atomic":
                yield from _field_problems(node, value, path)
        case "array":
            if not isinstance(value, list):
                yield f"{where}: expected list, got &{{{format_value(value)}}}"
            else:
                yield from _item_problems(node, value, path)
        case "integer" | "number":
            if isinstance(value, bool) or not isinstance(value, int | float):
                yield f"{where}: expected numeric (int or float), got {type_name(value)}"
        case "string":
            if not isinstance(value, str) and not node.schema.get("oneOf"):
                yield f"{where}: expected string, got &{{{format_value(value)}}}"
        case "boolean":
            if not isinstance(value, bool):
                yield f"{where}: expected boolean, got &{{{format_value(value)}}}"
        case "any":
            if isinstance(value, dict) and node.deduced:
                yield from _field_problems(node, value, path)


def _item_problems(node: Node, items: Sequence[Any], path: Path) -> Iterator[str]:
    where = path_text(path)
    inner = node.items or ANY
    seen: set[Element] = set()
    for index, item in enumerate(items):
        below = (*path, f"i:{index}")
        if _associative(node):
            try:
                element = item_element(node, item)
            except TypedError as error:
                yield f"{where}: element {index}: {error}"
                continue
            if element in seen:
                yield f"{where}: duplicate entries for key {path_text((element,))}"
            seen.add(element)
            below = (*path, element)
        yield from _value_problems(inner, item, below)
