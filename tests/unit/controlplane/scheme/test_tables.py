"""Objects come out as the rows that kubectl shows."""

from __future__ import annotations

from typing import Any

import pytest

from merope.controlplane.errors import ApiError
from merope.controlplane.scheme.tables import columns_from_crd, human_duration, table
from unit.controlplane.scheme.pipeline import resource

MINUTE, HOUR, DAY, YEAR = 60, 3600, 86400, 365 * 86400


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (-5, "<invalid>"),
        (-1, "0s"),
        (0, "0s"),
        (119, "119s"),
        (2 * MINUTE, "2m"),
        (2 * MINUTE + 5, "2m5s"),
        (10 * MINUTE - 1, "9m59s"),
        (10 * MINUTE + 59, "10m"),
        (3 * HOUR - 1, "179m"),
        (3 * HOUR, "3h"),
        (3 * HOUR + 5 * MINUTE, "3h5m"),
        (8 * HOUR + 59 * MINUTE, "8h"),
        (47 * HOUR, "47h"),
        (2 * DAY, "2d"),
        (2 * DAY + HOUR, "2d1h"),
        (8 * DAY + HOUR, "8d"),
        (2 * YEAR - 1, "729d"),
        (2 * YEAR, "2y"),
        (2 * YEAR + 3 * DAY, "2y3d"),
        (8 * YEAR + 300 * DAY, "8y"),
    ],
)
def test_ages_have_at_most_two_units(seconds: int, text: str) -> None:
    assert human_duration(seconds) == text


def cells(plural: str, obj: dict[str, Any], group: str = "", version: str = "v1") -> list[Any]:
    obj = {"metadata": {"name": "x"}, **obj}
    found: list[Any] = table(resource(plural, group, version), [obj])["rows"][0]["cells"]
    return found


def container(state: dict[str, Any], *, ready: bool = False, restarts: int = 0, **more: Any) -> dict[str, Any]:
    return {"name": more.pop("name", "c"), "state": state, "ready": ready, "restartCount": restarts, **more}


@pytest.mark.parametrize(
    ("pod", "ready", "status", "restarts"),
    [
        ({"status": {"phase": "Pending"}}, "0/1", "Pending", "0"),
        ({"status": {"phase": "Failed", "reason": "Evicted"}}, "0/1", "Evicted", "0"),
        (
            {"status": {"phase": "Pending", "conditions": [{"type": "PodScheduled", "reason": "SchedulingGated"}]}},
            "0/1",
            "SchedulingGated",
            "0",
        ),
        (
            {"status": {"phase": "Running", "containerStatuses": [container({"running": {}}, ready=True, restarts=2)]}},
            "1/1",
            "Running",
            "2",
        ),
        (
            {"status": {"phase": "Running", "containerStatuses": [container({"terminated": {"exitCode": 3}})]}},
            "0/1",
            "ExitCode:3",
            "0",
        ),
        (
            {
                "status": {
                    "phase": "Running",
                    "containerStatuses": [container({"terminated": {"exitCode": 1, "signal": 9}})],
                }
            },
            "0/1",
            "Signal:9",
            "0",
        ),
        (
            {"metadata": {"name": "x", "deletionTimestamp": "2001-01-01T00:00:00Z"}, "status": {"phase": "Running"}},
            "0/1",
            "Terminating",
            "0",
        ),
        (
            {"metadata": {"name": "x", "deletionTimestamp": "2001-01-01T00:00:00Z"}, "status": {"phase": "Failed"}},
            "0/1",
            "Failed",
            "0",
        ),
        (
            {
                "spec": {"containers": [{"name": "a"}, {"name": "b"}]},
                "status": {
                    "phase": "Running",
                    "conditions": [{"type": "Ready", "status": "False"}],
                    "containerStatuses": [
                        container({"terminated": {"exitCode": 0, "reason": "Completed"}}, name="a"),
                        container({"running": {}}, ready=True, name="b"),
                    ],
                },
            },
            "1/2",
            "NotReady",
            "0",
        ),
        (
            {
                "spec": {"containers": [{"name": "c"}], "initContainers": [{"name": "i"}, {"name": "k"}]},
                "status": {
                    "phase": "Pending",
                    "initContainerStatuses": [
                        container({"terminated": {"exitCode": 0}}, name="i"),
                        container({"waiting": {"reason": "CrashLoopBackOff"}}, name="k", restarts=4),
                    ],
                },
            },
            "0/1",
            "Init:CrashLoopBackOff",
            "4",
        ),
        (
            {
                "spec": {"containers": [{"name": "c"}], "initContainers": [{"name": "s", "restartPolicy": "Always"}]},
                "status": {
                    "phase": "Running",
                    "initContainerStatuses": [
                        container({"running": {}}, name="s", started=True, ready=True, restarts=1)
                    ],
                    "containerStatuses": [container({"running": {}}, ready=True)],
                },
            },
            "2/2",
            "Running",
            "1",
        ),
    ],
)
def test_the_status_of_a_pod(pod: dict[str, Any], ready: str, status: str, restarts: str) -> None:
    found = cells("pods", {"spec": {"containers": [{"name": "c"}]}, **pod})

    assert found[1:4] == [ready, status, restarts]
    assert found[5:] == ["<none>"] * 4


@pytest.mark.parametrize(
    ("plural", "group", "obj", "expected"),
    [
        ("configmaps", "", {"data": {"a": "b"}, "binaryData": {"c": ""}}, ["x", 2, "<unknown>"]),
        ("secrets", "", {"type": "Opaque", "data": {"a": "b"}}, ["x", "Opaque", 1, "<unknown>"]),
        ("namespaces", "", {"status": {"phase": "Active"}}, ["x", "Active", "<unknown>"]),
        (
            "services",
            "",
            {"spec": {"type": "LoadBalancer", "clusterIPs": ["10.96.0.9"], "ports": [{"port": 80, "nodePort": 30000}]}},
            ["x", "LoadBalancer", "10.96.0.9", "<pending>", "80:30000/TCP", "<unknown>", "<none>"],
        ),
        (
            "services",
            "",
            {
                "spec": {"type": "LoadBalancer", "externalIPs": ["192.0.2.9"], "selector": {"b": "c", "a": "b"}},
                "status": {"loadBalancer": {"ingress": [{"ip": "192.0.2.1"}]}},
            },
            ["x", "LoadBalancer", "<none>", "192.0.2.1,192.0.2.9", "<none>", "<unknown>", "a=b,b=c"],
        ),
        (
            "deployments",
            "apps",
            {
                "spec": {"replicas": 3, "selector": {"matchLabels": {"a": "b"}}, "template": {}},
                "status": {"readyReplicas": 1, "updatedReplicas": 2},
            },
            ["x", "1/3", 2, 0, "<unknown>", "", "", "a=b"],
        ),
        (
            "jobs",
            "batch",
            {
                "spec": {"parallelism": 3, "template": {}},
                "status": {
                    "succeeded": 1,
                    "startTime": "2001-01-01T00:00:00Z",
                    "completionTime": "2001-01-01T00:01:30Z",
                    "conditions": [{"type": "Complete", "status": "True"}],
                },
            },
            ["x", "Complete", "1/1 of 3", "90s", "<unknown>", "", "", "<none>"],
        ),
        (
            "cronjobs",
            "batch",
            {"spec": {"schedule": "* * * * *", "suspend": False}},
            ["x", "* * * * *", "<none>", "False", 0, "<none>", "<unknown>", "", "", "<none>"],
        ),
        (
            "certificatesigningrequests",
            "certificates.k8s.io",
            {
                "spec": {"signerName": "a/b", "username": "u", "expirationSeconds": 3600},
                "status": {"conditions": [{"type": "Approved"}], "certificate": "x"},
            },
            ["x", "<unknown>", "a/b", "u", "60m", "Approved,Issued"],
        ),
        (
            "apiservices",
            "apiregistration.k8s.io",
            {
                "spec": {"service": {"namespace": "n", "name": "s"}},
                "status": {"conditions": [{"type": "Available", "status": "False", "reason": "Missing"}]},
            },
            ["x", "n/s", "False (Missing)", "<unknown>"],
        ),
        (
            "nodes",
            "",
            {
                "metadata": {"name": "x", "labels": {"node-role.kubernetes.io/control-plane": ""}},
                "spec": {"unschedulable": True},
                "status": {"conditions": [{"type": "Ready", "status": "True"}]},
            },
            ["x", "Ready,SchedulingDisabled", "control-plane", "<unknown>", "", "<none>", "<none>"] + ["<unknown>"] * 3,
        ),
        ("limitranges", "", {}, ["x", "<unknown>"]),
    ],
)
def test_rows_of_built_in_kinds(plural: str, group: str, obj: dict[str, Any], expected: list[Any]) -> None:
    assert cells(plural, obj, group) == expected


def test_both_views_of_an_event_show_the_same() -> None:
    core = {
        "involvedObject": {"kind": "Pod", "name": "p"},
        "message": " text ",
        "source": {"component": "c", "host": "h"},
        "type": "Normal",
        "reason": "R",
        "count": 3,
    }
    new = {
        "regarding": {"kind": "Pod", "name": "p"},
        "note": " text ",
        "deprecatedSource": {"component": "c", "host": "h"},
        "type": "Normal",
        "reason": "R",
        "deprecatedCount": 3,
    }
    expected = ["<unknown>", "Normal", "R", "pod/p", "", "c, h", "text", "<unknown>", 3, "x"]

    assert cells("events", core) == expected
    assert cells("events", new, "events.k8s.io") == expected


def test_an_ended_pod_says_so_in_its_row() -> None:
    pod = {"metadata": {"name": "p"}, "status": {"phase": "Succeeded"}}

    (row,) = table(resource("pods"), [pod])["rows"]

    assert [(one["type"], one["reason"]) for one in row["conditions"]] == [("Completed", "Succeeded")]


def test_what_of_the_object_goes_along() -> None:
    obj = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "x"}, "data": {"a": "b"}}
    of = resource("configmaps")

    assert table(of, [obj], include_object="None")["rows"][0]["object"] is None
    assert table(of, [obj], include_object="Object")["rows"][0]["object"] == obj
    assert table(of, [obj])["rows"][0]["object"] == {
        "kind": "PartialObjectMetadata",
        "apiVersion": "meta.k8s.io/v1",
        "metadata": {"name": "x"},
    }
    with pytest.raises(ApiError) as failure:
        table(of, [obj], include_object="Perhaps")
    assert failure.value.code == 400


def test_later_events_of_a_watch_leave_the_columns_out() -> None:
    assert table(resource("secrets"), [], headers=False)["columnDefinitions"] == []
    assert [column["name"] for column in table(resource("secrets"), [])["columnDefinitions"]] == [
        "Name",
        "Type",
        "Data",
        "Age",
    ]


# --- custom resources --------------------------------------------------------------------------------------------


def declared(kind: str, path: str = ".spec.v", **more: Any) -> dict[str, Any]:
    return {"additionalPrinterColumns": [{"name": "V", "type": kind, "jsonPath": path, **more}]}


@pytest.mark.parametrize(
    ("kind", "value", "expected"),
    [
        ("string", "text", "text"),
        ("string", 3, "3"),
        ("string", True, "true"),
        ("string", {"a": 1}, '{"a":1}'),
        ("integer", 3, 3),
        ("integer", 3.7, 3),
        ("integer", "3", None),
        ("integer", True, None),
        ("number", 1.5, 1.5),
        ("number", "x", None),
        ("boolean", False, False),
        ("boolean", "yes", None),
        ("date", "notadate", "<invalid>"),
        ("date", 5, None),
    ],
)
def test_a_value_is_shown_as_its_column_says(kind: str, value: Any, expected: Any) -> None:
    (column,) = columns_from_crd(declared(kind))

    assert column.cell({"metadata": {}, "spec": {"v": value}}) == expected
    assert column.cell({"metadata": {}}) is None


def test_a_declared_list_replaces_the_age() -> None:
    assert [column.name for column in columns_from_crd({})] == ["Age"]
    assert [column.name for column in columns_from_crd(declared("string", priority=1))] == ["V"]
    assert columns_from_crd(declared("string", priority=1))[0].priority == 1


def test_the_first_of_several_results_is_shown() -> None:
    (column,) = columns_from_crd(declared("string", '.spec.l[?(@.k=="x")].v'))

    assert (
        column.cell({"spec": {"l": [{"k": "y", "v": "no"}, {"k": "x", "v": "one"}, {"k": "x", "v": "two"}]}}) == "one"
    )


def test_a_date_is_shown_as_age(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("merope.controlplane.scheme.tables.time.time", lambda: 1000000000.0 + 90)
    (column,) = columns_from_crd(declared("date"))

    assert column.cell({"spec": {"v": "2001-09-09T01:46:40Z"}}) == "90s"
