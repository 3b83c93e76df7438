"""The token by which a paged list goes on: at which version, and after which object."""

from __future__ import annotations

import base64
import binascii
from dataclasses import dataclass
from typing import Final

import orjson

from merope.controlplane.errors import ApiError, bad_request, expired

_VERSION: Final = "meta.k8s.io/v1"
#: Go on with whatever is there now: the version of the first page is gone.
LATEST: Final = -1


@dataclass(frozen=True, slots=True)
class Continuation:
    """Where the next page starts: the objects after (namespace, name), as they were at ``version``."""

    version: int
    namespace: str
    name: str


def encode(version: int, namespace: str, name: str, *, namespaced_start: bool) -> str:
    """The token for the page after an object. ``namespaced_start``: keys hold the namespace as well."""
    start = f"{namespace}/{name}\0" if namespaced_start else f"{name}\0"
    raw = orjson.dumps({"v": _VERSION, "rv": version, "start": start})
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()


def decode(token: str, *, namespace: str, namespaced_start: bool) -> Continuation:
    """Read a token back; 400 for one that is none."""
    try:
        raw = base64.b64decode(token + "=" * (-len(token) % 4), altchars=b"-_", validate=True)
    except (binascii.Error, ValueError):
        raise _invalid("illegal base64 data at input byte 0") from None
    try:
        value = orjson.loads(raw)
    except ValueError:
        shown = chr(raw[0]) if raw else ""
        raise _invalid(f"invalid character '{shown}' looking for beginning of value") from None
    if not isinstance(value, dict) or value.get("v") != _VERSION:
        given = value.get("v", "") if isinstance(value, dict) else ""
        raise _invalid(f"server does not recognize this encoded version {given}")
    version, start = value.get("rv", 0), value.get("start", "")
    if not isinstance(version, int) or isinstance(version, bool) or version < LATEST or version == 0:
        raise _invalid("incorrect encoded start resourceVersion (version meta.k8s.io/v1)")
    if not isinstance(start, str) or not start or start.startswith("/") or ".." in start.split("/"):
        raise _invalid("encoded start key empty (version meta.k8s.io/v1)")
    start = start.removesuffix("\0")
    if namespaced_start:
        found_namespace, _, name = start.partition("/")
    else:
        found_namespace, name = namespace, start
    return Continuation(version, found_namespace, name)


def _invalid(problem: str) -> ApiError:
    return bad_request(f"invalid continue token: continue key is not valid: {problem}")


class ContinuationExpired(ApiError):
    """410 that carries a token with which the list can go on, inconsistently."""

    def __init__(self, token: str) -> None:
        base = expired(
            "The provided continue parameter is too old to display a consistent list result. You can start a new list "
            "without the continue parameter, or use the continue token in this response to retrieve the remainder of "
            "the results. Continuing with the provided token results in an inconsistent list - objects that were "
            "created, modified, or deleted between the time the first chunk was returned and now may show up in the "
            "list."
        )
        super().__init__(base.code, base.reason, base.message)
        self.token = token

    def status(self) -> dict[str, object]:
        """The body, with the token where clients look for it."""
        body = super().status()
        body["metadata"] = {"continue": self.token}
        return body
