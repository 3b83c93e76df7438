"""Who an agent is: the name of its cluster, its own name, and the hub it belongs to."""

from __future__ import annotations

import hashlib
import secrets
import uuid
from dataclasses import dataclass
from typing import Final

from merope.kube import ConfigError, KubeConfig
from merope.lang.names import is_dns1123_label
from merope.sdk.credentials import Subject, current_cluster

SUBJECT_PREFIX: Final = "system:open-cluster-management:"
ALL_CLUSTERS: Final = "system:open-cluster-management:managed-clusters"
_ALPHABET: Final = "bcdfghjklmnpqrstvwxz2456789"  # what Kubernetes makes generated names of: no words come out
_ID_LENGTH: Final = 5


@dataclass(frozen=True)
class Identity:
    """A cluster's agent, as the hub knows it."""

    cluster_name: str
    agent_id: str

    @property
    def subject(self) -> Subject:
        """Whom the agent's certificate speaks for."""
        return Subject(
            f"{SUBJECT_PREFIX}{self.cluster_name}:{self.agent_id}",
            frozenset({f"{SUBJECT_PREFIX}{self.cluster_name}", ALL_CLUSTERS}),
        )


def choose_identity(cluster_name: str, agent_id: str, stored_cluster_name: str, stored_agent_id: str) -> Identity:
    """Names as configured, else as stored, else random ones. Raises ConfigError for a name that no cluster can have."""
    name = cluster_name or stored_cluster_name or str(uuid.uuid4())
    problems = is_dns1123_label(name)
    if problems:
        raise ConfigError(f"metadata.name format is not correct: {name!r}: {', '.join(problems)}")
    return Identity(name, agent_id or stored_agent_id or random_agent_id())


def random_agent_id() -> str:
    """A new name for an agent, in the form of a generated name's suffix."""
    return "".join(secrets.choice(_ALPHABET) for _ in range(_ID_LENGTH))


def hub_hash(config: KubeConfig) -> str:
    """What agents tell hubs apart by: the SHA-256, in hexadecimal, of the hub's URL as the kubeconfig has it."""
    _, cluster = current_cluster(config)
    return hashlib.sha256(str(cluster.get("server") or "").encode()).hexdigest()


def names_identity(common_name: str, identity: Identity) -> bool | None:
    """Whether a certificate's common name is that of ``identity``; None where it is no agent's name at all."""
    parts = common_name.removeprefix(SUBJECT_PREFIX).split(":")
    if not common_name.startswith(SUBJECT_PREFIX) or len(parts) != 2:
        return None
    return parts == [identity.cluster_name, identity.agent_id]
