"""Namespaces from their first contents to their end."""

import secrets
import threading
from collections.abc import Iterator

import pytest

from fixtures.api import ApiFailureError, Manifest
from fixtures.cluster import Cluster
from fixtures.conditions import wait_until

NAMESPACES = "/api/v1/namespaces"
DEFINITIONS = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"
HOLD = "tests.example.com/hold"


@pytest.fixture(scope="module")
def widgets(cluster: Cluster) -> Iterator[str]:
    """The group of a definition of widgets."""
    group = f"g{secrets.token_hex(4)}.example.com"
    names = {"plural": "widgets", "singular": "widget", "kind": "Widget", "listKind": "WidgetList"}
    schema = {"openAPIV3Schema": {"type": "object", "x-kubernetes-preserve-unknown-fields": True}}
    version = {"name": "v1", "served": True, "storage": True, "schema": schema}
    spec = {"group": group, "names": names, "scope": "Namespaced", "versions": [version]}
    cluster.api.create(DEFINITIONS, {"metadata": {"name": f"widgets.{group}"}, "spec": spec})
    wait_until(lambda: cluster.api.request("GET", f"/apis/{group}/v1/widgets").status == 200, "widgets to be served")
    yield group
    cluster.api.delete(f"{DEFINITIONS}/widgets.{group}")


def config_map(name: str, *finalizers: str) -> Manifest:
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name, "finalizers": list(finalizers)}}


def conditions(cluster: Cluster, name: str) -> dict[str, Manifest]:
    found = cluster.api.find(f"{NAMESPACES}/{name}")
    return {each["type"]: each for each in ((found or {}).get("status") or {}).get("conditions") or ()}


def gone(cluster: Cluster, name: str) -> None:
    wait_until(lambda: cluster.api.find(f"{NAMESPACES}/{name}") is None, f"the end of {name}", timeout=60)


def test_a_new_namespace_is_active_labelled_and_gets_its_account_and_the_ca(cluster: Cluster) -> None:
    name = f"ns-{secrets.token_hex(4)}"
    created = cluster.api.create(NAMESPACES, {"metadata": {"name": name, "labels": {"a": "b"}}})

    assert created["status"] == {"phase": "Active"}
    assert created["spec"] == {"finalizers": ["kubernetes"]}
    assert created["metadata"]["labels"] == {"a": "b", "kubernetes.io/metadata.name": name}
    path = f"{NAMESPACES}/{name}"
    wait_until(lambda: cluster.api.find(f"{path}/serviceaccounts/default"), "the default account")
    published = wait_until(lambda: cluster.api.find(f"{path}/configmaps/kube-root-ca.crt"), "the CA certificate")
    assert "BEGIN CERTIFICATE" in published["data"]["ca.crt"]
    assert published["metadata"]["annotations"]["kubernetes.io/description"]


def test_the_label_with_the_name_cannot_be_changed(cluster: Cluster, namespace: str) -> None:
    patch = {"metadata": {"labels": {"kubernetes.io/metadata.name": "other"}}}

    patched = cluster.api.patch(f"{NAMESPACES}/{namespace}", patch)

    assert patched["metadata"]["labels"]["kubernetes.io/metadata.name"] == namespace


def test_the_first_contents_come_back_when_they_are_removed_or_edited(cluster: Cluster, namespace: str) -> None:
    account = f"{NAMESPACES}/{namespace}/serviceaccounts/default"
    published = f"{NAMESPACES}/{namespace}/configmaps/kube-root-ca.crt"
    before = wait_until(lambda: cluster.api.find(published), "the CA certificate")
    old = cluster.api.get(account)["metadata"]["uid"]

    cluster.api.delete(account)
    cluster.api.patch(published, {"data": {"ca.crt": "nonsense", "more": "x"}})

    wait_until(lambda: (cluster.api.find(account) or {"metadata": {"uid": old}})["metadata"]["uid"] != old, "account")
    wait_until(lambda: cluster.api.get(published)["data"] == before["data"], "the CA certificate to be repaired")
    cluster.api.delete(published)
    wait_until(lambda: cluster.api.find(published), "the CA certificate to come back")


def test_a_namespace_goes_with_all_that_is_in_it(cluster: Cluster, widgets: str) -> None:
    name = cluster.create_namespace()
    cluster.api.create(f"{NAMESPACES}/{name}/configmaps", config_map("a"))
    cluster.api.create(f"{NAMESPACES}/{name}/secrets", {"metadata": {"name": "a"}})
    items = f"/apis/{widgets}/v1/namespaces/{name}/widgets"
    cluster.api.create(items, {"apiVersion": f"{widgets}/v1", "kind": "Widget", "metadata": {"name": "a"}})

    answer = cluster.api.delete(f"{NAMESPACES}/{name}")

    assert answer["status"]["phase"] == "Terminating"
    assert answer["metadata"]["deletionTimestamp"]
    gone(cluster, name)
    assert cluster.api.items(items) == []


def test_conditions_say_what_holds_a_namespace(cluster: Cluster, widgets: str) -> None:
    name = cluster.create_namespace()
    items = f"/apis/{widgets}/v1/namespaces/{name}/widgets"
    for each in ("a", "b"):
        metadata = {"name": each, "finalizers": [HOLD]}
        cluster.api.create(items, {"apiVersion": f"{widgets}/v1", "kind": "Widget", "metadata": metadata})
    cluster.api.create(f"{NAMESPACES}/{name}/configmaps", config_map("held", HOLD))

    cluster.api.delete(f"{NAMESPACES}/{name}")

    def reported() -> bool:
        found = conditions(cluster, name)
        return (
            "has 2 resource instances" in found["NamespaceContentRemaining"]["message"]
            and "configmaps. has 1 resource instances" in found["NamespaceContentRemaining"]["message"]
        )

    wait_until(lambda: conditions(cluster, name) and reported(), "the conditions", timeout=60)
    found = conditions(cluster, name)
    assert {kind: (each["status"], each["reason"]) for kind, each in found.items()} == {
        "NamespaceDeletionDiscoveryFailure": ("False", "ResourcesDiscovered"),
        "NamespaceDeletionGroupVersionParsingFailure": ("False", "ParsedGroupVersions"),
        "NamespaceDeletionContentFailure": ("False", "ContentDeleted"),
        "NamespaceContentRemaining": ("True", "SomeResourcesRemain"),
        "NamespaceFinalizersRemaining": ("True", "SomeFinalizersRemain"),
    }
    content = found["NamespaceContentRemaining"]["message"]
    assert content == (
        "Some resources are remaining: configmaps. has 1 resource instances, "
        f"widgets.{widgets} has 2 resource instances"
    )
    held = found["NamespaceFinalizersRemaining"]["message"]
    assert held == f"Some content in the namespace has finalizers remaining: {HOLD} in 3 resource instances"

    for path in (f"{items}/a", f"{items}/b", f"{NAMESPACES}/{name}/configmaps/held"):
        cluster.api.patch(path, {"metadata": {"finalizers": None}})
    gone(cluster, name)


def test_nothing_is_created_in_a_namespace_that_goes_but_things_there_can_be_changed(cluster: Cluster) -> None:
    name = cluster.create_namespace()
    maps = f"{NAMESPACES}/{name}/configmaps"
    cluster.api.create(maps, config_map("held", HOLD))
    cluster.api.delete(f"{NAMESPACES}/{name}")

    refused = cluster.api.request("POST", maps, config_map("late"))

    assert refused.status == 403
    cause = f"unable to create new content in namespace {name} because it is being terminated"
    assert refused.body["message"] == f'configmaps "late" is forbidden: {cause}'
    assert refused.body["details"]["causes"] == [
        {
            "reason": "NamespaceTerminating",
            "message": f"namespace {name} is being terminated",
            "field": "metadata.namespace",
        }
    ]
    assert cluster.api.patch(f"{maps}/held", {"data": {"k": "v"}})["data"] == {"k": "v"}
    again = cluster.api.delete(f"{NAMESPACES}/{name}")
    assert again["metadata"]["deletionTimestamp"]
    cluster.api.patch(f"{maps}/held", {"metadata": {"finalizers": None}})
    gone(cluster, name)


def test_a_finalizer_of_the_namespace_itself_holds_it_after_its_content_is_gone(cluster: Cluster) -> None:
    name = cluster.create_namespace()
    cluster.api.patch(f"{NAMESPACES}/{name}", {"metadata": {"finalizers": [HOLD]}})
    cluster.api.create(f"{NAMESPACES}/{name}/configmaps", config_map("a"))

    cluster.api.delete(f"{NAMESPACES}/{name}")

    wait_until(lambda: not cluster.api.get(f"{NAMESPACES}/{name}")["spec"].get("finalizers"), "the content to be gone")
    assert cluster.api.items(f"{NAMESPACES}/{name}/configmaps") == []
    cluster.api.patch(f"{NAMESPACES}/{name}", {"metadata": {"finalizers": None}})
    assert cluster.api.find(f"{NAMESPACES}/{name}") is None


def test_a_name_can_be_used_again_at_once(cluster: Cluster) -> None:
    name = cluster.create_namespace()
    first = cluster.api.get(f"{NAMESPACES}/{name}")["metadata"]["uid"]
    cluster.api.create(f"{NAMESPACES}/{name}/configmaps", config_map("old"))
    cluster.api.delete(f"{NAMESPACES}/{name}")
    gone(cluster, name)

    cluster.create_namespace(name)

    assert cluster.api.get(f"{NAMESPACES}/{name}")["metadata"]["uid"] != first
    assert cluster.api.find(f"{NAMESPACES}/{name}/configmaps/old") is None
    wait_until(lambda: cluster.api.find(f"{NAMESPACES}/{name}/configmaps/kube-root-ca.crt"), "the CA certificate")


def test_writers_that_race_with_the_deletion_leave_nothing_behind(cluster: Cluster) -> None:
    name = cluster.create_namespace()
    maps = f"{NAMESPACES}/{name}/configmaps"
    codes: set[int] = set()

    def write(worker: int) -> None:
        for number in range(200):
            answer = cluster.api.request("POST", maps, config_map(f"c{worker}-{number}"))
            codes.add(answer.status)
            if answer.status == 404:
                return

    writers = [threading.Thread(target=write, args=(worker,)) for worker in range(4)]
    for writer in writers:
        writer.start()
    wait_until(lambda: len(cluster.api.items(maps)) > 20, "some content")
    cluster.api.delete(f"{NAMESPACES}/{name}")
    for writer in writers:
        writer.join()

    gone(cluster, name)
    assert codes <= {201, 403, 404}
    cluster.create_namespace(name)
    assert [
        each["metadata"]["name"] for each in cluster.api.items(maps) if each["metadata"]["name"] != "kube-root-ca.crt"
    ] == []


@pytest.mark.parametrize("name", ["default", "kube-system", "kube-public"])
def test_some_namespaces_are_never_deleted(cluster: Cluster, name: str) -> None:
    with pytest.raises(ApiFailureError, match="this namespace may not be deleted") as refused:
        cluster.api.delete(f"{NAMESPACES}/{name}")
    assert refused.value.status == 403


def test_a_missing_namespace_is_named_by_what_is_created_in_it(cluster: Cluster) -> None:
    answer = cluster.api.request("POST", f"{NAMESPACES}/nowhere/configmaps", config_map("a"))

    assert (answer.status, answer.body["message"]) == (404, 'namespaces "nowhere" not found')


def test_local_reviews_need_no_namespace(cluster: Cluster) -> None:
    review = {
        "apiVersion": "authorization.k8s.io/v1",
        "kind": "LocalSubjectAccessReview",
        "metadata": {"namespace": "nowhere"},
        "spec": {"user": "u", "resourceAttributes": {"namespace": "nowhere", "verb": "get", "resource": "pods"}},
    }

    path = "/apis/authorization.k8s.io/v1/namespaces/nowhere/localsubjectaccessreviews"

    assert cluster.api.create(path, review)["status"] == {"allowed": False}
