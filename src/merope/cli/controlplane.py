"""``merope controlplane``: embedded Kubernetes-compatible control planes on this machine."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import typer


def run(
    state: Path,
    servers: list[str],
    *,
    durability: str = "durable",
    bind: str = "127.0.0.1",
    names: Sequence[str] = (),
    token_auth_file: Path | None = None,
    ready_fd: int | None = None,
) -> int:
    """Serve one or more control planes until SIGTERM; returns the exit code.

    ``servers`` are ``NAME`` or ``NAME:PORT``; one line each (name, URL, kubeconfig) is printed when they answer.
    ``names`` are further names and addresses that the serving certificates are valid for.
    """
    from merope.controlplane.process import command

    return command(
        state,
        servers,
        durability=durability,
        bind=bind,
        names=names,
        token_auth_file=token_auth_file,
        ready_fd=ready_fd,
    )


def app() -> "typer.Typer":
    """The command group, for the root of the command line. Made on demand: typer is slow to import."""
    import typer

    group = typer.Typer(help="Embedded control planes.", no_args_is_help=True)

    @group.command("run")
    def command(
        state: Path = typer.Option(..., metavar="DIR", help="Where the servers keep their state."),
        server: list[str] = typer.Option(
            ...,
            metavar="NAME[:PORT]",
            help="A server to run; may be repeated. Without a port it keeps the one that it chose first.",
        ),
        durability: str = typer.Option(
            "durable",
            help="When a write counts as done: durable (on disk), relaxed (in memory, on disk soon), memory (no disk).",
        ),
        bind: str = typer.Option("127.0.0.1", metavar="ADDRESS", help="IP address to listen on."),
        tls_san: list[str] | None = typer.Option(
            None, metavar="NAME", help="Further host name or address of the serving certificate; may be repeated."
        ),
        token_auth_file: Path | None = typer.Option(
            None, metavar="FILE", help="Static bearer tokens, as kube-apiserver reads."
        ),
        ready_fd: int | None = typer.Option(None, metavar="N", help="File descriptor to tell when the servers answer."),
    ) -> None:
        """Serve one or more control planes, each on a TLS port of its own."""
        code = run(
            state,
            server,
            durability=durability,
            bind=bind,
            names=tls_san or (),
            token_auth_file=token_auth_file,
            ready_fd=ready_fd,
        )
        raise typer.Exit(code)

    return group
