"""CEL rules when a definition is written: they must compile, ask for old values only where there are any, and be cheap.

The cost is estimated from the size limits that the schema declares, times how often the node may occur in an object:
the product of the limits of the lists and maps around it, or, where one of these has no limit, as often as its smallest
value fits into a request.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

import orjson

from merope.controlplane.errors import FieldError, forbidden_field, invalid_value, not_supported, required
from merope.lang import cel

Schema = Mapping[str, Any]

_REASONS: Final = ("FieldValueDuplicate", "FieldValueForbidden", "FieldValueInvalid", "FieldValueRequired")
_UNBOUNDED: Final = 2**64 - 1
_NAMED: Final = 4
_REMEDY: Final = (
    "(try simplifying the rule, or adding maxItems, maxProperties, and maxLength where arrays, maps, and strings are "
    "declared)"
)
_TOO_EXPENSIVE: Final = "contributed to estimated rule cost total exceeding cost limit for entire OpenAPIv3 schema"


@dataclass(slots=True)
class _Check:
    errors: list[FieldError] = field(default_factory=list)
    total: int = 0
    costs: list[tuple[int, str]] = field(default_factory=list)

    def observe(self, path: str, cost: int) -> None:
        self.total = min(self.total + cost, _UNBOUNDED)
        self.costs.append((cost, path))


def rule_complaints(schema: Schema, path: str) -> list[FieldError]:
    """Complaints about the rules anywhere in a structural schema."""
    check = _Check()
    _walk(schema, path, 1, "", check, root=True)
    if check.total > cel.CRD_LIMIT:
        dearest = sorted(check.costs, key=lambda one: -one[0])[:_NAMED]
        check.errors += [forbidden_field(place, _TOO_EXPENSIVE) for cost, place in dearest if cost]
        name = "x-kubernetes-validations estimated rule cost total for entire OpenAPIv3 schema"
        check.errors.append(forbidden_field(path, _exceeds(name, check.total, cel.CRD_LIMIT)))
    return check.errors


def _walk(
    schema: Schema, path: str, times: int | None, uncorrelated: str, check: _Check, *, root: bool = False
) -> None:
    """``times``: how often the node may occur, None where no limit says; ``uncorrelated``: the place below which there
    are no old values.
    """
    for index, rule in enumerate(schema.get("x-kubernetes-validations") or ()):
        _rule(schema, rule, f"{path}.x-kubernetes-validations[{index}]", times, uncorrelated, check, root=root)
    for position, branch in enumerate(schema.get("allOf") or ()):
        for index, rule in enumerate(branch.get("x-kubernetes-validations") or ()):
            place = f"{path}.allOf[{position}].x-kubernetes-validations[{index}]"
            _rule(schema, rule, place, times, uncorrelated, check, root=root)
    properties: Mapping[str, Schema] = schema.get("properties") or {}
    for name, child in properties.items():
        _walk(child, f"{path}.properties[{name}]", times, uncorrelated, check)
    additional = schema.get("additionalProperties")
    if isinstance(additional, Mapping):
        many = _times(times, schema.get("maxProperties"))
        _walk(additional, f"{path}.additionalProperties", many, uncorrelated, check)
    items = schema.get("items")
    if isinstance(items, Mapping):
        many = _times(times, schema.get("maxItems"))
        below = uncorrelated or ("" if schema.get("x-kubernetes-list-type") == "map" else path)
        _walk(items, f"{path}.items", many, below, check)


def _times(around: int | None, limit: int | None) -> int | None:
    return None if around is None or limit is None else min(around * max(0, limit), _UNBOUNDED)


def _rule(
    schema: Schema,
    rule: Mapping[str, Any],
    path: str,
    times: int | None,
    uncorrelated: str,
    check: _Check,
    *,
    root: bool,
) -> None:
    errors = _form(schema, rule, path)
    check.errors += errors
    if not str(rule.get("rule") or "").strip():
        return
    if times is None:
        times = cel.most_in_request(schema)
    optional = bool(rule.get("optionalOldSelf"))
    environment = cel.Environment.for_schema(schema, old_self="optional" if optional else True, root=root)
    try:
        program = environment.compile(rule["rule"], result=cel.BOOL)
    except cel.ResultTypeError:
        text = "cel expression must evaluate to a bool"
        check.errors.append(invalid_value(f"{path}.rule", _shown(rule), text))
    except cel.CompileError as error:
        check.errors.append(invalid_value(f"{path}.rule", _shown(rule), f"compilation failed: {error}"))
    else:
        _cost(program, f"{path}.rule", "estimated rule cost", times, check)
        if program.uses_old_self:
            if uncorrelated:
                text = f"oldSelf cannot be used on the uncorrelatable portion of the schema within {uncorrelated}"
                check.errors.append(invalid_value(f"{path}.rule", rule["rule"], text))
        elif optional:
            text = "may not be set if oldSelf is not used in rule"
            check.errors.append(invalid_value(f"{path}.optionalOldSelf", True, text))
    _message_expression(environment, rule, path, times, check)


def _message_expression(
    environment: cel.Environment, rule: Mapping[str, Any], path: str, times: int, check: _Check
) -> None:
    expression = str(rule.get("messageExpression") or "")
    if not expression.strip():
        return
    place = f"{path}.messageExpression"
    try:
        program = environment.compile(expression, result=cel.STRING)
    except cel.ResultTypeError:
        check.errors.append(invalid_value(place, _shown(rule), "messageExpression must evaluate to a string"))
    except cel.CompileError as error:
        text = f"messageExpression compilation failed: {error}"
        check.errors.append(invalid_value(place, _shown(rule), text))
    else:
        _cost(program, place, "estimated messageExpression cost", times, check)


def _cost(program: cel.Program, path: str, name: str, times: int, check: _Check) -> None:
    cost = min(program.estimated_cost[1] * times, _UNBOUNDED)
    if cost > cel.RULE_LIMIT:
        check.errors.append(forbidden_field(path, _exceeds(name, cost, cel.RULE_LIMIT)))
    check.observe(path, cost)


def _exceeds(name: str, cost: int, limit: int) -> str:
    factor = cost / limit
    shown = "more than 100x" if factor > 100 else f"{factor:f}x" if factor < 1.5 else f"{factor:.1f}x"
    return f"{name} exceeds budget by factor of {shown} {_REMEDY}"


def _shown(rule: Mapping[str, Any]) -> orjson.Fragment:
    """A rule as complaints print it: all fields, in the order and under the names of the server's own type."""
    shown = {
        "Rule": rule.get("rule") or "",
        "Message": rule.get("message") or "",
        "MessageExpression": rule.get("messageExpression") or "",
        "Reason": rule.get("reason"),
        "FieldPath": rule.get("fieldPath") or "",
        "OptionalOldSelf": rule.get("optionalOldSelf"),
    }
    return orjson.Fragment(orjson.dumps(shown))


def _form(schema: Schema, rule: Mapping[str, Any], path: str) -> list[FieldError]:
    """What can be said of a rule without compiling it."""
    errors = []
    text = str(rule.get("rule") or "").strip()
    declared = str(rule.get("message") or "")
    message = declared.strip()
    if not text:
        errors.append(required(f"{path}.rule", "rule is not specified"))
    elif declared and not message:
        errors.append(invalid_value(f"{path}.message", declared, "must be non-empty if specified"))
    elif "\n" in message or "\r" in message:
        errors.append(invalid_value(f"{path}.message", declared, "must not contain line breaks"))
    elif ("\n" in text or "\r" in text) and not message:
        errors.append(required(f"{path}.message", "message must be specified if rule contains line breaks"))
    expression = str(rule.get("messageExpression") or "")
    if expression and not expression.strip():
        text = "messageExpression must be non-empty if specified"
        errors.append(required(f"{path}.messageExpression", text))
    reason = rule.get("reason")
    if reason is not None and reason not in _REASONS:
        errors.append(not_supported(f"{path}.reason", reason, _REASONS))
    field_path = rule.get("fieldPath")
    if field_path and field_at(schema, field_path) is None:
        errors.append(invalid_value(f"{path}.fieldPath", field_path, "must be a valid path"))
    return errors


def field_at(schema: Schema, path: str) -> Schema | None:
    """The schema of the field at a simple path (``.spec.a``, ``['b']``), None where there is none."""
    from merope.controlplane.crd.rules import path_steps

    steps = path_steps(path)
    if not steps:
        return None
    found: Any = schema
    for step in steps:
        inner = (found.get("properties") or {}).get(step)
        if inner is None:
            additional = found.get("additionalProperties")
            inner = additional if isinstance(additional, Mapping) else None
        if inner is None:
            return None
        found = inner
    return found  # type: ignore[no-any-return]
