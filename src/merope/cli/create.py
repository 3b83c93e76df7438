"""The commands below ``merope create``."""

from __future__ import annotations

from typing import Annotated

import typer

from merope.cli import clusterset
from merope.cli.options import Cluster, Clusters, Context, DryRun, Kubeconfig
from merope.cli.refusal import Refused, chosen_clusters, listed, only_name

create = typer.Typer(help="Make objects on a hub.", no_args_is_help=True)
create.command("clusterset", epilog="Example: merope create clusterset blue")(clusterset.create)


@create.command("work", epilog="Example: merope create work hello -f hello.yaml --clusters cluster1,cluster2")
def work(
    names: Annotated[list[str] | None, typer.Argument(metavar="NAME", help="The name of the work.")] = None,
    filename: Annotated[
        list[str] | None,
        typer.Option("--filename", "-f", metavar="FILE", help="File, directory or URL of manifests; - is the input."),
    ] = None,
    recursive: Annotated[
        bool, typer.Option("--recursive/--no-recursive", "-R", help="Also what is below a directory.")
    ] = True,
    cluster: Cluster = None,
    clusters: Clusters = None,
    placement: Annotated[
        str, typer.Option(metavar="NAMESPACE/NAME", help="The clusters that this placement has selected.")
    ] = "",
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Replace the manifests of works that are there already.")
    ] = False,
    replicaset: Annotated[
        bool, typer.Option("--replicaset", "-r", help="Make a ManifestWorkReplicaSet, which follows the placement.")
    ] = False,
    dry_run: DryRun = False,
    kubeconfig: Kubeconfig = None,
    context: Context = None,
) -> None:
    """Distribute manifests to clusters."""
    name = only_name(names, missing="work name must be specified", several="only one work name can be specified")
    chosen = chosen_clusters(cluster, clusters)
    if not chosen and not placement:
        raise Refused("--clusters or --placement must be specified")
    if chosen and placement:
        raise Refused("--clusters and --placement can only specify one")
    from merope.cli import create_work
    from merope.cli.access import Access
    from merope.cli.manifest_files import read

    place = create_work.parse_placement(placement) if placement else None
    if replicaset and place is None:
        raise Refused("--placement must be specified when enable --replicaset")
    if not filename:
        raise Refused("manifest files must be specified")
    access = Access(kubeconfig, context, dry_run)
    manifests = read(filename, recursive=recursive)
    if place is None:
        create_work.on_clusters(access, name, manifests, chosen, overwrite=overwrite)
    elif replicaset:
        create_work.as_replica_set(access, name, manifests, place, overwrite=overwrite)
    else:
        create_work.on_placement(access, name, manifests, place, overwrite=overwrite)


@create.command("placement", epilog="Example: merope create placement p --clustersets blue --count 2")
def placement(
    names: Annotated[list[str] | None, typer.Argument(metavar="NAME", help="The name of the placement.")] = None,
    namespace: Annotated[str, typer.Option("--namespace", "-n", metavar="NAME", help="Its namespace.")] = "default",
    clustersets: Annotated[
        list[str] | None, typer.Option(metavar="NAME,...", help="Sets to select from; bound to the namespace.")
    ] = None,
    label_selectors: Annotated[
        list[str] | None, typer.Option(metavar="SELECTOR", help="Labels of clusters; repeated: one of them matches.")
    ] = None,
    count: Annotated[int, typer.Option(min=0, help="How many clusters; 0 selects all that match.")] = 0,
    prioritizers: Annotated[
        list[str] | None,
        typer.Option(metavar="SCORE,...", help="What to prefer: BuiltIn:NAME:WEIGHT, AddOn:RESOURCE:SCORE:WEIGHT."),
    ] = None,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace the placement if it is there.")] = False,
    dry_run: DryRun = False,
    kubeconfig: Kubeconfig = None,
    context: Context = None,
) -> None:
    """Make a placement, which selects clusters."""
    name = only_name(
        names, missing="placement name must be specified", several="only one placement name can be specified"
    )
    from merope.cli import create_placement
    from merope.cli.access import Access

    spec = create_placement.placement_spec(listed(clustersets), label_selectors or [], count, listed(prioritizers))
    create_placement.create_placement(Access(kubeconfig, context, dry_run), name, namespace, spec, overwrite=overwrite)
