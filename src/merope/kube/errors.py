"""What can go wrong when talking to a Kubernetes API, as exceptions that a caller can tell apart.

Two families share the root ``KubeError``. ``ApiError`` means that the server answered and refused: it carries the
``Status`` that the server sent, and its subclass says which refusal (``NotFound``, ``Conflict``, ...). The others
mean that there was no usable answer: ``ConnectionFailed`` (nobody there, or the connection broke),
``CredentialRefused`` (the server is alive, but breaks off connections that carry our certificate) and
``ConfigError`` (we could not even start: bad kubeconfig, missing file, failing credential plugin).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import orjson

__all__ = [
    "AlreadyExists",
    "ApiError",
    "BadRequest",
    "ConfigError",
    "Conflict",
    "ConnectionFailed",
    "CredentialRefused",
    "Expired",
    "Forbidden",
    "Gone",
    "InternalError",
    "Invalid",
    "KubeError",
    "MethodNotSupported",
    "NotAcceptable",
    "NotFound",
    "RequestEntityTooLarge",
    "ServerTimeout",
    "ServiceUnavailable",
    "Timeout",
    "TooManyRequests",
    "Unauthorized",
    "UnsupportedMediaType",
    "error_from_response",
    "error_from_status",
]


class KubeError(Exception):
    """Root of everything that this package raises on purpose."""


class ConfigError(KubeError):
    """The configuration or a credential source is unusable; the message says which file or command and why."""


class ConnectionFailed(KubeError):
    """No response: refused, reset, timed out, or broken off in the middle.

    ``sent`` is False only where it is certain that the server never saw the request (the connection could not be
    made), so that repeating it is safe for every verb. ``early`` is True where the connection ended before the
    first byte of a response, which is also how some servers refuse a client certificate.
    """

    def __init__(self, message: str, *, sent: bool = True, early: bool = False) -> None:
        super().__init__(message)
        self.sent = sent
        self.early = early


class CredentialRefused(ConnectionFailed):
    """The server answers without our client certificate and breaks off the connection with it.

    That is what an expired, revoked or foreign certificate looks like where the server checks it in the handshake.
    """


class ApiError(KubeError):
    """The server answered with a failure. ``status`` is the decoded ``Status`` object."""

    def __init__(self, status: Mapping[str, Any], *, retry_after: float | None = None, request: str = "") -> None:
        self.status: dict[str, Any] = dict(status)
        self.code: int = int(status.get("code") or 0)
        self.reason: str = str(status.get("reason") or "")
        self.message: str = str(status.get("message") or self.reason or f"HTTP status {self.code}")
        self.request = request
        self.retried = False
        """Whether the request had been sent more than once: a DELETE that finds nothing may have been ours."""
        details = status.get("details")
        self.details: Mapping[str, Any] = details if isinstance(details, Mapping) else {}
        if retry_after is None and isinstance(self.details.get("retryAfterSeconds"), int):
            retry_after = float(self.details["retryAfterSeconds"])
        self.retry_after: float | None = retry_after or None
        super().__init__(f"{self.message} ({request})" if request else self.message)

    @property
    def causes(self) -> list[Mapping[str, Any]]:
        """The single complaints (``reason``, ``message``, ``field``) inside the failure; empty when there are none."""
        causes = self.details.get("causes")
        return [cause for cause in causes if isinstance(cause, Mapping)] if isinstance(causes, list) else []

    def has_cause(self, reason: str) -> bool:
        """Whether one of the causes has this reason (``FieldManagerConflict``, ``ResourceVersionTooLarge``, ...)."""
        return any(cause.get("reason") == reason for cause in self.causes)


class BadRequest(ApiError):
    """400: the request makes no sense to the server."""


class Unauthorized(ApiError):
    """401: the server doesn't know who we are (no credential, or one that it doesn't accept)."""


class Forbidden(ApiError):
    """403: the server knows who we are, and that identity may not do this."""


class NotFound(ApiError):
    """404: no such object, or no such resource in this API."""


class MethodNotSupported(ApiError):
    """405: the resource exists and doesn't have this verb."""


class NotAcceptable(ApiError):
    """406: the server can't answer in any form that was asked for."""


class Conflict(ApiError):
    """409: the object changed since it was read, or a field belongs to another manager."""


class AlreadyExists(Conflict):
    """409 on create: an object of this name is there. A subclass of ``Conflict``, as its status code is."""


class Gone(ApiError):
    """410: the version asked for is no longer in the server's history."""


class Expired(Gone):
    """410 with reason ``Expired``: a watch or page token that is too old."""


class RequestEntityTooLarge(ApiError):
    """413: the object is larger than the server takes."""


class UnsupportedMediaType(ApiError):
    """415: the server doesn't read this content or patch type."""


class Invalid(ApiError):
    """422: the object breaks its schema or a validation rule; ``causes`` names the fields."""


class TooManyRequests(ApiError):
    """429: the server sheds load. ``retry_after`` is in seconds. The client has already retried."""


class InternalError(ApiError):
    """500: something broke inside the server (a webhook that can't be reached, for instance)."""


class ServiceUnavailable(ApiError):
    """503: the server, or the extension behind it, isn't ready."""


class Timeout(ApiError):
    """504: the server gave up waiting; nothing says that the request had no effect."""


class ServerTimeout(Timeout):
    """504 or 500 with reason ``ServerTimeout``: the server asks to try later."""


_BY_REASON: Final[Mapping[str, type[ApiError]]] = {
    "BadRequest": BadRequest,
    "Unauthorized": Unauthorized,
    "Forbidden": Forbidden,
    "NotFound": NotFound,
    "MethodNotAllowed": MethodNotSupported,
    "NotAcceptable": NotAcceptable,
    "Conflict": Conflict,
    "AlreadyExists": AlreadyExists,
    "Gone": Gone,
    "Expired": Expired,
    "RequestEntityTooLarge": RequestEntityTooLarge,
    "UnsupportedMediaType": UnsupportedMediaType,
    "Invalid": Invalid,
    "TooManyRequests": TooManyRequests,
    "InternalError": InternalError,
    "ServiceUnavailable": ServiceUnavailable,
    "Timeout": Timeout,
    "ServerTimeout": ServerTimeout,
}

_BY_CODE: Final[Mapping[int, tuple[type[ApiError], str]]] = {
    400: (BadRequest, "BadRequest"),
    401: (Unauthorized, "Unauthorized"),
    403: (Forbidden, "Forbidden"),
    404: (NotFound, "NotFound"),
    405: (MethodNotSupported, "MethodNotAllowed"),
    406: (NotAcceptable, "NotAcceptable"),
    409: (Conflict, "Conflict"),
    410: (Gone, "Gone"),
    413: (RequestEntityTooLarge, "RequestEntityTooLarge"),
    415: (UnsupportedMediaType, "UnsupportedMediaType"),
    422: (Invalid, "Invalid"),
    429: (TooManyRequests, "TooManyRequests"),
    500: (InternalError, "InternalError"),
    503: (ServiceUnavailable, "ServiceUnavailable"),
    504: (Timeout, "Timeout"),
}


def error_from_status(
    status: Mapping[str, Any], *, retry_after: float | None = None, request: str = "", code: int = 0
) -> ApiError:
    """The exception for a ``Status`` object (a response body, or the object of a watch's ERROR event).

    The reason decides; where the server gave none that we know, the code does.
    """
    body = dict(status)
    body["code"] = int(body.get("code") or code or 500)
    by_code, reason = _BY_CODE.get(body["code"], (ApiError, ""))
    kind = _BY_REASON.get(str(body.get("reason") or ""), by_code)
    if not body.get("reason"):
        body["reason"] = reason
    return kind(body, retry_after=retry_after, request=request)


def error_from_response(code: int, headers: Mapping[str, str], body: bytes, *, request: str = "") -> ApiError:
    """The exception for a failed HTTP response, also where a proxy answered with something that is no ``Status``."""
    status: dict[str, Any] | None = None
    try:
        decoded = orjson.loads(body)
        if isinstance(decoded, dict) and decoded.get("kind") == "Status":
            status = decoded
    except ValueError:
        pass
    if status is None:
        text = body[:512].decode("utf-8", "replace").strip()
        status = {"kind": "Status", "apiVersion": "v1", "status": "Failure", "message": text or f"HTTP status {code}"}
    return error_from_status(status, retry_after=_retry_after(headers), request=request, code=code)


def _retry_after(headers: Mapping[str, str]) -> float | None:
    value = headers.get("Retry-After")
    try:
        return max(0.0, float(value)) if value is not None else None
    except ValueError:
        return None  # an HTTP date: no Kubernetes server sends one
