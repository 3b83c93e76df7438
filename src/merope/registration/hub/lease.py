"""Availability: a cluster whose agent has stopped renewing its Lease is of unknown state.

Only the agent says that a cluster is available or not; the hub says that it has not heard of it for five lease
durations. Before it does, it reads the Lease live, so that a cache that lags behind alarms nobody.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from merope.api.cluster.v1 import AVAILABLE, CLOCK_SYNCED, HUB_ACCEPTED, ManagedCluster
from merope.kube import (
    CORE,
    AlreadyExists,
    Change,
    Client,
    EventRecorder,
    Informer,
    NotFound,
    Snapshot,
    StatusWriter,
    condition_status,
    find_condition,
    set_condition,
)
from merope.registration.cluster_rbac import CLUSTER_NAME_LABEL

Manifest = dict[str, Any]

LEASE_NAME: Final = "managed-cluster-lease"
SKIP_CLOCK_CHECK: Final = "registration.open-cluster-management.io/skip-clock-sync-check"
_MISSED: Final = 5
_DEFAULT_SECONDS: Final = 60


def grace_of(cluster: Mapping[str, Any]) -> timedelta:
    """How long a cluster may be silent: five lease durations, of a minute each where none is given."""
    seconds = (cluster.get("spec") or {}).get("leaseDurationSeconds") or _DEFAULT_SECONDS
    return timedelta(seconds=_MISSED * seconds)


def renewed_at(lease: Mapping[str, Any]) -> datetime | None:
    """When the Lease was last renewed; None where it says nothing readable."""
    text = (lease.get("spec") or {}).get("renewTime")
    try:
        return datetime.fromisoformat(str(text).replace("Z", "+00:00")) if text else None
    except ValueError:
        return None


def micro_time(moment: datetime) -> str:
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


class LeaseReconciler:
    """Reconciles the availability of one cluster by name; comes back exactly when the Lease would run out."""

    def __init__(
        self,
        client: Client,
        clusters: Informer[ManagedCluster],
        leases: Informer[Manifest],
        status: StatusWriter[ManagedCluster],
        recorder: EventRecorder,
    ) -> None:
        self._client = client
        self._clusters = clusters
        self._leases = leases
        self._status = status
        self._recorder = recorder

    async def reconcile(self, name: str) -> float | None:
        cluster = self._clusters.get(name)
        if cluster is None:
            return None
        raw = cluster.raw
        if find_condition((raw.get("status") or {}).get("conditions"), HUB_ACCEPTED) is None:
            return None
        lease = self._leases.get(LEASE_NAME, name)
        if lease is None:
            if cluster.deleting:
                await self._declare_unknown(cluster)
                return None
            await self._create_lease(name)
            return grace_of(raw).total_seconds()
        grace = grace_of(raw)
        left = self._left(lease.raw, grace)
        if left <= 0:
            left = await self._left_live(name, grace)
        if left > 0:
            return left
        await self._declare_unknown(cluster)
        return grace.total_seconds()

    @staticmethod
    def _left(lease: Mapping[str, Any], grace: timedelta) -> float:
        renewed = renewed_at(lease)
        return (renewed + grace - datetime.now(UTC)).total_seconds() if renewed is not None else 0.0

    async def _left_live(self, name: str, grace: timedelta) -> float:
        try:
            lease = await self._client.get(CORE["Lease"], LEASE_NAME, name)
        except NotFound:
            return 0.0
        return self._left(lease, grace)

    async def _create_lease(self, name: str) -> None:
        lease = {
            "metadata": {"name": LEASE_NAME, "namespace": name, "labels": {CLUSTER_NAME_LABEL: name}},
            "spec": {"holderIdentity": LEASE_NAME, "renewTime": micro_time(datetime.now(UTC))},
        }
        try:
            await self._client.create(CORE["Lease"], lease, name)
        except (AlreadyExists, NotFound):
            # It is there, hidden from the cache; or the namespace is not there yet, and its change calls us again.
            return

    async def _declare_unknown(self, cluster: Snapshot[ManagedCluster]) -> None:
        conditions = (cluster.raw.get("status") or {}).get("conditions")
        was = condition_status(conditions, AVAILABLE)

        def change(raw: Manifest) -> None:
            found = raw.setdefault("status", {}).setdefault("conditions", [])
            set_condition(
                found,
                AVAILABLE,
                "Unknown",
                "ManagedClusterLeaseUpdateStopped",
                "Registration agent stopped updating its lease.",
            )

        written = await self._status.write(cluster, change)
        if was != "Unknown" and written.resource_version != cluster.resource_version:
            self._recorder.warning(
                event_subject(written),
                "AvailableUnknown",
                f"The {cluster.name} is successfully imported. However, the connection check from the managed cluster "
                "to the hub cluster has failed",
                action="AvailableUnknown",
            )


def event_subject(cluster: Snapshot[ManagedCluster]) -> Manifest:
    """The cluster as Events regard it: in the namespace that bears its name."""
    return {
        "apiVersion": cluster.ref.api_version,
        "kind": "ManagedCluster",
        "metadata": {
            "name": cluster.name,
            "namespace": cluster.name,
            "uid": cluster.uid,
            "resourceVersion": cluster.resource_version,
        },
    }


def renewed(change: Change[Manifest]) -> bool:
    """Whether a change of a Lease is a renewal."""
    if change.old is None or change.new is None:
        return False
    return renewed_at(change.old.raw) != renewed_at(change.new.raw)


class ClockReconciler:
    """Compares the hub's clock with the agent's whenever a Lease is renewed."""

    def __init__(
        self,
        clusters: Informer[ManagedCluster],
        leases: Informer[Manifest],
        status: StatusWriter[ManagedCluster],
    ) -> None:
        self._clusters = clusters
        self._leases = leases
        self._status = status

    async def reconcile(self, name: str) -> float | None:
        cluster, lease = self._clusters.get(name), self._leases.get(LEASE_NAME, name)
        if cluster is None or lease is None:
            return None
        moment = renewed_at(lease.raw)
        if moment is None:
            return None
        apart = abs(datetime.now(UTC) - moment)
        synced = apart < grace_of(cluster.raw) or cluster.annotations.get(SKIP_CLOCK_CHECK) == "true"

        def change(raw: Manifest) -> None:
            conditions = raw.setdefault("status", {}).setdefault("conditions", [])
            if synced:
                message = "The clock of the managed cluster is synced with the hub."
                set_condition(conditions, CLOCK_SYNCED, "True", "ManagedClusterClockSynced", message)
            else:
                message = (
                    "The clock of hub and agent is out of sync. This may cause the Unknown status and affect agent "
                    "functionalities."
                )
                set_condition(conditions, CLOCK_SYNCED, "False", "ManagedClusterClockOutOfSync", message)

        await self._status.write(cluster, change)
        return None
