"""Events about objects, for people who ask "what happened?" (``kubectl describe``, ``kubectl events``).

``EventRecorder.record`` never waits and never fails a reconcile: events go through a bounded buffer to one task
that writes them in the form of events.k8s.io/v1. What repeats becomes a series: the same thing said about the same
object within six minutes is one Event with a count, updated at most once a minute, so that a failing reconcile
cannot flood the server.
"""

from __future__ import annotations

import asyncio
import logging
import os
import socket
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final, Literal, TypeAlias

from merope.api.meta.v1 import Object
from merope.kube.client import Client
from merope.kube.errors import KubeError, NotFound
from merope.kube.resources import CORE, Manifest, ref_of
from merope.kube.snapshot import Snapshot

_log = logging.getLogger(__name__)

EventType: TypeAlias = Literal["Normal", "Warning"]
Regarding: TypeAlias = Snapshot[Any] | Object | Mapping[str, Any]
"""What an event is about: an object in any form (for a dict: with apiVersion, kind and metadata)."""

_EVENT: Final = CORE["Event"]
_WINDOW: Final = 360.0
_REFRESH: Final = 60.0
_BUFFER: Final = 1000
_SERIES: Final = 4096
_NOTE_LIMIT: Final = 1024

_Key: TypeAlias = tuple[str, ...]


@dataclass(slots=True)
class _Series:
    """An Event that may repeat. Times are seconds on the recorder's clock."""

    name: str
    namespace: str
    count: int
    seen: float
    written: float
    last: str
    dirty: bool = False


class EventRecorder:
    """Records events as one controller. ``run()`` must be running (``Manager.recorder`` sees to it)."""

    def __init__(
        self,
        client: Client,
        controller: str,
        *,
        instance: str | None = None,
        default_namespace: str = "default",
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """``controller`` is the reporting controller (``example.com/thing``). ``default_namespace`` is where events
        about cluster-scoped objects go: ``default``, as Kubernetes has it.
        """
        self._client = client
        self._controller = controller
        self._instance = (instance or f"{controller}-{socket.gethostname()}")[:128]
        self._default_namespace = default_namespace
        self._clock = clock
        self._buffer: asyncio.Queue[tuple[_Key, Manifest]] = asyncio.Queue(_BUFFER)
        self._series: dict[_Key, _Series] = {}
        self.dropped = 0
        """Events lost: the buffer was full, or the server refused them."""

    def record(
        self,
        regarding: Regarding,
        type_: EventType,
        reason: str,
        note: str,
        *,
        action: str = "Reconcile",
        related: Regarding | None = None,
    ) -> None:
        """Says what happened. ``reason`` is one CamelCase word for programs, ``note`` (at most 1 KiB) is for people."""
        about = reference(regarding)
        event = self._event(about, type_, reason, note, action, reference(related) if related is not None else None)
        key = (about.get("uid", ""), about.get("name", ""), about["kind"], type_, reason, action, note)
        try:
            self._buffer.put_nowait((key, event))
        except asyncio.QueueFull:
            self.dropped += 1

    def normal(self, regarding: Regarding, reason: str, note: str, *, action: str = "Reconcile") -> None:
        """Something went as it should."""
        self.record(regarding, "Normal", reason, note, action=action)

    def warning(self, regarding: Regarding, reason: str, note: str, *, action: str = "Reconcile") -> None:
        """Something needs attention."""
        self.record(regarding, "Warning", reason, note, action=action)

    async def run(self) -> None:
        """Writes what was recorded, until cancelled; what is in the buffer then is still written, for two seconds."""
        try:
            while True:
                due = self._next_refresh()
                try:
                    async with asyncio.timeout(due):
                        key, event = await self._buffer.get()
                except TimeoutError:
                    await self._refresh()
                    continue
                await self._write(key, event)
        except asyncio.CancelledError:
            try:
                async with asyncio.timeout(2):
                    while not self._buffer.empty():
                        await self._write(*self._buffer.get_nowait())
            except TimeoutError:
                pass
            raise

    def _event(
        self,
        about: Manifest,
        type_: str,
        reason: str,
        note: str,
        action: str,
        related: Manifest | None,
    ) -> Manifest:
        name = about.get("name", "unknown")[:236]
        event: Manifest = {
            "metadata": {
                "name": f"{name}.{time.time_ns():x}{os.urandom(2).hex()}",
                "namespace": about.get("namespace") or self._default_namespace,
            },
            "eventTime": _now(),
            "reportingController": self._controller,
            "reportingInstance": self._instance,
            "action": action,
            "reason": reason,
            "regarding": about,
            "note": note if len(note) <= _NOTE_LIMIT else note[: _NOTE_LIMIT - 3] + "...",
            "type": type_,
        }
        if related is not None:
            event["related"] = related
        return event

    async def _write(self, key: _Key, event: Manifest) -> None:
        now = self._clock()
        series = self._series.get(key)
        if series is not None and now - series.seen < _WINDOW:
            series.count += 1
            series.seen, series.last, series.dirty = now, event["eventTime"], True
            if series.count == 2 or now - series.written >= _REFRESH:
                await self._update(key, series, now)
            return
        metadata = event["metadata"]
        try:
            await self._client.create(_EVENT, event, metadata["namespace"])
        except KubeError as error:
            self.dropped += 1
            _log.debug("event %s about %s not written: %s", event["reason"], event["regarding"], error)
            return
        if len(self._series) >= _SERIES:
            del self._series[min(self._series, key=lambda known: self._series[known].seen)]
        self._series[key] = _Series(metadata["name"], metadata["namespace"], 1, now, now, event["eventTime"])

    async def _update(self, key: _Key, series: _Series, now: float) -> None:
        patch = {"series": {"count": series.count, "lastObservedTime": series.last}}
        series.written, series.dirty = now, False
        try:
            await self._client.patch(_EVENT, series.name, patch, namespace=series.namespace)
        except NotFound:
            self._series.pop(key, None)  # expired on the server: the next one starts anew
        except KubeError as error:
            _log.debug("event series %s not updated: %s", series.name, error)

    def _next_refresh(self) -> float | None:
        """Seconds until a series has something to write, or None."""
        due = [series.written + _REFRESH for series in self._series.values() if series.dirty]
        return max(0.0, min(due) - self._clock()) if due else None

    async def _refresh(self) -> None:
        now = self._clock()
        for key, series in list(self._series.items()):
            if series.dirty and now - series.written >= _REFRESH:
                await self._update(key, series, now)
            elif not series.dirty and now - series.seen >= _WINDOW:
                del self._series[key]


def reference(obj: Regarding) -> Manifest:
    """An object as an ObjectReference: kind, name, namespace, uid, apiVersion, resourceVersion."""
    if isinstance(obj, Snapshot):
        api_version, kind = obj.ref.api_version, obj.ref.kind
        name, namespace, uid, version = obj.name, obj.namespace, obj.uid, obj.resource_version
    elif isinstance(obj, Object):
        ref = ref_of(type(obj))
        api_version, kind = ref.api_version, ref.kind
        name, namespace, uid, version = obj.name, obj.namespace, obj.uid, obj.resource_version
    else:
        metadata = obj.get("metadata") or {}
        api_version, kind = obj.get("apiVersion", ""), obj.get("kind", "")
        name, namespace = metadata.get("name", ""), metadata.get("namespace", "")
        uid, version = metadata.get("uid", ""), metadata.get("resourceVersion", "")
    fields = {
        "apiVersion": api_version,
        "kind": kind,
        "name": name,
        "namespace": namespace,
        "uid": uid,
        "resourceVersion": version,
    }
    return {key: value for key, value in fields.items() if value or key == "kind"}


def _now() -> str:
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
