"""Conditions that rules conclude from objects."""

from __future__ import annotations

from typing import Any

import pytest

from merope.work.rules import conclude

JOB = {"apiVersion": "batch/v1", "kind": "Job", "status": {"conditions": [{"type": "Complete", "status": "True"}]}}
OBJECT = {"apiVersion": "v1", "kind": "ConfigMap", "data": {"a": "1"}, "status": {"conditions": []}}


def rule(*expressions: str, **fields: Any) -> dict[str, Any]:
    return {"condition": "Ready", "type": "CEL", "celExpressions": list(expressions), **fields}


def concluded(given: dict[str, Any], obj: dict[str, Any] = OBJECT) -> tuple[str, str, str]:
    [found] = conclude([given], obj)
    return found.status, found.reason, found.message


EVALUATED = "ConditionRuleEvaluated"
FAILED = "ConditionRuleExpressionError"


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        (rule("object.data.a == '1'"), ("True", EVALUATED, "Manifest is Ready")),
        (rule(), ("True", EVALUATED, "Manifest is Ready")),
        (rule("true", "object.data.a == '2'", "object.absent"), ("False", EVALUATED, "Manifest is not Ready")),
        (rule("true", message="m"), ("True", EVALUATED, "m")),
        (rule("true", message="m", messageExpression="'is ' + string(result)"), ("True", EVALUATED, "is true")),
        (rule("true", message="m", messageExpression="''"), ("True", EVALUATED, "m")),
        (rule("object.data.b == '1'"), ("False", FAILED, "no such key: b")),
        (rule("object.data.a"), ("False", FAILED, "expected bool result, got string")),
        (rule("hasConditions(object.status)"), ("False", EVALUATED, "Manifest is not Ready")),
        (rule("hasConditions(null)"), ("False", EVALUATED, "Manifest is not Ready")),
        (
            rule("true", messageExpression="1"),
            ("True", EVALUATED, "expected message expression to have a string result, got int"),
        ),
        (
            {"condition": "Ready", "type": "Other"},
            ("Unknown", "ConditionRuleInvalid", "unrecognized condition rule type Other"),
        ),
    ],
)
def test_rules(given: dict[str, Any], expected: tuple[str, str, str]) -> None:
    assert concluded(given) == expected


def test_expressions_that_do_not_compile() -> None:
    status, reason, message = concluded(rule("object."))
    assert (status, reason) == ("False", FAILED)
    assert message.startswith("ERROR: <input>:1:")
    assert "\n" not in concluded(rule("true", messageExpression="object."))[2]


def test_an_expression_that_costs_too_much_is_ended() -> None:
    expensive = "object.numbers.all(a, object.numbers.all(b, object.numbers.all(c, a + b + c >= 0)))"
    obj = {**OBJECT, "numbers": list(range(100))}

    assert concluded(rule(expensive), obj) == ("False", FAILED, "CEL evaluation budget exceeded")


@pytest.mark.parametrize(
    ("obj", "expected"),
    [
        (JOB, ("True", EVALUATED, "Job is finished")),
        (
            {**JOB, "status": {"conditions": [{"type": "Failed", "status": "True"}]}},
            ("True", EVALUATED, "Job is finished"),
        ),
        ({**JOB, "status": {}}, ("False", EVALUATED, "Job is not finished")),
        ({"apiVersion": "batch/v1", "kind": "Job"}, ("False", FAILED, "no such key: status")),
        (
            {"apiVersion": "v1", "kind": "Pod", "status": {"phase": "Succeeded"}},
            ("True", EVALUATED, "Pod is in phase Succeeded"),
        ),
        (
            {"apiVersion": "v1", "kind": "Pod", "status": {"phase": "Running"}},
            ("False", EVALUATED, "Pod is in phase Running"),
        ),
    ],
)
def test_well_known_completion(obj: dict[str, Any], expected: tuple[str, str, str]) -> None:
    assert concluded({"condition": "Complete", "type": "WellKnownConditions"}, obj) == expected


def test_what_is_not_well_known_gives_no_condition() -> None:
    assert conclude([{"condition": "Complete", "type": "WellKnownConditions"}], OBJECT) == []
    assert conclude([{"condition": "Degraded", "type": "WellKnownConditions"}], JOB) == []
    assert conclude([rule("true", condition="Available")], OBJECT) == []
    [found] = conclude([{"condition": "Complete", "type": "WellKnownConditions", "message": "done"}], JOB)
    assert found.message == "done"
