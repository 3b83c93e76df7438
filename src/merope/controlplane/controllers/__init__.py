"""The controllers that a Kubernetes API needs beside it, running inside the server they serve.

They are told of changes by the store, never poll, and write through the registry as any client would, each under the
name that the like controller has on a Kubernetes cluster. Only clocks are waited for: ages of requests and events.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from merope.controlplane.controllers.aggregation import ClusterRoleAggregation
from merope.controlplane.controllers.certificates import CertificateCleaner, CertificateSigner
from merope.controlplane.controllers.expiry import BootstrapTokenExpiry, EventExpiry
from merope.controlplane.controllers.garbage import GarbageCollector
from merope.controlplane.controllers.namespace_contents import NamespaceContents
from merope.controlplane.controllers.namespace_deletion import NamespaceDeletion
from merope.controlplane.controllers.token_secrets import TokenSecrets

if TYPE_CHECKING:
    from collections.abc import Sequence

    from merope.controlplane.server import Controller, Server


def controllers(server: Server) -> Sequence[Controller]:
    """All controllers of ``server``, in the order in which they start."""
    return (
        ClusterRoleAggregation(server),
        NamespaceContents(server),
        TokenSecrets(server),
        CertificateSigner(server),
        CertificateCleaner(server),
        NamespaceDeletion(server),
        GarbageCollector(server),
        EventExpiry(server),
        BootstrapTokenExpiry(server),
    )
