"""TLS: whom we trust, what we show, how rotation and refusal look."""

from __future__ import annotations

import asyncio
import os
import ssl
import tempfile
from contextlib import asynccontextmanager

import pytest

from fixtures.certificates import CertificateAuthority
from merope.kube import CORE, Client, ClientConfig, ConfigError, ConnectionFailed, CredentialRefused, Informer
from merope.kube.tls import client_context
from unit.kube.scripted import Server, Stream, bookmark, configmap, document, event, hang_up, serve, until

CM = CORE["ConfigMap"]
ALL = "/api/v1/namespaces/ns/configmaps"
ONE = f"{ALL}/a"


@pytest.fixture(scope="module")
def authority() -> CertificateAuthority:
    return CertificateAuthority("test-ca")


@pytest.fixture(scope="module")
def stranger() -> CertificateAuthority:
    return CertificateAuthority("another-ca")


def server_context(authority: CertificateAuthority, tmp_path, *, clients: int = ssl.CERT_OPTIONAL) -> ssl.SSLContext:
    certificate, key = authority.issue_server(["localhost"], ["127.0.0.1"])
    pair = tmp_path / "server.pem"
    pair.write_bytes(certificate + key)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(pair)
    context.load_verify_locations(cadata=authority.pem.decode())
    context.verify_mode = ssl.VerifyMode(clients)
    return context


@asynccontextmanager
async def tls_server(authority, tmp_path, **options):
    async with serve(Server(), context=server_context(authority, tmp_path, **options)) as server:
        server.always("GET", ONE, document(configmap("a", 1)))
        server.always("GET", "/livez", document({}))
        yield server


def common_name(request) -> str | None:
    certificate = request.transport.get_extra_info("peercert")
    return dict(pair[0] for pair in certificate["subject"])["commonName"] if certificate else None


async def test_the_servers_certificate_is_verified(authority, stranger, tmp_path):
    async with tls_server(authority, tmp_path) as server:
        async with Client(ClientConfig(server=server.url, ca_data=authority.pem)) as client:
            assert await client.get(CM, "a", "ns") == configmap("a", 1)
        async with Client(ClientConfig(server=server.url, ca_data=stranger.pem), patience=0) as client:
            with pytest.raises(ConnectionFailed, match="not trusted"):
                await client.get(CM, "a", "ns")
        async with Client(ClientConfig(server=server.url), patience=0) as client:
            with pytest.raises(ConnectionFailed, match="not trusted"):
                await client.get(CM, "a", "ns")
        async with Client(ClientConfig(server=server.url, insecure=True)) as client:
            assert await client.get(CM, "a", "ns") == configmap("a", 1)


async def test_the_name_to_verify_may_differ_from_the_address(authority, tmp_path):
    async with tls_server(authority, tmp_path) as server:
        config = ClientConfig(server=server.url, ca_data=authority.pem, tls_server_name="localhost")
        async with Client(config) as client:
            await client.get(CM, "a", "ns")
        config = ClientConfig(server=server.url, ca_data=authority.pem, tls_server_name="other.example.com")
        async with Client(config, patience=0) as client:
            with pytest.raises(ConnectionFailed, match="not trusted"):
                await client.get(CM, "a", "ns")


async def test_an_inline_key_authenticates_and_leaves_no_file(authority, tmp_path, monkeypatch):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "tmp"))
    (tmp_path / "tmp").mkdir()
    certificate, key = authority.issue_client("jane")
    for without_memfd in (False, True):
        if without_memfd:
            monkeypatch.delattr(os, "memfd_create", raising=False)
        async with tls_server(authority, tmp_path) as server:
            config = ClientConfig(server=server.url, ca_data=authority.pem, certificate_data=certificate, key_data=key)
            seen = []

            async def who(request, seen=seen):
                seen.append(common_name(request))
                return await document(configmap("a", 1))(request)

            server.always("GET", ONE, who)
            async with Client(config) as client:
                await client.get(CM, "a", "ns")
        assert seen == ["jane"]
        assert list((tmp_path / "tmp").iterdir()) == []


def test_certificates_of_a_kubeconfig_are_verified_without_the_strict_flag(authority):
    context = client_context(authority.pem)
    assert not context.verify_flags & ssl.VERIFY_X509_STRICT
    assert context.verify_mode is ssl.CERT_REQUIRED
    assert context.check_hostname
    assert context.minimum_version is ssl.TLSVersion.TLSv1_2


def test_pem_that_is_none_is_a_configuration_error(authority):
    certificate, _ = authority.issue_client("jane")
    _, other_key = authority.issue_client("jim")
    with pytest.raises(ConfigError, match="CA"):
        client_context(b"nonsense")
    with pytest.raises(ConfigError, match="certificate and key"):
        client_context(authority.pem, certificate=certificate, key=other_key)
    with pytest.raises(ConfigError, match="certificate and key"):
        client_context(authority.pem, certificate=b"x", key=b"y")


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
async def test_a_certificate_refused_in_the_handshake_is_told_from_a_server_that_is_away(
    authority, stranger, tmp_path, version
):
    certificate, key = stranger.issue_client("jane")
    context = server_context(authority, tmp_path)
    context.maximum_version = version
    config = None
    async with serve(Server(), context=context) as server:
        server.always("GET", "/livez", document({}))
        config = ClientConfig(server=server.url, ca_data=authority.pem, certificate_data=certificate, key_data=key)
        async with Client(config) as client:
            with pytest.raises(CredentialRefused):
                await client.get(CM, "a", "ns")
            with pytest.raises(CredentialRefused):
                await client.create(CM, configmap("a", ""))
    async with Client(config, patience=0) as client:
        with pytest.raises(ConnectionFailed) as raised:
            await client.get(CM, "a", "ns")
    assert not isinstance(raised.value, CredentialRefused)


async def test_a_server_that_breaks_off_one_request_is_no_refusal_of_our_certificate(authority, tmp_path):
    certificate, key = authority.issue_client("jane")
    async with tls_server(authority, tmp_path) as server:
        server.always("GET", ONE, hang_up)
        config = ClientConfig(server=server.url, ca_data=authority.pem, certificate_data=certificate, key_data=key)
        async with Client(config, patience=0) as client:
            with pytest.raises(ConnectionFailed) as raised:
                await client.get(CM, "a", "ns")
    assert not isinstance(raised.value, CredentialRefused)


async def test_a_server_that_wants_a_certificate_from_everybody_is_no_refusal_of_ours(authority, stranger, tmp_path):
    certificate, key = stranger.issue_client("jane")
    async with tls_server(authority, tmp_path, clients=ssl.CERT_REQUIRED) as server:
        config = ClientConfig(server=server.url, ca_data=authority.pem, certificate_data=certificate, key_data=key)
        async with Client(config, patience=0) as client:
            with pytest.raises(ConnectionFailed) as raised:
                await client.get(CM, "a", "ns")
    assert not isinstance(raised.value, CredentialRefused)


async def test_rotated_certificate_files_are_used_for_requests_and_move_watches_over(authority, tmp_path):
    cert_file, key_file = tmp_path / "tls.crt", tmp_path / "tls.key"

    def issue(name: str) -> tuple[bytes, bytes]:
        return authority.issue_client(name)

    certificate, key = issue("before")
    cert_file.write_bytes(certificate)
    key_file.write_bytes(key)
    async with tls_server(authority, tmp_path) as server:
        watchers, getters = [], []
        streams = [Stream(), Stream()]
        streams[0].send(event("ADDED", configmap("a", 1)), bookmark(5, initial_end=True))
        streams[1].send(event("MODIFIED", configmap("a", 6)))

        async def watching(request):
            watchers.append(common_name(request))
            return await streams[len(watchers) - 1](request)

        async def getting(request):
            getters.append(common_name(request))
            return await document(configmap("a", 1))(request)

        server.always("WATCH", ALL, watching)
        server.always("GET", ONE, getting)
        config = ClientConfig(
            server=server.url, ca_data=authority.pem, certificate_file=str(cert_file), key_file=str(key_file)
        )
        async with Client(config) as client:
            informer = Informer(client, CM, namespace="ns", first_pause=0.01)
            following = asyncio.create_task(informer.run())
            await informer.wait_synced()
            await client.get(CM, "a", "ns")

            certificate, key = issue("after")
            cert_file.write_bytes(certificate)  # half of a rotation: the pair doesn't fit
            client._transport._credentials.invalidate()
            await client.get(CM, "a", "ns")
            key_file.write_bytes(key)
            client._transport._credentials.invalidate()
            await client.get(CM, "a", "ns")
            await until(lambda: informer.get("a", "ns").resource_version == "6")
            following.cancel()
            await asyncio.wait([following])

    assert getters == ["before", "before", "after"]
    assert watchers == ["before", "after"]
    assert server.seen("WATCH")[1].query["resourceVersion"] == "5"


async def test_a_proxy_is_asked_for_a_tunnel_with_its_credentials(authority, tmp_path):
    asked = []

    async def proxy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = (await reader.readuntil(b"\r\n\r\n")).decode()
        asked.append(head)
        host, _, port = head.split()[1].partition(":")
        up_reader, up_writer = await asyncio.open_connection(host, int(port))
        writer.write(b"HTTP/1.1 200 OK\r\n\r\n")

        async def pump(source, sink):
            while data := await source.read(65536):
                sink.write(data)
            sink.close()

        await asyncio.gather(pump(reader, up_writer), pump(up_reader, writer), return_exceptions=True)

    listener = await asyncio.start_server(proxy, "127.0.0.1", 0)
    port = listener.sockets[0].getsockname()[1]
    async with listener, tls_server(authority, tmp_path) as server:
        config = ClientConfig(
            server=server.url, ca_data=authority.pem, proxy_url=f"http://jane:s3cret@127.0.0.1:{port}"
        )
        async with Client(config) as client:
            assert await client.get(CM, "a", "ns") == configmap("a", 1)

    assert asked[0].startswith("CONNECT 127.0.0.1:")
    assert "Proxy-Authorization: Basic amFuZTpzM2NyZXQ=" in asked[0]
