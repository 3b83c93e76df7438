"""DELETE: at once, after finalizers, after a grace period.

The garbage collector and the namespace controller do the rest; here only the finalizers are set that tell them what.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, Final

from merope.controlplane.entry import Entry
from merope.controlplane.errors import conflict, not_found
from merope.controlplane.http.options import DeleteOptions
from merope.controlplane.registry import metadata as meta
from merope.controlplane.registry.writing import Written
from merope.controlplane.resource import GroupResource, Object, Request
from merope.controlplane.store import Conflict

if TYPE_CHECKING:
    from merope.controlplane.server import Server

_NAMESPACES: Final = GroupResource("", "namespaces")
_RETRIES: Final = 32
_DEFAULT_GRACE: Final = 30


class Deleter:
    """The deleting half of the registry."""

    def __init__(self, server: Server) -> None:
        self._server = server

    async def delete(self, request: Request, options: DeleteOptions, *, listed: Entry | None = None) -> Written:
        """Delete one object. ``obj`` of the result is a Status where the object is gone and the kind answers so."""
        server, resource = self._server, request.resource
        request.deletion = options.shown()
        admitted = False
        for _ in range(_RETRIES):
            entry = server.store.head(resource.storage, request.namespace, request.name)
            if entry is None or (listed is not None and entry.uid != listed.uid):
                raise not_found(resource.group, resource.plural, request.name)
            self._check_preconditions(request, options, entry)
            if not admitted:
                old = await server.views.fresh(resource, entry)
                await server.admission.mutate(request, "DELETE", None, old)
                await server.admission.validate(request, "DELETE", None, old)
                admitted = True
                if server.store.head(resource.storage, request.namespace, request.name) is not entry:
                    continue
            try:
                return await self._delete(request, options, entry)
            except Conflict:
                continue
        raise conflict(resource.group, resource.plural, request.name)

    @staticmethod
    def _check_preconditions(request: Request, options: DeleteOptions, entry: Entry) -> None:
        resource = request.resource
        if options.uid is not None and options.uid != entry.uid:
            if resource.storage == _NAMESPACES:
                cause = f"Precondition failed: UID in precondition: {options.uid}, UID in object meta: {entry.uid}"
                raise conflict(resource.group, resource.plural, request.name, cause)
            cause = (
                f"the UID in the precondition ({options.uid}) does not match the UID in record ({entry.uid}). "
                "The object might have been deleted and then recreated"
            )
            raise conflict(resource.group, resource.kind, request.name, cause)
        if options.resource_version is not None and options.resource_version != str(entry.rv):
            cause = (
                f"the ResourceVersion in the precondition ({options.resource_version}) does not match the "
                f"ResourceVersion in record ({entry.rv}). The object might have been modified"
            )
            raise conflict(resource.group, resource.kind, request.name, cause)

    async def _delete(self, request: Request, options: DeleteOptions, entry: Entry) -> Written:
        server, resource, strategy = self._server, request.resource, request.resource.strategy
        obj = entry.copy()
        metadata = obj["metadata"]
        first = not metadata.get("deletionTimestamp")
        is_namespace = resource.storage == _NAMESPACES
        changed = False
        prepare = getattr(strategy, "prepare_delete", None)
        if first and prepare is not None:
            prepare(server, request, obj)
        if strategy.graceful:
            grace = _grace(obj, options)
            if grace > 0 and not (not first and (metadata.get("deletionGracePeriodSeconds") or 0) <= grace):
                metadata["deletionTimestamp"] = _after(server.clock(), grace)
                metadata["deletionGracePeriodSeconds"] = grace
                if first:
                    metadata["generation"] = (metadata.get("generation") or 0) + 1
                _set_collector_finalizers(metadata, options)
                return await self._mark(request, entry, obj)
            if grace > 0:
                return Written(entry)
            metadata["deletionGracePeriodSeconds"] = 0
        if not (is_namespace and not first):
            changed = _set_collector_finalizers(metadata, options)
        held = bool(metadata.get("finalizers")) or (is_namespace and bool((obj.get("spec") or {}).get("finalizers")))
        if not held:
            return await self._remove(request, entry, obj)
        if first:
            metadata["deletionTimestamp"] = server.now()
            if getattr(strategy, "records_grace", not is_namespace):
                metadata["deletionGracePeriodSeconds"] = 0
            if strategy.tracks_generation or metadata.get("generation"):
                metadata["generation"] = (metadata.get("generation") or 0) + 1
            if is_namespace:
                obj.setdefault("status", {})["phase"] = "Terminating"
            changed = True
        elif strategy.graceful and entry.parsed()["metadata"].get("deletionGracePeriodSeconds"):
            metadata["deletionTimestamp"] = server.now()
            changed = True
        if not changed:
            return Written(entry)
        return await self._mark(request, entry, obj)

    async def _mark(self, request: Request, entry: Entry, obj: Object) -> Written:
        """Store the object as one that is being deleted."""
        if request.options.dry_run:
            return Written(None, obj)
        store, resource = self._server.store, request.resource
        return Written(await store.put(resource.storage, request.namespace, request.name, obj, entry))

    async def _remove(self, request: Request, entry: Entry, obj: Object) -> Written:
        resource = request.resource
        if not request.options.dry_run:
            await self._server.store.delete(resource.storage, request.namespace, request.name, entry)
        if resource.strategy.delete_returns_object:
            if resource.strategy.graceful:
                metadata = obj["metadata"]
                metadata.setdefault("deletionTimestamp", self._server.now())
                metadata.setdefault("deletionGracePeriodSeconds", 0)
                return Written(None, obj)
            return Written(None, await self._server.views.fresh(resource, entry))
        details: dict[str, Any] = {"name": entry.name}
        if resource.group:
            details["group"] = resource.group
        details["kind"] = resource.plural
        details["uid"] = entry.uid
        return Written(
            None,
            {"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Success", "details": details},
        )


def _grace(obj: Mapping[str, Any], options: DeleteOptions) -> int:
    """Seconds that a pod has to end."""
    grace = options.grace_period
    spec: Mapping[str, Any] = obj.get("spec") or {}
    if grace is None:
        grace = spec.get("terminationGracePeriodSeconds")
    if grace is None:
        grace = _DEFAULT_GRACE
    if not spec.get("nodeName") or (obj.get("status") or {}).get("phase") in ("Failed", "Succeeded"):
        return 0
    return 1 if grace < 0 else int(grace)


def _after(moment: float, seconds: int) -> str:
    return (datetime.fromtimestamp(moment, UTC) + timedelta(seconds=seconds)).strftime("%Y-%m-%dT%H:%M:%SZ")


def _set_collector_finalizers(metadata: dict[str, Any], options: DeleteOptions) -> bool:
    """Leave word for the garbage collector what becomes of the dependents; tells whether anything changed."""
    before = list(metadata.get("finalizers") or ())
    orphan, foreground = meta.ORPHAN in before, meta.FOREGROUND in before
    if options.orphan_dependents is not None:
        orphan, foreground = options.orphan_dependents, False
    elif options.propagation:
        orphan, foreground = options.propagation == "Orphan", options.propagation == "Foreground"
    after = [finalizer for finalizer in before if finalizer not in (meta.ORPHAN, meta.FOREGROUND)]
    if orphan:
        after.append(meta.ORPHAN)
    if foreground:
        after.append(meta.FOREGROUND)
    if after == before or (set(after) == set(before)):
        return False
    if after:
        metadata["finalizers"] = after
    else:
        metadata.pop("finalizers", None)
    return True
