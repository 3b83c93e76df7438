"""Bringing a fleet up: write down what shall run, wait for it, install, hand out identities, accept the clusters.

Every step first looks whether it is done, so that a fleet that was interrupted anywhere, or killed, or survived a
reboot, comes to the same end. Hub and agents get ServiceAccounts with the roles of OCM; the administrator's identity
is used by this command alone.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from merope.api.cluster.v1 import AVAILABLE, ManagedCluster
from merope.fleet import kubeconfigs
from merope.fleet.layout import Fleet, FleetError, Layout, free_port, write_private
from merope.fleet.processes import (
    BACKOFF,
    READY,
    ProcessSpec,
    SupervisorState,
    encode_specs,
    is_alive,
    read_state,
)
from merope.kube import CORE, Client, ClientConfig, KubeError, NotFound, is_condition_true
from merope.operator import AGENT_NAMESPACE, HUB_NAMESPACE, OPERATOR_NAMESPACE, hub_objects, install, klusterlet_objects
from merope.operator.hub import BOOTSTRAP_ACCOUNT
from merope.operator.klusterlet import REGISTRATION_ACCOUNT, WORK_ACCOUNT
from merope.registration.acceptance import approve_requests, let_in

#: Seconds that a token of a component lives; it is replaced at each start and by ``refresh_tokens``.
TOKEN_SECONDS: Final = 7 * 24 * 3600
REFRESH_SECONDS: Final = 24 * 3600
_LOOK_SECONDS: Final = 0.02
_START_SECONDS: Final = 60.0
#: Restarts of a process within one ``up`` after which it is no longer waited for.
_PATIENCE: Final = 3
_HUB_ACCOUNTS: Final = {
    "registration-controller": "registration-controller-sa",
    "registration-webhook": "registration-webhook-sa",
    "placement-controller": "placement-controller-sa",
    "work-controller": "work-controller-sa",
}
_AGENT_ACCOUNTS: Final = {"registration": REGISTRATION_ACCOUNT, "work": WORK_ACCOUNT}
_ID_ALPHABET: Final = "bcdfghjklmnpqrstvwxz2456789"

Progress = Callable[[str], None]


@dataclass(slots=True)
class Outcome:
    """What ``up`` achieved, and how long it took (seconds)."""

    fleet: Fleet
    seconds: float
    created: bool


class BringUp:
    """One run of ``merope up`` for one fleet. ``progress`` is told each step as a short sentence."""

    def __init__(self, layout: Layout, progress: Progress = lambda step: None) -> None:
        self._layout = layout
        self._progress = progress

    async def run(self, clusters: int | None, seconds: float = 120.0) -> Outcome:
        """Bring the fleet up with ``clusters`` managed clusters (None: as many as it has, 2 for a new one).

        Raises FleetError where something has to be mended, and where it takes longer than ``seconds``.
        """
        began = time.monotonic()
        created = not self._layout.exists()
        self._layout.prepare()
        fleet = self._plan(clusters, created)
        try:
            async with asyncio.timeout(seconds):
                await self._bring_up(fleet)
        except TimeoutError:
            raise FleetError(
                f"the fleet {fleet.name!r} is not complete after {seconds:g} s; see: merope status, merope logs"
            ) from None
        except BaseExceptionGroup as group:
            raise _first(group) from None
        return Outcome(fleet, time.monotonic() - began, created)

    def _plan(self, clusters: int | None, created: bool) -> Fleet:
        layout = self._layout
        fleet = Fleet(layout.name) if created else layout.load()
        if clusters is not None:
            if clusters < fleet.clusters and not created:
                raise FleetError(
                    f"fleet {fleet.name!r} has {fleet.clusters} clusters; clusters are taken away one by one: "
                    "kubectl --context hub delete managedcluster NAME"
                )
            fleet.clusters = clusters
        fleet.webhook_port = fleet.webhook_port or free_port()
        fleet.identity = fleet.identity or f"{fleet.name}-{_random_id()}"
        for name in fleet.cluster_names:
            fleet.agents.setdefault(name, _random_id())
        layout.save(fleet)
        return fleet

    async def _bring_up(self, fleet: Fleet) -> None:
        self._progress("starting the control planes")
        await self._supervise([control_planes(self._layout, fleet)])
        await self._wait_ready("controlplane")
        names = ["hub", *fleet.cluster_names]
        sources = {name: self._layout.admin_kubeconfig(name) for name in names}
        write_private(self._layout.kubeconfig, kubeconfigs.merged(sources, "hub"))
        self._progress("installing the hub and the agents' permissions")
        async with asyncio.TaskGroup() as group:
            group.create_task(self._install_hub(fleet))
            for name in fleet.cluster_names:
                group.create_task(self._install_agent(name))
        self._progress("starting the hub and the agents")
        await self._supervise(processes(self._layout, fleet))
        await self._wait_ready("hub")
        async with self._admin("hub") as client, asyncio.TaskGroup() as group:
            for name in fleet.cluster_names:
                group.create_task(self._accept(client, name))

    # --- what runs -----------------------------------------------------------------------------------------------

    async def _supervise(self, specs: list[ProcessSpec]) -> None:
        """Let the supervisor run ``specs`` (and nothing that is not in them), starting it where it does not run."""
        layout = self._layout
        text = encode_specs(specs)
        state = read_state(layout.supervisor_file)
        running = state is not None and is_alive(state.pid, state.born)
        if running and state is not None:
            known = set(_names(state))
            if {spec.name for spec in specs} < known:
                return  # a part of what runs already: the rest stays
        write_private(layout.processes_file, text)
        if running and state is not None:
            with contextlib.suppress(ProcessLookupError):
                os.kill(state.pid, signal.SIGHUP)
        else:
            start_supervisor(layout)
        deadline = time.monotonic() + 10
        while True:
            state = read_state(layout.supervisor_file)
            if state is not None and state.spec == text and is_alive(state.pid, state.born):
                return
            if time.monotonic() > deadline:
                raise FleetError(f"the supervisor did not start; see {layout.log('supervisor')}")
            await asyncio.sleep(_LOOK_SECONDS)

    async def _wait_ready(self, name: str) -> None:
        """Wait for a process; raises FleetError with its own words where it keeps failing."""
        deadline = time.monotonic() + _START_SECONDS
        first: int | None = None
        while True:
            state = read_state(self._layout.supervisor_file)
            process = state.process(name) if state is not None else None
            if process is not None:
                if process.state == READY:
                    return
                first = process.restarts if first is None else first
                if process.state == BACKOFF and process.restarts - first >= _PATIENCE:
                    raise FleetError(f"{name} does not start: {process.problem}; see: merope logs {name}")
            if time.monotonic() > deadline:
                raise FleetError(f"{name} is not ready after {_START_SECONDS:g} s; see: merope logs {name}")
            await asyncio.sleep(_LOOK_SECONDS)

    # --- installing ----------------------------------------------------------------------------------------------

    @contextlib.asynccontextmanager
    async def _admin(self, cluster: str) -> AsyncIterator[Client]:
        config = ClientConfig.load(self._layout.admin_kubeconfig(cluster))
        async with Client(config, user_agent="merope-up", field_manager="merope-up") as client:
            yield client

    async def _install_hub(self, fleet: Fleet) -> None:
        async with self._admin("hub") as client:
            await install(client, hub_objects())
            source = self._layout.admin_kubeconfig("hub")
            await write_identities(client, source, self._layout.hub, HUB_NAMESPACE, _HUB_ACCOUNTS)
            token = await request_token(client, BOOTSTRAP_ACCOUNT, OPERATOR_NAMESPACE)
            for name in fleet.cluster_names:
                path = self._layout.agent(name) / "bootstrap.kubeconfig"
                write_private(path, kubeconfigs.with_token(source, "bootstrap", token))

    async def _install_agent(self, name: str) -> None:
        async with self._admin(name) as client:
            await install(client, klusterlet_objects())
            source = self._layout.admin_kubeconfig(name)
            await write_identities(client, source, self._layout.agent(name), AGENT_NAMESPACE, _AGENT_ACCOUNTS)

    # --- accepting -----------------------------------------------------------------------------------------------

    async def _accept(self, client: Client, name: str) -> None:
        """Accept a cluster as soon as it asks, and wait until it is available."""
        accepted = False
        async for cluster in _follow(client, name):
            if not accepted:
                await let_in(client, name)
                accepted = True
                self._progress(f"accepted {name}")
            if is_condition_true((cluster.get("status") or {}).get("conditions"), AVAILABLE):
                self._progress(f"{name} is available")
                return
            if not _joined(cluster):
                await self._approve(client, name)

    async def _approve(self, client: Client, name: str) -> None:
        """Approve the first request of a cluster, which its agent makes at about the same time as the cluster."""
        ref = CORE["CertificateSigningRequest"]
        selector = f"open-cluster-management.io/cluster-name={name}"
        if await approve_requests(client, name):
            return
        existing = await client.list(ref, label_selector=selector)
        if existing:
            return
        async for event in client.watch(ref, label_selector=selector):
            if event.object is not None and await approve_requests(client, name):
                return


async def _follow(client: Client, name: str) -> AsyncIterator[dict[str, Any]]:
    """A ManagedCluster as it is and as it changes, from its creation on."""
    with contextlib.suppress(NotFound):
        yield (await client.fetch(ManagedCluster, name)).raw
    async for event in client.watch(ManagedCluster, field_selector=f"metadata.name={name}"):
        if event.object is not None:
            yield event.object.raw


def _joined(cluster: dict[str, Any]) -> bool:
    return is_condition_true((cluster.get("status") or {}).get("conditions"), "ManagedClusterJoined")


# --- identities --------------------------------------------------------------------------------------------------


async def request_token(client: Client, account: str, namespace: str) -> str:
    """A token of a ServiceAccount."""
    body = {
        "apiVersion": "authentication.k8s.io/v1",
        "kind": "TokenRequest",
        "spec": {"expirationSeconds": TOKEN_SECONDS},
    }
    answer = await client.create_subresource(CORE["ServiceAccount"], account, "token", body, namespace)
    return str(answer["status"]["token"])


async def write_identities(
    client: Client, source: Path, directory: Path, namespace: str, accounts: dict[str, str]
) -> None:
    """Fresh tokens of ``accounts`` (file name to ServiceAccount) in ``directory``, with kubeconfigs that use them."""
    for name, account in accounts.items():
        token_file = directory / f"{name}.token"
        write_private(token_file, await request_token(client, account, namespace))
        text = kubeconfigs.with_token_file(source, account, token_file, namespace)
        write_private(directory / f"{name}.kubeconfig", text)


async def refresh_tokens(layout: Layout) -> None:
    """Replace the tokens of all components; they read the files again by themselves. Raises ``kube.KubeError``."""
    fleet = layout.load()
    places: list[tuple[str, Path, str, dict[str, str]]] = [("hub", layout.hub, HUB_NAMESPACE, dict(_HUB_ACCOUNTS))]
    places += [(name, layout.agent(name), AGENT_NAMESPACE, dict(_AGENT_ACCOUNTS)) for name in fleet.cluster_names]
    for cluster, directory, namespace, accounts in places:
        source = layout.admin_kubeconfig(cluster)
        async with Client(ClientConfig.load(source), user_agent="merope-up") as client:
            await write_identities(client, source, directory, namespace, accounts)


# --- processes ---------------------------------------------------------------------------------------------------


def _merope(*arguments: str) -> tuple[str, ...]:
    return (sys.executable, "-m", "merope", *arguments)


def control_planes(layout: Layout, fleet: Fleet) -> ProcessSpec:
    """The embedded control planes of hub and clusters, in one process."""
    servers: list[str] = []
    for name in ("hub", *fleet.cluster_names):
        servers += ["--server", name]
    arguments = _merope("controlplane", "run", "--state", str(layout.controlplane), *servers)
    return ProcessSpec("controlplane", arguments, announces=True)


def processes(layout: Layout, fleet: Fleet) -> list[ProcessSpec]:
    """All processes of a fleet."""
    hub = _merope(
        "hub",
        "run",
        "--kubeconfig-dir",
        str(layout.hub),
        "--webhook-bind",
        f"127.0.0.1:{fleet.webhook_port}",
        "--identity",
        fleet.identity,
    )
    return [
        control_planes(layout, fleet),
        ProcessSpec("hub", hub, announces=True, after=("controlplane",)),
        *(_agent(layout, fleet, name) for name in fleet.cluster_names),
    ]


def _agent(layout: Layout, fleet: Fleet, name: str) -> ProcessSpec:
    directory = layout.agent(name)
    arguments = _merope(
        "agent",
        "run",
        "--cluster-name",
        name,
        "--agent-id",
        fleet.agents[name],
        "--spoke-kubeconfig",
        str(directory / "registration.kubeconfig"),
        "--work-spoke-kubeconfig",
        str(directory / "work.kubeconfig"),
        "--bootstrap-kubeconfig",
        str(directory / "bootstrap.kubeconfig"),
        "--hub-kubeconfig-dir",
        str(directory / "hub-kubeconfig"),
        "--spoke-external-server-urls",
        kubeconfigs.server_of(layout.admin_kubeconfig(name)),
    )
    return ProcessSpec(f"agent-{name}", arguments, after=("controlplane",))


def start_supervisor(layout: Layout) -> None:
    """Start the supervisor on its own, detached from this command and its terminal."""
    log = os.open(layout.log("supervisor"), os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
    try:
        subprocess.Popen(
            [sys.executable, "-m", "merope.fleet.supervisor", str(layout.root)],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,
            cwd=layout.root,
        )
    finally:
        os.close(log)


def _names(state: SupervisorState) -> Iterable[str]:
    return (process.name for process in state.processes)


def _random_id(length: int = 5) -> str:
    return "".join(random.SystemRandom().choices(_ID_ALPHABET, k=length))


def _first(error: BaseException) -> Exception:
    """The one failure to tell a person of: ours before the API's before anything else."""
    found: list[BaseException] = []
    stack: list[BaseException] = [error]
    while stack:
        each = stack.pop()
        if isinstance(each, BaseExceptionGroup):
            stack.extend(each.exceptions)
        else:
            found.append(each)
    found.sort(key=lambda each: (not isinstance(each, FleetError), not isinstance(each, KubeError)))
    chosen = found[0]
    if isinstance(chosen, FleetError):
        return chosen
    return FleetError(str(chosen) or type(chosen).__name__)
