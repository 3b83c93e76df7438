"""Questions to the server that store nothing: may somebody do this, who is this token, who am I."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final

from merope.controlplane import errors
from merope.controlplane.authz import Attributes
from merope.controlplane.resource import Object, Request, UserInfo
from merope.controlplane.tokens import TokenError, timestamp

if TYPE_CHECKING:
    from merope.controlplane.server import Server

Handler = Callable[["Server", Request, Object], Awaitable[Object]]

_AUTHENTICATION: Final = "authentication.k8s.io"
_AUTHORIZATION: Final = "authorization.k8s.io"
_EXACTLY_ONE: Final = "exactly one of nonResourceAttributes or resourceAttributes must be specified"


async def subject_access_review(server: Server, request: Request, obj: Object) -> Object:
    """May the user that the spec names do this? (SubjectAccessReview, LocalSubjectAccessReview)"""
    spec: Mapping[str, Any] = obj.get("spec") or {}
    local = request.resource.kind == "LocalSubjectAccessReview"
    if local:
        _check_local(request, spec)
    _check_attributes(spec)
    if not spec.get("user") and not spec.get("groups"):
        raise _invalid("spec.user", spec.get("user", ""), "at least one of user or group must be specified")
    extra = {key: tuple(values) for key, values in (spec.get("extra") or {}).items()}
    user = UserInfo(spec.get("user", ""), tuple(spec.get("groups") or ()), spec.get("uid", ""), extra)
    return {**obj, "status": _answer(server, user, spec)}


async def self_subject_access_review(server: Server, request: Request, obj: Object) -> Object:
    """May the caller do this?"""
    spec: Mapping[str, Any] = obj.get("spec") or {}
    _check_attributes(spec)
    return {**obj, "status": _answer(server, request.user, spec)}


async def self_subject_rules_review(server: Server, request: Request, obj: Object) -> Object:
    """What may the caller do in a namespace?"""
    namespace = (obj.get("spec") or {}).get("namespace", "")
    if not namespace:
        raise errors.bad_request("no namespace on request")
    rules, problems = server.authz.rules_for(request.user, namespace)
    status: Object = {
        "resourceRules": [rule.to_dict() for rule in rules if not rule.urls],
        "nonResourceRules": [rule.to_dict() for rule in rules if rule.urls],
        "incomplete": bool(problems),
    }
    if problems:
        status["evaluationError"] = ", ".join(problems)
    return {"kind": obj["kind"], "apiVersion": obj["apiVersion"], "metadata": {}, "spec": {}, "status": status}


async def token_review(server: Server, request: Request, obj: Object) -> Object:
    """Whose token is this?"""
    spec: Mapping[str, Any] = obj.get("spec") or {}
    token = spec.get("token", "")
    if not token:
        raise errors.bad_request("token is required for TokenReview in authentication")
    try:
        verified = server.authn.verify_token(token, spec.get("audiences") or ())
    except TokenError as error:
        return {**obj, "status": {"user": {}, "error": str(error)}}
    status = {"authenticated": True, "user": verified.user.to_dict(), "audiences": list(verified.audiences)}
    return {**obj, "status": status}


async def self_subject_review(server: Server, request: Request, obj: Object) -> Object:
    """Who am I?"""
    return {
        "kind": obj["kind"],
        "apiVersion": obj["apiVersion"],
        "metadata": {"creationTimestamp": timestamp(datetime.now(UTC))},
        "status": {"userInfo": request.user.to_dict()},
    }


HANDLERS: Final[dict[tuple[str, str], Handler]] = {
    (_AUTHORIZATION, "SubjectAccessReview"): subject_access_review,
    (_AUTHORIZATION, "LocalSubjectAccessReview"): subject_access_review,
    (_AUTHORIZATION, "SelfSubjectAccessReview"): self_subject_access_review,
    (_AUTHORIZATION, "SelfSubjectRulesReview"): self_subject_rules_review,
    (_AUTHENTICATION, "TokenReview"): token_review,
    (_AUTHENTICATION, "SelfSubjectReview"): self_subject_review,
}


def _answer(server: Server, user: UserInfo, spec: Mapping[str, Any]) -> Object:
    decision = server.authz.authorize(_attributes(user, spec))
    status: Object = {"allowed": decision.allowed}
    if decision.reason:
        status["reason"] = decision.reason
    return status


def _attributes(user: UserInfo, spec: Mapping[str, Any]) -> Attributes:
    path: Mapping[str, Any] | None = spec.get("nonResourceAttributes")
    if path is not None:
        return Attributes(user, path.get("verb", ""), path=path.get("path", "") or "/")
    wanted: Mapping[str, Any] = spec.get("resourceAttributes") or {}
    return Attributes(
        user,
        wanted.get("verb", ""),
        wanted.get("group", ""),
        wanted.get("resource", ""),
        wanted.get("subresource", ""),
        wanted.get("namespace", ""),
        wanted.get("name", ""),
    )


def _check_attributes(spec: Mapping[str, Any]) -> None:
    resource, path = spec.get("resourceAttributes"), spec.get("nonResourceAttributes")
    if resource is None and path is None:
        raise _invalid("spec.resourceAttributes", None, _EXACTLY_ONE)
    if resource is not None and path is not None:
        raise _invalid("spec.nonResourceAttributes", path, "cannot be specified in combination with resourceAttributes")


def _check_local(request: Request, spec: Mapping[str, Any]) -> None:
    wanted = spec.get("resourceAttributes")
    if spec.get("nonResourceAttributes") is not None:
        raise _invalid(
            "spec.nonResourceAttributes", spec["nonResourceAttributes"], "disallowed on this kind of request"
        )
    namespace = (wanted or {}).get("namespace", "")
    if wanted is not None and namespace != request.namespace:
        raise errors.bad_request(
            f"spec.resourceAttributes.namespace must match namespace: {namespace} != {request.namespace}"
        )


def _invalid(field: str, value: Any, detail: str) -> errors.ApiError:
    return errors.invalid(_AUTHORIZATION, "", "", [errors.invalid_value(field, value, detail)])
