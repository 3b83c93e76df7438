"""Which processes make up a fleet, with their command lines. Pure, and light: ``up`` needs it before all else."""

from __future__ import annotations

import random
import sys
from typing import Final

from merope.fleet.layout import Fleet, FleetError, Layout, choose_port, ports_in_use
from merope.fleet.processes import ProcessSpec

CONTROL_PLANES: Final = "controlplane"
HUB: Final = "hub"
#: Seconds between replacements of the components' tokens.
_REFRESH_SECONDS: Final = 24 * 3600.0
_ID_ALPHABET: Final = "bcdfghjklmnpqrstvwxz2456789"


def plan(layout: Layout, clusters: int | None) -> Fleet:
    """The fleet as it shall be, written down: what is new gets ports and ids for good, what is there keeps them.

    Raises FleetError where ``clusters`` are fewer than there are.
    """
    created = not layout.exists()
    fleet = Fleet(layout.name) if created else layout.load()
    if clusters is not None:
        if clusters < fleet.clusters and not created:
            raise FleetError(
                f"fleet {fleet.name!r} has {fleet.clusters} clusters and does not shrink: "
                f"begin anew after merope down --purge{layout.option}, or make a smaller one with --name"
            )
        fleet.clusters = clusters
    fleet.identity = fleet.identity or f"{fleet.name}-{_random_id()}"
    for name in fleet.cluster_names:
        fleet.agents.setdefault(name, _random_id())
    missing = [name for name in fleet.listeners if name not in fleet.ports]
    if missing:
        taken = ports_in_use(layout.home)
        for name in missing:
            fleet.ports[name] = choose_port(taken)
            taken.add(fleet.ports[name])
    layout.save(fleet)
    return fleet


def control_planes(layout: Layout, fleet: Fleet) -> ProcessSpec:
    """The embedded control planes of hub and clusters, in one process."""
    arguments = ["controlplane", "run", "--state", str(layout.controlplane)]
    for name in ("hub", *fleet.cluster_names):
        arguments += ["--server", f"{name}:{fleet.ports[name]}"]
    return ProcessSpec(CONTROL_PLANES, _merope(*arguments), announces=True)


def processes(layout: Layout, fleet: Fleet) -> list[ProcessSpec]:
    """All processes of a fleet."""
    hub = ["hub", "run", "--kubeconfig-dir", str(layout.hub), "--identity", fleet.identity]
    hub += ["--webhook-bind", f"127.0.0.1:{fleet.ports['webhook']}"]
    tokens = (sys.executable, "-m", "merope.fleet.identities", str(layout.root))
    return [
        control_planes(layout, fleet),
        ProcessSpec(HUB, _merope(*hub), announces=True, after=(CONTROL_PLANES,)),
        *(_agent(layout, fleet, name) for name in fleet.cluster_names),
        ProcessSpec("tokens", tokens, after=(CONTROL_PLANES,), every=_REFRESH_SECONDS),
    ]


def agent_process(cluster: str) -> str:
    """The name of the process that is the agent of a cluster."""
    return f"agent-{cluster}"


def _agent(layout: Layout, fleet: Fleet, name: str) -> ProcessSpec:
    directory = layout.agent(name)
    arguments = ["agent", "run", "--cluster-name", name, "--agent-id", fleet.agents[name]]
    for flag, file in (
        ("--spoke-kubeconfig", "registration.kubeconfig"),
        ("--work-spoke-kubeconfig", "work.kubeconfig"),
        ("--bootstrap-kubeconfig", "bootstrap.kubeconfig"),
        ("--hub-kubeconfig-dir", "hub-kubeconfig"),
    ):
        arguments += [flag, str(directory / file)]
    arguments += ["--spoke-external-server-urls", f"https://127.0.0.1:{fleet.ports[name]}"]
    # After the hub, whose webhooks put a cluster into its set when it is created.
    return ProcessSpec(agent_process(name), _merope(*arguments), after=(CONTROL_PLANES, HUB))


def _merope(*arguments: str) -> tuple[str, ...]:
    return (sys.executable, "-m", "merope", *arguments)


def _random_id(length: int = 5) -> str:
    return "".join(random.SystemRandom().choices(_ID_ALPHABET, k=length))
