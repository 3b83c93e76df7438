"""Strategic merge patches, on a schema with every kind of list that Kubernetes has."""

from __future__ import annotations

import copy
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from merope.lang import mergepatch
from merope.lang.schema import build
from merope.lang.strategicmerge import StrategicMergeError, apply

ITEM = {"type": "object", "properties": {"name": {"type": "string"}, "value": {"type": "string"}}}
NODE = build(
    {
        "type": "object",
        "properties": {
            "keyed": {
                "type": "array",
                "items": {**ITEM, "properties": {**ITEM["properties"], "inner": {"type": "object"}}},  # type: ignore[dict-item]
                "x-kubernetes-patch-strategy": "merge",
                "x-kubernetes-patch-merge-key": "name",
            },
            "volumes": {
                "type": "array",
                "items": {"type": "object"},
                "x-kubernetes-patch-strategy": "merge,retainKeys",
                "x-kubernetes-patch-merge-key": "name",
            },
            "scalars": {"type": "array", "items": {"type": "string"}, "x-kubernetes-patch-strategy": "merge"},
            "plain": {"type": "array", "items": {"type": "string"}},
            "map": {"type": "object", "additionalProperties": {"type": "string"}},
            "strategy": {"type": "object", "x-kubernetes-patch-strategy": "retainKeys"},
        },
    }
)


def named(*names: str) -> list[dict[str, str]]:
    return [{"name": name} for name in names]


CASES: list[tuple[str, dict[str, Any], dict[str, Any], dict[str, Any]]] = [
    (
        "maps merge and null deletes",
        {"map": {"a": "1", "b": "2"}},
        {"map": {"a": None, "c": "3"}},
        {"map": {"b": "2", "c": "3"}},
    ),
    ("nulls in new maps are dropped", {}, {"map": {"a": None, "b": "1"}}, {"map": {"b": "1"}}),
    (
        "a map is replaced by directive",
        {"map": {"a": "1"}},
        {"map": {"$patch": "replace", "b": "2"}},
        {"map": {"b": "2"}},
    ),
    ("a map is deleted by directive", {"map": {"a": "1"}}, {"map": {"$patch": "delete"}}, {}),
    ("a plain list is replaced", {"plain": ["a", "b"]}, {"plain": ["c"]}, {"plain": ["c"]}),
    (
        "an item merges by its key",
        {"keyed": [{"name": "a", "value": "1"}]},
        {"keyed": [{"name": "a", "inner": {"x": 1}}]},
        {"keyed": [{"name": "a", "value": "1", "inner": {"x": 1}}]},
    ),
    (
        "a single new item lands in front",
        {"keyed": named("c1", "c2")},
        {"keyed": named("c3")},
        {"keyed": named("c3", "c1", "c2")},
    ),
    (
        "a changed item keeps its place",
        {"keyed": named("a", "b", "c")},
        {"keyed": [{"name": "b", "value": "x"}]},
        {"keyed": [{"name": "a"}, {"name": "b", "value": "x"}, {"name": "c"}]},
    ),
    (
        "an item is deleted by its key",
        {"keyed": named("a", "b")},
        {"keyed": [{"name": "a", "$patch": "delete"}]},
        {"keyed": named("b")},
    ),
    (
        "deleting what is not there is fine",
        {"keyed": named("a")},
        {"keyed": [{"name": "z", "$patch": "delete"}]},
        {"keyed": named("a")},
    ),
    (
        "the list is replaced by directive",
        {"keyed": named("a", "b")},
        {"keyed": [{"$patch": "replace"}, {"name": "z"}]},
        {"keyed": named("z")},
    ),
    (
        "the order directive rules",
        {"keyed": named("a", "b", "c")},
        {"$setElementOrder/keyed": named("c", "a"), "keyed": [{"name": "a", "value": "x"}]},
        {"keyed": [{"name": "b"}, {"name": "c"}, {"name": "a", "value": "x"}]},
    ),
    (
        "scalars unite without duplicates",
        {"scalars": ["a", "b"]},
        {"scalars": ["c", "a"]},
        {"scalars": ["c", "a", "b"]},
    ),
    (
        "scalars are deleted by directive",
        {"scalars": ["a", "b"]},
        {"$deleteFromPrimitiveList/scalars": ["b"]},
        {"scalars": ["a"]},
    ),
    (
        "scalars are put in order",
        {"scalars": ["c", "a"]},
        {"$setElementOrder/scalars": ["a", "c"]},
        {"scalars": ["a", "c"]},
    ),
    ("a list is deleted by null", {"scalars": ["a"]}, {"scalars": None}, {}),
    (
        "retainKeys drops the others",
        {"strategy": {"type": "A", "rolling": {"x": 1}}},
        {"strategy": {"$retainKeys": ["type"], "type": "B"}},
        {"strategy": {"type": "B"}},
    ),
    (
        "retainKeys in items",
        {"volumes": [{"name": "w", "emptyDir": {}}]},
        {"volumes": [{"$retainKeys": ["name", "secret"], "name": "w", "secret": {"s": 1}}]},
        {"volumes": [{"name": "w", "secret": {"s": 1}}]},
    ),
    ("another type replaces", {"map": {"a": "1"}}, {"map": "text"}, {"map": "text"}),
]


@pytest.mark.parametrize(("what", "doc", "patch", "result"), CASES, ids=[case[0] for case in CASES])
def test_patches_merge_as_kubernetes_does(
    what: str, doc: dict[str, Any], patch: dict[str, Any], result: dict[str, Any]
) -> None:
    before = copy.deepcopy((doc, patch))

    assert apply(doc, patch, NODE) == result
    assert (doc, patch) == before


@pytest.mark.parametrize(
    ("patch", "text"),
    [
        ({"keyed": [{"value": "x"}]}, "map: map[value:x] does not contain declared merge key: name"),
        (
            {"keyed": [{"$patch": "delete", "value": "x"}]},
            "map: map[$patch:delete value:x] does not contain declared merge key: name",
        ),
        ({"map": {"$patch": "nothing"}}, "Unknown patch type: nothing in map: map[$patch:nothing]"),
        ({"keyed": named("a"), "$setElementOrder/keyed": named("b")}, "doesn't match $setElementOrder list"),
    ],
)
def test_patches_that_cannot_be_applied_say_why(patch: dict[str, Any], text: str) -> None:
    with pytest.raises(StrategicMergeError) as caught:
        apply({"map": {"a": "1"}, "keyed": []}, patch, NODE)

    assert text in str(caught.value)


plain_values = st.recursive(
    st.one_of(st.text(max_size=3), st.integers(), st.booleans()),
    lambda inner: st.dictionaries(st.sampled_from("abc"), inner, max_size=3),
    max_leaves=6,
)
patches = st.dictionaries(st.sampled_from("abc"), st.one_of(st.none(), plain_values), max_size=3)


@given(st.dictionaries(st.sampled_from("abc"), plain_values, max_size=3), patches)
def test_without_a_schema_it_is_a_merge_patch(doc: dict[str, Any], patch: dict[str, Any]) -> None:
    assert apply(doc, patch, build({})) == mergepatch.apply(doc, patch)


@given(st.lists(st.sampled_from("abcdef"), unique=True), st.lists(st.sampled_from("abcdef"), unique=True))
def test_a_keyed_merge_is_the_union_and_keeps_both_orders(live: list[str], patch: list[str]) -> None:
    merged = [item["name"] for item in apply({"keyed": named(*live)}, {"keyed": named(*patch)}, NODE)["keyed"]]

    assert sorted(merged) == sorted({*live, *patch})
    assert [name for name in merged if name in patch] == patch
    assert [name for name in merged if name not in patch] == [name for name in live if name not in patch]
