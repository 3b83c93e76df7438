"""What webhooks and policies are told of a request: its description, its namespace, its objects in other versions."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Final

from merope.controlplane.admission.authorizer import RequestAuthorizer, ResourceCheck
from merope.controlplane.admission.matching import NAMESPACES, Match
from merope.controlplane.authz import Attributes
from merope.controlplane.resource import GroupResource, Object, Request, Resource

if TYPE_CHECKING:
    from merope.controlplane.server import Server

_OPTIONS_KIND: Final = {"CREATE": "CreateOptions", "UPDATE": "UpdateOptions", "DELETE": "DeleteOptions"}


def describe(request: Request, resource: Resource, operation: str) -> Object:
    """The request as an AdmissionRequest, shown under ``resource``; without uid and objects."""
    own, options = request.resource, request.options
    described: Object = {
        "kind": {"group": resource.group, "version": resource.version, "kind": resource.kind},
        "resource": {"group": resource.group, "version": resource.version, "resource": resource.plural},
        "requestKind": {"group": own.group, "version": own.version, "kind": own.kind},
        "requestResource": {"group": own.group, "version": own.version, "resource": own.plural},
    }
    if request.subresource:
        described["subResource"] = described["requestSubResource"] = request.subresource
    if request.name:
        described["name"] = request.name
    if own.namespaced:
        described["namespace"] = request.namespace
    elif own.storage == NAMESPACES and request.name:
        described["namespace"] = request.name
    stated: Object = {"kind": _OPTIONS_KIND.get(operation, "CreateOptions"), "apiVersion": "meta.k8s.io/v1"}
    if options.dry_run:
        stated["dryRun"] = ["All"]
    if operation == "DELETE":
        stated |= request.deletion
    elif options.explicit_manager:
        stated["fieldManager"] = options.field_manager
    if operation != "DELETE" and "fieldValidation" in options.query:
        stated["fieldValidation"] = options.field_validation
    described |= {
        "operation": operation,
        "userInfo": request.user.to_dict(),
        "dryRun": options.dry_run,
        "options": stated,
    }
    return described


class Surroundings:
    """What the server knows around a request: other versions of its resource, labels of its namespace."""

    def __init__(self, server: Server) -> None:
        self._server = server
        self._generation = -1
        self._served: dict[GroupResource, list[Resource]] = {}

    def concerned(
        self, match: Match, request: Request, operation: str, obj: Object | None, old: Object | None
    ) -> Resource | None:
        """The resource under which ``match`` wants to see the request; None where it doesn't concern it."""
        resource = match.resource_for(
            operation, request.resource, request.subresource, self._equivalents(request), request.name
        )
        if resource is None or not match.selects_namespace(self._namespace_labels(request, operation, obj, old)):
            return None
        return resource if match.selects_object(obj, old) else None

    async def in_version(
        self, request: Request, resource: Resource, obj: Object | None, *, held_in: Resource | None = None
    ) -> Object | None:
        """``obj`` in the version of ``resource``; it is in that of the request, or of ``held_in``."""
        held = held_in or request.resource
        if obj is None or resource is held:
            return obj
        return dict(await self._server.views.convert(held, obj, resource.api_version))

    def authorizer(self, request: Request) -> RequestAuthorizer:
        """``authorizer`` of expressions: asks on behalf of the request's user."""
        own, ask = request.resource, self._server.authz.authorize
        where = request.subresource, request.namespace, request.name
        about = Attributes(request.user, "", own.group, own.plural, *where)
        return RequestAuthorizer(ask, request.user, ResourceCheck(ask, about))

    def _equivalents(self, request: Request) -> Sequence[Resource]:
        """The other versions and groups in which the objects of the request are served."""
        if self._generation != self._server.resources_generation:
            self._generation = self._server.resources_generation
            self._served = {}
            for resource in self._server.all_resources():
                if "create" in resource.verbs:
                    self._served.setdefault(resource.storage, []).append(resource)
        own = request.resource
        served = self._served.get(own.storage, [])
        return [other for other in served if other is not own] if len(served) > 1 else ()

    def _namespace_labels(
        self, request: Request, operation: str, obj: Object | None, old: Object | None
    ) -> Mapping[str, str] | None:
        if request.resource.storage == NAMESPACES:
            own = old if operation == "DELETE" else obj
            return ((own or {}).get("metadata") or {}).get("labels") or {}
        if not request.resource.namespaced:
            return None
        entry = self._server.store.get(NAMESPACES, "", request.namespace)
        return entry.labels if entry is not None else {}
