"""Certificates and keys of one logical server.

One authority signs the serving certificate, the administrator's certificate, and what the CSR signer approves; it is
also what client certificates are verified against. Its private key and the key that signs service account tokens are
made on first start, stay in the state directory (files 0600, directories 0700), and are never stored as objects.

Certificates pass OpenSSL's strict checks (VERIFY_X509_STRICT, the default of Python's TLS contexts from 3.13 on):
critical basicConstraints, keyUsage, and key identifiers on both sides.
"""

from __future__ import annotations

import contextlib
import ipaddress
import os
import secrets
import ssl
import tempfile
from base64 import b64encode
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Final

import yaml
from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.asymmetric.types import CertificatePublicKeyTypes
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from merope.controlplane.persistence import sync, sync_directory

PrivateKey = ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey

#: Names and addresses that the serving certificate is valid for, besides those that the server is bound to.
SERVING_NAMES: Final = (
    "localhost",
    "kubernetes",
    "kubernetes.default",
    "kubernetes.default.svc",
    "kubernetes.default.svc.cluster.local",
    "127.0.0.1",
    "::1",
    "10.96.0.1",
)
ADMIN_NAME: Final = "kubernetes-admin"
ADMIN_GROUPS: Final = ("system:masters",)

CA_LIFETIME: Final = timedelta(days=3650)
LEAF_LIFETIME: Final = timedelta(days=365)
#: Certificates begin this long ago, so that clients whose clock is slow accept them.
BACKDATE: Final = timedelta(minutes=5)
#: Certificates are replaced when less than this part of their lifetime is left.
RENEW_BELOW: Final = 0.2

_EXTENDED_USAGES: Final = {
    "any": ExtendedKeyUsageOID.ANY_EXTENDED_KEY_USAGE,
    "server auth": ExtendedKeyUsageOID.SERVER_AUTH,
    "client auth": ExtendedKeyUsageOID.CLIENT_AUTH,
    "code signing": ExtendedKeyUsageOID.CODE_SIGNING,
    "email protection": ExtendedKeyUsageOID.EMAIL_PROTECTION,
    "s/mime": ExtendedKeyUsageOID.EMAIL_PROTECTION,
    "timestamping": ExtendedKeyUsageOID.TIME_STAMPING,
    "ocsp signing": ExtendedKeyUsageOID.OCSP_SIGNING,
    "ipsec end system": x509.ObjectIdentifier("1.3.6.1.5.5.7.3.5"),
    "ipsec tunnel": x509.ObjectIdentifier("1.3.6.1.5.5.7.3.6"),
    "ipsec user": x509.ObjectIdentifier("1.3.6.1.5.5.7.3.7"),
    "microsoft sgc": x509.ObjectIdentifier("1.3.6.1.4.1.311.10.3.3"),
    "netscape sgc": x509.ObjectIdentifier("2.16.840.1.113730.4.1"),
}
_BASIC_USAGES: Final = {
    "signing": "digital_signature",
    "digital signature": "digital_signature",
    "content commitment": "content_commitment",
    "key encipherment": "key_encipherment",
    "key agreement": "key_agreement",
    "data encipherment": "data_encipherment",
    "cert sign": "key_cert_sign",
    "crl sign": "crl_sign",
    "encipher only": "encipher_only",
    "decipher only": "decipher_only",
}


class UntrustedCertificate(Exception):
    """A client certificate that the server does not accept; the text says why."""


def utc_now() -> datetime:
    return datetime.now(UTC)


def write_private(path: Path, content: bytes) -> None:
    """Write a file of mode 0600 in one step: after a crash it holds the old content or the new, never a part."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    fd = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
    try:
        try:
            os.fchmod(fd, 0o600)
            with open(fd, "wb", closefd=False) as file:
                file.write(content)
            sync(fd)
        finally:
            os.close(fd)
        temporary.rename(path)
    except BaseException:
        with contextlib.suppress(OSError):
            temporary.unlink()
        raise
    sync_directory(path.parent)


def key_pem(key: PrivateKey) -> bytes:
    """A private key as unencrypted PKCS #8."""
    return key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )


def load_key(pem: bytes) -> PrivateKey:
    """Raises ValueError where ``pem`` is no ECDSA or RSA key."""
    key = serialization.load_pem_private_key(pem, None)
    if not isinstance(key, ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey):
        raise ValueError("the key is neither ECDSA nor RSA")
    return key


def new_key() -> ec.EllipticCurvePrivateKey:
    return ec.generate_private_key(ec.SECP256R1())


def subject_name(common_name: str, groups: Sequence[str] = ()) -> x509.Name:
    """The subject that authentication reads as user ``common_name`` in ``groups``."""
    attributes = [x509.NameAttribute(NameOID.ORGANIZATION_NAME, group) for group in groups]
    return x509.Name([*attributes, x509.NameAttribute(NameOID.COMMON_NAME, common_name)])


#: The order in which Kubernetes' signer writes the attributes of a subject that it knows.
_SUBJECT_ORDER: Final = (
    NameOID.COUNTRY_NAME,
    NameOID.ORGANIZATION_NAME,
    NameOID.ORGANIZATIONAL_UNIT_NAME,
    NameOID.LOCALITY_NAME,
    NameOID.STATE_OR_PROVINCE_NAME,
    NameOID.STREET_ADDRESS,
    NameOID.POSTAL_CODE,
    NameOID.COMMON_NAME,
    NameOID.SERIAL_NUMBER,
)


def _grouped(subject: x509.Name) -> x509.Name:
    """A subject as Kubernetes' signer writes it: one set of values an attribute, nothing that it does not know.

    A set has no order of its own; its encoding sorts the values, so groups come out sorted by length, then by name.
    """
    parts: list[x509.RelativeDistinguishedName] = []
    for oid in _SUBJECT_ORDER:
        attributes = list(dict.fromkeys(subject.get_attributes_for_oid(oid)))
        if not attributes:
            continue
        if oid in (NameOID.COMMON_NAME, NameOID.SERIAL_NUMBER):
            attributes = attributes[-1:]
        parts.append(x509.RelativeDistinguishedName(attributes))
    return x509.Name(parts)


def general_names(names: Iterable[str]) -> list[x509.GeneralName]:
    """DNS names and IP addresses as subject alternative names, without repetitions."""
    found: list[x509.GeneralName] = []
    for name in dict.fromkeys(names):
        try:
            found.append(x509.IPAddress(ipaddress.ip_address(name)))
        except ValueError:
            found.append(x509.DNSName(name))
    return found


def needs_renewal(certificate: x509.Certificate, now: datetime) -> bool:
    """Whether less than a fifth of the lifetime is left."""
    begin, end = certificate.not_valid_before_utc, certificate.not_valid_after_utc
    return end - now < (end - begin) * RENEW_BELOW


class Authority:
    """A certificate with its key, that signs other certificates."""

    def __init__(self, certificate: x509.Certificate, key: PrivateKey) -> None:
        self.certificate = certificate
        self.key = key
        self.pem = certificate.public_bytes(serialization.Encoding.PEM)

    @classmethod
    def create(cls, name: str, now: datetime, lifetime: timedelta = CA_LIFETIME) -> Authority:
        """A new self-signed authority."""
        key = new_key()
        subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
        identifier = x509.SubjectKeyIdentifier.from_public_key(key.public_key())
        certificate = (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(subject)
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - BACKDATE)
            .not_valid_after(now + lifetime)
            .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
            .add_extension(_key_usage({"digital_signature", "key_cert_sign", "crl_sign"}), critical=True)
            .add_extension(identifier, critical=False)
            .add_extension(x509.AuthorityKeyIdentifier.from_issuer_subject_key_identifier(identifier), critical=False)
            .sign(key, hashes.SHA256())
        )
        return cls(certificate, key)

    def issue(
        self,
        public_key: CertificatePublicKeyTypes,
        subject: x509.Name,
        sans: Sequence[x509.GeneralName],
        usages: Iterable[str],
        not_before: datetime,
        not_after: datetime,
    ) -> bytes:
        """A signed certificate (PEM). ``usages`` are those of the certificates API (``client auth``); unknown ones
        raise ValueError. It ends with the authority at the latest.
        """
        basic: set[str] = set()
        extended: list[x509.ObjectIdentifier] = []
        for usage in usages:
            if usage in _BASIC_USAGES:
                basic.add(_BASIC_USAGES[usage])
            elif usage in _EXTENDED_USAGES:
                extended.append(_EXTENDED_USAGES[usage])
            else:
                raise ValueError(f"unknown key usage {usage!r}")
        authority = self.certificate.extensions.get_extension_for_class(x509.SubjectKeyIdentifier).value
        builder = (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(self.certificate.subject)
            .public_key(public_key)
            .serial_number(x509.random_serial_number())
            .not_valid_before(not_before)
            .not_valid_after(min(not_after, self.certificate.not_valid_after_utc))
            .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
            .add_extension(x509.AuthorityKeyIdentifier.from_issuer_subject_key_identifier(authority), critical=False)
        )
        if basic:
            builder = builder.add_extension(_key_usage(basic), critical=True)
        if extended:
            builder = builder.add_extension(x509.ExtendedKeyUsage(dict.fromkeys(extended)), critical=False)
        if sans:
            empty_subject = not list(subject)
            builder = builder.add_extension(x509.SubjectAlternativeName(sans), critical=empty_subject)
        return builder.sign(self.key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM)


def _key_usage(names: set[str]) -> x509.KeyUsage:
    flags = {name: name in names for name in _BASIC_USAGES.values()}
    if not flags["key_agreement"]:
        # Only meaningful, and only allowed, beside key agreement.
        flags["encipher_only"] = flags["decipher_only"] = False
    return x509.KeyUsage(**flags)


@dataclass(frozen=True, slots=True)
class Credential:
    """A certificate with its key, both PEM."""

    certificate_pem: bytes
    key_pem: bytes

    @property
    def certificate(self) -> x509.Certificate:
        return x509.load_pem_x509_certificate(self.certificate_pem)


class Pki:
    """Authority, serving certificate, administrator's certificate and token keys of one logical server.

    With ``directory`` they are read from there, and what is missing or about to expire is made and written; without
    one they live as long as the object. ``names`` are further names and addresses of the serving certificate.
    """

    def __init__(
        self,
        directory: Path | None = None,
        *,
        name: str = "kubernetes",
        names: Iterable[str] = (),
        now: Callable[[], datetime] = utc_now,
    ) -> None:
        self._directory = directory
        self._now = now
        self._names = tuple(dict.fromkeys([*SERVING_NAMES, *names]))
        if directory is not None:
            directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        self.authority = self._load_authority(f"{name}-ca")
        #: Private keys of service account tokens: the first signs, all verify.
        self.service_account_keys: tuple[PrivateKey, ...] = (self._load_token_key(),)
        self.serving = self._leaf("serving", self._serving_is_current, self._new_serving)
        self.admin = self._leaf("admin", self._admin_is_current, self._new_admin)

    # --- what others ask for --------------------------------------------------------------------------------------

    @property
    def ca_pem(self) -> bytes:
        """The authority's certificate: what clients verify the server with, and the server its clients."""
        return self.authority.pem

    @property
    def ca_not_after(self) -> datetime:
        """When the authority ends; nothing that it signs lives longer."""
        return self.authority.certificate.not_valid_after_utc

    def issue(
        self,
        public_key: CertificatePublicKeyTypes,
        subject: x509.Name,
        sans: Sequence[x509.GeneralName],
        usages: Iterable[str],
        not_before: datetime,
        not_after: datetime,
    ) -> bytes:
        """A signed certificate (PEM); see ``Authority.issue``."""
        return self.authority.issue(public_key, subject, sans, usages, not_before, not_after)

    def sign_csr_certificate(
        self, request: x509.CertificateSigningRequest, usages: Iterable[str], not_before: datetime, not_after: datetime
    ) -> bytes:
        """A certificate (PEM) with subject, alternative names and key of ``request``; its other wishes are dropped."""
        try:
            sans = list(request.extensions.get_extension_for_class(x509.SubjectAlternativeName).value)
        except x509.ExtensionNotFound:
            sans = []
        public_key = request.public_key()
        return self.issue(public_key, _grouped(request.subject), sans, usages, not_before, not_after)

    def sign_client(
        self,
        public_key: CertificatePublicKeyTypes | x509.CertificateSigningRequest,
        common_name: str,
        groups: Sequence[str] = (),
        ttl: timedelta = LEAF_LIFETIME,
    ) -> bytes:
        """A client certificate (PEM) of user ``common_name`` in ``groups``. Of a request only the key counts."""
        if isinstance(public_key, x509.CertificateSigningRequest):
            public_key = public_key.public_key()
        now = self._now()
        subject = subject_name(common_name, groups)
        usages = ["digital signature", "client auth"]
        return self.issue(public_key, subject, [], usages, now - BACKDATE, now + ttl)

    def client(self, common_name: str, groups: Sequence[str] = (), ttl: timedelta = LEAF_LIFETIME) -> Credential:
        """A new key with its client certificate."""
        key = new_key()
        return Credential(self.sign_client(key.public_key(), common_name, groups, ttl), key_pem(key))

    def verify_client(self, der: bytes) -> x509.Certificate:
        """What TLS checks in a handshake, for transports without one. Raises UntrustedCertificate."""
        try:
            certificate = x509.load_der_x509_certificate(der)
            certificate.verify_directly_issued_by(self.authority.certificate)
            usages = certificate.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value
        except (ValueError, TypeError, InvalidSignature) as error:
            raise UntrustedCertificate("the certificate is not signed by this server's authority") from error
        except x509.ExtensionNotFound:
            usages = None
        if usages is not None and not {
            ExtendedKeyUsageOID.CLIENT_AUTH,
            ExtendedKeyUsageOID.ANY_EXTENDED_KEY_USAGE,
        } & set(usages):
            raise UntrustedCertificate("the certificate is not for clients")
        now = self._now()
        if now > certificate.not_valid_after_utc:
            raise UntrustedCertificate("the certificate has expired")
        if now < certificate.not_valid_before_utc:
            raise UntrustedCertificate("the certificate is not yet valid")
        return certificate

    def renew(self) -> bool:
        """Replace the leaf certificates that end soon; whether there were any."""
        before = (self.serving, self.admin)
        self.serving = self._leaf("serving", self._serving_is_current, self._new_serving)
        self.admin = self._leaf("admin", self._admin_is_current, self._new_admin)
        return (self.serving, self.admin) != before

    def server_context(self) -> ssl.SSLContext:
        """TLS 1.2 or newer; a client certificate is optional, but one that is shown must be valid."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        context.verify_mode = ssl.CERT_OPTIONAL
        context.load_verify_locations(cadata=self.ca_pem.decode())
        context.set_alpn_protocols(["http/1.1"])
        # A resumed session would skip the check whether the client's certificate is still valid.
        context.options |= ssl.OP_NO_TICKET | ssl.OP_NO_RENEGOTIATION
        context.num_tickets = 0
        self.load_serving(context)
        return context

    def load_serving(self, context: ssl.SSLContext) -> None:
        """Make new connections of ``context`` use the present serving certificate."""
        load_credential(context, self.serving)

    def admin_kubeconfig(self, server: str, name: str) -> bytes:
        """A kubeconfig (YAML) of the administrator for the server at URL ``server``."""
        return kubeconfig(server, name, self.ca_pem, self.admin)

    # --- files ----------------------------------------------------------------------------------------------------

    def _read(self, name: str) -> bytes | None:
        if self._directory is None:
            return None
        try:
            return (self._directory / name).read_bytes()
        except FileNotFoundError:
            return None

    def _write(self, name: str, content: bytes) -> None:
        if self._directory is not None:
            write_private(self._directory / name, content)

    def _load_authority(self, name: str) -> Authority:
        certificate, key = self._read("ca.crt"), self._read("ca.key")
        if certificate is not None and key is not None:
            return Authority(x509.load_pem_x509_certificate(certificate), load_key(key))
        if certificate is not None:
            raise FileNotFoundError(f"{self._directory}/ca.key is missing while ca.crt is there")
        authority = Authority.create(f"{name}-{secrets.token_hex(4)}", self._now())
        # The key first: a certificate without its key would be an authority that can sign nothing.
        self._write("ca.key", key_pem(authority.key))
        self._write("ca.crt", authority.pem)
        return authority

    def _load_token_key(self) -> PrivateKey:
        pem = self._read("sa.key")
        if pem is not None:
            return load_key(pem)
        key = new_key()
        self._write("sa.key", key_pem(key))
        public = key.public_key().public_bytes(
            serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
        )
        self._write("sa.pub", public)
        return key

    def _leaf(
        self, name: str, is_current: Callable[[x509.Certificate], bool], create: Callable[[], Credential]
    ) -> Credential:
        certificate, key = self._read(f"{name}.crt"), self._read(f"{name}.key")
        held: Credential | None = getattr(self, name, None)
        if certificate is not None and key is not None:
            held = Credential(certificate, key)
        if held is not None and self._is_usable(held) and is_current(held.certificate):
            return held
        made = create()
        self._write(f"{name}.key", made.key_pem)
        self._write(f"{name}.crt", made.certificate_pem)
        return made

    def _is_usable(self, credential: Credential) -> bool:
        """Whether certificate and key belong together (a crash may part them) and to the authority."""
        try:
            certificate = credential.certificate
            certificate.verify_directly_issued_by(self.authority.certificate)
            return load_key(credential.key_pem).public_key() == certificate.public_key()
        except (ValueError, TypeError, InvalidSignature):
            return False

    def _serving_is_current(self, certificate: x509.Certificate) -> bool:
        try:
            names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
        except x509.ExtensionNotFound:
            return False
        return not needs_renewal(certificate, self._now()) and set(general_names(self._names)) <= set(names)

    def _new_serving(self) -> Credential:
        key, now = new_key(), self._now()
        certificate = self.issue(
            key.public_key(),
            subject_name("kube-apiserver"),
            general_names(self._names),
            ["digital signature", "server auth"],
            now - BACKDATE,
            now + LEAF_LIFETIME,
        )
        return Credential(certificate, key_pem(key))

    def _admin_is_current(self, certificate: x509.Certificate) -> bool:
        return not needs_renewal(certificate, self._now())

    def _new_admin(self) -> Credential:
        return self.client(ADMIN_NAME, ADMIN_GROUPS)


def load_credential(context: ssl.SSLContext, credential: Credential) -> None:
    """Load a certificate and key into ``context``. OpenSSL reads them from files only: from ones without a name."""
    with tempfile.TemporaryFile() as certificate, tempfile.TemporaryFile() as key:
        for file, pem in ((certificate, credential.certificate_pem), (key, credential.key_pem)):
            file.write(pem)
            file.flush()
            # Where /dev/fd duplicates the descriptor, the position is shared.
            file.seek(0)
        context.load_cert_chain(f"/dev/fd/{certificate.fileno()}", f"/dev/fd/{key.fileno()}")


def kubeconfig(server: str, name: str, ca_pem: bytes, credential: Credential) -> bytes:
    """A kubeconfig (YAML) with one context ``name``, everything inline."""
    user = f"{ADMIN_NAME}@{name}"
    content: dict[str, Any] = {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [
            {
                "name": name,
                "cluster": {"server": server, "certificate-authority-data": b64encode(ca_pem).decode()},
            }
        ],
        "users": [
            {
                "name": user,
                "user": {
                    "client-certificate-data": b64encode(credential.certificate_pem).decode(),
                    "client-key-data": b64encode(credential.key_pem).decode(),
                },
            }
        ],
        "contexts": [{"name": name, "context": {"cluster": name, "user": user}}],
        "current-context": name,
    }
    return yaml.safe_dump(content, sort_keys=False).encode()
