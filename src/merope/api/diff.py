"""Writes as diffs: what a program changed in a typed object, as a change of the raw object it was read from.

A struct knows some of an object's fields. Encoding it would drop what a newer client wrote, and turn null, absent
and zero into one another. So a struct is never sent. A program decodes the raw object, makes a changed copy of the
struct (`msgspec.structs.replace`), and hands all three here: only what differs between the two structs is carried over
into the raw object, everything else stays as it was read.

List items are matched by their map keys where the field declares them, else by equality and then by position, and the
keys inside an item that the struct doesn't know stay with it. A merge patch replaces a list as a whole, so the list in
the patch is the full raw one.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Mapping
from typing import Any

import msgspec
import orjson

from merope.api.schema import Shape, shape_of

_ABSENT: Any = object()


def same(one: Any, other: Any) -> bool:
    """Whether two JSON values are the same: `1`, `1.0` and `true` are three different ones."""
    if one is other:
        return True
    if type(one) is not type(other):
        return False
    if not isinstance(one, (dict, list)):
        return bool(one == other)
    if one != other:
        return False
    # Equal for Python, which takes true for 1; their JSON tells, and is written faster than the values are walked.
    try:
        return orjson.dumps(one, option=orjson.OPT_SORT_KEYS) == orjson.dumps(other, option=orjson.OPT_SORT_KEYS)
    except orjson.JSONEncodeError:  # integers beyond 64 bits, lone surrogates
        return _same_walk(one, other)


def _same_walk(one: Any, other: Any) -> bool:
    if type(one) is not type(other):
        return False
    if isinstance(one, dict):
        return len(one) == len(other) and all(
            key in other and _same_walk(value, other[key]) for key, value in one.items()
        )
    if isinstance(one, list):
        return len(one) == len(other) and all(map(_same_walk, one, other))
    return bool(one == other)


def create_merge_patch(before: Mapping[str, Any], after: Mapping[str, Any]) -> dict[str, Any]:
    """The JSON merge patch (RFC 7396) that turns `before` into `after`; empty where nothing differs.

    A merge patch cannot set a member to null: one that becomes null is removed by it.
    """
    patch: dict[str, Any] = {key: None for key in before if key not in after}
    for key, value in after.items():
        old = before.get(key, _ABSENT)
        if same(old, value):
            continue
        if isinstance(value, dict) and isinstance(old, dict):
            inner = create_merge_patch(old, value)
            if inner:
                patch[key] = inner
        elif value is not None or old is not _ABSENT:
            patch[key] = value
    return patch


def changed_raw(raw: Mapping[str, Any], before: msgspec.Struct, after: msgspec.Struct) -> dict[str, Any]:
    """The raw object with the difference between the two structs applied to it. `raw` itself is not changed."""
    if type(before) is not type(after):
        raise TypeError(f"cannot compare {type(before).__name__} with {type(after).__name__}")
    merged = _merge(dict(raw), msgspec.to_builtins(before), msgspec.to_builtins(after), shape_of(type(before)))
    assert isinstance(merged, dict)
    return merged


def merge_patch(raw: Mapping[str, Any], before: msgspec.Struct, after: msgspec.Struct) -> dict[str, Any]:
    """The JSON merge patch that brings the difference between the two structs to the server; empty for none."""
    return create_merge_patch(raw, changed_raw(raw, before, after))


def _merge(raw: Any, before: Any, after: Any, shape: Shape) -> Any:
    """What becomes of the raw value when the typed one goes from `before` to `after`."""
    if same(before, after):
        return raw
    if isinstance(raw, dict) and isinstance(before, dict) and isinstance(after, dict):
        return _merge_object(raw, before, after, shape)
    if isinstance(raw, list) and isinstance(before, list) and isinstance(after, list) and shape.items is not None:
        return _merge_list(raw, before, after, shape.item, shape.map_keys)
    return after


def _merge_object(raw: dict[str, Any], before: dict[str, Any], after: dict[str, Any], shape: Shape) -> dict[str, Any]:
    merged = dict(raw)
    for key in before:
        if key not in after:
            merged.pop(key, None)
    for key, value in after.items():
        old = before.get(key, _ABSENT)
        if same(old, value):
            continue
        if old is _ABSENT or key not in merged:
            merged[key] = value
        else:
            merged[key] = _merge(merged[key], old, value, shape.member(key))
    return merged


def _merge_list(
    raw: list[Any], before: list[Any], after: list[Any], shape: Shape, map_keys: tuple[str, ...]
) -> list[Any]:
    """The new list, each item built on the raw item that it comes from."""
    if len(raw) != len(before):
        return after  # the raw list is not the one that was decoded: nothing to match by
    sources = _by_key(before, after, map_keys) if map_keys else _by_identity(before, after)
    return [
        item if source is None else _merge(raw[source], before[source], item, shape)
        for item, source in zip(after, sources, strict=True)
    ]


def _by_key(before: list[Any], after: list[Any], map_keys: tuple[str, ...]) -> list[int | None]:
    """For every new item the old one with the same key, each used once."""
    places: dict[Hashable, int] = {}
    for at, item in enumerate(before):
        places.setdefault(_key(item, map_keys), at)
    return [places.pop(_key(item, map_keys), None) for item in after]


def _key(item: Any, map_keys: tuple[str, ...]) -> Hashable:
    if not isinstance(item, dict):
        return (None, _frozen(item))
    return tuple(_frozen(item.get(key)) for key in map_keys)


def _frozen(value: Any) -> Hashable:
    """A hashable stand-in: equal exactly for the same JSON values."""
    if isinstance(value, dict):
        return (dict, frozenset((key, _frozen(inner)) for key, inner in value.items()))
    if isinstance(value, list):
        return (list, tuple(map(_frozen, value)))
    return (type(value), value)


def _by_identity(before: list[Any], after: list[Any]) -> list[int | None]:
    """Unchanged items keep their raw ones wherever they moved to; what is left is matched by position."""
    places: dict[Hashable, list[int]] = {}
    for at, item in reversed(list(enumerate(before))):
        places.setdefault(_frozen(item), []).append(at)
    sources: list[int | None] = []
    for item in after:
        found = places.get(_frozen(item))
        sources.append(found.pop() if found else None)
    used = set(_present(sources))
    for at, source in enumerate(sources):
        if source is None and at < len(before) and at not in used:
            sources[at] = at
            used.add(at)
    return sources


def _present(sources: Iterable[int | None]) -> Iterable[int]:
    return (source for source in sources if source is not None)
