"""The commands below ``merope get``."""

from __future__ import annotations

from typing import Annotated

import typer

from merope.cli.completion import clusterset_names
from merope.cli.listing import ListFormat
from merope.cli.options import Cluster, Clusters, Context, Kubeconfig, Listed
from merope.cli.output import Format

get = typer.Typer(help="Show what a hub has.", no_args_is_help=True)


@get.command("clusters", epilog="Example: merope get clusters --clusterset default -o table")
def clusters(
    clusterset: Annotated[
        str | None, typer.Option(metavar="NAME", help="Only the clusters of one set.", autocompletion=clusterset_names)
    ] = None,
    output: Listed = ListFormat.TREE,
    kubeconfig: Kubeconfig = None,
    context: Context = None,
) -> None:
    """Show the managed clusters: accepted, available, their set, size and version."""
    from merope.cli.access import Access
    from merope.cli.get_clusters import get_clusters

    get_clusters(Access(kubeconfig, context), clusterset, output)


@get.command("clustersets", epilog="Example: merope get clustersets -o table")
def clustersets(output: Listed = ListFormat.TREE, kubeconfig: Kubeconfig = None, context: Context = None) -> None:
    """Show the cluster sets: the namespaces that they are bound to, and their clusters."""
    from merope.cli.access import Access
    from merope.cli.get_clustersets import get_clustersets

    get_clustersets(Access(kubeconfig, context), output)


@get.command("works", epilog="Example: merope get works hello --cluster cluster1")
def works(
    names: Annotated[list[str] | None, typer.Argument(metavar="[NAME]", help="Only the work of this name.")] = None,
    cluster: Cluster = None,
    clusters: Clusters = None,
    output: Listed = ListFormat.TREE,
    kubeconfig: Kubeconfig = None,
    context: Context = None,
) -> None:
    """Show the works of clusters, and what of them is applied."""
    from merope.cli.access import Access
    from merope.cli.get_works import get_works
    from merope.cli.refusal import needed_clusters

    get_works(Access(kubeconfig, context), names or [], needed_clusters(cluster, clusters), output)


@get.command("placements", epilog="Example: merope get placements -n default -o table")
def placements(
    names: Annotated[list[str] | None, typer.Argument(metavar="[NAME]", help="Only placements of this name.")] = None,
    namespace: Annotated[
        str | None, typer.Option("--namespace", "-n", metavar="NAME", help="Only this namespace (default: all).")
    ] = None,
    output: Listed = ListFormat.TREE,
    kubeconfig: Kubeconfig = None,
    context: Context = None,
) -> None:
    """Show the placements and the clusters that they selected."""
    from merope.cli.access import Access
    from merope.cli.get_placements import get_placements

    get_placements(Access(kubeconfig, context), names or [], namespace, output)


@get.command("token", epilog="Example: merope get token -o json")
def token(
    use_bootstrap_token: Annotated[
        bool, typer.Option("--use-bootstrap-token", help="The stored bootstrap token, not one of the ServiceAccount.")
    ] = False,
    output: Annotated[
        Format | None, typer.Option("--output", "-o", help="Print for programs instead of as text.")
    ] = None,
    kubeconfig: Kubeconfig = None,
    context: Context = None,
) -> None:
    """Print a token for an hour with which a cluster may ask to join, and the command that uses it."""
    from merope.cli.access import Access
    from merope.cli.get_token import get_token

    get_token(Access(kubeconfig, context), bootstrap_token=use_bootstrap_token, output_format=output)


@get.command("hub-info", epilog="Example: merope get hub-info --context hub")
def hub_info(kubeconfig: Kubeconfig = None, context: Context = None) -> None:
    """Show what a hub consists of: its operator, its components, the definitions of its APIs."""
    from merope.cli.access import Access
    from merope.cli.get_hub_info import get_hub_info

    get_hub_info(Access(kubeconfig, context))
