"""The commands that people type, as one typer application."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer

from merope.cli import output
from merope.cli.clusterset import clusterset
from merope.cli.completion import Shell, cluster_names, prepare
from merope.cli.create import create
from merope.cli.delete import delete
from merope.cli.get import get
from merope.cli.options import Cluster, Clusters, Context, DryRun, Kubeconfig, Timeout, WaitsForSeconds
from merope.cli.refusal import Refused, listed, needed_clusters
from merope.fleet.layout import DEFAULT_NAME, FleetError

app = typer.Typer(
    name="merope",
    help="Open Cluster Management: one hub for a fleet of Kubernetes clusters.",
    no_args_is_help=True,
    context_settings={"help_option_names": ["-h", "--help"]},
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    add_completion=False,
)

FleetName = Annotated[str, typer.Option("--name", metavar="FLEET", help="Which fleet on this machine.")]
OutputFormat = Annotated[
    output.Format | None, typer.Option("--output", "-o", help="Print as json or yaml instead of a table.")
]


@app.callback(invoke_without_command=True)
def root(
    context: typer.Context,
    version: Annotated[bool, typer.Option("--version", help="Print the version and exit.")] = False,
) -> None:
    """Open Cluster Management: one hub for a fleet of Kubernetes clusters."""
    if version:
        from merope import __version__

        typer.echo(f"merope {__version__}")
        raise typer.Exit


@app.command(epilog="Example: merope up --clusters 3")
def up(
    clusters: Annotated[
        int | None, typer.Option(min=0, max=200, help="How many managed clusters (a new fleet has 2).")
    ] = None,
    name: FleetName = DEFAULT_NAME,
    timeout: Annotated[float, typer.Option(min=0, metavar="SECONDS", help="How long to wait for everything.")] = 120.0,
) -> None:
    """Bring up a hub and managed clusters on this machine, and wait until all are available."""
    from merope.cli.up import up as run

    run(name, clusters, timeout)


@app.command(epilog="Example: merope down --purge")
def down(
    name: FleetName = DEFAULT_NAME,
    purge: Annotated[bool, typer.Option("--purge", help="Also remove everything that the fleet has stored.")] = False,
) -> None:
    """Stop a fleet. It comes back as it was with `merope up`, unless it is purged."""
    from merope.cli.down import down as run

    run(name, purge=purge)


@app.command(epilog="Example: merope status -o json")
def status(name: FleetName = DEFAULT_NAME, output_format: OutputFormat = None) -> None:
    """Show a fleet's processes and clusters."""
    from merope.cli.status import status as run

    run(name, output_format)


@app.command(epilog='Example: export KUBECONFIG="$(merope kubeconfig)"; kubectl --context hub get managedclusters')
def kubeconfig(
    cluster: Annotated[
        str | None, typer.Argument(metavar="[hub|CLUSTER]", help="One cluster only (default: all, as contexts).")
    ] = None,
    name: FleetName = DEFAULT_NAME,
) -> None:
    """Print the path of the kubeconfig of a fleet, or of one of its clusters."""
    from merope.cli.kubeconfig import kubeconfig as run

    run(name, cluster)


@app.command(epilog="Example: merope logs hub --follow")
def logs(
    process: Annotated[str | None, typer.Argument(help="Which process (default: all).")] = None,
    name: FleetName = DEFAULT_NAME,
    follow: Annotated[bool, typer.Option("--follow", "-f", help="Go on as more is written.")] = False,
    tail: Annotated[int, typer.Option(min=0, metavar="N", help="Begin with the last N lines of each log.")] = 100,
) -> None:
    """Print what a fleet's processes have logged."""
    from merope.cli.logs import logs as run

    run(name, process, follow=follow, tail=tail)


@app.command(epilog="Example: merope crds --group work.open-cluster-management.io | kubectl apply -f -")
def crds(
    group: Annotated[str | None, typer.Option(metavar="GROUP", help="Only those of one API group.")] = None,
) -> None:
    """Print the custom resource definitions of merope's APIs."""
    from merope.cli.crds import crds as run

    try:
        text = run(group)
    except KeyError as error:
        raise FleetError(str(error.args[0])) from None
    typer.echo(text, nl=False)


@app.command(cls=WaitsForSeconds, epilog="Example: merope accept --clusters cluster1,cluster2 --wait")
def accept(
    names: Annotated[
        list[str] | None,
        typer.Argument(metavar="[CLUSTER...]", help="The clusters to accept.", autocompletion=cluster_names),
    ] = None,
    cluster: Cluster = None,
    clusters: Clusters = None,
    wait: Annotated[
        bool, typer.Option("--wait", help="Wait for clusters that have not asked yet; seconds may follow.")
    ] = False,
    skip_approve_check: Annotated[
        bool, typer.Option("--skip-approve-check", help="Approve requests whoever made them.")
    ] = False,
    requesters: Annotated[
        list[str] | None, typer.Option(metavar="NAME,...", help="Approve requests for these common names only.")
    ] = None,
    timeout: Timeout = 300.0,
    dry_run: DryRun = False,
    kubeconfig: Kubeconfig = None,
    context: Context = None,
) -> None:
    """Accept clusters that want to join the hub: approve their first signing request and let them in."""
    chosen = needed_clusters(cluster, [*(names or ()), *(clusters or ())])
    from merope.cli.accept import accept as run
    from merope.cli.access import Access

    run(
        Access(kubeconfig, context, dry_run, timeout),
        chosen,
        wait=wait,
        requesters=listed(requesters),
        any_identity=skip_approve_check,
    )


@app.command(epilog="Example: source <(merope completion bash)")
def completion(shell: Annotated[Shell, typer.Argument(help="For which shell.")]) -> None:
    """Print a script for a shell, which then completes commands, options, and names of clusters and sets."""
    from merope.cli.completion import completion as run

    run(shell)


controlplane = typer.Typer(help="Embedded control planes.", no_args_is_help=True)
hub = typer.Typer(help="The hub's controllers.", no_args_is_help=True)
agent = typer.Typer(help="The agent of a managed cluster.", no_args_is_help=True)
app.add_typer(get, name="get")
app.add_typer(create, name="create")
app.add_typer(delete, name="delete")
app.add_typer(clusterset, name="clusterset")
app.add_typer(controlplane, name="controlplane")
app.add_typer(hub, name="hub")
app.add_typer(agent, name="agent")

_PASSED_ON = {"ignore_unknown_options": True, "allow_extra_args": True}


@controlplane.command("run", context_settings=_PASSED_ON, add_help_option=False)
def controlplane_run(context: typer.Context) -> None:
    """Serve one or more control planes, each on a TLS port of its own."""
    from merope.cli.main import main

    raise typer.Exit(main(["controlplane", "run", *context.args]))


StateDirectory = Annotated[Path, typer.Option("--state", metavar="DIR", help="Where the servers keep their state.")]


@controlplane.command("backup", epilog="Example: merope controlplane backup --state DIR --output backup.tar.gz")
def controlplane_backup(
    state: StateDirectory,
    archive: Annotated[Path, typer.Option("--output", "-o", metavar="FILE", help="The archive to write.")],
    server: Annotated[
        list[str] | None, typer.Option(metavar="NAME", help="Only this server (may be repeated; default: all).")
    ] = None,
) -> None:
    """Save servers' objects and keys in one file. They may be running. The file holds private keys."""
    from merope.cli.controlplane_backup import backup as run

    run(state, archive, server or ())


@controlplane.command("restore", epilog="Example: merope controlplane restore --state DIR backup.tar.gz")
def controlplane_restore(
    state: StateDirectory,
    archive: Annotated[Path, typer.Argument(metavar="FILE", help="What `merope controlplane backup` wrote.")],
    force: Annotated[bool, typer.Option("--force", help="Replace what the servers have now; it is lost.")] = False,
) -> None:
    """Put saved servers back, all or none. They must not be running."""
    from merope.cli.controlplane_backup import restore_archive as run

    run(state, archive, force=force)


@controlplane.command(
    "export", epilog="Example: merope controlplane export --kubeconfig FILE | kubectl apply --server-side -f -"
)
def controlplane_export(
    kubeconfig: Annotated[
        str | None, typer.Option(metavar="FILE", help="Kubeconfig of the cluster (default: as kubectl finds one).")
    ] = None,
    context: Annotated[str | None, typer.Option(metavar="NAME", help="Context in it.")] = None,
    namespace: Annotated[
        list[str] | None,
        typer.Option("--namespace", "-n", metavar="NAME", help="Only this namespace (may be repeated)."),
    ] = None,
    everything: Annotated[bool, typer.Option("--all", help="Also what is in the namespaces kube-*.")] = False,
) -> None:
    """Print what a cluster holds as YAML for another one, Secrets included."""
    from merope.cli.export import export as run

    run(kubeconfig, context, namespace or (), system=everything)


@hub.command("run", context_settings=_PASSED_ON, add_help_option=False)
def hub_run(context: typer.Context) -> None:
    """Run the hub's controllers and admission webhooks."""
    from merope.cli.main import main

    raise typer.Exit(main(["hub", "run", *context.args]))


@agent.command("run", context_settings=_PASSED_ON, add_help_option=False)
def agent_run(context: typer.Context) -> None:
    """Run the agent of a managed cluster."""
    from merope.cli.main import main

    raise typer.Exit(main(["agent", "run", *context.args]))


def _kube_error() -> type[Exception]:
    """Loaded once something went wrong: most commands here talk to no cluster."""
    from merope.kube import KubeError

    return KubeError


def application(arguments: Sequence[str]) -> int:
    """Run a command; the exit status. Failures that a person can mend are one line on standard error."""
    prepare()
    try:
        result = app(args=list(arguments), prog_name="merope", standalone_mode=False)
    except typer.Exit as done:
        return int(done.exit_code)
    except typer.Abort:
        return 130
    except KeyboardInterrupt:
        return 130
    except BrokenPipeError:
        # Whoever read has enough; what is left to say at exit goes nowhere.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except OSError as error:
        output.error(f"{error.filename}: {error.strerror}" if error.filename else str(error))
        return 1
    except (FleetError, Refused) as error:
        output.error(str(error))
        return 1
    except Exception as error:
        if isinstance(error, _kube_error()):
            output.error(str(error))
            return 1
        if type(error).__module__.partition(".")[0] not in ("click", "typer"):
            raise
        show = getattr(error, "show", None)
        if show is not None:
            show()
        return int(getattr(error, "exit_code", 2))
    return result if isinstance(result, int) else 0
