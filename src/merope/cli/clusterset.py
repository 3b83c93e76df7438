"""The commands below ``merope clusterset``, two of which are ``merope create|delete clusterset``, too."""

from __future__ import annotations

from typing import Annotated, TypeAlias

import typer

from merope.cli.completion import clusterset_names
from merope.cli.options import Clusters, Context, DryRun, Kubeconfig, Timeout
from merope.cli.refusal import chosen_clusters, only_name

clusterset = typer.Typer(help="Group clusters into sets, and let namespaces use them.", no_args_is_help=True)

Names: TypeAlias = Annotated[
    list[str] | None, typer.Argument(metavar="NAME", help="The cluster set.", autocompletion=clusterset_names)
]
Namespace: TypeAlias = Annotated[str, typer.Option("--namespace", "-n", metavar="NAME", help="Which namespace.")]

_MISSING = "the name of the clusterset must be specified"
_SEVERAL = "only one clusterset can be specified"


@clusterset.command("create", epilog="Example: merope clusterset create blue")
def create(
    names: Names = None, dry_run: DryRun = False, kubeconfig: Kubeconfig = None, context: Context = None
) -> None:
    """Make a cluster set."""
    name = only_name(names, missing=_MISSING, several="only one clusterset can be created")
    from merope.cli import clustersets
    from merope.cli.access import Access

    clustersets.create(Access(kubeconfig, context, dry_run), name)


@clusterset.command("delete", epilog="Example: merope clusterset delete blue")
def delete(
    names: Names = None,
    timeout: Timeout = 300.0,
    dry_run: DryRun = False,
    kubeconfig: Kubeconfig = None,
    context: Context = None,
) -> None:
    """Delete a cluster set that is bound to no namespace."""
    name = only_name(names, missing=_MISSING, several="only one clusterset can be deleted")
    from merope.cli import clustersets
    from merope.cli.access import Access

    clustersets.delete(Access(kubeconfig, context, dry_run, timeout), name)


@clusterset.command("set", epilog="Example: merope clusterset set blue --clusters cluster1,cluster2")
def set_(
    names: Names = None,
    clusters: Clusters = None,
    namespaces: Annotated[
        list[str] | None,
        typer.Option(metavar="NAME,...", help="Namespaces that the set is to have on all its clusters."),
    ] = None,
    dry_run: DryRun = False,
    kubeconfig: Kubeconfig = None,
    context: Context = None,
) -> None:
    """Put clusters into a set, or add managed namespaces to it."""
    name = only_name(names, missing=_MISSING, several=_SEVERAL)
    chosen = chosen_clusters(None, clusters)
    from merope.cli import clustersets
    from merope.cli.access import Access

    wanted = [part for value in namespaces or () for part in value.split(",")]
    clustersets.set_members(Access(kubeconfig, context, dry_run), name, chosen, wanted)


@clusterset.command("bind", epilog="Example: merope clusterset bind blue --namespace default")
def bind(
    names: Names = None,
    namespace: Namespace = "default",
    dry_run: DryRun = False,
    kubeconfig: Kubeconfig = None,
    context: Context = None,
) -> None:
    """Let the placements of a namespace use a set."""
    name = only_name(names, missing=_MISSING, several=_SEVERAL)
    from merope.cli import clustersets
    from merope.cli.access import Access

    clustersets.bind(Access(kubeconfig, context, dry_run), name, namespace)


@clusterset.command("unbind", epilog="Example: merope clusterset unbind blue --namespace default")
def unbind(
    names: Names = None,
    namespace: Namespace = "default",
    dry_run: DryRun = False,
    kubeconfig: Kubeconfig = None,
    context: Context = None,
) -> None:
    """Take a set away from a namespace."""
    name = only_name(names, missing=_MISSING, several=_SEVERAL)
    from merope.cli import clustersets
    from merope.cli.access import Access

    clustersets.unbind(Access(kubeconfig, context, dry_run), name, namespace)
