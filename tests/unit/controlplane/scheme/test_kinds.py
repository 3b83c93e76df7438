"""Defaults and rules of the built-in kinds beyond what is recorded of a real server."""

from __future__ import annotations

import base64
from typing import Any

import pytest

from merope.controlplane.scheme.kinds.cron import schedule_problem
from merope.controlplane.scheme.kinds.events import CORE, EVENTS
from unit.controlplane.scheme.pipeline import create, resource, update

POD = {"containers": [{"name": "c", "image": "x:1"}]}
TEMPLATE = {"metadata": {"labels": {"app": "d"}}, "spec": POD}
SELECTOR = {"matchLabels": {"app": "d"}}


def made(of: Any, body: dict[str, Any]) -> dict[str, Any]:
    obj, complaints = create(of, {"metadata": {"name": "x"}, **body})
    assert complaints == []
    return obj


def complaints_of(of: Any, body: dict[str, Any]) -> list[str]:
    return [str(one) for one in create(of, {"metadata": {"name": "x"}, **body})[1]]


def change_complaints(of: Any, body: dict[str, Any], old: dict[str, Any]) -> list[str]:
    return [str(one) for one in update(of, body, old)[1]]


# --- namespaces --------------------------------------------------------------------------------------------------


def test_a_new_namespace_is_active_and_held_by_its_finalizer() -> None:
    found = made(resource("namespaces"), {"status": {"phase": "Terminating"}})

    assert found["status"] == {"phase": "Active"}
    assert found["spec"]["finalizers"] == ["kubernetes"]
    assert found["metadata"]["labels"] == {"kubernetes.io/metadata.name": "x"}


def test_the_name_label_of_a_namespace_cannot_be_changed() -> None:
    of = resource("namespaces")
    old = made(of, {})

    obj, _ = update(of, {"metadata": {"labels": {"kubernetes.io/metadata.name": "other", "a": "b"}}}, old)

    assert obj["metadata"]["labels"] == {"kubernetes.io/metadata.name": "x", "a": "b"}


@pytest.mark.parametrize(
    ("subresource", "finalizers", "phase"),
    [
        ("", ["kubernetes"], "Active"),
        ("finalize", ["example.com/x"], "Active"),
        ("status", ["kubernetes"], "Terminating"),
    ],
)
def test_each_endpoint_of_a_namespace_writes_its_part(subresource: str, finalizers: list[str], phase: str) -> None:
    of = resource("namespaces")
    old = made(of, {})

    body = {"spec": {"finalizers": ["example.com/x"]}, "status": {"phase": "Terminating"}}
    obj, complaints = update(of, body, old, subresource=subresource)

    assert complaints == []
    assert obj["spec"]["finalizers"] == finalizers
    assert obj["status"]["phase"] == phase


# --- config ------------------------------------------------------------------------------------------------------


def test_string_data_becomes_data() -> None:
    found = made(resource("secrets"), {"stringData": {"a": "b"}, "data": {"a": "eA==", "c": "ZA=="}})

    assert found["data"] == {"a": base64.b64encode(b"b").decode(), "c": "ZA=="}
    assert "stringData" not in found
    assert found["type"] == "Opaque"


def test_a_put_without_a_type_keeps_it() -> None:
    of = resource("secrets")
    old = made(of, {"type": "example.com/x"})

    obj, complaints = update(of, {"data": {"a": ""}}, old)

    assert complaints == []
    assert obj["type"] == "example.com/x"


@pytest.mark.parametrize("plural", ["secrets", "configmaps"])
def test_immutable_data_stays(plural: str) -> None:
    of = resource(plural)
    old = made(of, {"data": {"a": "YQ=="}, "immutable": True})
    text = "Forbidden: field is immutable when `immutable` is set"

    assert change_complaints(of, {"data": {"a": "YQ=="}, "immutable": True}, old) == []
    assert change_complaints(of, {"data": {"a": "Yg=="}, "immutable": True}, old) == [f"data: {text}"]
    assert change_complaints(of, {"data": {"a": "YQ=="}}, old) == [f"immutable: {text}"]


def test_a_config_map_has_a_largest_size() -> None:
    assert complaints_of(resource("configmaps"), {"data": {"a": "x" * (1024 * 1024)}}) == []
    (complaint,) = complaints_of(resource("configmaps"), {"data": {"a": "x" * (1024 * 1024 + 1)}})
    assert "Too long: may not be more than 1048576 bytes" in complaint


def test_a_service_account_token_names_its_account() -> None:
    body = {"type": "kubernetes.io/service-account-token"}

    assert complaints_of(resource("secrets"), body) == [
        "metadata.annotations[kubernetes.io/service-account.name]: Required value"
    ]


# --- workloads ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("plural", ["deployments", "replicasets", "statefulsets", "daemonsets"])
def test_a_selector_has_to_match_the_template(plural: str) -> None:
    of = resource(plural, "apps")

    assert complaints_of(of, {"spec": {"selector": SELECTOR, "template": TEMPLATE}}) == []
    for selector, field in ((None, "spec.selector"), ({"matchLabels": {"a": "b"}}, "spec.template.metadata.labels")):
        assert complaints_of(of, {"spec": {"selector": selector, "template": TEMPLATE}})[0].startswith(field + ": ")


@pytest.mark.parametrize("plural", ["deployments", "replicasets", "daemonsets"])
def test_a_selector_never_changes(plural: str) -> None:
    of = resource(plural, "apps")
    old = made(of, {"spec": {"selector": SELECTOR, "template": TEMPLATE}})
    template = {"metadata": {"labels": {"app": "e"}}, "spec": POD}

    found = change_complaints(of, {"spec": {"selector": {"matchLabels": {"app": "e"}}, "template": template}}, old)

    assert found == ['spec.selector: Invalid value: {"matchLabels":{"app":"e"}}: field is immutable']


def test_pods_of_a_deployment_run_for_ever() -> None:
    template = {"metadata": {"labels": {"app": "d"}}, "spec": {**POD, "restartPolicy": "Never"}}

    assert complaints_of(resource("deployments", "apps"), {"spec": {"selector": SELECTOR, "template": template}}) == [
        'spec.template.spec.restartPolicy: Unsupported value: "Never": supported values: "Always"'
    ]


def test_a_daemon_set_counts_changes_of_its_template() -> None:
    of = resource("daemonsets", "apps")
    old = made(of, {"spec": {"selector": SELECTOR, "template": TEMPLATE}})
    key = "deprecated.daemonset.template.generation"
    template = {"metadata": {"labels": {"app": "d"}}, "spec": {"containers": [{"name": "c", "image": "x:2"}]}}

    same, _ = update(of, {"spec": {"selector": SELECTOR, "template": TEMPLATE}}, old)
    other, _ = update(of, {"spec": {"selector": SELECTOR, "template": template}}, old)

    assert old["metadata"]["annotations"][key] == "1"
    assert same["metadata"]["annotations"][key] == "1"
    assert other["metadata"]["annotations"][key] == "2"


def test_status_is_written_through_its_endpoint_only() -> None:
    of = resource("deployments", "apps")
    old = made(of, {"spec": {"selector": SELECTOR, "template": TEMPLATE}, "status": {"replicas": 9}})
    assert old["status"] == {}

    main, _ = update(of, {"spec": {**old["spec"], "replicas": 2}, "status": {"replicas": 2}}, old)
    status, _ = update(
        of, {"spec": {**old["spec"], "replicas": 2}, "status": {"replicas": 2}}, old, subresource="status"
    )

    assert (main["spec"]["replicas"], main["status"]) == (2, {})
    assert (status["spec"]["replicas"], status["status"]) == (1, {"replicas": 2})


def test_generation_follows_the_spec() -> None:
    strategy = resource("deployments", "apps").strategy

    assert strategy.tracks_generation
    assert strategy.spec_changed({"spec": {"replicas": 1}}, {"spec": {"replicas": 2}})
    assert not strategy.spec_changed({"metadata": {"labels": {"a": "b"}}}, {"metadata": {}})


@pytest.mark.parametrize(
    ("group", "plural"),
    [
        ("apps", "deployments"),
        ("apps", "daemonsets"),
        ("apps", "statefulsets"),
        ("apps", "replicasets"),
        ("batch", "jobs"),
        ("batch", "cronjobs"),
        ("networking.k8s.io", "ingresses"),
        ("networking.k8s.io", "networkpolicies"),
        ("policy", "poddisruptionbudgets"),
        ("discovery.k8s.io", "endpointslices"),
        ("scheduling.k8s.io", "priorityclasses"),
        ("apiextensions.k8s.io", "customresourcedefinitions"),
        ("admissionregistration.k8s.io", "mutatingwebhookconfigurations"),
        ("", "pods"),
    ],
)
def test_kinds_that_count_changes(group: str, plural: str) -> None:
    assert resource(plural, group).strategy.tracks_generation


@pytest.mark.parametrize(("group", "plural"), [("", "configmaps"), ("", "services"), ("coordination.k8s.io", "leases")])
def test_kinds_that_do_not_count_changes(group: str, plural: str) -> None:
    assert not resource(plural, group).strategy.tracks_generation


# --- pods and jobs -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("resources", "expected"),
    [
        ({}, "BestEffort"),
        ({"requests": {"cpu": "1"}}, "Burstable"),
        ({"limits": {"cpu": "1", "memory": "1Gi"}}, "Guaranteed"),
        ({"limits": {"cpu": "1", "memory": "1Gi"}, "requests": {"cpu": "500m"}}, "Burstable"),
    ],
)
def test_the_class_of_service_of_a_pod(resources: dict[str, Any], expected: str) -> None:
    found = made(resource("pods"), {"spec": {"containers": [{"name": "c", "image": "x", "resources": resources}]}})

    assert found["status"] == {"phase": "Pending", "qosClass": expected}


def test_of_a_pod_only_a_few_fields_change() -> None:
    of = resource("pods")
    old = made(of, {"spec": POD})
    image = {**old["spec"], "containers": [{**old["spec"]["containers"][0], "image": "x:2"}]}
    toleration = {**old["spec"], "tolerations": [*old["spec"]["tolerations"], {"key": "k", "operator": "Exists"}]}

    for spec in (image, toleration, {**old["spec"], "activeDeadlineSeconds": 5}):
        assert change_complaints(of, {"spec": spec}, old) == []
    for spec in ({**old["spec"], "hostNetwork": True}, {**old["spec"], "tolerations": []}):
        (complaint,) = change_complaints(of, {"spec": spec}, old)
        assert complaint.startswith("spec: Forbidden: pod updates may not change fields other than")


def test_a_pod_mounts_a_token_unless_told_otherwise() -> None:
    with_token = made(resource("pods"), {"spec": POD})
    without = made(resource("pods"), {"spec": {**POD, "automountServiceAccountToken": False}})

    mount = with_token["spec"]["containers"][0]["volumeMounts"][0]
    assert mount["mountPath"] == "/var/run/secrets/kubernetes.io/serviceaccount"
    assert with_token["spec"]["volumes"][0]["name"] == mount["name"]
    assert "volumes" not in without["spec"]


def test_a_manual_selector_is_left_alone() -> None:
    template = {"metadata": {"labels": {"app": "d"}}, "spec": {**POD, "restartPolicy": "Never"}}
    found = made(
        resource("jobs", "batch"), {"spec": {"manualSelector": True, "selector": SELECTOR, "template": template}}
    )

    assert found["spec"]["selector"] == SELECTOR
    assert found["spec"]["template"]["metadata"]["labels"] == {"app": "d"}


@pytest.mark.parametrize(
    "schedule", ["* * * * *", "*/5 0-6 1,15 * mon-fri", "0 0 1 jan ?", "@hourly", "@every 1h30m", "0-30/10 * * * 0"]
)
def test_schedules(schedule: str) -> None:
    assert schedule_problem(schedule) == ""


@pytest.mark.parametrize(
    ("schedule", "problem"),
    [
        ("* * * *", "expected exactly 5 fields, found 4: [* * * *]"),
        ("60 * * * *", "end of range (60) above maximum (59): 60"),
        ("* * 0 * *", "beginning of range (0) below minimum (1): 0"),
        ("5-1 * * * *", "beginning of range (5) beyond end of range (1): 5-1"),
        ("*/0 * * * *", "step of range should be a positive number: */0"),
        ("@never", "unrecognized descriptor: @never"),
        ("x * * * *", "failed to parse int from x: invalid syntax"),
    ],
)
def test_what_is_no_schedule(schedule: str, problem: str) -> None:
    assert schedule_problem(schedule) == problem


# --- events ------------------------------------------------------------------------------------------------------

CORE_EVENT = {
    "apiVersion": CORE,
    "kind": "Event",
    "metadata": {"name": "e"},
    "involvedObject": {"kind": "Pod", "name": "p"},
    "reason": "R",
    "message": "M",
    "source": {"component": "c"},
    "firstTimestamp": "2001-01-01T00:00:00Z",
    "lastTimestamp": None,
    "count": 2,
    "type": "Normal",
    "eventTime": None,
    "reportingComponent": "",
    "reportingInstance": "",
}


def test_an_event_is_the_same_in_both_groups() -> None:
    strategy: Any = resource("events").strategy

    new = strategy.convert(CORE_EVENT, EVENTS)

    assert new["apiVersion"] == EVENTS
    assert (new["regarding"], new["note"], new["deprecatedCount"]) == ({"kind": "Pod", "name": "p"}, "M", 2)
    assert "reportingController" not in new
    assert strategy.convert(new, CORE) == CORE_EVENT
    assert strategy.convert(CORE_EVENT, CORE) is CORE_EVENT


def test_a_new_event_is_complete() -> None:
    of = resource("events", "events.k8s.io")
    body = {
        "regarding": {"kind": "Pod", "name": "p", "namespace": "ns"},
        "eventTime": "2001-01-01T00:00:00.000000Z",
        "reportingController": "example.com/c",
        "reportingInstance": "c-0",
        "action": "A",
        "reason": "R",
        "type": "Normal",
    }

    assert complaints_of(of, body) == []
    for key in ("eventTime", "reportingController", "reportingInstance", "action", "reason"):
        assert complaints_of(of, {k: v for k, v in body.items() if k != key}) == [f"{key}: Required value"]
    assert complaints_of(of, {**body, "type": "Odd"}) == ['type: Invalid value: "": has invalid value: Odd']


def test_an_event_lives_where_its_object_does() -> None:
    body = {"involvedObject": {"kind": "Pod", "name": "p", "namespace": "other"}}

    assert complaints_of(resource("events"), body) == [
        'involvedObject.namespace: Invalid value: "other": does not match event.namespace'
    ]


# --- autoscalers -------------------------------------------------------------------------------------------------


def test_an_autoscaler_survives_the_older_version() -> None:
    strategy: Any = resource("horizontalpodautoscalers", "autoscaling", "v2").strategy
    pods = {"type": "Pods", "pods": {"metric": {"name": "m"}, "target": {"type": "AverageValue", "averageValue": "1"}}}
    target = {"type": "Utilization", "averageUtilization": 60}
    cpu = {"type": "Resource", "resource": {"name": "cpu", "target": target}}
    obj = {
        "apiVersion": "autoscaling/v2",
        "kind": "HorizontalPodAutoscaler",
        "metadata": {"name": "h", "annotations": {"a": "b"}},
        "spec": {"maxReplicas": 3, "metrics": [pods, cpu], "behavior": {"scaleUp": {"selectPolicy": "Max"}}},
        "status": {"desiredReplicas": 1, "currentReplicas": 1, "currentMetrics": None},
    }

    old = strategy.convert(obj, "autoscaling/v1")

    assert old["spec"] == {"maxReplicas": 3, "targetCPUUtilizationPercentage": 60}
    assert strategy.convert(old, "autoscaling/v2") == obj


def test_the_older_version_gets_a_metric() -> None:
    of = resource("horizontalpodautoscalers", "autoscaling", "v1")
    found = made(of, {"spec": {"maxReplicas": 3, "scaleTargetRef": {"kind": "Deployment", "name": "d"}}})
    strategy: Any = of.strategy

    assert found["spec"]["minReplicas"] == 1
    metrics = strategy.convert(found, "autoscaling/v2")["spec"]["metrics"]
    assert metrics[0]["resource"]["target"]["averageUtilization"] == 80


# --- the rest ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("plural", "create_on_update", "returns_object"),
    [
        ("namespaces", False, True),
        ("configmaps", False, False),
        ("services", True, True),
        ("serviceaccounts", False, True),
        ("endpoints", True, False),
        ("events", True, False),
        ("pods", False, True),
    ],
)
def test_what_a_put_creates_and_a_delete_returns(plural: str, create_on_update: bool, returns_object: bool) -> None:
    strategy = resource(plural).strategy

    assert strategy.create_on_update is create_on_update
    assert strategy.delete_returns_object is returns_object


def test_a_lease_needs_a_version_to_change() -> None:
    strategy = resource("leases", "coordination.k8s.io").strategy

    assert strategy.create_on_update
    assert not strategy.unconditional_update


@pytest.mark.parametrize(
    ("group", "plural", "body", "expected"),
    [
        ("storage.k8s.io", "storageclasses", {}, ["provisioner: Required value"]),
        ("policy", "poddisruptionbudgets", {"spec": {"minAvailable": -1}}, None),
        ("node.k8s.io", "runtimeclasses", {}, ["handler: Required value"]),
        ("networking.k8s.io", "ingressclasses", {}, ["spec.controller: Required value"]),
        ("", "persistentvolumeclaims", {"spec": {"accessModes": ["Odd"]}}, None),
        ("apiregistration.k8s.io", "apiservices", {"spec": {"version": "v1", "group": "g"}}, None),
        ("discovery.k8s.io", "endpointslices", {"addressType": "Odd"}, None),
    ],
)
def test_kinds_refuse_what_is_not_valid(
    group: str, plural: str, body: dict[str, Any], expected: list[str] | None
) -> None:
    found = complaints_of(resource(plural, group), body)

    assert found
    assert expected is None or found == expected


def test_the_value_of_a_storage_class_stays() -> None:
    of = resource("storageclasses", "storage.k8s.io")
    old = made(of, {"provisioner": "a", "parameters": {"x": "y"}})

    found = change_complaints(of, {"provisioner": "b", "parameters": {"x": "y"}}, old)

    assert found == ["provisioner: Forbidden: updates to provisioner are forbidden."]


def test_a_new_node_takes_no_pods() -> None:
    found = made(resource("nodes"), {"status": {"capacity": {"cpu": "4"}}})

    assert found["spec"]["taints"] == [{"key": "node.kubernetes.io/not-ready", "effect": "NoSchedule"}]
    assert found["status"]["allocatable"] == {"cpu": "4"}


@pytest.mark.parametrize(
    ("plural", "obj", "selector", "text"),
    [
        ("pods", {"spec": {"nodeName": "n"}}, "spec.nodeName", "n"),
        ("pods", {"spec": {}}, "spec.hostNetwork", "false"),
        ("pods", {}, "status.phase", ""),
        ("secrets", {"type": "Opaque"}, "type", "Opaque"),
        ("events", {"involvedObject": {"uid": "u"}}, "involvedObject.uid", "u"),
        ("events", {"reportingComponent": "c"}, "source", "c"),
        ("nodes", {"spec": {"unschedulable": True}}, "spec.unschedulable", "true"),
    ],
)
def test_fields_that_selectors_know(plural: str, obj: dict[str, Any], selector: str, text: str) -> None:
    assert resource(plural).selectable[selector](obj) == text
