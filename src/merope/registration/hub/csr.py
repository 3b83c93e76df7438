"""Signing requests of agents: renewals are approved when the requester may renew, all others wait for a person."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

from merope.kube import CORE, Client, Informer, NotFound, timestamp
from merope.registration import approval

Manifest = dict[str, Any]


class ApprovalReconciler:
    """Reconciles one signing request by name. ``auto_approved`` are users whose first requests need no person."""

    def __init__(self, client: Client, requests: Informer[Manifest], auto_approved: Collection[str] = ()) -> None:
        self._client = client
        self._requests = requests
        self._auto_approved = frozenset(auto_approved)

    async def reconcile(self, name: str) -> float | None:
        csr = self._requests.get(name)
        if csr is None or csr.deleting:
            return None
        raw = csr.raw
        request = approval.recognise(raw)
        if request is None:
            return None
        decision = approval.decide(raw, request, self._auto_approved)
        if decision == "ask":
            decision = "approve" if await self._may_renew(raw["spec"]) else "ignore"
        if decision == "approve":
            await self._approve(raw)
        return None

    async def _may_renew(self, spec: Mapping[str, Any]) -> bool:
        asked: Manifest = {
            "resourceAttributes": {
                "verb": "renew",
                "group": "register.open-cluster-management.io",
                "resource": "managedclusters",
                "subresource": "clientcertificates",
            },
            "user": spec.get("username", ""),
        }
        for key in ("uid", "groups", "extra"):
            if spec.get(key):
                asked[key] = spec[key]
        review = await self._client.create(CORE["SubjectAccessReview"], {"spec": asked})
        return bool((review.get("status") or {}).get("allowed"))

    async def _approve(self, raw: Manifest) -> None:
        condition = {
            "type": "Approved",
            "status": "True",
            "reason": approval.REASON,
            "message": approval.MESSAGE,
            "lastUpdateTime": timestamp(),
        }
        status = raw.setdefault("status", {})
        status["conditions"] = [*(status.get("conditions") or ()), condition]
        try:
            await self._client.update(CORE["CertificateSigningRequest"], raw, subresource="approval")
        except NotFound:
            return
