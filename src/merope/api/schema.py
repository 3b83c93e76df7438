"""How a typed object says what its schema is: markers on fields, a kind's registration, the shape that diffs need.

A field is annotated with `Field`: its documentation and its constraints. The markers are for the CRD generator and the
documentation; decoding does not enforce them. An object is validated where it is written, by the API server; a reader
must still be able to read what an older or newer schema let through.

    class ClusterClaimSpec(Struct):
        value: Maybe[Annotated[str, Field("What the claim says.", min_length=1, max_length=1024)]] = UNSET

* A field without a Python default is required by the schema. Every other one is `Maybe[...] = UNSET`: absent, which is
  neither null nor zero.
* A default that the API server fills in is `Field(default=...)`, never a Python default.
* Arbitrary manifests stay `dict`.
"""

from __future__ import annotations

import types
import typing
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields
from functools import cache
from typing import Any, Literal, TypeAlias, TypeVar, Union

import msgspec
from msgspec import UNSET, UnsetType

T = TypeVar("T")

Maybe: TypeAlias = T | UnsetType
"""A field that may be absent. UNSET is falsy, so `given.labels or {}` reads naturally."""

Manifest: TypeAlias = dict[str, Any]
"""An object of any kind, as its JSON."""


class _StructMeta(msgspec.StructMeta):
    """Gives every struct the options that msgspec and type checkers would otherwise want repeated on each class."""

    def __new__(mcls, name: str, bases: tuple[type, ...], namespace: dict[str, Any], /, **options: Any) -> _StructMeta:
        defaults: dict[str, Any] = {"kw_only": True, "frozen": True, "rename": "camel", "repr_omit_defaults": True}
        return super().__new__(mcls, name, bases, namespace, **(defaults | options))


@typing.dataclass_transform(kw_only_default=True, frozen_default=True, field_specifiers=(msgspec.field,))
class Struct(msgspec.Struct, metaclass=_StructMeta, frozen=True, kw_only=True):
    """Base of every typed part of an object. Values are immutable: a change is a copy (`msgspec.structs.replace`)."""


@dataclass(frozen=True, slots=True)
class Rule:
    """A CEL validation rule (`x-kubernetes-validations`)."""

    rule: str
    message: str = ""
    message_expression: str = ""
    reason: str = ""
    field_path: str = ""


@dataclass(frozen=True, slots=True, eq=False)
class Field:
    """Documentation and constraints of one field; several on one field are merged, the later one wins."""

    doc: str = ""
    enum: tuple[str, ...] = ()
    pattern: str = ""
    format: str = ""
    min_length: int | None = None
    max_length: int | None = None
    minimum: int | float | None = None
    maximum: int | float | None = None
    min_items: int | None = None
    max_items: int | None = None
    max_properties: int | None = None
    default: Any = UNSET
    nullable: bool = False
    int_or_string: bool = False
    list_type: Literal["", "atomic", "set", "map"] = ""
    map_keys: tuple[str, ...] = ()
    map_type: Literal["", "atomic"] = ""
    embedded: bool = False
    preserve_unknown: bool = False
    rules: tuple[Rule, ...] = ()

    def merged(self, later: Field) -> Field:
        """The constraints of both."""
        values = {}
        for one in fields(self):
            mine, theirs = getattr(self, one.name), getattr(later, one.name)
            values[one.name] = mine if theirs is one.default or theirs == one.default else theirs
        return Field(**values)


Int32: TypeAlias = typing.Annotated[int, Field(format="int32")]
Int64: TypeAlias = typing.Annotated[int, Field(format="int64")]
Bytes: TypeAlias = typing.Annotated[str, Field(format="byte")]
"""Binary data, base64 encoded as in the JSON."""
Time: TypeAlias = typing.Annotated[str, Field(format="date-time")]
"""A point in time as its RFC 3339 text; see `merope.api.meta.times`."""
IntOrString: TypeAlias = typing.Annotated[int | str, Field(int_or_string=True)]
Quantity: TypeAlias = typing.Annotated[
    int | str,
    Field(
        int_or_string=True,
        pattern=r"^(\+|-)?(([0-9]+(\.[0-9]*)?)|(\.[0-9]+))"
        r"(([KMGTPE]i)|[numkMGTPE]|([eE](\+|-)?(([0-9]+(\.[0-9]*)?)|(\.[0-9]+))))?$",
    ),
]
"""An amount such as `500m` or `2Gi`; `merope.lang.quantity` does the arithmetic."""


def map_of(*keys: str) -> Field:
    """The marker of a list whose items are told apart by these members."""
    return Field(list_type="map", map_keys=keys)


ATOMIC_LIST = Field(list_type="atomic")


@dataclass(frozen=True, slots=True)
class Column:
    """A column that `kubectl get` prints."""

    name: str
    type: str
    json_path: str
    description: str = ""
    format: str = ""
    priority: int = 0


@dataclass(frozen=True, slots=True)
class ResourceInfo:
    """Where a kind lives in the API and how its CRD presents it."""

    group: str
    version: str
    kind: str
    plural: str
    namespaced: bool
    singular: str = ""
    short_names: tuple[str, ...] = ()
    categories: tuple[str, ...] = ()
    columns: tuple[Column, ...] = ()
    status: bool = False
    storage: bool = True
    served: bool = True
    annotations: Mapping[str, str] = field(default_factory=dict, hash=False)
    selectable_fields: tuple[str, ...] = ()
    deprecation_warning: str | None = None
    """None: not deprecated; empty: deprecated, with the server's own warning."""

    @property
    def api_version(self) -> str:
        """`group/version`, or the bare version in the core group."""
        return f"{self.group}/{self.version}" if self.group else self.version


K = TypeVar("K", bound=type[Struct])


def resource(
    group: str,
    version: str,
    plural: str,
    *,
    namespaced: bool,
    kind: str = "",
    short_names: tuple[str, ...] = (),
    categories: tuple[str, ...] = (),
    columns: tuple[Column, ...] = (),
    status: bool = False,
    storage: bool = True,
    served: bool = True,
    annotations: Mapping[str, str] | None = None,
    selectable_fields: tuple[str, ...] = (),
    deprecation_warning: str | None = None,
) -> Callable[[K], K]:
    """Register a class as a kind of the API: gives it `api_version`, `kind`, `plural`, `namespaced` and `resource`."""

    def register(cls: K) -> K:
        info = ResourceInfo(
            group=group,
            version=version,
            kind=kind or cls.__name__,
            plural=plural,
            namespaced=namespaced,
            singular=(kind or cls.__name__).lower(),
            short_names=short_names,
            categories=categories,
            columns=columns,
            status=status,
            storage=storage,
            served=served,
            annotations=dict(annotations or {}),
            selectable_fields=selectable_fields,
            deprecation_warning=deprecation_warning,
        )
        for name, value in (
            ("resource", info),
            ("api_version", info.api_version),
            ("kind", info.kind),
            ("plural", plural),
            ("namespaced", namespaced),
        ):
            setattr(cls, name, value)
        return cls

    return register


@dataclass(frozen=True, slots=True)
class Hint:
    """A field's type, taken apart: what it holds, whether it may be null or absent, and its markers."""

    type: Any
    field: Field
    nullable: bool = False


def hint_of(annotation: Any) -> Hint:
    """Take `Maybe[Annotated[T | None, Field(...)]]` apart."""
    markers = Field()
    nullable = False
    while True:
        origin = typing.get_origin(annotation)
        if origin is typing.Annotated:
            annotation, *extras = typing.get_args(annotation)
            own = Field()
            for extra in extras:
                if isinstance(extra, Field):
                    own = own.merged(extra)
            # What is written further out was written later: it wins.
            markers = own.merged(markers)
            continue
        if origin in (Union, types.UnionType):
            kept = [one for one in typing.get_args(annotation) if one is not UnsetType]
            nullable = nullable or type(None) in kept
            kept = [one for one in kept if one is not type(None)]
            if len(kept) == 1:
                annotation = kept[0]
                continue
            annotation = Union[tuple(kept)]  # noqa: UP007 - built at run time
        return Hint(annotation, markers, nullable)


@dataclass(frozen=True, slots=True)
class Member:
    """One field of a struct as the schema sees it."""

    name: str
    hint: Hint
    required: bool


@cache
def members_of(cls: type[msgspec.Struct]) -> tuple[Member, ...]:
    """The fields of a struct, in the order of declaration, under their JSON names."""
    hints = typing.get_type_hints(cls, include_extras=True)
    return tuple(
        Member(one.encode_name, hint_of(hints[one.name]), required=one.required) for one in msgspec.structs.fields(cls)
    )


@dataclass(frozen=True, slots=True)
class Shape:
    """The part of a type that matching list items needs: its members, or its items and their map keys."""

    members: Mapping[str, Hint] = field(default_factory=dict)
    values: Hint | None = None
    items: Hint | None = None
    map_keys: tuple[str, ...] = ()

    def member(self, key: str) -> Shape:
        """The shape of a member; of an undeclared one, a shape that knows nothing."""
        found = self.members.get(key, self.values)
        return UNTYPED if found is None else _shape(found)

    @property
    def item(self) -> Shape:
        """The shape of a list's items."""
        return UNTYPED if self.items is None else _shape(self.items)


UNTYPED = Shape()


@cache
def shape_of(cls: type[msgspec.Struct]) -> Shape:
    """The shape of a struct. Shapes of members are made when they are asked for."""
    return Shape(members={member.name: member.hint for member in members_of(cls)})


@cache
def _shape(hint: Hint) -> Shape:
    kind = hint.type
    if isinstance(kind, type) and issubclass(kind, msgspec.Struct):
        return shape_of(kind)
    origin, arguments = typing.get_origin(kind), typing.get_args(kind)
    if origin is list:
        return Shape(items=hint_of(arguments[0]), map_keys=hint.field.map_keys)
    if origin is dict:
        return Shape(values=hint_of(arguments[1]))
    return UNTYPED
