"""What the administrator of the reference's recording did, done to our hub: the same decisions and conditions follow.

After each step of the recording our decisions, groups and conditions have to become what the reference's had become.
Intermediate states and their events may differ, as they do from one run of the reference to the next.
"""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from fixtures.cluster import Cluster
from fixtures.conditions import eventually
from merope.kube import CORE, Client, ClientConfig, Manager, NotFound, ResourceRef
from merope.operator import HUB_NAMESPACE, hub_objects, install
from merope.placement import hub as placement_hub

RECORDING = Path(__file__).parents[3] / "shared" / "reference" / "wire" / "10-placement.jsonl"
GROUP = "cluster.open-cluster-management.io"
CLUSTERS = ResourceRef(GROUP, "v1", "managedclusters", False, "ManagedCluster")
SETS = ResourceRef(GROUP, "v1beta2", "managedclustersets", False, "ManagedClusterSet")
PLACEMENTS = ResourceRef(GROUP, "v1beta1", "placements", True, "Placement")
DECISIONS = ResourceRef(GROUP, "v1beta1", "placementdecisions", True, "PlacementDecision")
METHODS = {"create": "POST", "patch": "PATCH", "delete": "DELETE"}
#: How long ago (seconds) taints were added when the recording's toleration of twelve seconds meets them.
TAINTED = 9

Step = list[dict[str, Any]]


def steps() -> Iterator[Step]:
    """The recording between one note and the next."""
    step: Step = []
    for line in RECORDING.read_text().splitlines():
        entry = json.loads(line)
        if "note" in entry:
            if step:
                yield step
            step = []
        else:
            step.append(entry)
    yield step


class Expected:
    """What the reference's writes have made of its objects so far."""

    def __init__(self) -> None:
        self.decisions: dict[str, dict[str, Any]] = {}
        self.placements: dict[str, dict[str, Any]] = {}
        self.events: set[str] = set()

    def follow(self, step: Step) -> None:
        for entry in step:
            if entry["code"] >= 300 or entry["verb"] not in METHODS:
                continue
            path = entry["uri"].partition("?")[0].split("/")
            kind, name = (*path[6:8], "", "")[:2]
            request = entry.get("request") or {}
            if kind == "placementdecisions":
                self._decision(entry["verb"], name or request["metadata"]["name"], request)
            elif kind == "placements" and entry["verb"] == "delete":
                self.placements.pop(name, None)
            elif kind == "placements" and path[-1] == "status":
                status = self.placements.setdefault(name, {})
                status.update(_without_times(request["status"]))
            elif kind == "events" and request["reason"] in ("DecisionCreate", "DecisionDelete"):
                self.events.add(request["note"])

    def _decision(self, verb: str, name: str, request: dict[str, Any]) -> None:
        if verb == "delete":
            self.decisions.pop(name, None)
        elif verb == "create":
            self.decisions[name] = {"labels": request["metadata"]["labels"], "decisions": []}
        elif "status" in request:
            self.decisions[name]["decisions"] = request["status"]["decisions"]
        else:
            self.decisions[name]["labels"].update(request["metadata"]["labels"])


def _without_times(status: dict[str, Any]) -> dict[str, Any]:
    conditions = [
        {key: value for key, value in condition.items() if key != "lastTransitionTime"}
        for condition in status.get("conditions", [])
    ]
    return {**status, "conditions": conditions} if conditions else status


async def play(client: Client, step: Step) -> None:
    """Do what the administrator did."""
    for entry in step:
        if entry["userAgent"] != "administrator" or entry["verb"] not in METHODS or entry["code"] >= 300:
            continue
        body = json.dumps(entry.get("request"))
        body = re.sub(
            r'"T\+(\d+)s"',
            lambda found: json.dumps(_time(min(int(found[1]), 10**8))),
            body,
        )
        request = json.loads(body)
        for taint in ((request or {}).get("spec") or {}).get("taints") or ():
            taint["timeAdded"] = _time(-TAINTED)  # the webhook's work
        target = entry["uri"].partition("?")[0]
        await client.request_json(
            METHODS[entry["verb"]], target, request, content_type=entry.get("contentType") or "application/json"
        )


def _time(seconds: int) -> str:
    return (datetime.now(UTC) + timedelta(seconds=seconds)).strftime("%Y-%m-%dT%H:%M:%SZ")


async def seen(client: Client) -> tuple[dict[str, Any], dict[str, Any]]:
    decisions = {
        one["metadata"]["name"]: {
            "labels": one["metadata"]["labels"],
            "decisions": one.get("status", {}).get("decisions", []),
        }
        for one in await client.list(DECISIONS, "app")
    }
    placements = {
        one["metadata"]["name"]: _without_times(one.get("status", {})) for one in await client.list(PLACEMENTS, "app")
    }
    return decisions, placements


async def prepare(client: Client) -> None:
    """What was there before the recording began."""
    await install(client, hub_objects())
    selector = {"selectorType": "LabelSelector", "labelSelector": {}}
    await client.create(SETS, {"metadata": {"name": "global"}, "spec": {"clusterSelector": selector}})
    await client.create(CORE["Namespace"], {"metadata": {"name": "app"}})
    for name in ("cluster1", "cluster2", "cluster3"):
        labels = {f"{GROUP}/clusterset": "default"}
        await client.create(CORE["Namespace"], {"metadata": {"name": name}})
        await client.create(
            CLUSTERS, {"metadata": {"name": name, "labels": labels}, "spec": {"hubAcceptsClient": True}}
        )


@pytest.mark.skipif(not RECORDING.exists(), reason="needs the reference's recordings")
async def test_the_recorded_steps_lead_to_the_recorded_decisions(hub: Cluster) -> None:
    async with Client(ClientConfig.load(hub.admin_kubeconfig)) as admin:
        await prepare(admin)
        identity = hub.service_account_kubeconfig(HUB_NAMESPACE, "placement-controller-sa")
        async with Client(ClientConfig.load(identity)) as client, asyncio.TaskGroup() as group:
            manager = Manager(client)
            placement_hub.setup(manager)
            running = group.create_task(manager.run())
            try:
                await follow(admin)
            finally:
                manager.stop()
                await asyncio.wait({running}, timeout=10)


async def follow(admin: Client) -> None:
    expected = Expected()
    for step in steps():
        await play(admin, step)
        expected.follow(step)

        async def as_recorded() -> bool:
            decisions, placements = await seen(admin)
            assert decisions == expected.decisions
            assert placements == expected.placements
            return True

        await eventually(as_recorded, f"what was recorded at {step[0]['t']} s")

    assert len(expected.events) > 10

    async def told() -> bool:
        events = await admin.list(CORE["Event"], "app")
        notes = {event["note"] for event in events if event["reason"] in ("DecisionCreate", "DecisionDelete")}
        assert notes == expected.events
        return True

    await eventually(told, "the recorded events")
    with pytest.raises(NotFound):
        await admin.get(PLACEMENTS, "top", "app")
