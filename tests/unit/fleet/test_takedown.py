"""Taking down ends everything of a fleet, whatever is left of it, and nothing of anybody else."""

import os
import signal
import subprocess

import pytest

from fixtures.conditions import wait_until
from merope.fleet.launch import clear_away, running, supervise
from merope.fleet.layout import Fleet, FleetError, Layout, choose_port, is_free
from merope.fleet.processes import ProcessState, SupervisorState, birth, is_alive, write_state
from merope.fleet.takedown import take_down

from .conftest import Supervised

FOREVER = "exec sleep 1000"


def test_a_fleet_that_never_ran_is_not_taken_down(layout: Layout) -> None:
    assert take_down(layout) is False


def test_a_running_fleet_ends_whole(supervised: Supervised) -> None:
    supervised.start(supervised.script("a", FOREVER))
    supervised.await_ready("a", "guard")
    state = supervised.state

    assert take_down(supervised.layout) is True

    assert not any(is_alive(each.pid, each.born) for each in state.processes)
    assert not is_alive(state.pid, state.born)
    assert not supervised.layout.supervisor_file.exists()
    assert take_down(supervised.layout) is False


def test_what_a_killed_supervisor_and_guard_left_is_ended(
    supervised: Supervised, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("merope.fleet.takedown._END_SECONDS", 0.3)
    stubborn = "trap '' TERM; echo up; while true; do sleep 0.05; done"
    supervised.start(supervised.script("a", FOREVER), supervised.script("b", stubborn))
    supervised.await_ready("a", "b", "guard")
    wait_until(lambda: supervised.layout.log("b").read_text(), "b ignores signals")
    state = supervised.state
    guard = state.process("guard")
    assert guard is not None
    os.kill(guard.pid, signal.SIGKILL)
    os.kill(state.pid, signal.SIGKILL)
    # A guard may have been started once more in between; it is then the supervisor.
    assert supervised.process is not None
    supervised.process.wait()

    take_down(supervised.layout)

    assert not any(is_alive(each.pid, each.born) for each in state.processes)
    assert running(supervised.layout) is None


def test_processes_that_only_have_the_same_pid_live_on(layout: Layout) -> None:
    stranger = subprocess.Popen(["sleep", "1000"])
    try:
        state = SupervisorState(stranger.pid, "1", 0.0, "", [ProcessState("a", "ready", stranger.pid, "2")])
        write_state(layout.supervisor_file, state)

        assert take_down(layout) is False

        assert stranger.poll() is None
        assert not layout.supervisor_file.exists()
    finally:
        stranger.kill()
        stranger.wait()


def test_leftovers_are_cleared_away_before_a_start(supervised: Supervised) -> None:
    left = subprocess.Popen(["sleep", "1000"])
    state = SupervisorState(1, "gone", 0.0, "", [ProcessState("a", "ready", left.pid, birth(left.pid))])
    write_state(supervised.layout.supervisor_file, state)

    clear_away(supervised.layout, Fleet(clusters=0))

    assert left.wait(5) == -signal.SIGTERM


def test_a_port_of_somebody_else_is_an_error_that_names_it(layout: Layout) -> None:
    import socket

    fleet = Fleet(clusters=1, ports={"hub": choose_port(()), "webhook": 0, "cluster9": 1})
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", fleet.ports["hub"]))
        listener.listen()

        with pytest.raises(FleetError, match=rf"port {fleet.ports['hub']} of the API server of hub is in use"):
            clear_away(layout, fleet)

    assert is_free(fleet.ports["hub"])
    clear_away(layout, fleet)


def test_a_supervisor_is_started_once_and_then_told(supervised: Supervised) -> None:
    layout = supervised.layout
    a, b = supervised.script("a", FOREVER), supervised.script("b", FOREVER)

    first = supervise(layout, [a], alone=True)
    wait_until(lambda: supervised.state.spec == first, "it runs")
    pid = supervised.state.pid
    both = supervise(layout, [b], alone=False)
    wait_until(lambda: supervised.state.spec == both, "it runs both")
    supervised.await_ready("a", "b")
    one = supervise(layout, [b], alone=True)
    wait_until(lambda: supervised.state.spec == one, "it runs one")

    assert supervised.state.pid == pid
    assert supervised.state.process("a") is None
    assert supervise(layout, [b], alone=True) == one
