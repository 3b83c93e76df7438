"""Making a hub of a cluster, managed clusters of others, and letting these into that hub.

What an administrator does with ``clusteradm init``, ``join`` and ``accept``, for all clusters of a fleet at once. Every
step first looks whether it is done.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final

from merope.api.cluster.v1 import AVAILABLE, HUB_ACCEPTED, ManagedCluster
from merope.fleet import identities, kubeconfigs
from merope.fleet.layout import Fleet, FleetError, Layout, write_private
from merope.kube import CORE, Client, KubeError, NotFound, is_condition_true
from merope.operator import hub_objects, install, klusterlet_objects
from merope.registration.acceptance import approve_requests, let_in

_LEASE: Final = "managed-cluster-lease"
Progress = Callable[[str], None]


@dataclass(frozen=True)
class Objects:
    """What is to be installed; making it takes a moment, which ``up`` has while control planes start."""

    hub: list[dict[str, Any]] = field(default_factory=hub_objects)
    klusterlet: list[dict[str, Any]] = field(default_factory=klusterlet_objects)


async def install_all(layout: Layout, fleet: Fleet, objects: Objects) -> None:
    """Put OCM's objects on every cluster, and its components' identities on disk. Raises FleetError."""
    sources = {name: layout.admin_kubeconfig(name) for name in ("hub", *fleet.cluster_names)}
    write_private(layout.kubeconfig, kubeconfigs.merged(sources, "hub"))
    with one_failure():
        async with asyncio.TaskGroup() as group:
            group.create_task(_install_hub(layout, fleet, objects))
            for name in fleet.cluster_names:
                group.create_task(_install_agent(layout, name, objects))


async def _install_hub(layout: Layout, fleet: Fleet, objects: Objects) -> None:
    async with identities.administrator(layout, "hub") as client:
        await install(client, objects.hub)
        await identities.write_hub_identities(client, layout)
        await identities.write_bootstrap_identities(client, layout, fleet.cluster_names)


async def _install_agent(layout: Layout, name: str, objects: Objects) -> None:
    async with identities.administrator(layout, name) as client:
        await install(client, objects.klusterlet)
        await identities.write_agent_identities(client, layout, name)


async def accept_all(
    layout: Layout, fleet: Fleet, progress: Progress, started: Callable[[str], float], hub_ready: asyncio.Event
) -> None:
    """Accept every cluster as soon as it asks, and wait until all are available. Raises FleetError.

    ``started`` says when the agent of a cluster was started (seconds of the epoch): what its hub says of it counts once
    that very agent has sent a heartbeat. ``hub_ready`` is when the hub's webhooks answer, without which no cluster
    can be accepted.
    """
    with one_failure():
        async with identities.administrator(layout, "hub") as client, asyncio.TaskGroup() as group:
            for name in fleet.cluster_names:
                group.create_task(_enrol(client, name, progress, started, hub_ready))


async def _enrol(
    client: Client, name: str, progress: Progress, started: Callable[[str], float], hub_ready: asyncio.Event
) -> None:
    await _accept(client, name, progress, hub_ready)
    await _heartbeat(client, name, started)
    progress(f"{name} is available")


async def _heartbeat(client: Client, name: str, started: Callable[[str], float]) -> None:
    """Wait for a sign of life of the agent that runs now."""
    ref = CORE["Lease"]
    with contextlib.suppress(NotFound):
        lease = await client.get(ref, _LEASE, name)
        if _renewed(lease) >= started(name):
            return
    async for event in client.watch(ref, name, field_selector=f"metadata.name={_LEASE}"):
        if event.object is not None and _renewed(event.object.raw) >= started(name):
            return


def _renewed(lease: dict[str, Any]) -> float:
    stated = (lease.get("spec") or {}).get("renewTime")
    return datetime.fromisoformat(stated).timestamp() if stated else 0.0


async def _accept(client: Client, name: str, progress: Progress, hub_ready: asyncio.Event) -> None:
    let = False
    approving: asyncio.Task[None] | None = None
    try:
        async for cluster in _follow(client, name):
            conditions = (cluster.get("status") or {}).get("conditions")
            if not let:
                let = True
                await hub_ready.wait()
                if await let_in(client, name):
                    progress(f"accepted {name}")
            # The certificate comes when the hub has granted its permissions: an agent that is refused comes back late.
            if approving is None and is_condition_true(conditions, HUB_ACCEPTED):
                approving = asyncio.create_task(_approve(client, name))
            if is_condition_true(conditions, AVAILABLE):
                return
            if approving is not None and approving.done():
                approving.result()
    finally:
        if approving is not None:
            approving.cancel()
            await asyncio.gather(approving, return_exceptions=True)


async def _approve(client: Client, name: str) -> None:
    """Approve the first requests of a cluster for as long as this is not cancelled."""
    ref = CORE["CertificateSigningRequest"]
    selector = f"open-cluster-management.io/cluster-name={name}"
    await approve_requests(client, name)
    async for event in client.watch(ref, label_selector=selector):
        if event.object is not None:
            await approve_requests(client, name)


async def _follow(client: Client, name: str) -> AsyncIterator[dict[str, Any]]:
    """A ManagedCluster as it is and as it changes, from its creation on."""
    with contextlib.suppress(NotFound):
        yield (await client.fetch(ManagedCluster, name)).raw
    async for event in client.watch(ManagedCluster, field_selector=f"metadata.name={name}"):
        if event.object is not None:
            yield event.object.raw


@contextlib.contextmanager
def one_failure() -> Iterator[None]:
    """Make one FleetError of a group of failures: ours before the API's before anything else."""
    try:
        yield
    except BaseExceptionGroup as group:
        found = _leaves(group)
        if not all(isinstance(each, Exception) for each in found):
            raise
        found.sort(key=lambda each: (not isinstance(each, FleetError), not isinstance(each, KubeError)))
        first = found[0]
        if isinstance(first, FleetError):
            raise first from None
        if isinstance(first, KubeError | OSError):
            raise FleetError(str(first) or type(first).__name__) from group
        raise


def _leaves(error: BaseException) -> list[BaseException]:
    if isinstance(error, BaseExceptionGroup):
        return [leaf for each in error.exceptions for leaf in _leaves(each)]
    return [error]
