"""Several replicas of a hub, leadership that comes and goes, and API servers that do."""

from __future__ import annotations

from contextlib import ExitStack
from datetime import UTC, datetime
from typing import Any

from fixtures.child import free_port
from fixtures.cluster import Cluster
from fixtures.conditions import eventually
from fixtures.hubs import hub_configs, hub_in_thread, install_hub
from merope import hub as hub_process
from merope.kube import LeaderTimes
from merope.operator import HUB_NAMESPACE

CLUSTERS = "/apis/cluster.open-cluster-management.io/v1/managedclusters"
LOCK = f"/apis/coordination.k8s.io/v1/namespaces/{HUB_NAMESPACE}/leases/registration-controller-lock"
QUICK = LeaderTimes(3.0, 2.0, 0.3)


def cluster(name: str, **spec: Any) -> dict[str, Any]:
    return {
        "apiVersion": "cluster.open-cluster-management.io/v1",
        "kind": "ManagedCluster",
        "metadata": {"name": name},
        "spec": spec,
    }


def accepted(hub: Cluster, name: str) -> bool:
    conditions = hub.api.get(f"{CLUSTERS}/{name}").get("status", {}).get("conditions", [])
    return any(each["type"] == "HubAcceptedManagedCluster" and each["status"] == "True" for each in conditions)


def options(hub: Cluster, *, webhooks: bool = False, **more: Any) -> hub_process.HubOptions:
    components = ("registration", "webhook") if webhooks else ("registration",)
    return hub_process.HubOptions(
        configs=hub_configs(hub, *components),
        components=("registration",),
        webhook_bind=f"127.0.0.1:{free_port()}" if webhooks else None,
        **more,
    )


async def test_a_hub_that_loses_its_lock_competes_for_it_again(hub: Cluster) -> None:
    await install_hub(hub)
    with hub_in_thread(options(hub, leader_times=QUICK)):
        lease = await eventually(lambda: hub.api.find(LOCK), "the lock")
        mine = lease["spec"]["holderIdentity"]
        now = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
        stolen = {"holderIdentity": "somebody", "leaseDurationSeconds": 1, "renewTime": now}

        hub.api.patch(LOCK, {"spec": stolen})

        await eventually(
            lambda: (spec := hub.api.get(LOCK)["spec"])["holderIdentity"] == mine and spec["renewTime"] != now,
            "the hub to hold its lock again",
        )
        hub.api.create(CLUSTERS, cluster("after-return", hubAcceptsClient=True))
        await eventually(lambda: accepted(hub, "after-return"), "acceptance by the hub that leads again")


async def test_two_replicas_on_one_machine_are_not_taken_for_one_another(hub: Cluster) -> None:
    await install_hub(hub)
    with ExitStack() as replicas:
        with hub_in_thread(options(hub, leader_times=QUICK)):
            first = (await eventually(lambda: hub.api.find(LOCK), "the lock"))["spec"]["holderIdentity"]
            replicas.enter_context(hub_in_thread(options(hub, leader_times=QUICK)))

        second = await eventually(
            lambda: (holder := hub.api.get(LOCK)["spec"]["holderIdentity"]) != first and holder, "the other to lead"
        )
        assert second
        hub.api.create(CLUSTERS, cluster("after-first", hubAcceptsClient=True))
        await eventually(lambda: accepted(hub, "after-first"), "acceptance by the replica that is left")


async def test_a_deleted_registration_of_the_webhooks_is_back_at_once(hub: Cluster) -> None:
    await install_hub(hub)
    kind = "/apis/admissionregistration.k8s.io/v1/validatingwebhookconfigurations"
    path = f"{kind}/managedclustervalidators.admission.cluster.open-cluster-management.io"
    with hub_in_thread(options(hub, webhooks=True)), hub_in_thread(options(hub, webhooks=True)):
        before = hub.api.get(path)

        hub.api.delete(path)

        after = await eventually(
            lambda: (found := hub.api.find(path)) and found["metadata"]["uid"] != before["metadata"]["uid"] and found,
            "the registration",
            timeout=10,
        )
        secret = f"/api/v1/namespaces/{HUB_NAMESPACE}/secrets/signer-secret"
        hub.api.delete(secret)
        await eventually(lambda: hub.api.find(secret), "the authority", timeout=10)
        await eventually(
            lambda: hub.api.get(path)["webhooks"][0]["clientConfig"] != after["webhooks"][0]["clientConfig"],
            "the new authority in the registration",
        )
        hub.api.create(CLUSTERS, cluster("guarded"))
