"""Client certificates by CertificateSigningRequest.

A state machine with one state beside the stored credential: the request that is pending, and its key. A request that
was denied is still pending; only when it is gone (an administrator deletes it, or the hub's housekeeping) is a new
one made. The hub is followed only while a request is pending.

The pending request is kept in a file, too: hubs count the requests of a cluster and stop at ten, and an agent that is
restarted while nobody has approved it would use them up.
"""

from __future__ import annotations

import asyncio
import base64
import logging
import random
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final

import orjson

from merope.kube import CORE, Client, KubeConfig, KubeError, Manifest, NotFound, make_informer
from merope.kube.cache import Change
from merope.kube.conditions import ConditionStatus
from merope.registration.agent.directory import HubDirectory
from merope.registration.agent.driver import Condition, Outcome
from merope.registration.agent.identity import Identity
from merope.registration.agent.reporting import Reporter
from merope.sdk.credentials import (
    CERTIFICATE,
    CLIENT_SIGNER,
    KEY,
    USAGES,
    CredentialError,
    certificates,
    generate_key,
    kubeconfig_from,
    lifetime,
    matches_key,
    renewal_threshold,
    signing_request,
    why_new_certificate,
)

_log = logging.getLogger(__name__)

CLUSTER_NAME_LABEL: Final = "open-cluster-management.io/cluster-name"
ADDON_NAME_LABEL: Final = "open-cluster-management.io/addon-name"
ROTATED: Final = "ClusterCertificateRotated"
#: With as many requests of a cluster on the hub no further one is made.
BACKLOG: Final = 10

_REQUEST: Final = CORE["CertificateSigningRequest"]
_TOPIC: Final = "certificate"
_PENDING_FILE: Final = "pending-request.json"


@dataclass(frozen=True)
class _Pending:
    name: str
    key: bytes


class PendingFile:
    """The pending request in the directory of the hub credential, for one subject and one hub."""

    def __init__(self, directory: HubDirectory, hub: str, common_name: str) -> None:
        self._directory = directory
        self._for = [hub, common_name]

    def load(self) -> _Pending | None:
        """What is pending since before a restart; None where nothing is, or not for this subject and hub."""
        try:
            stored = orjson.loads(self._directory.read(_PENDING_FILE) or b"{}")
            if stored.get("for") == self._for:
                return _Pending(str(stored["name"]), str(stored["key"]).encode())
        except (ValueError, KeyError, AttributeError):
            pass
        return None

    def save(self, pending: _Pending | None) -> None:
        """Keeps the request, or forgets it."""
        if pending is None:
            self._directory.remove(_PENDING_FILE)
            return
        stored = {"for": self._for, "name": pending.name, "key": pending.key.decode()}
        self._directory.dump({_PENDING_FILE: orjson.dumps(stored)})


class CsrDriver:
    """Client certificates for a cluster's agent. ``hub`` is the client of the phase.

    With ``renew`` the stored certificate counts as worthless, whatever it says.
    """

    def __init__(
        self,
        hub: Client,
        identity: Identity,
        directory: HubDirectory,
        *,
        reporter: Reporter,
        clock: Callable[[], datetime],
        expiration_seconds: int = 0,
        renew: bool = False,
        jitter: Callable[[], float] = random.random,
    ) -> None:
        self._hub = hub
        self._identity = identity
        self._changed: Callable[[], None] = lambda: None
        self._reporter = reporter
        self._clock = clock
        self._expiration_seconds = expiration_seconds
        self._renew = renew
        self._jitter = jitter
        self._file = PendingFile(directory, hub.config.server, identity.subject.common_name)
        self._pending = self._file.load()
        self._turned = asyncio.Event()

    def kubeconfig(self, template: KubeConfig) -> bytes:
        """A kubeconfig whose user is the certificate and the key beside it."""
        return kubeconfig_from(template)

    def on_change(self, handler: Callable[[], None]) -> None:
        """Calls ``handler`` when the pending request has changed."""
        self._changed = handler

    def decorate(self, cluster: Manifest) -> None:
        """Certificates need nothing on the ManagedCluster."""

    async def process(self, stored: Mapping[str, bytes], additional: Mapping[str, bytes]) -> Outcome:
        """Looks after the pending request, or decides whether to make one."""
        if self._pending is not None:
            return await self._collect(self._pending)
        now = self._clock()
        if not self._renew:
            threshold = renewal_threshold(self._jitter())
            why = why_new_certificate(stored, self._identity.subject, additional, now, threshold)
            if why is None:
                valid = lifetime(certificates(stored[CERTIFICATE]))
                return Outcome(again=max(1.0, valid.seconds_until(threshold, now)))
            _log.info("a new client certificate is needed: %s", why[1])
        requests = await self._hub.list(
            _REQUEST, label_selector=f"{CLUSTER_NAME_LABEL}={self._identity.cluster_name},!{ADDON_NAME_LABEL}"
        )
        if len(requests) >= BACKLOG:
            self._reporter.problem(
                _TOPIC,
                f"no certificate is asked for: {len(requests)} signing requests of cluster "
                f"{self._identity.cluster_name} are on the hub already. Delete those that nobody will approve: "
                f"kubectl delete csr -l {CLUSTER_NAME_LABEL}={self._identity.cluster_name}",
            )
            return Outcome(
                condition=_failed("Stop creating csr since there are too many csr created already on hub"), again=60.0
            )
        return await self._ask()

    async def _ask(self) -> Outcome:
        key = generate_key()
        request = csr_object(
            self._identity.cluster_name, signing_request(key, self._identity.subject), self._expiration_seconds
        )
        created = await self._hub.create(_REQUEST, request)
        name = created["metadata"]["name"]
        self._set(_Pending(name, key))
        _log.info("asked the hub for a client certificate: CertificateSigningRequest %s", name)
        return Outcome()

    async def _collect(self, pending: _Pending) -> Outcome:
        try:
            request = await self._hub.get(_REQUEST, pending.name)
        except NotFound:
            self._set(None)
            message = f'unable to get csr "{pending.name}". It might have already been deleted'
            self._reporter.problem(_TOPIC, f"{message}; asking again")
            return Outcome(condition=_failed(f"Failed to rotated client certificate {message}"), again=0.0)
        certificate = base64.b64decode((request.get("status") or {}).get("certificate") or "")
        if "Approved" not in (decided := _decisions(request)) or not certificate:
            self._tell_waiting(pending.name, decided)
            return Outcome()
        self._set(None)
        if not matches_key(certificate, pending.key):
            message = f"private key does not match with the certificate in csr: {pending.name}"
            self._reporter.problem(_TOPIC, f"{message}; asking again")
            return Outcome(condition=_failed(f"Failed to rotated client certificate {message}"), again=1.0)
        self._renew = False
        self._reporter.solved(_TOPIC)
        valid = lifetime(certificates(certificate))
        _log.info("the hub issued a client certificate, valid until %s", _go_time(valid.ends))
        message = f"client certificate rotated starting from {_go_time(valid.begins)} to {_go_time(valid.ends)}"
        return Outcome(
            {CERTIFICATE: certificate, KEY: pending.key},
            Condition(ROTATED, "True", "ClientCertificateUpdated", message),
        )

    def _tell_waiting(self, name: str, decided: frozenset[str]) -> None:
        cluster = self._identity.cluster_name
        if "Denied" in decided:
            text = (
                f"the hub denied CertificateSigningRequest {name} of cluster {cluster}. "
                f"To let the agent ask again: kubectl delete csr {name}"
            )
        elif "Failed" in decided:
            text = f"the hub could not sign CertificateSigningRequest {name}. To ask again: kubectl delete csr {name}"
        elif "Approved" in decided:
            return  # the signature follows
        else:
            text = (
                f"CertificateSigningRequest {name} waits for approval on the hub: "
                f"merope accept {cluster}, or kubectl certificate approve {name}"
            )
        self._reporter.problem(_TOPIC, text, level=logging.WARNING if decided else logging.INFO)

    def _set(self, pending: _Pending | None) -> None:
        self._pending = pending
        self._file.save(pending)
        self._turned.set()

    async def run(self) -> None:
        """Follows the cluster's requests on the hub while one of them is pending."""
        while True:
            self._turned.clear()
            if self._pending is None:
                await self._turned.wait()
                continue
            informer = make_informer(
                self._hub, _REQUEST, label_selector=f"{CLUSTER_NAME_LABEL}={self._identity.cluster_name}"
            )
            informer.add_handler(self._seen)
            async with asyncio.TaskGroup() as group:
                following = group.create_task(informer.run(), name=str(informer))
                await self._turned.wait()
                following.cancel()

    def _seen(self, change: Change[Any]) -> None:
        if self._pending is not None and change.key.name == self._pending.name:
            self._changed()


def csr_object(cluster_name: str, request: bytes, expiration_seconds: int = 0) -> Manifest:
    """The CertificateSigningRequest of a cluster's agent for a PKCS#10 request in PEM."""
    spec: dict[str, Any] = {
        "request": base64.b64encode(request).decode(),
        "signerName": CLIENT_SIGNER,
        "usages": list(USAGES),
    }
    if expiration_seconds:
        spec["expirationSeconds"] = expiration_seconds
    return {
        "apiVersion": _REQUEST.api_version,
        "kind": _REQUEST.kind,
        "metadata": {"generateName": f"{cluster_name}-", "labels": {CLUSTER_NAME_LABEL: cluster_name}},
        "spec": spec,
    }


def _decisions(request: Mapping[str, Any]) -> frozenset[str]:
    """The conditions that are set; a denial overrides an approval."""
    conditions = (request.get("status") or {}).get("conditions") or ()
    found = frozenset(str(condition.get("type")) for condition in conditions if condition.get("status") != "False")
    return found - {"Approved"} if "Denied" in found else found


def _failed(message: str, status: ConditionStatus = "False") -> Condition:
    return Condition(ROTATED, status, "ClientCertificateUpdateFailed", message)


def creation_failed(error: KubeError | CredentialError) -> Condition:
    """The condition for a request that could not be made."""
    return _failed(f"Failed to create CSR {error}")


def _go_time(moment: datetime) -> str:
    return moment.astimezone(UTC).strftime("%Y-%m-%d %H:%M:%S +0000 UTC")
