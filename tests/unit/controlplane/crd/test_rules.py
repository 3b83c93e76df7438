"""CEL rules on custom resources: when they run, on what, and what they say."""

from __future__ import annotations

from typing import Any

import pytest

from merope.controlplane.crd import rules
from merope.controlplane.crd.rules import check_rules, path_steps, rule_path
from merope.controlplane.crd.schemas import CompiledSchema
from merope.controlplane.crd.structural import validate
from merope.controlplane.scheme import catalogue

GRAPH = catalogue.load().graph


def rule(text: str, **more: Any) -> list[dict[str, Any]]:
    return [{"rule": text, **more}]


def compiled(schema: dict[str, Any]) -> CompiledSchema:
    return CompiledSchema(schema, GRAPH)


def of(**properties: Any) -> CompiledSchema:
    return compiled({"type": "object", "properties": {"spec": {"type": "object", "properties": properties}}})


def check(schema: CompiledSchema, spec: Any, old: Any = None) -> list[str]:
    obj = {"apiVersion": "example.com/v1", "kind": "Widget", "metadata": {"name": "a"}, "spec": spec}
    before = None if old is None else {**obj, "spec": old}
    found = validate(schema.declared, obj, before)
    return [str(error) for error in check_rules(schema, obj, before, found)]


PAIR = {
    "type": "object",
    "properties": {"min": {"type": "integer"}, "max": {"type": "integer"}},
    "x-kubernetes-validations": rule("self.min <= self.max", message="min must not exceed max"),
}


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ({"min": 1, "max": 2}, []),
        ({"min": 2, "max": 1}, ["spec.pair: Invalid value: min must not exceed max"]),
        (
            {"min": 2},
            ['spec.pair: Invalid value: "object": no such key: max evaluating rule: min must not exceed max'],
        ),
        (None, []),
    ],
)
def test_a_rule_judges_the_value_at_its_node(value: Any, expected: list[str]) -> None:
    assert check(of(pair=PAIR | {"nullable": True}), {"pair": value}) == expected


TRANSITIONS = of(
    fixed={"type": "string", "x-kubernetes-validations": rule("self == oldSelf", message="fixed is immutable")},
    grows={"type": "integer", "x-kubernetes-validations": rule("self >= oldSelf")},
    list={
        "type": "array",
        "x-kubernetes-list-type": "map",
        "x-kubernetes-list-map-keys": ["name"],
        "items": {
            "type": "object",
            "properties": {
                "name": {"type": "string"},
                "v": {"type": "integer", "x-kubernetes-validations": rule("self >= oldSelf")},
            },
        },
    },
    map={
        "type": "object",
        "additionalProperties": {"type": "integer", "x-kubernetes-validations": rule("self >= oldSelf")},
    },
)


@pytest.mark.parametrize(
    ("value", "old", "expected"),
    [
        pytest.param({"fixed": "x"}, None, [], id="not on create"),
        pytest.param(
            {"fixed": "z"}, {"fixed": "x"}, ['spec.fixed: Invalid value: "z": fixed is immutable'], id="field"
        ),
        pytest.param({"fixed": "z"}, {}, [], id="a new field has no old value"),
        pytest.param(
            {"grows": 0}, {"grows": 1}, ["spec.grows: Invalid value: 0: failed rule: self >= oldSelf"], id="int"
        ),
        pytest.param(
            {"list": [{"name": "q", "v": 4}, {"name": "n", "v": 0}]},
            {"list": [{"name": "p", "v": 1}, {"name": "q", "v": 5}]},
            ["spec.list[0].v: Invalid value: 4: failed rule: self >= oldSelf"],
            id="items by their keys",
        ),
        pytest.param(
            {"map": {"a": 1, "b": 1}},
            {"map": {"a": 2}},
            ["spec.map[a]: Invalid value: 1: failed rule: self >= oldSelf"],
            id="map values",
        ),
    ],
)
def test_transition_rules_compare_with_the_old_value(value: Any, old: Any, expected: list[str]) -> None:
    assert check(TRANSITIONS, value, old) == expected


def test_an_optional_old_value_is_there_on_updates_only() -> None:
    schema = of(
        v={
            "type": "integer",
            "x-kubernetes-validations": rule(
                "oldSelf.hasValue() ? self >= oldSelf.value() : self == 0",
                optionalOldSelf=True,
                message="starts at zero and grows",
            ),
        }
    )

    assert check(schema, {"v": 1}) == ["spec.v: Invalid value: 1: starts at zero and grows"]
    assert check(schema, {"v": 0}) == []
    assert check(schema, {"v": 2}, {"v": 0}) == []
    assert check(schema, {"v": 1}, {"v": 2}) == ["spec.v: Invalid value: 1: starts at zero and grows"]


def test_rules_at_the_root_see_the_name() -> None:
    schema = compiled(
        {
            "type": "object",
            "properties": {"spec": {"type": "object", "properties": {"a": {"type": "string"}}}},
            "x-kubernetes-validations": rule("self.metadata.name.startsWith('w-')", message="name must start with w-"),
        }
    )

    assert check(schema, {}) == ["<nil>: Invalid value: name must start with w-"]


def test_escaped_names_are_readable() -> None:
    schema = compiled(
        {
            "type": "object",
            "properties": {
                "spec": {
                    "type": "object",
                    "properties": {"namespace": {"type": "string"}, "a-b": {"type": "string"}},
                    "x-kubernetes-validations": rule("self.__namespace__ != self.a__dash__b"),
                }
            },
        }
    )

    assert check(schema, {"namespace": "x", "a-b": "x"}) == [
        "spec: Invalid value: failed rule: self.__namespace__ != self.a__dash__b"
    ]


MESSAGES = [
    pytest.param({"messageExpression": "'got ' + self"}, 'spec.v: Invalid value: "bad": got bad', id="expression"),
    pytest.param(
        {"messageExpression": "'a\\nb'", "message": "plain"}, 'spec.v: Invalid value: "bad": plain', id="line breaks"
    ),
    pytest.param(
        {"messageExpression": "''", "message": "plain"}, 'spec.v: Invalid value: "bad": plain', id="nothing said"
    ),
    pytest.param(
        {"messageExpression": "string(1/0)", "message": "plain"}, 'spec.v: Invalid value: "bad": plain', id="failure"
    ),
    pytest.param({"reason": "FieldValueForbidden"}, "spec.v: Forbidden: failed rule: self != 'bad'", id="reason"),
    pytest.param({"reason": "FieldValueRequired", "message": "m"}, "spec.v: Required value: m", id="required"),
    pytest.param({"reason": "FieldValueDuplicate", "message": "m"}, 'spec.v: Duplicate value: "bad"', id="duplicate"),
]


@pytest.mark.parametrize(("more", "expected"), MESSAGES)
def test_a_rule_words_its_complaint(more: dict[str, Any], expected: str) -> None:
    schema = of(v={"type": "string", "x-kubernetes-validations": rule("self != 'bad'", **more)})

    assert check(schema, {"v": "bad"}) == [expected]


def test_a_field_path_points_below_the_node() -> None:
    schema = of(pair=PAIR | {"x-kubernetes-validations": rule("false", message="m", fieldPath=".max")})

    assert check(schema, {"pair": {"min": 1}}) == ["spec.pair.max: Invalid value: m"]


@pytest.mark.parametrize(
    ("path", "steps", "shown"),
    [
        (".a.b", ["a", "b"], ".a.b"),
        (".a['b-c']", ["a", "b-c"], ".a.b-c"),
        (r".a['it\'s']", ["a", "it's"], ".a.it's"),
        ("a.b", [], ""),
        (".a[0]", [], ""),
    ],
)
def test_field_paths_are_read(path: str, steps: list[str], shown: str) -> None:
    assert path_steps(path) == steps
    assert rule_path(path) == shown


def test_a_value_that_did_not_change_is_only_warned_of() -> None:
    schema = of(pair=PAIR, other={"type": "string"})

    wrong = {"min": 2, "max": 1}
    new, old = ({"metadata": {}, "spec": {"pair": wrong, "other": other}} for other in ("y", "x"))
    warnings: list[str] = []

    assert check_rules(schema, new, old, [], warnings.append) == []
    assert warnings == ["spec.pair: Invalid value: min must not exceed max"]


def test_rules_wait_until_the_rest_of_the_schema_holds() -> None:
    schema = of(pair=PAIR)

    assert check(schema, {"pair": {"min": "text", "max": 1}}) == [
        "<nil>: Invalid value: null: some validation rules were not checked because the object was invalid; correct "
        "the existing errors to complete validation"
    ]


def test_rules_that_cost_too_much_are_stopped() -> None:
    schema = of(
        l={
            "type": "array",
            "items": {"type": "string"},
            "x-kubernetes-validations": [
                *rule("self.all(x, self.all(y, self.all(z, x == y || y == z || x != z)))"),
                *rule("false", message="never reached"),
            ],
        }
    )

    found = check(schema, {"l": ["x"] * 400})

    assert found == [
        "spec.l: Invalid value: \"array\": 'operation cancelled: actual cost limit exceeded': no further validation "
        "rules will be run due to call cost exceeds limit for rule: self.all(x, self.all(y, self.all(z, x == y || "
        "y == z || x != z)))"
    ]


def test_all_rules_of_an_object_share_a_budget(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rules, "OBJECT_BUDGET", 3)
    schema = of(v={"type": "string", "x-kubernetes-validations": rule("self.size() + self.size() + self.size() > 0")})

    assert check(schema, {"v": "text"}) == [
        'spec.v: Invalid value: "string": validation failed due to running out of cost budget, no further validation '
        "rules will be run"
    ]
