"""``merope logs``."""

from __future__ import annotations

import collections
import time
from pathlib import Path
from typing import Final

from merope.fleet.layout import FleetError, Layout

_LOOK_SECONDS: Final = 0.2


def logs(name: str, process: str | None, *, follow: bool, tail: int) -> None:
    """Print the last lines of one log or of all, and with ``follow`` what is added."""
    layout = Layout(name)
    layout.load()
    known = {path.stem: path for path in sorted(layout.logs.glob("*.log"))}
    if process is not None and process not in known:
        raise FleetError(f"fleet {name!r} has no process {process!r}; it has {', '.join(known) or 'none yet'}")
    chosen = {process: known[process]} if process is not None else known
    prefixed = len(chosen) > 1
    places = {title: _print_tail(title, path, tail, prefixed) for title, path in chosen.items()}
    while follow:
        for title, path in chosen.items():
            places[title] = _print_from(title, path, places[title], prefixed)
        time.sleep(_LOOK_SECONDS)


def _print_tail(title: str, path: Path, tail: int, prefixed: bool) -> int:
    with path.open(encoding="utf-8", errors="replace") as file:
        for line in collections.deque(file, maxlen=max(0, tail)):
            _print(title, line, prefixed)
        return file.tell()


def _print_from(title: str, path: Path, place: int, prefixed: bool) -> int:
    try:
        size = path.stat().st_size
    except FileNotFoundError:
        return 0
    if size == place:
        return place
    with path.open(encoding="utf-8", errors="replace") as file:
        file.seek(place if size > place else 0)  # a smaller file is a new one
        for line in iter(file.readline, ""):
            _print(title, line, prefixed)
        return file.tell()


def _print(title: str, line: str, prefixed: bool) -> None:
    print(f"{title} | {line.rstrip()}" if prefixed else line.rstrip(), flush=True)
