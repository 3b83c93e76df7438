"""Namespaces that are being deleted: emptied, then let go.

Pods go first, since what they use must outlive them; then everything else. Nothing is polled: each change inside a
terminating namespace looks at it again. While something stays, the namespace's conditions tell what and why.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

from merope.controlplane.controllers.work import Reconciler, ResourceOfStorage, controller_user
from merope.controlplane.entry import Change, Entry
from merope.controlplane.errors import ApiError
from merope.controlplane.resource import GroupResource, Object

if TYPE_CHECKING:
    from merope.controlplane.server import Server

NAMESPACES: Final = GroupResource("", "namespaces")
_PODS: Final = GroupResource("", "pods")
_PATH: Final = ("", "v1", "namespaces")
_FINALIZER: Final = "kubernetes"
_AT_ONCE: Final = 32


@dataclass(slots=True)
class Findings:
    """What a pass over a namespace found: counts of what remains, finalizers that hold it, failed deletions."""

    remaining: Counter[GroupResource] = field(default_factory=Counter)
    finalizers: Counter[str] = field(default_factory=Counter)
    failures: list[str] = field(default_factory=list)


def conditions(findings: Findings, before: Sequence[Mapping[str, Any]], now: str) -> list[Object]:
    """The five conditions of a terminating namespace; times move only where a status changes."""
    remaining = ", ".join(
        f"{name} has {count} resource instances"
        for name, count in sorted((f"{kind.plural}.{kind.group}", n) for kind, n in findings.remaining.items())
    )
    held = ", ".join(f"{name} in {count} resource instances" for name, count in sorted(findings.finalizers.items()))
    stated: list[tuple[str, bool, str, str]] = [
        (
            "NamespaceDeletionDiscoveryFailure",
            False,
            "ResourcesDiscovered",
            "All resources successfully discovered",
        ),
        (
            "NamespaceDeletionGroupVersionParsingFailure",
            False,
            "ParsedGroupVersions",
            "All legacy kube types successfully parsed",
        ),
        (
            "NamespaceDeletionContentFailure",
            bool(findings.failures),
            "ContentDeletionFailed" if findings.failures else "ContentDeleted",
            "Failed to delete all resource types, "
            + f"{len(findings.failures)} remaining: "
            + ", ".join(sorted(findings.failures))
            if findings.failures
            else "All content successfully deleted, may be waiting on finalization",
        ),
        (
            "NamespaceContentRemaining",
            bool(remaining),
            "SomeResourcesRemain" if remaining else "ContentRemoved",
            f"Some resources are remaining: {remaining}" if remaining else "All content successfully removed",
        ),
        (
            "NamespaceFinalizersRemaining",
            bool(held),
            "SomeFinalizersRemain" if held else "ContentHasNoFinalizers",
            f"Some content in the namespace has finalizers remaining: {held}"
            if held
            else "All content-preserving finalizers finished",
        ),
    ]
    old = {condition.get("type"): condition for condition in before}
    names = {name for name, _, _, _ in stated}
    out: list[Object] = [dict(condition) for condition in before if condition.get("type") not in names]
    for name, failing, reason, message in stated:
        status = "True" if failing else "False"
        earlier = old.get(name)
        since = earlier.get("lastTransitionTime", now) if earlier and earlier.get("status") == status else now
        out.append({"type": name, "status": status, "lastTransitionTime": since, "reason": reason, "message": message})
    return out


class NamespaceDeletion:
    """Empties terminating namespaces and removes their finalizer."""

    def __init__(self, server: Server) -> None:
        self._server = server
        self._work: Reconciler[str] = Reconciler("namespace-deletion", self._reconcile)
        self._client = server.local(controller_user("namespace-controller"), "kube-controller-manager")
        self._resource_of = ResourceOfStorage(server)
        self._terminating: set[str] = set()
        self._unsubscribe: Callable[[], None] = lambda: None

    async def start(self) -> None:
        for entry in self._server.store.list(NAMESPACES):
            self._consider(entry)
        self._unsubscribe = self._server.store.subscribe(self._changed)
        self._work.start()

    async def stop(self) -> None:
        self._unsubscribe()
        await self._work.stop()

    def _changed(self, change: Change) -> None:
        entry = change.entry
        if entry.storage == NAMESPACES:
            if change.type == "DELETED":
                self._terminating.discard(entry.name)
            else:
                self._consider(entry)
        elif entry.namespace in self._terminating:
            self._work.add(entry.namespace)

    def _consider(self, entry: Entry) -> None:
        if entry.deleting:
            self._terminating.add(entry.name)
            self._work.add(entry.name)

    async def _reconcile(self, name: str) -> None:
        entry = self._server.store.get(NAMESPACES, "", name)
        if entry is None or not entry.deleting:
            return
        if _FINALIZER not in ((entry.parsed().get("spec") or {}).get("finalizers") or ()):
            return
        findings = await self._empty(name)
        if findings.remaining or findings.failures:
            await self._report(name, findings)
            if findings.failures:
                raise ApiError(409, "Conflict", f"namespace {name} still has content: {'; '.join(findings.failures)}")
            return
        await self._finalize(name)

    async def _empty(self, name: str) -> Findings:
        """Delete everything that may go now, and count what is left."""
        findings = Findings()
        store = self._server.store
        pods = list(store.list(_PODS, name))
        await self._delete_all(pods, findings)
        if not store.list(_PODS, name):
            rest = [entry for storage in self._storages() for entry in store.list(storage, name)]
            await self._delete_all(rest, findings)
        for storage in self._storages():
            for entry in store.list(storage, name):
                findings.remaining[storage] += 1
                findings.finalizers.update(entry.finalizers)
        return findings

    def _storages(self) -> list[GroupResource]:
        return [storage for storage in self._server.store.storages() if self._is_namespaced(storage)]

    def _is_namespaced(self, storage: GroupResource) -> bool:
        resource = self._resource_of(storage)
        return resource is not None and resource.namespaced

    async def _delete_all(self, entries: Sequence[Entry], findings: Findings) -> None:
        limit = asyncio.Semaphore(_AT_ONCE)

        async def delete(entry: Entry) -> None:
            resource = self._resource_of(entry.storage)
            if entry.deleting or resource is None:
                return
            async with limit:
                try:
                    await self._client.delete(
                        resource,
                        entry.name,
                        entry.namespace,
                        {"propagationPolicy": "Background", "preconditions": {"uid": entry.uid}},
                    )
                except ApiError as error:
                    if error.code not in (404, 409):
                        findings.failures.append(f"{entry.storage} {entry.name}: {error.message}")

        async with asyncio.TaskGroup() as group:
            for entry in entries:
                group.create_task(delete(entry))

    async def _report(self, name: str, findings: Findings) -> None:
        entry = self._server.store.get(NAMESPACES, "", name)
        if entry is None:
            return
        obj = entry.copy()
        before = (obj.get("status") or {}).get("conditions") or []
        after = conditions(findings, before, self._server.now())
        if after == before:
            return
        obj.setdefault("status", {})["conditions"] = after
        await self._client.update(_PATH, obj, "status")

    async def _finalize(self, name: str) -> None:
        entry = self._server.store.get(NAMESPACES, "", name)
        if entry is None:
            return
        obj = entry.copy()
        spec = obj.setdefault("spec", {})
        spec["finalizers"] = [found for found in spec.get("finalizers") or () if found != _FINALIZER]
        await self._client.update(_PATH, obj, "finalize")
