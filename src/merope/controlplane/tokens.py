"""Service-account tokens: signed, bound to objects that must still exist, and revoked by deleting these.

A token is a JWT that names its ServiceAccount by uid and, where it was asked for, a Secret, Pod or Node by uid. The
signature is checked once per token; the objects are looked up at every use, which costs two dictionary look-ups.
"""

from __future__ import annotations

import base64
import hashlib
import time
import uuid
from collections import OrderedDict
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import jwt
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa

from merope.controlplane import errors
from merope.controlplane.resource import GroupResource, Object, Request, UserInfo

if TYPE_CHECKING:
    from merope.controlplane.server import Server
    from merope.controlplane.store import Entry, Store

ISSUER: Final = "https://kubernetes.default.svc.cluster.local"
LEGACY_ISSUER: Final = "kubernetes/serviceaccount"
TOKEN_SECRET_TYPE: Final = "kubernetes.io/service-account-token"  # noqa: S105 - a type name
SERVICE_ACCOUNTS: Final = GroupResource("", "serviceaccounts")
SECRETS: Final = GroupResource("", "secrets")

_GROUP: Final = "authentication.k8s.io"
_MIN_SECONDS: Final = 600
_MAX_SECONDS: Final = 1 << 32
_DEFAULT_SECONDS: Final = 3600
_LEEWAY_SECONDS: Final = 60
_KEPT: Final = 4096
_BOUND_PLURALS: Final = {"Pod": "pods", "Secret": "secrets", "Node": "nodes"}

PrivateKey = ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey
PublicKey = ec.EllipticCurvePublicKey | rsa.RSAPublicKey


class TokenError(Exception):
    """A token that is not accepted. The text is fit for a TokenReview; it never holds the token."""


class Verified(NamedTuple):
    """A token that is good now: whose, and for which of the audiences asked about."""

    user: UserInfo
    audiences: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class _Claims:
    """What is kept of a token whose signature is good."""

    namespace: str
    name: str
    uid: str
    audiences: tuple[str, ...]
    not_before: float
    expires: float
    jti: str
    bound: tuple[str, str, str] | None  # (kind, name, uid)
    secret: str  # legacy tokens: the Secret that holds them


class ServiceAccountTokens:
    """Issues and verifies tokens of one server. The first key signs; all verify."""

    def __init__(self, store: Store, keys: Sequence[PrivateKey], *, issuer: str = ISSUER) -> None:
        if not keys:
            raise ValueError("a signing key is needed")
        self.issuer = issuer
        self.audiences: tuple[str, ...] = (issuer,)
        self._store = store
        self._key = keys[0]
        self._public: dict[str, PublicKey] = {key_id(key.public_key()): key.public_key() for key in keys}
        # An empty ``typ`` keeps the library from writing one: Kubernetes' tokens have none.
        self._header = {"kid": key_id(keys[0].public_key()), "typ": ""}
        self._verified: OrderedDict[bytes, _Claims] = OrderedDict()

    # --- issuing -------------------------------------------------------------------------------------------------

    def issue(
        self,
        account: Entry,
        *,
        audiences: Sequence[str] = (),
        seconds: int = _DEFAULT_SECONDS,
        bound: tuple[str, str, str] | None = None,
    ) -> tuple[str, datetime]:
        """A token for ``account`` that lives ``seconds``, and when it ends. ``bound`` is (kind, name, uid)."""
        now = int(time.time())
        private: dict[str, Any] = {
            "namespace": account.namespace,
            "serviceaccount": {"name": account.name, "uid": account.uid},
        }
        if bound is not None:
            private[bound[0].lower()] = {"name": bound[1], "uid": bound[2]}
        claims = {
            "aud": list(audiences or self.audiences),
            "exp": now + seconds,
            "iat": now,
            "iss": self.issuer,
            "jti": str(uuid.uuid4()),
            "kubernetes.io": private,
            "nbf": now,
            "sub": f"system:serviceaccount:{account.namespace}:{account.name}",
        }
        return self._sign(claims), datetime.fromtimestamp(now + seconds, UTC)

    def issue_legacy(self, account: Entry, secret: str) -> str:
        """A token without expiry for a Secret of type service-account-token; it lives as long as the Secret."""
        return self._sign(
            {
                "iss": LEGACY_ISSUER,
                "kubernetes.io/serviceaccount/namespace": account.namespace,
                "kubernetes.io/serviceaccount/secret.name": secret,
                "kubernetes.io/serviceaccount/service-account.name": account.name,
                "kubernetes.io/serviceaccount/service-account.uid": account.uid,
                "sub": f"system:serviceaccount:{account.namespace}:{account.name}",
            }
        )

    def _sign(self, claims: Mapping[str, Any]) -> str:
        return jwt.encode(dict(claims), self._key, algorithm=_algorithm(self._key), headers=self._header)

    # --- verifying -----------------------------------------------------------------------------------------------

    def verify(self, token: str, audiences: Collection[str] = ()) -> Verified:
        """Who ``token`` belongs to. ``audiences`` defaults to the API server's own. Raises TokenError."""
        digest = hashlib.sha256(token.encode()).digest()
        claims = self._verified.get(digest)
        if claims is None:
            claims = self._decode(token)
            self._verified[digest] = claims
            while len(self._verified) > _KEPT:
                self._verified.popitem(last=False)
        now = time.time()
        if now > claims.expires + _LEEWAY_SECONDS or now < claims.not_before - _LEEWAY_SECONDS:
            raise TokenError("[invalid bearer token, service account token has expired]")
        wanted = tuple(audiences) or self.audiences
        common = tuple(audience for audience in wanted if audience in claims.audiences)
        if not common:
            listed = " ".join(f'"{audience}"' for audience in claims.audiences)
            raise TokenError(f"[invalid bearer token, token audiences [{listed}] is invalid for the target audiences]")
        self._check_objects(claims, token)
        return Verified(self._user(claims), common)

    def _decode(self, token: str) -> _Claims:
        try:
            header = jwt.get_unverified_header(token)
            key = self._public.get(str(header.get("kid", "")))
            if key is None:
                raise TokenError("invalid bearer token")
            payload: dict[str, Any] = jwt.decode(
                token,
                key,
                algorithms=[_algorithm(key)],
                options={"verify_exp": False, "verify_nbf": False, "verify_iat": False, "verify_aud": False},
            )
            if payload.get("iss") == self.issuer:
                return _claims(payload)
            if payload.get("iss") == LEGACY_ISSUER:
                return self._legacy_claims(payload)
        except (jwt.PyJWTError, KeyError, TypeError, ValueError) as error:
            raise TokenError("invalid bearer token") from error
        raise TokenError("invalid bearer token")

    def _legacy_claims(self, payload: Mapping[str, Any]) -> _Claims:
        prefix = "kubernetes.io/serviceaccount/"
        return _Claims(
            namespace=payload[prefix + "namespace"],
            name=payload[prefix + "service-account.name"],
            uid=payload[prefix + "service-account.uid"],
            audiences=self.audiences,
            not_before=0,
            expires=float("inf"),
            jti="",
            bound=None,
            secret=payload[prefix + "secret.name"],
        )

    def _check_objects(self, claims: _Claims, token: str) -> None:
        account = self._store.get(SERVICE_ACCOUNTS, claims.namespace, claims.name)
        if account is None or account.uid != claims.uid or account.deleting:
            raise TokenError("[invalid bearer token, service account token has been invalidated]")
        if claims.secret:
            # It is good only as what its Secret holds now, not what a Secret of that name once held.
            held = self._require(SECRETS, claims.namespace, claims.secret, "").parsed().get("data") or {}
            if held.get("token") != base64.b64encode(token.encode()).decode():
                raise TokenError("[invalid bearer token, service account token has been invalidated]")
        if claims.bound is not None:
            kind, name, uid = claims.bound
            namespace = "" if kind == "Node" else claims.namespace
            self._require(GroupResource("", _BOUND_PLURALS[kind]), namespace, name, uid)

    def _require(self, storage: GroupResource, namespace: str, name: str, uid: str) -> Entry:
        entry = self._store.get(storage, namespace, name)
        if entry is None or (uid and entry.uid != uid) or entry.deleting:
            raise TokenError("[invalid bearer token, service account token has been invalidated]")
        return entry

    def _user(self, claims: _Claims) -> UserInfo:
        extra: dict[str, tuple[str, ...]] = {}
        if claims.jti:
            extra["authentication.kubernetes.io/credential-id"] = (f"JTI={claims.jti}",)
        if claims.bound is not None and claims.bound[0] in ("Pod", "Node"):
            kind, name, uid = claims.bound
            extra[f"authentication.kubernetes.io/{kind.lower()}-name"] = (name,)
            extra[f"authentication.kubernetes.io/{kind.lower()}-uid"] = (uid,)
        return UserInfo(
            f"system:serviceaccount:{claims.namespace}:{claims.name}",
            ("system:serviceaccounts", f"system:serviceaccounts:{claims.namespace}", "system:authenticated"),
            claims.uid,
            extra,
        )

    # --- issuer discovery ----------------------------------------------------------------------------------------

    def discovery(self, url: str) -> Object:
        """The OpenID provider configuration; ``url`` is where the server is reached."""
        return {
            "issuer": self.issuer,
            "jwks_uri": f"{url}/openid/v1/jwks",
            "response_types_supported": ["id_token"],
            "subject_types_supported": ["public"],
            "id_token_signing_alg_values_supported": sorted({_algorithm(key) for key in self._public.values()}),
        }

    def key_set(self) -> Object:
        """The public keys as a JWK set."""
        return {"keys": [_jwk(kid, key) for kid, key in self._public.items()]}


def key_id(key: PublicKey) -> str:
    """The ``kid`` of a key: the unpadded URL-safe base64 of the SHA-256 of its DER form."""
    der = key.public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)
    return base64.urlsafe_b64encode(hashlib.sha256(der).digest()).rstrip(b"=").decode()


def _algorithm(key: PrivateKey | PublicKey) -> str:
    return "ES256" if isinstance(key, ec.EllipticCurvePrivateKey | ec.EllipticCurvePublicKey) else "RS256"


def _jwk(kid: str, key: PublicKey) -> Object:
    if isinstance(key, ec.EllipticCurvePublicKey):
        jwk: Object = jwt.algorithms.ECAlgorithm.to_jwk(key, as_dict=True)
    else:
        jwk = jwt.algorithms.RSAAlgorithm.to_jwk(key, as_dict=True)
    jwk.pop("key_ops", None)
    return {"use": "sig", "kid": kid, "alg": _algorithm(key), **jwk}


def _claims(payload: Mapping[str, Any]) -> _Claims:
    private = payload["kubernetes.io"]
    bound = None
    for kind in _BOUND_PLURALS:
        ref = private.get(kind.lower())
        if ref:
            bound = (kind, str(ref["name"]), str(ref["uid"]))
            break
    audiences = payload["aud"]
    return _Claims(
        namespace=private["namespace"],
        name=private["serviceaccount"]["name"],
        uid=private["serviceaccount"]["uid"],
        audiences=(audiences,) if isinstance(audiences, str) else tuple(audiences),
        not_before=float(payload.get("nbf", 0)),
        expires=float(payload["exp"]),
        jti=payload.get("jti", ""),
        bound=bound,
        secret="",
    )


# --- the token subresource ---------------------------------------------------------------------------------------


def complete_request(obj: Object) -> None:
    """Fill in the defaults of a TokenRequest, in place."""
    spec = obj.setdefault("spec", {})
    if spec.get("expirationSeconds") is None:
        spec["expirationSeconds"] = _DEFAULT_SECONDS


async def create_token(server: Server, request: Request, obj: Object) -> Object:
    """POST ``serviceaccounts/NAME/token``: a TokenRequest in, the same with its token out. Nothing is stored."""
    account = server.store.get(SERVICE_ACCOUNTS, request.namespace, request.name)
    if account is None:
        raise errors.not_found("", "serviceaccounts", request.name)
    metadata = obj.get("metadata") or {}
    spec = obj.setdefault("spec", {})
    name = metadata.get("name", "")
    if name and name != account.name:
        problem = errors.invalid_value("metadata.name", name, "must match the service account name if specified")
        raise errors.invalid(_GROUP, "TokenRequest", account.name, [problem])
    if metadata.get("namespace", account.namespace) not in ("", account.namespace):
        raise errors.bad_request(
            "the namespace of the provided object does not match the namespace sent on the request"
        )
    seconds = spec["expirationSeconds"]
    path = "spec.expirationSeconds"
    if seconds < _MIN_SECONDS:
        problem = errors.invalid_value(path, seconds, "may not specify a duration less than 10 minutes")
        raise errors.invalid(_GROUP, "TokenRequest", name, [problem])
    if seconds > _MAX_SECONDS:
        problem = errors.invalid_value(path, seconds, "may not specify a duration larger than 2^32 seconds")
        raise errors.invalid(_GROUP, "TokenRequest", name, [problem])
    bound = _bound_object(server, account, spec.get("boundObjectRef"))
    if not spec.get("audiences"):
        spec["audiences"] = list(server.tokens.audiences)
    spec.setdefault("boundObjectRef", None)
    token, expires = server.tokens.issue(account, audiences=spec["audiences"], seconds=seconds, bound=bound)
    answer: Object = {
        "kind": "TokenRequest",
        "apiVersion": f"{_GROUP}/v1",
        "metadata": {
            "name": account.name,
            "namespace": account.namespace,
            "uid": account.uid,
            "creationTimestamp": timestamp(datetime.now(UTC)),
        },
        "spec": {key: spec[key] for key in ("audiences", "expirationSeconds", "boundObjectRef")},
        "status": {"token": token, "expirationTimestamp": timestamp(expires)},
    }
    if metadata.get("managedFields"):
        answer["metadata"]["managedFields"] = metadata["managedFields"]
    return answer


def _bound_object(server: Server, account: Entry, ref: Mapping[str, Any] | None) -> tuple[str, str, str] | None:
    if not ref:
        return None
    kind, api_version, name = ref.get("kind", ""), ref.get("apiVersion", ""), ref.get("name", "")
    plural = _BOUND_PLURALS.get(kind) if api_version == "v1" else None
    if plural is None:
        group, _, version = api_version.rpartition("/")
        message = f"cannot bind token to object of type {group}/{version}, Kind={kind}"
        raise errors.bad_request(message)
    entry = server.store.get(GroupResource("", plural), "" if kind == "Node" else account.namespace, name)
    if entry is None:
        raise errors.not_found("", plural, name)
    uid = ref.get("uid", "")
    if uid and uid != entry.uid:
        cause = (
            f"the UID in the bound object reference ({uid}) does not match the UID in record. "
            "The object might have been deleted and then recreated"
        )
        raise errors.conflict("", plural, name, cause)
    return kind, name, entry.uid


def timestamp(moment: datetime) -> str:
    """A metav1.Time: RFC 3339, UTC, whole seconds."""
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
