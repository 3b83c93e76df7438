"""Structs are for reading, writes are diffs: what a struct doesn't know survives what is done with it."""

import copy
from typing import Annotated, Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import UNSET
from msgspec.structs import replace

from merope.api.cluster.v1 import ManagedCluster, ManagedClusterSpec, Taint
from merope.api.diff import changed_raw, create_merge_patch, merge_patch, same
from merope.api.meta.v1 import Condition, ObjectMeta, decode, encode
from merope.api.schema import Maybe, Struct, map_of
from merope.lang.mergepatch import apply

JOINED = {
    "type": "ManagedClusterJoined",
    "status": "True",
    "reason": "Joined",
    "message": "",
    "lastTransitionTime": "2026-01-01T00:00:00Z",
    "newInNextVersion": {"deep": [0, False, "", None]},
}
RAW: dict[str, Any] = {
    "apiVersion": "cluster.open-cluster-management.io/v1",
    "kind": "ManagedCluster",
    "metadata": {"name": "c1", "labels": {"a": ""}, "futureMeta": 0},
    "spec": {
        "hubAcceptsClient": False,
        "leaseDurationSeconds": 0,
        "future": None,
        "taints": [
            {"key": "k", "effect": "NoSelect", "timeAdded": None, "futureTaint": False},
            {"key": "l", "effect": "NoSelect", "value": ""},
        ],
    },
    "status": {"conditions": [JOINED], "futureStatus": {"x": ""}},
}


def typed() -> ManagedCluster:
    return decode(ManagedCluster, RAW)


def test_nothing_changed_is_nothing_to_write() -> None:
    assert merge_patch(RAW, typed(), typed()) == {}
    assert changed_raw(RAW, typed(), typed()) == RAW


def test_a_changed_field_is_all_that_is_written() -> None:
    before = typed()
    assert before.spec
    after = replace(before, spec=replace(before.spec, hub_accepts_client=True))
    assert merge_patch(RAW, before, after) == {"spec": {"hubAcceptsClient": True}}


def test_a_field_made_absent_is_removed_and_one_made_zero_is_not() -> None:
    before = typed()
    assert before.spec
    after = replace(before, spec=replace(before.spec, lease_duration_seconds=UNSET))
    assert merge_patch(RAW, before, after) == {"spec": {"leaseDurationSeconds": None}}
    zero = replace(before, spec=ManagedClusterSpec(hub_accepts_client=False))
    assert changed_raw(RAW, before, zero)["spec"] == {"hubAcceptsClient": False, "future": None}


def test_list_items_are_matched_by_their_map_key_and_keep_what_is_unknown() -> None:
    before = typed()
    assert before.status
    assert before.status.conditions
    added = Condition(type="New", status="True", reason="R", message="", last_transition_time="2026-01-02T00:00:00Z")
    changed = replace(before.status.conditions[0], status="False")
    after = replace(before, status=replace(before.status, conditions=[added, changed]))

    patch = merge_patch(RAW, before, after)

    assert patch == {
        "status": {
            "conditions": [
                {
                    "type": "New",
                    "status": "True",
                    "reason": "R",
                    "message": "",
                    "lastTransitionTime": "2026-01-02T00:00:00Z",
                },
                {**JOINED, "status": "False"},
            ]
        }
    }


def test_items_of_plain_lists_keep_what_is_unknown_wherever_they_move() -> None:
    before = typed()
    assert before.spec
    assert before.spec.taints
    first, second = before.spec.taints
    new = Taint(key="n", effect="NoSelect")
    after = replace(before, spec=replace(before.spec, taints=[new, second, first]))
    assert changed_raw(RAW, before, after)["spec"]["taints"] == [
        {"key": "n", "effect": "NoSelect"},
        RAW["spec"]["taints"][1],
        RAW["spec"]["taints"][0],
    ]


def test_a_changed_item_of_a_plain_list_is_matched_by_its_place() -> None:
    before = typed()
    assert before.spec
    assert before.spec.taints
    first, second = before.spec.taints
    after = replace(before, spec=replace(before.spec, taints=[replace(first, effect="PreferNoSelect"), second]))
    assert changed_raw(RAW, before, after)["spec"]["taints"][0] == {
        "key": "k",
        "effect": "PreferNoSelect",
        "timeAdded": None,
        "futureTaint": False,
    }


def test_metadata_that_was_absent_is_made_when_it_is_needed() -> None:
    raw = {"apiVersion": "v1", "kind": "ManagedCluster"}
    before = decode(ManagedCluster, raw)
    after = replace(before, metadata=replace(before.metadata, labels={"a": "b"}))
    assert merge_patch(raw, before, after) == {"metadata": {"labels": {"a": "b"}}}


def test_different_types_cannot_be_compared() -> None:
    with pytest.raises(TypeError, match="cannot compare"):
        changed_raw(RAW, typed(), ObjectMeta())


def test_an_object_to_be_created_is_encoded_with_its_kind_and_without_what_is_absent() -> None:
    assert encode(
        ManagedCluster(metadata=ObjectMeta(name="c1"), spec=ManagedClusterSpec(hub_accepts_client=False))
    ) == {
        "apiVersion": "cluster.open-cluster-management.io/v1",
        "kind": "ManagedCluster",
        "metadata": {"name": "c1"},
        "spec": {"hubAcceptsClient": False},
    }


# The property: a world of objects of which the struct knows a part.


class Leaf(Struct):
    """An item with a key."""

    key: str
    value: Maybe[int | str | bool | None] = UNSET


class Branch(Struct):
    """An object with everything that a struct can hold."""

    number: Maybe[int | None] = UNSET
    text: Maybe[str | None] = UNSET
    flag: Maybe[bool | None] = UNSET
    leaves: Maybe[Annotated[list[Leaf], map_of("key")]] = UNSET
    plain: Maybe[list[Leaf]] = UNSET
    labels: Maybe[dict[str, str]] = UNSET
    child: Maybe["Branch"] = UNSET


scalars = st.none() | st.sampled_from([0, 1, False, True, "", "x"])
unknown = st.dictionaries(
    st.sampled_from(["u1", "u2"]),
    st.recursive(
        scalars, lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.just("k"), inner), max_leaves=4
    ),
    max_size=2,
)


@st.composite
def leaf(draw: st.DrawFn) -> dict[str, Any]:
    raw = {"key": draw(st.sampled_from("abcd")), **draw(unknown)}
    return raw | draw(st.fixed_dictionaries({}, optional={"value": scalars}))


def branch(depth: int) -> st.SearchStrategy[dict[str, Any]]:
    optional: dict[str, st.SearchStrategy[Any]] = {
        "number": st.sampled_from([None, 0, 1]),
        "text": st.sampled_from([None, "", "x"]),
        "flag": st.sampled_from([None, False, True]),
        "leaves": st.lists(leaf(), max_size=3, unique_by=lambda one: one["key"]),
        "plain": st.lists(leaf(), max_size=3),
        "labels": st.dictionaries(st.sampled_from("ab"), st.sampled_from(["", "x"])),
    }
    if depth:
        optional["child"] = branch(depth - 1)
    return st.builds(lambda known, more: {**more, **known}, st.fixed_dictionaries({}, optional=optional), unknown)


@given(branch(2), branch(2))
def test_a_read_modify_write_changes_what_was_changed_and_keeps_all_else(
    raw: dict[str, Any], other: dict[str, Any]
) -> None:
    pristine = copy.deepcopy(raw)
    before, after = msgspec.convert(raw, Branch), msgspec.convert(other, Branch)

    written = changed_raw(raw, before, after)

    # The server's object now reads as the changed struct ...
    assert same(msgspec.to_builtins(msgspec.convert(written, Branch)), msgspec.to_builtins(after))
    # ... nothing that the struct doesn't know is gone from the objects and items that are still there ...
    assert_unknown_kept(raw, written)
    # ... and the object as it was read is untouched.
    assert same(raw, pristine)


def assert_unknown_kept(raw: dict[str, Any], written: dict[str, Any]) -> None:
    for key in ("u1", "u2"):
        if key in raw:
            assert same(raw[key], written.get(key))
        else:
            assert key not in written
    if "child" in raw and "child" in written:
        assert_unknown_kept(raw["child"], written["child"])
    by_key = {item["key"]: item for item in written.get("leaves", ())}
    for item in raw.get("leaves", ()):
        if item["key"] in by_key:
            assert_unknown_kept(item, by_key[item["key"]])


@given(branch(2), branch(2))
def test_the_merge_patch_brings_the_server_to_the_same_object(raw: dict[str, Any], other: dict[str, Any]) -> None:
    # Null is what a merge patch removes with: it can't be written by one, only left standing.
    other = without_nulls(other)
    before, after = msgspec.convert(raw, Branch), msgspec.convert(other, Branch)
    written = changed_raw(raw, before, after)
    patch = merge_patch(raw, before, after)

    assert same(without_nulls(apply(raw, patch)), without_nulls(written))
    assert untouched_nulls_stay(raw, patch, apply(raw, patch))
    assert (patch == {}) or not same(raw, written)


def without_nulls(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: without_nulls(inner) for key, inner in value.items() if inner is not None}
    if isinstance(value, list):
        return [without_nulls(inner) for inner in value]
    return value


def untouched_nulls_stay(raw: dict[str, Any], patch: dict[str, Any], result: dict[str, Any]) -> bool:
    return all(
        key in result and result[key] is None for key, value in raw.items() if value is None and key not in patch
    )


@given(branch(2))
def test_without_a_change_there_is_no_patch(raw: dict[str, Any]) -> None:
    struct = msgspec.convert(raw, Branch)
    assert merge_patch(raw, struct, msgspec.convert(copy.deepcopy(raw), Branch)) == {}


@pytest.mark.parametrize(
    ("one", "other", "equal"),
    [
        (1, 1.0, False),
        (True, 1, False),
        (0, False, False),
        ("", None, False),
        ([1, {"a": None}], [1, {"a": None}], True),
        ({"a": None}, {}, False),
        ({"a": 1, "b": 2}, {"b": 2, "a": 1}, True),
        ([1, 2], [2, 1], False),
        ([True], [1], False),
        ({"a": [1.0]}, {"a": [1]}, False),
        ([2**70, True], [2**70, 1], False),
        ([2**70, {"a": 1}], [2**70, {"a": 1}], True),
    ],
)
def test_json_values_are_the_same_only_with_the_same_type(one: Any, other: Any, equal: bool) -> None:
    assert same(one, other) is equal


def test_a_merge_patch_is_created_member_by_member() -> None:
    assert create_merge_patch({"a": {"b": 1, "c": 2}, "d": 1}, {"a": {"b": 1}, "e": {"f": None}}) == {
        "a": {"c": None},
        "d": None,
        "e": {"f": None},
    }
