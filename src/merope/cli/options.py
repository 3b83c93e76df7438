"""The options that many commands share."""

from __future__ import annotations

from typing import Annotated, TypeAlias

import typer

from merope.cli.listing import ListFormat

Kubeconfig: TypeAlias = Annotated[
    str | None, typer.Option("--kubeconfig", metavar="FILE", help="Kubeconfig of the hub (default: as kubectl does).")
]
Context: TypeAlias = Annotated[str | None, typer.Option("--context", metavar="NAME", help="Context in it.")]
DryRun: TypeAlias = Annotated[bool, typer.Option("--dry-run", help="Let the hub check everything, change nothing.")]
Timeout: TypeAlias = Annotated[
    float, typer.Option("--timeout", metavar="SECONDS", min=0, help="How long to wait, in all.")
]
Cluster: TypeAlias = Annotated[str | None, typer.Option("--cluster", "-c", metavar="NAME", help="One cluster.")]
Clusters: TypeAlias = Annotated[
    list[str] | None, typer.Option("--clusters", metavar="NAME,...", help="Clusters, with commas or repeated.")
]
Listed: TypeAlias = Annotated[ListFormat, typer.Option("--output", "-o", help="How to print.")]
