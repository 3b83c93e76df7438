"""The registration agent with a hub and a managed cluster: joining, staying, renewing, losing and coming back."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import hashlib
import logging
import stat
from collections.abc import AsyncIterator, Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import yaml
from cryptography import x509

from fixtures.cluster import Cluster
from fixtures.conditions import eventually
from merope import hub as merope_hub
from merope import klusterlet
from merope.hub import HubOptions
from merope.klusterlet import KlusterletOptions
from merope.kube import Client, ClientConfig
from merope.operator import hub_objects, install, klusterlet_objects
from merope.registration.agent import RegistrationAgentOptions

CLUSTERS = "/apis/cluster.open-cluster-management.io/v1/managedclusters"
CSRS = "/apis/certificates.k8s.io/v1/certificatesigningrequests"
NAMESPACE = "open-cluster-management-agent"
SECRET = f"/api/v1/namespaces/{NAMESPACE}/secrets/hub-kubeconfig-secret"
LABEL = "open-cluster-management.io/cluster-name"


@pytest.fixture
async def installed(hub: Cluster, managed_cluster: Cluster) -> None:
    """Everything that the operators would install on both sides."""
    async with Client(ClientConfig.load(hub.admin_kubeconfig)) as client:
        await install(client, hub_objects())
    async with Client(ClientConfig.load(managed_cluster.admin_kubeconfig)) as client:
        await install(client, klusterlet_objects())


@pytest.fixture
async def hub_controllers(hub: Cluster, installed: None) -> AsyncIterator[None]:
    """The hub's controllers, in the identity of the reference's."""
    config = ClientConfig.load(
        hub.service_account_kubeconfig("open-cluster-management-hub", "registration-controller-sa")
    )
    stop = asyncio.Event()
    ready = asyncio.Event()
    options = HubOptions(configs={"": config}, components=("registration",))
    running = asyncio.create_task(merope_hub.run(options, ready=ready.set, stop=stop))
    await asyncio.wait({running, asyncio.ensure_future(ready.wait())}, return_when=asyncio.FIRST_COMPLETED)
    yield
    stop.set()
    await running


class Agent:
    """A klusterlet in this process, which can be started again."""

    def __init__(self, hub: Cluster, spoke: Cluster, directory: Path, name: str) -> None:
        self.hub, self.spoke, self.name = hub, spoke, name
        self.directory = directory / f"{name}-hub"
        self.bootstrap = directory / f"{name}-bootstrap.kubeconfig"
        bootstrap = hub.service_account_kubeconfig("open-cluster-management", "agent-registration-bootstrap")
        self.bootstrap.write_bytes(bootstrap.read_bytes())
        self.ahead = timedelta()
        self.options = KlusterletOptions(
            registration=RegistrationAgentOptions(
                hub_kubeconfig_dir=self.directory,
                bootstrap_kubeconfig=self.bootstrap,
                cluster_name=name,
                clock=lambda: datetime.now(UTC) + self.ahead,
            ),
            spoke=ClientConfig.load(spoke.service_account_kubeconfig(NAMESPACE, "klusterlet-registration-sa")),
            work_spoke=ClientConfig.load(spoke.service_account_kubeconfig(NAMESPACE, "klusterlet-work-sa")),
        )
        self._stop = asyncio.Event()
        self._task: asyncio.Task[None] | None = None

    def configure(self, **changes: Any) -> None:
        self.options = replace(self.options, registration=replace(self.options.registration, **changes))

    async def start(self) -> None:
        self._stop.clear()
        self._task = asyncio.create_task(klusterlet.run(self.options, stop=self._stop))

    async def stop(self) -> None:
        if self._task is not None:
            self._stop.set()
            task, self._task = self._task, None
            await task

    # What can be seen of it.

    def cluster(self) -> dict[str, Any]:
        return self.hub.api.get(f"{CLUSTERS}/{self.name}")

    def condition(self, type_: str) -> dict[str, Any]:
        found = self.hub.api.find(f"{CLUSTERS}/{self.name}") or {}
        conditions = found.get("status", {}).get("conditions", [])
        return next((each for each in conditions if each["type"] == type_), {})

    def is_true(self, type_: str) -> Callable[[], bool]:
        return lambda: self.condition(type_).get("status") == "True"

    def requests(self) -> list[dict[str, Any]]:
        return self.hub.api.items(f"{CSRS}?labelSelector={LABEL}%3D{self.name}")

    def lease(self) -> dict[str, Any]:
        path = f"/apis/coordination.k8s.io/v1/namespaces/{self.name}/leases/managed-cluster-lease"
        return self.hub.api.find(path) or {}

    def secret(self) -> dict[str, bytes]:
        found = self.spoke.api.find(SECRET) or {}
        return {key: base64.b64decode(value) for key, value in found.get("data", {}).items()}

    # What an administrator does.

    def accept(self, accepted: bool = True) -> None:
        self.hub.api.patch(f"{CLUSTERS}/{self.name}", {"spec": {"hubAcceptsClient": accepted}})

    def decide(self, request: dict[str, Any], type_: str = "Approved") -> None:
        condition = {"type": type_, "status": "True", "reason": "Administrator", "message": "decided by the test"}
        changed = {**request, "status": {"conditions": [condition]}}
        self.hub.api.replace(f"{CSRS}/{request['metadata']['name']}/approval", changed)

    async def pending(self) -> dict[str, Any]:
        def undecided() -> dict[str, Any] | None:
            return next((each for each in self.requests() if not each.get("status", {}).get("conditions")), None)

        return await eventually(undecided, f"a signing request of {self.name}")

    async def join(self) -> None:
        self.decide(await self.pending())
        await eventually(lambda: self.hub.api.find(f"{CLUSTERS}/{self.name}"), f"ManagedCluster {self.name}")
        self.accept()
        await eventually(self.is_true("ManagedClusterConditionAvailable"), f"cluster {self.name} available")


@pytest.fixture
async def make_agent(
    hub: Cluster, managed_cluster: Cluster, tmp_path: Path, hub_controllers: None
) -> AsyncIterator[Callable[[str], Agent]]:
    made: list[Agent] = []

    def make(name: str) -> Agent:
        made.append(Agent(hub, managed_cluster, tmp_path, name))
        return made[-1]

    yield make
    for agent in made:
        with contextlib.suppress(Exception):
            await agent.stop()
        managed_cluster.api.delete(SECRET, missing_ok=True)


async def test_a_cluster_joins_when_both_its_request_and_the_cluster_are_accepted(
    make_agent: Callable[[str], Agent], hub: Cluster
) -> None:
    agent = make_agent("joins")
    agent.configure(
        external_server_urls=("https://joins.example.com:6443",),
        cluster_annotations={"agent.open-cluster-management.io/zone": "z1", "other": "x"},
    )
    await agent.start()

    request = await agent.pending()

    await eventually(lambda: hub.api.find(f"{CLUSTERS}/joins"), "the ManagedCluster")
    cluster = agent.cluster()
    assert "labels" not in cluster["metadata"] or LABEL not in cluster["metadata"]["labels"]
    assert cluster["metadata"]["annotations"] == {"agent.open-cluster-management.io/zone": "z1"}
    assert cluster["spec"]["hubAcceptsClient"] is False
    [config] = cluster["spec"]["managedClusterClientConfigs"]
    assert config["url"] == "https://joins.example.com:6443"
    assert base64.b64decode(config["caBundle"]) == agent.spoke.ca_pem
    assert request["metadata"]["labels"] == {LABEL: "joins"}
    assert request["metadata"]["name"].startswith("joins-")
    assert request["spec"]["signerName"] == "kubernetes.io/kube-apiserver-client"
    assert request["spec"]["usages"] == ["digital signature", "key encipherment", "client auth"]
    assert "expirationSeconds" not in request["spec"]
    assert agent.secret() == {}

    agent.decide(request)
    await eventually(agent.secret, "the hub credential")
    assert agent.lease() == {}
    agent.accept()
    await eventually(agent.is_true("ManagedClusterConditionAvailable"), "available")

    data = agent.secret()
    assert set(data) == {"tls.crt", "tls.key", "kubeconfig", "cluster-name", "agent-name"}
    assert data["cluster-name"] == b"joins"
    agent_id = data["agent-name"].decode()
    certificate = x509.load_pem_x509_certificate(data["tls.crt"])
    subject = certificate.subject.rfc4514_string()
    assert f"CN=system:open-cluster-management:joins:{agent_id}" in subject
    assert data["tls.key"].startswith(b"-----BEGIN EC PRIVATE KEY-----")
    kubeconfig = yaml.safe_load(data["kubeconfig"])
    assert kubeconfig["current-context"] == "default-context"
    assert kubeconfig["users"] == [
        {"name": "default-auth", "user": {"client-certificate": "tls.crt", "client-key": "tls.key"}}
    ]
    assert kubeconfig["clusters"][0]["cluster"]["server"] == hub.url
    assert stat.S_IMODE(agent.directory.stat().st_mode) == 0o700
    for name, content in data.items():
        assert (agent.directory / name).read_bytes() == content
        assert stat.S_IMODE((agent.directory / name).stat().st_mode) == 0o600
    assert agent.is_true("ManagedClusterJoined")()
    assert agent.condition("ManagedClusterJoined")["message"] == "Managed cluster joined"
    assert agent.condition("ManagedClusterConditionAvailable")["message"] == "Managed cluster is available"
    assert agent.cluster()["status"]["version"]["kubernetes"].startswith("v1.")
    await eventually(lambda: agent.lease().get("spec", {}).get("renewTime"), "a heartbeat")
    events = await eventually(
        lambda: [
            each
            for each in hub.api.items("/apis/events.k8s.io/v1/namespaces/joins/events")
            if each["reason"] == "Available"
        ],
        "the event",
    )
    assert events[0]["reportingController"] == "klusterlet-agent"
    assert events[0]["regarding"]["namespace"] == "joins"


async def test_a_restarted_agent_keeps_its_identity_and_asks_for_nothing(make_agent: Callable[[str], Agent]) -> None:
    agent = make_agent("restarts")
    await agent.start()
    await agent.join()
    secret, requests = agent.secret(), len(agent.requests())
    renewed = agent.lease()["spec"]["renewTime"]

    await agent.stop()
    await agent.start()
    await eventually(lambda: agent.lease()["spec"]["renewTime"] != renewed, "a heartbeat")

    assert agent.secret() == secret
    assert len(agent.requests()) == requests


async def test_a_certificate_is_renewed_without_a_person(make_agent: Callable[[str], Agent]) -> None:
    agent = make_agent("renews")
    await agent.start()
    await agent.join()
    await agent.stop()
    old = x509.load_pem_x509_certificate(agent.secret()["tls.crt"])
    lifetime = old.not_valid_after_utc - old.not_valid_before_utc
    agent.ahead = old.not_valid_before_utc + lifetime * 0.85 - datetime.now(UTC)

    await agent.start()
    await eventually(agent.is_true("ClusterCertificateRotated"), "the rotation")

    assert x509.load_pem_x509_certificate(agent.secret()["tls.crt"]).serial_number != old.serial_number
    assert agent.condition("ClusterCertificateRotated")["reason"] == "ClientCertificateUpdated"
    assert (agent.directory / "tls.crt").read_bytes() == agent.secret()["tls.crt"]


async def test_an_agent_at_work_goes_on_with_its_new_certificate(make_agent: Callable[[str], Agent]) -> None:
    agent = make_agent("goes-on")
    await agent.start()
    await agent.join()
    agent.hub.api.patch(f"{CLUSTERS}/goes-on", {"spec": {"leaseDurationSeconds": 1}})
    before = agent.secret()["tls.crt"]
    old = x509.load_pem_x509_certificate(before)
    lifetime = old.not_valid_after_utc - old.not_valid_before_utc
    agent.ahead = old.not_valid_before_utc + lifetime * 0.85 - datetime.now(UTC)

    agent.spoke.api.patch(SECRET, {"metadata": {"annotations": {"look": "again"}}})
    await eventually(lambda: agent.secret().get("tls.crt") != before, "the rotation", interval=0.002)
    agent.ahead = timedelta()  # or the new certificate is due at once, too
    await eventually(agent.is_true("ClusterCertificateRotated"), "the word about it")

    renewed = agent.lease()["spec"]["renewTime"]
    await eventually(lambda: agent.lease()["spec"]["renewTime"] != renewed, "a heartbeat")
    agent.spoke.api.delete(SECRET)
    await eventually(agent.secret, "the Secret made anew, without a person")


async def test_an_expired_certificate_makes_the_agent_register_again(make_agent: Callable[[str], Agent]) -> None:
    agent = make_agent("expires")
    await agent.start()
    await agent.join()
    await agent.stop()
    old = agent.secret()["tls.crt"]
    agent.ahead = x509.load_pem_x509_certificate(old).not_valid_after_utc - datetime.now(UTC) + timedelta(seconds=1)

    await agent.start()
    request = await agent.pending()

    assert request["spec"]["username"] == "system:serviceaccount:open-cluster-management:agent-registration-bootstrap"


async def test_a_denied_request_is_made_again_once_it_is_deleted(
    make_agent: Callable[[str], Agent], caplog: pytest.LogCaptureFixture
) -> None:
    agent = make_agent("denied")
    await agent.start()
    request = await agent.pending()
    name = request["metadata"]["name"]

    agent.decide(request, "Denied")
    await eventually(lambda: f"denied CertificateSigningRequest {name}" in caplog.text, "the denial in the log")
    agent.hub.api.delete(f"{CSRS}/{name}")

    again = await agent.pending()
    assert again["metadata"]["name"] != name


async def test_a_denied_cluster_stops_its_heartbeat_and_comes_back_when_accepted(
    make_agent: Callable[[str], Agent], hub: Cluster
) -> None:
    agent = make_agent("reaccepted")
    await agent.start()
    await agent.join()
    hub.api.patch(f"{CLUSTERS}/reaccepted", {"spec": {"leaseDurationSeconds": 1}})
    requests = len(agent.requests())

    agent.accept(False)
    await eventually(
        lambda: agent.condition("HubAcceptedManagedCluster").get("status") == "False", "the denial in the status"
    )
    await asyncio.sleep(2.5)  # two periods: what is to be seen is that nothing happens
    silent = agent.lease()["spec"]["renewTime"]
    await asyncio.sleep(2.5)
    assert agent.lease()["spec"]["renewTime"] == silent

    agent.accept()
    await eventually(lambda: agent.lease()["spec"]["renewTime"] != silent, "the heartbeat is back")
    assert len(agent.requests()) == requests


async def test_a_credential_that_the_hub_refuses_is_replaced_through_the_bootstrap_kubeconfig(
    make_agent: Callable[[str], Agent], hub: Cluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    from merope.registration.agent import session

    monkeypatch.setattr(session, "_LOOK", 0.2)
    agent = make_agent("refused")
    await agent.start()
    await agent.join()
    await agent.stop()
    forged = _forge(agent.secret()["tls.crt"])
    for key, value in forged.items():
        (agent.directory / key).write_bytes(value)
    data = {key: base64.b64encode(value).decode() for key, value in forged.items()}
    agent.spoke.api.patch(SECRET, {"data": data})

    await agent.start()
    agent.decide(await agent.pending())

    await eventually(lambda: agent.secret()["tls.crt"] != forged["tls.crt"], "a new credential")
    renewed = agent.lease()["spec"]["renewTime"]
    await eventually(lambda: agent.lease()["spec"]["renewTime"] != renewed, "a heartbeat", timeout=60)


def _forge(pem: bytes) -> dict[str, bytes]:
    """The same certificate, signed by itself."""
    from cryptography.hazmat.primitives import hashes, serialization

    from merope.sdk.credentials import generate_key

    original = x509.load_pem_x509_certificate(pem)
    key_pem = generate_key()
    key = serialization.load_pem_private_key(key_pem, None)
    builder = (
        x509.CertificateBuilder()
        .subject_name(original.subject)
        .issuer_name(original.issuer)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(original.not_valid_before_utc)
        .not_valid_after(original.not_valid_after_utc)
    )
    certificate = builder.sign(key, hashes.SHA256())
    return {"tls.crt": certificate.public_bytes(serialization.Encoding.PEM), "tls.key": key_pem}


async def test_another_hub_in_the_bootstrap_kubeconfig_makes_the_agent_register_again(
    make_agent: Callable[[str], Agent], monkeypatch: pytest.MonkeyPatch
) -> None:
    from merope.registration.agent import session

    monkeypatch.setattr(session, "_LOOK", 0.2)
    agent = make_agent("moves")
    await agent.start()
    await agent.join()
    before = len(agent.requests())
    config = yaml.safe_load(agent.bootstrap.read_text())
    config["clusters"][0]["name"] = "renamed"
    for context in config["contexts"]:
        context["context"]["cluster"] = "renamed"

    agent.bootstrap.write_text(yaml.safe_dump(config))

    await eventually(lambda: len(agent.requests()) > before, "a new request")


async def test_the_status_follows_claims_nodes_and_managed_namespaces(
    make_agent: Callable[[str], Agent], hub: Cluster, managed_cluster: Cluster
) -> None:
    agent = make_agent("reports")
    agent.configure(max_custom_cluster_claims=2)
    await agent.start()
    await agent.join()
    claims = "/apis/cluster.open-cluster-management.io/v1alpha1/clusterclaims"

    for name in ("zeta", "alpha", "beta", "id.k8s.io"):
        body = {"apiVersion": "cluster.open-cluster-management.io/v1alpha1", "kind": "ClusterClaim"}
        managed_cluster.api.create(claims, {**body, "metadata": {"name": name}, "spec": {"value": name.upper()}})

    def claimed() -> list[str]:
        return [each["name"] for each in agent.cluster()["status"].get("clusterClaims", [])]

    await eventually(lambda: claimed() == ["id.k8s.io", "alpha", "beta"], "claims")

    node = {"apiVersion": "v1", "kind": "Node", "metadata": {"name": "n1"}}
    managed_cluster.api.create("/api/v1/nodes", node)
    resources = {"capacity": {"cpu": "4", "memory": "8Gi"}, "allocatable": {"cpu": "3500m", "memory": "7Gi"}}
    managed_cluster.api.patch("/api/v1/nodes/n1/status", {"status": resources})
    await eventually(
        lambda: agent.cluster()["status"].get("allocatable") == {"cpu": "3500m", "memory": "7Gi"}, "allocatable"
    )
    managed_cluster.api.patch("/api/v1/nodes/n1", {"spec": {"unschedulable": True}})
    await eventually(lambda: "allocatable" not in agent.cluster()["status"], "nothing allocatable")
    assert agent.cluster()["status"]["capacity"] == {"cpu": "4", "memory": "8Gi"}

    sets = "/apis/cluster.open-cluster-management.io/v1beta2/managedclustersets"
    body = {"apiVersion": "cluster.open-cluster-management.io/v1beta2", "kind": "ManagedClusterSet"}
    spec = {"managedNamespaces": [{"name": "team-a"}]}
    hub.api.create(sets, {**body, "metadata": {"name": "dev"}, "spec": spec})
    hub.api.patch(
        f"{CLUSTERS}/reports", {"metadata": {"labels": {"cluster.open-cluster-management.io/clusterset": "dev"}}}
    )
    label = f"clusterset.open-cluster-management.io/{hashlib.sha256(hub.url.encode()).hexdigest()[:63]}"

    def marked(value: str) -> Callable[[], bool]:
        return lambda: (
            (managed_cluster.api.find("/api/v1/namespaces/team-a") or {})
            .get("metadata", {})
            .get("labels", {})
            .get(label)
            == value
        )

    await eventually(marked("true"), "the namespace")
    entry = await eventually(
        lambda: next(
            (each for each in agent.cluster()["status"].get("managedNamespaces", []) if each.get("conditions")), None
        ),
        "the namespace's condition",
    )
    assert entry["conditions"][0]["reason"] == "NamespaceApplied"
    hub.api.patch(f"{sets}/dev", {"spec": {"managedNamespaces": None}})
    await eventually(marked("false"), "the namespace unmarked")


async def test_an_agent_survives_a_restart_of_its_hub(make_agent: Callable[[str], Agent], hub: Cluster) -> None:
    agent = make_agent("survives")
    await agent.start()
    await agent.join()
    hub.api.patch(f"{CLUSTERS}/survives", {"spec": {"leaseDurationSeconds": 1}})

    await asyncio.to_thread(hub.restart)

    renewed = agent.lease()["spec"]["renewTime"]
    await eventually(lambda: agent.lease()["spec"]["renewTime"] != renewed, "a heartbeat", timeout=60)


async def test_a_refused_bootstrap_token_is_told_in_one_line(
    make_agent: Callable[[str], Agent], caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    agent = make_agent("stranger")
    config = yaml.safe_load(agent.bootstrap.read_text())
    config["users"][0]["user"] = {"token": "sesame-open"}
    agent.bootstrap.write_text(yaml.safe_dump(config))

    await agent.start()
    await eventually(lambda: "refuses the credential" in caplog.text, "the refusal in the log")

    assert str(agent.bootstrap) in caplog.text
    assert "sesame-open" not in caplog.text
    assert "Traceback" not in caplog.text
