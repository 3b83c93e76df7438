"""``merope accept`` against a hub's API, with requests as agents make them."""

from __future__ import annotations

import asyncio
import base64
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from fixtures.cluster import Cluster
from fixtures.commandline import CommandLine
from fixtures.conditions import eventually
from fixtures.hubs import install_hub
from merope.kube import CORE, Client, ClientConfig

CLUSTERS = "/apis/cluster.open-cluster-management.io/v1/managedclusters"
REQUESTS = "/apis/certificates.k8s.io/v1/certificatesigningrequests"
OCM = "system:open-cluster-management:"
KEY = ec.generate_private_key(ec.SECP256R1())


@pytest.fixture
async def merope(hub: Cluster, capsys: pytest.CaptureFixture[str]) -> CommandLine:
    """The command line against a hub without controllers."""
    await install_hub(hub)
    return CommandLine(hub, capsys)


async def ask(hub: Cluster, cluster: str, agent: str = "a1") -> str:
    """Ask for an agent's certificate as its bootstrap identity; the name of the request."""
    organization = x509.NameAttribute(NameOID.ORGANIZATION_NAME, f"{OCM}{cluster}")
    subject = x509.Name([organization, x509.NameAttribute(NameOID.COMMON_NAME, f"{OCM}{cluster}:{agent}")])
    signed = x509.CertificateSigningRequestBuilder().subject_name(subject).sign(KEY, hashes.SHA256())
    pem = signed.public_bytes(serialization.Encoding.PEM)
    name = f"{cluster}-{agent}"
    kubeconfig = hub.service_account_kubeconfig("open-cluster-management", "agent-registration-bootstrap")
    obj = {
        "metadata": {"name": name, "labels": {"open-cluster-management.io/cluster-name": cluster}},
        "spec": {
            "request": base64.b64encode(pem).decode(),
            "signerName": "kubernetes.io/kube-apiserver-client",
            "usages": ["digital signature", "key encipherment", "client auth"],
        },
    }
    async with Client(ClientConfig.load(kubeconfig)) as bootstrap:
        await bootstrap.create(CORE["CertificateSigningRequest"], obj)
    return name


def add(hub: Cluster, name: str) -> None:
    obj = {"apiVersion": "cluster.open-cluster-management.io/v1", "kind": "ManagedCluster"}
    hub.api.create(CLUSTERS, obj | {"metadata": {"name": name}, "spec": {"hubAcceptsClient": False}})


def approval(hub: Cluster, name: str) -> dict[str, Any]:
    conditions = hub.api.get(f"{REQUESTS}/{name}").get("status", {}).get("conditions", [])
    return next((each for each in conditions if each["type"] == "Approved"), {})


def accepted(hub: Cluster, name: str) -> bool:
    return bool(hub.api.get(f"{CLUSTERS}/{name}")["spec"].get("hubAcceptsClient"))


async def test_the_first_request_is_approved_and_the_cluster_let_in(hub: Cluster, merope: CommandLine) -> None:
    add(hub, "first")
    csr = await ask(hub, "first")

    assert (await merope("accept", "first", "--dry-run"))[0] == 0
    assert (approval(hub, csr), accepted(hub, "first")) == ({}, False)

    status, shown, error = await merope("accept", "--clusters", "first")
    assert (status, error) == (0, "")
    assert shown.splitlines()[:5] == [
        "Starting approve csrs for the cluster first",
        f"CSR {csr} approved",
        "set hubAcceptsClient to true for managed cluster first",
        "",
        " Your managed cluster first has joined the Hub successfully. Visit "
        "https://open-cluster-management.io/scenarios or "
        "https://github.com/open-cluster-management-io/OCM/tree/main/solutions for next steps.",
    ]
    assert accepted(hub, "first")
    assert approval(hub, csr)["reason"] == "merope Approve"

    status, shown, _ = await merope("accept", "first")
    assert status == 0
    assert shown.startswith(f"CSR {csr} already approved\nhubAcceptsClient already set for managed cluster first\n")


async def test_a_cluster_that_joined_long_ago_is_accepted_without_a_request(hub: Cluster, merope: CommandLine) -> None:
    add(hub, "old")
    status, _, error = await merope("accept", "old")
    assert (status, error) == (1, "error: no csr is approved yet for cluster old\n")
    assert accepted(hub, "old")

    joined = {"type": "ManagedClusterJoined", "status": "True", "reason": "ManagedClusterJoined", "message": ""}
    joined["lastTransitionTime"] = "2026-01-01T00:00:00Z"
    hub.api.patch(f"{CLUSTERS}/old/status", {"status": {"conditions": [joined]}})
    assert (await merope("accept", "old"))[0] == 0


async def test_clusters_that_do_not_ask_are_all_named(hub: Cluster, merope: CommandLine) -> None:
    add(hub, "here")
    await ask(hub, "here")

    status, shown, error = await merope("accept", "nowhere", "here", "--clusters", "neither")

    assert (status, accepted(hub, "here")) == (1, True)
    assert "Your managed cluster here has joined the Hub successfully." in shown
    assert error.startswith("error: [fail to get managedcluster nowhere: ")
    assert ", fail to get managedcluster neither: " in error

    status, _, error = await merope("accept", "nowhere", "--wait", "0.2")
    assert status == 1
    assert "context deadline exceeded after 0.2 s" in error


async def test_of_several_requesters_none_is_approved_unasked(hub: Cluster, merope: CommandLine) -> None:
    add(hub, "twice")
    one, two = await ask(hub, "twice", "a1"), await ask(hub, "twice", "a2")

    status, _, error = await merope("accept", "twice")
    assert status == 1
    assert error.startswith(f"There are CSRs of different requesters: {OCM}twice:a1,{OCM}twice:a2, approve is skipped")
    assert (approval(hub, one), approval(hub, two)) == ({}, {})

    status, shown, _ = await merope("accept", "twice", "--requesters", f"{OCM}twice:a2")
    assert status == 0
    assert f"CSR {one} with requester {OCM}twice:a1 is not in the approve list" in shown
    assert (bool(approval(hub, one)), bool(approval(hub, two))) == (False, True)

    assert (await merope("accept", "twice", "--skip-approve-check"))[0] == 0
    assert approval(hub, one)


async def test_waiting_sees_the_cluster_and_then_its_request(hub: Cluster, merope: CommandLine) -> None:
    waiting = asyncio.create_task(merope("accept", "--clusters", "late", "--wait", "--timeout", "60"))

    add(hub, "late")
    await eventually(lambda: accepted(hub, "late"), "acceptance of a cluster that was waited for")
    csr = await ask(hub, "late")

    status, shown, _ = await waiting
    assert status == 0
    assert shown.index("set hubAcceptsClient to true") < shown.index(f"CSR {csr} approved")
    assert approval(hub, csr)
