"""Admission requests and answers, as webhooks see them, free of any transport.

A handler takes an ``AdmissionRequest`` and a ``Hub`` to ask, and gives the JSON patch it wants (None: none), or raises
``Denied``. What a request needs to know of the cluster (permissions of the requester, namespaces) it asks the ``Hub``.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

Manifest = dict[str, Any]
JSONPatch = list[dict[str, Any]]


@dataclass(frozen=True, slots=True)
class Permission:
    """A permission that somebody may have, as a SubjectAccessReview asks for it."""

    verb: str
    group: str
    resource: str
    subresource: str = ""
    name: str = ""
    namespace: str = ""

    def attributes(self) -> Manifest:
        """As ``resourceAttributes``."""
        stated = {
            "verb": self.verb,
            "group": self.group,
            "resource": self.resource,
            "subresource": self.subresource,
            "name": self.name,
            "namespace": self.namespace,
        }
        return {key: value for key, value in stated.items() if value}


@dataclass(frozen=True, slots=True)
class Requester:
    """Who makes a request."""

    username: str = ""
    uid: str = ""
    groups: tuple[str, ...] = ()
    extra: Mapping[str, tuple[str, ...]] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class AdmissionRequest:
    """One request that wants to be admitted. ``object`` is None for deletions, ``old`` for creations."""

    uid: str
    operation: str
    name: str = ""
    namespace: str = ""
    subresource: str = ""
    requester: Requester = field(default_factory=Requester)
    object: Manifest | None = None
    old: Manifest | None = None
    dry_run: bool = False


class Denied(Exception):
    """A request that is refused, with the status that the requester gets."""

    def __init__(self, code: int, reason: str, message: str, details: Mapping[str, Any] | None = None) -> None:
        super().__init__(message)
        self.code = code
        self.reason = reason
        self.message = message
        self.details = dict(details) if details else None

    def status(self) -> Manifest:
        """As the ``status`` of an admission response."""
        out: Manifest = {
            "metadata": {},
            "status": "Failure",
            "message": self.message,
            "reason": self.reason,
            "code": self.code,
        }
        if self.details:
            out["details"] = self.details
        return out


def bad_request(message: str) -> Denied:
    return Denied(400, "BadRequest", message)


def forbidden(group: str, resource: str, name: str, cause: str) -> Denied:
    """403 in Kubernetes' words: ``resource.group "name" is forbidden: cause``."""
    details = {"name": name, "group": group, "kind": resource}
    return Denied(403, "Forbidden", f'{resource}.{group} "{name}" is forbidden: {cause}', details)


class Hub(Protocol):
    """What handlers may ask."""

    async def allows(self, requester: Requester, permission: Permission) -> bool:
        """Whether ``requester`` has a permission (a SubjectAccessReview)."""
        ...

    async def namespace_phase(self, name: str) -> str:
        """``Active``, ``Terminating``, or empty where there is no such namespace."""
        ...


Handler = Callable[[AdmissionRequest, Hub], Awaitable[JSONPatch | None]]


def decode_review(review: Mapping[str, Any]) -> AdmissionRequest:
    """The request in an AdmissionReview (v1 and v1beta1 alike). Raises ValueError where there is none."""
    if not isinstance(review, Mapping):
        raise ValueError("an AdmissionReview is needed")
    request = review.get("request")
    if not isinstance(request, Mapping) or not request.get("uid"):
        raise ValueError("an AdmissionReview with a request is needed")
    user = _mapping(request, "userInfo")
    return AdmissionRequest(
        uid=_text(request, "uid"),
        operation=_text(request, "operation"),
        name=_text(request, "name"),
        namespace=_text(request, "namespace"),
        subresource=_text(request, "subResource"),
        requester=Requester(
            _text(user, "username"),
            _text(user, "uid"),
            _texts(user, "groups"),
            {key: _texts(extra, key) for extra in (_mapping(user, "extra"),) for key in extra},
        ),
        object=_object(request, "object"),
        old=_object(request, "oldObject"),
        dry_run=bool(request.get("dryRun")),
    )


def _text(holder: Mapping[str, Any], key: str) -> str:
    value = holder.get(key) or ""
    if not isinstance(value, str):
        raise ValueError(f"{key}: a string is needed")
    return value


def _texts(holder: Mapping[str, Any], key: str) -> tuple[str, ...]:
    values = holder.get(key) or ()
    if not isinstance(values, (list, tuple)) or not all(isinstance(value, str) for value in values):
        raise ValueError(f"{key}: a list of strings is needed")
    return tuple(values)


def _mapping(holder: Mapping[str, Any], key: str) -> Mapping[str, Any]:
    value = holder.get(key)
    if value is None:
        return {}
    if not isinstance(value, Mapping):
        raise ValueError(f"{key}: an object is needed")
    return value


def _object(holder: Mapping[str, Any], key: str) -> Manifest | None:
    return dict(_mapping(holder, key)) if holder.get(key) is not None else None
