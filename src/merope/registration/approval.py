"""Which signing requests are a managed cluster's own, and which of these are approved without an administrator.

Labels are hints that anybody can set. What counts is the subject that is asked for and who asks.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any, Final, Literal

from cryptography import x509
from cryptography.x509.oid import NameOID

from merope.registration.cluster_rbac import CLUSTER_NAME_LABEL

CLIENT_SIGNER: Final = "kubernetes.io/kube-apiserver-client"
SUBJECT_PREFIX: Final = "system:open-cluster-management:"
ALL_CLUSTERS: Final = "system:open-cluster-management:managed-clusters"
REASON: Final = "AutoApprovedByHubCSRApprovingController"
MESSAGE: Final = "Auto approving Managed cluster agent certificate after SubjectAccessReview."

Decision = Literal["approve", "ask", "ignore"]


@dataclass(frozen=True, slots=True)
class ClusterRequest:
    """A request for the certificate of ``cluster``'s agent, recognised by its subject."""

    cluster: str
    common_name: str


def recognise(csr: Mapping[str, Any]) -> ClusterRequest | None:
    """The cluster whose certificate ``csr`` asks for; None where it is anything else.

    The organisations must be exactly those of the cluster that the label names, and the common name exactly prefix,
    cluster and agent: a cluster ``a`` must not be able to claim ``a:b``.
    """
    cluster = ((csr.get("metadata") or {}).get("labels") or {}).get(CLUSTER_NAME_LABEL, "")
    spec: Mapping[str, Any] = csr.get("spec") or {}
    if not cluster or spec.get("signerName") != CLIENT_SIGNER:
        return None
    try:
        pem = base64.b64decode(spec.get("request", ""), validate=True)
        # One block of this kind and no other: of several, the signer might read another one than we do.
        if pem.count(b"-----BEGIN ") != 1 or not pem.lstrip().startswith(b"-----BEGIN CERTIFICATE REQUEST-----"):
            return None
        subject = x509.load_pem_x509_csr(pem).subject
    except (binascii.Error, ValueError):
        return None
    organizations = {str(each.value) for each in subject.get_attributes_for_oid(NameOID.ORGANIZATION_NAME)}
    if organizations - {ALL_CLUSTERS} != {f"{SUBJECT_PREFIX}{cluster}"}:
        return None
    names = [str(each.value) for each in subject.get_attributes_for_oid(NameOID.COMMON_NAME)]
    if len(names) != 1 or not names[0].startswith(SUBJECT_PREFIX):
        return None
    parts = names[0][len(SUBJECT_PREFIX) :].split(":")
    if len(parts) != 2 or parts[0] != cluster or not parts[1]:
        return None
    return ClusterRequest(cluster, names[0])


def decide(csr: Mapping[str, Any], request: ClusterRequest, auto_approved: Collection[str]) -> Decision:
    """What becomes of a recognised request.

    ``ask``: a renewal by the identity itself, approved if it may renew. ``approve``: a first request by one of the
    users for whom that is configured. ``ignore``: an administrator decides.
    """
    if is_decided(csr):
        return "ignore"
    username = (csr.get("spec") or {}).get("username", "")
    if username == request.common_name:
        return "ask"
    return "approve" if username in auto_approved else "ignore"


def is_decided(csr: Mapping[str, Any]) -> bool:
    """Whether somebody has approved or denied it already."""
    conditions = (csr.get("status") or {}).get("conditions") or ()
    return any(condition.get("type") in ("Approved", "Denied") for condition in conditions)
