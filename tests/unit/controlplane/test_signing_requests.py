"""What the built-in signer decides, and when requests have served their time."""

from __future__ import annotations

import base64
import time
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from merope.controlplane.controllers.certificates import expired
from merope.controlplane.csr import CLIENT_SIGNER, Grant, Refusal, parse_request, pem_blocks, sign, wants_signature
from merope.controlplane.pki import Authority, subject_name

NOW = datetime(2026, 6, 1, 12, tzinfo=UTC)
LATER = NOW + timedelta(days=3650)


def encoded(groups: tuple[str, ...] = ("a", "b")) -> str:
    key = ec.generate_private_key(ec.SECP256R1())
    builder = x509.CertificateSigningRequestBuilder().subject_name(subject_name("alice", groups))
    request = builder.add_extension(x509.SubjectAlternativeName([x509.DNSName("x.example.com")]), critical=False)
    pem = request.sign(key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM)
    return base64.b64encode(pem).decode()


def spec(**more: Any) -> dict[str, Any]:
    return {"request": encoded(), "signerName": CLIENT_SIGNER, "usages": ["client auth", "digital signature"], **more}


@pytest.mark.parametrize(
    ("seconds", "not_after"),
    [
        (None, NOW + timedelta(days=365) - timedelta(minutes=5)),
        (3600, NOW + timedelta(hours=1)),
        (600, NOW + timedelta(minutes=10)),
        (8 * 3600, NOW + timedelta(hours=8) - timedelta(minutes=5)),
        (10**9, NOW + timedelta(days=365) - timedelta(minutes=5)),
    ],
)
def test_lifetimes_are_clamped_and_backdated(seconds: int | None, not_after: datetime) -> None:
    wish = {} if seconds is None else {"expirationSeconds": seconds}

    grant = sign(spec(**wish), NOW, LATER)

    assert isinstance(grant, Grant)
    assert grant.not_before == NOW - timedelta(minutes=5)
    assert grant.not_after == not_after


def test_no_certificate_outlives_its_authority() -> None:
    grant = sign(spec(), NOW, NOW + timedelta(days=1))

    assert isinstance(grant, Grant)
    assert grant.not_after == NOW + timedelta(days=1)


@pytest.mark.parametrize(
    ("usages", "message"),
    [
        (["client auth", "server auth"], "invalid usage for client certificate: server auth"),
        (["digital signature"], "missing required usage for client certificate: client auth"),
    ],
)
def test_usages_that_no_client_needs_are_refused(usages: list[str], message: str) -> None:
    assert sign(spec(usages=usages), NOW, LATER) == Refusal(message)


def test_the_certificate_has_the_subject_of_the_request_and_is_no_authority() -> None:
    authority = Authority.create("ca", NOW)
    grant = sign(spec(), NOW, LATER)
    assert isinstance(grant, Grant)

    pem = authority.issue(
        grant.request.public_key(), grant.request.subject, [], grant.usages, grant.not_before, grant.not_after
    )

    certificate = x509.load_pem_x509_certificate(pem)
    assert certificate.subject == parse_request(encoded()).subject
    assert not certificate.extensions.get_extension_for_class(x509.BasicConstraints).value.ca


@pytest.mark.parametrize(
    "request_text",
    [
        "",
        "!!",
        base64.b64encode(b"no pem").decode(),
        base64.b64encode(b"-----BEGIN CERTIFICATE-----\nAA==\n-----END CERTIFICATE-----").decode(),
    ],
)
def test_a_request_that_is_none_says_so(request_text: str) -> None:
    with pytest.raises(ValueError, match="PEM block type must be CERTIFICATE REQUEST"):
        parse_request(request_text)


def test_a_tampered_request_is_refused() -> None:
    pem = base64.b64decode(encoded())
    der = bytearray(x509.load_pem_x509_csr(pem).public_bytes(serialization.Encoding.DER))
    der[40] ^= 1
    tampered = (
        b"-----BEGIN CERTIFICATE REQUEST-----\n"
        + base64.encodebytes(bytes(der))
        + b"-----END CERTIFICATE REQUEST-----\n"
    )

    with pytest.raises(ValueError, match="certificate request"):
        parse_request(base64.b64encode(tampered).decode())


def condition(kind: str, age: timedelta) -> dict[str, str]:
    return {"type": kind, "status": "True", "lastUpdateTime": (NOW - age).strftime("%Y-%m-%dT%H:%M:%SZ")}


HOUR, DAY = timedelta(hours=1), timedelta(days=1)


@pytest.mark.parametrize(
    ("conditions", "issued", "created", "gone"),
    [
        ([], False, timedelta(hours=23), False),
        ([], False, timedelta(hours=25), True),
        ([condition("Denied", HOUR / 2)], False, DAY, False),
        ([condition("Denied", HOUR * 2)], False, DAY, True),
        ([condition("Failed", HOUR * 2)], False, DAY, True),
        ([condition("Approved", HOUR * 2)], False, DAY, False),
        ([condition("Approved", HOUR * 25)], False, DAY * 2, True),
        ([condition("Approved", HOUR * 2)], True, DAY, True),
        ([condition("Approved", HOUR / 2)], True, DAY, False),
    ],
)
def test_requests_go_when_their_time_is_over(
    conditions: list[dict[str, str]], issued: bool, created: timedelta, gone: bool
) -> None:
    authority = Authority.create("ca", NOW)
    pem = authority.certificate.public_bytes(serialization.Encoding.PEM)
    status: dict[str, Any] = {"conditions": conditions}
    if issued:
        status["certificate"] = base64.b64encode(pem).decode()
    obj = {"metadata": {"creationTimestamp": (NOW - created).strftime("%Y-%m-%dT%H:%M:%SZ")}, "status": status}

    assert expired(obj, NOW) is gone


@pytest.mark.parametrize(
    ("signer", "conditions", "certificate", "wanted"),
    [
        (CLIENT_SIGNER, ["Approved"], "", True),
        (CLIENT_SIGNER, [], "", False),
        (CLIENT_SIGNER, ["Approved", "Failed"], "", False),
        (CLIENT_SIGNER, ["Denied"], "", False),
        (CLIENT_SIGNER, ["Approved"], "x", False),
        ("example.com/other", ["Approved"], "", False),
    ],
)
def test_only_approved_requests_of_the_own_signer_are_signed(
    signer: str, conditions: list[str], certificate: str, wanted: bool
) -> None:
    status = {"conditions": [{"type": kind, "status": "True"} for kind in conditions], "certificate": certificate}

    assert wants_signature({"spec": {"signerName": signer}, "status": status}) is wanted


def block(kind: bytes, content: bytes = b"AAAA") -> bytes:
    return b"-----BEGIN %b-----\n%b\n-----END %b-----\n" % (kind, content, kind)


@pytest.mark.parametrize(
    ("text", "types"),
    [
        (b"", []),
        (b"text " + block(b"A") + b"text" + block(b"B C"), [b"A", b"B C"]),
        (b"-----BEGIN A-----\n" + block(b"B"), [b"B"]),
        (b"-----BEGIN A-----\nAAAA\n-----END B-----\n" + block(b"C"), [b"C"]),
        (b"-----END A-----" + block(b"A"), [b"A"]),
        (b"-----BEGIN A-----", []),
    ],
)
def test_blocks_are_found_by_their_beginning_and_their_end(text: bytes, types: list[bytes]) -> None:
    assert pem_blocks(text) == types


@pytest.mark.parametrize(
    "text",
    [
        b"-----BEGIN CERTIFICATE REQUEST-----x" * 60_000,
        b"-----BEGIN CERTIFICATE REQUEST-----x" * 60_000 + b"-----END OTHER-----",
        b"".join(b"-----BEGIN %d-----x" % number for number in range(60_000)),
        b"-----BEGIN " * 200_000,
        (b"-----BEGIN A-----x-----END B-----") * 60_000,
    ],
)
def test_a_request_of_beginnings_without_ends_takes_no_time(text: bytes) -> None:
    started = time.process_time()

    with pytest.raises(ValueError, match="PEM block type must be CERTIFICATE REQUEST"):
        parse_request(base64.b64encode(text).decode())

    assert time.process_time() - started < 1
