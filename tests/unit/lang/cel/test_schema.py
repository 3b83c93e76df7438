"""Expressions typed by a structural schema, evaluated on the data as it came."""

from __future__ import annotations

from copy import deepcopy
from typing import Any

import pytest

from merope.lang.cel import CompileError, Environment, EvaluationError, escape, unescape

SCHEMA: dict[str, Any] = {
    "type": "object",
    "properties": {
        "replicas": {"type": "integer"},
        "ratio": {"type": "number"},
        "name": {"type": "string", "maxLength": 10},
        "nick": {"type": "string", "nullable": True},
        "when": {"type": "string", "format": "date-time"},
        "day": {"type": "string", "format": "date"},
        "times": {"type": "array", "items": {"type": "string", "format": "date-time"}},
        "timeout": {"type": "string", "format": "duration"},
        "payload": {"type": "string", "format": "byte"},
        "port": {"x-kubernetes-int-or-string": True},
        "set": {"type": "array", "x-kubernetes-list-type": "set", "items": {"type": "string"}},
        "conditions": {
            "type": "array",
            "x-kubernetes-list-type": "map",
            "x-kubernetes-list-map-keys": ["type"],
            "items": {
                "type": "object",
                "properties": {
                    "type": {"type": "string"},
                    "status": {"type": "string"},
                    "at": {"type": "string", "format": "date-time"},
                },
            },
        },
        "labels": {"type": "object", "additionalProperties": {"type": "string"}},
        "free": {"x-kubernetes-preserve-unknown-fields": True},
        "open": {
            "type": "object",
            "x-kubernetes-preserve-unknown-fields": True,
            "properties": {"a": {"type": "integer"}},
        },
        "template": {
            "type": "object",
            "x-kubernetes-embedded-resource": True,
            "properties": {"spec": {"type": "object"}},
        },
        "in": {"type": "string"},
        "a.b": {"type": "string"},
        "a-b": {"type": "string"},
        "a/b": {"type": "string"},
        "a__b": {"type": "string"},
        "$ref": {"type": "string"},
    },
}
OBJECT: dict[str, Any] = {
    "replicas": 3,
    "ratio": 2,
    "name": "hub",
    "nick": None,
    "when": "2024-01-01T12:00:00Z",
    "day": "2024-01-01",
    "times": ["2024-01-01T00:00:00Z", "2024-01-02T01:00:00+01:00"],
    "timeout": "1h30m",
    "payload": "aGVsbG8=",
    "port": "80%",
    "set": ["a", "b"],
    "conditions": [
        {"type": "Ready", "status": "True", "at": "2024-01-01T00:00:00Z"},
        {"type": "Stale", "status": "False"},
    ],
    "labels": {"env": "prod", "a-b": "c"},
    "free": {"x": 1},
    "open": {"a": 1, "b": 2},
    "template": {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "p", "labels": {}}, "spec": {}},
    "in": "i",
    "a.b": "dot",
    "a-b": "dash",
    "a/b": "slash",
    "a__b": "underscores",
    "$ref": "r",
}
OLD = {
    **deepcopy(OBJECT),
    "when": "2024-01-01T13:00:00+01:00",
    "set": ["b", "a"],
    "conditions": list(reversed(OBJECT["conditions"])),
    "times": ["2024-01-01T01:00:00+01:00", "2024-01-02T00:00:00Z"],
}
ENVIRONMENT = Environment.for_schema(SCHEMA, old_self=True)

HOLDS = """
self.replicas == 3 && self.ratio / 4.0 == 0.5
type(self.ratio) == double && string(self.ratio) == '2'
self.nick == null && !has(self.missing_key_in_map) || true
self.when == timestamp('2024-01-01T12:00:00Z') && self.when.getHours() == 12
self.day == timestamp('2024-01-01T00:00:00Z')
self.times[1] == timestamp('2024-01-02T00:00:00Z')
self.times.all(t, t.getFullYear() == 2024) && self.times.map(t, t.getDate()) == [1, 2]
self.times.exists(i, t, i == 1 && t.getDate() == 2)
timestamp('2024-01-01T00:00:00Z') in self.times
self.times.isSorted() && self.times.max() == self.times[1]
self.times.filter(t, t > self.when).size() == 1
self.timeout <= duration('2h') && self.timeout.getMinutes() == 90
self.payload == b'hello' && self.payload.size() == 5
type(self.port) == string && self.port == '80%'
(type(self.port) == int ? self.port > 0 : self.port.endsWith('%'))
self.labels.env == 'prod' && self.labels['a-b'] == 'c' && 'env' in self.labels && has(self.labels.env)
self.labels.all(k, self.labels[k].size() > 0)
self.open.a == 1
self.template.kind == 'Pod' && self.template.metadata.name == 'p'
self.__in__ == 'i' && self.a__dot__b == 'dot' && self.a__dash__b == 'dash' && self.a__slash__b == 'slash'
self.a__underscores__b == 'underscores'
self.set == oldSelf.set && self.set == ['b', 'a'] && ['b', 'a'] == self.set
self.set + ['b', 'c'] == ['a', 'b', 'c'] && (self.set + ['b', 'c']).size() == 3
self.conditions == oldSelf.conditions
(self.conditions + oldSelf.conditions).size() == 2
self.conditions.filter(c, c.type == 'Ready')[0].at == self.times[0]
self.conditions.exists_one(c, c.type == 'Ready')
self.times == oldSelf.times && self.when == oldSelf.when
self == oldSelf
[self.when].all(t, t == oldSelf.when) && {'t': self.when}.t == oldSelf.when
dyn(self).when == oldSelf.when && dyn(self.conditions)[0].at == self.times[0]
self.?when.orValue(timestamp(0)) == self.when && self.?times[?0].value() == self.times[0]
(self.replicas > 1 ? self.times : []).size() == 2
cel.bind(t, self.times, t[0] == self.times[0])
""".strip().split("\n")


@pytest.mark.parametrize("expression", HOLDS)
def test_holds(expression: str) -> None:
    if "missing_key_in_map" in expression:
        expression = expression.replace("self.missing_key_in_map", "self.labels.missing")
    before = deepcopy(OBJECT)

    assert ENVIRONMENT.compile(expression).evaluate({"self": OBJECT, "oldSelf": OLD})[0] is True
    assert before == OBJECT


@pytest.mark.parametrize(
    ("expression", "message"),
    [
        ("self.nope", "undefined field 'nope'"),
        ("self.free", "undefined field 'free'"),
        ("self.open.b", "undefined field 'b'"),
        ("self.template.metadata.labels", "undefined field 'labels'"),
        ("self.a_b", "undefined field 'a_b'"),
        ("self.name.first", "type 'string' does not support field selection"),
        ("self.name == 1", "found no matching overload for '_==_' applied to '(string, int)'"),
        ("self.name == null", "found no matching overload for '_==_' applied to '(string, null)'"),
        ("self.when < 'x'", "found no matching overload for '_<_' applied to '(google.protobuf.Timestamp, string)'"),
        ("self.replicas.all(x, true)", "expression of type 'int' cannot be range of a comprehension"),
        ("self.labels[1]", "found no matching overload for '_[_]' applied to '(map(string, string), int)'"),
    ],
)
def test_does_not_compile(expression: str, message: str) -> None:
    with pytest.raises(CompileError) as caught:
        ENVIRONMENT.compile(expression)

    assert message in str(caught.value)


def test_a_missing_field_is_an_error_at_run_time() -> None:
    with pytest.raises(EvaluationError, match=r"^no such key: replicas$"):
        ENVIRONMENT.compile("self.replicas > 1").evaluate({"self": {}})


def test_without_old_values_old_self_does_not_exist() -> None:
    with pytest.raises(CompileError, match="undeclared reference to 'oldSelf'"):
        Environment.for_schema(SCHEMA).compile("self == oldSelf")


def test_a_program_tells_whether_it_is_a_transition_rule() -> None:
    assert ENVIRONMENT.compile("self.replicas >= oldSelf.replicas").uses_old_self
    assert not ENVIRONMENT.compile("self.replicas >= 1").uses_old_self


def test_an_optional_old_self_is_absent_on_creation() -> None:
    from merope.lang.cel import OptionalValue

    environment = Environment.for_schema({"type": "integer"}, old_self="optional")
    program = environment.compile("oldSelf.hasValue() ? self >= oldSelf.value() : self == 0")

    assert program.evaluate({"self": 0, "oldSelf": OptionalValue(False)})[0] is True
    assert program.evaluate({"self": 1, "oldSelf": OptionalValue(True, 2)})[0] is False


def test_at_the_root_only_the_names_in_metadata_are_visible() -> None:
    environment = Environment.for_schema({"type": "object", "properties": {"spec": {"type": "object"}}}, root=True)
    resource = {"kind": "K", "metadata": {"name": "n", "labels": {}}, "spec": {}}

    program = environment.compile("self.metadata.name == 'n' && self.kind == 'K'")
    assert program.evaluate({"self": resource})[0] is True
    with pytest.raises(CompileError, match="undefined field 'labels'"):
        environment.compile("self.metadata.labels")


def test_booleans_and_numbers_differ_however_deep() -> None:
    anything = {"x-kubernetes-int-or-string": True}
    environment = Environment({"x": anything, "y": anything})

    assert environment.compile("x == y").evaluate({"x": [{"k": True}], "y": [{"k": 1}]})[0] is False
    assert environment.compile("x == y").evaluate({"x": [{"k": 1.0}], "y": [{"k": 1}]})[0] is True


def test_data_that_breaks_its_schema_is_an_evaluation_error() -> None:
    for data in ({"replicas": "three"}, {"replicas": None}, [], None, 5):
        with pytest.raises(EvaluationError):
            ENVIRONMENT.compile("self.replicas + 1 > 2").evaluate({"self": data})


def test_null_in_a_nullable_field_is_an_error_that_or_absorbs() -> None:
    schema = {"type": "object", "properties": {"n": {"type": "integer", "nullable": True}}}
    environment = Environment.for_schema(schema)

    for expression in ("self.n > 1", "self.n + 1 > 1", "self.n <= self.n"):
        with pytest.raises(EvaluationError, match="no such overload"):
            environment.compile(expression).evaluate({"self": {"n": None}})
        absorbed = environment.compile(f"{expression} || self.n == null")
        assert absorbed.evaluate({"self": {"n": None}})[0] is True


@pytest.mark.parametrize("name", ["in", "namespace", "a.b", "a-b", "x/y", "a__b", "plain", "__", "a__dot__b", "null"])
def test_escaped_names_come_back(name: str) -> None:
    escaped = escape(name)

    assert escaped is not None
    assert unescape(escaped) == name


@pytest.mark.parametrize("name", ["$ref", "1a", "", "a b", "é"])
def test_other_names_are_not_accessible(name: str) -> None:
    assert escape(name) is None
