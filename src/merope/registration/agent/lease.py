"""The heartbeat: a Lease on the hub, renewed as long as the hub accepts the cluster."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any, Final

from merope.api.cluster.v1 import ManagedCluster
from merope.kube import CORE, Client, Conflict, Forbidden, Informer, KubeError, Manifest, NotFound, is_condition_true
from merope.kube.cache import Change
from merope.registration.agent.reporting import Reporter, explain, is_refused

LEASE_NAME: Final = "managed-cluster-lease"
ACCEPTED: Final = "HubAcceptedManagedCluster"
_DEFAULT_DURATION: Final = 60
_JITTER: Final = 0.25
_TOPIC: Final = "lease"


class LeaseKeeper:
    """Renews the cluster's Lease every ``leaseDurationSeconds`` of the ManagedCluster (and up to a quarter more).

    The hub creates the Lease; the agent only renews it. Failures wait for the next turn.
    """

    def __init__(
        self,
        hub: Client,
        cluster_name: str,
        clusters: Informer[ManagedCluster],
        reporter: Reporter,
        *,
        refused: Callable[[KubeError], None] = lambda error: None,
        jitter: Callable[[], float] = random.random,
    ) -> None:
        self._hub = hub
        self._name = cluster_name
        self._clusters = clusters
        self._reporter = reporter
        self._refused = refused
        self._jitter = jitter
        self._changed = asyncio.Event()
        self._lease: Manifest | None = None

    async def run(self) -> None:
        """Keeps the heartbeat until cancelled."""
        unsubscribe = self._clusters.add_handler(self._wake)
        try:
            while True:
                self._changed.clear()
                period = self._period()
                if period is None:
                    await self._changed.wait()
                    continue
                await self._renew()
                await self._wait(period)
        finally:
            unsubscribe()

    def _wake(self, change: Change[Any]) -> None:
        self._changed.set()

    def _period(self) -> int | None:
        """Seconds between two renewals; None while there is to be no heartbeat."""
        cluster = self._clusters.get(self._name)
        if cluster is None or not is_accepted(cluster.raw):
            return None
        return int((cluster.raw.get("spec") or {}).get("leaseDurationSeconds") or 0) or _DEFAULT_DURATION

    async def _wait(self, period: int) -> None:
        """Until the next renewal is due, or the period is another one."""
        try:
            async with asyncio.timeout(period * (1 + _JITTER * self._jitter())):
                while self._period() == period:
                    self._changed.clear()
                    await self._changed.wait()
        except TimeoutError:
            pass

    async def _renew(self) -> None:
        try:
            await self._write()
        except (NotFound, Forbidden) as error:
            self._reporter.problem(
                _TOPIC,
                f"no heartbeat: the hub {self._hub.config.server} has no Lease for cluster {self._name} or refuses it "
                f"({error.message}). Was the cluster denied or deleted? To accept it: merope accept {self._name}",
            )
        except KubeError as error:
            if is_refused(error):
                self._refused(error)
            text = explain(error, self._hub.config.server, "the hub kubeconfig", f"heartbeat of cluster {self._name}")
            self._reporter.problem(_TOPIC, text)
        else:
            self._reporter.solved(_TOPIC, f"heartbeat of cluster {self._name} is back")

    async def _write(self) -> None:
        """Nobody else writes the Lease as a rule, so what the last write returned is what is there; else read it."""
        if self._lease is not None:
            try:
                self._lease = await self._put(self._lease)
                return
            except (Conflict, NotFound):
                self._lease = None
        self._lease = await self._put(await self._hub.get(CORE["Lease"], LEASE_NAME, self._name))

    async def _put(self, lease: Manifest) -> Manifest:
        spec = {**(lease.get("spec") or {}), "renewTime": micro_time(datetime.now(UTC))}
        return await self._hub.update(CORE["Lease"], {**lease, "spec": spec})


def is_accepted(cluster: dict[str, Any]) -> bool:
    """Whether the hub has accepted the cluster, and has said so in its status."""
    return is_condition_true((cluster.get("status") or {}).get("conditions"), ACCEPTED)


def micro_time(moment: datetime) -> str:
    """A time as ``metav1.MicroTime`` writes it."""
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
