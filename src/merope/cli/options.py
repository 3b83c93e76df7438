"""The options that many commands share."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any, TypeAlias

import typer
from typer.core import TyperCommand

from merope.cli.completion import cluster_names
from merope.cli.listing import ListFormat

Kubeconfig: TypeAlias = Annotated[
    str | None, typer.Option("--kubeconfig", metavar="FILE", help="Kubeconfig of the hub (default: as kubectl does).")
]
Context: TypeAlias = Annotated[str | None, typer.Option("--context", metavar="NAME", help="Context in it.")]
DryRun: TypeAlias = Annotated[bool, typer.Option("--dry-run", help="Let the hub check everything, change nothing.")]
Timeout: TypeAlias = Annotated[
    float, typer.Option("--timeout", metavar="SECONDS", min=0, help="How long to wait, in all.")
]
Cluster: TypeAlias = Annotated[
    str | None, typer.Option("--cluster", "-c", metavar="NAME", help="One cluster.", autocompletion=cluster_names)
]
Clusters: TypeAlias = Annotated[
    list[str] | None,
    typer.Option(
        "--clusters", metavar="NAME,...", help="Clusters, with commas or repeated.", autocompletion=cluster_names
    ),
]
Listed: TypeAlias = Annotated[ListFormat, typer.Option("--output", "-o", help="How to print.")]


class WaitsForSeconds(TyperCommand):
    """A command whose flag ``--wait`` may be followed by seconds: ``--wait 60`` is ``--wait --timeout 60``."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        return super().parse_args(ctx, spelled_out(args))


def spelled_out(arguments: Sequence[str]) -> list[str]:
    """The arguments with the seconds after ``--wait`` as an option of their own; ``--wait 0`` is not to wait."""
    given: list[str] = []
    rest = list(arguments)
    while rest:
        argument = rest.pop(0)
        if argument == "--":
            return [*given, argument, *rest]
        flag, equals, seconds = argument.partition("=")
        if flag != "--wait" or not (equals or (rest and _is_number(rest[0]))):
            given.append(argument)
            continue
        seconds = seconds if equals else rest.pop(0)
        if seconds.lower() == "true":
            given.append(flag)
        elif seconds.lower() == "false" or (_is_number(seconds) and float(seconds) == 0):
            continue
        else:
            given += [flag, "--timeout", seconds]
    return given


def _is_number(text: str) -> bool:
    return text.replace(".", "", 1).isdecimal()
