"""The hub's registration controllers and webhooks, under the identities that they have in production."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from fixtures.child import free_port
from fixtures.cluster import Cluster
from fixtures.conditions import eventually
from fixtures.hubs import hub_configs, hub_in_thread, install_hub
from merope import hub as hub_process
from merope.kube import Client, ClientConfig, Forbidden, NotFound, ResourceRef

CLUSTERS = "/apis/cluster.open-cluster-management.io/v1/managedclusters"
SETS = "/apis/cluster.open-cluster-management.io/v1beta2/managedclustersets"
LEASE = "/apis/coordination.k8s.io/v1/namespaces/{0}/leases/managed-cluster-lease"
RBAC = "/apis/rbac.authorization.k8s.io/v1"
WORKS = "/apis/work.open-cluster-management.io/v1/namespaces/{0}/manifestworks"
MANAGED_CLUSTER = ResourceRef("cluster.open-cluster-management.io", "v1", "managedclusters", False, "ManagedCluster")


@pytest.fixture
async def running(hub: Cluster) -> AsyncIterator[Cluster]:
    """A hub whose registration component runs with its own ServiceAccounts."""
    await install_hub(hub)
    options = hub_process.HubOptions(
        configs=hub_configs(hub, "registration", "webhook"),
        components=("registration",),
        webhook_bind=f"127.0.0.1:{free_port()}",
    )
    with hub_in_thread(options):
        yield hub


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


async def test_a_cluster_that_only_asks_gets_nothing(running: Cluster) -> None:
    running.api.create(CLUSTERS, cluster("asking"))

    await eventually(
        lambda: running.api.get(f"{CLUSTERS}/asking")["spec"].get("taints"), "the taint of an unreachable cluster"
    )
    found = running.api.get(f"{CLUSTERS}/asking")
    assert found["metadata"]["labels"] == {"cluster.open-cluster-management.io/clusterset": "default"}
    assert found["spec"]["taints"][0]["key"] == "cluster.open-cluster-management.io/unreachable"
    assert found["spec"]["taints"][0]["timeAdded"]
    assert running.api.find("/api/v1/namespaces/asking") is None
    assert running.api.find(f"{RBAC}/clusterroles/open-cluster-management:managedcluster:asking") is None


async def test_acceptance_brings_namespace_permissions_and_lease(running: Cluster) -> None:
    await accept(running, "accepted")

    role = "open-cluster-management:managedcluster:accepted"
    namespace = running.api.get("/api/v1/namespaces/accepted")
    assert namespace["metadata"]["labels"]["open-cluster-management.io/cluster-name"] == "accepted"
    assert running.api.get(f"{RBAC}/clusterroles/{role}")
    assert running.api.get(f"{RBAC}/clusterrolebindings/{role}")
    bindings = running.api.items(f"{RBAC}/namespaces/accepted/rolebindings")
    assert {each["metadata"]["name"] for each in bindings} == {f"{role}:registration", f"{role}:work"}
    lease = await eventually(lambda: running.api.find(LEASE.format("accepted")), "the cluster's lease")
    assert lease["spec"]["holderIdentity"] == "managed-cluster-lease"
    finalizers = running.api.get(f"{CLUSTERS}/accepted")["metadata"]["finalizers"]
    assert set(finalizers) == {
        "cluster.open-cluster-management.io/api-resource-cleanup",
        "cluster.open-cluster-management.io/resource-cleanup",
    }


async def test_a_bootstrap_identity_cannot_accept_its_own_cluster(running: Cluster) -> None:
    kubeconfig = running.service_account_kubeconfig("open-cluster-management", "agent-registration-bootstrap")
    async with Client(ClientConfig.load(kubeconfig)) as bootstrap:
        with pytest.raises(Forbidden) as caught:
            await bootstrap.create(MANAGED_CLUSTER, cluster("eager", hubAcceptsClient=True))
        await bootstrap.create(MANAGED_CLUSTER, cluster("patient"))

    assert "cannot update the HubAcceptsClient field" in str(caught.value)
    assert running.api.find(f"{CLUSTERS}/eager") is None
    assert running.api.get(f"{CLUSTERS}/patient")


async def test_denial_takes_the_permissions_and_keeps_the_namespace(running: Cluster) -> None:
    await accept(running, "denied")

    running.api.patch(f"{CLUSTERS}/denied", {"spec": {"hubAcceptsClient": False}})

    await eventually(
        lambda: condition(running, "denied", "HubAcceptedManagedCluster").get("reason") == "HubClusterAdminDenied",
        "the denial",
    )
    role = running.api.get(f"{RBAC}/clusterroles/open-cluster-management:managedcluster:denied")
    assert [rule["verbs"] for rule in role["rules"]] == [["get", "list", "watch"]]
    assert running.api.items(f"{RBAC}/namespaces/denied/rolebindings") == []
    assert running.api.get("/api/v1/namespaces/denied")


async def test_the_work_permission_outlives_a_denial_until_the_works_are_gone(running: Cluster) -> None:
    await accept(running, "working")
    work = {
        "apiVersion": "work.open-cluster-management.io/v1",
        "kind": "ManifestWork",
        "metadata": {"name": "w", "namespace": "working"},
        "spec": {"workload": {"manifests": [{"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "a"}}]}},
    }
    running.api.create(WORKS.format("working"), work)
    path = f"{RBAC}/namespaces/working/rolebindings/open-cluster-management:managedcluster:working:work"

    running.api.patch(f"{CLUSTERS}/working", {"spec": {"hubAcceptsClient": False}})
    kept = await eventually(
        lambda: (found := running.api.find(path)) and found["metadata"].get("deletionTimestamp") and found,
        "the deletion of the binding",
    )
    assert kept["metadata"]["finalizers"] == ["cluster.open-cluster-management.io/manifest-work-cleanup"]
    assert condition(running, "working", "HubAcceptedManagedCluster")["status"] == "True"

    running.api.delete(f"{WORKS.format('working')}/w")
    await eventually(lambda: running.api.find(path) is None, "the end of the binding")


async def test_a_silent_cluster_is_of_unknown_state(running: Cluster) -> None:
    await accept(running, "silent", leaseDurationSeconds=1)
    lease = await eventually(lambda: running.api.find(LEASE.format("silent")), "the cluster's lease")
    past = (datetime.now(UTC) - timedelta(seconds=60)).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
    lease["spec"]["renewTime"] = past

    running.api.replace(LEASE.format("silent"), lease)

    await eventually(
        lambda: condition(running, "silent", "ManagedClusterConditionAvailable").get("status") == "Unknown",
        "the cluster to count as unknown",
    )
    found = condition(running, "silent", "ManagedClusterConditionAvailable")
    assert found["reason"] == "ManagedClusterLeaseUpdateStopped"
    assert found["message"] == "Registration agent stopped updating its lease."
    clock = await eventually(
        lambda: condition(running, "silent", "ManagedClusterConditionClockSynced"), "a word about the clocks"
    )
    assert (clock["status"], clock["reason"]) == ("False", "ManagedClusterClockOutOfSync")
    events = "/apis/events.k8s.io/v1/namespaces/silent/events"
    event = await eventually(
        lambda: next((e for e in running.api.items(events) if e["reason"] == "AvailableUnknown"), None), "the event"
    )
    assert event["reportingController"] == "registration-controller"
    assert event["regarding"]["namespace"] == "silent"


async def test_the_kept_sets_exist_count_and_cannot_be_turned(running: Cluster) -> None:
    running.api.create(CLUSTERS, cluster("counted"))

    def empty(name: str) -> str:
        conditions = running.api.get(f"{SETS}/{name}").get("status", {}).get("conditions", [])
        return next((each["status"] for each in conditions if each["type"] == "ClusterSetEmpty"), "")

    await eventually(lambda: running.api.find(f"{SETS}/global"), "the set global")
    await eventually(lambda: empty("default") == "False" and empty("global") == "False", "both sets to have members")
    turned = {"spec": {"clusterSelector": {"selectorType": "LabelSelector", "labelSelector": {}}}}
    running.api.patch(f"{SETS}/default", turned)

    await eventually(
        lambda: (
            running.api.get(f"{SETS}/default")["spec"]["clusterSelector"]
            == {"selectorType": "ExclusiveClusterSetLabel"}
        ),
        "the selector to be turned back",
    )


async def test_a_deleted_cluster_goes_with_its_works_and_permissions(running: Cluster) -> None:
    await accept(running, "leaving")
    work = {
        "apiVersion": "work.open-cluster-management.io/v1",
        "kind": "ManifestWork",
        "metadata": {"name": "w", "namespace": "leaving"},
        "spec": {"workload": {"manifests": [{"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "a"}}]}},
    }
    running.api.create(WORKS.format("leaving"), work)

    running.api.delete(f"{CLUSTERS}/leaving")

    await eventually(lambda: running.api.find(f"{CLUSTERS}/leaving") is None, "the cluster to go", timeout=40)
    assert running.api.items(WORKS.format("leaving")) == []
    assert running.api.items(f"{RBAC}/namespaces/leaving/rolebindings") == []
    assert running.api.find(f"{RBAC}/clusterroles/open-cluster-management:managedcluster:leaving") is None
    assert running.api.get("/api/v1/namespaces/leaving")


async def test_nothing_is_written_once_all_is_said(running: Cluster) -> None:
    await accept(running, "quiet")
    await eventually(lambda: running.api.find(LEASE.format("quiet")), "the cluster's lease")
    await eventually(lambda: running.api.get(f"{CLUSTERS}/quiet")["spec"].get("taints"), "the taint")
    await eventually(
        lambda: len(running.api.get(f"{CLUSTERS}/quiet")["metadata"].get("finalizers", ())) == 2, "both finalizers"
    )

    def version() -> str:
        return str(running.api.get(f"{CLUSTERS}/quiet")["metadata"]["resourceVersion"])

    settled = await eventually(lambda: version(), "a version")
    async with Client(ClientConfig.load(running.admin_kubeconfig)) as admin:
        with suppress(TimeoutError, NotFound):
            async with asyncio.timeout(2):
                async for event in admin.watch(
                    MANAGED_CLUSTER, field_selector="metadata.name=quiet", resource_version=settled
                ):
                    assert event.object is None, f"written: {event.object.raw}"
