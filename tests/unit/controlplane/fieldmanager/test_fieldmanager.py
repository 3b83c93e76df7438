"""Ownership of fields, on the built-in kinds and on custom schemas."""

from __future__ import annotations

import copy
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from merope.controlplane.errors import ApiError
from merope.controlplane.fieldmanager import apply, equal_ignoring_times, update
from merope.controlplane.fieldmanager.fieldset import FieldSet, path_text
from merope.controlplane.fieldmanager.typed import compare, equal, field_set, merge, problems, remove
from merope.controlplane.resource import GroupVersionKind
from merope.lang.schema import build

WIDGET = build(
    {
        "type": "object",
        "properties": {
            "spec": {
                "type": "object",
                "properties": {
                    "size": {"type": "integer"},
                    "set": {"type": "array", "items": {"type": "string"}, "x-kubernetes-list-type": "set"},
                    "map": {
                        "type": "array",
                        "x-kubernetes-list-type": "map",
                        "x-kubernetes-list-map-keys": ["name"],
                        "items": {
                            "type": "object",
                            "properties": {"name": {"type": "string"}, "value": {"type": "string"}},
                        },
                    },
                    "ports": {
                        "type": "array",
                        "x-kubernetes-list-type": "map",
                        "x-kubernetes-list-map-keys": ["port", "protocol"],
                        "items": {
                            "type": "object",
                            "properties": {
                                "port": {"type": "integer"},
                                "protocol": {"type": "string", "default": "TCP"},
                                "name": {"type": "string"},
                            },
                        },
                    },
                    "atomic": {"type": "array", "items": {"type": "string"}},
                    "whole": {
                        "type": "object",
                        "x-kubernetes-map-type": "atomic",
                        "additionalProperties": {"type": "string"},
                    },
                    "labels": {"type": "object", "additionalProperties": {"type": "string"}},
                    "free": {"type": "object", "x-kubernetes-preserve-unknown-fields": True},
                },
            },
            "status": {"type": "object", "properties": {"phase": {"type": "string"}}},
        },
    }
)
KIND = GroupVersionKind("example.com", "v1", "Widget")
NOW, LATER = "2026-01-01T00:00:00Z", "2026-01-01T00:01:00Z"


def widget(spec: dict[str, Any] | None = None, **metadata: Any) -> dict[str, Any]:
    out: dict[str, Any] = {
        "apiVersion": "example.com/v1",
        "kind": "Widget",
        "metadata": {"name": "a", **metadata},
    }
    if spec is not None:
        out["spec"] = spec
    return out


def applied(
    live: dict[str, Any] | None, spec: dict[str, Any] | None, manager: str, *, now: str = NOW, **options: Any
) -> Any:
    return apply(
        WIDGET, live, widget(spec), manager=manager, api_version="example.com/v1", now=now, kind=KIND, **options
    )


def updated(live: dict[str, Any] | None, new: dict[str, Any], manager: str, *, now: str = NOW, **options: Any) -> Any:
    new = copy.deepcopy(new)
    update(WIDGET, live, new, manager=manager, api_version="example.com/v1", now=now, **options)
    return new


def owners(obj: dict[str, Any]) -> dict[str, Any]:
    return {entry["manager"]: entry["fieldsV1"] for entry in obj["metadata"].get("managedFields", [])}


def test_a_create_owns_every_field_and_marks_containers_that_came_with_it() -> None:
    created = updated(None, widget({"size": 1, "labels": {"x": "y"}}, labels={"l": "m"}), "kubectl-create")

    assert created["metadata"]["managedFields"] == [
        {
            "manager": "kubectl-create",
            "operation": "Update",
            "apiVersion": "example.com/v1",
            "time": NOW,
            "fieldsType": "FieldsV1",
            "fieldsV1": {
                "f:metadata": {"f:labels": {".": {}, "f:l": {}}},
                "f:spec": {".": {}, "f:labels": {".": {}, "f:x": {}}, "f:size": {}},
            },
        }
    ]


def test_an_update_takes_over_what_it_changes_without_conflict() -> None:
    live = updated(None, widget({"size": 1, "atomic": ["a"]}, uid="u"), "one")
    new = copy.deepcopy(live)
    new["spec"]["size"] = 2

    after = updated(live, new, "two", now=LATER)

    assert owners(after) == {
        "one": {"f:spec": {".": {}, "f:atomic": {}}},
        "two": {"f:spec": {"f:size": {}}},
    }


def test_an_update_that_changes_nothing_keeps_every_time() -> None:
    live = updated(None, widget({"size": 1}, uid="u"), "one")

    assert updated(live, live, "one", now=LATER) == live


def test_an_apply_owns_only_its_leaves_and_map_entries() -> None:
    result = applied(None, {"labels": {"x": "y"}, "map": [{"name": "n", "value": "v"}], "set": ["s"]}, "one")

    assert owners(result)["one"] == {
        "f:spec": {
            "f:labels": {"f:x": {}},
            "f:map": {'k:{"name":"n"}': {".": {}, "f:name": {}, "f:value": {}}},
            "f:set": {'v:"s"': {}},
        }
    }


def test_an_apply_of_another_managers_field_conflicts_and_names_it() -> None:
    live = applied(None, {"map": [{"name": "x", "value": "1"}]}, "one")

    with pytest.raises(ApiError) as caught:
        applied(live, {"map": [{"name": "x", "value": "3"}]}, "two")

    assert caught.value.code == 409
    assert caught.value.message == 'Apply failed with 1 conflict: conflict with "one": .spec.map[name="x"].value'
    assert caught.value.details == {
        "causes": [
            {
                "reason": "FieldManagerConflict",
                "message": 'conflict with "one"',
                "field": '.spec.map[name="x"].value',
            }
        ]
    }


def test_several_conflicts_are_listed_by_manager() -> None:
    live = updated(applied(None, {"size": 1}, "b"), widget({"size": 1, "atomic": ["x"]}, uid="u"), "a")
    live["metadata"]["uid"] = "u"

    with pytest.raises(ApiError) as caught:
        applied(live, {"size": 2, "atomic": ["y"]}, "c")

    assert caught.value.message == (
        "Apply failed with 2 conflicts: "
        'conflicts with "a" using example.com/v1:\n- .spec.atomic\nconflicts with "b":\n- .spec.size'
    )


def test_force_takes_the_field_from_its_owner() -> None:
    live = applied(None, {"size": 1, "atomic": ["a"]}, "one")

    result = applied(live, {"size": 2}, "two", force=True)

    assert result["spec"]["size"] == 2
    assert owners(result) == {"one": {"f:spec": {"f:atomic": {}}}, "two": {"f:spec": {"f:size": {}}}}


def test_the_same_value_is_shared() -> None:
    result = applied(applied(None, {"size": 1}, "one"), {"size": 1}, "two")

    assert owners(result) == {"one": {"f:spec": {"f:size": {}}}, "two": {"f:spec": {"f:size": {}}}}


def test_who_joins_the_owners_of_what_is_there_gets_no_time() -> None:
    live = applied(None, {"size": 1}, "one")

    joined = applied(live, {"size": 1}, "two")

    assert {entry["manager"]: entry.get("time") for entry in joined["metadata"]["managedFields"]} == {
        "one": NOW,
        "two": None,
    }


def test_an_order_that_is_applied_is_a_change_that_nobody_owns() -> None:
    live = applied(None, {"set": ["a", "b", "c"]}, "one")

    turned = applied(live, {"set": ["c", "a"]}, "two")

    assert turned["spec"]["set"] == ["b", "c", "a"]
    assert all(entry.get("time") for entry in turned["metadata"]["managedFields"])


def test_a_record_that_was_decoded_before_is_not_changed_by_later_writes() -> None:
    live = applied(None, {"size": 1, "labels": {"a": "1"}}, "one")
    before = copy.deepcopy(live)
    for size in (2, 3):
        update(WIDGET, live, widget({"size": size}), manager="two", api_version="example.com/v1", now=LATER)

    again = widget({"size": 1, "labels": {"a": "1"}})
    update(WIDGET, live, again, manager="three", api_version="example.com/v1", now=LATER)

    assert live == before
    assert again["metadata"]["managedFields"] == before["metadata"]["managedFields"]


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        (True, 1, False),
        (1, 1.0, True),
        ({"a": [1, {"b": False}]}, {"a": [1, {"b": 0}]}, False),
        ({"a": 1, "b": 2}, {"b": 2, "a": 1.0}, True),
        ({"a": True, "b": 2}, {"b": 2, "a": True}, True),
        ([1 << 70], [1 << 70], True),
        ([None], [], False),
        ("1", 1, False),
    ],
)
def test_values_are_equal_as_json_has_it(one: Any, other: Any, same: bool) -> None:
    assert equal(one, other) is same
    assert equal(other, one) is same


def test_a_field_left_out_disappears_unless_somebody_else_owns_it() -> None:
    live = applied(None, {"size": 1, "labels": {"x": "1", "y": "2"}}, "one")
    live = applied(live, {"labels": {"y": "2"}}, "two")

    result = applied(live, None, "one")

    assert result["spec"] == {"labels": {"y": "2"}}
    assert owners(result) == {"two": {"f:spec": {"f:labels": {"f:y": {}}}}}


def test_an_item_left_out_goes_with_what_updaters_set_below_it() -> None:
    live = applied(None, {"map": [{"name": "x"}, {"name": "y"}]}, "one")
    new = copy.deepcopy(live)
    new["metadata"]["uid"] = live["metadata"]["uid"] = "u"
    new["spec"]["map"][0]["value"] = "set"
    live = updated(live, new, "two")

    result = applied(live, {"map": [{"name": "y"}]}, "one")

    assert result["spec"]["map"] == [{"name": "y"}]
    assert list(owners(result)) == ["one"]


def test_the_applied_order_wins_among_shared_items() -> None:
    live = updated(None, widget({"map": [{"name": n} for n in "abc"]}, uid="u"), "one")

    result = applied(live, {"map": [{"name": "c"}, {"name": "new"}, {"name": "a"}]}, "two")

    assert [item["name"] for item in result["spec"]["map"]] == ["b", "c", "new", "a"]


def test_a_missing_key_takes_its_default() -> None:
    live = applied(None, {"ports": [{"port": 80}]}, "one")

    result = applied(live, {"ports": [{"port": 80, "protocol": "TCP", "name": "web"}]}, "two")

    assert result["spec"]["ports"] == [{"port": 80, "protocol": "TCP", "name": "web"}]
    assert list(owners(result)["two"]["f:spec"]["f:ports"]) == ['k:{"port":80,"protocol":"TCP"}']


def test_re_applying_the_same_changes_nothing_at_all() -> None:
    live = applied(None, {"size": 1, "free": {"l": [{"a": 1}], "m": {}}}, "one")

    assert applied(live, {"size": 1, "free": {"l": [{"a": 1}], "m": {}}}, "one", now=LATER) == live


def test_an_object_without_owners_gets_one_before_it_is_first_applied() -> None:
    live = widget({"size": 1}, uid="u")

    with pytest.raises(ApiError) as caught:
        applied(live, {"size": 2}, "one")
    assert 'conflict with "before-first-apply" using example.com/v1: .spec.size' in caught.value.message

    result = applied(live, {"size": 1}, "one")
    assert owners(result)["before-first-apply"] == {"f:spec": {".": {}, "f:size": {}}}


def test_an_empty_record_resets_ownership() -> None:
    live = updated(None, widget({"size": 1}, uid="u"), "one")
    new = copy.deepcopy(live)
    new["metadata"]["managedFields"] = [{}]

    assert "managedFields" not in updated(live, new, "two")["metadata"]


def test_status_and_main_resource_are_owned_apart() -> None:
    live = updated(None, widget({"size": 1}, uid="u"), "ctl", reset=[("status",)])
    new = {**copy.deepcopy(live), "status": {"phase": "x"}}

    after = updated(live, new, "ctl", subresource="status", reset=[("spec",)])

    entries = {entry.get("subresource", ""): entry["fieldsV1"] for entry in after["metadata"]["managedFields"]}
    assert entries == {
        "": {"f:spec": {".": {}, "f:size": {}}},
        "status": {"f:status": {".": {}, "f:phase": {}}},
    }


def test_more_than_ten_updating_managers_are_folded() -> None:
    live = updated(None, widget({"labels": {}}, uid="u"), "m00", now="2026-01-01T00:00:00Z")
    for index in range(1, 13):
        new = copy.deepcopy(live)
        new["spec"]["labels"][f"l{index}"] = "x"
        live = updated(live, new, f"m{index:02}", now=f"2026-01-01T00:00:{index:02}Z")

    found = owners(live)
    assert len(found) == 10
    assert "ancient-changes" in found
    assert "m00" not in found
    assert "m12" in found


def test_ownership_collapses_where_a_place_has_become_atomic() -> None:
    live = applied(None, {"labels": {"x": "1"}}, "one")
    schema = copy.deepcopy(WIDGET.schema)
    schema["properties"]["spec"]["properties"]["labels"]["x-kubernetes-map-type"] = "atomic"  # type: ignore[index]

    with pytest.raises(ApiError) as caught:
        apply(
            build(schema),
            live,
            widget({"labels": {"y": "2"}}),
            manager="two",
            api_version="example.com/v1",
            now=NOW,
            kind=KIND,
        )

    assert caught.value.message == 'Apply failed with 1 conflict: conflict with "one": .spec.labels'


KUBECTL_LAST = "kubectl.kubernetes.io/last-applied-configuration"


def test_kubectl_takes_over_from_its_own_client_side_apply() -> None:
    annotation = '{"apiVersion":"example.com/v1","kind":"Widget","metadata":{"name":"a"},"spec":{"size":1}}'
    live = updated(
        None, widget({"size": 1}, uid="u", annotations={KUBECTL_LAST: annotation}), "kubectl-client-side-apply"
    )

    result = applied(live, {"size": 2}, "kubectl")

    assert result["spec"]["size"] == 2
    assert '"size":2' in result["metadata"]["annotations"][KUBECTL_LAST]
    with pytest.raises(ApiError):
        applied(live, {"size": 2}, "helm")


@pytest.mark.parametrize(
    ("spec", "text"),
    [
        ({"nope": 1}, ".spec.nope: field not declared in schema"),
        ({"labels": ["x"]}, ".spec.labels: expected map, got &{[x]}"),
        ({"size": "1"}, ".spec.size: expected numeric (int or float), got string"),
        ({"set": ["d", "d"]}, '.spec.set: duplicate entries for key [="d"]'),
        (
            {"map": [{"value": "1"}]},
            ".spec.map: element 0: associative list with keys has an element that omits all key fields "
            '["name"] (and doesn\'t have default values for any key fields)',
        ),
    ],
)
def test_a_configuration_that_does_not_fit_is_refused(spec: dict[str, Any], text: str) -> None:
    with pytest.raises(ApiError) as caught:
        applied(None, spec, "one")

    assert caught.value.code == 500
    assert caught.value.message == f"failed to create typed patch object (/a; example.com/v1, Kind=Widget): {text}"
    assert "reason" not in caught.value.status()


# --- properties --------------------------------------------------------------------------------------------------

names = st.sampled_from(["a", "b", "c", "d"])
specs = st.fixed_dictionaries(
    {},
    optional={
        "size": st.integers(0, 3),
        "set": st.lists(names, unique=True, min_size=1, max_size=4),
        "map": st.lists(
            st.fixed_dictionaries({"name": names}, optional={"value": names}),
            unique_by=lambda item: item["name"],
            min_size=1,
            max_size=4,
        ),
        "atomic": st.lists(names, max_size=3),
        "whole": st.dictionaries(names, names, max_size=2),
        "labels": st.dictionaries(names, names, max_size=3),
        "free": st.dictionaries(names, st.one_of(names, st.dictionaries(names, names, max_size=2)), max_size=3),
    },
)


@given(specs, specs)
def test_merging_is_a_superset_that_agrees_with_the_configuration(one: dict[str, Any], other: dict[str, Any]) -> None:
    merged = merge(WIDGET, widget(one), widget(other))

    wanted = field_set(WIDGET, widget(other))
    difference = compare(WIDGET, merged, widget(other))
    assert not difference.modified.intersection(wanted)
    assert not difference.added.intersection(wanted)
    assert merge(WIDGET, merged, widget(other)) == merged


@given(specs, specs)
def test_a_difference_is_empty_only_between_equal_objects(one: dict[str, Any], other: dict[str, Any]) -> None:
    difference = compare(WIDGET, widget(one), widget(other))

    backward = compare(WIDGET, widget(other), widget(one))
    assert difference.added == backward.removed
    assert difference.modified == backward.modified
    assert compare(WIDGET, widget(one), widget(one)).same


@given(specs, specs, specs)
def test_applying_twice_ends_where_applying_once_does(
    first: dict[str, Any], second: dict[str, Any], third: dict[str, Any]
) -> None:
    live = applied(None, first, "one")
    live = applied(live, second, "two", force=True)
    once = applied(live, third, "one", force=True)

    assert applied(once, third, "one", force=True, now=LATER) == once


@given(specs, specs)
def test_withdrawing_everything_leaves_what_the_other_wants(first: dict[str, Any], second: dict[str, Any]) -> None:
    live = applied(applied(None, first, "one"), second, "two", force=True)

    rest = applied(live, None, "one")

    wanted = field_set(WIDGET, widget(second))
    left = field_set(WIDGET, {key: value for key, value in rest.items() if key != "metadata"})
    missing = [path_text(path) for path in wanted.difference(left).paths() if path[0] == "f:spec"]
    assert missing == []


@given(specs)
def test_a_field_set_survives_its_json(spec: dict[str, Any]) -> None:
    found = field_set(WIDGET, widget(spec))

    assert FieldSet.from_json(found.to_json()) == found


@given(specs)
def test_what_is_removed_is_no_longer_there(spec: dict[str, Any]) -> None:
    obj = widget(spec)
    owned = field_set(WIDGET, {"spec": spec})

    rest = field_set(WIDGET, remove(WIDGET, obj, owned))

    emptied = set(rest.intersection(owned).paths())
    assert all(path in {("f:spec",), *((("f:spec", f"f:{name}")) for name in spec)} for path in emptied)


@given(specs)
def test_every_object_that_fits_its_schema_may_be_applied(spec: dict[str, Any]) -> None:
    assert list(problems(WIDGET, widget(spec))) == []


def test_equality_ignores_times_only() -> None:
    one = applied(None, {"size": 1}, "one")["metadata"]["managedFields"]
    other = applied(None, {"size": 1}, "one", now=LATER)["metadata"]["managedFields"]

    assert equal_ignoring_times(one, other)
    assert not equal_ignoring_times(one, applied(None, {"size": 1}, "two")["metadata"]["managedFields"])
