"""The server's own client: the registry without a wire, for its controllers and bootstrap objects.

Admission runs and sees the identity; authorization does not. What a caller gets is its own copy.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final

import orjson

from merope.controlplane.errors import unknown_path
from merope.controlplane.http.negotiation import APPLY_PATCH, JSON_PATCH, MERGE_PATCH, STRATEGIC_PATCH
from merope.controlplane.http.options import delete_options, list_options
from merope.controlplane.registry import Patch, Written
from merope.controlplane.resource import Object, Options, Request, Resource, UserInfo

if TYPE_CHECKING:
    from merope.controlplane.server import Server

#: (group, version, plural)
Path = tuple[str, str, str]

_PATCH_TYPES: Final = {
    "merge": MERGE_PATCH,
    "json": JSON_PATCH,
    "strategic": STRATEGIC_PATCH,
    "apply": APPLY_PATCH,
}


class LocalClient:
    """Reads and writes objects of one server as one user. All methods raise ApiError."""

    def __init__(self, server: Server, user: UserInfo, manager: str) -> None:
        self._server = server
        self._user = user
        self._manager = manager

    def _resource(self, resource: Resource | Path) -> Resource:
        if isinstance(resource, Resource):
            return resource
        found = self._server.lookup(*resource)
        if found is None:
            raise unknown_path()
        return found

    def _request(
        self,
        resource: Resource | Path,
        verb: str,
        namespace: str,
        name: str = "",
        subresource: str = "",
        *,
        dry_run: bool = False,
        field_manager: str = "",
        force: bool | None = None,
    ) -> Request:
        found = self._resource(resource)
        return Request(
            user=self._user,
            verb=verb,
            resource=found,
            namespace=namespace if found.namespaced else "",
            name=name,
            subresource=subresource,
            options=Options(
                dry_run=dry_run,
                field_manager=field_manager or self._manager,
                field_validation="Ignore",
                force=force,
            ),
            user_agent=self._manager,
            trusted=True,
        )

    async def _result(self, request: Request, written: Written) -> Object:
        if written.entry is not None:
            return await self._server.views.fresh(request.resource, written.entry)
        assert written.obj is not None
        return written.obj

    async def get(self, resource: Resource | Path, name: str, namespace: str = "") -> Object:
        """The object."""
        request = self._request(resource, "get", namespace, name)
        return await self._server.views.fresh(request.resource, await self._server.registry.get(request))

    async def list(
        self,
        resource: Resource | Path,
        namespace: str = "",
        *,
        label_selector: str = "",
        field_selector: str = "",
    ) -> list[Object]:
        """All objects of a namespace, or of all."""
        request = self._request(resource, "list", namespace)
        query = {"labelSelector": label_selector, "fieldSelector": field_selector}
        page = await self._server.registry.list(request, list_options(query, watch=False))
        return [await self._server.views.fresh(request.resource, entry) for entry in page.entries]

    async def create(
        self,
        resource: Resource | Path,
        obj: Mapping[str, Any],
        namespace: str = "",
        *,
        dry_run: bool = False,
        field_manager: str = "",
    ) -> Object:
        """Create an object; ``obj`` stays the caller's."""
        request = self._request(resource, "create", namespace, dry_run=dry_run, field_manager=field_manager)
        written = await self._server.registry.create(request, self._copy(request, obj))
        return await self._result(request, written)

    async def update(
        self,
        resource: Resource | Path,
        obj: Mapping[str, Any],
        subresource: str = "",
        *,
        dry_run: bool = False,
        field_manager: str = "",
    ) -> Object:
        """Replace an object, or its part behind a subresource."""
        metadata = obj["metadata"]
        request = self._request(
            resource,
            "update",
            metadata.get("namespace", ""),
            metadata["name"],
            subresource,
            dry_run=dry_run,
            field_manager=field_manager,
        )
        written = await self._server.registry.update(request, self._copy(request, obj))
        return await self._result(request, written)

    async def patch(
        self,
        resource: Resource | Path,
        name: str,
        patch: Any,
        *,
        type: str = "merge",
        namespace: str = "",
        subresource: str = "",
        dry_run: bool = False,
        field_manager: str = "",
        force: bool | None = None,
    ) -> Object:
        """Patch an object; ``type`` is ``merge``, ``json``, ``strategic`` or ``apply``."""
        request = self._request(
            resource,
            "patch",
            namespace,
            name,
            subresource,
            dry_run=dry_run,
            field_manager=field_manager,
            force=force,
        )
        value = orjson.loads(orjson.dumps(patch))
        written = await self._server.registry.patch(request, Patch(_PATCH_TYPES[type], value))
        return await self._result(request, written)

    async def delete(
        self,
        resource: Resource | Path,
        name: str,
        namespace: str = "",
        options: Mapping[str, Any] | None = None,
    ) -> Object:
        """Delete an object; the answer is the object where it stays for a while, else a Status."""
        wanted = delete_options({}, options)
        request = self._request(resource, "delete", namespace, name, dry_run=wanted.dry_run)
        return await self._result(request, await self._server.registry.delete(request, wanted))

    @staticmethod
    def _copy(request: Request, obj: Mapping[str, Any]) -> Object:
        copy: Object = orjson.loads(orjson.dumps(obj))
        copy.setdefault("apiVersion", request.resource.api_version)
        copy.setdefault("kind", request.resource.kind)
        return copy
