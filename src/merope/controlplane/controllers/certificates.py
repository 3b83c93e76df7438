"""Certificate signing requests: signed when approved, removed when old."""

from __future__ import annotations

import asyncio
import base64
import contextlib
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, Final

from cryptography import x509

from merope.controlplane import csr
from merope.controlplane.controllers.work import Reconciler, controller_user
from merope.controlplane.entry import Change
from merope.controlplane.errors import ApiError
from merope.controlplane.resource import GroupResource

if TYPE_CHECKING:
    from merope.controlplane.server import Server

_REQUESTS: Final = GroupResource(csr.GROUP, "certificatesigningrequests")
_PATH: Final = (csr.GROUP, "v1", "certificatesigningrequests")
_HOUR: Final = timedelta(hours=1)
_DAY: Final = timedelta(hours=24)


class CertificateSigner:
    """Signs approved requests for client certificates with the authority that the server itself accepts."""

    def __init__(self, server: Server) -> None:
        self._server = server
        self._work: Reconciler[str] = Reconciler("csrsigning", self._reconcile, workers=2)
        self._unsubscribe: Callable[[], None] = lambda: None

    async def start(self) -> None:
        self._unsubscribe = self._server.store.subscribe(self._changed, _REQUESTS)
        for entry in self._server.store.list(_REQUESTS):
            self._work.add(entry.name)
        self._work.start()

    async def stop(self) -> None:
        self._unsubscribe()
        await self._work.stop()

    def _changed(self, change: Change) -> None:
        if change.type != "DELETED" and csr.wants_signature(change.entry.parsed()):
            self._work.add(change.entry.name)

    async def _reconcile(self, name: str) -> None:
        entry = self._server.store.get(_REQUESTS, "", name)
        if entry is None or entry.deleting or not csr.wants_signature(entry.parsed()):
            return
        obj = entry.copy()
        pki = self._server.pki
        decision = csr.sign(obj.get("spec") or {}, datetime.now(UTC), pki.ca_not_after)
        status = obj.setdefault("status", {})
        if isinstance(decision, csr.Refusal):
            failed = {"type": "Failed", "status": "True", "reason": decision.reason, "message": decision.message}
            status["conditions"] = [*(status.get("conditions") or ()), failed]
        else:
            pem = pki.sign_csr_certificate(decision.request, decision.usages, decision.not_before, decision.not_after)
            status["certificate"] = base64.b64encode(pem).decode()
        await self._server.local(manager="kube-controller-manager").update(_PATH, obj, "status")


def expired(obj: Mapping[str, Any], now: datetime) -> bool:
    """Whether a request has served its time.

    An hour after a denial, a failure or the issue of the certificate; a day where nobody decided or nobody signed; and
    when the certificate has run out.
    """
    status: Mapping[str, Any] = obj.get("status") or {}
    issued = bool(status.get("certificate"))
    for condition in status.get("conditions") or ():
        changed = condition.get("lastUpdateTime") or obj["metadata"].get("creationTimestamp")
        age = now - _moment(changed)
        match condition.get("type"):
            case "Approved":
                limit = _HOUR if issued else _DAY
            case "Denied" | "Failed":
                limit = _HOUR
            case _:
                continue
        if age > limit:
            return True
    if issued and _has_run_out(status["certificate"], now):
        return True
    return not status.get("conditions") and now - _moment(obj["metadata"].get("creationTimestamp")) > _DAY


def _moment(text: str | None) -> datetime:
    try:
        return datetime.fromisoformat((text or "").replace("Z", "+00:00"))
    except ValueError:
        return datetime.now(UTC)


def _has_run_out(encoded: str, now: datetime) -> bool:
    try:
        certificates = x509.load_pem_x509_certificates(base64.b64decode(encoded))
    except ValueError:
        return False
    return certificates[0].not_valid_after_utc < now


class CertificateCleaner:
    """Looks through the requests once an hour."""

    def __init__(self, server: Server, interval: timedelta = _HOUR) -> None:
        self._server = server
        self._interval = interval
        self._task: asyncio.Task[None] | None = None

    async def start(self) -> None:
        self._task = asyncio.create_task(self._run(), name="csrcleaner")

    async def stop(self) -> None:
        if self._task is not None:
            self._task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._task

    async def _run(self) -> None:
        while True:
            await self.clean()
            await asyncio.sleep(self._interval.total_seconds())

    async def clean(self) -> None:
        """Delete the requests whose time is over."""
        client = self._server.local(controller_user("certificate-controller"))
        now = datetime.now(UTC)
        for entry in self._server.store.list(_REQUESTS):
            if entry.deleting or not expired(entry.parsed(), now):
                continue
            with contextlib.suppress(ApiError):
                await client.delete(_PATH, entry.name, "", {"preconditions": {"uid": entry.uid}})
