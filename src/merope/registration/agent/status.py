"""The status of the ManagedCluster: joined, available, what it has, what it says about itself.

What is found out on the managed cluster becomes ``Facts``; these become one patch of the status, sent only
where it changes something. Where the hub found our clock to be off, nothing is sent: what carries a time would lie.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from typing import Any, Final

from merope.api.cluster.v1 import ManagedCluster
from merope.kube import (
    Client,
    Controller,
    EventRecorder,
    Informer,
    KubeError,
    Manifest,
    Snapshot,
    StatusWriter,
    condition_status,
)
from merope.kube.cache import Change
from merope.registration.agent import claims as cluster_claims
from merope.registration.agent import facts as judged
from merope.registration.agent import probe
from merope.registration.agent.facts import AVAILABLE, Facts
from merope.registration.agent.lease import is_accepted
from merope.registration.agent.managed_namespaces import ManagedNamespaces, wanted_names
from merope.registration.agent.reporting import Reporter
from merope.registration.agent.resources import NodeResources, totals

_log = logging.getLogger(__name__)

REPORTING_CONTROLLER: Final = "klusterlet-agent"
_NOTES: Final = {
    "True": (
        "Normal",
        "Available",
        "The %s is successfully imported, and it is managed by the hub cluster. Its apieserver is available",
    ),
    "False": (
        "Warning",
        "Unavailable",
        "The %s is successfully imported. However, its Kube API server is unavailable",
    ),
}

#: Keys: what changed on the hub, where our own writes need no second look, and what changed here.
_HUB: Final = "hub"
_SPOKE: Final = "spoke"

Claims = Callable[[], list[dict[str, str]]]


class ClusterStatus:
    """Reports on the managed cluster. ``claims`` gives ``status.clusterClaims`` from caches."""

    def __init__(
        self,
        spoke: Client,
        cluster_name: str,
        clusters: Informer[ManagedCluster],
        nodes: Informer[NodeResources],
        claims: Claims,
        namespaces: ManagedNamespaces,
        status: StatusWriter[ManagedCluster],
        events: EventRecorder,
        reporter: Reporter,
        *,
        clock: Callable[[], float],
    ) -> None:
        self._spoke = spoke
        self._name = cluster_name
        self._clusters = clusters
        self._nodes = nodes
        self._claims = claims
        self._namespaces = namespaces
        self._status = status
        self._events = events
        self._reporter = reporter
        self._patience = probe.Patience(clock)
        self._written = ""
        self._again: float | None = None

    def controller(self, period: float, *sources: Informer[Any]) -> Controller[str]:
        """The controller that runs this: on changes of the cluster, its nodes and ``sources``, every ``period``."""
        controller: Controller[str] = Controller("ManagedClusterStatusController", self.reconcile, workers=1)
        controller.watches(self._clusters, lambda cluster: [_HUB])
        controller.watches(self._nodes, lambda node: [_SPOKE], when=_value_changed)
        for source in sources:
            controller.watches(source, lambda changed: [_SPOKE])
        controller.every(period, lambda: [_SPOKE])
        return controller

    async def reconcile(self, key: str) -> float | None:
        """Find out, then report."""
        cluster = self._clusters.get(self._name)
        if cluster is None:
            self._reporter.problem("cluster", f"there is no ManagedCluster {self._name} on the hub any more")
            return None
        self._reporter.solved("cluster", f"ManagedCluster {self._name} is there again")
        if key == _HUB and cluster.resource_version == self._written:
            return None  # that was us
        before = cluster.raw
        if not is_accepted(before):
            text = f"ManagedCluster {self._name} waits to be accepted on the hub: merope accept {self._name}"
            self._reporter.problem("acceptance", text, level=logging.INFO)
            return None
        self._reporter.solved("acceptance", f"the hub accepted ManagedCluster {self._name}")
        self._again = None
        facts = await self._find_out(before)
        await self._report(cluster, facts)
        if facts.availability == "pending":
            self._again = probe.RECHECK
        if self._again is not None:
            self._written = ""
        return self._again

    async def _find_out(self, cluster: Manifest) -> Facts:
        answer = await probe.health(self._spoke)
        availability = self._patience.judge(answer.code == 200)
        if availability != "available":
            self._reporter.problem(
                "spoke", f"the API server of this cluster, {self._spoke.config.server}, is not well: {answer.complaint}"
            )
            return Facts(availability, answer.complaint)
        self._reporter.solved("spoke", f"the API server of this cluster, {self._spoke.config.server}, is well again")
        try:
            version = await probe.version(self._spoke)
        except KubeError as error:
            self._reporter.problem("version", str(error))
            return Facts(availability)
        self._reporter.solved("version")
        capacity, allocatable = totals(node.value for node in self._nodes.list())
        applied = await self._namespaces.apply(wanted_names(cluster))
        if complaints := applied.complaints:
            self._again = self._reporter.problem("namespaces", "; ".join(complaints))
        else:
            self._reporter.solved("namespaces", "managed namespaces are as the hub wants them")
        return Facts(availability, "", version, capacity, allocatable, self._claims(), applied.results)

    async def _report(self, cluster: Snapshot[ManagedCluster], facts: Facts) -> None:
        states: list[str | None] = [None, None]

        def change(raw: Manifest) -> None:
            states[:] = [_available(raw)] * 2
            if judged.is_clock_off(raw):
                return
            judged.apply(raw, facts)
            states[1] = _available(raw)

        if judged.is_clock_off(cluster.raw):
            self._reporter.problem(
                "clock",
                f"the clock of this cluster differs from the hub's: nothing of ManagedCluster {self._name} is reported "
                "until they agree",
            )
        else:
            self._reporter.solved("clock", "the clocks of this cluster and of the hub agree again")
        result = await self._status.write(cluster, change)
        if result.resource_version != cluster.resource_version:
            self._written = result.resource_version
        if states[0] != states[1] and states[1] in _NOTES:
            type_, reason, note = _NOTES[states[1]]
            self._events.record(
                _regarding(cluster),
                "Normal" if type_ == "Normal" else "Warning",
                reason,
                note % self._name,
                action=reason,
            )
            _log.info("cluster %s is %s", self._name, reason.lower())


def _available(cluster: Mapping[str, Any]) -> str | None:
    return condition_status((cluster.get("status") or {}).get("conditions"), AVAILABLE)


def _regarding(cluster: Snapshot[ManagedCluster]) -> Manifest:
    """The cluster as events refer to it: in the namespace that the hub has for it."""
    return {
        "apiVersion": cluster.ref.api_version,
        "kind": cluster.ref.kind,
        "metadata": {
            "name": cluster.name,
            "namespace": cluster.name,
            "uid": cluster.uid,
            "resourceVersion": cluster.resource_version,
        },
    }


def _value_changed(change: Change[Any]) -> bool:
    return change.old is None or change.new is None or change.old.value != change.new.value


def claims_from(
    claims: Informer[tuple[str, str] | None] | None,
    properties: Informer[tuple[str, str] | None] | None,
    *,
    limit: int,
    reserved_suffixes: tuple[str, ...],
) -> Claims:
    """``status.clusterClaims`` from informers of claims and of properties (None: not looked at)."""

    def pairs(informer: Informer[tuple[str, str] | None] | None) -> list[tuple[str, str]]:
        if informer is None:
            return []
        return [snapshot.value for snapshot in informer.list() if snapshot.value is not None]

    def current() -> list[dict[str, str]]:
        return cluster_claims.exposed(
            pairs(claims), pairs(properties), limit=limit, reserved_suffixes=reserved_suffixes
        )

    return current


def claim_pair(claim: Snapshot[Manifest]) -> tuple[str, str] | None:
    """Projection of a claim or property: name and value; None for what stays on the managed cluster."""
    if cluster_claims.SPOKE_ONLY in claim.labels:
        return None
    return claim.name, str((claim.value.get("spec") or {}).get("value") or "")
