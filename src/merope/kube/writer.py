"""Writing what changed, and nothing else.

A write is a function from the object as it is to the object as it should be. The writer applies it to what the
caller read, compares, and sends nothing where nothing differs; otherwise a JSON merge patch that carries the uid
and the version it was computed from, so that it never lands on an object that changed since, or on a namesake.
Where the object did change (409), it is read live, the function is applied again, and the patch is sent at once;
after the third refusal the ``Conflict`` goes to the caller, whose queue backs off.

The function must therefore be a pure function of the object it gets, and may be called several times.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from typing import Any, Final, Generic, TypeVar, cast, overload

import msgspec
import orjson

from merope.api.diff import changed_raw, create_merge_patch
from merope.api.meta.v1 import Object
from merope.kube.client import Client
from merope.kube.errors import Conflict, NotFound
from merope.kube.resources import Kind, Manifest, ObjectT, ResourceRef, ref_of
from merope.kube.snapshot import Snapshot

V = TypeVar("V")

ATTEMPTS: Final = 3

RawChange = Callable[[Manifest], Manifest | None]
"""Changes the raw object in place, or returns another one."""


@overload
async def write(
    client: Client, kind: type[ObjectT], snapshot: Snapshot[Any], change: RawChange, *, subresource: str = ""
) -> Snapshot[ObjectT]: ...
@overload
async def write(
    client: Client, kind: ResourceRef, snapshot: Snapshot[Any], change: RawChange, *, subresource: str = ""
) -> Snapshot[Manifest]: ...
async def write(
    client: Client, kind: Kind, snapshot: Snapshot[Any], change: RawChange, *, subresource: str = ""
) -> Snapshot[Any]:
    """Brings an object to what ``change`` makes of its raw form; returns the state that results.

    No request where nothing differs. ``snapshot`` may come from a cache; a projected one is read live first. With
    ``subresource="status"`` only the status is compared and sent. Raises ``Conflict`` after three refusals,
    ``NotFound`` where the object is gone or another one has its name.
    """
    current: Snapshot[Any] = snapshot
    if not snapshot.whole:
        current = await _live(client, kind, snapshot)
    attempt = 0
    while True:
        attempt += 1
        patch = patch_of(current, change, subresource)
        if not patch:
            return current
        try:
            return await client.patch_snapshot(
                cast(ResourceRef, kind),
                current.name,
                patch,
                namespace=current.namespace or None,
                subresource=subresource,
            )
        except Conflict:
            if attempt >= ATTEMPTS:
                raise
        current = await _live(client, kind, snapshot)


async def write_typed(
    client: Client,
    kind: type[ObjectT],
    snapshot: Snapshot[Any],
    change: Callable[[ObjectT], ObjectT],
    *,
    subresource: str = "",
) -> Snapshot[ObjectT]:
    """Like ``write``, with a function over the typed object (``msgspec.structs.replace``).

    What the struct doesn't know survives: only the difference between the two structs is carried into the raw
    object.
    """

    def raw_change(raw: Manifest) -> Manifest:
        before = msgspec.convert(raw, kind)
        return changed_raw(raw, before, change(before))

    return await write(client, kind, snapshot, raw_change, subresource=subresource)


def patch_of(snapshot: Snapshot[Any], change: RawChange, subresource: str = "") -> dict[str, Any]:
    """The merge patch of a change, with uid and version; empty where the change changes nothing."""
    before = snapshot.raw
    after = snapshot.raw
    changed = change(after)
    if changed is not None:
        after = changed
    patch = create_merge_patch(before, after)
    if subresource == "status":
        patch = {"status": patch["status"]} if "status" in patch else {}
    if not patch:
        return {}
    metadata = patch.setdefault("metadata", {})
    metadata["uid"] = snapshot.uid
    metadata["resourceVersion"] = snapshot.resource_version
    return patch


async def _live(client: Client, kind: Kind, snapshot: Snapshot[Any]) -> Snapshot[Any]:
    current = await client.fetch(cast(ResourceRef, kind), snapshot.name, snapshot.namespace or None)
    if current.uid != snapshot.uid:
        message = f"{snapshot.ref} {snapshot.key}: uid {snapshot.uid} is gone, another object has its name"
        raise NotFound({"code": 404, "reason": "NotFound", "message": message})
    return current


class StatusWriter(Generic[V]):
    """The one writer of a kind's status in a process: what several controllers want of one object becomes one
    patch.

    Each controller gives a function over the raw object that sets its own part of the status. Functions that come
    while a patch is under way are applied together in the next one.
    """

    def __init__(self, client: Client, kind: type[V] | ResourceRef, *, subresource: str = "status") -> None:
        self._client = client
        self._kind = cast(Kind, kind)
        self._ref = ref_of(self._kind)
        self._subresource = subresource
        self._objects: dict[str, _Pending[V]] = {}

    async def write(self, snapshot: Snapshot[Any], change: RawChange) -> Snapshot[V]:
        """Sets a part of the status; returns the state that results, with everybody's parts. Raises as ``write``
        does.
        """
        pending = self._objects.setdefault(snapshot.uid, _Pending())
        wanted: asyncio.Future[Snapshot[V]] = asyncio.get_running_loop().create_future()
        entry = (snapshot, change, wanted)
        pending.entries.append(entry)
        pending.users += 1
        try:
            async with pending.lock:
                if not wanted.done():
                    await self._flush(pending)
            return wanted.result()
        finally:
            if entry in pending.entries:
                pending.entries.remove(entry)
            pending.users -= 1
            if pending.users == 0:
                self._objects.pop(snapshot.uid, None)

    async def _flush(self, pending: _Pending[V]) -> None:
        """One write for everybody who waits. If we are cancelled, the others' wishes stay for the next in line."""
        entries = list(pending.entries)
        newest = max((entry[0] for entry in entries), key=lambda state: state.version() or 0)

        def everything(raw: Manifest) -> Manifest:
            for _, change, _ in entries:
                changed = change(raw)
                if changed is not None:
                    raw = changed
            return raw

        try:
            result = await write(
                self._client, cast(ResourceRef, self._kind), newest, everything, subresource=self._subresource
            )
        except Exception as error:
            for entry in entries:
                if not entry[2].done():
                    entry[2].set_exception(error)
                    entry[2].exception()  # a caller that was cancelled meanwhile won't ask
        else:
            typed = cast("Snapshot[V]", result.typed(None if isinstance(self._kind, ResourceRef) else self._kind))
            for entry in entries:
                if not entry[2].done():
                    entry[2].set_result(typed)
        pending.entries = [entry for entry in pending.entries if entry not in entries]


class _Pending(Generic[V]):
    """What is wanted of one object and not yet written."""

    def __init__(self) -> None:
        self.lock = asyncio.Lock()
        self.users = 0
        self.entries: list[tuple[Snapshot[Any], RawChange, asyncio.Future[Snapshot[V]]]] = []


def equal(one: Mapping[str, Any] | Object, other: Mapping[str, Any] | Object) -> bool:
    """Whether two objects (or parts of objects) have the same JSON."""
    return orjson.dumps(_plain(one), option=orjson.OPT_SORT_KEYS) == orjson.dumps(
        _plain(other), option=orjson.OPT_SORT_KEYS
    )


def _plain(value: Mapping[str, Any] | Object) -> Any:
    return msgspec.to_builtins(value)
