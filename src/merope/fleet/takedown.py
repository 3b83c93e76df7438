"""Taking a fleet down: the supervisor ends its processes in order; what it left over is ended here."""

from __future__ import annotations

import contextlib
import os
import signal
import time
from typing import Final

from merope.fleet.layout import FleetError, Layout
from merope.fleet.processes import SupervisorState, is_alive, read_state

_STOP_SECONDS: Final = 25.0
#: Seconds between asking what is left and forcing it.
_END_SECONDS: Final = 5.0
_LOOK_SECONDS: Final = 0.02


def take_down(layout: Layout) -> bool:
    """Stop everything that runs of a fleet; whether anything did. Idempotent. Raises FleetError."""
    state = read_state(layout.supervisor_file)
    if state is None:
        return False
    pids = _alive(state)
    if not pids:
        _forget(layout)
        return False
    if is_alive(state.pid, state.born):
        _signal(state.pid, signal.SIGTERM)
        _await_end([(state.pid, state.born)], _STOP_SECONDS)
    # Killed before, or stuck: end what is left, whatever it is.
    for number in (signal.SIGTERM, signal.SIGKILL):
        left = _alive(read_state(layout.supervisor_file) or state)
        if not left:
            break
        for pid, _ in left:
            _signal(pid, number)
        _await_end(left, _END_SECONDS)
    left = _alive(state)
    if left:
        raise FleetError(f"these processes of the fleet do not end: {', '.join(str(pid) for pid, _ in left)}")
    _forget(layout)
    return True


def _alive(state: SupervisorState) -> list[tuple[int, str]]:
    known = [(state.pid, state.born), *((process.pid, process.born) for process in state.processes)]
    return [(pid, born) for pid, born in known if is_alive(pid, born)]


def _signal(pid: int, number: int) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, number)


def _await_end(processes: list[tuple[int, str]], seconds: float) -> None:
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline and any(is_alive(pid, born) for pid, born in processes):
        time.sleep(_LOOK_SECONDS)


def _forget(layout: Layout) -> None:
    with contextlib.suppress(FileNotFoundError):
        layout.supervisor_file.unlink()
