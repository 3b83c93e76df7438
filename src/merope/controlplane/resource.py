"""What the server knows of a resource, and what it knows of a request.

A ``Resource`` is one served (group, version, plural): its names, verbs, subresources, type graph and ``Strategy``. A
``Strategy`` holds what differs from kind to kind (defaults, validation, what a write may change); the registry holds
what is the same for all. A ``Request`` is a request after authentication, routing and option parsing.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, NamedTuple

from merope.controlplane.errors import FieldError
from merope.lang.schema import ANY, Node

if TYPE_CHECKING:
    from merope.controlplane.server import Server

Object = dict[str, Any]


class GroupResource(NamedTuple):
    """Names a resource independent of version; also the key under which its objects are stored."""

    group: str
    plural: str

    def __str__(self) -> str:
        return f"{self.plural}.{self.group}" if self.group else self.plural


class GroupVersionKind(NamedTuple):
    """Names a type."""

    group: str
    version: str
    kind: str

    @property
    def api_version(self) -> str:
        return f"{self.group}/{self.version}" if self.group else self.version


@dataclass(frozen=True, slots=True)
class UserInfo:
    """Who asks: the result of authentication, or of impersonation."""

    username: str
    groups: tuple[str, ...] = ()
    uid: str = ""
    extra: Mapping[str, tuple[str, ...]] = field(default_factory=dict, hash=False)

    @property
    def is_master(self) -> bool:
        """Whether authorization and escalation checks do not apply (group ``system:masters``)."""
        return "system:masters" in self.groups

    def to_dict(self) -> Object:
        """As ``UserInfo`` of authentication.k8s.io; empty members are left out."""
        out: Object = {}
        if self.username:
            out["username"] = self.username
        if self.uid:
            out["uid"] = self.uid
        if self.groups:
            out["groups"] = list(self.groups)
        if self.extra:
            out["extra"] = {key: list(values) for key, values in self.extra.items()}
        return out


#: The identity of the server's own controllers where no narrower one is due.
APISERVER = UserInfo("system:apiserver", ("system:masters", "system:authenticated"))


@dataclass(frozen=True, slots=True)
class Subresource:
    """A path below an object: what it reads and writes and who handles it.

    ``kind`` is the type of its body (Scale, TokenRequest; the parent's own type for status). ``accepts`` are further
    body types. ``verbs`` as discovery names them.
    """

    name: str
    kind: GroupVersionKind
    verbs: tuple[str, ...]
    accepts: tuple[GroupVersionKind, ...] = ()


@dataclass(slots=True)
class Options:
    """Query options of a request, parsed and validated.

    ``field_validation`` is ``Ignore``, ``Warn`` or ``Strict``; ``field_manager`` is never empty (derived from the
    User-Agent where the query has none), ``explicit_manager`` tells whether the query named it.
    """

    dry_run: bool = False
    field_manager: str = "unknown"
    explicit_manager: bool = False
    field_validation: str = "Warn"
    force: bool | None = None
    query: Mapping[str, str] = field(default_factory=dict)


@dataclass(slots=True)
class Request:
    """An authorized request on a resource. ``warnings`` become ``Warning`` headers, once each, in order."""

    user: UserInfo
    verb: str
    resource: Resource
    namespace: str = ""
    name: str = ""
    subresource: str = ""
    options: Options = field(default_factory=Options)
    user_agent: str = ""
    #: A request of the server's own parts: no permission is asked for.
    trusted: bool = False
    #: The DeleteOptions of a deletion, as admission is shown them (kind and apiVersion left out).
    deletion: Mapping[str, Any] = field(default_factory=dict)
    warnings: list[str] = field(default_factory=list)

    def warn(self, text: str) -> None:
        if text and text not in self.warnings:
            self.warnings.append(text)


#: Answers a POST to a virtual kind or subresource: (server, request, decoded body) to the response's object.
Handler = Callable[["Server", Request, Object], Awaitable[Object]]


class Strategy:
    """What differs from kind to kind. The defaults here fit a plain kind without status and generation.

    Objects are passed as mutable dicts of the request version. ``default`` runs on every decoded object (create,
    update, result of a patch) after unknown fields were dropped. ``prepare_*`` run before validation and put back
    what the caller may not set. ``old`` is never mutated.
    """

    #: PUT to a missing name creates it.
    create_on_update = False
    #: PUT without resourceVersion is allowed.
    unconditional_update = True
    #: metadata.generation is 1 on create and grows with each change of the spec.
    tracks_generation = False
    #: DELETE with a grace period (pods).
    graceful = False
    #: DELETE answers the deleted object in place of a Status.
    delete_returns_object = False
    #: Kubernetes' name rule: ``subdomain``, ``label``, ``label1035``, ``path``.
    name_rule = "subdomain"
    #: Endpoints that are answered and never stored: by subresource, ``""`` for POST on the kind itself (reviews).
    handlers: Mapping[str, Handler] = MappingProxyType({})

    def default(self, server: Server, request: Request, obj: Object) -> None:
        """Fill in the kind's defaults in place."""

    def prepare_create(self, server: Server, request: Request, obj: Object) -> None:
        """Reset and allocate what the server owns (status, cluster IPs) in place."""
        if "status" in request.resource.subresources:
            obj.pop("status", None)

    def prepare_update(self, server: Server, request: Request, obj: Object, old: Object) -> None:
        """Put back what this endpoint may not change, in place. ``request.subresource`` tells the endpoint."""
        subresources = request.resource.subresources
        if not request.subresource and "status" in subresources:
            restore(obj, old, "status")
        elif request.subresource == "status":
            restore(obj, old, "spec")

    def validate(self, server: Server, request: Request, obj: Object, old: Object | None) -> list[FieldError]:
        """Complaints about ``obj`` (metadata excluded: the registry checks it); ``old`` is None on create."""
        return []

    def warnings(self, server: Server, request: Request, obj: Object, old: Object | None) -> list[str]:
        return []

    def reset_paths(self, subresource: str) -> tuple[tuple[str, ...], ...]:
        """Field paths that a write through this endpoint never owns (managedFields)."""
        return ()

    def spec_changed(self, obj: Object, old: Object) -> bool:
        """Whether the difference counts for ``metadata.generation``."""
        return bool(obj.get("spec") != old.get("spec"))

    async def authorize_write(self, server: Server, request: Request, obj: Object, old: Object | None) -> None:
        """Checks of the requester beyond RBAC on the resource (escalation, signers); raises ApiError 403."""


def restore(obj: Object, old: Object, key: str) -> None:
    """Make ``obj[key]`` what it is in ``old``, present or absent."""
    if key in old:
        obj[key] = old[key]
    else:
        obj.pop(key, None)


@dataclass(frozen=True, slots=True)
class Column:
    """A column of a Table: ``cell`` gives the value (or None) from an object and the time of printing."""

    name: str
    type: str
    cell: Callable[[Object], Any]
    format: str = ""
    description: str = ""
    priority: int = 0


@dataclass(eq=False, slots=True)
class Resource:
    """One served (group, version, plural).

    ``storage`` is the key in the store (several versions share it, and events of two groups). ``storage_version`` is
    the version objects are kept in. ``columns`` follow after the name; None = name and age only.
    ``selectable`` maps further field-selector names to their value (as text) in an object.
    """

    group: str
    version: str
    plural: str
    kind: str
    list_kind: str
    singular: str
    namespaced: bool
    verbs: tuple[str, ...]
    storage: GroupResource
    storage_version: str
    builtin: bool
    strategy: Strategy
    node: Node = ANY
    schema_name: str = ""
    short_names: tuple[str, ...] = ()
    categories: tuple[str, ...] = ()
    subresources: dict[str, Subresource] = field(default_factory=dict)
    columns: tuple[Column, ...] | None = None
    selectable: dict[str, Callable[[Object], str]] = field(default_factory=dict)
    #: CRD versions only: warning sent with each response of a deprecated version.
    deprecation_warning: str = ""

    @property
    def gvk(self) -> GroupVersionKind:
        return GroupVersionKind(self.group, self.version, self.kind)

    @property
    def api_version(self) -> str:
        return f"{self.group}/{self.version}" if self.group else self.version

    @property
    def group_resource(self) -> GroupResource:
        return GroupResource(self.group, self.plural)

    def __repr__(self) -> str:
        return f"Resource({self.api_version}/{self.plural})"
