"""Hashes are taken over this JSON: it must be Go's, byte for byte."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from merope.lang import gojson
from merope.lang.goformat import format_value, type_name

json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=12,
)


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ({"b": 1, "a": 2}, '{"a":2,"b":1}'),
        ("<a>&", r'"\u003ca\u003e\u0026"'),
        ("\u2028\u2029", r'"\u2028\u2029"'),
        ("é\x7f", '"é\x7f"'),
        ('\x00\b\f\n\r\t"\\/', r'"\u0000\b\f\n\r\t\"\\/"'),
        ("\ud800", r'"\ufffd"'),
        (1.0, "1"),
        (1e20, "100000000000000000000"),
        (1e21, "1e+21"),
        (1e-6, "0.000001"),
        (1e-7, "1e-7"),
        (1.5e-9, "1.5e-9"),
        (-0.0, "-0"),
        (0.1, "0.1"),
        (123456789.125, "123456789.125"),
        (2**70, str(2**70)),
        ([True, False, None], "[true,false,null]"),
        ({}, "{}"),
    ],
)
def test_values_are_written_as_go_writes_them(value: Any, text: str) -> None:
    assert gojson.dumps(value).decode() == text


def test_html_stays_where_it_is_asked_to_but_line_separators_are_always_escaped() -> None:
    assert gojson.dumps("<\u2028>", escape_html=False).decode() == '"<\\u2028>"'


@pytest.mark.parametrize("value", [float("nan"), float("inf"), {"a": [float("-inf")]}])
def test_there_is_no_json_for_what_is_no_number(value: Any) -> None:
    with pytest.raises(ValueError, match="unsupported value"):
        gojson.dumps(value)


@pytest.mark.parametrize("value", [{1: 2}, {"a": object()}, {1, 2}, b"x"])
def test_there_is_no_json_for_other_types(value: Any) -> None:
    with pytest.raises(TypeError):
        gojson.dumps(value)


def as_floats(value: Any) -> Any:
    """A whole float is written like an integer, so both are read back as floats."""
    if isinstance(value, dict):
        return {key: as_floats(inner) for key, inner in value.items()}
    if isinstance(value, list):
        return [as_floats(inner) for inner in value]
    return float(value) if isinstance(value, int) and not isinstance(value, bool) else value


@given(json_values)
def test_the_json_reads_back_as_the_value(value: Any) -> None:
    assert json.loads(gojson.dumps(value), parse_int=float) == as_floats(value)
    assert json.loads(gojson.dumps(value, escape_html=False), parse_int=float) == as_floats(value)


@given(json_values)
def test_both_ways_of_writing_agree(value: Any) -> None:
    out: list[str] = []
    gojson._write(value, out)
    assert (
        gojson.dumps(value, escape_html=False)
        == "".join(out).replace("\u2028", "\\u2028").replace("\u2029", "\\u2029").encode()
    )


@pytest.mark.parametrize(
    ("value", "text", "kind"),
    [
        (None, "<nil>", "<nil>"),
        (True, "true", "bool"),
        (3, "3", "int64"),
        (1e6, "1e+06", "float64"),
        (100000.0, "100000", "float64"),
        (0.00001, "1e-05", "float64"),
        ("x", "x", "string"),
        ({"b": [1, "x"], "a": None}, "map[a:<nil> b:[1 x]]", "map[string]interface {}"),
        ([], "[]", "[]interface {}"),
    ],
)
def test_values_are_shown_as_percent_v_shows_them(value: Any, text: str, kind: str) -> None:
    assert format_value(value) == text
    assert type_name(value) == kind
