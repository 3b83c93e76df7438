"""List functions: those of Kubernetes, and the list extensions of CEL."""

from __future__ import annotations

from collections.abc import Callable
from functools import cmp_to_key
from itertools import pairwise
from typing import Any

from ..errors import CostExceeded, EvaluationError
from ..functions import Library
from ..operators import DYNAMIC
from ..values import Duration, Uint, bounded, comparable, contains, equals

LISTS = Library("lists")
LIST_EXTENSIONS = Library("list-extensions")

_ORDERED = ("int", "uint", "double", "bool", "string", "bytes", "timestamp", "duration")
_add = DYNAMIC["_+_"]


def compare(a: Any, b: Any) -> int:
    """Order two values: -1, 0 or 1.

    Raises:
        EvaluationError: they have no common order.
    """
    comparable(a, b)
    return -1 if a < b else int(a > b)


def _is_sorted(items: list[Any]) -> bool:
    return all(compare(a, b) <= 0 for a, b in pairwise(items))


def _extreme(name: str, sign: int) -> Callable[[list[Any]], Any]:
    def find(items: list[Any]) -> Any:
        if not items:
            raise EvaluationError(f"{name} called on empty list")
        best = items[0]
        for item in items[1:]:
            if compare(item, best) * sign > 0:
                best = item
        return best

    return find


_min, _max = _extreme("min", -1), _extreme("max", 1)
for _type in _ORDERED:
    LISTS.declare(f"<list<{_type}>>.isSorted() -> bool", _is_sorted, cost="walk", base_cost=1)
    LISTS.declare(f"<list<{_type}>>.min() -> {_type}", _min, cost="walk", base_cost=1)
    LISTS.declare(f"<list<{_type}>>.max() -> {_type}", _max, cost="walk", base_cost=1)


def _sum(zero: Any) -> Callable[[list[Any]], Any]:
    def total(items: list[Any]) -> Any:
        if not items:
            return zero
        result = items[0]
        for item in items[1:]:
            result = _add(result, item)
        return result

    return total


for _type, _zero in (("int", 0), ("uint", Uint(0)), ("double", 0.0), ("duration", Duration(0))):
    LISTS.declare(f"<list<{_type}>>.sum() -> {_type}", _sum(_zero), cost="walk", base_cost=1)


@LISTS.overload("<list<T>>.indexOf(T) -> int", cost="walk", base_cost=1)
def _index_of(items: list[Any], wanted: Any) -> int:
    return next((i for i, item in enumerate(items) if equals(item, wanted)), -1)


@LISTS.overload("<list<T>>.lastIndexOf(T) -> int", cost="walk", base_cost=1)
def _last_index_of(items: list[Any], wanted: Any) -> int:
    return next((i for i in range(len(items) - 1, -1, -1) if equals(items[i], wanted)), -1)


# ---- extensions

_extension = LIST_EXTENSIONS.overload


@_extension("<list<T>>.slice(int, int) -> list<T>", cost="size")
def _slice(items: list[Any], start: int, end: int) -> list[Any]:
    if start < 0 or end < 0:
        raise EvaluationError(f"cannot slice({start}, {end}), negative indexes not supported")
    if start > end:
        raise EvaluationError(f"cannot slice({start}, {end}), start index must be less than or equal to end index")
    if end > len(items):
        raise EvaluationError(f"cannot slice({start}, {end}), list is length {len(items)}")
    return list(items[start:end])


def _flatten_to(items: list[Any], depth: int) -> list[Any]:
    flat: list[Any] = []
    for item in items:
        if isinstance(item, (list, tuple)) and depth > 0:
            flat += _flatten_to(list(item), depth - 1)
        else:
            flat.append(item)
        bounded(len(flat))
    return flat


@_extension("<list<list<T>>>.flatten() -> list<T>", cost="walk")
def _flatten(items: list[Any]) -> list[Any]:
    return _flatten_to(items, 1)


@_extension("<list<dyn>>.flatten(int) -> list<dyn>", cost="walk")
def _flatten_depth(items: list[Any], depth: int) -> list[Any]:
    if depth < 0:
        raise EvaluationError("level must be non-negative")
    return _flatten_to(items, min(depth, 100))


@_extension("<list<T>>.distinct() -> list<T>", cost=lambda args: 1 + len(args[0]) * min(len(args[0]), 100) // 10)
def _distinct(items: list[Any]) -> list[Any]:
    if all(item.__class__ is str for item in items):
        return list(dict.fromkeys(items))
    kept: list[Any] = []
    for item in items:
        if not contains(kept, item):
            kept.append(item)
    return kept


@_extension("<list<T>>.reverse() -> list<T>", cost="size")
def _reverse(items: list[Any]) -> list[Any]:
    return list(reversed(items))


@_extension("<list<T>>.first() -> optional<T>")
def _first(items: list[Any]) -> Any:
    from ..operators import select_optional

    return select_optional(items, 0)


@_extension("<list<T>>.last() -> optional<T>")
def _last(items: list[Any]) -> Any:
    from ..operators import select_optional

    return select_optional(items, len(items) - 1)


@_extension("lists.range(int) -> list<int>", cost=lambda args: max(1, args[0]))
def _range(count: int) -> list[int]:
    if count > 1_000_000:
        raise CostExceeded
    return list(range(count))


def sort_by_keys(items: list[Any], keys: list[Any]) -> list[Any]:
    """Sort items by their keys, which must have one order; equal keys keep the order of the items."""
    for key in keys:
        comparable(keys[0], key)

    def by_key(i: int, j: int) -> int:
        return compare(keys[i], keys[j])

    return [items[i] for i in sorted(range(len(items)), key=cmp_to_key(by_key))]


def _sort(items: list[Any]) -> list[Any]:
    return sort_by_keys(items, items)


for _type in _ORDERED:
    LIST_EXTENSIONS.declare(f"<list<{_type}>>.sort() -> list<{_type}>", _sort, cost="walk")
