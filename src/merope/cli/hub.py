"""``merope hub run``: the hub's controllers and webhooks against any cluster."""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import logging
import os
import signal
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from merope import hub
from merope.kube import (
    OCM_LEADER_TIMES,
    ClientConfig,
    ConfigError,
    CredentialRefused,
    KubeError,
    NotFound,
    Unauthorized,
)
from merope.registration.hub import RegistrationHubOptions

_EXAMPLES = """examples:
  merope hub run --kubeconfig hub.kubeconfig --webhook-bind 0.0.0.0:9443 --webhook-url https://hub.example.com:9443
  merope hub run --kubeconfig hub.kubeconfig --controllers placement --no-leader-elect
"""


def parser() -> argparse.ArgumentParser:
    """The command line of ``merope hub run``."""
    out = argparse.ArgumentParser(
        prog="merope hub run",
        description="Run the hub's controllers and admission webhooks against a cluster that has OCM's APIs.",
        epilog=_EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    out.add_argument("--kubeconfig", type=Path, help="kubeconfig for every component (default: as kubectl finds one)")
    out.add_argument(
        "--kubeconfig-dir",
        type=Path,
        help="directory with one kubeconfig a component: "
        + ", ".join(f"{v}.kubeconfig" for v in hub.IDENTITIES.values()),
    )
    out.add_argument(
        "--namespace", default=hub.HUB_NAMESPACE, help="namespace of the locks and of the signing authority"
    )
    out.add_argument(
        "--controllers",
        default=",".join(hub.COMPONENTS),
        help=f"comma-separated components to run, of {', '.join(hub.COMPONENTS)} (default: all)",
    )
    out.add_argument("--webhook-bind", metavar="HOST:PORT", help="serve the admission webhooks there")
    out.add_argument("--webhook-url", help="where API servers reach the webhooks (default: https://WEBHOOK-BIND)")
    out.add_argument("--health", metavar="HOST:PORT", help="serve /healthz, /readyz and /metrics there")
    out.add_argument("--leader-elect", action=argparse.BooleanOptionalAction, default=True)
    out.add_argument(
        "--identity", help="name under which the locks are held; one that persists takes them back at once"
    )
    out.add_argument(
        "--auto-approved-csr-users",
        default="",
        help="comma-separated users whose clusters' first signing requests are approved without a person",
    )
    out.add_argument("--ready-fd", type=int, help="write a line to this file descriptor when ready")
    out.add_argument("-v", "--verbose", action="store_true", help="log what is done, not only what goes wrong")
    return out


def options_of(arguments: argparse.Namespace) -> hub.HubOptions:
    """Options from a parsed command line. Raises ConfigError."""
    components = tuple(name.strip() for name in arguments.controllers.split(",") if name.strip())
    unknown = sorted(set(components) - set(hub.COMPONENTS))
    if unknown or not components:
        raise ConfigError(
            f"--controllers: unknown component {', '.join(unknown) or '(none)'}; known are {', '.join(hub.COMPONENTS)}"
        )
    users = frozenset(user.strip() for user in arguments.auto_approved_csr_users.split(",") if user.strip())
    return hub.HubOptions(
        configs=_configs(arguments.kubeconfig, arguments.kubeconfig_dir),
        namespace=arguments.namespace,
        components=components,
        webhook_bind=arguments.webhook_bind,
        webhook_url=arguments.webhook_url,
        health=arguments.health,
        leader_times=OCM_LEADER_TIMES if arguments.leader_elect else None,
        identity=arguments.identity,
        registration=RegistrationHubOptions(auto_approved_users=users),
    )


def _configs(path: Path | None, directory: Path | None) -> Mapping[str, ClientConfig]:
    if directory is None:
        return hub.single(ClientConfig.load(path))
    configs: dict[str, ClientConfig] = {}
    for component, name in hub.IDENTITIES.items():
        file = directory / f"{name}.kubeconfig"
        if file.exists():
            configs[component] = ClientConfig.load(file)
    if path is not None:
        configs[""] = ClientConfig.load(path)
    if not configs:
        raise ConfigError(f"--kubeconfig-dir: no component's kubeconfig in {directory}")
    return configs


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; the exit status."""
    parsed = parser().parse_args(arguments)
    logging.basicConfig(
        level=logging.INFO if parsed.verbose else logging.WARNING,
        format="%(asctime)s %(levelname)s %(name)s: %(message)s",
    )
    try:
        options = options_of(parsed)
        _run(options, _announcer(parsed.ready_fd))
    except (ConfigError, KubeError) as error:
        print(f"error: {error}{_remedy(error, parsed)}", file=sys.stderr)
        return 1
    except OSError as error:
        print(f"error: {error.strerror or error}: {options.webhook_bind or options.health}", file=sys.stderr)
        return 1
    return 0


def _remedy(error: Exception, parsed: argparse.Namespace) -> str:
    """What whoever started the hub can do about an error."""
    if isinstance(error, (Unauthorized, CredentialRefused)):
        where = parsed.kubeconfig_dir or parsed.kubeconfig or "the kubeconfig that kubectl uses"
        return f"\nThe API server does not accept the credential in {where}: it is expired, or of another cluster."
    if isinstance(error, NotFound):
        return "\nIs a hub installed there? Its namespaces, APIs and permissions come before its controllers."
    return ""


def _announcer(descriptor: int | None) -> Callable[[], None]:
    def announce() -> None:
        logging.getLogger(__name__).info("the hub is ready")
        if descriptor is not None:
            with contextlib.suppress(OSError):
                os.write(descriptor, b"ready\n")
                os.close(descriptor)

    return announce


def _run(options: hub.HubOptions, ready: Callable[[], None]) -> None:
    async def serve() -> None:
        stop = asyncio.Event()
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, stop.set)
        try:
            await hub.run(options, ready=ready, stop=stop)
        except BaseExceptionGroup as group:
            raise _first(group) from None

    asyncio.run(serve())


def _first(error: BaseException) -> BaseException:
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return error
