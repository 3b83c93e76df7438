"""Server-side apply over the wire: whose field is whose, and what becomes of it."""

import json
import secrets
from typing import Any

import pytest

from fixtures.api import Answer, Manifest
from fixtures.cluster import Cluster
from fixtures.conditions import wait_until

CONTENT = {"Content-Type": "application/apply-patch+yaml"}


class Applier:
    """Applies objects of one namespace as several managers."""

    def __init__(self, cluster: Cluster, namespace: str) -> None:
        self.api = cluster.api
        self.namespace = namespace
        self.maps = f"/api/v1/namespaces/{namespace}/configmaps"
        self.deployments = f"/apis/apps/v1/namespaces/{namespace}/deployments"

    def apply(self, path: str, obj: Manifest, manager: str, *, force: bool = False) -> Answer:
        query = f"fieldManager={manager}" + ("&force=true" if force else "")
        return self.api.request("PATCH", f"{path}?{query}", obj, CONTENT)

    def map(self, manager: str, data: Any = None, *, force: bool = False, **metadata: Any) -> Answer:
        obj: Manifest = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "a", **metadata}}
        if data is not None:
            obj["data"] = data
        return self.apply(f"{self.maps}/a", obj, manager, force=force)

    def deployment(self, manager: str, *containers: Manifest, force: bool = False, **spec: Any) -> Answer:
        template = {"metadata": {"labels": {"app": "d"}}, "spec": {"containers": list(containers)}}
        obj = {
            "apiVersion": "apps/v1",
            "kind": "Deployment",
            "metadata": {"name": "d"},
            "spec": {"selector": {"matchLabels": {"app": "d"}}, "template": template, **spec},
        }
        return self.apply(f"{self.deployments}/d", obj, manager, force=force)


@pytest.fixture
def applier(cluster: Cluster, namespace: str) -> Applier:
    return Applier(cluster, namespace)


def entries(obj: Manifest) -> dict[tuple[str, str, str], Manifest]:
    """managedFields by manager, operation and subresource."""
    return {
        (entry["manager"], entry["operation"], entry.get("subresource", "")): entry
        for entry in obj["metadata"].get("managedFields", ())
    }


def owned(obj: Manifest, manager: str, operation: str = "Apply", subresource: str = "") -> Manifest | None:
    entry = entries(obj).get((manager, operation, subresource))
    return entry["fieldsV1"] if entry else None


def test_an_apply_creates_then_changes_then_leaves_alone(applier: Applier) -> None:
    created = applier.map("one", {"k": "v"})
    changed = applier.map("one", {"k": "w"})
    same = applier.map("one", {"k": "w"})

    assert [created.status, changed.status, same.status] == [201, 200, 200]
    assert changed.body["data"] == {"k": "w"}
    assert same.body["metadata"]["resourceVersion"] == changed.body["metadata"]["resourceVersion"]
    assert owned(same.body, "one") == {"f:data": {"f:k": {}}}


def test_what_a_manager_leaves_out_goes_unless_another_owns_it(applier: Applier) -> None:
    applier.map("one", {"a": "1", "shared": "2", "taken": "3"})
    applier.map("two", {"shared": "2"})
    applier.api.patch(f"{applier.maps}/a?fieldManager=three", {"data": {"taken": "4"}})

    left = applier.map("one", {})

    assert left.body["data"] == {"shared": "2", "taken": "4"}
    assert owned(left.body, "two") == {"f:data": {"f:shared": {}}}
    assert owned(left.body, "three", "Update") == {"f:data": {"f:taken": {}}}


def test_a_conflict_names_every_field_and_its_owner(applier: Applier) -> None:
    applier.map("one", {"a": "1", "b": "2"})
    applier.api.patch(f"{applier.maps}/a?fieldManager=upd", {"data": {"c": "3"}})

    refused = applier.map("two", {"a": "x", "b": "y", "c": "z"})

    assert (refused.status, refused.body["reason"]) == (409, "Conflict")
    assert refused.body["message"] == (
        'Apply failed with 3 conflicts: conflicts with "one":\n- .data.a\n- .data.b\n'
        'conflicts with "upd" using v1:\n- .data.c'
    )
    causes = {cause["field"]: (cause["reason"], cause["message"]) for cause in refused.body["details"]["causes"]}
    assert causes == {
        ".data.a": ("FieldManagerConflict", 'conflict with "one"'),
        ".data.b": ("FieldManagerConflict", 'conflict with "one"'),
        ".data.c": ("FieldManagerConflict", 'conflict with "upd" using v1'),
    }


def test_force_takes_the_fields_over(applier: Applier) -> None:
    applier.map("one", {"a": "1", "b": "2"})

    taken = applier.map("two", {"a": "x"}, force=True)

    assert taken.body["data"] == {"a": "x", "b": "2"}
    assert owned(taken.body, "one") == {"f:data": {"f:b": {}}}
    assert owned(taken.body, "two") == {"f:data": {"f:a": {}}}


def test_an_update_takes_over_without_asking(applier: Applier) -> None:
    applier.map("one", {"a": "1", "b": "2"})

    patched = applier.api.patch(f"{applier.maps}/a?fieldManager=upd", {"data": {"a": "x"}})

    assert owned(patched, "one") == {"f:data": {"f:b": {}}}
    assert owned(patched, "upd", "Update") == {"f:data": {"f:a": {}}}
    assert applier.map("one", {"a": "1", "b": "2"}).status == 409


def test_items_of_a_list_are_known_by_their_keys(applier: Applier) -> None:
    applier.deployment("one", {"name": "c1", "image": "x:1", "ports": [{"containerPort": 80}]})

    both = applier.deployment("two", {"name": "c2", "image": "x:2"})
    containers = both.body["spec"]["template"]["spec"]["containers"]
    assert [each["name"] for each in containers] == ["c1", "c2"]
    # The protocol is part of the key, and TCP where it is not said.
    ports = [{"containerPort": 80, "protocol": "TCP"}, {"containerPort": 80, "protocol": "UDP"}]
    more = applier.deployment("one", {"name": "c1", "image": "x:1", "ports": ports})
    assert [each["protocol"] for each in more.body["spec"]["template"]["spec"]["containers"][0]["ports"]] == [
        "TCP",
        "UDP",
    ]
    refused = applier.deployment("two", {"name": "c1", "image": "y"})
    assert '.spec.template.spec.containers[name="c1"].image' in refused.body["message"]


def test_scaling_takes_the_replicas_from_who_applied_them(applier: Applier) -> None:
    container = {"name": "c", "image": "x"}
    applier.deployment("one", container, replicas=2)

    applier.api.patch(f"{applier.deployments}/d/scale?fieldManager=hpa", {"spec": {"replicas": 5}})

    refused = applier.deployment("one", container, replicas=2)
    assert refused.body["message"] == (
        'Apply failed with 1 conflict: conflict with "hpa" with subresource "scale" using apps/v1: .spec.replicas'
    )
    left = applier.deployment("one", container)
    assert left.body["spec"]["replicas"] == 5
    assert owned(left.body, "hpa", "Update", "scale") == {"f:spec": {"f:replicas": {}}}


def test_a_scale_can_be_applied_and_conflicts(applier: Applier) -> None:
    container = {"name": "c", "image": "x"}
    applier.deployment("one", container, replicas=2)
    scale = {"apiVersion": "autoscaling/v1", "kind": "Scale", "metadata": {"name": "d"}, "spec": {"replicas": 4}}

    refused = applier.apply(f"{applier.deployments}/d/scale", scale, "hpa")
    forced = applier.apply(f"{applier.deployments}/d/scale", scale, "hpa", force=True)

    assert refused.status == 409
    assert 'conflict with "one": .spec.replicas' in refused.body["message"]
    assert (forced.status, forced.body["spec"]) == (200, {"replicas": 4})
    found = applier.api.get(f"{applier.deployments}/d")
    assert found["spec"]["replicas"] == 4
    assert owned(found, "hpa", "Apply", "scale") == {"f:spec": {"f:replicas": {}}}
    assert "f:replicas" not in (owned(found, "one") or {})["f:spec"]


def test_status_and_spec_are_owned_apart(applier: Applier) -> None:
    applier.deployment("one", {"name": "c", "image": "x"}, replicas=2)
    status = {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": "d"},
        "spec": {"replicas": 9},
        "status": {"replicas": 3},
    }

    applied = applier.apply(f"{applier.deployments}/d/status", status, "controller", force=True)

    assert applied.body["spec"]["replicas"] == 2
    assert applied.body["status"]["replicas"] == 3
    assert owned(applied.body, "controller", "Apply", "status") == {"f:status": {"f:replicas": {}}}
    again = applier.deployment("one", {"name": "c", "image": "x"}, replicas=2)
    assert again.body["metadata"]["resourceVersion"] == applied.body["metadata"]["resourceVersion"]


def test_the_version_in_a_configuration_is_a_precondition(applier: Applier) -> None:
    created = applier.map("one", {"k": "v"}).body
    applier.map("one", {"k": "w"})

    stale = applier.map("one", {"k": "x"}, resourceVersion=created["metadata"]["resourceVersion"])

    assert (stale.status, stale.body["reason"]) == (409, "Conflict")


@pytest.mark.parametrize(
    ("change", "status", "text"),
    [
        ({"kind": "Secret"}, 400, "invalid object type"),
        ({"metadata": {"name": "a", "managedFields": [{"manager": "x"}]}}, 400, "metadata.managedFields must be nil"),
        ({"unknown": 1}, 500, ".unknown: field not declared in schema"),
        ({"data": ["x"]}, 500, "expected map, got"),
    ],
)
def test_configurations_that_cannot_be_applied(applier: Applier, change: Manifest, status: int, text: str) -> None:
    obj = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "a"}, **change}

    refused = applier.apply(f"{applier.maps}/a", obj, "one")

    assert refused.status == status
    assert text in refused.body["message"]


def test_an_apply_needs_a_manager(applier: Applier) -> None:
    refused = applier.api.request("PATCH", f"{applier.maps}/a", {}, CONTENT)

    assert refused.status == 422
    assert "fieldManager: Required value: is required for apply patch" in refused.body["message"]


def test_owners_can_be_forgotten(applier: Applier) -> None:
    applier.map("one", {"k": "v"})

    reset = applier.api.patch(f"{applier.maps}/a", {"metadata": {"managedFields": []}})

    assert "managedFields" not in reset["metadata"]
    refused = applier.map("one", {"k": "w"})
    assert 'conflict with "before-first-apply" using v1: .data.k' in refused.body["message"]


def test_owner_references_and_finalizers_are_united(applier: Applier) -> None:
    applier.map("one", finalizers=["tests.example.com/a"])
    both = applier.map("two", finalizers=["tests.example.com/b"])

    assert sorted(both.body["metadata"]["finalizers"]) == ["tests.example.com/a", "tests.example.com/b"]
    left = applier.map("one")
    assert left.body["metadata"]["finalizers"] == ["tests.example.com/b"]
    applier.map("two")


def test_custom_resources_follow_the_lists_of_their_schema(cluster: Cluster, applier: Applier) -> None:
    group = f"g{secrets.token_hex(4)}.example.com"
    item = {
        "type": "object",
        "properties": {"name": {"type": "string"}, "v": {"type": "integer"}},
        "required": ["name"],
    }
    properties = {
        "items": {
            "type": "array",
            "items": item,
            "x-kubernetes-list-type": "map",
            "x-kubernetes-list-map-keys": ["name"],
        },
        "tags": {"type": "array", "items": {"type": "string"}, "x-kubernetes-list-type": "set"},
        "plain": {"type": "array", "items": {"type": "string"}},
    }
    schema = {"type": "object", "properties": {"spec": {"type": "object", "properties": properties}}}
    version = {"name": "v1", "served": True, "storage": True, "schema": {"openAPIV3Schema": schema}}
    names = {"plural": "widgets", "singular": "widget", "kind": "Widget", "listKind": "WidgetList"}
    definitions = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"
    spec = {"group": group, "names": names, "scope": "Namespaced", "versions": [version]}
    cluster.api.create(definitions, {"metadata": {"name": f"widgets.{group}"}, "spec": spec})
    path = f"/apis/{group}/v1/namespaces/{applier.namespace}/widgets"
    wait_until(lambda: cluster.api.request("GET", path).status == 200, "widgets to be served")

    def apply(manager: str, **fields: Any) -> Answer:
        obj = {"apiVersion": f"{group}/v1", "kind": "Widget", "metadata": {"name": "w"}, "spec": fields}
        return applier.apply(f"{path}/w", obj, manager)

    wait_until(lambda: apply("one", items=[{"name": "a", "v": 1}], tags=["x"], plain=["1"]).status < 300, "the schema")
    both = apply("two", items=[{"name": "b", "v": 2}], tags=["y"])
    assert both.body["spec"] == {
        "items": [{"name": "a", "v": 1}, {"name": "b", "v": 2}],
        "tags": ["x", "y"],
        "plain": ["1"],
    }
    assert owned(both.body, "two") == {
        "f:spec": {
            "f:items": {'k:{"name":"b"}': {".": {}, "f:name": {}, "f:v": {}}},
            "f:tags": {'v:"y"': {}},
        }
    }
    refused = apply("two", plain=["2"])
    assert 'conflict with "one": .spec.plain' in refused.body["message"]
    doubled = apply("two", items=[{"name": "b"}, {"name": "b"}])
    assert 'duplicate entries for key [name="b"]' in doubled.body["message"]
    cluster.api.delete(f"{definitions}/widgets.{group}")


def test_kubectl_applies_on_the_server_and_takes_over_what_it_applied_itself_before(
    cluster: Cluster, namespace: str, applier: Applier
) -> None:
    manifest = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "a"}, "data": {"k": "v"}}
    text = json.dumps(manifest)
    cluster.kubectl("-n", namespace, "apply", "-f", "-", stdin=text)

    changed = json.dumps({**manifest, "data": {"k": "w"}})
    cluster.kubectl("-n", namespace, "apply", "--server-side", "-f", "-", stdin=changed)

    found = cluster.api.get(f"{applier.maps}/a")
    assert found["data"] == {"k": "w"}
    assert owned(found, "kubectl") is not None
    assert "kubectl-client-side-apply" not in {manager for manager, _, _ in entries(found)}
    applier.map("other", {"k": "x"}, force=True)
    failed = cluster.kubectl("-n", namespace, "apply", "--server-side", "-f", "-", stdin=changed, check=False)
    assert failed == ""
    cluster.kubectl("-n", namespace, "apply", "--server-side", "--force-conflicts", "-f", "-", stdin=changed)
    assert cluster.api.get(f"{applier.maps}/a")["data"] == {"k": "w"}
