"""JSON patches and merge patches: applied whole or not at all, and created so that applying them gives the result."""

import copy
import time
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from merope.api.diff import same
from merope.lang import jsonpatch, mergepatch

scalars = st.none() | st.booleans() | st.integers(-2, 2) | st.sampled_from([0.0, 1.0]) | st.sampled_from(["", "a"])
keys = st.sampled_from(["a", "b", "a/b", "m~n", ""])
values = st.recursive(
    scalars, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(keys, inner, max_size=4), max_leaves=10
)
objects = st.dictionaries(keys, values, max_size=4)


def without_nulls(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: without_nulls(inner) for key, inner in value.items() if inner is not None}
    if isinstance(value, list):
        return [without_nulls(inner) for inner in value]
    return value


@given(values, values)
def test_a_created_json_patch_leads_from_before_to_after(before: Any, after: Any) -> None:
    patch = jsonpatch.create_patch(before, after)
    assert same(jsonpatch.apply(before, patch), after)
    assert (patch == []) is same(before, after)


@given(objects, objects)
def test_a_created_merge_patch_leads_from_before_to_after(before: dict[str, Any], after: dict[str, Any]) -> None:
    before, after = without_nulls(before), without_nulls(after)
    patch = mergepatch.create_merge_patch(before, after)
    assert same(mergepatch.apply(before, patch), after)
    assert (patch == {}) is same(before, after)


@given(objects, objects)
def test_patching_leaves_the_document_and_the_patch_alone(doc: dict[str, Any], other: dict[str, Any]) -> None:
    ops = jsonpatch.create_patch(doc, other)
    merge = mergepatch.create_merge_patch(doc, other)
    frozen = copy.deepcopy((doc, other, ops, merge))
    jsonpatch.apply(doc, ops)
    mergepatch.apply(doc, merge)
    assert (doc, other, ops, merge) == frozen


@pytest.mark.parametrize(
    ("doc", "op", "result"),
    [
        ({"a": [1, 2]}, {"op": "add", "path": "/a/-", "value": 3}, {"a": [1, 2, 3]}),
        ({"a": [1, 2]}, {"op": "add", "path": "/a/2", "value": 3}, {"a": [1, 2, 3]}),
        ({"a": [1, 2]}, {"op": "add", "path": "/a/0", "value": 3}, {"a": [3, 1, 2]}),
        ({"a": [1, 2]}, {"op": "remove", "path": "/a/-1"}, {"a": [1]}),
        ({"a": [1, 2]}, {"op": "replace", "path": "/a/-2", "value": 9}, {"a": [9, 2]}),
        ({"a": 1}, {"op": "replace", "path": "/b", "value": 2}, {"a": 1, "b": 2}),
        ({"a": 1}, {"op": "test", "path": "/missing", "value": None}, {"a": 1}),
        ({"a": 1}, {"op": "move", "from": "/a", "path": "/b"}, {"b": 1}),
        ({"a": {"x": [1]}}, {"op": "copy", "from": "/a", "path": "/b"}, {"a": {"x": [1]}, "b": {"x": [1]}}),
        ({"a/b": 1, "m~n": 2}, {"op": "remove", "path": "/a~1b"}, {"m~n": 2}),
        ({"a": 1}, {"op": "replace", "path": "", "value": {"b": 2}}, {"b": 2}),
    ],
)
def test_operations_do_what_api_servers_do(doc: Any, op: dict[str, Any], result: Any) -> None:
    assert jsonpatch.apply(doc, [op]) == result


@pytest.mark.parametrize(
    "op",
    [
        {"op": "remove", "path": "/missing"},
        {"op": "test", "path": "/a", "value": True},
        {"op": "test", "path": "/a", "value": 1.0},
        {"op": "add", "path": "/list/3", "value": 1},
        {"op": "add", "path": "/missing/x", "value": 1},
        {"op": "replace", "path": "/list/2", "value": 1},
        {"op": "remove", "path": "/list/x"},
        {"op": "jump", "path": "/a"},
        {"op": "add", "value": 1},
        {"op": "add", "path": "a", "value": 1},
        {"op": "move", "path": "/b", "from": "/missing"},
        {"op": "move", "path": "/list/0", "from": "/list"},
        "add",
        None,
    ],
)
def test_an_operation_that_does_not_apply_fails(op: Any) -> None:
    with pytest.raises(jsonpatch.JSONPatchError, match="operation 0"):
        jsonpatch.apply({"a": 1, "list": [1, 2]}, [op])


def test_a_copied_value_changes_in_one_place_only() -> None:
    ops = [
        {"op": "add", "path": "/a/x", "value": 1},
        {"op": "copy", "from": "/a", "path": "/b"},
        {"op": "add", "path": "/b/y", "value": 2},
        {"op": "add", "path": "/a/z", "value": 3},
    ]
    assert jsonpatch.apply({"a": {}}, ops) == {"a": {"x": 1, "z": 3}, "b": {"x": 1, "y": 2}}


def test_copying_a_document_into_itself_again_and_again_is_stopped() -> None:
    ops = [{"op": "copy", "from": "", "path": f"/{number}"} for number in range(60)]
    with pytest.raises(jsonpatch.JSONPatchError, match="exceeds the limit"):
        jsonpatch.apply({"a": "x" * 10}, ops)
    assert len(jsonpatch.apply({"a": "x" * 10}, ops[:5])) == 6


def test_a_merge_patch_replaces_lists_merges_objects_and_removes_with_null() -> None:
    doc = {"keep": 1, "gone": 2, "list": [1, 2], "obj": {"a": 1, "b": 2}}
    patch = {"gone": None, "list": [3], "obj": {"b": None, "c": 3}, "new": {"x": None, "y": 1}}
    assert mergepatch.apply(doc, patch) == {"keep": 1, "list": [3], "obj": {"a": 1, "c": 3}, "new": {"y": 1}}


def test_zero_false_and_empty_are_told_apart_by_a_created_patch() -> None:
    before = {"a": 0, "b": False, "c": "", "d": 1}
    after = {"a": False, "b": 0, "c": None, "d": 1.0}
    assert mergepatch.create_merge_patch(before, after) == {"a": False, "b": 0, "c": None, "d": 1.0}


def test_moving_and_testing_what_is_large_costs_nothing():
    doc = {"a": [0] * 50_000, "c": {}}
    moves = [{"op": "move", "from": "/a", "path": "/b"}, {"op": "move", "from": "/b", "path": "/a"}]
    started = time.process_time()

    assert jsonpatch.apply(doc, moves * 5_000) == doc
    assert time.process_time() - started < 5


def test_what_was_copied_and_then_moved_is_changed_in_one_place_only():
    ops = [
        {"op": "copy", "from": "/a", "path": "/b"},
        {"op": "move", "from": "/b", "path": "/c"},
        {"op": "add", "path": "/c/x", "value": 1},
        {"op": "move", "from": "/a", "path": "/d"},
        {"op": "add", "path": "/d/y", "value": 2},
    ]
    doc = {"a": {}}

    assert jsonpatch.apply(doc, ops) == {"c": {"x": 1}, "d": {"y": 2}}
    assert doc == {"a": {}}
