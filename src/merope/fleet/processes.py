"""What the supervisor runs, as a file that ``up`` writes and the supervisor reads; and what it sees, the other way.

Plain standard library: the supervisor imports nothing else, so that it stays small.
"""

from __future__ import annotations

import json
import os
import tempfile
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Final

STARTING: Final = "starting"
READY: Final = "ready"
BACKOFF: Final = "backoff"
WAITING: Final = "waiting"
STOPPED: Final = "stopped"


@dataclass(frozen=True, slots=True)
class ProcessSpec:
    """One process. ``announces``: it takes ``--ready-fd`` and says when it is ready; others are ready once running.

    ``after`` names processes that must be ready before it is first started. ``every``, in seconds, makes it a job that
    runs at such intervals and ends; 0 is a process that goes on.
    """

    name: str
    arguments: tuple[str, ...]
    announces: bool = False
    after: tuple[str, ...] = ()
    every: float = 0.0


@dataclass(slots=True)
class ProcessState:
    """What the supervisor sees of one process. ``born`` tells this process from another with its pid."""

    name: str
    state: str = STOPPED
    pid: int = 0
    born: str = ""
    restarts: int = 0
    since: float = 0.0
    problem: str = ""


@dataclass(slots=True)
class SupervisorState:
    """What the supervisor sees of itself and its processes; ``spec`` is the specification it has read."""

    pid: int = 0
    born: str = ""
    since: float = 0.0
    spec: str = ""
    processes: list[ProcessState] = field(default_factory=list)

    def process(self, name: str) -> ProcessState | None:
        return next((each for each in self.processes if each.name == name), None)

    def specs(self) -> list[ProcessSpec]:
        """The specification, read."""
        try:
            return _decode_specs(self.spec)
        except ValueError:
            return []


def encode_specs(specs: Sequence[ProcessSpec]) -> str:
    return json.dumps([asdict(spec) for spec in specs], indent=1) + "\n"


def read_specs(path: Path) -> tuple[str, list[ProcessSpec]] | None:
    """The text of the file and what it says; None where it is missing or says nothing that can be understood."""
    try:
        text = path.read_text()
        return text, _decode_specs(text)
    except (OSError, ValueError):
        return None


def _decode_specs(text: str) -> list[ProcessSpec]:
    try:
        return [
            ProcessSpec(
                entry["name"],
                tuple(entry["arguments"]),
                bool(entry.get("announces")),
                tuple(entry.get("after") or ()),
                float(entry.get("every") or 0.0),
            )
            for entry in json.loads(text)
        ]
    except (TypeError, KeyError, AttributeError) as error:
        raise ValueError(f"no specification of processes: {error}") from error


def write_state(path: Path, state: SupervisorState) -> None:
    _replace(path, json.dumps(asdict(state), indent=1) + "\n")


def read_state(path: Path) -> SupervisorState | None:
    """What the supervisor last said; None where it never said anything readable."""
    try:
        stated: dict[str, Any] = json.loads(path.read_text())
        processes = [ProcessState(**each) for each in stated.pop("processes")]
        return SupervisorState(**stated, processes=processes)
    except (OSError, ValueError, TypeError, KeyError, AttributeError):
        return None


def _replace(path: Path, content: str) -> None:
    descriptor, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    with os.fdopen(descriptor, "w") as file:
        file.write(content)
    os.replace(temporary, path)


def birth(pid: int) -> str:
    """Something that tells a process from an earlier or later one with its pid; empty where there is none.

    On Linux the time since boot at which it began, elsewhere what ``ps`` says of its start.
    """
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        return "" if fields[0] == "Z" else fields[19]
    except OSError:
        if os.path.isdir("/proc/self"):
            return ""
    import subprocess

    found = subprocess.run(["ps", "-o", "lstart=", "-p", str(pid)], capture_output=True, text=True, check=False)
    return found.stdout.strip()


def is_alive(pid: int, born: str) -> bool:
    """Whether the very process that ``birth`` described still runs."""
    return bool(pid) and bool(born) and birth(pid) == born
