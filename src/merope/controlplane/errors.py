"""Failures as the API server reports them: an exception that carries a Kubernetes Status.

One constructor for each class of failure, so that code, reason, message and details agree with what clients match on.
``FieldError`` is one complaint about one field; ``invalid`` turns a list of them into the 422 that kubectl prints as
bullets.
"""

from __future__ import annotations

import html
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import orjson

REQUEST_LIMIT: Final = 3 * 1024 * 1024


class ApiError(Exception):
    """A request that failed, with the Status that the client gets.

    ``headers`` are response headers that belong to the failure (``Retry-After``).
    """

    def __init__(
        self,
        code: int,
        reason: str,
        message: str,
        details: Mapping[str, Any] | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(message)
        self.code = code
        self.reason = reason
        self.message = message
        self.details = dict(details) if details is not None else None
        self.headers = dict(headers or {})
        retry = (self.details or {}).get("retryAfterSeconds")
        if retry is not None:
            self.headers.setdefault("Retry-After", str(retry))

    def status(self) -> dict[str, Any]:
        """The body of the response."""
        body: dict[str, Any] = {
            "kind": "Status",
            "apiVersion": "v1",
            "metadata": {},
            "status": "Failure",
            "message": self.message,
        }
        if self.reason:
            body["reason"] = self.reason
        if self.details is not None:
            body["details"] = self.details
        body["code"] = self.code
        return body


# --- complaints about fields -------------------------------------------------------------------------------------

REQUIRED: Final = "FieldValueRequired"
INVALID: Final = "FieldValueInvalid"
TYPE_INVALID: Final = "FieldValueTypeInvalid"
NOT_SUPPORTED: Final = "FieldValueNotSupported"
DUPLICATE: Final = "FieldValueDuplicate"
FORBIDDEN: Final = "FieldValueForbidden"
TOO_LONG: Final = "FieldValueTooLong"
TOO_MANY: Final = "FieldValueTooMany"
NOT_FOUND: Final = "FieldValueNotFound"
INTERNAL: Final = "InternalError"

_LABELS: Final = {
    REQUIRED: "Required value",
    INVALID: "Invalid value",
    TYPE_INVALID: "Invalid value",
    NOT_SUPPORTED: "Unsupported value",
    DUPLICATE: "Duplicate value",
    FORBIDDEN: "Forbidden",
    TOO_LONG: "Too long",
    TOO_MANY: "Too many",
    NOT_FOUND: "Not found",
    INTERNAL: "Internal error",
}
_WITHOUT_VALUE: Final = frozenset({REQUIRED, FORBIDDEN, TOO_LONG, INTERNAL})


@dataclass(frozen=True, slots=True)
class FieldError:
    """One complaint: where (``spec.x[0].y``), which class, the offending value, and what was expected.

    ``omit_value`` leaves the value out of the text where the rule has nothing useful to show (CEL on objects).
    """

    field: str
    type: str
    value: Any = None
    detail: str = ""
    omit_value: bool = False

    @property
    def message(self) -> str:
        """The text without the field: what a Status cause holds."""
        text = _LABELS[self.type]
        if self.type not in _WITHOUT_VALUE and not self.omit_value:
            text += f": {render_value(self.value)}"
        return f"{text}: {self.detail}" if self.detail else text

    def __str__(self) -> str:
        return f"{self.field}: {self.message}"


def render_value(value: Any) -> str:
    """A value as validation messages print it: strings quoted, scalars bare, the rest as compact JSON."""
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int | float):
        return repr(value)
    return orjson.dumps(value, option=orjson.OPT_SORT_KEYS).decode()


def required(field: str, detail: str = "") -> FieldError:
    return FieldError(field, REQUIRED, detail=detail)


def invalid_value(field: str, value: Any, detail: str) -> FieldError:
    return FieldError(field, INVALID, value, detail)


def not_supported(field: str, value: Any, supported: Iterable[str]) -> FieldError:
    return FieldError(
        field, NOT_SUPPORTED, value, "supported values: " + ", ".join(render_value(str(v)) for v in supported)
    )


def duplicate(field: str, value: Any) -> FieldError:
    return FieldError(field, DUPLICATE, value)


def forbidden_field(field: str, detail: str) -> FieldError:
    return FieldError(field, FORBIDDEN, detail=detail)


# --- statuses ----------------------------------------------------------------------------------------------------


def qualified(group: str, name: str) -> str:
    """``deployments.apps``; the core group has no suffix."""
    return f"{name}.{group}" if group else name


def _about(group: str, kind: str, name: str) -> dict[str, Any]:
    details: dict[str, Any] = {}
    if name:
        details["name"] = name
    if group:
        details["group"] = group
    if kind:
        details["kind"] = kind
    return details


def unknown_path() -> ApiError:
    return ApiError(404, "NotFound", "the server could not find the requested resource", {})


def not_found(group: str, plural: str, name: str) -> ApiError:
    return ApiError(404, "NotFound", f'{qualified(group, plural)} "{name}" not found', _about(group, plural, name))


def already_exists(group: str, plural: str, name: str) -> ApiError:
    return ApiError(
        409, "AlreadyExists", f'{qualified(group, plural)} "{name}" already exists', _about(group, plural, name)
    )


MODIFIED: Final = "the object has been modified; please apply your changes to the latest version and try again"


def conflict(group: str, plural: str, name: str, cause: str = MODIFIED) -> ApiError:
    return ApiError(
        409,
        "Conflict",
        f'Operation cannot be fulfilled on {qualified(group, plural)} "{name}": {cause}',
        _about(group, plural, name),
    )


def invalid(group: str, kind: str, name: str, errors: Sequence[FieldError]) -> ApiError:
    """422; ``kind`` is the Kind (in a few places of the API the plural, as clients see it there)."""
    texts = list(dict.fromkeys(str(error) for error in errors))
    text = texts[0] if len(texts) == 1 else "[" + ", ".join(texts) + "]"
    details = _about(group, kind, name)
    details["causes"] = [{"reason": e.type, "message": e.message, "field": e.field} for e in errors]
    return ApiError(422, "Invalid", f'{qualified(group, kind)} "{name}" is invalid: {text}', details)


def bad_request(message: str) -> ApiError:
    return ApiError(400, "BadRequest", message)


def unauthorized() -> ApiError:
    return ApiError(401, "Unauthorized", "Unauthorized")


def forbidden(group: str, plural: str, name: str, cause: str) -> ApiError:
    """403 about a resource; ``cause`` is what follows ``is forbidden:`` and is HTML-escaped as the reference does."""
    about = f' "{name}"' if name else ""
    return ApiError(
        403,
        "Forbidden",
        f"{qualified(group, plural)}{about} is forbidden: {html.escape(cause, quote=False)}",
        _about(group, plural, name),
    )


def forbidden_path(message: str) -> ApiError:
    return ApiError(403, "Forbidden", f"forbidden: {html.escape(message, quote=False)}", {})


def method_not_allowed() -> ApiError:
    """405 of a built-in resource."""
    return ApiError(405, "MethodNotAllowed", "the server does not allow this method on the requested resource", {})


def verb_not_supported(group: str, plural: str, verb: str) -> ApiError:
    """405 of a custom resource."""
    return ApiError(
        405,
        "MethodNotAllowed",
        f'{verb} is not supported on resources of kind "{qualified(group, plural)}"',
        _about(group, plural, ""),
    )


def not_acceptable(message: str, details: Mapping[str, Any] | None = None) -> ApiError:
    return ApiError(406, "NotAcceptable", message, details)


def unsupported_media_type(message: str, details: Mapping[str, Any] | None = None) -> ApiError:
    return ApiError(415, "UnsupportedMediaType", message, details)


def expired(message: str) -> ApiError:
    return ApiError(410, "Expired", message)


def request_too_large(limit: int = REQUEST_LIMIT) -> ApiError:
    return ApiError(413, "RequestEntityTooLarge", f"Request entity too large: limit is {limit}")


def too_many_requests(message: str, retry_after: int = 1) -> ApiError:
    return ApiError(429, "TooManyRequests", message, {"retryAfterSeconds": retry_after})


def timeout(message: str) -> ApiError:
    return ApiError(504, "Timeout", f"Timeout: {message}")


def too_large_resource_version(requested: int, current: int, *, retry: bool = True) -> ApiError:
    details: dict[str, Any] = {
        "causes": [{"reason": "ResourceVersionTooLarge", "message": "Too large resource version"}],
    }
    if retry:
        details["retryAfterSeconds"] = 1
    return ApiError(504, "Timeout", f"Timeout: Too large resource version: {requested}, current: {current}", details)


def internal(message: str) -> ApiError:
    return ApiError(500, "InternalError", f"Internal error occurred: {message}", {"causes": [{"message": message}]})


def service_unavailable(message: str, retry_after: int = 1) -> ApiError:
    return ApiError(503, "ServiceUnavailable", message, {"retryAfterSeconds": retry_after})
