"""``merope status``."""

from __future__ import annotations

import asyncio
import time
from typing import Any

from merope.cli import output
from merope.fleet.layout import Layout
from merope.fleet.processes import SupervisorState, is_alive, read_state
from merope.kube import Client, ClientConfig, KubeError, condition_status


def status(name: str, output_format: output.Format | None) -> None:
    """Show what runs of a fleet, and what its hub says of the clusters."""
    layout = Layout(name)
    fleet = layout.load()
    state = read_state(layout.supervisor_file)
    running = state is not None and is_alive(state.pid, state.born)
    found: dict[str, Any] = {
        "name": fleet.name,
        "directory": str(layout.root),
        "kubeconfig": str(layout.kubeconfig),
        "running": running,
        "processes": _processes(state) if running and state is not None else [],
        "clusters": [],
    }
    problem = ""
    if running:
        try:
            found["clusters"] = asyncio.run(_clusters(layout))
        except (KubeError, TimeoutError) as error:
            problem = f"the hub does not answer: {error or 'timed out'}"
    if output_format is not None:
        output.structured({**found, **({"problem": problem} if problem else {})}, output_format)
        return
    _show(layout, found, problem)


def _show(layout: Layout, found: dict[str, Any], problem: str) -> None:
    if not found["running"]:
        print(f"Fleet {found['name']!r} is not running; start it with: merope up{layout.option}")
        return
    rows = [
        (each["name"], each["state"], str(each["pid"] or "-"), str(each["restarts"]), output.age(each["age"]))
        for each in found["processes"]
    ]
    output.table(("PROCESS", "STATE", "PID", "RESTARTS", "SINCE"), rows)
    for each in found["processes"]:
        if each["problem"]:
            print(f"  {each['name']}: {each['problem']}")
    print()
    if problem:
        print(problem)
        return
    columns = ("name", "accepted", "joined", "available", "url")
    output.table(
        ("CLUSTER", "ACCEPTED", "JOINED", "AVAILABLE", "URL"),
        [tuple(each[column] for column in columns) for each in found["clusters"]],
    )


def _processes(state: SupervisorState) -> list[dict[str, Any]]:
    now = time.time()
    shown = [
        {
            "name": each.name,
            "state": each.state,
            "pid": each.pid,
            "restarts": each.restarts,
            "age": round(max(0.0, now - each.since), 1),
            "problem": each.problem,
        }
        for each in state.processes
    ]
    age = round(max(0.0, now - state.since), 1)
    return [
        {"name": "supervisor", "state": "ready", "pid": state.pid, "restarts": 0, "age": age, "problem": ""},
        *shown,
    ]


async def _clusters(layout: Layout) -> list[dict[str, str]]:
    from merope.api.cluster.v1 import ManagedCluster

    config = ClientConfig.load(layout.admin_kubeconfig("hub"))
    async with asyncio.timeout(5), Client(config, user_agent="merope-status", patience=2) as client:
        page = await client.page(ManagedCluster)
    out: list[dict[str, str]] = []
    for cluster in page.items:
        raw = cluster.raw
        conditions = (raw.get("status") or {}).get("conditions")
        spec = raw.get("spec") or {}
        configs = spec.get("managedClusterClientConfigs") or ()
        out.append(
            {
                "name": cluster.name,
                "accepted": "True" if spec.get("hubAcceptsClient") else "False",
                "joined": condition_status(conditions, "ManagedClusterJoined") or "-",
                "available": condition_status(conditions, "ManagedClusterConditionAvailable") or "-",
                "url": configs[0].get("url", "-") if configs else "-",
            }
        )
    return out
