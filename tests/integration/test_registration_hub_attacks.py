"""What a hostile cluster, a careless name or a half-finished step must not do to a hub and its other clusters."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from fixtures.cluster import Cluster
from fixtures.conditions import eventually
from fixtures.hubs import hub_configs, hub_in_thread, install_hub
from merope import hub as hub_process

CLUSTERS = "/apis/cluster.open-cluster-management.io/v1/managedclusters"
LEASE = "/apis/coordination.k8s.io/v1/namespaces/{0}/leases/managed-cluster-lease"
RBAC = "/apis/rbac.authorization.k8s.io/v1"
ROLE = "open-cluster-management:managedcluster:{0}"


@pytest.fixture
async def options(hub: Cluster) -> hub_process.HubOptions:
    await install_hub(hub)
    return hub_process.HubOptions(configs=hub_configs(hub, "registration"), components=("registration",))


def cluster(name: str, **spec: Any) -> dict[str, Any]:
    return {
        "apiVersion": "cluster.open-cluster-management.io/v1",
        "kind": "ManagedCluster",
        "metadata": {"name": name},
        "spec": spec,
    }


def condition(hub: Cluster, name: str, kind: str) -> dict[str, Any]:
    found = hub.api.get(f"{CLUSTERS}/{name}").get("status", {}).get("conditions", [])
    return next((each for each in found if each["type"] == kind), {})


async def accept(hub: Cluster, name: str, **spec: Any) -> None:
    hub.api.create(CLUSTERS, cluster(name, hubAcceptsClient=True, **spec))
    await eventually(
        lambda: condition(hub, name, "HubAcceptedManagedCluster").get("status") == "True", f"acceptance of {name}"
    )


@pytest.mark.parametrize("name", ["registration", "work"])
async def test_a_cluster_named_like_a_role_of_all_clusters_does_not_get_hold_of_it(
    hub: Cluster, options: hub_process.HubOptions, name: str
) -> None:
    with hub_in_thread(options):
        await accept(hub, f"beside-{name}")
        role = await eventually(lambda: hub.api.find(f"{RBAC}/clusterroles/{ROLE.format(name)}"), "the shared role")

        hub.api.create(CLUSTERS, cluster(name, hubAcceptsClient=True))
        refused = await eventually(lambda: condition(hub, name, "HubAcceptedManagedCluster"), "the refusal")
        hub.api.delete(f"{CLUSTERS}/{name}")
        await eventually(lambda: hub.api.find(f"{CLUSTERS}/{name}") is None, "the cluster to go")

        assert (refused["status"], refused["reason"]) == ("False", "Error")
        after = hub.api.get(f"{RBAC}/clusterroles/{ROLE.format(name)}")
        assert after["metadata"]["resourceVersion"] == role["metadata"]["resourceVersion"]


@pytest.mark.parametrize("name", ["kube-system", "open-cluster-management-hub", "default"])
async def test_no_cluster_gets_permissions_in_a_namespace_of_the_hub_itself(
    hub: Cluster, options: hub_process.HubOptions, name: str
) -> None:
    before = {each["metadata"]["name"] for each in hub.api.items(f"{RBAC}/namespaces/{name}/rolebindings")}
    with hub_in_thread(options):
        hub.api.create(CLUSTERS, cluster(name, hubAcceptsClient=True))
        refused = await eventually(lambda: condition(hub, name, "HubAcceptedManagedCluster"), "the refusal")

        assert (refused["status"], refused["reason"]) == ("False", "Error")
        assert name in refused["message"]
        after = {each["metadata"]["name"] for each in hub.api.items(f"{RBAC}/namespaces/{name}/rolebindings")}
        assert after == before
        assert "open-cluster-management.io/cluster-name" not in (
            hub.api.get(f"/api/v1/namespaces/{name}")["metadata"].get("labels") or {}
        )
        hub.api.delete(f"{CLUSTERS}/{name}")
        await eventually(lambda: hub.api.find(f"{CLUSTERS}/{name}") is None, "the cluster to go")


async def test_a_cluster_that_says_it_was_never_accepted_loses_its_permissions_all_the_same(
    hub: Cluster, options: hub_process.HubOptions
) -> None:
    """Its agent may write the status: were the condition all that counts, it could keep what it has."""
    with hub_in_thread(options):
        await accept(hub, "liar")
    forged = condition(hub, "liar", "HubAcceptedManagedCluster") | {"status": "False"}
    hub.api.patch(f"{CLUSTERS}/liar/status", {"status": {"conditions": [forged]}})
    hub.api.patch(f"{CLUSTERS}/liar", {"spec": {"hubAcceptsClient": False}})

    with hub_in_thread(options):
        await eventually(
            lambda: hub.api.items(f"{RBAC}/namespaces/liar/rolebindings") == [], "the permissions to be withdrawn"
        )
        role = await eventually(
            lambda: len((found := hub.api.get(f"{RBAC}/clusterroles/{ROLE.format('liar')}"))["rules"]) == 1 and found,
            "the role of a denied cluster",
        )
        assert [rule["verbs"] for rule in role["rules"]] == [["get", "list", "watch"]]
        await eventually(
            lambda: condition(hub, "liar", "HubAcceptedManagedCluster")["reason"] == "HubClusterAdminDenied",
            "the denial",
        )


async def test_a_cluster_that_hides_its_lease_is_of_unknown_state_in_time(
    hub: Cluster, options: hub_process.HubOptions
) -> None:
    with hub_in_thread(options):
        await accept(hub, "hider", leaseDurationSeconds=1)
        await eventually(lambda: hub.api.find(LEASE.format("hider")), "the cluster's lease")
        past = (datetime.now(UTC) - timedelta(seconds=60)).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
        hidden = {"metadata": {"labels": None}, "spec": {"renewTime": past}}

        hub.api.patch(LEASE.format("hider"), hidden)

        await eventually(
            lambda: condition(hub, "hider", "ManagedClusterConditionAvailable").get("status") == "Unknown",
            "the cluster to count as unknown",
        )


async def test_works_of_a_cluster_that_is_gone_without_its_clean_up_are_deleted(
    hub: Cluster, options: hub_process.HubOptions
) -> None:
    works = "/apis/work.open-cluster-management.io/v1/namespaces/torn/manifestworks"
    work = {
        "apiVersion": "work.open-cluster-management.io/v1",
        "kind": "ManifestWork",
        "metadata": {"name": "w", "namespace": "torn"},
        "spec": {"workload": {"manifests": [{"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "a"}}]}},
    }
    with hub_in_thread(options):
        await accept(hub, "torn")
        hub.api.create(works, work)
        hub.api.patch(works + "/w", {"metadata": {"finalizers": ["example.com/keep"]}})
        hub.api.delete(f"{CLUSTERS}/torn")
        await eventually(
            lambda: hub.api.get(f"{works}/w")["metadata"].get("deletionTimestamp"), "the deletion of the work"
        )
        hub.api.create(works, work | {"metadata": {"name": "late", "namespace": "torn"}})

        hub.api.patch(f"{CLUSTERS}/torn", {"metadata": {"finalizers": None}})
        hub.api.patch(works + "/w", {"metadata": {"finalizers": None}})

        await eventually(lambda: hub.api.items(works) == [], "all works to go", timeout=20)
        await eventually(
            lambda: hub.api.items(f"{RBAC}/namespaces/torn/rolebindings") == [], "the permissions to go", timeout=20
        )


async def test_a_cluster_that_is_deleted_before_its_clean_up_was_prepared_goes_all_the_same(
    hub: Cluster, options: hub_process.HubOptions
) -> None:
    works = "/apis/work.open-cluster-management.io/v1/namespaces/hasty/manifestworks"
    work = {
        "apiVersion": "work.open-cluster-management.io/v1",
        "kind": "ManifestWork",
        "metadata": {"name": "w", "namespace": "hasty"},
        "spec": {"workload": {"manifests": [{"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "a"}}]}},
    }
    with hub_in_thread(options):
        await accept(hub, "hasty")
        hub.api.create(works, work)
    only = ["cluster.open-cluster-management.io/api-resource-cleanup"]
    hub.api.patch(f"{CLUSTERS}/hasty", {"metadata": {"finalizers": only}})
    hub.api.delete(f"{CLUSTERS}/hasty")

    with hub_in_thread(options):
        await eventually(lambda: hub.api.find(f"{CLUSTERS}/hasty") is None, "the cluster to go", timeout=20)
        assert hub.api.items(works) == []
