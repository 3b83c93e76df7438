"""Printing objects that a ``get`` found: as a tree or a table for people, whole or by name for programs."""

from __future__ import annotations

import enum
import json
import os
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from merope.cli import output
from merope.cli.tree import Tree, draw

Manifest = Mapping[str, Any]


class ListFormat(enum.StrEnum):
    """How a ``get`` prints what it found."""

    TREE = "tree"
    TABLE = "table"
    WIDE = "wide"
    YAML = "yaml"
    JSON = "json"
    NAME = "name"


@dataclass(frozen=True, slots=True)
class Columns:
    """A table: its header, and the cells of each row. ``wide``: how many of the last columns only ``-o wide`` shows."""

    header: Sequence[str]
    rows: Sequence[Sequence[str]]
    wide: int = 0


@dataclass(frozen=True, slots=True)
class Listing:
    """Objects of one kind with their two views for people, made when they are asked for."""

    kind: str
    resource: str
    items: Sequence[Manifest]
    tree: Callable[[], Tree]
    columns: Callable[[], Columns]


def show(listing: Listing, form: ListFormat) -> None:
    """Print a listing on standard output."""
    for line in lines(listing, form, colour=sys.stdout.isatty() and "NO_COLOR" not in os.environ):
        print(line)


def lines(listing: Listing, form: ListFormat, *, colour: bool = False) -> list[str]:
    """What ``show`` prints."""
    match form:
        case ListFormat.TREE:
            return list(draw(listing.kind, listing.tree(), colour=colour))
        case ListFormat.TABLE | ListFormat.WIDE:
            columns = listing.columns()
            shown = len(columns.header) - (0 if form is ListFormat.WIDE else columns.wide)
            return output.table_lines(columns.header[:shown], [row[:shown] for row in columns.rows])
        case ListFormat.NAME:
            return [f"{listing.resource}/{name_of(item)}" for item in listing.items]
        case ListFormat.JSON:
            document = {"apiVersion": "v1", "kind": "List", "metadata": {"resourceVersion": ""}}
            return [json.dumps(document | {"items": list(listing.items)}, indent=4)]
        case ListFormat.YAML:
            import yaml

            return ["---\n".join(yaml.safe_dump(dict(item)) for item in listing.items).rstrip("\n")]


def name_of(item: Manifest) -> str:
    """The name of an object."""
    return str(item["metadata"]["name"])


def namespace_of(item: Manifest) -> str:
    """The namespace of an object; "" where it has none."""
    return str(item["metadata"].get("namespace", ""))


def condition(item: Manifest, type_: str) -> Mapping[str, Any]:
    """A condition of an object's status; empty where it is absent."""
    for found in (item.get("status") or {}).get("conditions") or ():
        if found.get("type") == type_:
            return dict(found)
    return {}


def age_of(item: Manifest, now: datetime | None = None) -> str:
    """How long ago an object was created, in kubectl's short form."""
    created = item["metadata"].get("creationTimestamp")
    if not created:
        return "<unknown>"
    return output.age(((now or datetime.now(UTC)) - datetime.fromisoformat(created)).total_seconds())
