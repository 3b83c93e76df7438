"""Paths outside the resources: discovery, OpenAPI, health, version, metrics, token issuer documents."""

from __future__ import annotations

from email.utils import formatdate
from time import time
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import parse_qsl

from multidict import CIMultiDict

from merope.controlplane.authz import Attributes
from merope.controlplane.errors import method_not_allowed, not_acceptable
from merope.controlplane.http import health
from merope.controlplane.http.message import JSON, TEXT, HttpRequest, HttpResponse, json_response, text_response
from merope.controlplane.http.negotiation import clauses
from merope.controlplane.http.requestinfo import RequestInfo
from merope.controlplane.resource import UserInfo

if TYPE_CHECKING:
    from merope.controlplane.server import Server

_YEAR: Final = 365 * 24 * 3600
_V2_PROTOBUF: Final = "application/com.github.proto-openapi.spec.v2.v1.0+protobuf"
_KEY_SET: Final = "application/jwk-set+json"
#: Whoever may get this path may read what happens inside.
_LOGS: Final = "/logs"
_HEALTH: Final = frozenset({"healthz", "livez", "readyz"})


class NonResourceHandler:
    """Answers what is not a request on a resource."""

    def __init__(self, server: Server) -> None:
        self._server = server

    async def respond(self, info: RequestInfo, http: HttpRequest, user: UserInfo) -> HttpResponse:
        """Answer an authorized request."""
        segments = [part for part in info.path.split("/") if part]
        if not segments:
            return json_response({"paths": self._paths()})
        root = segments[0]
        if root in ("api", "apis") and len(segments) <= (2 if root == "api" else 3):
            if http.method not in ("GET", "HEAD"):
                raise method_not_allowed()
            return self._server.discovery.respond(http, segments)
        if root in _HEALTH:
            return self._health(root, segments[1:], http, user)
        if http.method not in ("GET", "HEAD"):
            return _not_found()
        if root == "version" and len(segments) == 1:
            return json_response(self._server.version)
        if root == "openapi":
            return self._openapi(segments[1:], http)
        if root == "metrics" and len(segments) == 1:
            return HttpResponse(
                200,
                CIMultiDict({"Content-Type": "text/plain; version=0.0.4; charset=utf-8"}),
                self._server.render_metrics(),
            )
        if info.path == "/.well-known/openid-configuration":
            return _cacheable(json_response(self._server.tokens.discovery(self._server.url)))
        if info.path == "/openid/v1/jwks":
            _check_accepts(http, _KEY_SET)
            return _cacheable(json_response(self._server.tokens.key_set(), content_type=_KEY_SET))
        return _not_found()

    def _paths(self) -> list[str]:
        found = {
            "/.well-known/openid-configuration",
            "/api",
            "/apis",
            "/healthz",
            "/livez",
            "/metrics",
            "/openapi/v2",
            "/openapi/v3",
            "/openid/v1/jwks",
            "/readyz",
            "/version",
        }
        for resource in self._server.all_resources():
            if resource.group:
                found.add(f"/apis/{resource.group}")
                found.add(f"/apis/{resource.api_version}")
            else:
                found.add(f"/api/{resource.version}")
        for endpoint in _HEALTH:
            found.update(f"/{endpoint}/{name}" for name in self._server.checks(endpoint))
        return sorted(found)

    def _health(self, endpoint: str, rest: list[str], http: HttpRequest, user: UserInfo) -> HttpResponse:
        checks = self._server.checks(endpoint)
        if rest:
            return health.respond_one("/".join(rest), checks)
        pairs = parse_qsl(http.target.partition("?")[2], keep_blank_values=True)
        excluded = [value for key, value in pairs if key == "exclude"]
        return health.respond(endpoint, checks, http.query, excluded, self._problems(endpoint, user))

    def _problems(self, endpoint: str, user: UserInfo) -> list[str]:
        """The problems of the store, which name objects: in full for those who may read logs, else their number."""
        problems = self._server.store.problems() if endpoint != "livez" else []
        if not problems or self._server.authz.authorize(Attributes(user, "get", path=_LOGS)).allowed:
            return problems
        return [f"the store has problems ({len(problems)}), see the log"]

    def _openapi(self, segments: list[str], http: HttpRequest) -> HttpResponse:
        openapi = self._server.openapi
        if segments == ["v2"]:
            if "proto-openapi" in http.headers.get("Accept", ""):
                headers = {"Content-Type": _V2_PROTOBUF, "Vary": "Accept"}
                return HttpResponse(200, CIMultiDict(headers), openapi.v2_protobuf())
            return HttpResponse(200, CIMultiDict({"Content-Type": JSON, "Vary": "Accept"}), openapi.v2_json())
        if segments == ["v3"]:
            return HttpResponse(200, CIMultiDict({"Content-Type": TEXT, "Vary": "Accept"}), openapi.index())
        if not segments or segments[0] != "v3":
            return _not_found()
        key = "/".join(segments[1:])
        document = openapi.document(key)
        if document is None:
            return HttpResponse(404, CIMultiDict(), b"")
        data: Any
        data, digest = document
        headers = {"Content-Type": JSON, "Vary": "Accept", "ETag": f'"{digest}"'}
        wanted = http.query.get("hash")
        if wanted:
            if wanted != digest:
                location = f"/openapi/v3/{key}?hash={digest}"
                return HttpResponse(301, CIMultiDict({"Location": location, "Content-Type": TEXT}), b"")
            headers["Cache-Control"] = "public, immutable"
            headers["Expires"] = formatdate(time() + _YEAR, usegmt=True)
        if http.headers.get("If-None-Match") == headers["ETag"]:
            return HttpResponse(304, CIMultiDict(headers), b"")
        return HttpResponse(200, CIMultiDict(headers), data)


def _check_accepts(http: HttpRequest, media: str) -> None:
    """406 for a client that does not take the only form there is."""
    accept = http.headers.get("Accept", "")
    if accept and not any(clause.media in (media, "*/*", "application/*") for clause in clauses(accept)):
        raise not_acceptable(f"406: Not Acceptable\n\nAvailable representations: {media}", {})


def _cacheable(response: HttpResponse) -> HttpResponse:
    response.headers["Cache-Control"] = "public, max-age=3600"
    return response


def _not_found() -> HttpResponse:
    return text_response("404 page not found\n", 404)
