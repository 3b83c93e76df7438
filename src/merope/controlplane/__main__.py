"""``python -m merope.controlplane``: the command ``merope controlplane run`` without the rest of the command line."""

import argparse
import logging
import sys
from collections.abc import Sequence
from pathlib import Path

from merope.controlplane.persistence import Durability
from merope.controlplane.process import command


def main(arguments: Sequence[str] | None = None) -> int:
    """Parse the command line and run; returns the exit code."""
    parser = argparse.ArgumentParser(
        prog="merope controlplane run", description="Serve one or more embedded control planes, each on its own port."
    )
    parser.add_argument("--state", type=Path, required=True, metavar="DIR", help="where the servers keep their state")
    parser.add_argument(
        "--server",
        action="append",
        required=True,
        metavar="NAME[:PORT]",
        help="a server to run, may be repeated; without a port it keeps the one it chose first",
    )
    parser.add_argument(
        "--durability",
        choices=[mode.value for mode in Durability],
        default=Durability.DURABLE.value,
        help="when a write counts as done: on disk (default), in memory and on disk soon, or in memory only",
    )
    parser.add_argument("--bind", default="127.0.0.1", metavar="ADDRESS", help="IP address to listen on")
    parser.add_argument(
        "--tls-san",
        action="append",
        default=[],
        metavar="NAME",
        help="further host name or address that the serving certificate is valid for, may be repeated",
    )
    parser.add_argument(
        "--token-auth-file", type=Path, metavar="FILE", help='static bearer tokens: lines token,user,uid,"groups"'
    )
    parser.add_argument(
        "--ready-fd", type=int, metavar="N", help="file descriptor that gets the servers' lines when they answer"
    )
    parser.add_argument("--verbose", action="store_true", help="log more")
    options = parser.parse_args(arguments)
    logging.basicConfig(
        level=logging.DEBUG if options.verbose else logging.INFO,
        format="%(asctime)s %(levelname)s %(name)s: %(message)s",
        stream=sys.stderr,
    )
    return command(
        options.state,
        options.server,
        durability=options.durability,
        bind=options.bind,
        names=options.tls_san,
        token_auth_file=options.token_auth_file,
        ready_fd=options.ready_fd,
    )


if __name__ == "__main__":
    sys.exit(main())
