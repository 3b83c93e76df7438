"""CEL expressions over a cluster: the environment that Placements' selectors have, and what they may cost.

Expressions see `managedCluster`, the cluster as JSON without apiVersion and kind. Whatever goes wrong while one is
evaluated means that the cluster doesn't match.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping, Sequence
from functools import cache, lru_cache
from typing import Any, Final

from merope.lang.cel import (
    DYN,
    LIST,
    STRING,
    CelError,
    Environment,
    EvaluationError,
    Function,
    Program,
    map_of,
)

#: Cost units that one expression may take on one cluster, and all of a predicate's together.
EXPRESSION_BUDGET: Final = 1_000_000
PREDICATE_BUDGET: Final = 10_000_000
_LIST_COST: Final = 10
_MAP_COST: Final = 30
_DEEPEST: Final = 100


class Subject(dict[str, Any]):
    """A cluster as expressions see it, with the way to its add-on scores: resource name to name and value."""

    scores_of: Callable[[str], Mapping[str, int] | None]


def subject(cluster: Mapping[str, Any], scores_of: Callable[[str], Mapping[str, int] | None]) -> Subject:
    """The value of `managedCluster` for the cluster's JSON."""
    found = Subject((key, value) for key, value in cluster.items() if key not in ("apiVersion", "kind"))
    found.scores_of = scores_of
    return found


@lru_cache(maxsize=4096)
def compile_expression(expression: str) -> Program:
    """Compile a selector's expression. Raises CompileError."""
    return _environment().compile(expression)


def matches(expressions: Sequence[str], cluster: Subject) -> bool:
    """Whether all expressions are true of the cluster, within their budgets."""
    spent = 0
    for expression in expressions:
        budget = min(EXPRESSION_BUDGET, PREDICATE_BUDGET - spent)
        try:
            value, cost = compile_expression(expression).evaluate({"managedCluster": cluster}, budget=budget)
        except CelError:
            return False
        if value is not True:
            return False
        spent += cost
    return True


@cache
def _environment() -> Environment:
    cluster = map_of(STRING, DYN)
    functions = (
        Function("scores", (cluster, STRING), LIST, _scores, member=True, cost=_scores_cost),
        Function("parseJSON", (STRING,), DYN, _parse_json, member=True, cost=_parse_cost),
    )
    return Environment({"managedCluster": cluster}, functions=functions, libraries=Environment.OCM)


def _scores(cluster: Any, resource: str) -> list[dict[str, Any]]:
    found = cluster.scores_of(resource) if isinstance(cluster, Subject) else None
    if found is None:
        raise EvaluationError(f"no AddOnPlacementScore {resource}")
    return [{"name": name, "value": value} for name, value in found.items()]


def _scores_cost(arguments: list[Any]) -> int:
    cluster, resource = arguments[0], arguments[1]
    found = cluster.scores_of(resource) if isinstance(cluster, Subject) else None
    return _LIST_COST + (_MAP_COST + 1) * len(found or ())


def _parse_json(text: str) -> Any:
    try:
        return json.loads(text, parse_int=float, parse_constant=_no_number)
    except (ValueError, RecursionError):
        raise EvaluationError("invalid JSON") from None


def _no_number(text: str) -> float:
    raise ValueError(f"{text} is no JSON")


def _parse_cost(arguments: list[Any]) -> int:
    text = arguments[0]
    size = math.ceil(0.1 * len(text))
    try:
        return size + _value_cost(json.loads(text), 0)
    except (ValueError, RecursionError):
        return size


def _value_cost(value: Any, depth: int) -> int:
    if depth > _DEEPEST:
        raise ValueError("nested too deeply")
    if isinstance(value, dict):
        return _MAP_COST + sum(_value_cost(item, depth + 1) for item in value.values())
    if isinstance(value, list):
        return _LIST_COST + sum(_value_cost(item, depth + 1) for item in value)
    return 0
