"""Client certificates of agents: keys, signing requests, what is stored of them, and when they are due for renewal.

An agent makes its key where it uses it, asks a hub to sign a certificate for a ``Subject``, and keeps both in a
Secret together with a kubeconfig that refers to them by file name. Everything here is a function over bytes and
times; who talks to which API server, and when, is the caller's business, so that the agent of a cluster and the
agents of its add-ons share it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final, Literal

import yaml
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from merope.kube import ConfigError, KubeConfig

CERTIFICATE: Final = "tls.crt"
KEY: Final = "tls.key"
KUBECONFIG: Final = "kubeconfig"
CLUSTER_NAME: Final = "cluster-name"
AGENT_NAME: Final = "agent-name"
"""Keys of the Secret of a hub credential, and names of the files that it becomes."""

CLIENT_SIGNER: Final = "kubernetes.io/kube-apiserver-client"
USAGES: Final = ("digital signature", "key encipherment", "client auth")

THRESHOLD: Final = 0.2
_JITTER: Final = 0.25

Reason = Literal["NoValidCertificateFound", "AdditonalSecretDataChanged", "CertificateRotationStarted"]
"""Why a certificate is asked for, in the reference's words (its misspelling included)."""


class CredentialError(ValueError):
    """A certificate, key or signing request that can't be read."""


@dataclass(frozen=True)
class Subject:
    """Whom a client certificate speaks for: a user name and groups."""

    common_name: str
    organizations: frozenset[str] = field(default_factory=frozenset)
    units: frozenset[str] = field(default_factory=frozenset)


def generate_key() -> bytes:
    """A new ECDSA key on P-256, as PEM (``EC PRIVATE KEY``)."""
    return ec.generate_private_key(ec.SECP256R1()).private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.TraditionalOpenSSL, serialization.NoEncryption()
    )


def signing_request(key: bytes, subject: Subject, dns_names: Sequence[str] = ()) -> bytes:
    """A PKCS#10 request (PEM) for ``subject``, signed with SHA-256.

    Several organisations are one relative name with several values, as Go's ``pkix.Name`` writes them.
    """
    private = _private_key(key)
    names = []
    for oid, values in (
        (NameOID.ORGANIZATION_NAME, subject.organizations),
        (NameOID.ORGANIZATIONAL_UNIT_NAME, subject.units),
    ):
        if values:
            names.append(x509.RelativeDistinguishedName(x509.NameAttribute(oid, value) for value in sorted(values)))
    names.append(x509.RelativeDistinguishedName([_common_name(subject.common_name)]))
    builder = x509.CertificateSigningRequestBuilder().subject_name(x509.Name(names))
    if dns_names:
        alternatives = x509.SubjectAlternativeName([x509.DNSName(name) for name in dns_names])
        builder = builder.add_extension(alternatives, critical=False)
    return builder.sign(private, hashes.SHA256()).public_bytes(serialization.Encoding.PEM)


def _common_name(value: str) -> x509.NameAttribute[str]:
    # User names of agents may be longer than the 64 characters that X.520 grants a common name; Go doesn't mind.
    return x509.NameAttribute(NameOID.COMMON_NAME, value, _validate=False)


def _private_key(key: bytes) -> ec.EllipticCurvePrivateKey:
    try:
        private = serialization.load_pem_private_key(key, None)
    except (ValueError, TypeError) as error:
        raise CredentialError("the private key can't be read") from error
    if not isinstance(private, ec.EllipticCurvePrivateKey):
        raise CredentialError("the private key is none on an elliptic curve")
    return private


def certificates(pem: bytes) -> list[x509.Certificate]:
    """The certificates of a PEM chain, at least one. Raises CredentialError."""
    try:
        return x509.load_pem_x509_certificates(pem)
    except ValueError as error:
        raise CredentialError("the certificate can't be read") from error


def matches_key(certificate: bytes, key: bytes) -> bool:
    """Whether the first certificate of a chain is for this key."""
    try:
        public = certificates(certificate)[0].public_key()
        private = serialization.load_pem_private_key(key, None)
    except (CredentialError, ValueError, TypeError):
        return False
    form = (serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)
    return public.public_bytes(*form) == private.public_key().public_bytes(*form)


def subject_of(certificate: x509.Certificate) -> Subject:
    """Whom a certificate speaks for."""

    def values(oid: x509.ObjectIdentifier) -> frozenset[str]:
        return frozenset(str(each.value) for each in certificate.subject.get_attributes_for_oid(oid))

    names = certificate.subject.get_attributes_for_oid(NameOID.COMMON_NAME)
    return Subject(
        str(names[0].value) if names else "",
        values(NameOID.ORGANIZATION_NAME),
        values(NameOID.ORGANIZATIONAL_UNIT_NAME),
    )


@dataclass(frozen=True)
class Lifetime:
    """When a chain is valid: from the latest of its beginnings to the earliest of its ends."""

    begins: datetime
    ends: datetime

    def left(self, now: datetime) -> float:
        """The part of the lifetime that is still to come, from 1 down to 0 (and below, after the end)."""
        total = (self.ends - self.begins).total_seconds()
        return (self.ends - now).total_seconds() / total if total > 0 else 0.0

    def seconds_until(self, part: float, now: datetime) -> float:
        """Seconds until only ``part`` of the lifetime is left; negative where that was in the past."""
        return (self.ends - now).total_seconds() - part * (self.ends - self.begins).total_seconds()


def lifetime(chain: Sequence[x509.Certificate]) -> Lifetime:
    """The lifetime of a chain as a whole."""
    return Lifetime(
        max(each.not_valid_before_utc for each in chain),
        min(each.not_valid_after_utc for each in chain),
    )


def renewal_threshold(jitter: float) -> float:
    """The part of the lifetime at which renewal begins: 20 % to 25 %, for a ``jitter`` between 0 and 1."""
    return THRESHOLD + THRESHOLD * jitter * _JITTER


def certificate_problem(pem: bytes | None, subject: Subject, now: datetime) -> str | None:
    """What keeps a stored chain from being used as ``subject``; None where nothing does."""
    if not pem:
        return "there is no client certificate"
    try:
        chain = certificates(pem)
    except CredentialError as error:
        return str(error)
    ends = lifetime(chain).ends
    if now > ends:
        return f"the client certificate expired at {ends:%Y-%m-%dT%H:%M:%SZ}"
    if all(subject_of(each) != subject for each in chain):
        return f"the client certificate is for {subject_of(chain[0]).common_name!r}, not for {subject.common_name!r}"
    return None


def why_new_certificate(
    stored: Mapping[str, bytes],
    subject: Subject,
    additional: Mapping[str, bytes],
    now: datetime,
    threshold: float,
) -> tuple[Reason, str] | None:
    """Whether a new certificate is needed, and why: a word for programs and a clause for people.

    ``stored`` is the content of the Secret, ``additional`` what it has to hold beside certificate and key,
    ``threshold`` the part of the lifetime that must be left (see ``renewal_threshold``).
    """
    problem = certificate_problem(stored.get(CERTIFICATE), subject, now)
    if problem is None and not matches_key(stored[CERTIFICATE], stored.get(KEY, b"")):
        problem = "the client certificate and the private key don't belong together"
    if problem is not None:
        return "NoValidCertificateFound", problem
    for name, wanted in additional.items():
        if not _same_content(name, stored.get(name), wanted):
            return "AdditonalSecretDataChanged", f"{name} has changed"
    valid = lifetime(certificates(stored[CERTIFICATE]))
    if valid.left(now) <= threshold:
        return "CertificateRotationStarted", f"the client certificate expires at {valid.ends:%Y-%m-%dT%H:%M:%SZ}"
    return None


def _same_content(name: str, stored: bytes | None, wanted: bytes) -> bool:
    """Two kubeconfigs are the same if they say the same: other agents' writers may break lines differently."""
    if stored is None or stored == wanted or name != KUBECONFIG:
        return stored == wanted
    try:
        return bool(yaml.safe_load(stored) == yaml.safe_load(wanted))
    except yaml.YAMLError:
        return False


# --- kubeconfigs -----------------------------------------------------------------------------------------------------

_COPIED: Final = (
    "certificate-authority",
    "certificate-authority-data",
    "proxy-url",
    "server",
    "tls-server-name",
)
_CONTEXT: Final = "default-context"
_USER: Final = "default-auth"


def kubeconfig_from(template: KubeConfig, user: Mapping[str, Any] | None = None) -> bytes:
    """A kubeconfig for the cluster of another one's current context, with an identity of its own (as YAML).

    The cluster keeps its entry's name, since agents tell hubs apart by it. ``user`` is the user entry; by default
    certificate and key, as files beside the kubeconfig. Raises ConfigError.
    """
    name, cluster = current_cluster(template)
    if user is None:
        user = {"client-certificate": CERTIFICATE, "client-key": KEY}
    document = {
        "apiVersion": "v1",
        "clusters": [{"cluster": {key: cluster[key] for key in _COPIED if cluster.get(key)}, "name": name}],
        "contexts": [{"context": {"cluster": name, "namespace": "configuration", "user": _USER}, "name": _CONTEXT}],
        "current-context": _CONTEXT,
        "kind": "Config",
        "users": [{"name": _USER, "user": dict(user)}],
    }
    return yaml.safe_dump(document, default_flow_style=False, sort_keys=True, width=1 << 30).encode()


def current_cluster(config: KubeConfig) -> tuple[str, Mapping[str, Any]]:
    """Name and content of the cluster of the current context. Raises ConfigError."""
    context = config.contexts.get(config.current_context)
    if context is None:
        raise ConfigError(f"{config.source}: kubeconfig does not contains context: {config.current_context}")
    name = str(context.get("cluster") or "")
    cluster = config.clusters.get(name)
    if cluster is None:
        raise ConfigError(f"{config.source}: kubeconfig does not contains cluster: {name}")
    return name, cluster


def hub_difference(bootstrap: KubeConfig, hub: KubeConfig) -> str | None:
    """In what the hubs of two kubeconfigs differ (server, proxy, CA or the cluster entry's name); None: in nothing.

    Where they do, a credential of the one says nothing to the other. Raises ConfigError.
    """
    name, cluster = current_cluster(bootstrap)
    other_name, other = current_cluster(hub)
    for key in ("server", "proxy-url", "certificate-authority", "certificate-authority-data"):
        if (cluster.get(key) or "") != (other.get(key) or ""):
            return key
    return None if name == other_name else "name of the cluster entry"
