"""One object as it came from the server: its bytes, and views of them that are made when somebody looks.

Decoding everything that arrives would be most of the cost of a controller, and decoded dicts are five to ten times
as large as the bytes. So a ``Snapshot`` keeps the bytes and the few facts that caches and queues need (name,
namespace, uid, version, labels), decodes the typed ``value`` on first use and keeps it, and decodes ``raw`` each
time it is asked for, so that a caller may change what it gets without harming the cache.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any, Final, Generic, NamedTuple, TypeVar, cast

import msgspec
import orjson

from merope.kube.resources import Manifest, ResourceRef

V = TypeVar("V")
V_co = TypeVar("V_co", covariant=True)
W = TypeVar("W")

_NOTHING: Final[Mapping[str, str]] = MappingProxyType({})
_UNDECODED: Final[Any] = object()


class ObjectKey(NamedTuple):
    """The identity of an object within its resource. ``namespace`` is ``""`` for cluster-scoped ones.

    Prints as ``namespace/name``. It is what controllers get as key unless they map events to something else.
    """

    namespace: str
    name: str

    def __str__(self) -> str:
        return f"{self.namespace}/{self.name}" if self.namespace else self.name


class OwnerReference(msgspec.Struct, frozen=True, rename="camel"):
    """One entry of ``metadata.ownerReferences``."""

    kind: str = ""
    name: str = ""
    uid: str = ""
    api_version: str = ""
    controller: bool | None = None


class Metadata(msgspec.Struct, frozen=True, rename="camel", gc=False):
    """The part of ``metadata`` that every controller needs, decoded with the object. All of it is read-only."""

    name: str = ""
    namespace: str = ""
    uid: str = ""
    resource_version: str = ""
    generation: int = 0
    deletion_timestamp: str | None = None
    creation_timestamp: str | None = None
    labels: dict[str, str] | None = None
    annotations: dict[str, str] | None = None
    owner_references: tuple[OwnerReference, ...] | None = None
    finalizers: tuple[str, ...] | None = None


class _Header(msgspec.Struct, rename="camel", gc=False):
    metadata: Metadata
    api_version: str = ""
    kind: str = ""


_header: Final = msgspec.json.Decoder(_Header)


class Snapshot(Generic[V_co]):
    """An object of the cluster as it was at one version, read-only. ``value`` is its typed form (for dynamic kinds:
    a shared dict, not to be changed).
    """

    __slots__ = ("_data", "_ref", "_type", "_value", "metadata")

    metadata: Metadata

    def __init__(self, data: bytes, ref: ResourceRef, type_: type[V_co] | None) -> None:
        """Takes the JSON text of one object. Raises ``msgspec.DecodeError`` where it isn't an object with metadata."""
        header = _header.decode(data)
        if not header.metadata.name:
            raise msgspec.ValidationError("object without a name - at `$.metadata.name`")
        self.metadata = header.metadata
        self._ref = ref
        self._type = type_
        self._value: Any = _UNDECODED
        self._data: bytes | None = data if header.kind and header.api_version else _with_type(data, ref)

    @property
    def name(self) -> str:
        return self.metadata.name

    @property
    def namespace(self) -> str:
        """The namespace; ``""`` for cluster-scoped objects."""
        return self.metadata.namespace

    @property
    def key(self) -> ObjectKey:
        return ObjectKey(self.metadata.namespace, self.metadata.name)

    @property
    def uid(self) -> str:
        return self.metadata.uid

    @property
    def resource_version(self) -> str:
        return self.metadata.resource_version

    @property
    def generation(self) -> int:
        return self.metadata.generation

    @property
    def labels(self) -> Mapping[str, str]:
        return self.metadata.labels or _NOTHING

    @property
    def annotations(self) -> Mapping[str, str]:
        return self.metadata.annotations or _NOTHING

    @property
    def finalizers(self) -> tuple[str, ...]:
        return self.metadata.finalizers or ()

    @property
    def owners(self) -> tuple[OwnerReference, ...]:
        return self.metadata.owner_references or ()

    @property
    def controller(self) -> OwnerReference | None:
        """The owner that manages this object, if there is one."""
        return next((owner for owner in self.owners if owner.controller), None)

    @property
    def deleting(self) -> bool:
        """Whether deletion has been asked for (the object waits for its finalizers)."""
        return self.metadata.deletion_timestamp is not None

    @property
    def ref(self) -> ResourceRef:
        """The resource this object belongs to."""
        return self._ref

    @property
    def value(self) -> V_co:
        """The typed object (or the projection). Decoded once. Raises ``msgspec.ValidationError`` where it doesn't
        fit the type.
        """
        if self._value is _UNDECODED:
            assert self._data is not None
            if self._type is None:
                self._value = orjson.loads(self._data)
            else:
                self._value = msgspec.json.decode(self._data, type=self._type)
        return cast(V_co, self._value)

    @property
    def raw(self) -> Manifest:
        """The whole object as a fresh dict, the caller's own. Not there for projected objects (``LookupError``)."""
        return cast(Manifest, orjson.loads(self.data))

    @property
    def whole(self) -> bool:
        """Whether the whole object is at hand (``raw``, ``data``), not only a projection."""
        return self._data is not None

    @property
    def data(self) -> bytes:
        """The whole object as JSON text."""
        if self._data is None:
            raise LookupError(f"{self._ref} {self.key}: only a projection of this object is kept")
        return self._data

    def project(self, projection: Callable[[Snapshot[V_co]], W]) -> Snapshot[W]:
        """The same object with ``value`` replaced by what the projection makes of it, and the bytes dropped.

        Annotations go too: they are large (kubectl's last-applied copy of everything) and a projection takes what
        it needs.
        """
        projected: Snapshot[W] = Snapshot.__new__(Snapshot)
        projected.metadata = msgspec.structs.replace(self.metadata, annotations=None)
        projected._ref = self._ref
        projected._type = None
        projected._value = projection(self)
        projected._data = None
        return projected

    def typed(self, type_: type[W] | None) -> Snapshot[W]:
        """The same object seen as another type; itself where it is that type already."""
        if self._type is type_:
            return cast("Snapshot[W]", self)
        return Snapshot(self.data, self._ref, type_)

    def version(self) -> int | None:
        """The resource version as a number, or None where the server uses something else."""
        text = self.metadata.resource_version
        return int(text) if text.isascii() and text.isdigit() else None

    def __repr__(self) -> str:
        return f"<{self._ref.kind or self._ref.plural} {self.key} uid={self.uid} rv={self.resource_version}>"


def _with_type(data: bytes, ref: ResourceRef) -> bytes:
    """The same object with apiVersion and kind: lists of built-in kinds leave them out of their items."""
    if not ref.kind:
        return data
    body = data.lstrip()
    prefix = orjson.dumps({"apiVersion": ref.api_version, "kind": ref.kind})
    if b'"kind"' in body[:64] or b'"apiVersion"' in body[:64]:
        decoded = orjson.loads(data)
        return orjson.dumps({**decoded, "apiVersion": ref.api_version, "kind": ref.kind})
    return prefix[:-1] + b"," + body[1:]


def encode(obj: msgspec.Struct | Manifest, ref: ResourceRef) -> bytes:
    """The JSON text of an object to be sent, with apiVersion and kind filled in where they are absent."""
    if isinstance(obj, msgspec.Struct):
        obj = cast(Manifest, msgspec.to_builtins(obj))
    if not obj.get("apiVersion") or (not obj.get("kind") and ref.kind):
        obj = {
            **obj,
            "apiVersion": obj.get("apiVersion") or ref.api_version,
            "kind": obj.get("kind") or ref.kind,
        }
    return orjson.dumps(obj)
