"""Certificates and keys: what they say, who accepts them, how they are kept."""

from __future__ import annotations

import asyncio
import os
import ssl
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
import yaml
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from merope.controlplane.pki import (
    Credential,
    Pki,
    UntrustedCertificate,
    general_names,
    key_pem,
    load_credential,
    new_key,
    subject_name,
    write_private,
)


def der(credential: Credential) -> bytes:
    return credential.certificate.public_bytes(serialization.Encoding.DER)


def dns_and_addresses(certificate: x509.Certificate) -> set[str]:
    names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    return {str(name.value) for name in names}


class Clock:
    def __init__(self) -> None:
        self.time = datetime.now(UTC)

    def __call__(self) -> datetime:
        return self.time


async def talk(pki: Pki, prepare: Callable[[ssl.SSLContext], None], host: str = "localhost") -> bytes:
    """What a strict client gets from a server with the certificates of ``pki``: the user's name; raises OSError."""

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        peer = writer.get_extra_info("ssl_object").getpeercert(True)
        name = "anonymous"
        if peer is not None:
            subject = x509.load_der_x509_certificate(peer).subject
            name = str(subject.get_attributes_for_oid(NameOID.COMMON_NAME)[0].value)
        await reader.readexactly(1)
        writer.write(name.encode())
        await writer.drain()
        writer.close()

    context = ssl.create_default_context(cadata=pki.ca_pem.decode())
    context.verify_flags |= ssl.VERIFY_X509_STRICT
    prepare(context)
    server = await asyncio.start_server(answer, "127.0.0.1", 0, ssl=pki.server_context())
    asyncio.get_running_loop().set_exception_handler(lambda loop, context: None)
    async with server, asyncio.timeout(10):
        port = server.sockets[0].getsockname()[1]
        reader, writer = await asyncio.open_connection("127.0.0.1", port, ssl=context, server_hostname=host)
        try:
            writer.write(b"?")
            answered = await reader.read()
            if not answered:
                raise ConnectionResetError("the server hung up")
            return answered
        finally:
            writer.close()


@pytest.mark.parametrize("host", ["localhost", "127.0.0.1", "kubernetes.default.svc", "10.96.0.1"])
async def test_strict_clients_accept_the_serving_certificate_under_all_its_names(host: str) -> None:
    assert await talk(Pki(), lambda context: None, host) == b"anonymous"


async def test_strict_clients_refuse_another_name() -> None:
    with pytest.raises(ssl.SSLCertVerificationError):
        await talk(Pki(), lambda context: None, "example.com")


async def test_a_client_certificate_names_its_user() -> None:
    pki = Pki()
    assert await talk(pki, lambda context: load_credential(context, pki.admin)) == b"kubernetes-admin"


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
@pytest.mark.parametrize("flaw", ["foreign", "expired", "not for clients"])
async def test_a_client_certificate_that_is_not_valid_fails_the_handshake(flaw: str, version: ssl.TLSVersion) -> None:
    pki = Pki()
    credential = {
        "foreign": Pki().admin,
        "expired": pki.client("late", ttl=timedelta(seconds=-1)),
        "not for clients": pki.serving,
    }[flaw]

    def prepare(context: ssl.SSLContext) -> None:
        context.maximum_version = version
        load_credential(context, credential)

    with pytest.raises(OSError):
        await talk(pki, prepare)
    with pytest.raises(UntrustedCertificate):
        pki.verify_client(der(credential))


async def test_old_tls_versions_are_refused() -> None:
    context = Pki().server_context()

    assert context.minimum_version == ssl.TLSVersion.TLSv1_2
    assert context.verify_mode == ssl.CERT_OPTIONAL


def test_transports_without_a_handshake_check_the_same() -> None:
    clock = Clock()
    pki = Pki(now=clock)
    credential = pki.client("agent", ["a", "b"], timedelta(hours=1))

    certificate = pki.verify_client(der(credential))

    organizations = certificate.subject.get_attributes_for_oid(NameOID.ORGANIZATION_NAME)
    assert [attribute.value for attribute in organizations] == ["a", "b"]
    clock.time += timedelta(hours=2)
    with pytest.raises(UntrustedCertificate, match="expired"):
        pki.verify_client(der(credential))
    clock.time -= timedelta(days=1)
    with pytest.raises(UntrustedCertificate, match="not yet valid"):
        pki.verify_client(der(credential))
    with pytest.raises(UntrustedCertificate):
        pki.verify_client(b"no certificate")


def test_a_certificate_of_a_request_has_its_subject_names_and_key_and_nothing_else() -> None:
    pki = Pki()
    key = rsa.generate_private_key(65537, 2048)
    request = (
        x509.CertificateSigningRequestBuilder()
        .subject_name(subject_name("system:open-cluster-management:c1:agent", ["group-1", "group-2"]))
        .add_extension(x509.SubjectAlternativeName(general_names(["c1.example.com", "192.0.2.1"])), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    now = datetime.now(UTC).replace(microsecond=0)

    pem = pki.sign_csr_certificate(
        request, ["digital signature", "key encipherment", "client auth"], now, now + timedelta(hours=1)
    )
    certificate = x509.load_pem_x509_certificate(pem)

    assert [attribute.rfc4514_string() for attribute in certificate.subject] == [
        "O=group-1",
        "O=group-2",
        "CN=system:open-cluster-management:c1:agent",
    ]
    assert certificate.public_key() == key.public_key()
    assert dns_and_addresses(certificate) == {"c1.example.com", "192.0.2.1"}
    assert (certificate.not_valid_before_utc, certificate.not_valid_after_utc) == (now, now + timedelta(hours=1))
    extensions = certificate.extensions
    assert not extensions.get_extension_for_class(x509.BasicConstraints).value.ca
    usage = extensions.get_extension_for_class(x509.KeyUsage)
    assert usage.critical
    assert (usage.value.digital_signature, usage.value.key_encipherment, usage.value.key_cert_sign) == (
        True,
        True,
        False,
    )
    extended = extensions.get_extension_for_class(x509.ExtendedKeyUsage).value
    assert list(extended) == [ExtendedKeyUsageOID.CLIENT_AUTH]
    pki.verify_client(certificate.public_bytes(serialization.Encoding.DER))


def test_nothing_outlives_the_authority_and_unknown_usages_are_refused() -> None:
    pki = Pki()
    now = datetime.now(UTC)
    public = new_key().public_key()

    pem = pki.issue(public, subject_name("x"), [], ["client auth"], now, now + timedelta(days=36500))

    assert x509.load_pem_x509_certificate(pem).not_valid_after_utc == pki.ca_not_after
    with pytest.raises(ValueError, match="unknown key usage"):
        pki.issue(public, subject_name("x"), [], ["world domination"], now, now)


def test_the_authority_is_one_that_strict_verifiers_accept() -> None:
    certificate = Pki().authority.certificate
    constraints = certificate.extensions.get_extension_for_class(x509.BasicConstraints)

    assert constraints.critical
    assert constraints.value.ca
    assert certificate.extensions.get_extension_for_class(x509.KeyUsage).value.key_cert_sign
    assert certificate.subject == certificate.issuer


def test_everything_is_found_again_and_only_the_owner_can_read_it(tmp_path: Path) -> None:
    first = Pki(tmp_path / "pki", name="hub")
    before = {file.name: file.read_bytes() for file in (tmp_path / "pki").iterdir()}
    second = Pki(tmp_path / "pki", name="hub")

    assert (second.ca_pem, second.serving, second.admin) == (first.ca_pem, first.serving, first.admin)
    assert [key_pem(key) for key in second.service_account_keys] == [key_pem(key) for key in first.service_account_keys]
    assert {file.name: file.read_bytes() for file in (tmp_path / "pki").iterdir()} == before
    assert set(before) == {
        *("ca.crt", "ca.key", "serving.crt", "serving.key", "admin.crt", "admin.key", "sa.key", "sa.pub")
    }
    for file in (tmp_path / "pki").iterdir():
        assert file.stat().st_mode & 0o777 == 0o600
    assert (tmp_path / "pki").stat().st_mode & 0o777 == 0o700


def test_certificates_are_replaced_before_they_end_and_the_authority_stays(tmp_path: Path) -> None:
    clock = Clock()
    pki = Pki(tmp_path, now=clock)
    serving, admin, authority = pki.serving, pki.admin, pki.ca_pem
    clock.time += timedelta(days=250)
    assert not pki.renew()

    clock.time += timedelta(days=50)

    assert pki.renew()
    assert pki.serving != serving
    assert pki.admin != admin
    assert pki.ca_pem == authority
    assert Pki(tmp_path, now=clock).serving == pki.serving
    assert not pki.renew()


def test_certificates_without_a_directory_are_replaced_too() -> None:
    clock = Clock()
    pki = Pki(now=clock)
    serving = pki.serving
    assert not pki.renew()
    clock.time += timedelta(days=300)

    assert pki.renew()
    assert pki.serving != serving


def test_a_new_name_or_a_key_that_does_not_fit_makes_a_new_serving_certificate(tmp_path: Path) -> None:
    first = Pki(tmp_path)
    named = Pki(tmp_path, names=["192.0.2.7", "hub.example.com"])
    assert named.serving != first.serving
    assert {"192.0.2.7", "hub.example.com"} <= dns_and_addresses(named.serving.certificate)

    # A crash between the two files leaves a new key beside an old certificate.
    write_private(tmp_path / "serving.key", key_pem(new_key()))

    assert Pki(tmp_path).serving.certificate.public_key() != named.serving.certificate.public_key()


def test_an_authority_without_its_key_is_an_error_not_a_new_authority(tmp_path: Path) -> None:
    Pki(tmp_path)
    (tmp_path / "ca.key").unlink()

    with pytest.raises(FileNotFoundError, match=r"ca\.key"):
        Pki(tmp_path)


def test_the_kubeconfig_has_one_complete_context() -> None:
    config = yaml.safe_load(Pki().admin_kubeconfig("https://127.0.0.1:1234", "hub"))

    assert config["current-context"] == config["contexts"][0]["name"] == "hub"
    assert config["clusters"][0]["cluster"]["server"] == "https://127.0.0.1:1234"
    assert set(config["users"][0]["user"]) == {"client-certificate-data", "client-key-data"}
    assert config["contexts"][0]["context"] == {"cluster": "hub", "user": config["users"][0]["name"]}


def test_a_file_is_replaced_in_one_step_with_narrow_rights(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "key"
    file.write_bytes(b"old")
    file.chmod(0o644)

    def fail(descriptor: int) -> None:
        raise OSError("no space left on device")

    with monkeypatch.context() as broken:
        broken.setattr(os, "fsync", fail)
        with pytest.raises(OSError, match="no space"):
            write_private(file, b"new")
    assert file.read_bytes() == b"old"
    assert [entry.name for entry in tmp_path.iterdir()] == ["key"]

    write_private(file, b"new")
    assert file.read_bytes() == b"new"
    assert file.stat().st_mode & 0o777 == 0o600
