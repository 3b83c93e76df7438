"""Who asks: client certificates, bearer tokens, or nobody.

The first credential that is presented decides; one that is presented and bad is a 401, never a fall-through to
anonymous. Certificates are checked here in full (chain, dates, usage) although the TLS listener has done so already:
a connection outlives a certificate's validity, and the in-process transport has no handshake.
"""

from __future__ import annotations

import base64
import csv
import hashlib
import hmac
import re
import time
from collections import OrderedDict
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from merope.controlplane import errors
from merope.controlplane.resource import GroupResource, UserInfo
from merope.controlplane.tokens import ServiceAccountTokens, TokenError, Verified

if TYPE_CHECKING:
    from merope.controlplane.http.message import HttpRequest
    from merope.controlplane.store import Store

ANONYMOUS: Final = UserInfo("system:anonymous", ("system:unauthenticated",))
_AUTHENTICATED: Final = "system:authenticated"
_SECRETS: Final = GroupResource("", "secrets")
_BOOTSTRAP_TOKEN: Final = re.compile(r"([a-z0-9]{6})\.([a-z0-9]{16})")
_BOOTSTRAP_GROUP: Final = re.compile(r"system:bootstrappers:[a-z0-9:-]{0,255}[a-z0-9]")
_CERTIFICATES_KEPT: Final = 4096


@dataclass(frozen=True, slots=True)
class _Certificate:
    user: UserInfo | None  # None: a good certificate without a name
    not_before: float
    not_after: float


class Authenticator:
    """Turns the credentials of a request into a UserInfo.

    ``static`` maps tokens to users that exist for the lifetime of the process (a token file).
    """

    def __init__(
        self,
        store: Store,
        tokens: ServiceAccountTokens,
        client_ca_pem: bytes,
        static: Mapping[str, UserInfo] | None = None,
    ) -> None:
        self._store = store
        self._tokens = tokens
        self._authorities = x509.load_pem_x509_certificates(client_ca_pem)
        self._static = {hashlib.sha256(token.encode()).digest(): user for token, user in (static or {}).items()}
        self._certificates: OrderedDict[bytes, _Certificate] = OrderedDict()

    async def authenticate(self, request: HttpRequest) -> UserInfo:
        """The user behind ``request``; anonymous where it presents nothing. Raises ApiError 401."""
        if request.peer_certificate is not None:
            user = self._by_certificate(request.peer_certificate)
            if user is not None:
                return user
        authorization = request.headers.get("Authorization", "")
        scheme, _, token = authorization.partition(" ")
        token = token.strip()
        if scheme.lower() == "bearer" and token:
            try:
                return self.verify_token(token).user
            except TokenError as error:
                raise errors.unauthorized() from error
        if authorization and scheme.lower() != "bearer":
            raise errors.unauthorized()
        return ANONYMOUS

    def verify_token(self, token: str, audiences: Collection[str] = ()) -> Verified:
        """Who a bearer token of any kind belongs to. Raises TokenError."""
        static = self._static.get(hashlib.sha256(token.encode()).digest())
        if static is not None:
            return Verified(static, tuple(audiences) or self._tokens.audiences)
        parts = _BOOTSTRAP_TOKEN.fullmatch(token)
        if parts is not None:
            user = self._by_bootstrap_token(parts[1], parts[2])
            return Verified(user, tuple(audiences) or self._tokens.audiences)
        return self._tokens.verify(token, audiences)

    # --- certificates --------------------------------------------------------------------------------------------

    def _by_certificate(self, der: bytes) -> UserInfo | None:
        digest = hashlib.sha256(der).digest()
        known = self._certificates.get(digest)
        if known is None:
            known = self._verify_certificate(der, digest)
            self._certificates[digest] = known
            while len(self._certificates) > _CERTIFICATES_KEPT:
                self._certificates.popitem(last=False)
        if not known.not_before <= time.time() <= known.not_after:
            raise errors.unauthorized()
        return known.user

    def _verify_certificate(self, der: bytes, digest: bytes) -> _Certificate:
        try:
            certificate = x509.load_der_x509_certificate(der)
            usages = _usages(certificate)
        except ValueError as error:
            raise errors.unauthorized() from error
        if not any(_issued_by(certificate, authority) for authority in self._authorities):
            raise errors.unauthorized()
        if not {ExtendedKeyUsageOID.CLIENT_AUTH, ExtendedKeyUsageOID.ANY_EXTENDED_KEY_USAGE} & usages:
            raise errors.unauthorized()
        return _Certificate(
            _certificate_user(certificate, digest),
            certificate.not_valid_before_utc.timestamp(),
            certificate.not_valid_after_utc.timestamp(),
        )

    # --- bootstrap tokens ----------------------------------------------------------------------------------------

    def _by_bootstrap_token(self, token_id: str, secret: str) -> UserInfo:
        entry = self._store.get(_SECRETS, "kube-system", f"bootstrap-token-{token_id}")
        if entry is None or entry.deleting:
            raise TokenError("invalid bearer token")
        obj = entry.parsed()
        if obj.get("type") != "bootstrap.kubernetes.io/token":
            raise TokenError("invalid bearer token")
        data = {key: _decoded(value) for key, value in (obj.get("data") or {}).items()}
        good = hmac.compare_digest(data.get("token-secret", "").encode(), secret.encode())
        if not good or data.get("token-id") != token_id or data.get("usage-bootstrap-authentication") != "true":
            raise TokenError("invalid bearer token")
        if "expiration" in data and not _in_future(data["expiration"]):
            raise TokenError("invalid bearer token")
        groups = ["system:bootstrappers"]
        for group in filter(None, data.get("auth-extra-groups", "").split(",")):
            if not _BOOTSTRAP_GROUP.fullmatch(group):
                raise TokenError("invalid bearer token")
            groups.append(group)
        return UserInfo(f"system:bootstrap:{token_id}", (*groups, _AUTHENTICATED))


def _issued_by(certificate: x509.Certificate, authority: x509.Certificate) -> bool:
    try:
        certificate.verify_directly_issued_by(authority)
    except (InvalidSignature, ValueError, TypeError):
        return False
    return True


def _usages(certificate: x509.Certificate) -> set[x509.ObjectIdentifier]:
    """What the certificate may be used for; one that does not say may be used for anything."""
    try:
        return set(certificate.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value)
    except x509.ExtensionNotFound:
        return {ExtendedKeyUsageOID.ANY_EXTENDED_KEY_USAGE}


def _certificate_user(certificate: x509.Certificate, digest: bytes) -> UserInfo | None:
    subject = certificate.subject
    names = [str(a.value) for a in subject.get_attributes_for_oid(NameOID.COMMON_NAME)]
    if not names or not names[-1]:
        return None
    groups = [str(a.value) for a in subject.get_attributes_for_oid(NameOID.ORGANIZATION_NAME)]
    return UserInfo(
        names[-1],
        (*dict.fromkeys(groups), _AUTHENTICATED) if _AUTHENTICATED not in groups else tuple(groups),
        extra={"authentication.kubernetes.io/credential-id": (f"X509SHA256={digest.hex()}",)},
    )


def _decoded(value: str) -> str:
    try:
        return base64.b64decode(value, validate=True).decode()
    except ValueError:
        return ""


def _in_future(moment: str) -> bool:
    try:
        parsed = datetime.fromisoformat(moment.replace("Z", "+00:00"))
    except ValueError:
        return False
    return parsed.tzinfo is not None and parsed > datetime.now(UTC)


def parse_token_file(text: str) -> dict[str, UserInfo]:
    """Static tokens as kube-apiserver reads them: CSV lines ``token,user,uid[,"group1,group2"]``.

    Raises ValueError, naming the line, where one has fewer than three columns or an empty token.
    """
    users: dict[str, UserInfo] = {}
    for number, row in enumerate(csv.reader(text.splitlines()), start=1):
        if not row or row[0].lstrip().startswith("#"):
            continue
        columns: Sequence[str] = [column.strip() for column in row]
        if len(columns) < 3 or not columns[0]:
            raise ValueError(f"token file, line {number}: expected token,user,uid[,groups]")
        groups = [g.strip() for g in columns[3].split(",") if g.strip()] if len(columns) > 3 else []
        users[columns[0]] = UserInfo(columns[1], (*groups, _AUTHENTICATED), columns[2])
    return users
