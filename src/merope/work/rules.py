"""Condition rules: what a work concludes from its objects. Pure functions over raw objects.

Rules are CEL expressions, or well-known ones for a few kinds. This module imports CEL, which is large: import it where
a rule is to be evaluated, not before.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Any, Final

from merope.api.work.v1 import APPLIED, AVAILABLE, COMPLETE, STATUS_FEEDBACK_SYNCED
from merope.kube import Manifest
from merope.lang.cel import BOOL, DYN, CelError, CompileError, CostExceeded, Environment, Function, Program
from merope.lang.cel.types import format_type
from merope.lang.cel.values import type_of
from merope.work.conditions import Found

#: Cost of one expression, and of all rules of one object together.
_EXPRESSION_BUDGET: Final = 1_000_000
_OBJECT_BUDGET: Final = 10_000_000
#: Message expressions have no limit of their own; they get what one object may cost.
_MESSAGE_BUDGET: Final = _OBJECT_BUDGET
_BUILT_IN: Final = frozenset({APPLIED, AVAILABLE, STATUS_FEEDBACK_SYNCED})

_JOB_FINISHED: Final = (
    "hasConditions(object.status) && "
    'object.status.conditions.exists(c, (c.type == "Complete" || c.type == "Failed") && c.status == "True")'
)
_JOB_MESSAGE: Final = 'result ? "Job is finished" : "Job is not finished"'
#: Expression and message expression of well-known conditions, by apiVersion, kind and condition.
_WELL_KNOWN: Final[Mapping[tuple[str, str, str], tuple[str, str]]] = {
    ("batch/v1", "Job", COMPLETE): (_JOB_FINISHED, _JOB_MESSAGE),
    ("v1", "Pod", COMPLETE): (
        "object.status.phase in ['Succeeded', 'Failed']",
        '"Pod is in phase " + object.status.phase',
    ),
}


class _NotBool(Exception):
    """An expression gave something else than true or false."""


def _has_conditions(value: Any) -> bool:
    if not isinstance(value, Mapping):
        return False
    conditions = value.get("conditions")
    return isinstance(conditions, list) and bool(conditions)


@lru_cache(maxsize=1)
def _environment() -> Environment:
    has_conditions = Function("hasConditions", [DYN], BOOL, _has_conditions)
    return Environment({"object": DYN, "result": BOOL}, functions=[has_conditions], libraries=Environment.OCM)


@lru_cache(maxsize=1)
def _rule_environment() -> Environment:
    has_conditions = Function("hasConditions", [DYN], BOOL, _has_conditions)
    return Environment({"object": DYN}, functions=[has_conditions], libraries=Environment.OCM)


@lru_cache(maxsize=512)
def _program(expression: str) -> Program:
    return _rule_environment().compile(expression)


@lru_cache(maxsize=512)
def _message_program(expression: str) -> Program:
    return _environment().compile(expression)


def conclude(rules: Sequence[Mapping[str, Any]], obj: Manifest) -> list[Found]:
    """The conditions that the rules of one object give."""
    found: list[Found] = []
    budget = _OBJECT_BUDGET
    for rule in rules:
        concluded, cost = _conclude(rule, obj, budget)
        budget = max(0, budget - cost)
        if concluded is not None:
            found.append(concluded)
    return found


def _conclude(rule: Mapping[str, Any], obj: Manifest, budget: int) -> tuple[Found | None, int]:
    condition = str(rule.get("condition") or "")
    kind = rule.get("type")
    expressions: Sequence[str] = rule.get("celExpressions") or ()
    message = str(rule.get("message") or "")
    message_expression = str(rule.get("messageExpression") or "")
    if condition in _BUILT_IN:
        return None, 0  # the agent's own conditions: it and the rule would overwrite each other for ever
    if kind == "WellKnownConditions":
        known = _WELL_KNOWN.get((str(obj.get("apiVersion")), str(obj.get("kind")), condition))
        if known is None:
            return None, 0
        expressions = (known[0],)
        if not message and not message_expression:
            message_expression = known[1]
    elif kind != "CEL":
        text = f"unrecognized condition rule type {kind}"
        return Found(condition, "Unknown", "ConditionRuleInvalid", text), 0
    cost = 0
    result = True
    try:
        for expression in expressions:
            result, spent = _evaluate(expression, obj, min(_EXPRESSION_BUDGET, budget - cost))
            cost += spent
            if not result:
                break
    except CostExceeded:
        text = "CEL evaluation budget exceeded"
        return Found(condition, "False", "ConditionRuleExpressionError", text), _EXPRESSION_BUDGET
    except (CelError, _NotBool) as error:
        return Found(condition, "False", "ConditionRuleExpressionError", str(error)), cost
    default = message or f"Manifest is {'' if result else 'not '}{condition}"
    text = _message(message_expression, obj, result) or default if message_expression else default
    return Found(condition, "True" if result else "False", "ConditionRuleEvaluated", text), cost


def _evaluate(expression: str, obj: Manifest, budget: int) -> tuple[bool, int]:
    value, cost = _program(expression).evaluate({"object": obj}, budget=budget)
    if not isinstance(value, bool):
        raise _NotBool(f"expected bool result, got {format_type(type_of(value))}")
    return value, cost


def _message(expression: str, obj: Manifest, result: bool) -> str:
    """What a message expression gives, or what is wrong with it."""
    try:
        value, _ = _message_program(expression).evaluate({"object": obj, "result": result}, budget=_MESSAGE_BUDGET)
    except CompileError as error:
        return str(error).partition("\n")[0]
    except CelError as error:
        return str(error)
    if not isinstance(value, str):
        return f"expected message expression to have a string result, got {format_type(type_of(value))}"
    return value
