"""Client certificates of agents: requests as Go writes them, when to renew, and kubeconfigs."""

from __future__ import annotations

import subprocess
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
import yaml
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from hypothesis import given
from hypothesis import strategies as st

from merope.kube import ConfigError, KubeConfig
from merope.sdk.credentials import (
    Lifetime,
    Subject,
    certificate_problem,
    certificates,
    generate_key,
    hub_difference,
    kubeconfig_from,
    lifetime,
    matches_key,
    renewal_threshold,
    signing_request,
    subject_of,
    why_new_certificate,
)

BEGIN = datetime(2030, 1, 1, tzinfo=UTC)
END = BEGIN + timedelta(days=100)
SUBJECT = Subject(
    "system:open-cluster-management:c1:a1",
    frozenset({"system:open-cluster-management:c1", "system:open-cluster-management:managed-clusters"}),
)


def issue(key: bytes, subject: Subject = SUBJECT, begin: datetime = BEGIN, end: datetime = END) -> bytes:
    """A self-signed certificate for the subject of a signing request."""
    request = x509.load_pem_x509_csr(signing_request(key, subject))
    private = serialization.load_pem_private_key(key, None)
    assert isinstance(private, ec.EllipticCurvePrivateKey)
    return (
        x509.CertificateBuilder()
        .subject_name(request.subject)
        .issuer_name(request.subject)
        .public_key(request.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(begin)
        .not_valid_after(end)
        .sign(private, hashes.SHA256())
        .public_bytes(serialization.Encoding.PEM)
    )


KEY = generate_key()
CERTIFICATE = issue(KEY)
STORED = {"tls.crt": CERTIFICATE, "tls.key": KEY, "cluster-name": b"c1"}
ADDITIONAL = {"cluster-name": b"c1"}


def test_a_key_is_an_elliptic_curve_key_in_its_traditional_form() -> None:
    assert KEY.startswith(b"-----BEGIN EC PRIVATE KEY-----")
    loaded = serialization.load_pem_private_key(KEY, None)
    assert isinstance(loaded, ec.EllipticCurvePrivateKey)
    assert isinstance(loaded.curve, ec.SECP256R1)


def test_several_organisations_are_one_relative_name() -> None:
    request = x509.load_pem_x509_csr(signing_request(KEY, SUBJECT))

    organizations, name = request.subject.rdns
    assert {each.value for each in organizations} == SUBJECT.organizations
    assert [each.value for each in name] == [SUBJECT.common_name]
    assert request.is_signature_valid
    assert isinstance(request.signature_hash_algorithm, hashes.SHA256)
    assert len(request.extensions) == 0


def test_units_and_dns_names_are_asked_for() -> None:
    subject = Subject("addon", frozenset({"group"}), frozenset({"unit"}))

    request = x509.load_pem_x509_csr(signing_request(KEY, subject, ["x.example.com"]))

    assert request.subject.get_attributes_for_oid(NameOID.ORGANIZATIONAL_UNIT_NAME)[0].value == "unit"
    names = request.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert names.get_values_for_type(x509.DNSName) == ["x.example.com"]


@pytest.mark.filterwarnings("ignore:Attribute's length")
def test_a_user_name_may_be_longer_than_a_common_name_should_be() -> None:
    subject = Subject(f"system:open-cluster-management:{'c' * 63}:{'a' * 36}", frozenset({"g" * 94}))

    request = x509.load_pem_x509_csr(signing_request(KEY, subject))

    assert subject.common_name in request.subject.rfc4514_string()


def test_openssl_takes_the_request(tmp_path: Path) -> None:
    path = tmp_path / "request"
    path.write_bytes(signing_request(KEY, SUBJECT))
    try:
        done = subprocess.run(
            ["openssl", "req", "-in", path, "-noout", "-verify", "-subject"], capture_output=True, text=True
        )
    except FileNotFoundError:
        pytest.skip("there is no openssl")

    assert done.returncode == 0, done.stderr
    assert SUBJECT.common_name in done.stdout


def test_a_certificate_says_whom_it_speaks_for() -> None:
    assert subject_of(certificates(CERTIFICATE)[0]) == SUBJECT


def test_a_certificate_and_a_key_belong_together_or_not() -> None:
    assert matches_key(CERTIFICATE, KEY)
    assert not matches_key(CERTIFICATE, generate_key())
    assert not matches_key(CERTIFICATE, b"")
    assert not matches_key(b"", KEY)


@pytest.mark.parametrize(
    ("pem", "now", "part"),
    [
        (None, BEGIN, "no client certificate"),
        (b"nonsense", BEGIN, "can't be read"),
        (CERTIFICATE, END + timedelta(seconds=1), "expired at 2030-04-11"),
        (issue(KEY, Subject("other")), BEGIN, "is for 'other'"),
        (issue(KEY, Subject(SUBJECT.common_name, frozenset({"x"}))), BEGIN, "is for"),
        (CERTIFICATE + issue(KEY, SUBJECT, BEGIN, BEGIN), BEGIN + timedelta(seconds=1), "expired"),
    ],
)
def test_what_is_wrong_with_a_certificate_is_said(pem: bytes | None, now: datetime, part: str) -> None:
    problem = certificate_problem(pem, SUBJECT, now)

    assert problem is not None
    assert part in problem


def test_one_certificate_of_a_chain_has_to_speak_for_the_agent() -> None:
    chain = issue(KEY, Subject("intermediate")) + CERTIFICATE

    assert certificate_problem(chain, SUBJECT, BEGIN) is None


@pytest.mark.parametrize(
    ("changed", "now", "reason"),
    [
        ({}, BEGIN, None),
        ({}, BEGIN + timedelta(days=79), None),
        ({}, BEGIN + timedelta(days=80), "CertificateRotationStarted"),
        ({"cluster-name": b"c2"}, BEGIN, "AdditonalSecretDataChanged"),
        ({"tls.key": generate_key()}, BEGIN, "NoValidCertificateFound"),
        ({"tls.key": b""}, BEGIN, "NoValidCertificateFound"),
        ({}, END + timedelta(days=1), "NoValidCertificateFound"),
    ],
)
def test_a_new_certificate_is_needed_for_a_reason(changed: dict[str, bytes], now: datetime, reason: str | None) -> None:
    why = why_new_certificate({**STORED, **changed}, SUBJECT, ADDITIONAL, now, 0.2)

    assert (why[0] if why else None) == reason


def test_a_kubeconfig_that_says_the_same_in_other_words_is_no_change() -> None:
    wanted = yaml.safe_dump({"kind": "Config", "clusters": [{"name": "c"}]}).encode()
    stored = b'{"clusters": [{"name": "c"}], "kind": "Config"}'

    same = why_new_certificate({**STORED, "kubeconfig": stored}, SUBJECT, {"kubeconfig": wanted}, BEGIN, 0.2)
    other = why_new_certificate({**STORED, "kubeconfig": b"kind: [}"}, SUBJECT, {"kubeconfig": wanted}, BEGIN, 0.2)

    assert same is None
    assert other is not None


@given(st.floats(0, 1))
def test_renewal_begins_with_a_fifth_to_a_quarter_of_the_lifetime_left(jitter: float) -> None:
    assert 0.2 <= renewal_threshold(jitter) <= 0.25


def test_a_chain_lives_from_its_latest_beginning_to_its_earliest_end() -> None:
    later, sooner = BEGIN + timedelta(days=10), END - timedelta(days=10)

    chain = certificates(issue(KEY, SUBJECT, later, END) + issue(KEY, SUBJECT, BEGIN, sooner))

    assert lifetime(chain) == Lifetime(later, sooner)


@given(st.floats(0, 1), st.integers(0, 8_640_000))
def test_the_time_until_renewal_is_when_the_part_is_left(part: float, seconds: int) -> None:
    valid, now = Lifetime(BEGIN, END), BEGIN + timedelta(seconds=seconds)

    due = now + timedelta(seconds=valid.seconds_until(part, now))

    assert valid.left(due) == pytest.approx(part, abs=1e-6)


def bootstrap(**changes: object) -> KubeConfig:
    cluster = {"server": "https://hub.example.com:6443", "certificate-authority-data": "Q0E=", **changes}
    return KubeConfig.parse(
        {
            "clusters": [{"name": "hub", "cluster": cluster}, {"name": "other", "cluster": {"server": "https://o"}}],
            "contexts": [{"name": "x", "context": {"cluster": "hub", "user": "u"}}],
            "users": [{"name": "u", "user": {"token": "secret"}}],
            "current-context": "x",
        }
    )


def test_a_hub_kubeconfig_has_the_bootstrap_clusters_entry_and_an_identity_of_its_own() -> None:
    template = bootstrap(**{"insecure-skip-tls-verify": True, "proxy-url": "http://proxy"})

    written = kubeconfig_from(template)

    assert yaml.safe_load(written) == {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [
            {
                "name": "hub",
                "cluster": {
                    "server": "https://hub.example.com:6443",
                    "certificate-authority-data": "Q0E=",
                    "proxy-url": "http://proxy",
                },
            }
        ],
        "contexts": [
            {
                "name": "default-context",
                "context": {"cluster": "hub", "user": "default-auth", "namespace": "configuration"},
            }
        ],
        "current-context": "default-context",
        "users": [{"name": "default-auth", "user": {"client-certificate": "tls.crt", "client-key": "tls.key"}}],
    }
    assert b"secret" not in written
    assert hub_difference(template, KubeConfig.parse(written)) is None


@pytest.mark.parametrize(
    ("changes", "difference"),
    [
        ({"server": "https://new.example.com"}, "server"),
        ({"proxy-url": "http://p"}, "proxy-url"),
        ({"certificate-authority-data": "QQ=="}, "certificate-authority-data"),
        ({"certificate-authority": "/ca"}, "certificate-authority"),
        ({"tls-server-name": "x"}, None),
    ],
)
def test_hubs_differ_by_what_leads_to_them(changes: dict[str, object], difference: str | None) -> None:
    assert hub_difference(bootstrap(**changes), KubeConfig.parse(kubeconfig_from(bootstrap()))) == difference


def test_hubs_differ_by_the_name_of_their_entry() -> None:
    renamed = kubeconfig_from(bootstrap()).replace(b"name: hub", b"name: new").replace(b"cluster: hub", b"cluster: new")

    assert hub_difference(bootstrap(), KubeConfig.parse(renamed)) == "name of the cluster entry"


def test_a_kubeconfig_without_its_context_is_an_error() -> None:
    broken = KubeConfig.parse({"current-context": "gone"})

    with pytest.raises(ConfigError, match="kubeconfig does not contains context: gone"):
        hub_difference(bootstrap(), broken)
