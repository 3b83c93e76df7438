"""What a request asks for, read from its method and path alone, as authorization, audit and metrics see it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from urllib.parse import unquote

from merope.lang.selectors import SelectorError, parse_field_selector

_VERBS = {
    "POST": "create",
    "GET": "get",
    "HEAD": "get",
    "PUT": "update",
    "PATCH": "patch",
    "DELETE": "delete",
}
_PREFIXES = ("api", "apis")
_NAMESPACE_SUBRESOURCES = ("status", "finalize")
#: Longest path and selector whose classification is kept: what is kept must not grow with what clients send.
_KEPT_LENGTH = 512
_LONG_RUNNING_SUBRESOURCES = frozenset({"attach", "exec", "proxy", "log", "portforward"})


@dataclass(frozen=True, slots=True)
class RequestInfo:
    """A classified request. Non-resource requests have only ``path`` and ``verb`` (the method in lower case).

    ``name`` may come from a field selector that pins ``metadata.name``; ``path_name`` is that of the path only.
    ``parts`` are the segments from the resource on.
    """

    path: str
    verb: str
    is_resource: bool = False
    group: str = ""
    version: str = ""
    namespace: str = ""
    resource: str = ""
    name: str = ""
    path_name: str = ""
    subresource: str = ""
    parts: tuple[str, ...] = ()
    namespaced_path: bool = False

    @property
    def long_running(self) -> bool:
        """Whether the request deadline does not apply."""
        return self.verb in ("watch", "proxy") or self.subresource in _LONG_RUNNING_SUBRESOURCES


def classify(method: str, path: str, query: Mapping[str, str]) -> RequestInfo:
    """Classify a request; ``path`` is percent-encoded as sent."""
    watching = query.get("watch")
    selector = query.get("fieldSelector", "") if method in ("GET", "HEAD", "DELETE") else ""
    if len(path) + len(selector) > _KEPT_LENGTH:
        return _classify.__wrapped__(method, path, watching, selector)
    return _classify(method, path, watching, selector)


def is_true(value: str | None) -> bool:
    """How a boolean query parameter reads where its mere presence counts."""
    return value is not None and value.lower() not in ("false", "0")


@lru_cache(maxsize=4096)
def _classify(method: str, path: str, watching: str | None, selector: str) -> RequestInfo:
    segments = [unquote(part) for part in path.split("/") if part]
    plain = RequestInfo(path=unquote(path), verb=method.lower())
    if len(segments) < 3 or segments[0] not in _PREFIXES:
        return plain
    if segments[0] == "api":
        group, version, rest = "", segments[1], segments[2:]
    else:
        if len(segments) < 4:
            return plain
        group, version, rest = segments[1], segments[2], segments[3:]
    verb = _VERBS.get(method, "")
    if rest[0] in ("watch", "proxy"):
        verb = rest[0]
        rest = rest[1:]
        if not rest:
            return plain
    namespace = ""
    namespaced_path = False
    if rest[0] == "namespaces" and len(rest) > 1:
        namespace = rest[1]
        if len(rest) > 2 and rest[2] not in _NAMESPACE_SUBRESOURCES:
            rest = rest[2:]
            namespaced_path = True
    resource = rest[0]
    name = path_name = rest[1] if len(rest) > 1 else ""
    subresource = rest[2] if len(rest) > 2 else ""
    if not name:
        if verb == "get":
            verb = "watch" if is_true(watching) else "list"
        elif verb == "delete":
            verb = "deletecollection"
        if selector and verb in ("list", "watch", "deletecollection"):
            name = _pinned_name(selector)
    return RequestInfo(
        path=plain.path,
        verb=verb,
        is_resource=True,
        group=group,
        version=version,
        namespace=namespace,
        resource=resource,
        name=name,
        path_name=path_name,
        subresource=subresource,
        parts=tuple(rest),
        namespaced_path=namespaced_path,
    )


def _pinned_name(text: str) -> str:
    """The one name that a field selector allows, so that ``resourceNames`` of RBAC rules apply to list and watch."""
    try:
        selector = parse_field_selector(text)
    except SelectorError:
        return ""
    for term in selector.terms:
        if term.path == "metadata.name" and not term.negated:
            value = term.value
            return value if value not in (".", "..") and "/" not in value and "%" not in value else ""
    return ""
