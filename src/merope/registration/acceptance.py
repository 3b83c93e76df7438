"""Accepting clusters, as an administrator does it: approve the first signing request, then let the cluster in.

Only requests of the identities that agents bootstrap with are approved: renewals carry the same label, and are not an
administrator's business.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from merope.api.cluster.v1 import ManagedCluster
from merope.kube import CORE, Client, Conflict, NotFound, timestamp
from merope.registration.approval import is_decided, recognise
from merope.registration.cluster_rbac import CLUSTER_NAME_LABEL

Manifest = dict[str, Any]

#: Prefixes of the user names that agents bootstrap with.
BOOTSTRAP_USERS: Final = (
    "system:bootstrap:",
    "system:serviceaccount:open-cluster-management:agent-registration-bootstrap",
    "system:serviceaccount:open-cluster-management-hub:grpc-server-sa",
)
_REASON: Final = "ClusterAccepted"
_MESSAGE: Final = "Approved by the hub's administrator when accepting the cluster."


def is_first_request(csr: Mapping[str, Any], cluster: str) -> bool:
    """Whether ``csr`` is a bootstrap identity's request for the certificate of ``cluster``."""
    username = (csr.get("spec") or {}).get("username", "")
    found = recognise(csr)
    return found is not None and found.cluster == cluster and username.startswith(BOOTSTRAP_USERS)


async def approve_requests(client: Client, cluster: str) -> int:
    """Approve the open first requests of a cluster; how many. Raises ``kube.KubeError``."""
    ref = CORE["CertificateSigningRequest"]
    approved = 0
    for csr in await client.list(ref, label_selector=f"{CLUSTER_NAME_LABEL}={cluster}"):
        if is_decided(csr) or not is_first_request(csr, cluster):
            continue
        condition = {
            "type": "Approved",
            "status": "True",
            "reason": _REASON,
            "message": _MESSAGE,
            "lastUpdateTime": timestamp(),
        }
        status = csr.setdefault("status", {})
        status["conditions"] = [*(status.get("conditions") or ()), condition]
        try:
            await client.update(ref, csr, subresource="approval")
        except (Conflict, NotFound):
            continue
        approved += 1
    return approved


async def let_in(client: Client, cluster: str) -> bool:
    """Set ``spec.hubAcceptsClient``; whether that was a change. Raises ``kube.NotFound`` for an unknown cluster."""
    found = await client.fetch(ManagedCluster, cluster)
    if (found.raw.get("spec") or {}).get("hubAcceptsClient"):
        return False
    await client.patch(ManagedCluster, cluster, {"spec": {"hubAcceptsClient": True}})
    return True
