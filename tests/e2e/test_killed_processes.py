"""kill -9 of any process of a fleet: it is back in seconds, and nothing that was acknowledged is lost."""

import http.client
import threading
import time
from collections.abc import Iterator

import pytest

from fixtures.api import ApiFailureError, Manifest
from fixtures.conditions import wait_until

from .conftest import WORKS, Fleet, is_running

#: Within which a killed process is back and at work.
BACK_SECONDS = 5.0
MAPS = "/api/v1/namespaces/default/configmaps"
VICTIMS = ["controlplane", "hub", "agent-cluster1", "guard", "supervisor", "controlplane", "agent-cluster2"]


class Writer:
    """Creates objects on the hub without end, and remembers which the server said it has."""

    def __init__(self, fleet: Fleet) -> None:
        self._api = fleet.api()
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run)
        self.acknowledged: list[str] = []
        self.failures = 0

    def _run(self) -> None:
        number = 0
        while not self._stop.is_set():
            number += 1
            name = f"kept-{number}"
            try:
                self._api.create(MAPS, {"metadata": {"name": name}, "data": {"number": str(number)}})
            except (OSError, http.client.HTTPException, ApiFailureError):
                self.failures += 1
                self._stop.wait(0.05)
            else:
                self.acknowledged.append(name)

    def __enter__(self) -> "Writer":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()


@pytest.fixture
def writer(fleet: Fleet) -> Iterator[Writer]:
    with Writer(fleet) as made:
        wait_until(lambda: len(made.acknowledged) > 5, "writes succeed")
        yield made


def work(name: str) -> Manifest:
    """A work that brings one ConfigMap."""
    manifest = {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {"name": name, "namespace": "default"},
        "data": {"of": name},
    }
    return {
        "apiVersion": "work.open-cluster-management.io/v1",
        "kind": "ManifestWork",
        "metadata": {"name": name},
        "spec": {"workload": {"manifests": [manifest]}},
    }


def test_each_killed_process_is_back_soon_and_no_acknowledged_write_is_lost(fleet: Fleet, writer: Writer) -> None:
    for victim in VICTIMS:
        began = time.monotonic()
        old = fleet.kill(victim)
        wait_until(
            lambda old=old, victim=victim: (  # type: ignore[misc]
                (seen := fleet.process(victim))["pid"] not in (0, old)
                and seen["state"] == "ready"
                and is_running(seen["pid"])
            ),
            f"{victim} is back",
            timeout=BACK_SECONDS,
        )
        known = len(writer.acknowledged)
        wait_until(
            lambda known=known: len(writer.acknowledged) > known,  # type: ignore[misc]
            f"writes succeed after the end of {victim}",
            timeout=BACK_SECONDS,
        )
        assert time.monotonic() - began < BACK_SECONDS, victim

    acknowledged = set(writer.acknowledged)  # before the look: the writer goes on meanwhile
    assert acknowledged <= {item["metadata"]["name"] for item in fleet.api().items(MAPS)}
    assert writer.failures > 0  # it was felt


@pytest.mark.parametrize("victim", ["controlplane", "hub", "agent-cluster1", "supervisor"])
def test_a_fleet_does_its_work_again_after_any_kill(fleet: Fleet, victim: str) -> None:
    name = f"after-{victim}"
    fleet.kill(victim)

    _create(fleet, name)
    wait_until(lambda: fleet.api("cluster1").find(f"{MAPS}/{name}"), "the work is applied on the cluster", timeout=45)
    wait_until(
        lambda: (
            {
                each["type"]: each["status"]
                for each in fleet.api()
                .get(f"{WORKS.format('cluster1')}/{name}")
                .get("status", {})
                .get("conditions", ())
            }.get("Available")
            == "True"
        ),
        "its status is back",
        timeout=45,
    )


def _create(fleet: Fleet, name: str) -> None:
    def create() -> bool:
        try:
            fleet.api().create(WORKS.format("cluster1"), work(name))
        except (OSError, http.client.HTTPException):
            return False
        except ApiFailureError as failure:
            return failure.reason == "AlreadyExists"
        return True

    wait_until(create, "the hub takes a work", timeout=BACK_SECONDS)


def test_at_the_end_all_clusters_are_available_and_nobody_restarts(fleet: Fleet) -> None:
    wait_until(
        lambda: all(each["state"] in ("ready", "waiting") for each in fleet.state()["processes"]), "all run", timeout=10
    )

    assert fleet.is_available("cluster1")
    assert fleet.is_available("cluster2")
