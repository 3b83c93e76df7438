"""Pruning, nulls and defaults of structural schemas."""

from __future__ import annotations

import copy
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from merope.controlplane.crd import structural
from merope.controlplane.errors import ApiError
from merope.lang.schema import build

STRING = {"type": "string"}
PRESERVE = {"type": "object", "x-kubernetes-preserve-unknown-fields": True}


def spec(**properties: Any) -> dict[str, Any]:
    return {"type": "object", "properties": properties}


PRUNED = [
    pytest.param(
        spec(a=STRING, list={"type": "array", "items": spec(b=STRING)}),
        {"a": "x", "z": 1, "list": [{"b": "x", "y": 1}, {}]},
        {"a": "x", "list": [{"b": "x"}, {}]},
        ["list[0].y", "z"],
        id="fields and items",
    ),
    pytest.param(
        spec(map={"type": "object", "additionalProperties": spec(c=STRING)}),
        {"map": {"k": {"c": "x", "z": 1}}},
        {"map": {"k": {"c": "x"}}},
        ["map.k.z"],
        id="map values",
    ),
    pytest.param(
        spec(free=PRESERVE | {"properties": {"known": spec(a=STRING)}}),
        {"free": {"extra": {"deep": [1, {"x": None}]}, "known": {"a": "x", "b": 1}}},
        {"free": {"extra": {"deep": [1, {"x": None}]}, "known": {"a": "x"}}},
        ["free.known.b"],
        id="pruning resumes below a preserving node",
    ),
    pytest.param(
        spec(l={"type": "array", "x-kubernetes-preserve-unknown-fields": True, "items": spec(a=spec(b=STRING))}),
        {"l": [{"a": {"b": "x", "c": 1}, "d": 2}]},
        {"l": [{"a": {"b": "x"}, "d": 2}]},
        ["l[0].a.c"],
        id="a preserving list preserves in its items",
    ),
    pytest.param(
        spec(a={"type": "array", "items": STRING}),
        {"a": {"x": "y"}},
        {"a": {}},
        ["a.x"],
        id="an object where a list is declared loses all its fields",
    ),
    pytest.param(
        spec(raw={"type": "object", "x-kubernetes-embedded-resource": True, "properties": {"data": STRING}}),
        {"raw": {"apiVersion": "v1", "kind": "K", "metadata": {"name": "a"}, "data": "d", "other": 1}},
        {"raw": {"apiVersion": "v1", "kind": "K", "metadata": {"name": "a"}, "data": "d"}},
        ["raw.other"],
        id="type and metadata of embedded resources stay",
    ),
    pytest.param(
        spec(a={"type": "object", "additionalProperties": True}),
        {"a": {"k": {"deep": 1}, "s": "x"}},
        {"a": {"k": {}, "s": "x"}},
        ["a.k.deep"],
        id="a map of anything knows no fields inside its values",
    ),
]


@pytest.mark.parametrize(("schema", "obj", "expected", "paths"), PRUNED)
def test_unknown_fields_are_dropped_and_reported(
    schema: dict[str, Any], obj: Any, expected: Any, paths: list[str]
) -> None:
    node = build(schema)
    untouched = copy.deepcopy(obj)

    assert structural.unknown_fields(node, untouched) == paths
    assert untouched == obj

    assert structural.prune(node, obj) == paths
    assert obj == expected
    assert structural.prune(node, obj) == []


@pytest.mark.parametrize(
    ("schema", "obj", "expected"),
    [
        pytest.param(spec(a=STRING), {"a": None}, {}, id="a null that is not nullable goes"),
        pytest.param(spec(a=STRING | {"nullable": True}), {"a": None}, {"a": None}, id="a nullable one stays"),
        pytest.param(
            spec(a=STRING | {"default": "x"}), {"a": None}, {"a": None}, id="one with a default waits for the default"
        ),
        pytest.param(
            spec(m={"type": "object", "additionalProperties": STRING}), {"m": {"k": None}}, {"m": {}}, id="map values"
        ),
        pytest.param(
            spec(list={"type": "array", "items": spec(a=STRING)}),
            {"list": [{"a": None}, None]},
            {"list": [{}, None]},
            id="items keep their place",
        ),
        pytest.param(PRESERVE, {"n": None}, {"n": None}, id="undeclared fields keep theirs"),
    ],
)
def test_nulls_are_dropped_where_the_schema_does_not_allow_them(schema: Any, obj: Any, expected: Any) -> None:
    structural.drop_nulls(build(schema), obj)

    assert obj == expected


DEFAULTS = spec(
    a={"type": "integer", "default": 1},
    deep=spec(b=STRING | {"default": "x"}),
    given=spec(c=STRING, d={"type": "boolean", "default": True}) | {"default": {"c": "y"}},
    list={"type": "array", "items": spec(e=STRING | {"default": "z"})},
    map={"type": "object", "additionalProperties": spec(f={"type": "integer", "default": 7})},
    null=STRING | {"nullable": True, "default": "n"},
)


@pytest.mark.parametrize(
    ("obj", "expected"),
    [
        pytest.param({}, {"a": 1, "given": {"c": "y", "d": True}, "null": "n"}, id="missing parents stay missing"),
        pytest.param(
            {"a": 0, "deep": {}, "given": {}, "list": [{}, {"e": "k"}], "map": {"m": {}}, "null": None},
            {
                "a": 0,
                "deep": {"b": "x"},
                "given": {"d": True},
                "list": [{"e": "z"}, {"e": "k"}],
                "map": {"m": {"f": 7}},
                "null": None,
            },
            id="given values stay, zero included",
        ),
        pytest.param({"a": None, "null": "v"}, {"a": 1, "given": {"c": "y", "d": True}, "null": "v"}, id="null"),
        pytest.param({"deep": "text", "list": {}}, None, id="wrong types are left to validation"),
    ],
)
def test_missing_fields_get_their_defaults(obj: Any, expected: Any) -> None:
    structural.default(build(DEFAULTS), obj)

    if expected is None:
        assert obj["deep"] == "text"
        assert obj["list"] == {}
    else:
        assert obj == expected


def test_defaults_of_many_items_cannot_make_an_object_of_any_size() -> None:
    node = build(spec(list={"type": "array", "items": spec(a=STRING | {"default": "x" * 100_000})}))

    structural.default(node, {"list": [{}] * 20})
    with pytest.raises(ApiError) as caught:
        structural.default(node, {"list": [{} for _ in range(100)]})

    assert caught.value.code == 413


def test_defaults_are_not_shared_between_objects() -> None:
    node = build(DEFAULTS)
    first: dict[str, Any] = {}
    second: dict[str, Any] = {}

    structural.default(node, first)
    first["given"]["c"] = "changed"
    structural.default(node, second)

    assert second["given"]["c"] == "y"


JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-5, 5) | st.text("ab", max_size=2),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(["a", "deep", "given", "list", "map", "null", "b", "c", "d", "e", "f", "x"]),
            inner,
            max_size=4,
        )
    ),
    max_leaves=12,
)


@given(JSON)
def test_cleaning_and_defaulting_are_idempotent(obj: Any) -> None:
    node = build(DEFAULTS)
    structural.clean(node, obj)
    structural.default(node, obj)
    once = copy.deepcopy(obj)

    assert structural.clean(node, obj) == []
    structural.default(node, obj)

    assert obj == once
