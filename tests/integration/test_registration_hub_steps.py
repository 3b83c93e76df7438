"""A hub that is ended between any two writes of a sequence finishes it when it is back."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from fixtures.cluster import Cluster
from fixtures.hubs import hub_configs, install_hub
from merope import hub as hub_process
from merope.kube import Client, ClientConfig, ResourceRef
from merope.kube.transport import HttpsTransport

MANAGED_CLUSTER = ResourceRef("cluster.open-cluster-management.io", "v1", "managedclusters", False, "ManagedCluster")
BINDINGS = ResourceRef("rbac.authorization.k8s.io", "v1", "rolebindings", True, "RoleBinding")
ROLES = ResourceRef("rbac.authorization.k8s.io", "v1", "clusterroles", False, "ClusterRole")
WRITES = ("POST", "PUT", "PATCH", "DELETE")


class Mortal:
    """Lets a hub make a number of writes about a cluster, and ends it at the next one, before it is sent."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.left: int | None = None
        self.writes: list[str] = []
        self.killed = asyncio.Event()
        self.sending = asyncio.Lock()
        sent = HttpsTransport.request

        async def request(transport: Any, method: str, target: str, *args: Any, **options: Any) -> Any:
            if method in WRITES and "subjectaccessreviews" not in target:
                path = target.partition("?")[0]
                if self.left is not None and self.left <= 0:
                    self.killed.set()
                    await asyncio.Event().wait()  # never answered: the process ends
                self.writes.append(f"{method} {path}")
                if self.left is not None:
                    self.left -= 1
                async with self.sending:
                    return await sent(transport, method, target, *args, **options)
            return await sent(transport, method, target, *args, **options)

        monkeypatch.setattr(HttpsTransport, "request", request)

    async def live(
        self, options: hub_process.HubOptions, writes: int | None, done: Callable[[], Awaitable[bool]]
    ) -> bool:
        """Runs a hub until it has made ``writes`` writes or ``done`` is true; whether it was done."""
        self.left = writes
        self.killed.clear()
        running = asyncio.create_task(hub_process.run(options, stop=asyncio.Event()))
        dying = asyncio.create_task(self.killed.wait())
        finishing = asyncio.create_task(_until(done))
        try:
            async with asyncio.timeout(40):
                await asyncio.wait({dying, finishing, running}, return_when=asyncio.FIRST_COMPLETED)
            async with self.sending:  # what was allowed arrives
                pass
            assert not running.done(), running.exception()
            return finishing.done()
        finally:
            for task in (running, dying, finishing):
                task.cancel()
            await asyncio.wait({running, dying, finishing})
            self.left = None


async def _until(done: Callable[[], Awaitable[bool]]) -> None:
    while not await done():  # noqa: ASYNC110
        await asyncio.sleep(0.02)


@pytest.fixture
async def options(hub: Cluster) -> hub_process.HubOptions:
    await install_hub(hub)
    return hub_process.HubOptions(configs=hub_configs(hub, "registration"), components=("registration",))


def status_of(raw: dict[str, Any], kind: str) -> str:
    conditions = (raw.get("status") or {}).get("conditions") or ()
    return next((each["status"] for each in conditions if each["type"] == kind), "")


async def test_every_sequence_survives_an_end_between_any_two_of_its_writes(
    hub: Cluster, options: hub_process.HubOptions, monkeypatch: pytest.MonkeyPatch
) -> None:
    name = "mayfly"
    async with Client(ClientConfig.load(hub.admin_kubeconfig)) as admin:

        async def find() -> dict[str, Any] | None:
            found = await admin.list(MANAGED_CLUSTER, field_selector=f"metadata.name={name}")
            return found[0] if found else None

        async def accepted() -> bool:
            found = await find()
            bindings = await admin.list(BINDINGS, name)
            return (
                found is not None
                and status_of(found, "HubAcceptedManagedCluster") == "True"
                and len(found["metadata"]["finalizers"]) == 2
                and bool(found["spec"].get("taints"))
                and len(bindings) == 2
            )

        async def denied() -> bool:
            found = await find()
            role = await admin.get(ROLES, f"open-cluster-management:managedcluster:{name}")
            return (
                found is not None
                and status_of(found, "HubAcceptedManagedCluster") == "False"
                and not await admin.list(BINDINGS, name)
                and len(role["rules"]) == 1
            )

        async def gone() -> bool:
            roles = [each["metadata"]["name"] for each in await admin.list(ROLES)]
            return (
                await find() is None
                and not await admin.list(BINDINGS, name)
                and not any(role.startswith("open-cluster-management:managedcluster:") for role in roles)
            )

        async def create() -> None:
            obj = {"metadata": {"name": name}, "spec": {"hubAcceptsClient": True}}
            await admin.create(MANAGED_CLUSTER, obj)

        async def deny() -> None:
            await admin.patch(MANAGED_CLUSTER, name, {"spec": {"hubAcceptsClient": False}})

        async def accept_again() -> None:
            await admin.patch(MANAGED_CLUSTER, name, {"spec": {"hubAcceptsClient": True}})

        async def delete() -> None:
            await admin.delete(MANAGED_CLUSTER, name)

        ended: dict[str, int] = {}
        for step, done in ((create, accepted), (deny, denied), (accept_again, accepted), (delete, gone)):
            await step()
            mortal = Mortal(monkeypatch)
            lives = 0
            while not await mortal.live(options, 1, done):
                lives += 1
                assert lives < 40, "\n".join([step.__name__, *mortal.writes])
            monkeypatch.undo()
            ended[step.__name__] = lives
        assert all(lives >= 2 for lives in ended.values()), ended  # it did die in between
