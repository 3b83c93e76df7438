"""Match conditions: CEL expressions that decide whether a webhook is called at all."""

from __future__ import annotations

import functools
from collections.abc import Mapping, Sequence
from typing import Any, Final

from merope.controlplane.admission.authorizer import RequestAuthorizer
from merope.controlplane.admission.policy_expressions import environment
from merope.lang.cel import BOOL, CelError, Environment, Program

#: Cost that all conditions of one webhook may spend on one request.
_BUDGET: Final = 2_500_000


class ConditionError(Exception):
    """A condition could not be evaluated; the failure policy decides what that means."""


@functools.cache
def _environment() -> Environment:
    return environment()


@functools.lru_cache(maxsize=512)
def compile_condition(expression: str) -> Program:
    """Raises CompileError."""
    return _environment().compile(expression, result=BOOL)


def all_true(
    conditions: Sequence[Mapping[str, Any]],
    obj: Any,
    old: Any,
    review: Mapping[str, Any],
    authorizer: RequestAuthorizer | None = None,
) -> bool:
    """Whether every condition holds. One that is false decides, even beside one that fails. Raises ConditionError."""
    bindings = {"object": obj, "oldObject": old, "request": review, "namespaceObject": None}
    if authorizer is not None:
        bindings["authorizer"] = authorizer
    spent = 0
    failures: list[str] = []
    for condition in conditions:
        try:
            value, cost = compile_condition(condition["expression"]).evaluate(bindings, budget=_BUDGET - spent)
        except CelError as error:
            failures.append(f"match condition {condition.get('name')!r}: {error}")
            continue
        spent += cost
        if value is not True:
            return False
    if failures:
        raise ConditionError("; ".join(failures))
    return True
