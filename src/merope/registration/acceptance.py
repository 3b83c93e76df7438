"""Accepting clusters, as an administrator does it: approve the first signing request, then let the cluster in.

Only requests of the identities that agents bootstrap with are approved: renewals carry the same label, and are not an
administrator's business. Whoever asks, only requests for the certificate of that very cluster are: add-ons' requests
carry the label, too.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
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
#: Groups of which these users have one.
BOOTSTRAP_GROUPS: Final = frozenset(
    {
        "system:bootstrappers:managedcluster",
        "system:serviceaccounts:open-cluster-management",
        "system:serviceaccounts:open-cluster-management-hub",
    }
)
_REASON: Final = "ClusterAccepted"
_MESSAGE: Final = "Approved by the hub's administrator when accepting the cluster."


def is_first_request(csr: Mapping[str, Any], cluster: str) -> bool:
    """Whether ``csr`` is a bootstrap identity's request for the certificate of ``cluster``."""
    found = recognise(csr)
    return found is not None and found.cluster == cluster and is_bootstrap_requester(csr)


def is_bootstrap_requester(csr: Mapping[str, Any]) -> bool:
    """Whether an identity that agents bootstrap with made the request."""
    spec: Mapping[str, Any] = csr.get("spec") or {}
    return str(spec.get("username", "")).startswith(BOOTSTRAP_USERS) and not BOOTSTRAP_GROUPS.isdisjoint(
        spec.get("groups") or ()
    )


@dataclass(frozen=True)
class Review:
    """What an administrator who accepts a cluster does with its signing requests.

    ``approve``: those to be approved now. ``approved`` and ``denied``: the names of those that are decided. ``others``:
    names and common names of those that other requesters than the wanted ones made. ``ambiguous``: the common names
    among which the administrator has to choose; nothing is to be approved then. ``invalid``: the names of those that
    ask for something else than the cluster's certificate.
    """

    approve: list[Manifest] = field(default_factory=list)
    approved: list[str] = field(default_factory=list)
    denied: list[str] = field(default_factory=list)
    others: list[tuple[str, str]] = field(default_factory=list)
    ambiguous: list[str] = field(default_factory=list)
    invalid: list[str] = field(default_factory=list)


def review(
    csrs: Iterable[Manifest], cluster: str, *, requesters: Collection[str] = (), any_identity: bool = False
) -> Review:
    """Look through the requests that carry the label of ``cluster``.

    ``requesters``: only requests for these common names. ``any_identity``: whoever made the request, and for however
    many common names.
    """
    found = Review()
    candidates: list[tuple[Manifest, str]] = []
    for csr in sorted(csrs, key=lambda each: str(each["metadata"]["name"])):
        if not (any_identity or is_bootstrap_requester(csr)):
            continue
        asked = recognise(csr)
        if asked is None or asked.cluster != cluster:
            found.invalid.append(csr["metadata"]["name"])
        else:
            candidates.append((csr, asked.common_name))
    names = sorted({common_name for _, common_name in candidates})
    if len(names) > 1 and not (requesters or any_identity):
        found.ambiguous.extend(names)
        return found
    for csr, common_name in candidates:
        name = csr["metadata"]["name"]
        decided = {each.get("type") for each in (csr.get("status") or {}).get("conditions") or ()}
        if requesters and common_name not in requesters:
            found.others.append((name, common_name))
        elif "Denied" in decided:
            found.denied.append(name)
        elif "Approved" in decided:
            found.approved.append(name)
        else:
            found.approve.append(csr)
    return found


async def labelled_requests(client: Client, cluster: str) -> list[Manifest]:
    """The signing requests that carry the label of a cluster. Raises ``kube.KubeError``."""
    ref = CORE["CertificateSigningRequest"]
    return await client.list(ref, label_selector=f"{CLUSTER_NAME_LABEL}={cluster}")


async def approve(
    client: Client, csr: Manifest, *, reason: str = _REASON, message: str = _MESSAGE, dry_run: bool = False
) -> None:
    """Approve one request. Raises ``kube.KubeError``."""
    condition = {
        "type": "Approved",
        "status": "True",
        "reason": reason,
        "message": message,
        "lastUpdateTime": timestamp(),
    }
    status = dict(csr.get("status") or {})
    status["conditions"] = [*(status.get("conditions") or ()), condition]
    ref = CORE["CertificateSigningRequest"]
    await client.update(ref, {**csr, "status": status}, subresource="approval", dry_run=dry_run)


async def approve_requests(client: Client, cluster: str) -> int:
    """Approve the open first requests of a cluster; how many. Raises ``kube.KubeError``."""
    approved = 0
    for csr in await labelled_requests(client, cluster):
        if is_decided(csr) or not is_first_request(csr, cluster):
            continue
        try:
            await approve(client, csr)
        except (Conflict, NotFound):
            continue
        approved += 1
    return approved


async def let_in(client: Client, cluster: str, *, dry_run: bool = False) -> bool:
    """Set ``spec.hubAcceptsClient``; whether that was a change. Raises ``kube.NotFound`` for an unknown cluster."""
    found = await client.fetch(ManagedCluster, cluster)
    if (found.raw.get("spec") or {}).get("hubAcceptsClient"):
        return False
    await client.patch(ManagedCluster, cluster, {"spec": {"hubAcceptsClient": True}}, dry_run=dry_run)
    return True
