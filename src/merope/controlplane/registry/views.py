"""Stored objects as a resource serves them.

Most often that is the stored bytes themselves. Not so where an object was stored in another version than the one asked
for, where two groups show the same objects (events), and where a custom resource's schema got defaults after the
object was written: then the object is decoded, completed, converted, and the result kept for the next reader.
"""

from __future__ import annotations

import inspect
from collections import OrderedDict
from collections.abc import Sequence
from typing import Any, Final

import orjson

from merope.controlplane.entry import Entry
from merope.controlplane.resource import Object, Resource

_BUDGET: Final = 16 * 1024 * 1024


def stored_api_version(resource: Resource) -> str:
    """The apiVersion in which objects of ``resource`` are written to the store."""
    group = resource.storage.group
    return f"{group}/{resource.storage_version}" if group else resource.storage_version


class Views:
    """Reads stored objects in the version and with the defaults of a resource."""

    def __init__(self) -> None:
        self._converted: OrderedDict[tuple[Any, ...], bytes] = OrderedDict()
        self._held = 0

    @staticmethod
    def as_stored(resource: Resource, entry: Entry) -> bool:
        """Whether the stored bytes are what ``resource`` serves."""
        if getattr(resource.strategy, "read", None) is not None:
            return False
        return entry.data.startswith(b'{"apiVersion":"%b",' % resource.api_version.encode())

    async def encoded(self, resource: Resource, entry: Entry) -> bytes:
        """The object as JSON."""
        if self.as_stored(resource, entry):
            return entry.data
        key = self._key(resource, entry)
        found = self._converted.get(key)
        if found is None:
            found = self._keep(key, entry, await self._converted_object(resource, entry))
        return found

    async def encoded_all(self, resource: Resource, entries: Sequence[Entry]) -> list[bytes]:
        """The objects as JSON; those that a webhook has to convert are sent to it together."""
        if getattr(resource.strategy, "converts_remotely", False):
            await self._convert_remotely(resource, entries)
        return [
            entry.data if self.as_stored(resource, entry) else await self.encoded(resource, entry) for entry in entries
        ]

    async def _convert_remotely(self, resource: Resource, entries: Sequence[Entry]) -> None:
        missing: list[tuple[Entry, Object]] = []
        for entry in entries:
            if self._key(resource, entry) in self._converted or self.as_stored(resource, entry):
                continue
            obj = entry.copy()
            read = getattr(resource.strategy, "read", None)
            if read is not None:
                read(obj)
            if obj.get("apiVersion") != resource.api_version:
                missing.append((entry, obj))
        if missing:
            convert_all: Any = resource.strategy.convert_all  # type: ignore[attr-defined]
            converted = await convert_all([obj for _, obj in missing], resource.api_version)
            for (entry, _), obj in zip(missing, converted, strict=True):
                self._keep(self._key(resource, entry), entry, obj)

    async def shared(self, resource: Resource, entry: Entry) -> Object:
        """The object, which the caller must not change."""
        if self.as_stored(resource, entry):
            return entry.parsed()
        return orjson.loads(await self.encoded(resource, entry))  # type: ignore[no-any-return]

    async def fresh(self, resource: Resource, entry: Entry) -> Object:
        """The object, the caller's own."""
        return orjson.loads(await self.encoded(resource, entry))  # type: ignore[no-any-return]

    def shared_now(self, resource: Resource, entry: Entry) -> Object:
        """``shared`` without waiting, for selectors; a conversion that must wait is left out."""
        if self.as_stored(resource, entry):
            return entry.parsed()
        found = self._converted.get(self._key(resource, entry))
        if found is not None:
            return orjson.loads(found)  # type: ignore[no-any-return]
        obj = entry.copy()
        read = getattr(resource.strategy, "read", None)
        if read is not None:
            read(obj)
        if obj.get("apiVersion") == resource.api_version:
            return obj
        found_now = self.convert_now(resource, obj, resource.api_version)
        return found_now if found_now is not None else obj

    @staticmethod
    def convert_now(resource: Resource, obj: Object, api_version: str) -> Object | None:
        """``obj`` in another version, where that needs no waiting; else None."""
        if obj.get("apiVersion") == api_version:
            return obj
        result = convert_with(resource, obj, api_version)
        if inspect.isawaitable(result):
            if inspect.iscoroutine(result):
                result.close()
            return None
        return result  # type: ignore[no-any-return]

    async def to_storage(self, resource: Resource, obj: Object) -> Object:
        """``obj`` of the resource's version in the version it is stored in."""
        target = stored_api_version(resource)
        if obj.get("apiVersion") == target:
            return obj
        return await self.convert(resource, obj, target)

    async def convert(self, resource: Resource, obj: Object, api_version: str) -> Object:
        """``obj`` in another version of its kind; a new object, or the same where nothing is to be done."""
        if obj.get("apiVersion") == api_version:
            return obj
        result = convert_with(resource, obj, api_version)
        if inspect.isawaitable(result):
            result = await result
        return result  # type: ignore[no-any-return]

    async def _converted_object(self, resource: Resource, entry: Entry) -> Object:
        obj = entry.copy()
        read = getattr(resource.strategy, "read", None)
        if read is not None:
            read(obj)
        return await self.convert(resource, obj, resource.api_version)

    @staticmethod
    def _key(resource: Resource, entry: Entry) -> tuple[Any, ...]:
        return (resource, entry.namespace, entry.name, entry.rv)

    def _keep(self, key: tuple[Any, ...], entry: Entry, obj: Object) -> bytes:
        data = orjson.dumps(obj)
        # Two readers may have converted it at the same time.
        self._held -= len(self._converted.pop(key, b""))
        self._converted[key] = data
        self._held += len(data)
        while self._held > _BUDGET and len(self._converted) > 1:
            _, dropped = self._converted.popitem(last=False)
            self._held -= len(dropped)
        return data


def convert_with(resource: Resource, obj: Object, api_version: str) -> Any:
    """The object in another version by the kind's own conversion, or an awaitable of it."""
    convert = getattr(resource.strategy, "convert", None)
    if convert is not None:
        return convert(obj, api_version)
    return {**obj, "apiVersion": api_version}
