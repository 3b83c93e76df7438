"""The steps by which an agent comes by a certificate, against a hub that keeps requests in a dict."""

from __future__ import annotations

import base64
import logging
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, cast

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from merope.kube import Client, ClientConfig, NotFound
from merope.registration.agent.csr import BACKLOG, CsrDriver
from merope.registration.agent.directory import HubDirectory
from merope.registration.agent.driver import Outcome
from merope.registration.agent.identity import Identity
from merope.registration.agent.reporting import Reporter

NOW = datetime(2030, 1, 1, tzinfo=UTC)
IDENTITY = Identity("c1", "a1")
ADDITIONAL = {"cluster-name": b"c1"}
CA = ec.generate_private_key(ec.SECP256R1())


@dataclass
class Hub:
    """What the driver asks of a client, and what an administrator does."""

    requests: dict[str, dict[str, Any]] = field(default_factory=dict)
    made: int = 0
    config: ClientConfig = field(default_factory=lambda: ClientConfig("https://hub.example.com"))

    async def list(self, kind: object, *, label_selector: str) -> list[dict[str, Any]]:
        assert label_selector == ("open-cluster-management.io/cluster-name=c1,!open-cluster-management.io/addon-name")
        return list(self.requests.values())

    async def create(self, kind: object, obj: dict[str, Any]) -> dict[str, Any]:
        self.made += 1
        name = f"{obj['metadata']['generateName']}{self.made}"
        self.requests[name] = {**obj, "metadata": {**obj["metadata"], "name": name}}
        return self.requests[name]

    async def get(self, kind: object, name: str) -> dict[str, Any]:
        if name not in self.requests:
            raise NotFound({"code": 404, "reason": "NotFound", "message": "gone"})
        return self.requests[name]

    def decide(self, type_: str, name: str = "c1-1") -> None:
        status = self.requests[name].setdefault("status", {})
        status.setdefault("conditions", []).append({"type": type_, "status": "True"})

    def sign(self, name: str = "c1-1", key: object = None) -> None:
        request = x509.load_pem_x509_csr(base64.b64decode(self.requests[name]["spec"]["request"]))
        public = cast("ec.EllipticCurvePublicKey", key or request.public_key())
        issuer = x509.Name([])
        builder = x509.CertificateBuilder(issuer, request.subject, public, 7, NOW, NOW + timedelta(days=100))
        pem = builder.sign(CA, hashes.SHA256()).public_bytes(serialization.Encoding.PEM)
        self.requests[name].setdefault("status", {})["certificate"] = base64.b64encode(pem).decode()


@pytest.fixture
def hub() -> Hub:
    return Hub()


@pytest.fixture
def driver(hub: Hub, tmp_path: Path) -> Callable[..., CsrDriver]:
    directory = HubDirectory(tmp_path / "hub")
    directory.prepare()

    def make(*, at: datetime = NOW, identity: Identity = IDENTITY, **options: Any) -> CsrDriver:
        reporter = Reporter(logging.getLogger("test"))
        return CsrDriver(
            cast(Client, hub), identity, directory, reporter=reporter, clock=lambda: at, jitter=lambda: 0.0, **options
        )

    return make


async def obtain(made: CsrDriver, hub: Hub) -> dict[str, bytes]:
    await made.process({}, ADDITIONAL)
    hub.decide("Approved")
    hub.sign()
    outcome = await made.process({}, ADDITIONAL)
    assert outcome.credential is not None
    return {**outcome.credential, **ADDITIONAL}


async def test_a_certificate_comes_by_request_approval_and_signature(
    hub: Hub, driver: Callable[..., CsrDriver]
) -> None:
    made = driver()

    assert await made.process({}, ADDITIONAL) == Outcome()
    assert await made.process({}, ADDITIONAL) == Outcome()
    hub.decide("Approved")
    assert await made.process({}, ADDITIONAL) == Outcome()
    hub.sign()
    outcome = await made.process({}, ADDITIONAL)

    assert hub.made == 1
    assert outcome.credential is not None
    assert set(outcome.credential) == {"tls.crt", "tls.key"}
    assert outcome.condition is not None
    assert (outcome.condition.type, outcome.condition.status) == ("ClusterCertificateRotated", "True")
    assert outcome.condition.message == (
        "client certificate rotated starting from 2030-01-01 00:00:00 +0000 UTC to 2030-04-11 00:00:00 +0000 UTC"
    )


async def test_the_request_is_what_the_hub_looks_for(hub: Hub, driver: Callable[..., CsrDriver]) -> None:
    await driver(expiration_seconds=7200).process({}, ADDITIONAL)

    request = hub.requests["c1-1"]
    assert request["metadata"]["labels"] == {"open-cluster-management.io/cluster-name": "c1"}
    assert request["spec"]["signerName"] == "kubernetes.io/kube-apiserver-client"
    assert request["spec"]["expirationSeconds"] == 7200
    parsed = x509.load_pem_x509_csr(base64.b64decode(request["spec"]["request"]))
    assert "CN=system:open-cluster-management:c1:a1" in parsed.subject.rfc4514_string()


async def test_a_valid_certificate_is_left_alone_until_a_fifth_of_its_life_is_left(
    hub: Hub, driver: Callable[..., CsrDriver]
) -> None:
    stored = await obtain(driver(), hub)

    early = await driver(at=NOW + timedelta(days=79)).process(stored, ADDITIONAL)
    assert (early.credential, hub.made) == (None, 1)
    assert early.again == pytest.approx(86400)

    await driver(at=NOW + timedelta(days=80)).process(stored, ADDITIONAL)
    assert hub.made == 2


async def test_other_data_to_store_needs_another_certificate(hub: Hub, driver: Callable[..., CsrDriver]) -> None:
    stored = await obtain(driver(), hub)

    await driver().process(stored, {"cluster-name": b"c2"})

    assert hub.made == 2


async def test_a_certificate_that_the_hub_refuses_is_asked_for_anew_once(
    hub: Hub, driver: Callable[..., CsrDriver]
) -> None:
    stored = await obtain(driver(), hub)
    made = driver(renew=True)

    await made.process(stored, ADDITIONAL)
    hub.decide("Approved", "c1-2")
    hub.sign("c1-2")
    renewed = (await made.process(stored, ADDITIONAL)).credential

    assert renewed is not None
    assert (await made.process({**renewed, **ADDITIONAL}, ADDITIONAL)).credential is None
    assert hub.made == 2


@pytest.mark.parametrize("decisions", [["Denied"], ["Approved", "Denied"]])
async def test_a_denied_request_stays_pending_until_it_is_gone(
    hub: Hub, driver: Callable[..., CsrDriver], decisions: list[str], caplog: pytest.LogCaptureFixture
) -> None:
    made = driver()
    await made.process({}, ADDITIONAL)
    for each in decisions:
        hub.decide(each)

    assert await made.process({}, ADDITIONAL) == Outcome()
    assert "kubectl delete csr c1-1" in caplog.text
    del hub.requests["c1-1"]
    gone = await made.process({}, ADDITIONAL)
    assert gone.condition is not None
    assert gone.condition.message == (
        'Failed to rotated client certificate unable to get csr "c1-1". It might have already been deleted'
    )
    assert hub.made == 1
    await made.process({}, ADDITIONAL)
    assert hub.made == 2


async def test_a_certificate_for_another_key_is_thrown_away(hub: Hub, driver: Callable[..., CsrDriver]) -> None:
    made = driver()
    await made.process({}, ADDITIONAL)
    hub.decide("Approved")
    hub.sign(key=CA.public_key())

    outcome = await made.process({}, ADDITIONAL)

    assert outcome.credential is None
    assert outcome.condition is not None
    assert "private key does not match with the certificate in csr: c1-1" in outcome.condition.message


@pytest.mark.parametrize(("waiting", "expected"), [(BACKLOG - 1, 1), (BACKLOG, 0)])
async def test_no_more_than_ten_requests_wait(
    hub: Hub, driver: Callable[..., CsrDriver], waiting: int, expected: int
) -> None:
    hub.requests = {f"old-{number}": {} for number in range(waiting)}

    outcome = await driver().process({}, ADDITIONAL)

    assert hub.made == expected
    if not expected:
        assert outcome.condition is not None
        assert outcome.condition.message == "Stop creating csr since there are too many csr created already on hub"


async def test_an_agent_that_is_restarted_waits_for_the_request_it_made(
    hub: Hub, driver: Callable[..., CsrDriver]
) -> None:
    await driver().process({}, ADDITIONAL)

    restarted = driver()
    assert await restarted.process({}, ADDITIONAL) == Outcome()
    hub.decide("Approved")
    hub.sign()
    outcome = await restarted.process({}, ADDITIONAL)

    assert outcome.credential is not None
    assert hub.made == 1


async def test_a_pending_request_belongs_to_one_identity_and_one_hub(
    hub: Hub, driver: Callable[..., CsrDriver]
) -> None:
    await driver().process({}, ADDITIONAL)
    await driver(identity=Identity("c1", "a2")).process({}, ADDITIONAL)
    assert hub.made == 2

    hub.config = ClientConfig("https://other.example.com")
    await driver(identity=Identity("c1", "a2")).process({}, ADDITIONAL)
    assert hub.made == 3
