"""What the registration agent writes, held against a recording of the reference's agent."""

from __future__ import annotations

import asyncio
import base64
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from fixtures.cluster import Cluster
from fixtures.conditions import eventually
from merope import hub as merope_hub
from merope import klusterlet
from merope.hub import HubOptions
from merope.klusterlet import KlusterletOptions
from merope.kube import Client, ClientConfig
from merope.operator import hub_objects, install, klusterlet_objects
from merope.registration.agent import RegistrationAgentOptions

RECORDING = Path(__file__).parents[3] / "shared" / "reference" / "wire" / "01-register.jsonl"
CLUSTER = "/apis/cluster.open-cluster-management.io/v1/managedclusters/cluster1"
CSRS = "/apis/certificates.k8s.io/v1/certificatesigningrequests"
#: Made up by the API server or by Go's typed clients, which write zero values.
ADDED = {
    "deprecatedSource",
    "deprecatedFirstTimestamp",
    "deprecatedLastTimestamp",
    "parsed",
    "type",
    "status",
    "leaseDurationSeconds",
}


def shape(value: Any) -> Any:
    """The keys of an object at every level, without those that nobody sends on purpose."""
    if isinstance(value, dict):
        if "$parsed" in value:
            return "text"
        return {key: shape(each) for key, each in sorted(value.items()) if key not in ADDED}
    if isinstance(value, list):
        return sorted({json.dumps(shape(each), sort_keys=True) for each in value})
    return "text"


def target(uri: str) -> str:
    return uri.partition("?")[0]


def recorded() -> Iterator[tuple[str, str, Any]]:
    """The writes of the reference's agent until the cluster is available: verb, path, body."""
    verbs = {"create": "POST", "update": "PUT", "patch": "PATCH"}
    for line in RECORDING.read_text().splitlines():
        entry = json.loads(line)
        if not str(entry.get("userAgent")).startswith("registration/") or entry["verb"] not in verbs:
            continue
        if "open-cluster-management-hub" in entry["user"]:
            continue
        yield verbs[entry["verb"]], target(entry["uri"]), entry["request"]
        if target(entry["uri"]).endswith("/events"):
            return


@pytest.mark.skipif(not RECORDING.exists(), reason="the recordings of the reference are not beside this repository")
async def test_the_agent_joins_with_the_references_writes(
    hub: Cluster, managed_cluster: Cluster, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for side, objects in ((hub, hub_objects()), (managed_cluster, klusterlet_objects())):
        async with Client(ClientConfig.load(side.admin_kubeconfig)) as client:
            await install(client, objects)
    sent: list[tuple[str, str, Any]] = []
    original = Client.request

    async def request(self: Client, method: str, uri: str, body: bytes | None = None, **options: Any) -> bytes:
        if body is not None and self._user_agent["User-Agent"] == "merope-klusterlet":
            sent.append((method, target(uri), json.loads(body)))
        return await original(self, method, uri, body, **options)

    monkeypatch.setattr(Client, "request", request)
    account = hub.service_account_kubeconfig("open-cluster-management-hub", "registration-controller-sa")
    options = KlusterletOptions(
        registration=RegistrationAgentOptions(
            hub_kubeconfig_dir=tmp_path / "hub",
            bootstrap_kubeconfig=hub.service_account_kubeconfig(
                "open-cluster-management", "agent-registration-bootstrap"
            ),
            cluster_name="cluster1",
            agent_id="agent1",
            external_server_urls=("https://cluster1.example.com:6443",),
        ),
        spoke=ClientConfig.load(
            managed_cluster.service_account_kubeconfig("open-cluster-management-agent", "klusterlet-registration-sa")
        ),
        work_spoke=ClientConfig.load(
            managed_cluster.service_account_kubeconfig("open-cluster-management-agent", "klusterlet-work-sa")
        ),
    )
    stop = asyncio.Event()
    hub_options = HubOptions(configs={"": ClientConfig.load(account)}, components=("registration",))
    async with asyncio.TaskGroup() as group:
        group.create_task(merope_hub.run(hub_options, stop=stop))
        group.create_task(klusterlet.run(options, stop=stop))
        try:
            await eventually(lambda: hub.api.find(CLUSTER), "the ManagedCluster")
            [csr] = await eventually(lambda: hub.api.items(CSRS), "the signing request")
            hub.api.patch(CLUSTER, {"spec": {"hubAcceptsClient": True}})
            csr["status"] = {"conditions": [{"type": "Approved", "status": "True", "reason": "A", "message": "m"}]}
            hub.api.replace(f"{CSRS}/{csr['metadata']['name']}/approval", csr)
            await eventually(lambda: any(path.endswith("/events") for _, path, _ in sent), "the event", timeout=60)
        finally:
            stop.set()

    wanted = list(recorded())
    assert {(method, path) for method, path, _ in sent} == {(method, path) for method, path, _ in wanted}
    bodies = {path: body for _, path, body in reversed(sent)}
    for method, path, body in wanted:
        ours = bodies[path]
        if path.endswith("/leases/managed-cluster-lease"):
            assert set(ours["spec"]) == set(body["spec"])
            continue
        if path.endswith("/status"):
            # Which of the hub's conditions the agent's patch carries along depends on who came first.
            assert set(ours["metadata"]) == set(body["metadata"])
            assert set(ours["status"]) == set(body["status"])
            mine = {each["type"]: each for each in ours["status"]["conditions"]}
            for each in body["status"]["conditions"]:
                if each["type"].startswith(("ManagedClusterJoined", "ManagedClusterConditionAvailable")):
                    assert {**mine[each["type"]], "lastTransitionTime": ""} == {**each, "lastTransitionTime": ""}
            continue
        assert shape(ours) == shape(body), f"{method} {path}"
    event, reference_event = bodies[wanted[-1][1]], wanted[-1][2]
    for key in ("action", "reason", "note", "type", "reportingController"):
        assert event[key] == reference_event[key]
    kubeconfig = base64.b64decode(
        bodies["/api/v1/namespaces/open-cluster-management-agent/secrets"]["data"]["kubeconfig"]
    )
    assert b"client-certificate: tls.crt" in kubeconfig
