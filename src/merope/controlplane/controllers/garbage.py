"""The garbage collector: what becomes of objects whose owners go.

The store indexes objects by the uids of their owners, so there is no graph to keep: whenever an object changes, its
place among owners and dependents is looked up and one decision is made about it. ``decide`` is that decision, a pure
function; the controller carries it out by ordinary writes, so finalizers and admission apply.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, Literal

from merope.controlplane.controllers.work import Reconciler, ResourceOfStorage, controller_user
from merope.controlplane.entry import Change, Entry, Key
from merope.controlplane.errors import ApiError
from merope.controlplane.resource import GroupResource, GroupVersionKind, Object, Resource

if TYPE_CHECKING:
    from merope.controlplane.server import Server

FOREGROUND: Final = "foregroundDeletion"
ORPHAN: Final = "orphan"
USER: Final = "generic-garbage-collector"

OwnerState = Literal["solid", "waiting", "dangling", "unknown"]
#: What becomes of dependents when nothing is said.
_BACKGROUND: Final = "Background"
_REPORTS_KEPT: Final = 4096
_NOT_COLLECTED: Final = frozenset({GroupResource("", "events")})


@dataclass(frozen=True, slots=True)
class Keep:
    """The object stays; the references with these uids go (none: nothing is written)."""

    drop: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Delete:
    """The object goes. ``unblock``: first stop holding up its owners, which breaks cycles."""

    policy: str
    unblock: bool = False


@dataclass(frozen=True, slots=True)
class Retry:
    """An owner's kind is not served (now): never delete because of it, look again when kinds come."""


def decide(
    owners: Sequence[tuple[str, OwnerState]],
    *,
    finalizers: Sequence[str],
    has_dependents: bool,
    dependent_is_waiting: bool,
) -> Keep | Delete | Retry:
    """What becomes of an object with the given owners (uid and state).

    ``dependent_is_waiting``: one of its dependents is itself in foreground deletion.
    """
    states = [state for _, state in owners]
    if "unknown" in states:
        return Retry()
    if "solid" in states:
        return Keep(tuple(uid for uid, state in owners if state != "solid"))
    if "waiting" in states and has_dependents:
        return Delete("Foreground", unblock=dependent_is_waiting)
    if ORPHAN in finalizers:
        return Delete("Orphan")
    return Delete("Foreground" if FOREGROUND in finalizers else _BACKGROUND)


class GarbageCollector:
    """Follows every change; see the module docstring."""

    def __init__(self, server: Server) -> None:
        self._server = server
        self._work: Reconciler[Key] = Reconciler("garbage-collector", self._reconcile, workers=32)
        self._resource_of = ResourceOfStorage(server)
        self._client = server.local(controller_user(USER), USER)
        self._unsubscribe: Callable[[], None] = lambda: None
        # Objects, by uid, with the owners of theirs that were reported to be elsewhere.
        self._reported: dict[str, set[str]] = {}
        #: Objects with an owner of a kind that is not served; they are looked at again when the set of kinds changes.
        self._puzzling: set[Key] = set()
        server.follow_resources(self._kinds_changed)

    async def start(self) -> None:
        store = self._server.store
        for storage in list(store.storages()):
            for entry in store.list(storage):
                self._consider(entry)
        self._unsubscribe = store.subscribe(self._changed)
        self._work.start()

    async def stop(self) -> None:
        self._unsubscribe()
        await self._work.stop()

    def _kinds_changed(self) -> None:
        puzzling, self._puzzling = self._puzzling, set()
        for key in puzzling:
            self._work.add(key)

    # --- what is looked at ---------------------------------------------------------------------------------------

    def _changed(self, change: Change) -> None:
        entry = change.entry
        if change.type == "DELETED":
            self._reported.pop(entry.uid, None)
            for dependent in self._server.store.dependents(entry.uid):
                self._add(dependent)
            # An owner in foreground deletion may have waited for this one.
            for owner in self._owners_waiting_for(entry):
                self._add(owner)
            return
        previous = change.previous
        if previous is None or previous.owners != entry.owners or (entry.deleting and not previous.deleting):
            self._consider(entry)
            if previous is not None and previous.owners != entry.owners:
                for owner in self._owners_waiting_for(previous):
                    self._add(owner)
        elif entry.deleting and previous.finalizers != entry.finalizers:
            self._consider(entry)
        elif entry.owners and _blocks(previous) != _blocks(entry):
            for owner in self._owners_waiting_for(entry):
                self._add(owner)

    def _consider(self, entry: Entry) -> None:
        if entry.owners or (entry.deleting and (FOREGROUND in entry.finalizers or ORPHAN in entry.finalizers)):
            self._add(entry)
            if entry.deleting and FOREGROUND in entry.finalizers:
                for dependent in self._server.store.dependents(entry.uid):
                    self._add(dependent)

    def _add(self, entry: Entry) -> None:
        if entry.storage not in _NOT_COLLECTED:
            self._work.add((entry.storage, entry.namespace, entry.name))

    def _owners_waiting_for(self, entry: Entry) -> list[Entry]:
        if not entry.owners:
            return []
        found = (self._owner(entry, reference) for reference in _references(entry))
        return [owner for owner in found if isinstance(owner, Entry) and _in_foreground(owner)]

    def _dependents(self, owner: Entry) -> list[Entry]:
        """The dependents that an owner can have: those of a namespaced one are in its namespace.

        Whoever writes references to it elsewhere must not be able to hold it up.
        """
        found = self._server.store.dependents(owner.uid)
        return [entry for entry in found if not owner.namespace or entry.namespace == owner.namespace]

    def _owner(self, item: Entry, reference: Mapping[str, Any]) -> Entry | Resource | None:
        """The owner; its Resource where there is no such object; None where the kind is not served."""
        group, _, version = reference.get("apiVersion", "").rpartition("/")
        resource = self._server.by_kind(GroupVersionKind(group, version, reference.get("kind", "")))
        if resource is None:
            return None
        namespace = item.namespace if resource.namespaced else ""
        found = self._server.store.get(resource.storage, namespace, reference.get("name", ""))
        return found if found is not None and found.uid == reference.get("uid") else resource

    # --- one object ----------------------------------------------------------------------------------------------

    async def _reconcile(self, key: Key) -> None:
        entry = self._server.store.get(*key)
        if entry is None:
            return
        resource = self._resource_of(entry.storage)
        if resource is None:
            return
        if entry.deleting:
            if ORPHAN in entry.finalizers:
                await self._orphan_dependents(entry, resource)
            elif FOREGROUND in entry.finalizers:
                await self._await_dependents(entry, resource)
            return
        if entry.owners:
            await self._collect(entry, resource)

    async def _collect(self, entry: Entry, resource: Resource) -> None:
        owners = [(str(reference.get("uid", "")), self._state(entry, reference)) for reference in _references(entry)]
        dependents = self._dependents(entry)
        decision = decide(
            owners,
            finalizers=entry.finalizers,
            has_dependents=bool(dependents),
            dependent_is_waiting=any(_in_foreground(dependent) for dependent in dependents),
        )
        match decision:
            case Retry():
                self._puzzling.add((entry.storage, entry.namespace, entry.name))
            case Keep(drop=()):
                return
            case Keep(drop=drop):
                await self._report_invalid_namespaces(entry)
                await self._drop_references(entry, resource, drop)
            case Delete(policy=policy, unblock=unblock):
                await self._report_invalid_namespaces(entry)
                if unblock:
                    entry = await self._unblock(entry, resource)
                options = {
                    "propagationPolicy": policy,
                    "preconditions": {"uid": entry.uid, "resourceVersion": str(entry.rv)},
                }
                await self._client.delete(resource, entry.name, entry.namespace, options)

    def _state(self, item: Entry, reference: Mapping[str, Any]) -> OwnerState:
        found = self._owner(item, reference)
        if found is None:
            return "unknown"
        if isinstance(found, Entry):
            return "waiting" if _in_foreground(found) else "solid"
        if found.namespaced and not item.namespace:
            return "solid"  # a namespaced owner of a cluster-scoped object: not resolvable, so never collected
        return "dangling"

    def _lives_elsewhere(self, resource: Resource, item: Entry, reference: Mapping[str, Any]) -> bool:
        store = self._server.store
        return any(
            (found := store.get(resource.storage, namespace, reference.get("name", ""))) is not None
            and found.uid == reference.get("uid")
            for namespace in store.namespaces(resource.storage)
            if namespace != item.namespace
        )

    async def _report_invalid_namespaces(self, item: Entry) -> None:
        """Warn once of owner references that point into another namespace."""
        for reference in _references(item):
            uid = str(reference.get("uid", ""))
            found = self._owner(item, reference)
            if uid in self._reported.get(item.uid, ()) or not isinstance(found, Resource) or not found.namespaced:
                continue
            if not self._lives_elsewhere(found, item, reference):
                continue
            if len(self._reported) >= _REPORTS_KEPT:
                self._reported.clear()
            self._reported.setdefault(item.uid, set()).add(uid)
            await self._client.create(
                ("", "v1", "events"), _invalid_namespace_event(item, reference, self._server.now()), item.namespace
            )

    async def _drop_references(self, entry: Entry, resource: Resource, uids: Sequence[str]) -> None:
        kept = [reference for reference in _references(entry) if reference.get("uid") not in uids]
        await self._set_references(entry, resource, kept)

    async def _unblock(self, entry: Entry, resource: Resource) -> Entry:
        relaxed = [{**reference, "blockOwnerDeletion": False} for reference in _references(entry)]
        await self._set_references(entry, resource, relaxed)
        found = self._server.store.get(entry.storage, entry.namespace, entry.name)
        if found is None:
            raise ApiError(404, "NotFound", f"{entry.storage} {entry.name} is gone")
        return found

    async def _set_references(self, entry: Entry, resource: Resource, references: Sequence[Object]) -> None:
        metadata = {
            "uid": entry.uid,
            "resourceVersion": str(entry.rv),
            "ownerReferences": list(references) or None,
        }
        await self._client.patch(resource, entry.name, {"metadata": metadata}, namespace=entry.namespace)

    # --- owners that go ------------------------------------------------------------------------------------------

    async def _await_dependents(self, entry: Entry, resource: Resource) -> None:
        blocking = [
            dependent
            for dependent in self._dependents(entry)
            if any(
                reference.get("uid") == entry.uid and reference.get("blockOwnerDeletion")
                for reference in _references(dependent)
            )
        ]
        if not blocking:
            await self._remove_finalizer(entry, resource, FOREGROUND)
            return
        for dependent in blocking:
            if not dependent.deleting:
                self._add(dependent)

    async def _orphan_dependents(self, entry: Entry, resource: Resource) -> None:
        for dependent in self._dependents(entry):
            through = self._resource_of(dependent.storage)
            if through is not None:
                await self._drop_references(dependent, through, [entry.uid])
        await self._remove_finalizer(entry, resource, ORPHAN)

    async def _remove_finalizer(self, entry: Entry, resource: Resource, finalizer: str) -> None:
        kept = [name for name in entry.finalizers if name != finalizer]
        metadata = {"uid": entry.uid, "resourceVersion": str(entry.rv), "finalizers": kept or None}
        await self._client.patch(resource, entry.name, {"metadata": metadata}, namespace=entry.namespace)


def _references(entry: Entry) -> list[Object]:
    return list(entry.parsed()["metadata"].get("ownerReferences") or ())


def _in_foreground(entry: Entry) -> bool:
    return entry.deleting and FOREGROUND in entry.finalizers


def _blocks(entry: Entry) -> frozenset[str]:
    return frozenset(r.get("uid", "") for r in _references(entry) if r.get("blockOwnerDeletion"))


def _invalid_namespace_event(item: Entry, reference: Mapping[str, Any], now: str) -> Object:
    obj = item.parsed()
    involved = {
        "apiVersion": obj["apiVersion"],
        "kind": obj["kind"],
        "name": item.name,
        "namespace": item.namespace,
        "uid": item.uid,
    }
    described = f"[{reference.get('apiVersion')}/{reference.get('kind')}, namespace: {item.namespace}"
    text = f"ownerRef {described}, name: {reference.get('name')}, uid: {reference.get('uid')}] does not exist"
    return {
        "metadata": {"generateName": f"{item.name}.", "namespace": item.namespace},
        "involvedObject": involved,
        "type": "Warning",
        "reason": "OwnerRefInvalidNamespace",
        "message": f"{text} in namespace {item.namespace!r}".replace("'", '"'),
        "source": {"component": "garbage-collector-controller"},
        "reportingComponent": "garbage-collector-controller",
        "firstTimestamp": now,
        "lastTimestamp": now,
        "count": 1,
    }
