"""Values read from applied objects."""

from __future__ import annotations

from typing import Any

import pytest

from merope.work.feedback import FeedbackLimits, feedback

DEPLOYMENT: dict[str, Any] = {
    "apiVersion": "apps/v1",
    "kind": "Deployment",
    "metadata": {"name": "d"},
    "spec": {"replicas": 3, "paused": False, "template": {"a": [1, 2]}, "ratio": 0.5},
    "status": {
        "readyReplicas": 1,
        "replicas": 3,
        "conditions": [{"type": "Available", "status": "True"}, {"type": "Progressing", "status": "False"}],
    },
}


def paths(**named: str) -> list[dict[str, Any]]:
    return [{"type": "JSONPaths", "jsonPaths": [{"name": name, "path": path} for name, path in named.items()]}]


def read(
    rules: list[dict[str, Any]], obj: dict[str, Any] = DEPLOYMENT, **limits: Any
) -> tuple[str, str, dict[str, Any]]:
    found, values = feedback(rules, obj, FeedbackLimits(**limits))
    return found.reason, found.message, {value["name"]: value["fieldValue"] for value in values}


def test_no_rules_no_values() -> None:
    assert read([]) == ("NoStatusFeedbackSynced", "", {})


def test_well_known_values_that_are_there() -> None:
    assert read([{"type": "WellKnownStatus"}]) == (
        "StatusFeedbackSynced",
        "",
        {
            "ReadyReplicas": {"type": "Integer", "integer": 1},
            "Replicas": {"type": "Integer", "integer": 3},
        },
    )


@pytest.mark.parametrize(
    ("api_version", "shown"), [("v1", "/v1, Kind=ConfigMap"), ("example.com/v2", "example.com/v2, Kind=ConfigMap")]
)
def test_other_kinds_have_no_well_known_values(api_version: str, shown: str) -> None:
    reason, message, _ = read([{"type": "WellKnownStatus"}], {"apiVersion": api_version, "kind": "ConfigMap"})

    assert reason == "StatusFeedbackSyncFailed"
    assert message == (
        f"Sync status feedback failed with error cannot find the wellknown statuses for resource with gvk {shown}"
    )


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        (".spec.replicas", {"type": "Integer", "integer": 3}),
        (".spec.paused", {"type": "Boolean", "boolean": False}),
        (".metadata.name", {"type": "String", "string": "d"}),
        ('.status.conditions[?(@.type=="Available")].status', {"type": "String", "string": "True"}),
        (".status.conditions[*].status", {"type": "String", "string": "True"}),
        (".status.absent", None),
    ],
)
def test_values_by_path(path: str, expected: dict[str, Any] | None) -> None:
    assert read(paths(v=path)) == ("StatusFeedbackSynced", "", {} if expected is None else {"v": expected})


def test_values_that_work_are_reported_beside_errors() -> None:
    reason, message, values = read(paths(good=".spec.replicas", map=".spec.template", list=".spec.template.a"))

    assert reason == "StatusFeedbackSyncFailed"
    assert message == (
        "Sync status feedback failed with error [the type map[string]interface {} of the value for map is not found, "
        "the type []interface {} of the value for list is not found]"
    )
    assert values == {"good": {"type": "Integer", "integer": 3}}


def test_raw_json_where_it_is_allowed() -> None:
    rules = paths(map=".spec.template", several=".status.conditions[*].status", ratio=".spec.ratio")

    assert read(rules, raw_json=True) == (
        "StatusFeedbackSynced",
        "",
        {
            "map": {"type": "JsonRaw", "jsonRaw": '{"a":[1,2]}'},
            "several": {"type": "JsonRaw", "jsonRaw": '["True","False"]'},
            "ratio": {"type": "JsonRaw", "jsonRaw": "0.5"},
        },
    )
    assert read(paths(map=".spec.template"), raw_json=True, raw_json_bytes=5)[1].endswith(
        "the length of returned json raw string for name map is larger than the maximum length 5"
    )


def test_bad_paths_and_other_versions_are_errors() -> None:
    assert "failed to parse json path .a[ of v with error:" in read(paths(v=".a["))[1]
    rule = {"type": "JSONPaths", "jsonPaths": [{"name": "v", "version": "v2", "path": ".spec"}]}
    assert read([rule])[1].endswith("version set in the path v is not matched for the related resource")


def test_a_name_is_reported_once() -> None:
    reason, _, values = read([*paths(v=".spec.replicas"), *paths(v=".metadata.name")])

    assert reason == "StatusFeedbackSyncFailed"
    assert values == {"v": {"type": "Integer", "integer": 3}}
