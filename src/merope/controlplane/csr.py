"""Certificate signing requests: what may be asked, who may approve and sign, and what a certificate says.

The strategy guards the object: the requester is written by the server, the spec never changes, approval and signature
are separate endpoints with permissions of their own on ``signers``. ``sign`` is the decision of the built-in signer, a
pure function of the request, the authority and the time.
"""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, Final

from cryptography import x509
from cryptography.x509.oid import NameOID

from merope.controlplane import errors
from merope.controlplane.authz import Attributes
from merope.controlplane.errors import FieldError
from merope.controlplane.resource import Object, Request, Strategy
from merope.controlplane.tokens import timestamp

if TYPE_CHECKING:
    from merope.controlplane.server import Server

GROUP: Final = "certificates.k8s.io"
CLIENT_SIGNER: Final = "kubernetes.io/kube-apiserver-client"
_LEGACY_SIGNER: Final = "kubernetes.io/legacy-unknown"
_SIGNER_NAME: Final = re.compile(r"[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*/[^/].*")
_BEGIN: Final = re.compile(rb"-----BEGIN ([^-]{1,64})-----")
_END: Final = b"-----END "

USAGES: Final = (
    "any",
    "cert sign",
    "client auth",
    "code signing",
    "content commitment",
    "crl sign",
    "data encipherment",
    "decipher only",
    "digital signature",
    "email protection",
    "encipher only",
    "ipsec end system",
    "ipsec tunnel",
    "ipsec user",
    "key agreement",
    "key encipherment",
    "microsoft sgc",
    "netscape sgc",
    "ocsp signing",
    "s/mime",
    "server auth",
    "signing",
    "timestamping",
)
_CLIENT_USAGES: Final = frozenset({"client auth", "digital signature", "key encipherment"})
_DECISIONS: Final = ("Approved", "Denied")


class CertificateSigningRequestStrategy(Strategy):
    """certificates.k8s.io/v1 CertificateSigningRequest."""

    name_rule = "path"

    def prepare_create(self, server: Server, request: Request, obj: Object) -> None:
        spec = obj.setdefault("spec", {})
        user = request.user
        for key in ("username", "uid", "groups", "extra"):
            spec.pop(key, None)
        if user.username:
            spec["username"] = user.username
        if user.uid:
            spec["uid"] = user.uid
        if user.groups:
            spec["groups"] = list(user.groups)
        if user.extra:
            spec["extra"] = {key: list(values) for key, values in user.extra.items()}
        obj["status"] = {}

    def prepare_update(self, server: Server, request: Request, obj: Object, old: Object) -> None:
        obj["spec"] = old.get("spec", {})
        before: Mapping[str, Any] = old.get("status") or {}
        after: Mapping[str, Any] = obj.get("status") or {}
        if request.subresource == "approval":
            status = {**before, "conditions": list(after.get("conditions") or ())}
            _fill_times(status["conditions"], before.get("conditions") or ())
        elif request.subresource == "status":
            status = dict(after)
            conditions = list(after.get("conditions") or ())
            _fill_times(conditions, before.get("conditions") or ())
            if conditions or before.get("conditions"):
                status["conditions"] = conditions
        else:
            status = dict(before)
        if not status.get("conditions"):
            status.pop("conditions", None)
        obj["status"] = status

    def validate(self, server: Server, request: Request, obj: Object, old: Object | None) -> list[FieldError]:
        if old is None:
            return _validate_spec(obj.get("spec") or {})
        return _validate_status(request.subresource, obj.get("status") or {}, old.get("status") or {})

    async def authorize_write(self, server: Server, request: Request, obj: Object, old: Object | None) -> None:
        spec: Mapping[str, Any] = obj.get("spec") or {}
        signer = spec.get("signerName", "")
        if old is None:
            if signer == CLIENT_SIGNER and "system:masters" in _requested_groups(spec.get("request", "")):
                raise errors.forbidden(
                    GROUP,
                    request.resource.plural,
                    obj.get("metadata", {}).get("name", ""),
                    f"use of {CLIENT_SIGNER} signer with system:masters group is not allowed",
                )
            return
        if request.subresource == "approval":
            self._require(server, request, "approve", signer, "approve")
        elif request.subresource == "status" and _signing_changed(obj, old):
            self._require(server, request, "sign", signer, "sign")

    def _require(self, server: Server, request: Request, verb: str, signer: str, deed: str) -> None:
        domain = signer.partition("/")[0]
        for name in (signer, f"{domain}/*"):
            if server.authz.authorize(Attributes(request.user, verb, GROUP, "signers", "", "", name)).allowed:
                return
        raise errors.forbidden(
            GROUP,
            request.resource.plural,
            request.name,
            f'user not permitted to {deed} requests with signerName "{signer}"',
        )

    def reset_paths(self, subresource: str) -> tuple[tuple[str, ...], ...]:
        if subresource == "approval":
            return (("spec",), ("status", "certificate"))
        if subresource == "status":
            return (("spec",),)
        return (("spec",), ("status",))


STRATEGIES: Final[dict[tuple[str, str], Strategy]] = {
    (GROUP, "CertificateSigningRequest"): CertificateSigningRequestStrategy(),
}


def pem_blocks(text: bytes) -> list[bytes]:
    """The types of the PEM blocks in a text, in order. Linear in its length, whatever begins and never ends in it."""
    found: list[bytes] = []
    position = end = 0
    while (begin := _BEGIN.search(text, position)) is not None:
        end = text.find(_END, begin.end()) if end < begin.end() else end
        if end < 0:
            break
        position = begin.end()
        if text.startswith(begin[1] + b"-----", end + len(_END)):
            found.append(begin[1])
            position = end + len(_END)
    return found


def parse_request(encoded: str) -> x509.CertificateSigningRequest:
    """The PKCS#10 request in ``spec.request``. Raises ValueError saying what is wrong with it."""
    try:
        pem = base64.b64decode(encoded, validate=True)
    except (binascii.Error, ValueError) as error:
        raise ValueError("PEM block type must be CERTIFICATE REQUEST") from error
    if pem_blocks(pem)[:1] not in ([b"CERTIFICATE REQUEST"], [b"NEW CERTIFICATE REQUEST"]):
        raise ValueError("PEM block type must be CERTIFICATE REQUEST")
    try:
        request = x509.load_pem_x509_csr(pem)
        valid = request.is_signature_valid
    except Exception as error:  # cryptography raises many kinds for malformed input
        raise ValueError("the certificate request cannot be parsed") from error
    if not valid:
        raise ValueError("the signature of the certificate request is not valid")
    return request


def _requested_groups(encoded: str) -> list[str]:
    try:
        subject = parse_request(encoded).subject
    except ValueError:
        return []
    return [str(attribute.value) for attribute in subject.get_attributes_for_oid(NameOID.ORGANIZATION_NAME)]


def _validate_spec(spec: Mapping[str, Any]) -> list[FieldError]:
    problems: list[FieldError] = []
    encoded = spec.get("request", "")
    try:
        parse_request(encoded)
    except ValueError as error:
        problems.append(errors.invalid_value("spec.request", encoded, str(error)))
    usages: Sequence[str] = spec.get("usages") or ()
    if not usages:
        problems.append(errors.required("spec.usages"))
    seen: set[str] = set()
    for index, usage in enumerate(usages):
        if usage in seen:
            problems.append(errors.duplicate(f"spec.usages[{index}]", usage))
        elif usage not in USAGES:
            problems.append(errors.not_supported(f"spec.usages[{index}]", usage, USAGES))
        seen.add(usage)
    signer = spec.get("signerName", "")
    if signer == _LEGACY_SIGNER:
        detail = "the legacy signerName is not allowed via this API version"
        problems.append(errors.invalid_value("spec.signerName", signer, detail))
    elif not signer:
        problems.append(errors.required("spec.signerName"))
    elif not _SIGNER_NAME.fullmatch(signer):
        detail = "must be a fully qualified domain and path of the form 'example.com/signer-name'"
        problems.append(errors.invalid_value("spec.signerName", signer, detail))
    seconds = spec.get("expirationSeconds")
    if seconds is not None and seconds < 600:
        detail = "may not specify a duration less than 600 seconds (10 minutes)"
        problems.append(errors.invalid_value("spec.expirationSeconds", seconds, detail))
    return problems


def _validate_status(endpoint: str, status: Mapping[str, Any], before: Mapping[str, Any]) -> list[FieldError]:
    path = "status.conditions"
    conditions: Sequence[Mapping[str, Any]] = status.get("conditions") or ()
    old: Sequence[Mapping[str, Any]] = before.get("conditions") or ()
    problems: list[FieldError] = []
    types = [condition.get("type", "") for condition in conditions]
    for index, condition in enumerate(conditions):
        at = f"{path}[{index}]"
        if not condition.get("type"):
            problems.append(errors.required(f"{at}.type"))
        if condition.get("type") in types[:index]:
            problems.append(errors.duplicate(f"{at}.type", condition["type"]))
        problems.extend(_validate_condition_status(condition, at))
    if "Approved" in types and "Denied" in types:
        second = next(t for t in reversed(types) if t in _DECISIONS)
        detail = "Approved and Denied conditions are mutually exclusive"
        problems.append(errors.invalid_value(path, second, detail))
    elif endpoint != "approval":
        problems.extend(
            errors.forbidden_field(path, f'updates may not add a condition of type "{kind}"')
            for kind in _DECISIONS
            if kind in types and not any(c.get("type") == kind for c in old)
        )
    for kind in (*_DECISIONS, "Failed"):
        earlier = [c for c in old if c.get("type") == kind]
        if not earlier:
            continue
        now = [c for c in conditions if c.get("type") == kind]
        if not now:
            problems.append(
                errors.forbidden_field(path, f'updates may not remove a condition of type "{kind}"'),
            )
        elif kind in _DECISIONS and endpoint != "approval" and now != earlier:
            problems.append(
                errors.forbidden_field(path, f'updates may not modify a condition of type "{kind}"'),
            )
    problems.extend(_validate_certificate(status.get("certificate"), before.get("certificate")))
    return problems


def _validate_condition_status(condition: Mapping[str, Any], at: str) -> list[FieldError]:
    value = condition.get("status", "")
    if not value:
        return [errors.required(f"{at}.status")]
    if condition.get("type") in (*_DECISIONS, "Failed"):
        return [] if value == "True" else [errors.not_supported(f"{at}.status", value, ("True",))]
    if value not in ("True", "False", "Unknown"):
        return [errors.not_supported(f"{at}.status", value, ("True", "False", "Unknown"))]
    return []


def _validate_certificate(encoded: str | None, before: str | None) -> list[FieldError]:
    path = "status.certificate"
    if before and encoded != before:
        return [errors.forbidden_field(path, "updates may not modify existing certificate content")]
    if not encoded or encoded == before:
        return []
    hidden = "<certificate data>"
    try:
        pem = base64.b64decode(encoded, validate=True)
    except (binascii.Error, ValueError):
        pem = b""
    blocks = pem_blocks(pem)
    if not blocks:
        return [errors.invalid_value(path, hidden, "must contain at least one CERTIFICATE PEM block")]
    if any(block != b"CERTIFICATE" for block in blocks):
        return [errors.invalid_value(path, hidden, "only CERTIFICATE PEM blocks are allowed")]
    try:
        x509.load_pem_x509_certificates(pem)
    except ValueError:
        return [errors.invalid_value(path, hidden, "must hold certificates that can be parsed")]
    return []


def _fill_times(conditions: list[Any], before: Sequence[Mapping[str, Any]]) -> None:
    """Give new conditions their times; a condition whose status did not change keeps its transition time."""
    now = timestamp(datetime.now(UTC))
    old = {condition.get("type"): condition for condition in before}
    for index, condition in enumerate(conditions):
        if not isinstance(condition, Mapping):
            continue
        earlier = old.get(condition.get("type"))
        filled = dict(condition)
        if not filled.get("lastUpdateTime"):
            filled["lastUpdateTime"] = earlier["lastUpdateTime"] if earlier and _same(earlier, filled) else now
        if not filled.get("lastTransitionTime"):
            keep = earlier and earlier.get("status") == filled.get("status") and earlier.get("lastTransitionTime")
            filled["lastTransitionTime"] = keep or now
        conditions[index] = filled


def _same(one: Mapping[str, Any], other: Mapping[str, Any]) -> bool:
    return all(one.get(key) == other.get(key) for key in ("type", "status", "reason", "message"))


def _signing_changed(obj: Object, old: Object) -> bool:
    after, before = obj.get("status") or {}, old.get("status") or {}

    def failed(status: Mapping[str, Any]) -> list[Any]:
        return [c for c in status.get("conditions") or () if c.get("type") == "Failed"]

    return bool(after.get("certificate") != before.get("certificate") or failed(after) != failed(before))


# --- the built-in signer -----------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Grant:
    """What a certificate shall say: the request's subject and names with validity and usages decided here."""

    request: x509.CertificateSigningRequest
    usages: tuple[str, ...]
    not_before: datetime
    not_after: datetime


@dataclass(frozen=True, slots=True)
class Refusal:
    """Why the signer will not sign; becomes the condition Failed."""

    message: str
    reason: str = "SignerValidationFailure"


def wants_signature(obj: Mapping[str, Any]) -> bool:
    """Whether the built-in signer has to act: approved, not failed, not yet issued, and its own signer name."""
    status: Mapping[str, Any] = obj.get("status") or {}
    types = {c.get("type") for c in status.get("conditions") or () if c.get("status") == "True"}
    return (
        (obj.get("spec") or {}).get("signerName") == CLIENT_SIGNER
        and "Approved" in types
        and not types & {"Denied", "Failed"}
        and not status.get("certificate")
    )


def sign(
    spec: Mapping[str, Any], now: datetime, authority_ends: datetime, longest: timedelta = timedelta(days=365)
) -> Grant | Refusal:
    """Decide on an approved request of the signer ``kubernetes.io/kube-apiserver-client``.

    The certificate begins five minutes ago, against clock skew. It lives ``expirationSeconds`` (at least ten minutes,
    at most ``longest``), without the wish ``longest``; lifetimes from eight hours up count from the beginning, shorter
    ones from now. It never outlives the authority.
    """
    usages = tuple(spec.get("usages") or ())
    for usage in usages:
        if usage not in _CLIENT_USAGES:
            return Refusal(f"invalid usage for client certificate: {usage}")
    if "client auth" not in usages:
        return Refusal("missing required usage for client certificate: client auth")
    try:
        request = parse_request(spec.get("request", ""))
    except ValueError as error:
        return Refusal(str(error))
    wish = spec.get("expirationSeconds")
    lifetime = longest if wish is None else min(max(timedelta(seconds=wish), timedelta(minutes=10)), longest)
    backdate = timedelta(minutes=5)
    not_after = now + lifetime - (backdate if lifetime >= timedelta(hours=8) else timedelta())
    return Grant(request, usages, now - backdate, min(not_after, authority_ends))
