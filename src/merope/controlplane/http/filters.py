"""The chain around every request: identity, permission, deadline, the right handler, headers, metrics.

Whatever goes wrong inside becomes a Status here; nothing escapes to the transport but cancellation.
"""

from __future__ import annotations

import asyncio
import logging
import time
import uuid
from typing import TYPE_CHECKING, Any, Final

import orjson
from multidict import CIMultiDict

from merope.controlplane import impersonation
from merope.controlplane.authz import Attributes, quoted
from merope.controlplane.errors import ApiError, bad_request, forbidden, forbidden_path, internal, timeout
from merope.controlplane.http.message import JSON, HttpRequest, HttpResponse
from merope.controlplane.http.nonresource import NonResourceHandler
from merope.controlplane.http.requestinfo import RequestInfo, classify
from merope.controlplane.http.rest import RestHandler
from merope.controlplane.resource import Request, UserInfo

if TYPE_CHECKING:
    from merope.controlplane.server import Server

_logger = logging.getLogger(__name__)

#: Seconds that a request may take which is not long-running.
REQUEST_TIMEOUT: Final = 60.0
_WARNINGS_LIMIT: Final = 4096
_WARNING_CUT: Final = 256
#: Longest header value that is taken over from a request as its audit id.
_AUDIT_ID_LIMIT: Final = 64


class Filters:
    """Handles the requests of one server."""

    def __init__(self, server: Server) -> None:
        self._server = server
        self._rest = RestHandler(server)
        self._nonresource = NonResourceHandler(server)

    async def handle(self, http: HttpRequest) -> HttpResponse:
        """Answer one request."""
        started = time.perf_counter()
        metrics = self._server.metrics
        info = classify(http.method, http.path, http.query)
        warnings: list[str] = []
        metrics.in_flight += 1
        try:
            if info.long_running:
                response = await self._respond(info, http, warnings)
            else:
                async with asyncio.timeout(REQUEST_TIMEOUT):
                    response = await self._respond(info, http, warnings)
        except ApiError as error:
            response = _failure(error, http)
        except TimeoutError:
            response = _failure(timeout("request did not complete within the allotted timeout"), http)
        except Exception as error:
            _logger.exception("%s %s failed", http.method, http.path)
            response = _failure(internal(f"{type(error).__name__}: {error}"), http)
        finally:
            metrics.in_flight -= 1
        headers = response.headers
        headers["Audit-Id"] = _audit_id(http)
        if "Cache-Control" not in headers:
            headers["Cache-Control"] = "no-cache, private"
        for warning in _shortened(warnings):
            headers.add("Warning", warning)
        known = not info.is_resource or self._server.lookup(info.group, info.version, info.resource) is not None
        metrics.record(info, response.status, time.perf_counter() - started, known=known)
        return response

    async def _respond(self, info: RequestInfo, http: HttpRequest, warnings: list[str]) -> HttpResponse:
        _check_text(http)
        user = await self._identify(http)
        if not info.is_resource:
            self._authorize_path(user, info)
            return await self._nonresource.respond(info, http, user)
        self._authorize(user, info)
        request = self._rest.prepare(info, http, user)
        if isinstance(request, HttpResponse):
            return request
        request.warnings = warnings
        request.warn(request.resource.deprecation_warning)
        return await self._rest.respond(info, http, request)

    async def _identify(self, http: HttpRequest) -> UserInfo:
        try:
            user = await self._server.authn.authenticate(http)
            headers: Any = http.headers
            if any(key[:12].lower() == "impersonate-" for key in headers):
                user = impersonation.impersonate(self._server.authz, user, headers)
        except ApiError as error:
            raise _guarded(error) from None
        return user

    def _authorize(self, user: UserInfo, info: RequestInfo) -> None:
        wanted = Attributes(user, info.verb, info.group, info.resource, info.subresource, info.namespace, info.name)
        decision = self._server.authz.authorize(wanted)
        if not decision.allowed:
            cause = wanted.denial() + (f": {decision.reason}" if decision.reason else "")
            raise _guarded(forbidden(info.group, info.resource, info.name, cause))

    def _authorize_path(self, user: UserInfo, info: RequestInfo) -> None:
        decision = self._server.authz.authorize(Attributes(user, info.verb, path=info.path))
        if not decision.allowed:
            cause = f'User {quoted(user.username)} cannot {info.verb} path "{info.path}"'
            raise _guarded(forbidden_path(cause + (f": {decision.reason}" if decision.reason else "")))

    def authorize_create(self, request: Request) -> None:
        """A PUT that creates needs the permission to create as well; 403."""
        resource = request.resource
        wanted = Attributes(
            request.user, "create", resource.group, resource.plural, "", request.namespace, request.name
        )
        decision = self._server.authz.authorize(wanted)
        if not decision.allowed:
            cause = wanted.denial() + (f": {decision.reason}" if decision.reason else "")
            raise forbidden(resource.group, resource.plural, request.name, cause)


def _check_text(http: HttpRequest) -> None:
    """Refuse headers that are no UTF-8: names made of them could be neither compared nor shown; 400."""
    for value in (http.target, *http.headers.values()):
        if not value.isascii():
            try:
                value.encode()
            except UnicodeEncodeError:
                raise bad_request("the headers of the request are not UTF-8") from None


def _guarded(error: ApiError) -> ApiError:
    """The error as the filters before the API send it: browsers shall not guess its type."""
    error.headers["X-Content-Type-Options"] = "nosniff"
    return error


def _failure(error: ApiError, http: HttpRequest) -> HttpResponse:
    headers = CIMultiDict(error.headers)
    headers["Content-Type"] = JSON
    return HttpResponse(error.code, headers, b"" if http.method == "HEAD" else orjson.dumps(error.status()))


def _audit_id(http: HttpRequest) -> str:
    given = http.headers.get("Audit-ID", "")
    if given and len(given) <= _AUDIT_ID_LIMIT and given.isprintable() and given.isascii():
        return given
    return str(uuid.uuid4())


def _shortened(warnings: list[str]) -> list[str]:
    """The values of the Warning headers."""
    texts = list(dict.fromkeys(warnings))
    if sum(map(len, texts)) > _WARNINGS_LIMIT:
        texts = [text[:_WARNING_CUT] for text in texts]
    out: list[str] = []
    total = 0
    for text in texts:
        escaped = "".join(char for char in text if char.isprintable()).replace("\\", "\\\\").replace('"', '\\"')
        total += len(escaped)
        if total > _WARNINGS_LIMIT:
            break
        out.append(f'299 - "{escaped}"')
    return out
