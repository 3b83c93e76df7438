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
    """How long a cluster may be silent: five lease durations, of a minute each where none is given.

    One that is not positive counts as none: the API lets agents write it, and every look at it would be the last.
    """
    seconds = (cluster.get("spec") or {}).get("leaseDurationSeconds") or 0
    return timedelta(seconds=_MISSED * (seconds if seconds > 0 else _DEFAULT_SECONDS))


def renewed_at(lease: Mapping[str, Any]) -> datetime | None:
    """When the Lease was last renewed; None where it says nothing readable."""
    text = (lease.get("spec") or {}).get("renewTime")
    try:
        return datetime.fromisoformat(str(text).replace("Z", "+00:00")) if text else None
    except ValueError:
        return None


def seconds_left(lease: Mapping[str, Any], grace: timedelta) -> float:
    """Seconds until a Lease has run out; not positive where it has, or was never renewed."""
    renewed = renewed_at(lease)
    # In this order: an agent may write times that are the last ones of the calendar.
    return (renewed - datetime.now(UTC) + grace).total_seconds() if renewed is not None else 0.0


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
        cached = self._leases.get(LEASE_NAME, name)
        if cached is None and cluster.deleting:
            await self._declare_unknown(cluster)
            return None
        grace = grace_of(raw)
        lease = cached.raw if cached is not None else await self._create_lease(name)
        if lease is None:
            return grace.total_seconds()
        left = seconds_left(lease, grace)
        if left <= 0 and cached is not None:
            left = await self._left_live(name, grace)
        if left > 0:
            return left
        await self._declare_unknown(cluster)
        return grace.total_seconds()

    async def _left_live(self, name: str, grace: timedelta) -> float:
        try:
            lease = await self._client.get(CORE["Lease"], LEASE_NAME, name)
        except NotFound:
            return 0.0
        return seconds_left(lease, grace)

    async def _create_lease(self, name: str) -> Manifest | None:
        """The Lease as it is then: an agent that takes the label off hides it from the cache, and is found out here.

        None where the namespace is not there yet, whose cluster's next change calls us again.
        """
        lease = {
            "metadata": {"name": LEASE_NAME, "namespace": name, "labels": {CLUSTER_NAME_LABEL: name}},
            "spec": {"holderIdentity": LEASE_NAME, "renewTime": micro_time(datetime.now(UTC))},
        }
        try:
            try:
                return await self._client.create(CORE["Lease"], lease, name)
            except AlreadyExists:
                return await self._client.get(CORE["Lease"], LEASE_NAME, name)
        except NotFound:
            return None

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
