"""The work agent between a hub and a managed cluster, with the identities and permissions that it has in production."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import pytest

from fixtures.cluster import Cluster
from fixtures.conditions import eventually
from merope.api.work.v1 import GROUP
from merope.kube import CORE, Client, ClientConfig, Manager, Manifest, NotFound, ResourceRef, find_condition
from merope.operator import AGENT_NAMESPACE, hub_objects, install, klusterlet_objects
from merope.registration import cluster_rbac
from merope.work.agent import FIELD_MANAGER, WorkAgentOptions, setup

CLUSTER = "cluster1"
AGENT = "agent1"
WORKS = ResourceRef(GROUP, "v1", "manifestworks", True, "ManifestWork")
APPLIED_WORKS = ResourceRef(GROUP, "v1", "appliedmanifestworks", False, "AppliedManifestWork")
CM = CORE["ConfigMap"]


@dataclass
class Fleet:
    """A hub and a managed cluster as the administrator sees them, and the agent's own clients."""

    hub: Client
    cluster: Client
    hub_hash: str
    agent_hub: Client
    agent_cluster: Client

    def applied_name(self, work: str) -> str:
        return f"{self.hub_hash}-{work}"

    async def create_work(self, name: str, *manifests: Manifest, **spec: Any) -> Manifest:
        return await self.hub.create(
            WORKS,
            {
                "metadata": {"name": name, "namespace": CLUSTER, "labels": {"team": "a"}},
                "spec": {"workload": {"manifests": list(manifests)}, **spec},
            },
        )

    async def change_work(self, name: str, spec: Manifest) -> None:
        await self.hub.patch(WORKS, name, {"spec": spec}, namespace=CLUSTER)

    async def work(self, name: str) -> Manifest:
        return await self.hub.get(WORKS, name, CLUSTER)

    async def condition(self, name: str, type_: str, status: str = "True", generation: int = 1) -> Manifest:
        """The work, once the condition has the status for the generation."""

        async def there() -> Manifest | None:
            work = await self.work(name)
            found = find_condition((work.get("status") or {}).get("conditions"), type_)
            assert found is not None, work
            assert (found["status"], found["observedGeneration"]) == (status, generation), work["status"]
            return work

        return await eventually(there, f"{type_}={status} of {name}", timeout=15)  # type: ignore[return-value]

    async def find(self, kind: ResourceRef, name: str, namespace: str | None = None) -> Manifest | None:
        try:
            return await self.cluster.get(kind, name, namespace)
        except NotFound:
            return None

    async def gone(self, get: Callable[[], Any], what: str) -> None:
        async def missing() -> bool:
            return await get() is None

        await eventually(missing, f"the end of {what}", timeout=15)

    async def work_gone(self, name: str) -> None:
        async def missing() -> bool:
            try:
                await self.work(name)
            except NotFound:
                return True
            return False

        await eventually(missing, f"the end of work {name}", timeout=15)


@pytest.fixture
async def fleet(hub: Cluster, managed_cluster: Cluster) -> AsyncIterator[Fleet]:
    async with (
        Client(ClientConfig.load(hub.admin_kubeconfig)) as hub_admin,
        Client(ClientConfig.load(managed_cluster.admin_kubeconfig)) as cluster_admin,
    ):
        await install(hub_admin, hub_objects())
        await install(cluster_admin, klusterlet_objects())
        roles = [
            *cluster_rbac.shared_roles(),
            {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": CLUSTER}},
            cluster_rbac.cluster_role(CLUSTER, accepted=True),
            cluster_rbac.cluster_role_binding(CLUSTER),
            *cluster_rbac.role_bindings(CLUSTER),
        ]
        await install(hub_admin, roles)
        user = f"system:open-cluster-management:{CLUSTER}:{AGENT}"
        groups = [f"system:open-cluster-management:{CLUSTER}", "system:open-cluster-management:managed-clusters"]
        hub_config = ClientConfig.load(hub.user_kubeconfig(user, groups))
        token = managed_cluster.service_account_kubeconfig(AGENT_NAMESPACE, "klusterlet-work-sa")
        async with (
            Client(hub_config, user_agent=FIELD_MANAGER, field_manager=FIELD_MANAGER, connections=3) as agent_hub,
            Client(ClientConfig.load(token), user_agent=FIELD_MANAGER, field_manager=FIELD_MANAGER) as agent_cluster,
        ):
            digest = hashlib.sha256(hub.url.encode()).hexdigest()
            yield Fleet(hub_admin, cluster_admin, digest, agent_hub, agent_cluster)


@asynccontextmanager
async def running(fleet: Fleet, *, agent_id: str = AGENT, **options: Any) -> AsyncIterator[None]:
    """A work agent at work."""
    options.setdefault("status_sync_interval", 0.5)
    manager = Manager(fleet.agent_hub, grace=5)
    setup(
        manager,
        hub=fleet.agent_hub,
        spoke=fleet.agent_cluster,
        cluster_name=CLUSTER,
        agent_id=agent_id,
        hub_hash=fleet.hub_hash,
        options=WorkAgentOptions(**options),
    )
    async with asyncio.TaskGroup() as group:
        task = group.create_task(manager.run())
        try:
            yield
        finally:
            manager.stop()
            await asyncio.wait([task], timeout=10)
            task.cancel()


@pytest.fixture
async def agent(fleet: Fleet) -> AsyncIterator[Fleet]:
    async with running(fleet):
        yield fleet


def config_map(name: str, namespace: str = "default", **data: str) -> Manifest:
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name, "namespace": namespace}, "data": data}


async def test_a_work_is_applied_reported_and_cleaned_up(agent: Fleet) -> None:
    await agent.create_work("first", config_map("first", a="1"))
    work = await agent.condition("first", "Available")

    applied_work = await agent.cluster.get(APPLIED_WORKS, agent.applied_name("first"))
    assert applied_work["metadata"]["labels"] == {"team": "a"}
    assert applied_work["metadata"]["finalizers"] == [
        "cluster.open-cluster-management.io/applied-manifest-work-cleanup"
    ]
    assert applied_work["spec"] == {"hubHash": agent.hub_hash, "agentID": AGENT, "manifestWorkName": "first"}
    live = await agent.cluster.get(CM, "first", "default")
    assert live["data"] == {"a": "1"}
    assert live["metadata"]["ownerReferences"] == [
        {
            "apiVersion": "work.open-cluster-management.io/v1",
            "kind": "AppliedManifestWork",
            "name": applied_work["metadata"]["name"],
            "uid": applied_work["metadata"]["uid"],
        }
    ]
    assert work["metadata"]["finalizers"] == ["cluster.open-cluster-management.io/manifest-work-cleanup"]
    assert [without_times(condition) for condition in work["status"]["conditions"]] == [
        {
            "type": "Applied",
            "status": "True",
            "reason": "AppliedManifestWorkComplete",
            "message": "Apply manifest work complete",
            "observedGeneration": 1,
        },
        {
            "type": "Available",
            "status": "True",
            "reason": "ResourcesAvailable",
            "message": "All resources are available",
            "observedGeneration": 1,
        },
    ]
    [manifest] = work["status"]["resourceStatus"]["manifests"]
    assert manifest["resourceMeta"] == {
        "ordinal": 0,
        "group": "",
        "version": "v1",
        "kind": "ConfigMap",
        "resource": "configmaps",
        "name": "first",
        "namespace": "default",
    }
    assert [without_times(condition) for condition in manifest["conditions"]] == [
        {
            "type": "Applied",
            "status": "True",
            "reason": "AppliedManifestComplete",
            "message": "Apply manifest complete",
            "observedGeneration": 1,
        },
        {"type": "Available", "status": "True", "reason": "ResourceAvailable", "message": "Resource is available"},
        {"type": "StatusFeedbackSynced", "status": "True", "reason": "NoStatusFeedbackSynced", "message": ""},
    ]

    async def recorded() -> bool:
        status = (await agent.cluster.get(APPLIED_WORKS, agent.applied_name("first"))).get("status") or {}
        return status.get("appliedResources") == [
            {
                "group": "",
                "version": "v1",
                "resource": "configmaps",
                "namespace": "default",
                "name": "first",
                "uid": live["metadata"]["uid"],
            }
        ]

    await eventually(recorded, "the record of what was applied")

    await agent.hub.delete(WORKS, "first", CLUSTER)

    await agent.work_gone("first")
    assert await agent.find(CM, "first", "default") is None
    assert await agent.find(APPLIED_WORKS, agent.applied_name("first")) is None


def without_times(condition: Manifest) -> Manifest:
    return {key: value for key, value in condition.items() if key != "lastTransitionTime"}


async def test_what_a_work_no_longer_names_is_deleted(agent: Fleet) -> None:
    await agent.create_work("prune", config_map("stays", a="1"), config_map("goes"))
    await agent.condition("prune", "Available")

    await agent.change_work("prune", {"workload": {"manifests": [config_map("stays", a="2")]}})

    await agent.condition("prune", "Available", generation=2)
    await agent.gone(lambda: agent.find(CM, "goes", "default"), "the config map that the work no longer names")
    assert (await agent.cluster.get(CM, "stays", "default"))["data"] == {"a": "2"}

    async def recorded() -> bool:
        status = (await agent.cluster.get(APPLIED_WORKS, agent.applied_name("prune"))).get("status") or {}
        return [entry["name"] for entry in status.get("appliedResources") or ()] == ["stays"]

    await eventually(recorded, "a record without the deleted one")
