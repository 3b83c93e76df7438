"""The supervisor keeps processes alive, in order, and does not end with its own end. Real processes, small ones."""

import asyncio
import json
import os
import signal
import subprocess
import sys
import time

import pytest

from fixtures.conditions import eventually, wait_until
from merope.fleet.layout import Layout
from merope.fleet.processes import ProcessSpec, birth, encode_specs, is_alive, read_specs, read_state
from merope.fleet.supervisor import Supervisor

from .conftest import Supervised

FOREVER = "exec sleep 1000"
#: Says that it is ready as it is told: with --ready-fd and a number.
ANNOUNCES = 'echo ready > "/dev/fd/$2"; exec sleep 1000'


def kill(pid: int, number: int = signal.SIGKILL) -> None:
    os.kill(pid, number)


def test_what_is_specified_runs_in_sessions_and_logs_of_its_own(supervised: Supervised) -> None:
    supervised.start(supervised.script("a", "echo said; " + FOREVER), supervised.script("b", FOREVER))

    supervised.await_ready("a", "b", "guard")
    wait_until(lambda: supervised.layout.log("a").read_text() == "said\n", "the log of a")

    assert os.getsid(supervised.child("a").pid) == supervised.child("a").pid
    assert supervised.layout.log("b").read_text() == ""


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_a_process_that_ends_is_started_again_and_the_reason_is_kept(supervised: Supervised, number: int) -> None:
    supervised.start(supervised.script("a", FOREVER))
    supervised.await_ready("a")
    before = supervised.child("a").pid

    kill(supervised.child("a").pid, number)
    wait_until(lambda: supervised.child("a").restarts == 1, "the end is noticed", timeout=2)
    supervised.await_ready("a")

    assert supervised.child("a").pid != before


def test_one_that_keeps_failing_is_tried_less_and_less_and_says_why(supervised: Supervised) -> None:
    began = time.monotonic()
    supervised.start(supervised.script("a", "echo so it goes >&2; exit 7"), supervised.script("b", FOREVER))

    child = wait_until(
        lambda: (seen := supervised.child("a")).restarts >= 4 and seen.state == "backoff" and seen,
        "four restarts",
    )
    took = time.monotonic() - began

    assert child.problem == "exit status 7: so it goes"
    assert took >= 0.1 + 0.2 + 0.4
    assert supervised.child("b").restarts == 0


def test_a_program_that_is_not_there_is_a_problem_like_any_other(supervised: Supervised) -> None:
    supervised.start(ProcessSpec("a", ("/no/such/program",)), supervised.script("b", FOREVER))

    child = wait_until(lambda: (seen := supervised.child("a")).restarts >= 2 and seen.problem and seen, "two tries")

    assert "No such file" in child.problem
    supervised.await_ready("b")


def test_one_that_announces_is_ready_when_it_says_so(supervised: Supervised) -> None:
    gate = supervised.layout.root / "gate"
    waiting = f"while ! test -e {gate}; do sleep 0.02; done; {ANNOUNCES}"
    supervised.start(
        supervised.script("server", waiting, announces=True),
        supervised.script("client", 'echo client >> "$LOG"; ' + FOREVER, after=["server"]),
    )
    wait_until(lambda: supervised.child("server").state == "starting", "the server starts")
    assert supervised.child("client").state == "stopped"

    gate.touch()

    supervised.await_ready("server", "client")
    assert supervised.order == ["client"]


def test_what_came_after_does_not_wait_again_when_it_is_restarted(supervised: Supervised) -> None:
    supervised.start(
        supervised.script("server", ANNOUNCES, announces=True), supervised.script("client", FOREVER, after=["server"])
    )
    supervised.await_ready("server", "client")
    before = supervised.child("client").pid

    kill(supervised.child("server").pid)
    kill(before)

    wait_until(lambda: supervised.child("client").pid not in (0, before), "the client comes back", timeout=5)
    supervised.await_ready("server")


def test_a_change_touches_only_what_is_different(supervised: Supervised) -> None:
    a, b = supervised.script("a", FOREVER), supervised.script("b", FOREVER)
    supervised.start(a, b, supervised.script("c", FOREVER))
    supervised.await_ready("a", "b", "c")
    before = {name: supervised.child(name).pid for name in ("a", "b", "c")}

    supervised.change(a, supervised.script("b", "true; " + FOREVER), supervised.script("d", FOREVER))

    supervised.await_ready("a", "b", "d")
    assert supervised.child("a").pid == before["a"]
    assert supervised.child("b").pid != before["b"]
    assert supervised.state.process("c") is None
    assert not is_alive(before["c"], birth(before["c"]) or "gone")


def test_a_specification_that_cannot_be_read_changes_nothing(supervised: Supervised) -> None:
    supervised.start(supervised.script("a", FOREVER))
    supervised.await_ready("a")
    before = supervised.child("a").pid

    supervised.layout.processes_file.write_text("[{")
    kill(supervised.state.pid, signal.SIGHUP)
    supervised.change(supervised.script("a", FOREVER), supervised.script("b", FOREVER))

    supervised.await_ready("b")
    assert supervised.child("a").pid == before


def test_asked_to_stop_it_ends_what_needs_others_first_and_leaves_nothing(supervised: Supervised) -> None:
    body = """trap 'echo $NAME >> "$LOG"; exit 0' TERM; echo up; while true; do sleep 0.05; done"""
    supervised.start(
        supervised.script("server", body),
        supervised.script("one", body, after=["server"]),
        supervised.script("two", body, after=["server"]),
    )
    supervised.await_ready("server", "one", "two", "guard")
    for name in ("server", "one", "two"):
        wait_until(lambda name=name: supervised.layout.log(name).read_text(), f"{name} is up")  # type: ignore[misc]
    everything = [(each.pid, each.born) for each in supervised.state.processes]

    assert supervised.process is not None
    supervised.process.terminate()
    assert supervised.process.wait(10) == 0

    assert sorted(supervised.order[:2]) == ["one", "two"]
    assert supervised.order[2:] == ["server"]
    assert not any(is_alive(*each) for each in everything)
    assert not supervised.layout.supervisor_file.exists()


def test_one_in_backoff_does_not_hold_the_stop_up(supervised: Supervised) -> None:
    supervised.start(supervised.script("a", "exit 1"), supervised.script("b", FOREVER, after=["a-that-never-comes"]))
    wait_until(lambda: supervised.child("a").restarts >= 4, "a long delay", timeout=10)

    assert supervised.process is not None
    supervised.process.terminate()

    assert supervised.process.wait(1.5) == 0


def test_killed_itself_it_is_replaced_by_its_guard_which_starts_everything_anew(supervised: Supervised) -> None:
    supervised.start(supervised.script("a", FOREVER), supervised.script("b", FOREVER))
    supervised.await_ready("a", "b", "guard")
    before = supervised.state
    guard = supervised.child("guard").pid
    began = time.monotonic()

    kill(before.pid)
    wait_until(lambda: supervised.state.pid == guard, "the guard takes over", timeout=5)
    supervised.await_ready("a", "b", "guard")

    assert time.monotonic() - began < 5
    assert supervised.child("guard").pid not in (guard, 0)
    for name in ("a", "b"):
        old = before.process(name)
        assert old is not None
        assert not is_alive(old.pid, old.born)


def test_a_killed_guard_is_replaced(supervised: Supervised) -> None:
    supervised.start(supervised.script("a", FOREVER))
    supervised.await_ready("a", "guard")
    guard, child = supervised.child("guard").pid, supervised.child("a").pid

    kill(guard)
    wait_until(
        lambda: (state := supervised.state.process("guard")) and state.pid not in (0, guard), "a new guard", timeout=5
    )

    assert supervised.child("a").pid == child


def test_killed_again_and_again_it_comes_back_each_time(supervised: Supervised) -> None:
    supervised.start(supervised.script("a", FOREVER))
    supervised.await_ready("a", "guard")

    for _ in range(3):
        before = supervised.state
        kill(before.pid)
        wait_until(
            lambda before=before: supervised.state.pid != before.pid,  # type: ignore[misc]
            "the next supervisor",
            timeout=5,
        )
        supervised.await_ready("a", "guard")


def test_leftovers_that_do_not_listen_are_ended_by_the_next_supervisor(supervised: Supervised) -> None:
    stubborn = supervised.script("a", "trap '' TERM; echo up; while true; do sleep 0.05; done")
    supervised.start(stubborn)
    supervised.await_ready("a", "guard")
    wait_until(lambda: supervised.layout.log("a").read_text(), "a ignores signals")
    old = supervised.child("a")

    kill(supervised.state.pid)

    wait_until(lambda: supervised.child("a").pid not in (0, old.pid), "a new one", timeout=5)
    assert not is_alive(old.pid, old.born)
    kill(supervised.child("a").pid)  # so that the end of the test need not wait for it


def test_only_one_supervisor_runs_a_fleet(supervised: Supervised) -> None:
    supervised.start(supervised.script("a", FOREVER))
    supervised.await_ready("a")
    before = supervised.child("a").pid

    second = subprocess.run(
        [sys.executable, "-m", "merope.fleet.supervisor", str(supervised.layout.root)], capture_output=True, text=True
    )

    assert (second.returncode, second.stderr) == (3, "another supervisor runs this fleet\n")
    assert supervised.child("a").pid == before
    assert supervised.alive("a")


def test_a_job_waits_for_its_turn_runs_and_waits_again(supervised: Supervised) -> None:
    job = ProcessSpec("job", ("/bin/sh", "-c", f"echo ran >> {supervised.layout.root}/order"), every=0.3)
    supervised.start(job)
    wait_until(lambda: supervised.child("job").state == "waiting", "its turn is in a while")

    wait_until(lambda: len(supervised.order) >= 2, "it ran twice", timeout=5)

    wait_until(lambda: supervised.child("job").state == "waiting", "it waits")
    assert supervised.child("job").restarts == 0


def test_a_job_that_fails_is_tried_again_soon(supervised: Supervised) -> None:
    body = f"echo ran >> {supervised.layout.root}/order; test $(wc -l < {supervised.layout.root}/order) -gt 2"
    supervised.start(ProcessSpec("job", ("/bin/sh", "-c", body), every=0.5))

    wait_until(lambda: len(supervised.order) >= 3, "two failures and a success", timeout=5)

    wait_until(lambda: supervised.child("job").state == "waiting", "it waits for its next turn")
    assert supervised.child("job").restarts == 2


def test_specifications_are_read_as_written() -> None:
    specs = [ProcessSpec("a", ("x", "y"), True, ("b",)), ProcessSpec("b", ("z",), every=3.0)]

    entries = json.loads(encode_specs(specs))

    assert [entry["name"] for entry in entries] == ["a", "b"]


def test_files_of_another_shape_are_no_specification_and_no_state(supervised: Supervised) -> None:
    file = supervised.layout.root / "file"
    for content in ("", "{}", '[{"name": 1}]', "[1]", "null", '{"processes": [{"unknown": 1}]}'):
        file.write_text(content)

        assert read_state(file) is None
        assert read_specs(file) in (None, (content, []))


def test_a_pid_that_was_given_to_another_process_is_not_taken_for_the_old_one() -> None:
    first = subprocess.Popen(["sleep", "1000"])
    born = birth(first.pid)

    assert is_alive(first.pid, born)
    assert not is_alive(first.pid, born + "1")
    assert not is_alive(0, born)

    first.kill()
    wait_until(lambda: not is_alive(first.pid, born), "a killed process is not alive, waited for or not")
    first.wait()
    assert not is_alive(first.pid, born)


async def test_a_log_that_has_grown_large_is_put_aside_while_its_writer_goes_on(
    layout: Layout, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("merope.fleet.supervisor._LARGEST_LOG", 100)
    layout.log("b").write_text("short\n")
    with layout.log("a").open("a") as writer:
        writer.write("x" * 101)
        writer.flush()
        tidying = asyncio.create_task(Supervisor(layout.root)._tidy())

        await eventually(lambda: layout.log("a").stat().st_size == 0, "the log begins anew")
        tidying.cancel()
        writer.write("next\n")

    assert layout.log("a").read_text() == "next\n"
    assert layout.log("a").with_suffix(".log.1").read_text() == "x" * 101
    assert layout.log("b").read_text() == "short\n"
    assert not layout.log("b").with_suffix(".log.1").exists()
