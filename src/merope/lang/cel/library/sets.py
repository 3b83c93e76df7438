"""Lists taken as sets. Costs are the product of both sizes, which bounds the comparisons."""

from __future__ import annotations

from typing import Any

from ..functions import Library
from ..values import contains

SETS = Library("sets")


@SETS.overload("sets.contains(list<T>, list<T>) -> bool", cost="sets")
def _contains(items: list[Any], wanted: list[Any]) -> bool:
    return all(contains(items, item) for item in wanted)


@SETS.overload("sets.equivalent(list<T>, list<T>) -> bool", cost="sets")
def _equivalent(a: list[Any], b: list[Any]) -> bool:
    return _contains(a, b) and _contains(b, a)


@SETS.overload("sets.intersects(list<T>, list<T>) -> bool", cost="sets")
def _intersects(a: list[Any], b: list[Any]) -> bool:
    return any(contains(a, item) for item in b)
