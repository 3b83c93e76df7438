"""Waiting for processes that the supervisor runs: until they are ready, or for as long as there is hope."""

import math
import os

import pytest

from merope.fleet.launch import agent_started, await_ready, running
from merope.fleet.layout import FleetError, Layout
from merope.fleet.processes import ProcessState, SupervisorState, birth, write_state

ME = os.getpid()


def say(layout: Layout, *processes: ProcessState, spec: str = "wanted", pid: int = ME) -> None:
    """Write what a supervisor, this process, sees."""
    write_state(layout.supervisor_file, SupervisorState(pid, birth(ME), 0.0, spec, list(processes)))


def test_a_process_is_ready_once_the_supervisor_that_knows_of_it_says_so(layout: Layout) -> None:
    is_ready = await_ready(layout, "hub", "wanted")

    assert not is_ready()
    say(layout, ProcessState("hub", "ready", ME, birth(ME)), spec="something older")
    assert not is_ready()
    say(layout)
    assert not is_ready()
    say(layout, ProcessState("hub", "starting", ME, birth(ME)))
    assert not is_ready()
    say(layout, ProcessState("hub", "ready", ME, birth(ME)))
    assert is_ready()


def test_one_that_keeps_failing_is_given_up_with_its_own_words(layout: Layout) -> None:
    is_ready = await_ready(layout, "hub", "wanted")

    say(layout, ProcessState("hub", "backoff", restarts=5, problem="exit status 1: no such file"))
    assert not is_ready()
    say(layout, ProcessState("hub", "backoff", restarts=6, problem="exit status 1: no such file"))
    assert not is_ready()
    say(layout, ProcessState("hub", "backoff", restarts=7, problem="exit status 1: no such file"))

    with pytest.raises(FleetError, match=r"hub does not start: exit status 1: no such file; see: merope logs hub"):
        is_ready()


def test_a_supervisor_that_does_nothing_is_no_longer_waited_for(
    layout: Layout, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("merope.fleet.launch._SUPERVISOR_SECONDS", -1.0)

    with pytest.raises(FleetError, match=r"supervisor does not do its work; see .*supervisor\.log"):
        await_ready(layout, "hub", "wanted")()


def test_a_supervisor_that_is_gone_does_not_run(layout: Layout) -> None:
    assert running(layout) is None
    say(layout, pid=2**22 + 1)
    assert running(layout) is None
    say(layout)
    assert running(layout) is not None


def test_an_agent_that_has_not_started_yet_will_have_started_after_any_heartbeat(layout: Layout) -> None:
    assert agent_started(layout, "cluster1") == math.inf
    say(layout, ProcessState("agent-cluster1", "backoff", since=50.0))
    assert agent_started(layout, "cluster1") == math.inf
    say(layout, ProcessState("agent-cluster1", "ready", ME, birth(ME), since=100.0))
    assert agent_started(layout, "cluster1") == 100.0
