"""Serving admission webhooks over TLS, by every replica of a component.

All replicas share one authority, kept in a Secret; each makes its own serving certificate from it, in memory, and
renews it in time. The bundle that API servers verify with is written into the webhook configurations. A new authority
is published beside the old one before anything is served with it, so no call fails while it changes.
"""

from __future__ import annotations

import asyncio
import base64
import contextlib
import ipaddress
import logging
import os
import ssl
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Final

import orjson
from aiohttp import web
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from merope.kube import CORE, AlreadyExists, Change, Client, Conflict, Informer, KubeError, NotFound, make_informer
from merope.sdk.admission import Denied, Handler, Hub, Manifest, Permission, Requester, decode_review

_logger = logging.getLogger(__name__)

SECRET_NAME: Final = "signer-secret"  # noqa: S105 - the name of the Secret
_AUTHORITY_DAYS: Final = 365
_SERVING_DAYS: Final = 30
_BACKDATE: Final = timedelta(minutes=5)
#: Part of its life that an authority or certificate has left when it is replaced.
_RENEW_AT: Final = 0.2
#: Two objects of the largest size that API servers store (old and new), and what else is in a review.
_LARGEST_REVIEW: Final = 8 * 1024 * 1024
#: Time for a request to arrive (seconds): API servers wait no longer for their answer.
_READ_SECONDS: Final = 10.0
#: Reviews that are read and handled at a time; what arrives beyond them waits.
_AT_ONCE: Final = 64
_CHECK_SECONDS: Final = 3600.0
_AGAIN_SECONDS: Final = 10.0
_LONGEST_COMMON_NAME: Final = 64


@dataclass(frozen=True, slots=True)
class SigningAuthority:
    """The authority of the serving certificates. ``bundle`` also holds earlier ones that are still valid."""

    certificate: x509.Certificate
    key: ec.EllipticCurvePrivateKey
    bundle: bytes

    @classmethod
    def create(cls, now: datetime, earlier: bytes = b"") -> SigningAuthority:
        """A new authority; valid certificates of the bundle ``earlier`` stay in its bundle."""
        key = ec.generate_private_key(ec.SECP256R1())
        name = x509.Name(
            [x509.NameAttribute(NameOID.COMMON_NAME, f"open-cluster-management-signer@{int(now.timestamp())}")]
        )
        identifier = x509.SubjectKeyIdentifier.from_public_key(key.public_key())
        certificate = (
            x509.CertificateBuilder()
            .subject_name(name)
            .issuer_name(name)
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - _BACKDATE)
            .not_valid_after(now + timedelta(days=_AUTHORITY_DAYS))
            .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
            .add_extension(_key_usage(signing=True), critical=True)
            .add_extension(identifier, critical=False)
            .sign(key, hashes.SHA256())
        )
        kept = [each for each in _certificates(earlier) if each.not_valid_after_utc > now]
        return cls(certificate, key, b"".join(_pem(each) for each in (certificate, *kept)))

    @classmethod
    def decode(cls, secret: Mapping[str, Any]) -> SigningAuthority:
        """From the Secret. Raises ValueError or KeyError where it holds none."""
        data = {key: base64.b64decode(value) for key, value in (secret.get("data") or {}).items()}
        certificate = x509.load_pem_x509_certificate(data["tls.crt"])
        key = serialization.load_pem_private_key(data["tls.key"], None)
        if not isinstance(key, ec.EllipticCurvePrivateKey):
            raise ValueError("the key of the signing authority is not an elliptic curve key")
        if key.public_key() != certificate.public_key():
            raise ValueError("the key of the signing authority does not fit its certificate")
        return cls(certificate, key, data.get("ca-bundle.crt") or _pem(certificate))

    def encode(self) -> dict[str, str]:
        """As the data of the Secret."""
        key = self.key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
        parts = {"tls.crt": _pem(self.certificate), "tls.key": key, "ca-bundle.crt": self.bundle}
        return {name: base64.b64encode(value).decode() for name, value in parts.items()}

    def serving(self, hosts: Sequence[str], now: datetime) -> tuple[bytes, bytes]:
        """Certificate and key (PEM) for a listener that is reached by ``hosts`` (names and addresses)."""
        key = ec.generate_private_key(ec.SECP256R1())
        authority = self.certificate.extensions.get_extension_for_class(x509.SubjectKeyIdentifier).value
        certificate = (
            x509.CertificateBuilder()
            .subject_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, hosts[0][:_LONGEST_COMMON_NAME])]))
            .issuer_name(self.certificate.subject)
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - _BACKDATE)
            .not_valid_after(min(now + timedelta(days=_SERVING_DAYS), self.certificate.not_valid_after_utc))
            .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
            .add_extension(_key_usage(signing=False), critical=True)
            .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
            .add_extension(x509.SubjectAlternativeName([_general_name(host) for host in hosts]), critical=False)
            .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
            .add_extension(x509.AuthorityKeyIdentifier.from_issuer_subject_key_identifier(authority), critical=False)
            .sign(self.key, hashes.SHA256())
        )
        pem = key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
        return _pem(certificate), pem


def needs_renewal(certificate: x509.Certificate, now: datetime) -> bool:
    """Whether less than a fifth of its life is left."""
    begins, ends = certificate.not_valid_before_utc, certificate.not_valid_after_utc
    return now > ends - (ends - begins) * _RENEW_AT


async def ensure_authority(
    client: Client, namespace: str, name: str = SECRET_NAME, *, earlier: bytes = b""
) -> SigningAuthority:
    """The authority that all replicas share: read, made where missing or unreadable, renewed in time.

    ``earlier`` is the bundle that the caller served with so far: a new authority that replaces a lost one is published
    beside it, because other replicas go on with the old one until they notice.
    """
    secrets = CORE["Secret"]
    while True:
        now = datetime.now(UTC)
        try:
            secret = await client.get(secrets, name, namespace)
        except NotFound:
            authority = SigningAuthority.create(now, earlier)
            try:
                body = {"metadata": {"name": name, "namespace": namespace}, "type": "kubernetes.io/tls"}
                await client.create(secrets, {**body, "data": authority.encode()}, namespace)
            except AlreadyExists:
                continue
            return authority
        try:
            found: SigningAuthority | None = SigningAuthority.decode(secret)
        except (ValueError, KeyError, TypeError):
            _logger.warning("Secret %s/%s holds no signing authority; a new one is made", namespace, name)
            found = None
        if found is not None and not needs_renewal(found.certificate, now):
            return found
        authority = SigningAuthority.create(now, found.bundle if found is not None else earlier)
        try:
            await client.update(secrets, {**secret, "data": authority.encode()})
        except Conflict:
            continue
        return authority


async def ensure_configurations(client: Client, configurations: Sequence[Manifest]) -> None:
    """Create webhook configurations, or bring those that exist to the wanted webhooks; writes only differences."""
    for wanted in configurations:
        ref = CORE[wanted["kind"]]
        name = wanted["metadata"]["name"]
        while True:
            try:
                found = await client.get(ref, name)
            except NotFound:
                try:
                    await client.create(ref, wanted)
                except AlreadyExists:
                    continue
                break
            if _agrees(found.get("webhooks"), wanted["webhooks"]):
                break
            try:
                await client.update(ref, {**found, "webhooks": wanted["webhooks"]})
            except Conflict:
                continue
            break


def _agrees(found: Any, wanted: Any) -> bool:
    """Whether ``found`` says all that ``wanted`` says; defaults that the server filled in do not count."""
    if isinstance(wanted, Mapping):
        return isinstance(found, Mapping) and all(_agrees(found.get(key), value) for key, value in wanted.items())
    if isinstance(wanted, list):
        return (
            isinstance(found, list)
            and len(found) == len(wanted)
            and all(_agrees(a, b) for a, b in zip(found, wanted, strict=True))
        )
    return bool(found == wanted)


class ClusterHub(Hub):
    """Answers the questions of handlers by asking the API server."""

    def __init__(self, client: Client) -> None:
        self._client = client

    async def allows(self, requester: Requester, permission: Permission) -> bool:
        spec: Manifest = {"resourceAttributes": permission.attributes(), "user": requester.username}
        if requester.groups:
            spec["groups"] = list(requester.groups)
        if requester.uid:
            spec["uid"] = requester.uid
        if requester.extra:
            spec["extra"] = {key: list(values) for key, values in requester.extra.items()}
        review = await self._client.create(CORE["SubjectAccessReview"], {"spec": spec})
        return bool((review.get("status") or {}).get("allowed"))

    async def namespace_phase(self, name: str) -> str:
        try:
            namespace = await self._client.get(CORE["Namespace"], name)
        except NotFound:
            return ""
        return str((namespace.get("status") or {}).get("phase", "Active"))


class WebhookServer:
    """A TLS listener for the handlers of admission webhooks, by path. ``run`` serves until it is cancelled.

    ``hosts`` are the names and addresses under which API servers reach it.
    """

    def __init__(
        self, handlers: Mapping[str, Handler], hub: Hub, *, host: str, port: int, hosts: Sequence[str] = ()
    ) -> None:
        self._handlers = dict(handlers)
        self._hub = hub
        self._host = host
        self._port = port
        self._hosts = list(dict.fromkeys((*hosts, host)))
        self._context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self._context.minimum_version = ssl.TLSVersion.TLSv1_2
        self._renew_after: datetime | None = None
        self._turns = asyncio.Semaphore(_AT_ONCE)
        self._runner: web.ServerRunner | None = None
        self.address: tuple[str, int] = (host, port)

    def present(self, authority: SigningAuthority) -> None:
        """Serve new connections with a fresh certificate of ``authority``."""
        now = datetime.now(UTC)
        certificate, key = authority.serving(self._hosts, now)
        _load_chain(self._context, certificate + _pem(authority.certificate), key)
        loaded = x509.load_pem_x509_certificate(certificate)
        life = loaded.not_valid_after_utc - loaded.not_valid_before_utc
        self._renew_after = loaded.not_valid_after_utc - life * _RENEW_AT

    @property
    def due(self) -> bool:
        """Whether the certificate should be replaced."""
        return self._renew_after is None or datetime.now(UTC) > self._renew_after

    async def start(self) -> None:
        """Listen. Raises OSError where the address is taken."""
        self._runner = web.ServerRunner(web.Server(self._serve, access_log=None, lingering_time=1.0))
        await self._runner.setup()
        site = web.TCPSite(self._runner, self._host, self._port, ssl_context=self._context)
        await site.start()
        self.address = self._runner.addresses[0][:2]

    async def stop(self) -> None:
        if self._runner is not None:
            await self._runner.cleanup()
            self._runner = None

    async def _serve(self, request: web.BaseRequest) -> web.StreamResponse:
        if request.path in ("/healthz", "/readyz"):
            return web.Response(text="ok")
        handler = self._handlers.get(request.path)
        if handler is None:
            return web.Response(status=404, text="404 page not found\n")
        if request.method != "POST":
            return web.Response(status=405, text="only POST is served here\n")
        async with self._turns:
            try:
                async with asyncio.timeout(_READ_SECONDS):
                    content = await _read(request)
            except TimeoutError:
                return _hang_up(408, "the review came too slowly\n")
            if content is None:
                return _hang_up(413, "the review is too large\n")
            return await self._answer(request.path, handler, content)

    async def _answer(self, path: str, handler: Handler, content: bytes) -> web.Response:
        try:
            review = orjson.loads(content)
            asked = decode_review(review)
        except ValueError as error:
            return web.Response(status=400, text=f"{error}\n")
        response: Manifest = {"uid": asked.uid, "allowed": True}
        try:
            patch = await handler(asked, self._hub)
            if patch:
                response["patchType"] = "JSONPatch"
                response["patch"] = base64.b64encode(orjson.dumps(patch)).decode()
        except Denied as denied:
            response = {"uid": asked.uid, "allowed": False, "status": denied.status()}
        except Exception as error:  # the API server must get an answer, whatever goes wrong here
            _logger.exception("%s failed for %s %s", path, asked.operation, asked.name)
            failure = Denied(500, "InternalError", f"Internal error occurred: {type(error).__name__}")
            response = {"uid": asked.uid, "allowed": False, "status": failure.status()}
        body = {
            "kind": "AdmissionReview",
            "apiVersion": review.get("apiVersion") or "admission.k8s.io/v1",
            "response": response,
        }
        return web.Response(body=orjson.dumps(body), content_type="application/json")


async def _read(request: web.BaseRequest) -> bytes | None:
    """The body; None where it is too large, however its size was announced."""
    if (request.content_length or 0) > _LARGEST_REVIEW:
        return None
    content = bytearray()
    async for chunk in request.content.iter_any():
        content += chunk
        if len(content) > _LARGEST_REVIEW:
            return None
    return bytes(content)


def _hang_up(status: int, text: str) -> web.Response:
    """An answer after which the connection ends, so that nobody reads the rest of what was being sent."""
    response = web.Response(status=status, text=text)
    response.force_close()
    return response


class WebhookService:
    """Keeps a WebhookServer presentable: authority, certificate and configurations, renewed in time.

    ``configurations`` gives the wanted objects for a CA bundle (base64). ``prepare`` must have returned before
    anything that the webhooks guard is written; ``keep`` runs as long as the component.
    """

    def __init__(
        self, client: Client, namespace: str, server: WebhookServer, configurations: Callable[[str], list[Manifest]]
    ) -> None:
        self._client = client
        self._namespace = namespace
        self._server = server
        self._configurations = configurations
        self._wanted = asyncio.Event()
        self._presented: bytes = b""
        self._bundle: bytes = b""

    async def prepare(self) -> None:
        """Share the authority, listen, publish. Raises KubeError, and OSError where the address is taken."""
        authority = await self._renew()
        await self._server.start()
        await self._publish(authority)

    async def keep(self) -> None:
        """Serve until cancelled, and keep authority, certificate and registrations as they have to be.

        They are looked at once an hour, and at once where the authority changes or a registration is deleted: without
        it anybody could accept clusters. (What else changes in a registration waits: replicas that are reached by
        different URLs would otherwise correct one another without end.) An API server that is away puts the check off
        and nothing else.
        """
        try:
            async with asyncio.TaskGroup() as group:
                for informer in self._followed():
                    group.create_task(informer.run(), name=str(informer))
                pause = _CHECK_SECONDS
                while True:
                    with contextlib.suppress(TimeoutError):
                        async with asyncio.timeout(pause):
                            await self._wanted.wait()
                    self._wanted.clear()
                    pause = _CHECK_SECONDS if await self._checked() else _AGAIN_SECONDS
        finally:
            await self._server.stop()

    async def check(self) -> None:
        """Renew what is due, and put the registrations right. Raises KubeError."""
        await self._publish(await self._renew())

    def _followed(self) -> list[Informer[Manifest]]:
        """Informers of the authority's Secret and of each registration, by name: more is not permitted."""

        def changed(change: Change[Manifest]) -> None:
            secret = change.current.ref.kind == "Secret"
            if change.new is None or (secret and change.old is not None):
                self._wanted.set()

        secret = make_informer(
            self._client, CORE["Secret"], namespace=self._namespace, field_selector=f"metadata.name={SECRET_NAME}"
        )
        registrations = [
            make_informer(self._client, CORE[each["kind"]], field_selector=f"metadata.name={each['metadata']['name']}")
            for each in self._configurations("")
        ]
        for informer in (secret, *registrations):
            informer.add_handler(changed)
        return [secret, *registrations]

    async def _checked(self) -> bool:
        try:
            await self.check()
        except KubeError as error:
            _logger.warning("the webhooks' authority and registrations could not be checked: %s", error)
            return False
        return True

    async def _renew(self) -> SigningAuthority:
        authority = await ensure_authority(self._client, self._namespace, earlier=self._bundle)
        identity = _pem(authority.certificate)
        if identity != self._presented:
            if self._presented:
                await self._publish(authority)
            self._server.present(authority)
            self._presented = identity
        elif self._server.due:
            self._server.present(authority)
        self._bundle = authority.bundle
        return authority

    async def _publish(self, authority: SigningAuthority) -> None:
        bundle = base64.b64encode(authority.bundle).decode()
        await ensure_configurations(self._client, self._configurations(bundle))


def webhook(name: str, url: str, bundle: str, group: str, versions: Sequence[str], resource: str) -> Manifest:
    """One webhook as OCM registers its own: creates and updates of a main resource, ten seconds, closed on failure."""
    return {
        "name": name,
        "clientConfig": {"url": url, "caBundle": bundle},
        "rules": [
            {
                "operations": ["CREATE", "UPDATE"],
                "apiGroups": [group],
                "apiVersions": list(versions),
                "resources": [resource],
            }
        ],
        "failurePolicy": "Fail",
        "sideEffects": "None",
        "timeoutSeconds": 10,
        "admissionReviewVersions": ["v1beta1", "v1"],
    }


def configuration(kind: str, hook: Manifest) -> Manifest:
    """A webhook configuration (``MutatingWebhookConfiguration`` or ``Validating...``) with one webhook of its name."""
    return {
        "apiVersion": "admissionregistration.k8s.io/v1",
        "kind": kind,
        "metadata": {"name": hook["name"]},
        "webhooks": [hook],
    }


def _key_usage(*, signing: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=True,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=signing,
        crl_sign=signing,
        encipher_only=False,
        decipher_only=False,
    )


def _general_name(host: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(host))
    except ValueError:
        return x509.DNSName(host)


def _pem(certificate: x509.Certificate) -> bytes:
    return certificate.public_bytes(serialization.Encoding.PEM)


def _certificates(bundle: bytes) -> list[x509.Certificate]:
    return x509.load_pem_x509_certificates(bundle) if bundle.strip() else []


def _load_chain(context: ssl.SSLContext, chain: bytes, key: bytes) -> None:
    """OpenSSL's binding reads keys from files only: the file is private and gone before anything else happens."""
    descriptor, path = tempfile.mkstemp(prefix="merope-")
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(chain + key)
        context.load_cert_chain(path)
    finally:
        os.unlink(path)
