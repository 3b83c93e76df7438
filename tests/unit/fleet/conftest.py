"""Fleets whose processes are small shell scripts, watched over by the real supervisor."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from fixtures.conditions import wait_until
from merope.fleet.layout import Layout, write_private
from merope.fleet.processes import ProcessSpec, ProcessState, SupervisorState, encode_specs, is_alive, read_state
from merope.fleet.takedown import take_down


class Supervised:
    """A supervisor of scripts, with ways to look at it and to hurt it."""

    def __init__(self, layout: Layout) -> None:
        self.layout = layout
        self.process: subprocess.Popen[bytes] | None = None

    def script(self, name: str, body: str, *, after: Sequence[str] = (), announces: bool = False) -> ProcessSpec:
        """A process that runs ``body``; ``$LOG`` is a file that all of them share, to see who did what when."""
        prelude = f"NAME={name} LOG={self.layout.root}/order\n"
        return ProcessSpec(name, ("/bin/sh", "-c", prelude + body, name), announces, tuple(after))

    def specify(self, *specs: ProcessSpec) -> str:
        text = encode_specs(specs)
        write_private(self.layout.processes_file, text)
        return text

    def start(self, *specs: ProcessSpec) -> None:
        """Start the supervisor and wait until it has read ``specs``."""
        text = self.specify(*specs)
        self.process = subprocess.Popen(
            [sys.executable, "-m", "merope.fleet.supervisor", str(self.layout.root)], start_new_session=True
        )
        wait_until(lambda: self.state.spec == text, "the supervisor reads its specification", timeout=10)

    def change(self, *specs: ProcessSpec) -> None:
        """Let the running supervisor read new ``specs``."""
        text = self.specify(*specs)
        os.kill(self.state.pid, signal.SIGHUP)
        wait_until(lambda: self.state.spec == text, "the supervisor reads its specification again", timeout=10)

    @property
    def state(self) -> SupervisorState:
        state = read_state(self.layout.supervisor_file)
        assert state is not None, "no state is written"
        return state

    def child(self, name: str) -> ProcessState:
        found = self.state.process(name)
        assert found is not None, f"{name} is not there"
        return found

    def await_ready(self, *children: str) -> None:
        for name in children:
            wait_until(
                lambda name=name: self.child(name).state == "ready" and self.alive(name),  # type: ignore[misc]
                f"{name} is ready",
                timeout=10,
            )

    def alive(self, name: str) -> bool:
        child = self.child(name)
        return is_alive(child.pid, child.born)

    @property
    def order(self) -> list[str]:
        try:
            return (self.layout.root / "order").read_text().splitlines()
        except FileNotFoundError:
            return []


@pytest.fixture
def layout(tmp_path: Path) -> Layout:
    made = Layout("default", tmp_path / "home")
    made.prepare()
    return made


@pytest.fixture
def supervised(layout: Layout) -> Iterator[Supervised]:
    made = Supervised(layout)
    try:
        yield made
    finally:
        take_down(layout)
        if made.process is not None:
            made.process.kill()
            made.process.wait()
