"""Texts of schema validation, the gate in front of it, and ratcheting."""

from __future__ import annotations

import time
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from merope.controlplane.crd import gate
from merope.controlplane.crd.formats import CHECKS
from merope.controlplane.crd.structural import validate
from merope.controlplane.crd.validation import _complaints
from merope.controlplane.crd.values import NOTHING, go_float
from merope.lang.schema import build


def of(**properties: Any) -> dict[str, Any]:
    return {"type": "object", "properties": {"spec": {"type": "object", "properties": properties}}}


TYPES = of(
    s={"type": "string"},
    i={"type": "integer"},
    n={"type": "number"},
    b={"type": "boolean"},
    a={"type": "array", "items": {"type": "string"}},
    o={"type": "object", "properties": {"x": {"type": "string"}}},
    ios={"x-kubernetes-int-or-string": True},
)
NUMBERS = of(
    min={"type": "integer", "minimum": 1},
    max={"type": "integer", "maximum": 9},
    emin={"type": "number", "minimum": 1, "exclusiveMinimum": True},
    emax={"type": "number", "maximum": 9, "exclusiveMaximum": True},
    mult={"type": "integer", "multipleOf": 3},
    i32={"type": "integer", "format": "int32"},
    enum={"type": "integer", "enum": [1, 2]},
)
SIZES = of(
    min={"type": "array", "minItems": 2, "items": {"type": "string"}},
    max={"type": "array", "maxItems": 1, "items": {"type": "string"}},
    pmin={"type": "object", "minProperties": 1, "additionalProperties": {"type": "string"}},
    pmax={"type": "object", "maxProperties": 1, "additionalProperties": {"type": "string"}},
    nested={"type": "array", "items": {"type": "object", "required": ["k"], "properties": {"k": {"type": "string"}}}},
    long={"type": "string", "maxLength": 2},
    short={"type": "string", "minLength": 2},
    pattern={"type": "string", "pattern": "^a"},
    enum={"type": "string", "enum": ["a", "b"]},
)
LOGIC = of(
    any={"type": "string", "anyOf": [{"maxLength": 1}, {"pattern": "^a"}]},
    one={"type": "string", "oneOf": [{"maxLength": 2}, {"pattern": "^a"}]},
    all={"type": "string", "allOf": [{"maxLength": 2}, {"pattern": "^a"}]},
    nope={"type": "string", "not": {"enum": ["bad"]}},
    req={
        "type": "object",
        "properties": {"a": {"type": "string"}, "b": {"type": "string"}},
        "oneOf": [{"required": ["a"]}, {"required": ["b"]}],
    },
)

CASES = [
    (TYPES, {"s": 1}, ['spec.s: Invalid value: "integer": spec.s in body must be of type string: "integer"']),
    (TYPES, {"i": "text"}, ['spec.i: Invalid value: "string": spec.i in body must be of type integer: "string"']),
    (
        TYPES,
        {"i": 1.5},
        [
            '<nil>: Invalid value: "": Checked value must be of type integer (default format) in spec.i',
            'spec.i: Invalid value: "number": spec.i in body must be of type integer: "number"',
        ],
    ),
    (
        TYPES,
        {"n": "text", "b": "yes"},
        [
            'spec.b: Invalid value: "string": spec.b in body must be of type boolean: "string"',
            'spec.n: Invalid value: "string": spec.n in body must be of type number: "string"',
        ],
    ),
    (
        TYPES,
        {"a": {}, "o": [1]},
        [
            'spec.a: Invalid value: "object": spec.a in body must be of type array: "object"',
            'spec.o: Invalid value: "array": spec.o in body must be of type object: "array"',
        ],
    ),
    (
        TYPES,
        {"a": ["ok", 2]},
        ['spec.a[1]: Invalid value: "integer": spec.a[1] in body must be of type string: "integer"'],
    ),
    (TYPES, [1], ['spec: Invalid value: "array": spec in body must be of type object: "array"']),
    (TYPES, {"s": None}, ['spec.s: Invalid value: "null": spec.s in body must be of type string: "null"']),
    (TYPES, {"i": 1.0, "n": 2, "ios": 3}, []),
    (TYPES, {"ios": "25%"}, []),
    (
        TYPES,
        {"ios": True},
        ['spec.ios: Invalid value: "boolean": spec.ios in body must be of type integer,string: "boolean"'],
    ),
    (NUMBERS, {"min": 0}, ["spec.min: Invalid value: 0: spec.min in body should be greater than or equal to 1"]),
    (NUMBERS, {"max": 10}, ["spec.max: Invalid value: 10: spec.max in body should be less than or equal to 9"]),
    (NUMBERS, {"emin": 1}, ["spec.emin: Invalid value: 1: spec.emin in body should be greater than 1"]),
    (NUMBERS, {"emax": 9}, ["spec.emax: Invalid value: 9: spec.emax in body should be less than 9"]),
    (NUMBERS, {"mult": 4}, ["spec.mult: Invalid value: 4: spec.mult in body should be a multiple of 3"]),
    (
        NUMBERS,
        {"i32": 3000000000},
        ['<nil>: Invalid value: "": Checked value must be of type integer with format int32 in spec.i32'],
    ),
    (
        of(n={"type": "integer", "maximum": 3000000}),
        {"n": 3000001},
        ["spec.n: Invalid value: 3000001: spec.n in body should be less than or equal to 3000000"],
    ),
    (
        of(n={"type": "number", "maximum": 3000000}),
        {"n": 3000000.5},
        ["spec.n: Invalid value: 3000000.5: spec.n in body should be less than or equal to 3e+06"],
    ),
    (
        of(n={"type": "integer", "format": "int64"}),
        {"n": 1.5},
        [
            '<nil>: Invalid value: "": Checked value must be of type integer with format int64 in spec.n',
            'spec.n: Invalid value: "float64": spec.n in body must be of type int64: "float64"',
        ],
    ),
    (
        of(t={"type": "string", "format": "date-time"}),
        {"t": 3},
        ['spec.t: Invalid value: "int64": spec.t in body must be of type date-time: "int64"'],
    ),
    (of(t={"type": "string", "format": "date-time"}), {"t": ["anything"]}, []),
    (NUMBERS, {"enum": 3}, ['spec.enum: Unsupported value: 3: supported values: "1", "2"']),
    (SIZES, {"min": ["a"]}, ["spec.min: Invalid value: 1: spec.min in body should have at least 2 items"]),
    (SIZES, {"max": ["a", "b"]}, ["spec.max: Too many: 2: must have at most 1 item"]),
    (SIZES, {"pmin": {}}, ["spec.pmin: Invalid value: 0: spec.pmin in body should have at least 1 properties"]),
    (SIZES, {"pmax": {"a": "", "b": ""}}, ["spec.pmax: Too many: 2: must have at most 1 item"]),
    (SIZES, {"nested": [{"k": "a"}, {}]}, ["spec.nested[1].k: Required value"]),
    (SIZES, {"long": "abc"}, ["spec.long: Too long: may not be more than 2 bytes"]),
    (SIZES, {"long": "\u00e9\u00e9"}, []),
    (SIZES, {"short": "a"}, ['spec.short: Invalid value: "a": spec.short in body should be at least 2 chars long']),
    (SIZES, {"pattern": "ba"}, ["spec.pattern: Invalid value: \"ba\": spec.pattern in body should match '^a'"]),
    (SIZES, {"enum": "c"}, ['spec.enum: Unsupported value: "c": supported values: "a", "b"']),
    (
        LOGIC,
        {"any": "bbb"},
        [
            '<nil>: Invalid value: "": "spec.any" must validate at least one schema (anyOf)',
            "spec.any: Too long: may not be more than 1 byte",
        ],
    ),
    (
        LOGIC,
        {"one": "ab"},
        [
            '<nil>: Invalid value: "": "spec.one" must validate one and only one schema (oneOf).'
            " Found 2 valid alternatives"
        ],
    ),
    (
        LOGIC,
        {"one": "bbb"},
        [
            '<nil>: Invalid value: "": "spec.one" must validate one and only one schema (oneOf). Found none valid',
            "spec.one: Too long: may not be more than 2 bytes",
        ],
    ),
    (
        LOGIC,
        {"all": "bbb"},
        [
            '<nil>: Invalid value: "": "spec.all" must validate all the schemas (allOf). None validated',
            "spec.all: Invalid value: \"bbb\": spec.all in body should match '^a'",
            "spec.all: Too long: may not be more than 2 bytes",
        ],
    ),
    (LOGIC, {"nope": "bad"}, ['<nil>: Invalid value: "": "spec.nope" must not validate the schema (not)']),
    (
        LOGIC,
        {"req": {}},
        [
            '<nil>: Invalid value: "": "spec.req" must validate one and only one schema (oneOf). Found none valid',
            "spec.req.a: Required value",
        ],
    ),
]


@pytest.mark.parametrize(("schema", "value", "expected"), CASES)
def test_complaints_read_as_the_real_server_writes_them(schema: Any, value: Any, expected: list[str]) -> None:
    assert sorted(map(str, validate(build(schema), {"spec": value}))) == expected


FORMATS = {
    "date": (["2001-01-01"], ["2001-13-01", "nodate", "2001-1-1"]),
    "date-time": (
        ["2001-01-01T00:00:00Z", "2001-01-01t00:00:00z", "2001-01-01T00:00:00.123456789+02:00"],
        ["notime", "2001-01-01", "", "2001-01-01T00:00:00", "2001-01-01 00:00:00Z", "2001-01-01T00:00Z"],
    ),
    "duration": (["1h3m", "10s", "1.5h", "3 days", "-1h", "1d"], ["long", "", "5x", "5", "1 x"]),
    "email": (["a@example.com", "a@b", "A <a@b.c>"], ["nobody", "a b@c", ""]),
    "ipv4": (["1.2.3.4"], ["1.2.3", "::1"]),
    "ipv6": (["::1"], ["1.2.3.4"]),
    "cidr": (["10.0.0.0/8", "fd00::/8"], ["1.2.3.4", "10.0.0.0/33"]),
    "uri": (
        ["https://example.com", "/path", "*", "mailto:a@b", "a:b c", "//host/x"],
        ["not a uri", "relative/path", "http://a b", "http://a/%zz", ""],
    ),
    "uuid": (["123e4567-e89b-12d3-a456-426614174000"], ["x"]),
    "byte": (["aGVsbG8="], ["***", "abc"]),
    "hostname": (["example.com", "localhost"], ["a_b c", "-a.com", "example.com.", "1.2.3.4", ""]),
    "mac": (["01:23:45:67:89:ab"], ["x"]),
    "isbn10": (["0306406152"], ["0306406153"]),
    "isbn13": (["9780306406157"], ["9780306406158"]),
    "creditcard": (["4111 1111 1111 1111"], ["4111 1111 1111 1112"]),
    "strange": (["anything"], []),
    "password": (["anything"], []),
}


@pytest.mark.parametrize("name", FORMATS)
def test_formats_are_enforced(name: str) -> None:
    node = build({"type": "object", "properties": {"f": {"type": "string", "format": name}}})
    good, bad = FORMATS[name]

    for text in good:
        assert validate(node, {"f": text}) == []
    for text in bad:
        assert [str(e) for e in validate(node, {"f": text})] == [
            f'f: Invalid value: "{text}": f in body must be of type {name}: "{text}"'
        ]


LISTS = of(
    set={"type": "array", "x-kubernetes-list-type": "set", "items": {"type": "string"}},
    two={
        "type": "array",
        "x-kubernetes-list-type": "map",
        "x-kubernetes-list-map-keys": ["port", "protocol"],
        "items": {
            "type": "object",
            "properties": {"port": {"type": "integer"}, "protocol": {"type": "string"}, "v": {"type": "string"}},
        },
    },
    m={
        "type": "object",
        "additionalProperties": {"type": "array", "x-kubernetes-list-type": "set", "items": {"type": "string"}},
    },
)


@pytest.mark.parametrize(
    ("value", "old", "expected"),
    [
        ({"set": ["a", "b", "a", "a"]}, None, ['spec.set[2]: Duplicate value: "a"']),
        (
            {"two": [{"port": 80, "protocol": "TCP", "v": "1"}, {"port": 80, "protocol": "TCP"}]},
            None,
            ['spec.two[1]: Duplicate value: {"port":80,"protocol":"TCP"}'],
        ),
        ({"two": [{"port": 80, "protocol": "TCP"}, {"port": 80, "protocol": "UDP"}]}, None, []),
        (
            {"two": [{"port": 80, "protocol": "TCP"}, "text"]},
            None,
            [
                'spec.two[1]: Invalid value: "string": spec.two[1] in body must be of type object: "string"',
                'spec.two[1]: Invalid value: "text": must be an object for an array of list-type map',
            ],
        ),
        ({"m": {"k": ["a", "a"]}}, None, ['spec.m[k][1]: Duplicate value: "a"']),
        ({"set": ["a", "a", "b"]}, {"set": ["a", "a"]}, []),
        ({"set": ["a", "a", "b", "b"]}, {"set": ["a", "a"]}, []),
        ({"set": ["a", "a"]}, {"set": ["a"]}, ['spec.set[1]: Duplicate value: "a"']),
    ],
)
def test_sets_and_maps_hold_nothing_twice(value: Any, old: Any, expected: list[str]) -> None:
    before = None if old is None else {"spec": old}

    assert [str(e) for e in validate(build(LISTS), {"spec": value}, before)] == expected


RATCHETED = of(
    a={"type": "string", "maxLength": 2},
    b={"type": "string"},
    list={
        "type": "array",
        "x-kubernetes-list-type": "map",
        "x-kubernetes-list-map-keys": ["k"],
        "items": {"type": "object", "properties": {"k": {"type": "string"}, "v": {"type": "integer", "maximum": 5}}},
    },
    plain={"type": "array", "items": {"type": "string", "maxLength": 2}},
)


@pytest.mark.parametrize(
    ("value", "old", "fields"),
    [
        pytest.param({"a": "long", "b": "y"}, {"a": "long", "b": "x"}, [], id="an unchanged field"),
        pytest.param({"a": "longer"}, {"a": "long"}, ["spec.a"], id="a changed field"),
        pytest.param({"a": "long"}, {}, ["spec.a"], id="a new field"),
        pytest.param(
            {"list": [{"k": "n", "v": 9}, {"k": "x", "v": 7}]},
            {"list": [{"k": "x", "v": 7}]},
            ["spec.list[0].v"],
            id="items of a map list are found by key",
        ),
        pytest.param({"plain": ["long"]}, {"plain": ["long"]}, [], id="a whole list"),
        pytest.param({"plain": ["long", "x"]}, {"plain": ["long"]}, ["spec.plain[0]"], id="items of other lists"),
    ],
)
def test_what_did_not_change_is_not_held_against_an_update(value: Any, old: Any, fields: list[str]) -> None:
    errors = validate(build(RATCHETED), {"spec": value}, {"spec": old})

    assert [error.field for error in errors] == fields


def test_a_path_goes_before_the_field_but_not_into_the_text() -> None:
    errors = validate(build({"type": "integer"}), "text", path="spec.default")

    assert str(errors[0]) == 'spec.default: Invalid value: "string":  in body must be of type integer: "string"'


@pytest.mark.parametrize(
    ("value", "text"), [(3, "3"), (1.5, "1.5"), (100000, "100000"), (3000000, "3e+06"), (1234567, "1.234567e+06")]
)
def test_bounds_are_printed_as_go_prints_floats(value: float, text: str) -> None:
    assert go_float(value) == text


SCALARS = st.none() | st.booleans() | st.integers(-4, 12) | st.sampled_from([1.0, 1.5, 3e9, 2**40])
TEXTS = st.sampled_from(["", "a", "ab", "abc", "bad", "bbb", "25%"])
VALUES = st.recursive(
    SCALARS | TEXTS,
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(["a", "b", "k", "x"]), inner, max_size=3)
    ),
    max_leaves=6,
)


@pytest.mark.parametrize(
    "schema", [TYPES, NUMBERS, SIZES, LOGIC, RATCHETED], ids=["types", "num", "size", "logic", "r"]
)
def test_the_gate_agrees_with_the_walk(schema: dict[str, Any]) -> None:
    node = build(schema)
    accepts = gate.of(node)
    assert accepts is not None
    fields = sorted(schema["properties"]["spec"]["properties"])

    @given(st.dictionaries(st.sampled_from(fields), VALUES, max_size=3))
    def agrees(value: dict[str, Any]) -> None:
        obj = {"spec": value}
        if accepts(obj):
            assert _complaints(node, obj, NOTHING, "") == []

    agrees()


def test_without_the_gate_the_walk_alone_decides(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gate, "of", lambda node: None)

    assert validate(build(TYPES), {"spec": {"s": "x"}}) == []
    assert len(validate(build(TYPES), {"spec": {"s": 1}})) == 1


ATTACKS = ["a", "1", ".", "a.", "-", " ", "@", "a@", "1s", "::", '"', "<", "1 ", "a-", "%41", "\u00e9", "1.", "rgb(0 "]


@pytest.mark.parametrize("name", sorted(CHECKS))
def test_no_text_takes_a_format_more_than_a_moment(name: str) -> None:
    # A text that took the square of its length would take minutes.
    started = time.process_time()

    for piece in ATTACKS:
        CHECKS[name](piece * 100_000)
        CHECKS[name](piece * 100_000 + "!")

    assert time.process_time() - started < 5
