"""How a registration agent is told to behave."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from merope.kube import ConfigError

AGENT_NAMESPACE: Final = "open-cluster-management-agent"
BOOTSTRAP_SECRET: Final = "bootstrap-hub-kubeconfig"  # noqa: S105
HUB_SECRET: Final = "hub-kubeconfig-secret"  # noqa: S105
_SHORTEST_EXPIRATION: Final = 3600


def _now() -> datetime:
    return datetime.now(UTC)


@dataclass(frozen=True)
class RegistrationAgentOptions:
    """What a registration agent is started with; the fields are named for the reference's flags.

    ``bootstrap_kubeconfig`` names the hub and carries the credential to ask for a better one; None only where the
    hub kubeconfig is there already and nobody is to be asked. ``cluster_name`` and ``agent_id`` empty mean: those
    that are stored, else new random ones. ``health_check_period`` is how often (seconds) the status is looked at
    without any event. ``client_cert_expiration_seconds`` 0 leaves a certificate's lifetime to the hub.
    ``clock`` is asked for the time wherever certificates are judged.
    """

    hub_kubeconfig_dir: Path
    bootstrap_kubeconfig: Path | None = None
    namespace: str = AGENT_NAMESPACE
    bootstrap_secret: str = BOOTSTRAP_SECRET
    hub_secret: str = HUB_SECRET
    cluster_name: str = ""
    agent_id: str = ""
    external_server_urls: Sequence[str] = ()
    cluster_annotations: Mapping[str, str] = field(default_factory=dict)
    health_check_period: float = 60.0
    max_custom_cluster_claims: int = 20
    reserved_cluster_claim_suffixes: Sequence[str] = ()
    client_cert_expiration_seconds: int = 0
    cluster_claims: bool = True
    cluster_properties: bool = False
    clock: Callable[[], datetime] = _now

    def validate(self) -> None:
        """Raises ConfigError for what no agent can run with."""
        for url in self.external_server_urls:
            if not url.startswith("https://"):
                raise ConfigError(f'"{url}" is invalid')
        if self.health_check_period <= 0:
            raise ConfigError("cluster healthcheck period must greater than zero")
        if self.client_cert_expiration_seconds and self.client_cert_expiration_seconds < _SHORTEST_EXPIRATION:
            raise ConfigError("client certificate expiration seconds must greater or qual to 3600")
