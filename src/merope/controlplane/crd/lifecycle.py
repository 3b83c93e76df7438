"""What a definition goes through: names accepted, established, instances deleted, gone.

One task works off the names of definitions that changed, and owns those that delete instances. A definition's status
is written only where it differs from what it should be, so a settled definition costs nothing.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Coroutine
from typing import TYPE_CHECKING, Any, Final

from merope.controlplane.crd.naming import TERMINATING, condition, make, set_condition, settle
from merope.controlplane.entry import Change, Entry
from merope.controlplane.errors import ApiError, internal
from merope.controlplane.resource import APISERVER, GroupResource, Object, Resource

if TYPE_CHECKING:
    from merope.controlplane.server import Server

_logger = logging.getLogger(__name__)

FINALIZER: Final = "customresourcecleanup.apiextensions.k8s.io"
_DEFINITIONS: Final = GroupResource("apiextensions.k8s.io", "customresourcedefinitions")
_PATH: Final = ("apiextensions.k8s.io", "v1", "customresourcedefinitions")
_MANAGER: Final = "kube-apiserver"
#: Seconds until a definition is looked at again after a failure, doubled with each, up to the limit.
_FIRST_DELAY: Final = 0.05
_LONGEST_DELAY: Final = 10.0
#: Instances deleted side by side.
_AT_ONCE: Final = 64
_FAILURES_SHOWN: Final = 5


class Lifecycle:
    """Brings definitions from creation to service and from deletion to nothing.

    ``resource_of`` gives the resource through which a definition's instances are deleted, None where there are none.
    """

    def __init__(self, server: Server, resource_of: Callable[[Object, Server], Resource | None]) -> None:
        self._server = server
        self._resource_of = resource_of
        self._waiting: dict[str, None] = {}
        self._wake = asyncio.Event()
        self._task: asyncio.Task[None] | None = None
        self._finalizing: set[str] = set()
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
        """Settle definitions one after the other, so that two never take the same name; finalize them side by side."""
        async with asyncio.TaskGroup() as group:
            while True:
                await self._wake.wait()
                self._wake.clear()
                for name in [name for name in self._waiting if name not in self._finalizing]:
                    del self._waiting[name]
                    entry = self._server.store.get(_DEFINITIONS, "", name)
                    if entry is not None and entry.deleting:
                        self._finalizing.add(name)
                        group.create_task(self._finalize_alone(entry))
                    else:
                        await self._attempt(name, self._settle(name, entry))

    async def _finalize_alone(self, entry: Entry) -> None:
        try:
            if FINALIZER in entry.finalizers:
                await self._attempt(entry.name, self._finalize(entry))
        finally:
            self._finalizing.discard(entry.name)
            if entry.name in self._waiting:
                self._wake.set()

    async def _attempt(self, name: str, work: Coroutine[Any, Any, None]) -> None:
        """Do some work for a definition; what fails is done again later, ever more slowly."""
        try:
            await work
        except ApiError as error:
            if error.code not in (404, 409):
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

    async def _settle(self, name: str, entry: Entry | None) -> None:
        if entry is None:
            self._forget(name)
            return
        definition = entry.copy()
        before = entry.parsed().get("status")
        settle(definition, self._others(entry), self._server.now())
        if definition["status"] != before:
            await self._write(definition, "status")
            if before and definition["status"]["acceptedNames"] != before.get("acceptedNames"):
                self._enqueue_group(entry.name)

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
        self._enqueue_group(name)

    def _enqueue_group(self, name: str) -> None:
        """Have the others of a definition's group looked at: they may wait for a name that it had."""
        group = name.partition(".")[2]
        for other in self._server.store.list(_DEFINITIONS):
            if other.name != name and other.parsed()["spec"]["group"] == group:
                self.enqueue(other.name)

    # --- deletion ------------------------------------------------------------------------------------------------

    async def _finalize(self, entry: Entry) -> None:
        """Delete all instances, and when none is left let the definition go."""
        definition = entry.copy()
        found = condition(definition, TERMINATING)
        if found is None or found.get("reason") == "InstanceDeletionPending":
            verdict = make(TERMINATING, "True", "InstanceDeletionInProgress", "CustomResource deletion is in progress")
            set_condition(definition, verdict, self._server.now())
            definition = await self._write(definition, "status")
        resource = self._resource_of(definition, self._server)
        if resource is not None:
            self._listen(entry.name, resource.storage)
            failures = await self._delete_instances(resource)
            if failures:
                text = f"could not issue all deletes: {'; '.join(failures[:_FAILURES_SHOWN])}"
                set_condition(definition, make(TERMINATING, "True", "InstanceDeletionFailed", text), self._server.now())
                await self._write(definition, "status")
                raise internal(text)
            if self._server.store.count(resource.storage):
                return  # their finalizers; the last DELETED comes back here
        verdict = make(TERMINATING, "False", "InstanceDeletionCompleted", "removed all instances")
        set_condition(definition, verdict, self._server.now())
        definition = await self._write(definition, "status")
        definition["metadata"]["finalizers"] = [
            finalizer for finalizer in definition["metadata"].get("finalizers") or () if finalizer != FINALIZER
        ]
        await self._write(definition, "")

    def _listen(self, name: str, storage: GroupResource) -> None:
        if name in self._listening:
            return

        def gone(change: Change) -> None:
            if change.type == "DELETED" and not self._server.store.count(storage):
                self.enqueue(name)

        self._listening[name] = self._server.store.subscribe(gone, storage)

    async def _delete_instances(self, resource: Resource) -> list[str]:
        """Delete all instances that are not being deleted yet, some at a time; gives what refused and why."""
        waiting = [entry for entry in self._server.store.list(resource.storage) if not entry.deleting]
        failures: list[str] = []
        for start in range(0, len(waiting), _AT_ONCE):
            async with asyncio.TaskGroup() as group:
                for instance in waiting[start : start + _AT_ONCE]:
                    group.create_task(self._delete_instance(resource, instance, failures))
        return failures

    async def _delete_instance(self, resource: Resource, instance: Entry, failures: list[str]) -> None:
        client = self._server.local(APISERVER, manager=_MANAGER)
        try:
            await client.delete(resource, instance.name, instance.namespace)
        except ApiError as error:
            if error.code != 404:
                failures.append(error.message)
