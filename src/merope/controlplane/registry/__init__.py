"""The verbs that all resources have in common.

In come a ``Request`` (who, what, with which options) and decoded bodies; out come stored entries, pages of them, and
watchers. What differs from kind to kind is asked of the resource's strategy; who may do it was decided before.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Final

from merope.controlplane.entry import Entry, Selection
from merope.controlplane.errors import ApiError, not_found
from merope.controlplane.http.options import DeleteOptions, ListOptions
from merope.controlplane.registry import listing
from merope.controlplane.registry.deletion import Deleter
from merope.controlplane.registry.listing import ListResult
from merope.controlplane.registry.patching import Patch
from merope.controlplane.registry.selection import pinned, select
from merope.controlplane.registry.writing import Writer, Written
from merope.controlplane.resource import Object, Request
from merope.controlplane.watch import Watcher

if TYPE_CHECKING:
    from merope.controlplane.server import Server

__all__ = ["DeleteOptions", "ListOptions", "ListResult", "Patch", "Registry", "Written"]

#: Objects of a collection that are deleted at the same time: they share what a commit costs.
_AT_ONCE: Final = 32


class Registry:
    """Reads and writes the objects of one server."""

    def __init__(self, server: Server) -> None:
        self._server = server
        self.writer = Writer(server)
        self.deleter = Deleter(server)

    async def get(self, request: Request, version: int = 0) -> Entry:
        """The object; not older than ``version``. Raises ApiError 404."""
        store, resource = self._server.store, request.resource
        if version > store.rv:
            await listing.wait_until(store, version)
        entry = store.get(resource.storage, request.namespace, request.name)
        if entry is None:
            raise not_found(resource.group, resource.plural, request.name)
        return entry

    async def list(self, request: Request, options: ListOptions) -> ListResult:
        """One page of the objects in the request's namespace (all, where it is empty)."""
        resource = request.resource
        selection = self.selection(request, options)
        return await listing.list_objects(
            self._server.store, resource, self._scope(request, options), options, selection
        )

    def selection(self, request: Request, options: ListOptions) -> Selection:
        """What the selectors of a list or watch select; 400 where they are wrong."""
        return select(request.resource, options.label_selector, options.field_selector, self._server.views)

    @staticmethod
    def _scope(request: Request, options: ListOptions) -> str:
        """The namespace to look into: a field selector may pin it where the path does not."""
        if request.resource.namespaced and not request.namespace and not options.continue_token:
            return pinned(options.field_selector, "metadata.namespace")
        return request.namespace

    async def watch(self, request: Request, options: ListOptions) -> Watcher:
        """The changes in scope from the version that the options say. Raises store.Expired."""
        store, resource = self._server.store, request.resource
        version = options.version or 0
        initial = options.initial_events if options.initial_events is not None else not version
        if initial and version:
            await listing.wait_until(store, version)
        return store.watch(
            resource.storage,
            namespace=self._scope(request, options),
            name=pinned(options.field_selector, "metadata.name"),
            since=version or None,
            initial=initial,
        )

    async def create(self, request: Request, obj: Object, duplicates: Sequence[str] = ()) -> Written:
        """Store a new object; ``duplicates`` are complaints about its text (field validation)."""
        return await self.writer.create(request, obj, duplicates)

    async def update(self, request: Request, obj: Object, duplicates: Sequence[str] = ()) -> Written:
        """Replace an object, or its part behind a subresource."""
        return await self.writer.update(request, obj, duplicates)

    async def patch(self, request: Request, patch: Patch) -> Written:
        """Change an object by a patch of any type."""
        return await self.writer.patch(request, patch)

    async def delete(self, request: Request, options: DeleteOptions) -> Written:
        """Delete an object, or begin to."""
        return await self.deleter.delete(request, options)

    async def delete_collection(self, request: Request, options: DeleteOptions, selected: ListOptions) -> ListResult:
        """Delete each object that is selected; the result holds them as they were found."""
        page = await self.list(request, selected)
        for start in range(0, len(page.entries), _AT_ONCE):
            batch = page.entries[start : start + _AT_ONCE]
            results = await asyncio.gather(
                *(self._delete_listed(request, options, entry) for entry in batch), return_exceptions=True
            )
            failures = [result for result in results if result is not None]
            if failures:
                raise failures[0]
            await asyncio.sleep(0)
        return page

    async def _delete_listed(self, request: Request, options: DeleteOptions, entry: Entry) -> None:
        """Delete one object of a collection, unless it has gone meanwhile."""
        single = replace(request, verb="delete", namespace=entry.namespace, name=entry.name)
        try:
            await self.deleter.delete(single, options, listed=entry)
        except ApiError as error:
            if error.code != 404:
                raise
