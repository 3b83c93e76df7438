"""``merope agent run``: the klusterlet against any pair of clusters."""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import logging
import os
import re
import signal
import sys
import warnings
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from merope import klusterlet
from merope.klusterlet import KlusterletOptions
from merope.kube import OCM_LEADER_TIMES, ClientConfig, ConfigError, KubeError, persistent_identity
from merope.registration.agent import RegistrationAgentOptions
from merope.registration.agent.options import AGENT_NAMESPACE, BOOTSTRAP_SECRET, HUB_SECRET
from merope.work.agent import WorkAgentOptions

_EXAMPLES = """examples:
  merope agent run --cluster-name cluster1 --spoke-kubeconfig cluster1.kubeconfig \\
      --bootstrap-kubeconfig bootstrap.kubeconfig --hub-kubeconfig-dir ~/.local/state/cluster1
"""

_GATES = {"ClusterClaim": "cluster_claims", "ClusterProperty": "cluster_properties"}
_IDENTITY_FILE = "klusterlet-identity"
_UNITS = {"h": 3600.0, "m": 60.0, "s": 1.0, "ms": 0.001}


def parser() -> argparse.ArgumentParser:
    """The command line of ``merope agent run``."""
    out = argparse.ArgumentParser(
        prog="merope agent run",
        description="Run the klusterlet: register a cluster with a hub, keep it alive there, and apply its works.",
        epilog=_EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    names = out.add_argument_group("names")
    names.add_argument(
        "--cluster-name",
        "--spoke-cluster-name",
        default="",
        help="name of the cluster on the hub (default: the one stored, else a random one)",
    )
    names.add_argument("--agent-id", default="", help="name of the agent (default: the one stored, else a random one)")
    spoke = out.add_argument_group("the managed cluster")
    spoke.add_argument("--spoke-kubeconfig", type=Path, help="its kubeconfig (default: as kubectl finds one)")
    spoke.add_argument("--work-spoke-kubeconfig", type=Path, help="kubeconfig of the work agent (default: the same)")
    spoke.add_argument("--namespace", default=AGENT_NAMESPACE, help="namespace of the agent (default: %(default)s)")
    spoke.add_argument(
        "--spoke-external-server-urls",
        action="append",
        default=[],
        metavar="URL",
        help="where the cluster's API server can be reached from outside; repeatable, or comma-separated",
    )
    spoke.add_argument(
        "--cluster-annotations",
        action="append",
        default=[],
        metavar="KEY=VALUE",
        help="annotations of the ManagedCluster, with prefix agent.open-cluster-management.io; repeatable",
    )
    spoke.add_argument(
        "--cluster-healthcheck-period", type=_duration, default=60.0, help="time between health checks (default: 1m)"
    )
    spoke.add_argument("--max-custom-cluster-claims", type=int, default=20, help="claims to report (default: 20)")
    spoke.add_argument(
        "--reserved-cluster-claim-suffixes", action="append", default=[], help="claims to report in any case"
    )
    hub = out.add_argument_group("the hub")
    hub.add_argument("--bootstrap-kubeconfig", type=Path, help="kubeconfig to ask the hub for admission with")
    hub.add_argument(
        "--bootstrap-kubeconfig-secret",
        default=BOOTSTRAP_SECRET,
        help="Secret whose change makes the agent register again (default: %(default)s)",
    )
    hub.add_argument("--hub-kubeconfig-dir", type=Path, required=True, help="directory for the hub's credential")
    hub.add_argument("--hub-kubeconfig-secret", default=HUB_SECRET, help="Secret for it (default: %(default)s)")
    hub.add_argument(
        "--client-cert-expiration-seconds",
        type=int,
        default=0,
        help="lifetime to ask for, at least 3600 (default: the hub's)",
    )
    hub.add_argument("--hub-kube-api-qps", type=float, default=50.0, help="requests a second (default: 50)")
    hub.add_argument("--hub-kube-api-burst", type=float, default=100.0, help="requests at once (default: 100)")
    process = out.add_argument_group("the process")
    process.add_argument("--health", metavar="HOST:PORT", help="serve /healthz, /readyz and /metrics there")
    process.add_argument(
        "--feature-gates",
        action="append",
        default=[],
        metavar="GATE=BOOL",
        help=f"comma-separated, of {', '.join(_GATES)}",
    )
    process.add_argument(
        "--leader-elect",
        action=argparse.BooleanOptionalAction,
        default=False,
        help="compete with other replicas for the right to run (default: no)",
    )
    process.add_argument(
        "--status-sync-interval",
        type=_duration,
        default=10.0,
        help="time between looks at applied works (10s)",
    )
    process.add_argument("--ready-fd", type=int, help="write a line to this file descriptor when begun")
    process.add_argument("-v", "--verbose", action="store_true", help="log what is done, not only what matters")
    return out


def options_of(arguments: argparse.Namespace) -> KlusterletOptions:
    """Options from a parsed command line. Raises ConfigError."""
    gates = feature_gates(arguments.feature_gates)
    registration = RegistrationAgentOptions(
        hub_kubeconfig_dir=arguments.hub_kubeconfig_dir,
        bootstrap_kubeconfig=arguments.bootstrap_kubeconfig,
        namespace=arguments.namespace,
        bootstrap_secret=arguments.bootstrap_kubeconfig_secret,
        hub_secret=arguments.hub_kubeconfig_secret,
        cluster_name=arguments.cluster_name,
        agent_id=arguments.agent_id,
        external_server_urls=_listed(arguments.spoke_external_server_urls),
        cluster_annotations=_pairs("--cluster-annotations", arguments.cluster_annotations),
        health_check_period=arguments.cluster_healthcheck_period,
        max_custom_cluster_claims=arguments.max_custom_cluster_claims,
        reserved_cluster_claim_suffixes=_listed(arguments.reserved_cluster_claim_suffixes),
        client_cert_expiration_seconds=arguments.client_cert_expiration_seconds,
        cluster_claims=gates.get("ClusterClaim", True),
        cluster_properties=gates.get("ClusterProperty", False),
    )
    registration.validate()
    work_spoke = arguments.work_spoke_kubeconfig
    identity = None
    if arguments.leader_elect:
        arguments.hub_kubeconfig_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
        identity = persistent_identity(arguments.hub_kubeconfig_dir / _IDENTITY_FILE)
    return KlusterletOptions(
        registration=registration,
        spoke=ClientConfig.load(arguments.spoke_kubeconfig),
        work_spoke=None if work_spoke is None else ClientConfig.load(work_spoke),
        work=WorkAgentOptions(status_sync_interval=arguments.status_sync_interval),
        health=arguments.health,
        leader_times=OCM_LEADER_TIMES if arguments.leader_elect else None,
        identity=identity,
        hub_qps=arguments.hub_kube_api_qps,
        hub_burst=arguments.hub_kube_api_burst,
    )


def feature_gates(given: Sequence[str]) -> Mapping[str, bool]:
    """``Gate=true,Other=false`` taken apart. Raises ConfigError for a gate that doesn't exist here."""
    gates = {}
    for name, value in _pairs("--feature-gates", given).items():
        if name not in _GATES or value.lower() not in ("true", "false"):
            raise ConfigError(f"--feature-gates: {name}={value}: known are {', '.join(_GATES)}, each true or false")
        gates[name] = value.lower() == "true"
    return gates


def _listed(given: Sequence[str]) -> tuple[str, ...]:
    return tuple(item.strip() for each in given for item in each.split(",") if item.strip())


def _pairs(flag: str, given: Sequence[str]) -> dict[str, str]:
    pairs = {}
    for item in _listed(given):
        key, equals, value = item.partition("=")
        if not key or not equals:
            raise ConfigError(f"{flag}: {item!r} is not of the form KEY=VALUE")
        pairs[key] = value
    return pairs


def _duration(text: str) -> float:
    """Seconds from a number, or from a duration as Go writes it (``1m30s``)."""
    parts = re.findall(r"(\d+(?:\.\d+)?)(ms|h|m|s)", text)
    if parts and "".join(number + unit for number, unit in parts) == text:
        return sum(float(number) * _UNITS[unit] for number, unit in parts)
    try:
        return float(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is no duration such as 90, 1m or 1m30s") from None


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; the exit status."""
    parsed = parser().parse_args(arguments)
    _log_to_stderr(verbose=parsed.verbose)
    # Agents' user names are longer than X.520 has common names; Kubernetes and Go don't mind.
    warnings.filterwarnings("ignore", "Attribute's length must be", UserWarning)
    try:
        options = options_of(parsed)
        _run(options, _announcer(parsed.ready_fd))
    except (ConfigError, KubeError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    except OSError as error:
        print(f"error: {error.strerror or error}: {error.filename or parsed.health}", file=sys.stderr)
        return 1
    return 0


def _log_to_stderr(*, verbose: bool) -> None:
    logging.basicConfig(
        level=logging.INFO if verbose else logging.WARNING,
        format="%(asctime)s %(levelname)s %(name)s: %(message)s",
    )
    for name in ("merope.klusterlet", "merope.registration.agent"):
        logging.getLogger(name).setLevel(logging.INFO)  # how a cluster joins is what people look for


def _announcer(descriptor: int | None) -> Callable[[], None]:
    def announce() -> None:
        if descriptor is not None:
            with contextlib.suppress(OSError):
                os.write(descriptor, b"ready\n")
                os.close(descriptor)

    return announce


def _run(options: KlusterletOptions, ready: Callable[[], None]) -> None:
    async def serve() -> None:
        stop = asyncio.Event()
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, stop.set)
        await klusterlet.run(options, ready=ready, stop=stop)

    asyncio.run(serve())


if __name__ == "__main__":
    sys.exit(main())
