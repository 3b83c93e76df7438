"""``merope completion``, and what a shell asks while a person types: names of objects on the hub."""

from __future__ import annotations

import asyncio
import enum
import importlib
import os
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any, Final

import typer

if TYPE_CHECKING:
    from merope.kube import Kind

#: What shells set when they ask; a part of the scripts that they have.
VARIABLE: Final = "_MEROPE_COMPLETE"
#: Seconds that a person who pressed the tabulator may wait.
_PATIENCE: Final = 3.0


class Shell(enum.StrEnum):
    """The shells that a script can be made for."""

    BASH = "bash"
    ZSH = "zsh"
    FISH = "fish"


def completion(shell: Shell) -> None:
    """Print the script that makes a shell complete what is typed after ``merope``."""
    print(_typer().get_completion_script(prog_name="merope", complete_var=VARIABLE, shell=str(shell)))


def prepare() -> None:
    """Get ready to answer, if it is a shell that asks."""
    if VARIABLE in os.environ:
        _typer().completion_init()


def _typer() -> Any:
    """The part of typer that it keeps to itself as long as it adds its own options for completion."""
    return importlib.import_module("typer.completion")


def cluster_names(ctx: typer.Context, incomplete: str) -> list[str]:
    """The clusters whose names begin with what was typed; the last of a list counts."""
    from merope.api.cluster.v1 import ManagedCluster

    return extended(_names(ctx, ManagedCluster), incomplete)


def clusterset_names(ctx: typer.Context, incomplete: str) -> list[str]:
    """The cluster sets whose names begin with what was typed; the last of a list counts."""
    from merope.api.cluster.v1beta2 import ManagedClusterSet

    return extended(_names(ctx, ManagedClusterSet), incomplete)


def extended(names: Iterable[str], incomplete: str) -> list[str]:
    """What a list separated by commas may become with one of ``names`` for its last element; each name once."""
    before, comma, last = incomplete.rpartition(",")
    given = before.split(",")
    return [f"{before}{comma}{name}" for name in sorted(names) if name.startswith(last) and name not in given]


def _names(ctx: typer.Context, kind: Kind) -> list[str]:
    from merope.cli.access import Access
    from merope.cli.refusal import Refused
    from merope.kube import KubeError, ref_of

    ref = ref_of(kind)

    async def find() -> list[str]:
        async with (
            asyncio.timeout(_PATIENCE),
            Access(ctx.params.get("kubeconfig"), ctx.params.get("context")).hub() as hub,
        ):
            return [each["metadata"]["name"] for each in await hub.list(ref)]

    try:
        return asyncio.run(find())
    except (KubeError, Refused, OSError):  # no hub, no names: a shell shows nothing then
        return []
