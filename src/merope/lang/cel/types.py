"""The types of CEL, as the checker sees them.

A `Type` is a kind plus parameters: `list_of(STRING)` has kind ``list`` and one parameter. Types that come from an
OpenAPI schema may carry more (size limits, object fields, list semantics): they are subclasses in `schema`, and have
the same kinds, so that the checker treats a string with a maximum length as a string.
"""

from __future__ import annotations

from typing import Final

#: A size that nothing bounds.
UNBOUNDED: Final = (1 << 64) - 1


class Type:
    """One type. Compare with `same`, not with `==` on types from schemas (those are compared by identity)."""

    __slots__ = ("kind", "max_size", "name", "nullable", "params")

    def __init__(
        self,
        kind: str,
        params: tuple[Type, ...] = (),
        *,
        name: str = "",
        nullable: bool = False,
        max_size: int | None = None,
    ) -> None:
        self.kind = kind
        self.params = params
        #: The runtime name; for opaque types it is what tells them apart.
        self.name = name or kind
        #: Whether `null` is among the values.
        self.nullable = nullable
        #: The most code points, bytes, items or entries a value can have; None where unknown.
        self.max_size = max_size

    def __repr__(self) -> str:
        return format_type(self)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Type) and same(self, other)

    def __hash__(self) -> int:
        return hash((self.kind, self.name, self.params))


def _opaque(name: str) -> Type:
    return Type("opaque", name=name)


BOOL: Final = Type("bool")
INT: Final = Type("int")
UINT: Final = Type("uint")
DOUBLE: Final = Type("double")
STRING: Final = Type("string")
BYTES: Final = Type("bytes")
NULL: Final = Type("null", name="null_type", nullable=True)
TIMESTAMP: Final = Type("timestamp", name="google.protobuf.Timestamp", nullable=True)
DURATION: Final = Type("duration", name="google.protobuf.Duration", nullable=True)
DYN: Final = Type("dyn", nullable=True)
#: The type of an expression that already has an error; it fits everywhere, so that one mistake is reported once.
ERROR: Final = Type("error", nullable=True)
TYPE: Final = Type("type")

QUANTITY: Final = _opaque("kubernetes.Quantity")
URL: Final = _opaque("kubernetes.URL")
IP: Final = _opaque("net.IP")
CIDR: Final = _opaque("net.CIDR")
SEMVER: Final = _opaque("kubernetes.Semver")
FORMAT: Final = _opaque("kubernetes.NamedFormat")


def list_of(element: Type) -> Type:
    """Make the type of lists of `element`."""
    return Type("list", (element,))


def map_of(key: Type, value: Type) -> Type:
    """Make the type of maps from `key` to `value`."""
    return Type("map", (key, value))


def optional_of(value: Type) -> Type:
    """Make the type of optional values."""
    return Type("optional", (value,), name="optional_type", nullable=False)


def type_of_type(value: Type) -> Type:
    """Make the type of the type itself: `type(1)` has the type `type(int)`."""
    return Type("type", (value,))


LIST: Final = list_of(DYN)
MAP: Final = map_of(DYN, DYN)
OPTIONAL: Final = optional_of(DYN)


def variable(name: str) -> Type:
    """Make a type parameter, to be bound by the checker."""
    return Type("var", name=name)


def opaque(name: str) -> Type:
    """Make a type of one's own, for values that only registered functions understand."""
    return _opaque(name)


def same(a: Type, b: Type) -> bool:
    """Tell whether two types are equal, size limits and nullability aside."""
    if a is b:
        return True
    if a.kind != b.kind or len(a.params) != len(b.params):
        return False
    if a.kind == "object":
        return False
    if a.kind in ("opaque", "var") and a.name != b.name:
        return False
    return all(same(x, y) for x, y in zip(a.params, b.params, strict=True))


def runtime_key(type_: Type) -> str:
    """Name what the runtime sees of the type: its kind, or its name where it is opaque."""
    if type_.kind == "opaque":
        return type_.name
    if type_.kind == "object":
        return "map"
    return type_.kind


def format_type(type_: Type) -> str:
    """Write the type as error messages show it: `list(string)`, `map(string, dyn)`."""
    kind = type_.kind
    if kind in ("timestamp", "duration", "opaque", "object", "var"):
        return type_.name
    if kind == "null":
        return "null"
    if kind == "error":
        return "!error!"
    if kind == "optional":
        return f"optional_type({format_type(type_.params[0])})"
    if type_.params:
        return f"{kind}({', '.join(map(format_type, type_.params))})"
    return kind
