"""The command line's entry: finds the command and imports no more than that one needs.

The long-running commands (``controlplane run``, ``hub run``, ``agent run``) are what supervisors start, many at a time:
they parse their arguments with the standard library and load neither typer nor rich. Everything that people type goes
through the typer application in ``commands``.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence


def _controlplane(arguments: Sequence[str]) -> int:
    from merope.controlplane.__main__ import main as run

    return run(arguments)


def _hub(arguments: Sequence[str]) -> int:
    from merope.cli.hub import main as run

    return run(arguments)


def _agent(arguments: Sequence[str]) -> int:
    from merope.cli.agent import main as run

    return run(arguments)


_PROCESSES: dict[tuple[str, str], Callable[[Sequence[str]], int]] = {
    ("controlplane", "run"): _controlplane,
    ("hub", "run"): _hub,
    ("agent", "run"): _agent,
}


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command in ``arguments`` (default: those of the process); the exit status."""
    given = list(sys.argv[1:] if arguments is None else arguments)
    process = _PROCESSES.get(tuple(given[:2])) if len(given) >= 2 else None  # type: ignore[arg-type]
    if process is not None:
        return process(given[2:])
    from merope.cli.commands import application

    return application(given)
