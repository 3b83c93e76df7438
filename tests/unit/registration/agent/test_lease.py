"""When an agent gives a sign of life."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any, cast

import pytest

from merope.kube import Client, Conflict, Forbidden, Informer
from merope.registration.agent import lease as module
from merope.registration.agent.lease import LeaseKeeper
from merope.registration.agent.reporting import Reporter


class Hub:
    """A hub with one Lease."""

    def __init__(self) -> None:
        self.config = SimpleNamespace(server="https://hub")
        self.lease: dict[str, Any] = {"metadata": {"name": "managed-cluster-lease"}, "spec": {"holderIdentity": "x"}}
        self.renewals: list[dict[str, Any]] = []
        self.renewed = asyncio.Event()
        self.failure: Exception | None = None
        self.reads = 0
        self.version = 1

    async def get(self, kind: object, name: str, namespace: str) -> dict[str, Any]:
        if self.failure is not None:
            self.renewed.set()
            raise self.failure
        assert (name, namespace) == ("managed-cluster-lease", "c1")
        self.reads += 1
        return {**self.lease, "metadata": {"name": name, "resourceVersion": str(self.version)}}

    async def update(self, kind: object, obj: dict[str, Any]) -> dict[str, Any]:
        if obj["metadata"]["resourceVersion"] != str(self.version):
            raise Conflict({"code": 409, "reason": "Conflict", "message": "changed"})
        self.version += 1
        self.renewals.append(obj)
        self.renewed.set()
        return {**obj, "metadata": {**obj["metadata"], "resourceVersion": str(self.version)}}


class Clusters:
    """An informer of one ManagedCluster."""

    def __init__(self) -> None:
        self.handlers: list[Callable[[Any], None]] = []
        self.raw: dict[str, Any] | None = None

    def add_handler(self, handler: Callable[[Any], None]) -> Callable[[], None]:
        self.handlers.append(handler)
        return lambda: self.handlers.remove(handler)

    def get(self, name: str) -> Any:
        return None if self.raw is None else SimpleNamespace(raw=self.raw)

    def become(self, accepted: str, duration: int | None = None) -> None:
        conditions = [{"type": "HubAcceptedManagedCluster", "status": accepted}]
        spec = {} if duration is None else {"leaseDurationSeconds": duration}
        self.raw = {"spec": spec, "status": {"conditions": conditions}}
        for handler in self.handlers:
            handler(None)


@pytest.fixture
def hub() -> Hub:
    return Hub()


@pytest.fixture
def clusters() -> Clusters:
    return Clusters()


def keeper(hub: Hub, clusters: Clusters, jitter: float = 0.0) -> LeaseKeeper:
    reporter = Reporter(logging.getLogger("test"))
    return LeaseKeeper(cast(Client, hub), "c1", cast("Informer[Any]", clusters), reporter, jitter=lambda: jitter)


class Running:
    """A keeper at work for the time of a block."""

    def __init__(self, made: LeaseKeeper) -> None:
        self._made = made

    async def __aenter__(self) -> None:
        self._task = asyncio.create_task(self._made.run())
        await settle()

    async def __aexit__(self, *error: object) -> None:
        self._task.cancel()
        await asyncio.gather(self._task, return_exceptions=True)


async def settle() -> None:
    for _ in range(20):
        await asyncio.sleep(0)


async def test_there_is_no_heartbeat_before_the_hub_accepts_and_one_at_once_after(hub: Hub, clusters: Clusters) -> None:
    async with Running(keeper(hub, clusters)):
        clusters.become("False")
        await settle()
        assert hub.renewals == []

        clusters.become("True")
        await settle()

    [renewal] = hub.renewals
    assert set(renewal["spec"]) == {"holderIdentity", "renewTime"}
    assert renewal["spec"]["renewTime"].endswith("Z")
    assert "." in renewal["spec"]["renewTime"]
    assert clusters.handlers == []


async def test_changes_that_keep_the_period_cause_no_heartbeat_and_another_period_does(
    hub: Hub, clusters: Clusters
) -> None:
    clusters.become("True", 60)
    async with Running(keeper(hub, clusters)):
        for _ in range(5):
            clusters.become("True", 60)
            await settle()
        assert len(hub.renewals) == 1

        clusters.become("True", 30)
        await settle()

    assert len(hub.renewals) == 2


@pytest.mark.parametrize(
    ("duration", "jitter", "expected"), [(60, 0.0, 60.0), (0, 0.0, 60.0), (None, 1.0, 75.0), (8, 0.5, 9.0)]
)
async def test_the_period_is_the_lease_duration_and_up_to_a_quarter_more(
    hub: Hub,
    clusters: Clusters,
    duration: int | None,
    jitter: float,
    expected: float,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    waits: list[float] = []
    timeout = asyncio.timeout

    def noted(seconds: float) -> asyncio.Timeout:
        waits.append(seconds)
        return timeout(None)

    monkeypatch.setattr(module.asyncio, "timeout", noted)
    clusters.become("True", duration)
    async with Running(keeper(hub, clusters, jitter)):
        await settle()

    assert waits == [expected]


async def test_a_failed_heartbeat_waits_for_its_next_turn(
    hub: Hub, clusters: Clusters, caplog: pytest.LogCaptureFixture
) -> None:
    hub.failure = Forbidden({"code": 403, "message": "you are denied"})
    clusters.become("True", 60)

    async with Running(keeper(hub, clusters)):
        await settle()

    assert hub.renewals == []
    assert "you are denied" in caplog.text
    assert "merope accept c1" in caplog.text


async def test_the_lease_is_read_once_and_again_where_somebody_else_wrote_it(hub: Hub, clusters: Clusters) -> None:
    clusters.become("True", 60)
    async with Running(keeper(hub, clusters)):
        for duration in (50, 40):
            clusters.become("True", duration)
            await settle()
        assert (hub.reads, len(hub.renewals)) == (1, 3)

        hub.version += 1
        clusters.become("True", 30)
        await settle()

    assert (hub.reads, len(hub.renewals)) == (2, 4)
