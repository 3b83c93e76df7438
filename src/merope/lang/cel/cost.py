"""What calls cost at run time: the rules of Kubernetes' API server, by name.

Each rule takes the argument values and gives cost units; rules run before the call, so that what cannot be paid is not
done. All sizes count code points, bytes, items or entries.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from .values import size_of

Rule = Callable[[list[Any]], int]


def traversal(size: int, factor: int = 1) -> int:
    """Give the cost of walking through a string `factor` times: a tenth of its size, rounded up."""
    return (size * factor + 9) // 10


def _regex(args: list[Any]) -> int:
    return traversal(size_of(args[0]) + 1) * ((size_of(args[1]) + 3) // 4)


def _contains(args: list[Any]) -> int:
    return traversal(size_of(args[0])) * traversal(size_of(args[1]))


def walk(value: Any) -> int:
    """Give the cost of visiting all of a value: 1 for a scalar, a tenth of its size for a string."""
    cls = value.__class__
    if cls is str or cls is bytes:
        return len(value) // 10
    if isinstance(value, (list, tuple)):
        return sum(map(walk, value))
    if isinstance(value, dict):
        return sum(walk(key) + walk(item) for key, item in value.items())
    return 1


def _sets(args: list[Any]) -> int:
    return 1 + size_of(args[0]) * size_of(args[1])


def _join(args: list[Any]) -> int:
    items = args[0]
    separator = len(args[1]) if len(args) > 1 else 0
    return traversal(sum(map(size_of, items)) + separator * max(len(items) - 1, 0), 2)


def _format(args: list[Any]) -> int:
    return traversal(len(args[0]))


def _contains_ip(args: list[Any]) -> int:
    return 4 + (traversal(len(args[1])) if isinstance(args[1], str) else 0)


def _validate(args: list[Any]) -> int:
    return traversal(size_of(args[1])) * 16 + 1


#: Rules by the names that libraries use.
RULES: dict[str, Rule] = {
    "argument": lambda args: traversal(size_of(args[1])),
    "argument0": lambda args: traversal(size_of(args[0])),
    "string": lambda args: traversal(size_of(args[0])),
    "string twice": lambda args: traversal(size_of(args[0]), 2),
    "regex": _regex,
    "contains": _contains,
    "walk": lambda args: walk(args[0]),
    "sets": _sets,
    "join": _join,
    "format": _format,
    "contains ip": _contains_ip,
    "contains cidr": lambda args: _contains_ip(args) + 3,
    "validate": _validate,
    "size": lambda args: 1 + size_of(args[0]),
}
