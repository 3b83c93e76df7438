"""What goes wrong around a fleet is told in words that help, and damages nothing."""

import json
import os
import signal
import socket
from pathlib import Path

import pytest

from fixtures.conditions import wait_until

from .conftest import Fleet, FleetFactory, is_running


@pytest.fixture(scope="module")
def stopped(fleets: FleetFactory, tmp_path_factory: pytest.TempPathFactory) -> Fleet:
    """A fleet without clusters that is down; tests leave it so."""
    made = fleets(directory=tmp_path_factory.mktemp("stopped"))
    made.up("--clusters", "0")
    made.down()
    return made


def content(fleet: Fleet) -> dict[str, bytes]:
    """Every file that a failed command could have damaged."""
    return {
        str(path.relative_to(fleet.root)): path.read_bytes()
        for path in fleet.root.rglob("*")
        if path.is_file() and "logs" not in path.parts and path.name != "lock" and path.suffix != ".lock"
    }


@pytest.mark.parametrize("listener", ["hub", "webhook"])
def test_a_port_that_somebody_else_took_is_an_error_and_no_other_port(stopped: Fleet, listener: str) -> None:
    port = json.loads((stopped.root / "fleet.json").read_text())["ports"][listener]
    before = content(stopped)

    with socket.socket() as other:
        other.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        other.bind(("127.0.0.1", port))
        other.listen()
        answer = stopped.merope("up", check=False)

    assert answer.returncode == 1
    assert f"port {port}" in answer.stderr
    assert "in use by another program" in answer.stderr
    assert content(stopped) == before
    assert stopped.state()["pid"] == 0
    stopped.up()
    assert json.loads((stopped.root / "fleet.json").read_text())["ports"][listener] == port
    stopped.down()


def test_a_newer_state_directory_is_refused_and_left_as_it_is(stopped: Fleet) -> None:
    file = stopped.root / "fleet.json"
    original = file.read_text()
    file.write_text(json.dumps({**json.loads(original), "format": 99}))
    before = content(stopped)

    try:
        for verb in ("up", "status", "kubeconfig"):
            answer = stopped.merope(verb, check=False)
            assert (answer.returncode, "newer merope" in answer.stderr) == (1, True), verb
        assert content(stopped) == before
    finally:
        file.write_text(original)


def test_a_newer_state_of_a_control_plane_is_told_in_its_own_words(stopped: Fleet) -> None:
    file = stopped.root / "controlplane" / "hub" / "server.json"
    original = file.read_text()
    file.write_text(json.dumps({**json.loads(original), "format": 99}))

    try:
        answer = stopped.merope("up", check=False)
        assert answer.returncode == 1
        assert "controlplane does not start" in answer.stderr
        assert "99" in answer.stderr
    finally:
        file.write_text(original)
        stopped.merope("down")
    stopped.up()
    stopped.down()


def test_a_home_that_may_not_be_written_is_told_with_a_way_out(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    fleet = Fleet(tmp_path / "file")

    answer = fleet.merope("up", check=False)

    assert answer.returncode == 1
    assert "set MEROPE_HOME" in answer.stderr
    assert answer.stderr.count("\n") == 1


def test_two_ups_at_once_do_not_meet(stopped: Fleet) -> None:
    import fcntl

    with (stopped.root / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        answer = stopped.merope("up", check=False)

    assert answer.returncode == 1
    assert "another merope up or merope down" in answer.stderr


def test_after_kill_9_of_everything_up_brings_back_what_was(fleets: FleetFactory) -> None:
    fleet = fleets("killed")
    fleet.up("--clusters", "1")
    uid = fleet.cluster("cluster1")["metadata"]["uid"]
    pids = fleet.pids()

    fleet.kill_everything()
    assert "not running" in fleet.merope("status").stdout
    fleet.up()

    assert fleet.cluster("cluster1")["metadata"]["uid"] == uid
    assert fleet.is_available("cluster1")
    assert not set(pids) & set(fleet.pids())


def test_orphans_of_a_killed_supervisor_and_guard_are_cleared_away(fleets: FleetFactory) -> None:
    fleet = fleets("orphans")
    fleet.up("--clusters", "0")
    orphan = fleet.process("controlplane")["pid"]
    fleet.kill("guard")
    fleet.kill("supervisor")
    wait_until(lambda: not is_running(fleet.state()["pid"]), "the supervisor is gone")

    fleet.up()

    assert not is_running(orphan)
    assert fleet.process("controlplane")["pid"] != orphan


def test_an_interrupted_up_goes_on_where_it_was(fleets: FleetFactory) -> None:
    import subprocess

    fleet = fleets("interrupted")
    first = subprocess.Popen(
        [*fleet.command, "up", "--clusters", "1", "--name", fleet.name],
        env={**os.environ, "MEROPE_HOME": str(fleet.home)},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        # A shell has what it runs in the background ignore Ctrl-C, and the tests may run there.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )
    wait_until((fleet.home / "fleets" / fleet.name / "supervisor.json").exists, "it has begun", interval=0.005)
    first.send_signal(signal.SIGINT)
    assert first.wait(20) == 130

    fleet.up()

    assert fleet.is_available("cluster1")
