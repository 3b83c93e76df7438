"""The commands below ``merope delete``."""

from __future__ import annotations

from typing import Annotated

import typer

from merope.cli import clusterset
from merope.cli.options import Cluster, Clusters, Context, DryRun, Kubeconfig, Timeout
from merope.cli.refusal import needed_clusters, only_name

delete = typer.Typer(help="Delete objects of a hub.", no_args_is_help=True)
delete.command("clusterset", epilog="Example: merope delete clusterset blue")(clusterset.delete)


@delete.command("work", epilog="Example: merope delete work hello --clusters cluster1,cluster2")
def work(
    names: Annotated[list[str] | None, typer.Argument(metavar="NAME", help="The name of the work.")] = None,
    cluster: Cluster = None,
    clusters: Clusters = None,
    force: Annotated[
        bool, typer.Option("--force", help="Don't wait for the agent: what it has applied stays on the cluster.")
    ] = False,
    timeout: Timeout = 10.0,
    dry_run: DryRun = False,
    kubeconfig: Kubeconfig = None,
    context: Context = None,
) -> None:
    """Delete a work from clusters, and with it what it has applied there."""
    name = only_name(names, missing="work name must be specified", several="only one work name can be specified")
    chosen = needed_clusters(cluster, clusters)
    from merope.cli.access import Access
    from merope.cli.delete_work import delete_work

    delete_work(Access(kubeconfig, context, dry_run, timeout), name, chosen, force=force)


@delete.command("placement", epilog="Example: merope delete placement p -n default")
def placement(
    names: Annotated[list[str] | None, typer.Argument(metavar="NAME", help="The name of the placement.")] = None,
    namespace: Annotated[str, typer.Option("--namespace", "-n", metavar="NAME", help="Its namespace.")] = "default",
    dry_run: DryRun = False,
    kubeconfig: Kubeconfig = None,
    context: Context = None,
) -> None:
    """Delete a placement and its decisions."""
    name = only_name(
        names, missing="placement name must be specified", several="only one placement name can be specified"
    )
    from merope.cli.access import Access
    from merope.cli.delete_placement import delete_placement

    delete_placement(Access(kubeconfig, context, dry_run), name, namespace)
