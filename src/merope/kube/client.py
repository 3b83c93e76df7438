"""The client: every verb of the Kubernetes API, typed where the kind is a class of ``merope.api``, dynamic
otherwise.

What a *kind* is, decides what comes back: ``client.get(ManagedCluster, "c1")`` is a ``ManagedCluster``,
``client.get(CORE["Secret"], "s", "ns")`` a dict. Typed objects are for reading and for creating. Changing an object
that exists means sending what changed, never the struct: ``patch``, or ``merope.kube.writer`` which makes the
patch.

Retries. A refusal with 429, or with a server error that says ``Retry-After``, was not carried out and is repeated
for every verb. A lost connection is repeated for the verbs whose repetition changes nothing more (all but create
and JSON patches), and for those too where the server can't have seen the request. All of it within ``patience``
seconds.
"""

from __future__ import annotations

import asyncio
import builtins
import enum
import logging
import random
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Iterable, Mapping
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any, Final, Generic, Protocol, Self, TypeVar, cast, overload
from urllib.parse import quote, urlencode

import msgspec
import orjson

from merope import __version__
from merope.api.meta.v1 import Object
from merope.kube.config import ClientConfig
from merope.kube.errors import (
    ApiError,
    ConnectionFailed,
    CredentialRefused,
    NotFound,
    Unauthorized,
    error_from_response,
)
from merope.kube.resources import Kind, Manifest, ObjectT, ResourceRef, RESTMapper, ref_of
from merope.kube.slots import WatchSlots
from merope.kube.snapshot import ObjectKey, Snapshot, encode
from merope.kube.transport import HttpsTransport, Response, Transport
from merope.kube.watch import Malformed, WatchEvent, lines, parse

_log = logging.getLogger(__name__)

V = TypeVar("V")

_JSON: Final = {"Accept": "application/json", "Accept-Encoding": "identity"}
_METADATA: Final = "application/json;as=PartialObjectMetadata;g=meta.k8s.io;v=v1,application/json"
_COMPRESSED: Final = {"Accept": "application/json", "Accept-Encoding": "gzip"}
_RETRIES: Final = 10
_FIRST_PAUSE: Final = 0.05
_LONGEST_PAUSE: Final = 2.0
_OBJECT_SUBRESOURCES: Final = frozenset({"", "status", "approval", "finalize", "ephemeralcontainers", "resize"})


class PatchType(enum.StrEnum):
    """How a patch is written; the value is its content type."""

    MERGE = "application/merge-patch+json"
    JSON = "application/json-patch+json"
    STRATEGIC = "application/strategic-merge-patch+json"
    APPLY = "application/apply-patch+yaml"


class Propagation(enum.StrEnum):
    """What happens to the dependents of a deleted object."""

    BACKGROUND = "Background"
    FOREGROUND = "Foreground"
    ORPHAN = "Orphan"


@dataclass(frozen=True, slots=True)
class Page(Generic[V]):
    """A part of a list, all of whose pages show the state at one version."""

    items: list[Snapshot[V]]
    resource_version: str
    continue_token: str = ""
    remaining: int | None = None
    size: int = 0
    """Bytes of the answer."""


class Observer(Protocol):
    """Somebody who wants to know what this client itself wrote, without waiting for the watch (informers)."""

    def written(self, snapshot: Snapshot[Any]) -> None:
        """The server's answer to a create, update or patch."""

    def deleted(self, key: ObjectKey, uid: str) -> None:
        """The object of this uid is gone because we deleted it."""


class _ListMeta(msgspec.Struct, rename="camel"):
    resource_version: str = ""
    continue_: str = msgspec.field(default="", name="continue")
    remaining_item_count: int | None = None


class _List(msgspec.Struct):
    metadata: _ListMeta = msgspec.field(default_factory=_ListMeta)
    items: list[msgspec.Raw] | None = None
    kind: str = ""


_list: Final = msgspec.json.Decoder(_List)


@dataclass
class _RateLimit:
    """A token bucket: ``qps`` requests a second, ``burst`` at once."""

    qps: float
    burst: float
    _tokens: float = field(init=False)
    _at: float = field(init=False, default=0.0)

    def __post_init__(self) -> None:
        self._tokens = self.burst

    def delay(self, now: float) -> float:
        """Takes a token; the seconds to wait until it is there."""
        self._tokens = min(self.burst, self._tokens + (now - self._at) * self.qps)
        self._at = now
        self._tokens -= 1
        return max(0.0, -self._tokens / self.qps)


class Client:
    """A connection to one API server as one identity. Use as ``async with Client(config) as client``.

    ``connections`` limits the connections to the server (0: no limit); one of them is kept for requests, the others
    are for watches, and informers beyond that number take turns (``merope.kube.slots``). An agent's hub client has
    3. ``in_flight`` limits the requests under way, ``qps`` and ``burst`` the rate of new ones (None: no limit),
    ``timeout`` is the time one try of a request may take, ``patience`` the time that retries may take (seconds).
    ``on_warning`` gets the text of each ``Warning`` header.
    """

    def __init__(
        self,
        config: ClientConfig,
        *,
        transport: Transport | None = None,
        user_agent: str = f"merope/{__version__}",
        field_manager: str = "merope",
        connections: int = 0,
        in_flight: int = 32,
        qps: float | None = None,
        burst: float = 10,
        timeout: float = 30.0,
        patience: float = 10.0,
        on_warning: Callable[[str], None] | None = None,
    ) -> None:
        if connections == 1:
            raise ValueError("connections=1 leaves none for watches: at least 2, or 0 for no limit")
        self.config = config
        self.field_manager = field_manager
        self.watch_slots = WatchSlots(max(0, connections - 1))
        self._transport = transport if transport is not None else HttpsTransport(config, connections=connections)
        self._user_agent = {"User-Agent": user_agent}
        self._plain = {**_JSON, **self._user_agent}
        self._gate = asyncio.Semaphore(in_flight)
        self._rate = _RateLimit(qps, burst) if qps else None
        self._timeout = timeout
        self._patience = patience
        self._on_warning = on_warning
        self._closed = False
        self._observers: dict[ResourceRef, list[Observer]] = {}
        self.mapper = RESTMapper(self)
        self.streaming_lists = True
        """Whether the server is believed to stream lists (WatchList); informers set it to False when it doesn't."""
        self.requests_total = 0
        """Requests sent, retries included."""

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self.close()

    async def close(self) -> None:
        """Closes all connections; running watches end. Later requests fail at once."""
        self._closed = True
        await self._transport.close()

    # --- reading ---------------------------------------------------------------------------------------------------

    @overload
    async def get(self, kind: type[ObjectT], name: str, namespace: str | None = None) -> ObjectT: ...
    @overload
    async def get(self, kind: ResourceRef, name: str, namespace: str | None = None) -> Manifest: ...
    async def get(self, kind: Kind, name: str, namespace: str | None = None) -> Any:
        """One object, live from the server. Raises ``NotFound``."""
        ref, type_ = _resolve(kind)
        data = await self.request("GET", ref.path(name, namespace))
        return orjson.loads(data) if type_ is None else msgspec.json.decode(data, type=type_)

    @overload
    async def fetch(
        self, kind: type[ObjectT], name: str, namespace: str | None = None, *, resource_version: str | None = None
    ) -> Snapshot[ObjectT]: ...
    @overload
    async def fetch(
        self, kind: ResourceRef, name: str, namespace: str | None = None, *, resource_version: str | None = None
    ) -> Snapshot[Manifest]: ...
    async def fetch(
        self, kind: Kind, name: str, namespace: str | None = None, *, resource_version: str | None = None
    ) -> Snapshot[Any]:
        """Like ``get``, with the raw object at hand. ``resource_version="0"`` lets the server answer from its cache."""
        ref, type_ = _resolve(kind)
        query = {"resourceVersion": resource_version} if resource_version else None
        data = await self.request("GET", _target(ref.path(name, namespace), query))
        return Snapshot(data, ref, type_)

    @overload
    async def list(
        self,
        kind: type[ObjectT],
        namespace: str | None = None,
        *,
        label_selector: str = "",
        field_selector: str = "",
        page_size: int = 500,
    ) -> builtins.list[ObjectT]: ...
    @overload
    async def list(
        self,
        kind: ResourceRef,
        namespace: str | None = None,
        *,
        label_selector: str = "",
        field_selector: str = "",
        page_size: int = 500,
    ) -> builtins.list[Manifest]: ...
    async def list(
        self,
        kind: Kind,
        namespace: str | None = None,
        *,
        label_selector: str = "",
        field_selector: str = "",
        page_size: int = 500,
    ) -> builtins.list[Any]:
        """All objects (of a namespace, or of all), page by page. Raises ``Expired`` if that takes too long for the
        server.
        """
        found: list[Any] = []
        token = ""
        while True:
            page = await self.page(
                cast(ResourceRef, kind),
                namespace,
                label_selector=label_selector,
                field_selector=field_selector,
                limit=page_size,
                continue_token=token,
            )
            found.extend(snapshot.value for snapshot in page.items)
            token = page.continue_token
            if not token:
                return found

    @overload
    async def page(
        self,
        kind: type[ObjectT],
        namespace: str | None = None,
        *,
        label_selector: str = "",
        field_selector: str = "",
        limit: int = 0,
        continue_token: str = "",
        resource_version: str = "",
        resource_version_match: str = "",
    ) -> Page[ObjectT]: ...
    @overload
    async def page(
        self,
        kind: ResourceRef,
        namespace: str | None = None,
        *,
        label_selector: str = "",
        field_selector: str = "",
        limit: int = 0,
        continue_token: str = "",
        resource_version: str = "",
        resource_version_match: str = "",
    ) -> Page[Manifest]: ...
    async def page(
        self,
        kind: Kind,
        namespace: str | None = None,
        *,
        label_selector: str = "",
        field_selector: str = "",
        limit: int = 0,
        continue_token: str = "",
        resource_version: str = "",
        resource_version_match: str = "",
    ) -> Page[Any]:
        """One page of a list. ``limit`` 0 asks for everything at once."""
        ref, type_ = _resolve(kind)
        query = {
            "labelSelector": label_selector,
            "fieldSelector": field_selector,
            "limit": limit or "",
            "continue": continue_token,
            "resourceVersion": resource_version,
            "resourceVersionMatch": resource_version_match,
        }
        data = await self.request("GET", _target(ref.path(namespace=namespace), query), compressed=True)
        decoded = _list.decode(data)
        if not ref.kind and decoded.kind.endswith("List"):
            ref = ResourceRef(ref.group, ref.version, ref.plural, ref.namespaced, decoded.kind.removesuffix("List"))
        items = [Snapshot(bytes(item), ref, type_) for item in decoded.items or ()]
        meta = decoded.metadata
        return Page(items, meta.resource_version, meta.continue_, meta.remaining_item_count, len(data))

    # --- writing ---------------------------------------------------------------------------------------------------

    @overload
    async def create(
        self,
        kind: ObjectT,
        obj: None = None,
        namespace: str | None = None,
        *,
        field_manager: str | None = None,
        dry_run: bool = False,
        field_validation: str | None = None,
    ) -> ObjectT: ...
    @overload
    async def create(
        self,
        kind: type[ObjectT],
        obj: ObjectT | Manifest,
        namespace: str | None = None,
        *,
        field_manager: str | None = None,
        dry_run: bool = False,
        field_validation: str | None = None,
    ) -> ObjectT: ...
    @overload
    async def create(
        self,
        kind: ResourceRef,
        obj: Manifest,
        namespace: str | None = None,
        *,
        field_manager: str | None = None,
        dry_run: bool = False,
        field_validation: str | None = None,
    ) -> Manifest: ...
    async def create(
        self,
        kind: Object | Kind,
        obj: Object | Manifest | None = None,
        namespace: str | None = None,
        *,
        field_manager: str | None = None,
        dry_run: bool = False,
        field_validation: str | None = None,
    ) -> Any:
        """Creates an object: ``create(work)``, ``create(ManifestWork, manifest)`` or ``create(ref, manifest)``.

        The namespace is the object's own unless one is given. Raises ``AlreadyExists``, ``Invalid``, ...
        """
        if isinstance(kind, Object):
            obj, kind = kind, type(kind)
        assert obj is not None
        ref, type_ = _resolve(kind)
        if namespace is None and ref.namespaced:
            namespace = obj.namespace if isinstance(obj, Object) else (obj.get("metadata") or {}).get("namespace")
            if not namespace:
                raise ValueError(f"create {ref}: the resource is namespaced and the object names no namespace")
        query = self._options(field_manager, dry_run, field_validation)
        target = _target(ref.path(namespace=namespace), query)
        data = await self.request("POST", target, encode(obj, ref))
        if not _named(data):  # reviews: answered and never stored
            return orjson.loads(data) if type_ is None else msgspec.json.decode(data, type=type_)
        return self._took(Snapshot(data, ref, type_), dry_run).value

    async def create_subresource(
        self, kind: Kind, name: str, subresource: str, body: Manifest, namespace: str | None = None
    ) -> Manifest:
        """POSTs to a subresource (``token`` of service accounts, ``eviction`` and ``binding`` of pods); the answer,
        decoded.
        """
        ref, _ = _resolve(kind)
        data = await self.request("POST", ref.path(name, namespace, subresource), orjson.dumps(body))
        return cast(Manifest, orjson.loads(data))

    @overload
    async def update(
        self,
        kind: type[ObjectT],
        obj: Manifest,
        *,
        subresource: str = "",
        field_manager: str | None = None,
        dry_run: bool = False,
        field_validation: str | None = None,
    ) -> ObjectT: ...
    @overload
    async def update(
        self,
        kind: ResourceRef,
        obj: Manifest,
        *,
        subresource: str = "",
        field_manager: str | None = None,
        dry_run: bool = False,
        field_validation: str | None = None,
    ) -> Manifest: ...
    async def update(
        self,
        kind: Kind,
        obj: Manifest,
        *,
        subresource: str = "",
        field_manager: str | None = None,
        dry_run: bool = False,
        field_validation: str | None = None,
    ) -> Any:
        """PUTs a whole raw object. Never a struct: it would drop the fields it doesn't know. Raises ``Conflict``,
        ...
        """
        ref, type_ = _resolve(kind)
        if subresource not in _OBJECT_SUBRESOURCES:
            raise ValueError(f"update: the answer of {subresource!r} is no {ref.kind}; use request_json")
        metadata = obj.get("metadata") or {}
        query = self._options(field_manager, dry_run, field_validation)
        path = ref.path(metadata.get("name", ""), metadata.get("namespace"), subresource)
        data = await self.request("PUT", _target(path, query), encode(obj, ref))
        return self._took(Snapshot(data, ref, type_), dry_run).value

    @overload
    async def patch(
        self,
        kind: type[ObjectT],
        name: str,
        patch: Mapping[str, Any] | Iterable[Mapping[str, Any]],
        *,
        namespace: str | None = None,
        type: PatchType = PatchType.MERGE,
        subresource: str = "",
        field_manager: str | None = None,
        force: bool = False,
        dry_run: bool = False,
        field_validation: str | None = None,
    ) -> ObjectT: ...
    @overload
    async def patch(
        self,
        kind: ResourceRef,
        name: str,
        patch: Mapping[str, Any] | Iterable[Mapping[str, Any]],
        *,
        namespace: str | None = None,
        type: PatchType = PatchType.MERGE,
        subresource: str = "",
        field_manager: str | None = None,
        force: bool = False,
        dry_run: bool = False,
        field_validation: str | None = None,
    ) -> Manifest: ...
    async def patch(
        self,
        kind: Kind,
        name: str,
        patch: Mapping[str, Any] | Iterable[Mapping[str, Any]],
        *,
        namespace: str | None = None,
        type: PatchType = PatchType.MERGE,
        subresource: str = "",
        field_manager: str | None = None,
        force: bool = False,
        dry_run: bool = False,
        field_validation: str | None = None,
    ) -> Any:
        """Changes a part of an object. ``force`` is for server-side apply: takes fields over from other managers."""
        snapshot = await self.patch_snapshot(
            cast(ResourceRef, kind),
            name,
            patch,
            namespace=namespace,
            type=type,
            subresource=subresource,
            field_manager=field_manager,
            force=force,
            dry_run=dry_run,
            field_validation=field_validation,
        )
        return snapshot.value

    @overload
    async def patch_snapshot(
        self,
        kind: type[ObjectT],
        name: str,
        patch: Mapping[str, Any] | Iterable[Mapping[str, Any]],
        *,
        namespace: str | None = None,
        type: PatchType = PatchType.MERGE,
        subresource: str = "",
        field_manager: str | None = None,
        force: bool = False,
        dry_run: bool = False,
        field_validation: str | None = None,
    ) -> Snapshot[ObjectT]: ...
    @overload
    async def patch_snapshot(
        self,
        kind: ResourceRef,
        name: str,
        patch: Mapping[str, Any] | Iterable[Mapping[str, Any]],
        *,
        namespace: str | None = None,
        type: PatchType = PatchType.MERGE,
        subresource: str = "",
        field_manager: str | None = None,
        force: bool = False,
        dry_run: bool = False,
        field_validation: str | None = None,
    ) -> Snapshot[Manifest]: ...
    async def patch_snapshot(
        self,
        kind: Kind,
        name: str,
        patch: Mapping[str, Any] | Iterable[Mapping[str, Any]],
        *,
        namespace: str | None = None,
        type: PatchType = PatchType.MERGE,
        subresource: str = "",
        field_manager: str | None = None,
        force: bool = False,
        dry_run: bool = False,
        field_validation: str | None = None,
    ) -> Snapshot[Any]:
        """Like ``patch``, with the raw answer at hand."""
        ref, type_ = _resolve(kind)
        if subresource not in _OBJECT_SUBRESOURCES:
            raise ValueError(f"patch: the answer of {subresource!r} is no {ref.kind}; use request_json")
        query = self._options(field_manager, dry_run, field_validation)
        if force:
            query["force"] = "true"
        data = await self.request(
            "PATCH",
            _target(ref.path(name, namespace, subresource), query),
            orjson.dumps(patch if isinstance(patch, Mapping) else builtins.list(patch)),
            content_type=type.value,
            idempotent=type is not PatchType.JSON,
        )
        return self._took(Snapshot(data, ref, type_), dry_run)

    @overload
    async def apply(
        self,
        kind: type[ObjectT],
        obj: Manifest,
        *,
        field_manager: str | None = None,
        force: bool = False,
        subresource: str = "",
        dry_run: bool = False,
    ) -> ObjectT: ...
    @overload
    async def apply(
        self,
        kind: ResourceRef,
        obj: Manifest,
        *,
        field_manager: str | None = None,
        force: bool = False,
        subresource: str = "",
        dry_run: bool = False,
    ) -> Manifest: ...
    async def apply(
        self,
        kind: Kind,
        obj: Manifest,
        *,
        field_manager: str | None = None,
        force: bool = False,
        subresource: str = "",
        dry_run: bool = False,
    ) -> Any:
        """Server-side apply: the object holds exactly the fields this manager wants. Creates it where it is
        missing.

        Raises ``Conflict`` (cause ``FieldManagerConflict``) where another manager owns a field, unless ``force``.
        """
        ref, _ = _resolve(kind)
        if not obj.get("apiVersion") or not obj.get("kind"):
            obj = {"apiVersion": ref.api_version, "kind": ref.kind, **obj}
        metadata = obj.get("metadata") or {}
        return await self.patch(
            cast(ResourceRef, kind),
            metadata.get("name", ""),
            obj,
            namespace=metadata.get("namespace"),
            type=PatchType.APPLY,
            subresource=subresource,
            field_manager=field_manager,
            force=force,
            dry_run=dry_run,
        )

    async def delete(
        self,
        kind: Kind,
        name: str,
        namespace: str | None = None,
        *,
        propagation: Propagation | None = None,
        uid: str | None = None,
        resource_version: str | None = None,
        grace_period_seconds: int | None = None,
        missing_ok: bool = False,
        dry_run: bool = False,
    ) -> bool:
        """Deletes an object; True where it is gone (or already was), False where it now waits for its finalizers.

        ``uid`` and ``resource_version`` are preconditions: raises ``Conflict`` where they don't hold. Raises
        ``NotFound`` unless ``missing_ok``.
        """
        ref, _ = _resolve(kind)
        options = _delete_options(propagation, uid, resource_version, grace_period_seconds, dry_run)
        try:
            data = await self.request("DELETE", ref.path(name, namespace), options)
        except NotFound as error:
            if missing_ok or error.retried:
                return True
            raise
        answer = orjson.loads(data)
        if answer.get("kind") == "Status":
            gone_uid = (answer.get("details") or {}).get("uid") or uid or ""
            if gone_uid and not dry_run:
                for observer in self._observers.get(ref, ()):
                    observer.deleted(ObjectKey(namespace or "", name), gone_uid)
            return True
        # Built-in kinds that are gone at once come back in full, and so do objects that wait for their finalizers.
        snapshot: Snapshot[Any] = Snapshot(data, ref, None)
        if snapshot.deleting and not dry_run:
            self._took(snapshot, dry_run)
        return not snapshot.deleting

    async def delete_collection(
        self,
        kind: Kind,
        namespace: str | None = None,
        *,
        label_selector: str = "",
        field_selector: str = "",
        propagation: Propagation | None = None,
    ) -> None:
        """Deletes all objects of a namespace (or of a cluster-scoped resource) that match."""
        ref, _ = _resolve(kind)
        query = {"labelSelector": label_selector, "fieldSelector": field_selector}
        await self.request(
            "DELETE",
            _target(ref.path(namespace=namespace), query),
            _delete_options(propagation, None, None, None, False),
        )

    # --- watching --------------------------------------------------------------------------------------------------

    @overload
    def watch(
        self,
        kind: type[ObjectT],
        namespace: str | None = None,
        *,
        resource_version: str = "",
        label_selector: str = "",
        field_selector: str = "",
        timeout_seconds: int = 0,
    ) -> AsyncIterator[WatchEvent[ObjectT]]: ...
    @overload
    def watch(
        self,
        kind: ResourceRef,
        namespace: str | None = None,
        *,
        resource_version: str = "",
        label_selector: str = "",
        field_selector: str = "",
        timeout_seconds: int = 0,
    ) -> AsyncIterator[WatchEvent[Manifest]]: ...
    async def watch(
        self,
        kind: Kind,
        namespace: str | None = None,
        *,
        resource_version: str = "",
        label_selector: str = "",
        field_selector: str = "",
        timeout_seconds: int = 0,
    ) -> AsyncIterator[WatchEvent[Any]]:
        """The events of one watch connection, until the server ends it (then the iteration ends).

        For waiting for something, in commands and tests. A program that must not miss anything uses an
        ``Informer``: this doesn't reconnect. Raises ``Expired`` where the version is too old, ``ConnectionFailed``
        where it breaks off. Close it (``contextlib.aclosing``) if you leave it early.
        """
        batches = self.watch_batches(
            kind,
            namespace,
            resource_version=resource_version,
            label_selector=label_selector,
            field_selector=field_selector,
            timeout_seconds=timeout_seconds,
        )
        try:
            async for batch in batches:
                for event in batch:
                    if isinstance(event, WatchEvent):
                        yield event
                    else:
                        _log.warning("watch of %s: skipped a malformed event: %s", ref_of(kind), event.error)
        finally:
            await batches.aclose()

    async def watch_batches(
        self,
        kind: Kind,
        namespace: str | None = None,
        *,
        resource_version: str = "",
        label_selector: str = "",
        field_selector: str = "",
        timeout_seconds: int = 0,
        initial_events: bool = False,
        idle: float | None = None,
        metadata_only: bool = False,
    ) -> AsyncGenerator[builtins.list[WatchEvent[Any] | Malformed], None]:
        """A watch as informers need it: what arrived together comes together, malformed events and bookmarks
        included.

        An ERROR event raises its ``ApiError`` after the events before it. ``idle`` is the silence (seconds) after
        which the connection counts as dead. With ``metadata_only`` the objects come without anything but metadata.
        """
        ref, type_ = _resolve(kind)
        query: dict[str, Any] = {
            "watch": "1",
            "allowWatchBookmarks": "true",
            "resourceVersion": resource_version,
            "labelSelector": label_selector,
            "fieldSelector": field_selector,
            "timeoutSeconds": timeout_seconds or "",
        }
        if initial_events:
            query["sendInitialEvents"] = "true"
            query["resourceVersionMatch"] = "NotOlderThan"
        target = _target(ref.path(namespace=namespace), query)
        headers = {**self._plain, "Accept": _METADATA} if metadata_only else self._plain
        response = await self._exchange("GET", target, headers, None, None, idle)
        try:
            if response.status != 200:
                raise error_from_response(
                    response.status, response.headers, await response.read(), request=f"watch {ref}"
                )
            chunks = response.chunks()
            async for arrived in lines(chunks):
                batch: list[WatchEvent[Any] | Malformed] = []
                failure: ApiError | None = None
                for line in arrived:
                    try:
                        batch.append(parse(line, ref, type_))
                    except ApiError as error:
                        failure = error
                        break
                if batch:
                    yield batch
                if failure is not None:
                    raise failure
        except ValueError as error:
            raise ConnectionFailed(f"watch {ref}: {error}") from error
        finally:
            await response.close()

    def observe(self, kind: Kind, observer: Observer) -> Callable[[], None]:
        """Tells an observer of every write of this client to a resource; returns what ends that."""
        observers = self._observers.setdefault(ref_of(kind), [])
        observers.append(observer)
        return lambda: observers.remove(observer)

    # --- requests --------------------------------------------------------------------------------------------------

    async def request_json(self, method: str, target: str, body: Any = None, **options: Any) -> Any:
        """Any request with a JSON body and answer; options as for ``request``."""
        data = await self.request(method, target, None if body is None else orjson.dumps(body), **options)
        return orjson.loads(data)

    async def request(
        self,
        method: str,
        target: str,
        body: bytes | None = None,
        *,
        content_type: str = "application/json",
        accept: str | None = None,
        compressed: bool = False,
        idempotent: bool | None = None,
        timeout: float | None = None,
    ) -> bytes:
        """Any request, with retries; the body of a successful answer. Raises ``ApiError``, ``ConnectionFailed``.

        ``idempotent`` overrides whether it may be repeated after a lost connection (default: all methods but POST).
        """
        headers: Mapping[str, str] = self._plain
        if body is not None or compressed or accept is not None:
            headers = self._headers(body is not None, content_type, compressed, accept)
        repeatable = idempotent if idempotent is not None else method != "POST"
        loop = asyncio.get_running_loop()
        if self._rate is not None and (pause := self._rate.delay(loop.time())) > 0:
            await asyncio.sleep(pause)
        deadline = loop.time() + self._patience
        attempt = 0
        renewed = False
        while True:
            attempt += 1
            try:
                async with self._gate:
                    response = await self._exchange(method, target, headers, body, timeout or self._timeout, None)
                    data = await response.read()
            except CredentialRefused:
                raise
            except ConnectionFailed as error:
                pause = _pause(attempt)
                if (error.sent and not repeatable) or attempt > _RETRIES or loop.time() + pause > deadline:
                    raise
                _log.debug("%s; trying again in %.2f s", error, pause)
                await asyncio.sleep(pause)
                continue
            if self._on_warning is not None and "Warning" in response.headers:
                self._on_warning(response.headers["Warning"])
            if response.status < 300:
                return data
            failure = error_from_response(
                response.status, response.headers, data, request=f"{method} {target.partition('?')[0]}"
            )
            if isinstance(failure, Unauthorized) and not renewed and self._transport.renew():
                renewed = True
                continue
            overloaded = response.status == 429 or (response.status >= 500 and failure.retry_after is not None)
            pause = max(_pause(attempt), failure.retry_after or 0.0)
            if not overloaded or attempt > _RETRIES or loop.time() + pause > deadline:
                failure.retried = attempt > 1
                raise failure
            await asyncio.sleep(pause)

    async def stream(self, target: str, *, idle: float | None = None) -> Response:
        """A GET whose body is read as it comes (logs). The caller closes it. Raises as ``request`` does, without
        retries.
        """
        response = await self._exchange("GET", target, {"Accept": "*/*", **self._user_agent}, None, None, idle)
        if response.status >= 300:
            raise error_from_response(response.status, response.headers, await response.read(), request=f"GET {target}")
        return response

    async def _exchange(
        self,
        method: str,
        target: str,
        headers: Mapping[str, str],
        body: bytes | None,
        timeout: float | None,
        idle: float | None,
    ) -> Response:
        if self._closed:
            raise RuntimeError(f"{method} {self.config.server}{target.partition('?')[0]}: the client is closed")
        self.requests_total += 1
        try:
            return await self._transport.request(method, target, headers, body, timeout=timeout, idle=idle)
        except ConnectionFailed as error:
            if error.early and self._transport.certified and await self._refused():
                raise CredentialRefused(
                    f"{self.config.server} answers, but breaks off connections that carry our client certificate"
                ) from error
            raise

    async def _refused(self) -> bool:
        """Whether it is the certificate: a fresh connection with it is broken off as well, one without it is not."""
        return not await self._transport.alive(anonymous=False) and await self._transport.alive(anonymous=True)

    def _headers(self, has_body: bool, content_type: str, compressed: bool, accept: str | None) -> dict[str, str]:
        headers = {**(_COMPRESSED if compressed else _JSON), **self._user_agent}
        if has_body:
            headers["Content-Type"] = content_type
        if accept is not None:
            headers["Accept"] = accept
        return headers

    def _options(self, field_manager: str | None, dry_run: bool, field_validation: str | None) -> dict[str, Any]:
        query: dict[str, Any] = {"fieldManager": field_manager or self.field_manager}
        if dry_run:
            query["dryRun"] = "All"
        if field_validation:
            query["fieldValidation"] = field_validation
        return query

    def _took(self, snapshot: Snapshot[V], dry_run: bool) -> Snapshot[V]:
        """The server took a write: those who follow our own writes hear of it before the caller goes on."""
        if not dry_run:
            for observer in self._observers.get(snapshot.ref, ()):
                observer.written(snapshot)
        return snapshot


class _Nameable(msgspec.Struct):
    name: str = ""


class _Answer(msgspec.Struct):
    metadata: _Nameable | None = None


_answer: Final = msgspec.json.Decoder(_Answer)


def _named(data: bytes) -> bool:
    """Whether an answer is an object with a name, as everything that is stored has."""
    metadata = _answer.decode(data).metadata
    return metadata is not None and bool(metadata.name)


def _resolve(kind: Kind) -> tuple[ResourceRef, type[Any] | None]:
    if isinstance(kind, ResourceRef):
        return kind, None
    return ref_of(kind), kind


def _pause(attempt: int) -> float:
    """Seconds before the next try: growing, and different for everybody."""
    return min(_LONGEST_PAUSE, _FIRST_PAUSE * 2.0**attempt) * random.uniform(0.5, 1.0)  # noqa: S311


def _target(path: str, query: Mapping[str, Any] | None) -> str:
    parameters = [(key, value) for key, value in (query or {}).items() if value not in ("", None)]
    return f"{path}?{urlencode(parameters, quote_via=quote)}" if parameters else path


def _delete_options(
    propagation: Propagation | None,
    uid: str | None,
    resource_version: str | None,
    grace_period_seconds: int | None,
    dry_run: bool,
) -> bytes:
    options: dict[str, Any] = {"apiVersion": "v1", "kind": "DeleteOptions"}
    if propagation is not None:
        options["propagationPolicy"] = propagation.value
    if grace_period_seconds is not None:
        options["gracePeriodSeconds"] = grace_period_seconds
    preconditions = {key: value for key, value in (("uid", uid), ("resourceVersion", resource_version)) if value}
    if preconditions:
        options["preconditions"] = preconditions
    if dry_run:
        options["dryRun"] = ["All"]
    return orjson.dumps(options)
