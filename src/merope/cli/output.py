"""What commands print: tables for people, JSON and YAML for programs, errors in one line."""

from __future__ import annotations

import enum
import json
import sys
from collections.abc import Sequence
from typing import Any


class Format(enum.StrEnum):
    """How to print what was asked for."""

    JSON = "json"
    YAML = "yaml"


def structured(value: Any, output_format: Format) -> None:
    """Print a value as JSON or YAML."""
    if output_format is Format.JSON:
        print(json.dumps(value, indent=2))
    else:
        import yaml

        print(yaml.safe_dump(value, sort_keys=False), end="")


def table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """Print columns as kubectl does: left-aligned, three spaces apart."""
    for line in table_lines(header, rows):
        print(line)


def table_lines(header: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    """The lines of a table; the header is there even without rows."""
    widths = [max(len(row[index]) for row in (header, *rows)) for index in range(len(header))]
    return [
        "   ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
        for row in (header, *rows)
    ]


def error(text: str) -> None:
    """Print a failure where failures go."""
    print(f"error: {text}", file=sys.stderr)


def age(seconds: float) -> str:
    """A duration in kubectl's short form."""
    whole = max(0, int(seconds))
    if whole < 120:
        return f"{whole}s"
    if whole < 2 * 3600:
        return f"{whole // 60}m"
    if whole < 2 * 86400:
        return f"{whole // 3600}h"
    return f"{whole // 86400}d"
