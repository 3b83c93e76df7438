"""Lists: which version they show, which objects, and where the next page starts."""

from __future__ import annotations

import asyncio
import time
from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from merope.controlplane.entry import Entry, Selection
from merope.controlplane.errors import expired, too_large_resource_version
from merope.controlplane.http.options import ListOptions
from merope.controlplane.registry import continuation
from merope.controlplane.registry.continuation import ContinuationExpired
from merope.controlplane.resource import Resource
from merope.controlplane.store import Expired, Store

#: Seconds that a read waits for a version that was not reached yet.
FRESHNESS_WAIT: Final = 3.0
#: Seconds that a list may hold the event loop.
_SLICE: Final = 0.01


@dataclass(frozen=True, slots=True)
class ListResult:
    """One page: its objects, the version it shows, and how to go on (empty at the end)."""

    entries: Sequence[Entry]
    version: int
    token: str = ""
    remaining: int | None = None


async def wait_until(store: Store, version: int) -> None:
    """Wait for a version to be reached; 504 where it is not in time."""
    if version > store.rv and not await store.wait_for(version, FRESHNESS_WAIT):
        raise too_large_resource_version(version, store.rv)


async def list_objects(
    store: Store, resource: Resource, namespace: str, options: ListOptions, selection: Selection
) -> ListResult:
    """One page of the objects in scope that ``selection`` matches, sorted by namespace and name."""
    spanning = resource.namespaced and not namespace
    after: tuple[str, str] | None = None
    version = options.version or 0
    limit = options.limit
    if options.continue_token:
        token = continuation.decode(options.continue_token, namespace=namespace, namespaced_start=spanning)
        after = (token.namespace, token.name)
        if token.version == continuation.LATEST:
            entries, version = store.list(resource.storage, namespace), store.rv
        else:
            if token.version > store.rv:
                raise too_large_resource_version(token.version, store.rv)
            try:
                entries, version = store.list_at(resource.storage, namespace, token.version), token.version
            except Expired:
                fresh = continuation.encode(continuation.LATEST, *after, namespaced_start=spanning)
                raise ContinuationExpired(fresh) from None
    elif options.match == "Exact" or (version and limit and not options.match):
        if version > store.rv:
            raise too_large_resource_version(version, store.rv)
        try:
            entries = store.list_at(resource.storage, namespace, version)
        except Expired:
            raise expired("The resourceVersion for the provided list is too old.") from None
    else:
        if version:
            await wait_until(store, version)
        elif options.version == 0:
            limit = 0
        entries, version = store.list(resource.storage, namespace), store.rv
    start = bisect_right(entries, after, key=_position) if after is not None else 0
    return await _page(entries, start, version, limit, selection, spanning)


def _position(entry: Entry) -> tuple[str, str]:
    return (entry.namespace, entry.name)


async def _page(
    entries: Sequence[Entry], start: int, version: int, limit: int, selection: Selection, spanning: bool
) -> ListResult:
    matches = selection.matches
    if matches is None:
        if not limit or len(entries) - start <= limit:
            return ListResult(entries[start:] if start else entries, version)
        page = entries[start : start + limit]
        last = page[-1]
        token = continuation.encode(version, last.namespace, last.name, namespaced_start=spanning)
        return ListResult(page, version, token, len(entries) - start - limit)
    found: list[Entry] = []
    deadline = time.perf_counter() + _SLICE
    for index in range(start, len(entries)):
        entry = entries[index]
        if matches(entry):
            if limit and len(found) == limit:
                last = found[-1]
                return ListResult(
                    found, version, continuation.encode(version, last.namespace, last.name, namespaced_start=spanning)
                )
            found.append(entry)
        if not index & 63 and time.perf_counter() > deadline:
            await asyncio.sleep(0)
            deadline = time.perf_counter() + _SLICE
    return ListResult(found, version)
