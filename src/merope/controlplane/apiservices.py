"""APIService objects: one for each group version that this server serves itself.

Clients read from them which groups are there and whether they answer. Nothing is served through them: those that a
user creates for a server of his own are left alone, and stay without the condition that says they are available.
"""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING, Any, Final

from merope.controlplane.errors import ApiError
from merope.controlplane.resource import GroupResource, Object

if TYPE_CHECKING:
    from merope.controlplane.server import Server

_logger = logging.getLogger(__name__)

_PATH: Final = ("apiregistration.k8s.io", "v1", "apiservices")
_STORAGE: Final = GroupResource(_PATH[0], _PATH[2])
_MANAGED: Final = "kube-aggregator.kubernetes.io/automanaged"
#: Seconds before a pass that failed is done again.
_RETRY: Final = 5.0


class APIServices:
    """Keeps the APIService objects of local group versions as they should be."""

    def __init__(self, server: Server) -> None:
        self._server = server
        self._local = server.local()
        self._changed = asyncio.Event()
        self._task: asyncio.Task[None] | None = None
        server.follow_resources(self._changed.set)

    async def start(self) -> None:
        """Bring the objects up to date and follow the resources that are served."""
        await self._reconcile()
        self._task = asyncio.create_task(self._run(), name=f"apiservices {self._server.name}")

    async def stop(self) -> None:
        """Follow no more."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
            self._task = None

    async def _run(self) -> None:
        while True:
            await self._changed.wait()
            self._changed.clear()
            try:
                await self._reconcile()
            except ApiError as error:
                _logger.warning("APIServices of %s: %s; again in %g s", self._server.name, error, _RETRY)
                self._changed.set()
                await asyncio.sleep(_RETRY)

    async def _reconcile(self) -> None:
        """One pass: create what is missing, delete what is served no more."""
        wanted = {service["metadata"]["name"]: service for service in self._wanted()}
        found = {entry.name: entry for entry in self._server.store.list(_STORAGE)}
        steps = [self._ensure(service) for name, service in wanted.items() if not _is_complete(found.get(name))]
        steps += [
            self._remove(name)
            for name, entry in found.items()
            if name not in wanted and _MANAGED in entry.labels and not entry.deleting
        ]
        if steps:
            await asyncio.gather(*steps)

    def _wanted(self) -> list[Object]:
        server = self._server
        builtin = set(server.catalogue.group_versions())
        served = dict.fromkeys((*builtin, *((r.group, r.version) for r in server.custom.resources())))
        return [_service(group, version, server, (group, version) in builtin) for group, version in served]

    async def _ensure(self, service: Object) -> None:
        name = service["metadata"]["name"]
        try:
            live = await self._local.create(_PATH, service)
        except ApiError as error:
            if error.reason != "AlreadyExists":
                raise
            live = await self._local.get(_PATH, name)
        if live["spec"].get("service"):
            return
        condition = {
            "type": "Available",
            "status": "True",
            "lastTransitionTime": self._server.now(),
            "reason": "Local",
            "message": "Local APIServices are always available",
        }
        await self._local.patch(_PATH, name, {"status": {"conditions": [condition]}}, subresource="status")

    async def _remove(self, name: str) -> None:
        try:
            await self._local.delete(_PATH, name)
        except ApiError as error:
            if error.code != 404:
                raise


def _is_complete(entry: Any) -> bool:
    """Whether the object is there and was given its condition (or belongs to somebody else)."""
    if entry is None:
        return False
    obj = entry.parsed()
    return bool((obj.get("status") or {}).get("conditions")) or bool(obj["spec"].get("service"))


def _service(group: str, version: str, server: Server, builtin: bool) -> Object:
    group_priority, version_priority = server.catalogue.priority(group, version)
    spec: Object = {
        "version": version,
        "groupPriorityMinimum": group_priority,
        "versionPriority": version_priority,
    }
    if group:
        spec["group"] = group
    return {
        "apiVersion": "apiregistration.k8s.io/v1",
        "kind": "APIService",
        "metadata": {"name": f"{version}.{group}", "labels": {_MANAGED: "onstart" if builtin else "true"}},
        "spec": spec,
    }
