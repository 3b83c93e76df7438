"""What the status controller writes, and what it tells in Events."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any, cast

import pytest

from merope.api.cluster.v1 import ManagedCluster
from merope.kube import Client, Conflict, ConnectionFailed, NotFound, Snapshot, ref_of
from merope.registration.agent.managed_namespaces import Applied, ManagedNamespaces
from merope.registration.agent.reporting import Reporter
from merope.registration.agent.status import ClusterStatus


def condition(type_: str, status: str) -> dict[str, str]:
    return {"type": type_, "status": status, "reason": "R", "message": "", "lastTransitionTime": "2030-01-01T00:00:00Z"}


ACCEPTED = condition("HubAcceptedManagedCluster", "True")


def snapshot(*conditions: dict[str, str], version: int = 1, **status: Any) -> Snapshot[ManagedCluster]:
    raw = {
        "apiVersion": "cluster.open-cluster-management.io/v1",
        "kind": "ManagedCluster",
        "metadata": {"name": "c1", "uid": "u", "resourceVersion": str(version)},
        "status": {"conditions": list(conditions), **status},
    }
    return Snapshot(json.dumps(raw).encode(), ref_of(ManagedCluster), ManagedCluster)


@dataclass
class World:
    """Everything around the controller."""

    cluster: Snapshot[ManagedCluster] | None
    health: tuple[int, str] = (200, "ok")
    applied: Applied = field(default_factory=lambda: Applied({}))
    probes: int = 0
    written: list[dict[str, Any]] = field(default_factory=list)
    events: list[tuple[str, str]] = field(default_factory=list)
    time: float = 0.0
    config: Any = field(default_factory=lambda: SimpleNamespace(server="https://spoke"))

    # the managed cluster
    async def stream(self, path: str, *, idle: float) -> Any:
        if path == "/version":
            return SimpleNamespace(status=200, read=_body('{"gitVersion": "v1.35.3"}'))
        self.probes += 1
        code, text = self.health
        if code == 0:
            raise ConnectionFailed(text)
        return SimpleNamespace(status=code, read=_body(text))

    async def apply(self, wanted: list[str]) -> Applied:
        return self.applied

    # the hub
    def get(self, name: str) -> Snapshot[ManagedCluster] | None:
        return self.cluster

    async def write(self, cluster: Snapshot[ManagedCluster], change: Callable[[Any], None]) -> Snapshot[ManagedCluster]:
        raw = cluster.raw
        change(raw)
        if raw == cluster.raw:
            return cluster
        self.written.append(raw["status"])
        raw["metadata"]["resourceVersion"] = str(int(cluster.resource_version) + 1)
        self.cluster = Snapshot(json.dumps(raw).encode(), cluster.ref, ManagedCluster)
        return self.cluster

    def record(self, regarding: dict[str, Any], type_: str, reason: str, note: str, *, action: str) -> None:
        assert regarding["metadata"]["namespace"] == "c1"
        assert action == reason
        self.events.append((type_, note))

    def controller(self) -> ClusterStatus:
        anything = cast(Any, self)
        nodes = cast(Any, SimpleNamespace(list=list))
        return ClusterStatus(
            cast(Client, self),
            "c1",
            anything,
            nodes,
            list,
            cast(ManagedNamespaces, self),
            anything,
            anything,
            Reporter(logging.getLogger("test")),
            clock=lambda: self.time,
        )


def _body(text: str) -> Callable[[], Any]:
    async def read() -> bytes:
        return text.encode()

    return read


async def test_a_cluster_becomes_available_with_one_write_and_one_event() -> None:
    world = World(snapshot(ACCEPTED))
    controller = world.controller()

    again = [await controller.reconcile(key) for key in ("hub", "spoke", "hub")]

    assert again == [None, None, None]
    assert len(world.written) == 1
    assert world.events == [
        (
            "Normal",
            "The c1 is successfully imported, and it is managed by the hub cluster. Its apieserver is available",
        )
    ]


async def test_our_own_write_needs_no_second_look() -> None:
    world = World(snapshot(ACCEPTED))
    controller = world.controller()
    await controller.reconcile("hub")
    assert world.probes == 1

    await controller.reconcile("hub")
    assert world.probes == 1

    world.cluster = snapshot(ACCEPTED, version=9)
    await controller.reconcile("hub")
    assert world.probes == 2


async def test_nothing_is_written_while_the_clock_is_off() -> None:
    world = World(snapshot(ACCEPTED, condition("ManagedClusterConditionClockSynced", "False")))

    await world.controller().reconcile("hub")

    assert world.written == []
    assert world.events == []


async def test_nothing_is_looked_at_before_the_cluster_is_accepted() -> None:
    world = World(snapshot())

    await world.controller().reconcile("hub")

    assert world.probes == 0


@pytest.mark.parametrize(
    ("health", "message"),
    [
        ((500, "[-]etcd failed"), "The kube-apiserver is not ok, status code: 500, [-]etcd failed"),
        ((0, "nobody there"), "The kube-apiserver is not ok, status code: 0, nobody there"),
    ],
)
async def test_an_unwell_cluster_is_looked_at_every_five_seconds_and_given_twenty(
    health: tuple[int, str], message: str
) -> None:
    available = condition("ManagedClusterConditionAvailable", "True")
    world = World(snapshot(ACCEPTED, condition("ManagedClusterJoined", "True"), available), health=health)
    controller = world.controller()

    pauses = []
    for world.time in (0, 5, 10, 15):
        pauses.append(await controller.reconcile("hub"))
    assert pauses == [5, 5, 5, 5]
    assert world.written == []
    world.time = 20
    assert await controller.reconcile("hub") is None

    [status] = world.written
    assert status["conditions"][-1]["message"] == message
    assert world.events == [("Warning", "The c1 is successfully imported. However, its Kube API server is unavailable")]


async def test_a_namespace_that_fails_is_tried_again() -> None:
    world = World(
        snapshot(ACCEPTED, managedNamespaces=[{"name": "a", "clusterSet": "s"}]),
        applied=Applied({"a": "Failed to apply namespace: no"}),
    )

    again = await world.controller().reconcile("hub")

    assert again is not None
    assert world.written[0]["managedNamespaces"][0]["conditions"][0]["reason"] == "NamespaceApplyFailed"


class Namespaces:
    """Namespaces of a managed cluster, and an informer of those that bear the mark."""

    def __init__(self, **labels: dict[str, str]) -> None:
        self.labels = labels
        self.writes: list[tuple[str, dict[str, Any]]] = []

    def get(self, name: str) -> Any:
        return next((each for each in self.list() if each.name == name), None)

    def list(self) -> list[Any]:
        return [self._snapshot(name) for name, labels in self.labels.items() if labels.get("mark") == "true"]

    def _snapshot(self, name: str) -> Snapshot[Any]:
        raw = {"metadata": {"name": name, "uid": name, "resourceVersion": "1", "labels": self.labels[name]}}
        return Snapshot(json.dumps(raw).encode(), ref_of(ManagedCluster), None)

    async def fetch(self, kind: object, name: str, namespace: str | None = None) -> Snapshot[Any]:
        if name not in self.labels:
            raise NotFound({"code": 404, "message": "none"})
        return self._snapshot(name)

    async def create(self, kind: object, obj: dict[str, Any]) -> None:
        self.labels[obj["metadata"]["name"]] = obj["metadata"]["labels"]
        self.writes.append((obj["metadata"]["name"], obj["metadata"]["labels"]))

    async def patch_snapshot(self, kind: object, name: str, patch: dict[str, Any], **options: Any) -> Snapshot[Any]:
        if name == "stuck":
            raise Conflict({"code": 409, "message": "stuck"})
        self.labels[name] = {**self.labels[name], **patch["metadata"]["labels"]}
        self.writes.append((name, patch["metadata"]["labels"]))
        return self._snapshot(name)


async def test_namespaces_are_made_marked_and_released_and_then_left_alone() -> None:
    world = Namespaces(there={"x": "y"}, old={"mark": "true"}, strange={})
    managed = ManagedNamespaces(cast(Client, world), "mark", cast(Any, world))

    first = await managed.apply(["new", "there"])
    writes = list(world.writes)
    second = await managed.apply(["new", "there"])

    assert first.complaints == second.complaints == []
    assert writes == [("new", {"mark": "true"}), ("there", {"mark": "true"}), ("old", {"mark": "false"})]
    assert world.writes == writes
    assert world.labels["there"] == {"x": "y", "mark": "true"}


async def test_one_namespace_that_fails_keeps_no_other_back() -> None:
    world = Namespaces(stuck={}, old={"mark": "true"})
    managed = ManagedNamespaces(cast(Client, world), "mark", cast(Any, world))

    applied = await managed.apply(["stuck", "well"])

    assert applied.results["well"] is None
    assert (applied.results["stuck"] or "").startswith("Failed to apply namespace: ")
    assert world.labels["old"]["mark"] == "false"
