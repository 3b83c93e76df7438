"""What a definition goes through: names accepted, established, instances deleted, gone.

One task works off the names of definitions that changed. It writes a definition's status only where it differs from
what it should be, so a settled definition costs nothing.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final

from merope.controlplane.crd.naming import TERMINATING, condition, make, set_condition, settle
from merope.controlplane.entry import Change, Entry
from merope.controlplane.errors import ApiError
from merope.controlplane.resource import APISERVER, GroupResource, Object, Resource

if TYPE_CHECKING:
    from merope.controlplane.crd.resources import CustomResources
    from merope.controlplane.server import Server

_logger = logging.getLogger(__name__)

FINALIZER: Final = "customresourcecleanup.apiextensions.k8s.io"
_DEFINITIONS: Final = GroupResource("apiextensions.k8s.io", "customresourcedefinitions")
_PATH: Final = ("apiextensions.k8s.io", "v1", "customresourcedefinitions")
_MANAGER: Final = "kube-apiserver"
#: Seconds until a definition is looked at again after a failure, doubled with each, up to the limit.
_FIRST_DELAY: Final = 0.05
_LONGEST_DELAY: Final = 10.0


class Lifecycle:
    """Brings definitions from creation to service and from deletion to nothing."""

    def __init__(self, server: Server) -> None:
        self._server = server
        self._waiting: dict[str, None] = {}
        self._wake = asyncio.Event()
        self._task: asyncio.Task[None] | None = None
        self._failures: dict[str, int] = {}
        self._timers: dict[str, asyncio.TimerHandle] = {}
        #: For each definition whose instances are being waited for: how to stop listening to them.
        self._listening: dict[str, Callable[[], None]] = {}

    async def start(self) -> None:
        """Begin to work; all stored definitions are looked at once."""
        for entry in self._server.store.list(_DEFINITIONS):
            self.enqueue(entry.name)
        self._task = asyncio.create_task(self._run(), name=f"definitions of {self._server.name}")

    async def stop(self) -> None:
        """End the work. Idempotent."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
            self._task = None
        for timer in self._timers.values():
            timer.cancel()
        self._timers.clear()
        for unsubscribe in self._listening.values():
            unsubscribe()
        self._listening.clear()

    def enqueue(self, name: str) -> None:
        """Have a definition looked at."""
        self._waiting[name] = None
        self._wake.set()

    async def _run(self) -> None:
        while True:
            await self._wake.wait()
            self._wake.clear()
            while self._waiting:
                name = next(iter(self._waiting))
                del self._waiting[name]
                try:
                    await self._reconcile(name)
                except ApiError as error:
                    if error.code != 409 and error.code != 404:
                        _logger.warning("definition %s: %s", name, error.message)
                    self._again(name)
                except Exception:
                    _logger.exception("definition %s", name)
                    self._again(name)
                else:
                    self._failures.pop(name, None)

    def _again(self, name: str) -> None:
        failures = self._failures[name] = self._failures.get(name, 0) + 1
        delay = min(_FIRST_DELAY * 2 ** min(failures - 1, 16), _LONGEST_DELAY)
        timer = self._timers.pop(name, None)
        if timer is not None:
            timer.cancel()
        self._timers[name] = asyncio.get_running_loop().call_later(delay, self._retry, name)

    def _retry(self, name: str) -> None:
        self._timers.pop(name, None)
        self.enqueue(name)

    # --- one definition ------------------------------------------------------------------------------------------

    async def _reconcile(self, name: str) -> None:
        entry = self._server.store.get(_DEFINITIONS, "", name)
        if entry is None:
            self._forget(name)
            return
        if entry.deleting:
            if FINALIZER in entry.finalizers:
                await self._finalize(entry)
            return
        definition = entry.copy()
        before = entry.parsed().get("status")
        settle(definition, self._others(entry), self._server.now())
        if definition["status"] != before:
            await self._write(definition, "status")

    def _others(self, entry: Entry) -> list[Any]:
        """The other definitions of the group."""
        group = entry.parsed()["spec"]["group"]
        return [
            other.parsed()
            for other in self._server.store.list(_DEFINITIONS)
            if other.name != entry.name and other.parsed()["spec"]["group"] == group
        ]

    async def _write(self, definition: Object, subresource: str) -> Object:
        client = self._server.local(APISERVER, manager=_MANAGER)
        return await client.update(_PATH, definition, subresource)

    def _forget(self, name: str) -> None:
        """A definition is gone: its names are free for those that wanted them."""
        self._failures.pop(name, None)
        unsubscribe = self._listening.pop(name, None)
        if unsubscribe is not None:
            unsubscribe()
        group = name.partition(".")[2]
        for other in self._server.store.list(_DEFINITIONS):
            if other.parsed()["spec"]["group"] == group:
                self.enqueue(other.name)

    # --- deletion ------------------------------------------------------------------------------------------------

    async def _finalize(self, entry: Entry) -> None:
        """Delete all instances, and when none is left let the definition go."""
        definition = entry.copy()
        storage = GroupResource(definition["spec"]["group"], definition["spec"]["names"]["plural"])
        resource = self._any_served(definition)
        found = condition(definition, TERMINATING)
        if found is None or found.get("reason") == "InstanceDeletionPending":
            verdict = make(TERMINATING, "True", "InstanceDeletionInProgress", "CustomResource deletion is in progress")
            set_condition(definition, verdict, self._server.now())
            definition = await self._write(definition, "status")
        if resource is not None:
            self._listen(entry.name, storage)
            await self._delete_instances(resource)
            if self._server.store.list(storage):
                return  # their finalizers; the last DELETED comes back here
        verdict = make(TERMINATING, "False", "InstanceDeletionCompleted", "removed all instances")
        set_condition(definition, verdict, self._server.now())
        definition = await self._write(definition, "status")
        definition["metadata"]["finalizers"] = [
            finalizer for finalizer in definition["metadata"].get("finalizers") or () if finalizer != FINALIZER
        ]
        await self._write(definition, "")

    def _any_served(self, definition: Object) -> Resource | None:
        """A resource through which instances can be deleted; None where the definition never served any.

        Names that were never accepted belong to another definition, whose instances stay.
        """
        spec = definition["spec"]
        custom: CustomResources = self._server.custom
        found = (custom.lookup(spec["group"], version["name"], spec["names"]["plural"]) for version in spec["versions"])
        return next((resource for resource in found if resource is not None), None)

    def _listen(self, name: str, storage: GroupResource) -> None:
        if name in self._listening:
            return

        def gone(change: Change) -> None:
            if change.type == "DELETED" and not self._server.store.list(storage):
                self.enqueue(name)

        self._listening[name] = self._server.store.subscribe(gone, storage)

    async def _delete_instances(self, resource: Resource) -> None:
        client = self._server.local(APISERVER, manager=_MANAGER)
        for instance in list(self._server.store.list(resource.storage)):
            if instance.deleting:
                continue
            try:
                await client.delete(resource, instance.name, instance.namespace)
            except ApiError as error:
                if error.code != 404:
                    raise
