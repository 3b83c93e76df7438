"""YAML answers, made in pieces."""

from __future__ import annotations

from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from merope.controlplane.http import yamltext

SCALARS = st.none() | st.booleans() | st.integers() | st.text() | st.floats(allow_nan=False, allow_infinity=False)
VALUES = st.recursive(
    SCALARS, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3), max_leaves=12
)


@given(VALUES)
def test_what_is_read_back_is_what_was_written(value: Any) -> None:
    assert yaml.safe_load(yamltext.dump(value)) == value


@given(st.dictionaries(st.text("abc", min_size=1), VALUES, max_size=4))
def test_the_pieces_are_those_of_a_whole_document(value: Any) -> None:
    assert yamltext.dump(value) == yamltext._whole(value)


def test_lists_of_objects_look_as_people_know_them() -> None:
    found = yamltext.dump({"kind": "List", "items": [{"a": 1, "b": [2]}, {"a": {}}]})

    assert found == b"items:\n- a: 1\n  b:\n  - 2\n- a: {}\nkind: List\n"


def test_a_key_may_be_long() -> None:
    value = {"k" * 2_000: [1, {"a": 2}]}

    assert yaml.safe_load(yamltext.dump(value)) == value


@pytest.mark.parametrize("shared", [{"a": 1}, [1]])
def test_what_occurs_twice_is_written_twice(shared: Any) -> None:
    assert b"&" not in yamltext.dump({"x": shared, "y": [shared, shared]})
