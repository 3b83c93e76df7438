"""What every integration test counts on: a clean cluster, identities on it, and nothing left of the test before."""

import asyncio
import json
import threading

from fixtures.cluster import Cluster
from fixtures.conditions import wait_until

WIDGETS = {
    "apiVersion": "apiextensions.k8s.io/v1",
    "kind": "CustomResourceDefinition",
    "metadata": {"name": "widgets.tests.merope.dev"},
    "spec": {
        "group": "tests.merope.dev",
        "names": {"plural": "widgets", "singular": "widget", "kind": "Widget", "listKind": "WidgetList"},
        "scope": "Namespaced",
        "versions": [
            {
                "name": "v1",
                "served": True,
                "storage": True,
                "schema": {"openAPIV3Schema": {"type": "object", "x-kubernetes-preserve-unknown-fields": True}},
            }
        ],
    },
}
ROLES = "/apis/rbac.authorization.k8s.io/v1/clusterroles"


def test_a_cluster_starts_with_the_bootstrap_namespaces_only(cluster: Cluster) -> None:
    names = {item["metadata"]["name"] for item in cluster.api.items("/api/v1/namespaces")}

    assert names == {"default", "kube-node-lease", "kube-public", "kube-system"}


def test_the_administrator_is_system_masters(cluster: Cluster) -> None:
    answer = json.loads(cluster.kubectl("auth", "whoami", "--output=json"))

    assert "system:masters" in answer["status"]["userInfo"]["groups"]


def test_a_user_kubeconfig_is_that_user_with_its_groups_and_without_rights(cluster: Cluster) -> None:
    kubeconfig = cluster.user_kubeconfig("alice", ["team-a"])

    answer = json.loads(cluster.kubectl("auth", "whoami", "--output=json", kubeconfig=kubeconfig))
    allowed = cluster.kubectl("auth", "can-i", "get", "configmaps", kubeconfig=kubeconfig, check=False)

    assert answer["status"]["userInfo"]["username"] == "alice"
    assert set(answer["status"]["userInfo"]["groups"]) == {"team-a", "system:authenticated"}
    assert allowed.strip() == "no"


def test_a_service_account_kubeconfig_is_that_account(cluster: Cluster) -> None:
    kubeconfig = cluster.service_account_kubeconfig("accounts", "robot")

    answer = json.loads(cluster.kubectl("auth", "whoami", "--output=json", kubeconfig=kubeconfig))

    assert answer["status"]["userInfo"]["username"] == "system:serviceaccount:accounts:robot"


def test_objects_survive_a_restart_at_the_same_address(hub: Cluster) -> None:
    hub.create_namespace("before")
    url = hub.url

    hub.restart()

    assert hub.url == url
    assert hub.api.get("/api/v1/namespaces/before")["status"]["phase"] == "Active"
    hub.create_namespace("after")


def test_hub_and_managed_cluster_are_two_clusters(hub: Cluster, managed_cluster: Cluster) -> None:
    hub.create_namespace("only-on-the-hub")

    assert managed_cluster.url != hub.url
    assert managed_cluster.api.find("/api/v1/namespaces/only-on-the-hub") is None


def test_a_reset_removes_everything_that_was_made_and_nothing_else(cluster: Cluster) -> None:
    api = cluster.api
    view = api.get(f"{ROLES}/view")
    namespace = cluster.create_namespace()
    api.create("/apis/apiextensions.k8s.io/v1/customresourcedefinitions", WIDGETS)
    widgets = f"/apis/tests.merope.dev/v1/namespaces/{namespace}/widgets"
    wait_until(lambda: api.request("GET", widgets).status == 200, "widgets served")
    held = {"name": "held", "finalizers": ["tests.merope.dev/nobody-removes-this"]}
    api.create(widgets, {"apiVersion": "tests.merope.dev/v1", "kind": "Widget", "metadata": held})
    api.create(
        "/api/v1/namespaces/default/configmaps",
        {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "kept", "finalizers": ["tests.merope.dev/x"]}},
    )
    api.create(
        ROLES,
        {
            "apiVersion": "rbac.authorization.k8s.io/v1",
            "kind": "ClusterRole",
            "metadata": {
                "name": "tests-widget-viewer",
                "labels": {"rbac.authorization.k8s.io/aggregate-to-view": "true"},
            },
            "rules": [{"apiGroups": ["tests.merope.dev"], "resources": ["widgets"], "verbs": ["get"]}],
        },
    )
    wait_until(lambda: api.get(f"{ROLES}/view")["rules"] != view["rules"], "the role to be aggregated")
    api.patch("/api/v1/namespaces/default", {"metadata": {"labels": {"tests": "were-here"}}})
    api.delete("/apis/rbac.authorization.k8s.io/v1/clusterrolebindings/system:basic-user")

    cluster.reset()

    assert api.find("/apis/apiextensions.k8s.io/v1/customresourcedefinitions/widgets.tests.merope.dev") is None
    assert api.find(f"/api/v1/namespaces/{namespace}") is None
    assert api.find("/api/v1/namespaces/default/configmaps/kept") is None
    assert api.find(f"{ROLES}/tests-widget-viewer") is None
    assert sorted(map(str, api.get(f"{ROLES}/view")["rules"])) == sorted(map(str, view["rules"]))
    assert "tests" not in api.get("/api/v1/namespaces/default")["metadata"]["labels"]
    assert api.find("/apis/rbac.authorization.k8s.io/v1/clusterrolebindings/system:basic-user")
    assert api.find("/api/v1/namespaces/kube-system/configmaps/kube-root-ca.crt")


async def test_a_cluster_started_in_a_thread_outlives_the_thread(cluster: Cluster) -> None:
    starter = threading.Thread(target=cluster.restart)
    starter.start()
    await asyncio.to_thread(starter.join)

    cluster.create_namespace("after-the-thread")
