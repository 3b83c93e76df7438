"""The klusterlet as a process of its own: killed, started again, shut out, told to stop."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import os
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest

from fixtures.cluster import Cluster
from fixtures.conditions import eventually, wait_until
from merope import hub as merope_hub
from merope.hub import HubOptions
from merope.kube import Client, ClientConfig
from merope.operator import hub_objects, install, klusterlet_objects

CLUSTERS = "/apis/cluster.open-cluster-management.io/v1/managedclusters"
CSRS = "/apis/certificates.k8s.io/v1/certificatesigningrequests"
WORKS = "/apis/work.open-cluster-management.io/v1/namespaces/{}/manifestworks"
SECRET = "/api/v1/namespaces/open-cluster-management-agent/secrets/hub-kubeconfig-secret"
LEASE = "/apis/coordination.k8s.io/v1/namespaces/{}/leases/managed-cluster-lease"


class Process:
    """``merope agent run``."""

    def __init__(self, hub: Cluster, spoke: Cluster, directory: Path, name: str, *more: str) -> None:
        self.hub, self.spoke, self.name = hub, spoke, name
        bootstrap = hub.service_account_kubeconfig("open-cluster-management", "agent-registration-bootstrap")
        agent = "open-cluster-management-agent"
        self.log = directory / f"{name}.log"
        self.hub_directory = directory / f"{name}-hub"
        self.arguments = [
            *(sys.executable, "-m", "merope", "agent", "run", "--cluster-name", name),
            *("--spoke-kubeconfig", str(spoke.service_account_kubeconfig(agent, "klusterlet-registration-sa"))),
            *("--work-spoke-kubeconfig", str(spoke.service_account_kubeconfig(agent, "klusterlet-work-sa"))),
            *("--bootstrap-kubeconfig", str(bootstrap), "--hub-kubeconfig-dir", str(self.hub_directory)),
            *more,
        ]
        self.process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(self.arguments, stderr=log, stdout=log, env=dict(os.environ))

    def end(self, number: signal.Signals = signal.SIGTERM, timeout: float = 10) -> int:
        assert self.process is not None
        self.process.send_signal(number)
        return self.process.wait(timeout)

    def said(self) -> str:
        return self.log.read_text() if self.log.exists() else ""

    def requests(self) -> list[dict[str, Any]]:
        return self.hub.api.items(f"{CSRS}?labelSelector=open-cluster-management.io/cluster-name%3D{self.name}")

    def available(self) -> str:
        found = self.hub.api.find(f"{CLUSTERS}/{self.name}") or {}
        conditions = {each["type"]: each["status"] for each in found.get("status", {}).get("conditions", [])}
        return conditions.get("ManagedClusterConditionAvailable", "")

    def approve(self) -> None:
        [request] = self.requests()
        condition = {"type": "Approved", "status": "True", "reason": "Administrator", "message": "by the test"}
        changed = {**request, "status": {"conditions": [condition]}}
        self.hub.api.replace(f"{CSRS}/{request['metadata']['name']}/approval", changed)

    async def join(self) -> None:
        await eventually(self.requests, "a signing request")
        self.approve()
        await eventually(lambda: self.hub.api.find(f"{CLUSTERS}/{self.name}"), "the ManagedCluster")
        self.hub.api.patch(f"{CLUSTERS}/{self.name}", {"spec": {"hubAcceptsClient": True}})
        await eventually(lambda: self.available() == "True", f"{self.name} available: {self.said()}")


@pytest.fixture
async def hub_controllers(hub: Cluster, managed_cluster: Cluster) -> AsyncIterator[None]:
    for side, objects in ((hub, hub_objects()), (managed_cluster, klusterlet_objects())):
        async with Client(ClientConfig.load(side.admin_kubeconfig)) as client:
            await install(client, objects)
    account = hub.service_account_kubeconfig("open-cluster-management-hub", "registration-controller-sa")
    stop = asyncio.Event()
    options = HubOptions(configs={"": ClientConfig.load(account)}, components=("registration",))
    running = asyncio.create_task(merope_hub.run(options, stop=stop))
    yield
    stop.set()
    await running


@pytest.fixture
def started(managed_cluster: Cluster) -> Iterator[list[Process]]:
    processes: list[Process] = []
    yield processes
    for each in processes:
        if each.process is not None and each.process.poll() is None:
            with contextlib.suppress(subprocess.TimeoutExpired):
                each.end(signal.SIGKILL)
    managed_cluster.api.delete(SECRET, missing_ok=True)


async def test_a_killed_agent_goes_on_where_it_was(
    hub: Cluster, managed_cluster: Cluster, tmp_path: Path, hub_controllers: None, started: list[Process]
) -> None:
    agent = Process(hub, managed_cluster, tmp_path, "killed", "--leader-elect")
    started.append(agent)
    agent.start()
    await eventually(lambda: "waits for approval" in agent.said(), "a signing request")
    agent.end(signal.SIGKILL)

    agent.start()  # before anybody approved: it waits for the request that it made, and holds the lock that it held
    await eventually(lambda: agent.said().count("waits for approval") >= 2, f"waiting: {agent.said()}")
    await agent.join()
    secret = managed_cluster.api.get(SECRET)["data"]
    agent.end(signal.SIGKILL)
    renewed = hub.api.get(LEASE.format("killed"))["spec"]["renewTime"]
    agent.start()
    await eventually(lambda: hub.api.get(LEASE.format("killed"))["spec"]["renewTime"] != renewed, "a heartbeat")

    assert managed_cluster.api.get(SECRET)["data"] == secret
    assert len(agent.requests()) == 1
    assert await asyncio.to_thread(agent.end) == 0
    assert "Traceback" not in agent.said()
    assert base64.b64decode(secret["tls.key"]).decode() not in agent.said()


async def test_works_are_applied_with_the_clusters_certificate(
    hub: Cluster, managed_cluster: Cluster, tmp_path: Path, hub_controllers: None, started: list[Process]
) -> None:
    agent = Process(hub, managed_cluster, tmp_path, "works")
    started.append(agent)
    agent.start()
    await agent.join()
    manifest = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "greeting", "namespace": "default"}}
    work = {
        "apiVersion": "work.open-cluster-management.io/v1",
        "kind": "ManifestWork",
        "metadata": {"name": "w"},
        "spec": {"workload": {"manifests": [{**manifest, "data": {"hello": "world"}}]}},
    }

    hub.api.create(WORKS.format("works"), work)

    found = await eventually(
        lambda: managed_cluster.api.find("/api/v1/namespaces/default/configmaps/greeting"), f"applied: {agent.said()}"
    )
    assert found["data"] == {"hello": "world"}


async def test_an_unwell_api_server_makes_the_cluster_unavailable_after_a_while(
    hub: Cluster, managed_cluster: Cluster, tmp_path: Path, hub_controllers: None, started: list[Process]
) -> None:
    agent = Process(hub, managed_cluster, tmp_path, "unwell", "--cluster-healthcheck-period=1s")
    started.append(agent)
    agent.start()
    await agent.join()
    bindings = "/apis/rbac.authorization.k8s.io/v1/clusterrolebindings"
    taken = {
        name: managed_cluster.api.get(f"{bindings}/{name}")
        for name in ("system:discovery", "system:public-info-viewer")
    }

    for name in taken:
        managed_cluster.api.delete(f"{bindings}/{name}")
    await eventually(lambda: agent.available() == "False", f"unavailable: {agent.said()}", timeout=60)

    cluster = hub.api.get(f"{CLUSTERS}/unwell")
    [condition] = [
        each for each in cluster["status"]["conditions"] if each["type"] == "ManagedClusterConditionAvailable"
    ]
    assert condition["reason"] == "ManagedClusterKubeAPIServerUnavailable"
    assert condition["message"].startswith("The kube-apiserver is not ok, status code: 403, ")
    for name, binding in taken.items():
        binding["metadata"] = {key: binding["metadata"][key] for key in ("name", "labels", "annotations")}
        managed_cluster.api.create(bindings, binding)
        assert name
    await eventually(lambda: agent.available() == "True", f"available: {agent.said()}", timeout=60)


def test_a_hub_that_cannot_be_reached_is_named_in_one_line(
    hub: Cluster, managed_cluster: Cluster, tmp_path: Path, started: list[Process]
) -> None:
    agent = Process(hub, managed_cluster, tmp_path, "lonely")
    bootstrap = Path(agent.arguments[agent.arguments.index("--bootstrap-kubeconfig") + 1])
    bootstrap.write_text(bootstrap.read_text().replace(hub.url, "https://127.0.0.1:1"))
    started.append(agent)

    agent.start()
    wait_until(lambda: "joining as cluster lonely" in agent.said(), "the complaint", timeout=60)

    [line] = [line for line in agent.said().splitlines() if "joining as cluster lonely" in line]
    assert "https://127.0.0.1:1" in line
    assert str(bootstrap) in line
    assert "Traceback" not in agent.said()
    assert agent.end() == 0


def test_a_bootstrap_kubeconfig_that_is_not_there_ends_the_process(
    hub: Cluster, managed_cluster: Cluster, tmp_path: Path, started: list[Process]
) -> None:
    agent = Process(hub, managed_cluster, tmp_path, "forgetful")
    agent.arguments[agent.arguments.index("--bootstrap-kubeconfig") + 1] = str(tmp_path / "missing")
    started.append(agent)

    agent.start()

    assert agent.process is not None
    assert agent.process.wait(20) == 1
    assert agent.said().splitlines()[-1] == f"error: kubeconfig {tmp_path / 'missing'}: no such file"


def test_an_agent_that_waits_for_its_own_cluster_says_so_and_ends_when_told(
    hub: Cluster, managed_cluster: Cluster, tmp_path: Path, started: list[Process]
) -> None:
    agent = Process(hub, managed_cluster, tmp_path, "homeless")
    spoke = Path(agent.arguments[agent.arguments.index("--spoke-kubeconfig") + 1])
    spoke.write_text(spoke.read_text().replace(managed_cluster.url, "https://127.0.0.1:1"))
    started.append(agent)

    agent.start()
    wait_until(lambda: "the managed cluster https://127.0.0.1:1" in agent.said(), "the complaint", timeout=60)

    assert agent.end(timeout=5) == 0
    assert "Traceback" not in agent.said()
