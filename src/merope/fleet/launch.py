"""Having a fleet's processes run, by its supervisor: it is started where it does not run yet, else told of changes.

Standard library only: ``up`` begins here, and loads what it needs next while the control planes start.
"""

from __future__ import annotations

import contextlib
import math
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from typing import Final

from merope.fleet.layout import Fleet, FleetError, Layout, is_free, write_private
from merope.fleet.plan import CONTROL_PLANES, HUB, agent_process
from merope.fleet.processes import (
    BACKOFF,
    READY,
    STARTING,
    ProcessSpec,
    SupervisorState,
    encode_specs,
    is_alive,
    read_specs,
    read_state,
)
from merope.fleet.takedown import take_down

_LOOK_SECONDS: Final = 0.02
_SUPERVISOR_SECONDS: Final = 30.0
#: Restarts of a process within one ``up`` after which it is no longer waited for.
_PATIENCE: Final = 2


def running(layout: Layout) -> SupervisorState | None:
    """What the fleet's supervisor sees; None where none runs."""
    state = read_state(layout.supervisor_file)
    return state if state is not None and is_alive(state.pid, state.born) else None


def supervise(layout: Layout, specs: Sequence[ProcessSpec], *, alone: bool) -> str:
    """Let the supervisor run ``specs``, starting it where it does not run; the text that it shall have read.

    ``alone``: nothing else shall run. Otherwise what else runs already goes on.
    """
    state = running(layout)
    wanted = list(specs)
    if state is not None and not alone:
        known = {spec.name for spec in specs}
        wanted += [spec for spec in (read_specs(layout.processes_file) or ("", []))[1] if spec.name not in known]
    text = encode_specs(wanted)
    try:
        write_private(layout.processes_file, text)
    except OSError as error:
        raise FleetError(f"cannot write {layout.processes_file}: {error.strerror}") from error
    if state is None:
        _start_supervisor(layout)
    elif state.spec != text:
        with contextlib.suppress(ProcessLookupError):
            os.kill(state.pid, signal.SIGHUP)
    return text


def clear_away(layout: Layout, fleet: Fleet) -> None:
    """End what a supervisor that is gone left running, and see that all ports can be had. Raises FleetError."""
    state = running(layout)
    if state is None:
        take_down(layout)
    known = _listening(state)
    for name, port in fleet.ports.items():
        if name not in known and name in fleet.listeners and not is_free(port):
            what = "the hub's webhooks" if name == "webhook" else f"the API server of {name}"
            raise FleetError(
                f"port {port} of {what} is in use by another program; end that, then run merope up again "
                "(the fleet's ports are part of what its agents and kubeconfigs know, so they do not change)"
            )


def _listening(state: SupervisorState | None) -> set[str]:
    """Listeners of processes that run, in which the supervisor's own reports serve for more than a look would."""
    if state is None:
        return set()
    found: set[str] = set()
    for spec in state.specs():
        if spec.name == CONTROL_PLANES:
            found |= {
                value.partition(":")[0]
                for flag, value in zip(spec.arguments, spec.arguments[1:], strict=False)
                if flag == "--server"
            }
        elif spec.name == HUB:
            found.add("webhook")
    return found


def await_ready(layout: Layout, name: str, text: str) -> Callable[[], bool]:
    """Whether a process is ready, to be asked again and again.

    ``text`` is what the supervisor must have read for its answer to count. The question raises FleetError in the
    process's own words where it keeps failing.
    """
    asked = time.monotonic()
    first: int | None = None

    def is_ready() -> bool:
        nonlocal first
        state = running(layout)
        if state is None or state.spec != text:
            if time.monotonic() - asked > _SUPERVISOR_SECONDS:
                raise FleetError(f"the supervisor does not do its work; see {layout.log('supervisor')}")
            return False
        process = state.process(name)
        if process is None:
            return False
        if process.state == READY:
            return True
        first = process.restarts if first is None else first
        if process.state == BACKOFF and process.restarts - first >= _PATIENCE:
            raise FleetError(f"{name} does not start: {process.problem}; see: merope logs {name}")
        return False

    return is_ready


def agent_started(layout: Layout, cluster: str) -> float:
    """When the agent of a cluster was last started, in seconds of the epoch; not yet is far in the future."""
    state = running(layout)
    process = state.process(agent_process(cluster)) if state is not None else None
    return process.since if process is not None and process.state in (STARTING, READY) else math.inf


def _start_supervisor(layout: Layout) -> None:
    """Start the supervisor on its own, detached from this command and its terminal."""
    log = os.open(layout.log("supervisor"), os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o600)
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
