"""What becomes of objects whose owners go, seen by a client."""

import secrets
import time
from typing import Any

import pytest

from fixtures.api import ApiFailureError, Manifest
from fixtures.cluster import Cluster
from fixtures.conditions import wait_until

FOREGROUND = {"propagationPolicy": "Foreground"}
BACKGROUND = {"propagationPolicy": "Background"}
ORPHAN = {"propagationPolicy": "Orphan"}


class Objects:
    """ConfigMaps of one namespace, with owners."""

    def __init__(self, cluster: Cluster, namespace: str) -> None:
        self.api = cluster.api
        self.namespace = namespace
        self.path = f"/api/v1/namespaces/{namespace}/configmaps"

    def create(self, name: str, *owners: Manifest, finalizers: tuple[str, ...] = (), block: bool = False) -> Manifest:
        references = [reference(owner, block=block) for owner in owners]
        metadata: Manifest = {"name": name}
        if references:
            metadata["ownerReferences"] = references
        if finalizers:
            metadata["finalizers"] = list(finalizers)
        return self.api.create(self.path, {"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata})

    def delete(self, name: str, options: Manifest | None = None) -> Manifest:
        return self.api.delete(f"{self.path}/{name}", options=options)

    def find(self, name: str) -> Manifest | None:
        return self.api.find(f"{self.path}/{name}")

    def own(self, name: str, *owners: Manifest, block: bool = False) -> None:
        references = [reference(owner, block=block) for owner in owners]
        self.api.patch(f"{self.path}/{name}", {"metadata": {"ownerReferences": references}})

    def release(self, name: str) -> None:
        self.api.patch(f"{self.path}/{name}", {"metadata": {"finalizers": None}})

    def gone(self, name: str, *, timeout: float = 30.0) -> None:
        wait_until(lambda: self.find(name) is None, f"the end of {name}", timeout=timeout)


def reference(owner: Manifest, *, block: bool = False, **changes: Any) -> Manifest:
    stated = {
        "apiVersion": owner.get("apiVersion", "v1"),
        "kind": owner.get("kind", "ConfigMap"),
        "name": owner["metadata"]["name"],
        "uid": owner["metadata"]["uid"],
    }
    if block:
        stated["blockOwnerDeletion"] = True
    return {**stated, **changes}


def ghost(name: str, *, kind: str = "ConfigMap", api_version: str = "v1") -> Manifest:
    """An owner that never was."""
    uid = "00000000-0000-4000-8000-" + secrets.token_hex(6)
    return {"apiVersion": api_version, "kind": kind, "metadata": {"name": name, "uid": uid}}


@pytest.fixture
def objects(cluster: Cluster, namespace: str) -> Objects:
    return Objects(cluster, namespace)


def test_dependents_go_after_their_owner_in_the_background(objects: Objects) -> None:
    owner = objects.create("owner")
    child = objects.create("child", owner)
    objects.create("grandchild", child)

    answer = objects.delete("owner", BACKGROUND)

    assert answer["status"] == "Success"
    assert objects.find("owner") is None
    objects.gone("child")
    objects.gone("grandchild")


def test_an_owner_deleted_in_the_foreground_waits_for_those_that_block_it(objects: Objects) -> None:
    owner = objects.create("owner")
    objects.create("held", owner, block=True, finalizers=("tests.example.com/hold",))
    objects.create("other", owner)

    answer = objects.delete("owner", FOREGROUND)

    assert answer["metadata"]["finalizers"] == ["foregroundDeletion"]
    objects.gone("other")
    held = wait_until(lambda: (objects.find("held") or {})["metadata"].get("deletionTimestamp"), "held terminating")
    assert held
    assert objects.find("owner") is not None
    objects.release("held")
    objects.gone("held")
    objects.gone("owner")


def test_an_owner_deleted_in_the_foreground_does_not_wait_for_dependents_that_do_not_block(objects: Objects) -> None:
    owner = objects.create("owner")
    objects.create("slow", owner, finalizers=("tests.example.com/hold",))

    objects.delete("owner", FOREGROUND)

    objects.gone("owner")
    wait_until(lambda: (objects.find("slow") or {})["metadata"].get("deletionTimestamp"), "slow terminating")
    objects.release("slow")
    objects.gone("slow")


def test_foreground_deletion_reaches_the_whole_tree_bottom_up(objects: Objects) -> None:
    owner = objects.create("owner")
    child = objects.create("child", owner, block=True)
    objects.create("leaf", child, block=True, finalizers=("tests.example.com/hold",))

    objects.delete("owner", FOREGROUND)

    wait_until(lambda: (objects.find("leaf") or {})["metadata"].get("deletionTimestamp"), "the leaf terminating")
    child = objects.find("child") or {}
    assert child["metadata"]["finalizers"] == ["foregroundDeletion"]
    assert objects.find("owner") is not None
    objects.release("leaf")
    for name in ("leaf", "child", "owner"):
        objects.gone(name)


def test_orphans_stay_and_forget_their_owner(objects: Objects) -> None:
    owner = objects.create("owner")
    other = objects.create("other")
    objects.create("child", owner)
    objects.create("shared", owner, other)

    answer = objects.delete("owner", ORPHAN)

    assert answer["metadata"]["finalizers"] == ["orphan"]
    objects.gone("owner")
    for name, kept in (("child", None), ("shared", [reference(other)])):
        found = objects.find(name)
        assert found is not None
        assert found["metadata"].get("ownerReferences") == kept


def test_an_object_stays_while_one_owner_is_left_and_forgets_the_others(objects: Objects) -> None:
    first, second = objects.create("first"), objects.create("second")
    objects.create("child", first, second)

    objects.delete("first", BACKGROUND)

    def owners() -> list[str]:
        found = objects.find("child")
        assert found is not None
        return [each["name"] for each in found["metadata"]["ownerReferences"]]

    wait_until(lambda: owners() == ["second"], "the reference to the first owner to go")
    objects.delete("second", BACKGROUND)
    objects.gone("child")


def test_a_reference_to_an_owner_that_is_not_there_ends_the_object(objects: Objects) -> None:
    objects.create("child", ghost("never"))

    objects.gone("child")


def test_an_owner_of_the_same_name_but_another_uid_is_no_owner(objects: Objects) -> None:
    objects.create("owner")
    objects.create("child", ghost("owner"))

    objects.gone("child")
    assert objects.find("owner") is not None


def test_a_ring_of_owners_in_the_foreground_ends(objects: Objects) -> None:
    first = objects.create("first")
    second = objects.create("second", first, block=True)
    objects.own("first", second, block=True)

    objects.delete("first", FOREGROUND)

    objects.gone("first")
    objects.gone("second")


def test_a_dependent_in_another_namespace_is_collected_and_its_author_is_told(
    cluster: Cluster, objects: Objects
) -> None:
    owner = objects.create("owner")
    elsewhere = Objects(cluster, cluster.create_namespace())
    elsewhere.create("child", owner)

    elsewhere.gone("child")
    assert objects.find("owner") is not None
    events = f"/api/v1/namespaces/{elsewhere.namespace}/events"
    wait_until(
        lambda: any(
            event["reason"] == "OwnerRefInvalidNamespace" and event["involvedObject"]["name"] == "child"
            for event in cluster.api.items(events)
        ),
        "an event about the reference into another namespace",
    )


def test_namespaced_objects_may_belong_to_cluster_scoped_ones(cluster: Cluster, objects: Objects) -> None:
    roles = "/apis/rbac.authorization.k8s.io/v1/clusterroles"
    name = f"gc-{secrets.token_hex(4)}"
    role = cluster.api.create(roles, {"metadata": {"name": name}, "rules": []})
    objects.create("child", role)

    cluster.api.delete(f"{roles}/{name}")

    objects.gone("child")


def test_a_cluster_scoped_object_is_never_collected_for_a_namespaced_owner(cluster: Cluster, objects: Objects) -> None:
    roles = "/apis/rbac.authorization.k8s.io/v1/clusterroles"
    name = f"gc-{secrets.token_hex(4)}"
    owner = objects.create("owner")
    cluster.api.create(roles, {"metadata": {"name": name, "ownerReferences": [reference(owner)]}, "rules": []})
    objects.create("witness", owner)

    objects.delete("owner")

    objects.gone("witness")
    assert cluster.api.find(f"{roles}/{name}") is not None
    cluster.api.delete(f"{roles}/{name}")


def test_an_owner_of_an_unknown_kind_ends_nothing_until_its_kind_is_known(cluster: Cluster, objects: Objects) -> None:
    group = f"g{secrets.token_hex(4)}.example.com"
    objects.create("child", ghost("w", kind="Widget", api_version=f"{group}/v1"))
    objects.create("witness", ghost("never"))
    objects.gone("witness")
    assert objects.find("child") is not None

    definitions = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"
    names = {"plural": "widgets", "singular": "widget", "kind": "Widget", "listKind": "WidgetList"}
    schema = {"openAPIV3Schema": {"type": "object", "x-kubernetes-preserve-unknown-fields": True}}
    version = {"name": "v1", "served": True, "storage": True, "schema": schema}
    cluster.api.create(
        definitions,
        {
            "metadata": {"name": f"widgets.{group}"},
            "spec": {"group": group, "names": names, "scope": "Namespaced", "versions": [version]},
        },
    )

    objects.gone("child", timeout=90)  # a real collector looks for new kinds every 30 seconds
    cluster.api.delete(f"{definitions}/widgets.{group}")


def test_custom_resources_own_and_are_owned(cluster: Cluster, objects: Objects) -> None:
    group = f"g{secrets.token_hex(4)}.example.com"
    definitions = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"
    names = {"plural": "widgets", "singular": "widget", "kind": "Widget", "listKind": "WidgetList"}
    schema = {"openAPIV3Schema": {"type": "object", "x-kubernetes-preserve-unknown-fields": True}}
    version = {"name": "v1", "served": True, "storage": True, "schema": schema}
    spec = {"group": group, "names": names, "scope": "Namespaced", "versions": [version]}
    cluster.api.create(definitions, {"metadata": {"name": f"widgets.{group}"}, "spec": spec})
    widgets = f"/apis/{group}/v1/namespaces/{objects.namespace}/widgets"
    wait_until(lambda: cluster.api.request("GET", widgets).status == 200, "widgets to be served")

    def widget(name: str, *owners: Manifest) -> Manifest:
        metadata: Manifest = {"name": name, "ownerReferences": [reference(owner) for owner in owners]}
        return cluster.api.create(widgets, {"apiVersion": f"{group}/v1", "kind": "Widget", "metadata": metadata})

    parent = widget("parent")
    child = widget("child", parent)
    objects.create("leaf", child)

    cluster.api.delete(f"{widgets}/parent")

    wait_until(lambda: cluster.api.find(f"{widgets}/child") is None, "the child to go", timeout=90)
    objects.gone("leaf", timeout=90)
    cluster.api.delete(f"{definitions}/widgets.{group}")


def test_finalizers_of_a_dependent_hold_it_and_it_goes_with_the_last(objects: Objects) -> None:
    owner = objects.create("owner")
    objects.create("child", owner, finalizers=("tests.example.com/a", "tests.example.com/b"))
    objects.delete("owner")
    wait_until(lambda: (objects.find("child") or {})["metadata"].get("deletionTimestamp"), "the child terminating")

    objects.api.patch(f"{objects.path}/child", {"metadata": {"finalizers": ["tests.example.com/b"]}})

    assert objects.find("child") is not None
    objects.release("child")
    assert objects.find("child") is None


def test_an_event_is_no_owner(objects: Objects) -> None:
    with pytest.raises(ApiFailureError, match="Event is disallowed from being an owner"):
        objects.create("child", ghost("e", kind="Event"))


@pytest.mark.embedded_only
def test_a_thousand_dependents_go_within_two_seconds(objects: Objects) -> None:
    owner = objects.create("owner")
    for number in range(1000):
        objects.create(f"child-{number}", owner)
    begun = time.monotonic()

    objects.delete("owner", BACKGROUND)

    def left() -> int:
        listed = objects.api.get(f"{objects.path}?limit=1")
        return len([each for each in listed["items"] if each["metadata"]["name"].startswith("child-")])

    wait_until(lambda: left() == 0, "all dependents to go", timeout=20)
    assert time.monotonic() - begun < 2
