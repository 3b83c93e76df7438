"""OpenAPI structural schemas as CEL types, and how their data is read.

Objects are never converted as a whole. The static type says which strings are timestamps, durations or bytes, and such
a scalar is decoded where it is read. Only where the static type gets lost or matters as a whole (`==`, `in`, a function
argument) is a list or object converted, and only if there is anything in it to convert (`reader` returns None if not).
"""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Callable, Mapping
from typing import Any

from . import types as t
from .errors import EvaluationError
from .parser import RESERVED
from .temporal import parse_duration, parse_format_duration, parse_timestamp
from .values import Duration, KeyedList, SetList, Timestamp

Schema = Mapping[str, Any]
Reader = Callable[[Any], Any]

#: The largest request that the API server accepts; it bounds every size that the schema leaves open.
MAX_REQUEST_BYTES = 3 * 1024 * 1024

#: Words that are no identifiers in expressions.
_WORDS = RESERVED | {"true", "false", "null", "in"}
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_./-]*")
_PLAIN = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_ESCAPES = {"__": "__underscores__", ".": "__dot__", "-": "__dash__", "/": "__slash__"}
_TO_ESCAPE = re.compile(r"__|[./-]")
_ESCAPED = re.compile(r"__(underscores|dot|dash|slash)__")
_UNESCAPES = {"underscores": "__", "dot": ".", "dash": "-", "slash": "/"}


def escape(name: str) -> str | None:
    """Turn a property name into the identifier that expressions use, or None if there is none.

    Reserved words get two underscores on both sides; `.`, `-`, `/` and `__` are spelled out.
    """
    if name in _WORDS:
        return f"__{name}__"
    if not _NAME.fullmatch(name):
        return None
    return _TO_ESCAPE.sub(lambda found: _ESCAPES[found.group()], name)


def unescape(identifier: str) -> str:
    """Turn an identifier back into the property name it stands for."""
    if identifier[:2] == "__" and identifier[-2:] == "__" and identifier[2:-2] in _WORDS:
        return identifier[2:-2]
    return _ESCAPED.sub(lambda found: _UNESCAPES[found[1]], identifier)


class ObjectType(t.Type):
    """An object with declared properties; field types are made when first asked for."""

    __slots__ = ("_embedded", "_exact", "_fields", "_reader", "_schema")

    def __init__(self, schema: Schema, *, embedded: bool, name: str = "object") -> None:
        # The estimate of the API server takes a comparison of objects for one step, however many properties there are.
        super().__init__("object", name=name, nullable=bool(schema.get("nullable")), max_size=1)
        self._schema = schema
        self._embedded = embedded
        self._fields: dict[str, tuple[t.Type, str] | None] = {}
        self._exact: bool | None = None
        self._reader: Reader | bool | None = False

    def field(self, identifier: str) -> tuple[t.Type, str] | None:
        """Give (type, property name) of a field by the identifier that expressions use; None if not accessible."""
        try:
            return self._fields[identifier]
        except KeyError:
            found = self._fields[identifier] = self._find(identifier)
            return found

    def _find(self, identifier: str) -> tuple[t.Type, str] | None:
        properties = self._schema.get("properties") or {}
        if self._embedded:
            if identifier in ("apiVersion", "kind"):
                return t.STRING, identifier
            if identifier == "metadata":
                return METADATA, identifier
        name = identifier if identifier in properties else unescape(identifier)
        if name not in properties or escape(name) != identifier:
            return None
        type_ = schema_type(properties[name])
        return None if type_ is None else (type_, name)

    def properties(self) -> dict[str, t.Type]:
        """Give the types of all accessible properties by their names in the data."""
        found: dict[str, t.Type] = {}
        for name in self._schema.get("properties") or {}:
            identifier = escape(name)
            field = self.field(identifier) if identifier is not None else None
            if field is not None:
                found[name] = field[0]
        return found

    def is_exact(self) -> bool:
        """Tell whether all content has a declared type."""
        if self._exact is None:
            properties = self._schema.get("properties") or {}
            types = self.properties()
            self._exact = (
                not self._embedded
                and not self._schema.get("x-kubernetes-preserve-unknown-fields")
                and len(types) == len(properties)
                and all(map(is_exact, types.values()))
            )
        return self._exact

    def reader(self) -> Reader | None:
        """Give the function that decodes a whole object, None if the data can be used as it is."""
        if self._reader is False:
            self._reader = None  # ends the recursion of self-referential dicts, which schemas are not
            readers = {name: read for name, type_ in self.properties().items() if (read := reader(type_)) is not None}
            if readers:
                self._reader = _object_reader(readers)
        return self._reader if callable(self._reader) else None


class ListType(t.Type):
    """A list from a schema, which may be a set or be keyed by fields of its items."""

    __slots__ = ("keys", "list_type")

    def __init__(self, element: t.Type, schema: Schema, max_size: int) -> None:
        super().__init__("list", (element,), nullable=bool(schema.get("nullable")), max_size=max_size)
        self.list_type: str = schema.get("x-kubernetes-list-type") or "atomic"
        self.keys = tuple(schema.get("x-kubernetes-list-map-keys") or ())


INT_OR_STRING = t.Type("dyn", nullable=True, max_size=1)
METADATA = ObjectType(
    {"type": "object", "properties": {"name": {"type": "string"}, "generateName": {"type": "string"}}},
    embedded=False,
)


def schema_type(schema: Schema, *, root: bool = False) -> t.Type | None:
    """Derive the type of the values that a structural schema admits.

    Args:
        schema: an OpenAPI v3 structural schema.
        root: whether it is the schema of a whole resource, where `metadata` is restricted to the names.

    Returns:
        The type, or None where expressions have no access: content without a declared type.
    """
    if schema.get("x-kubernetes-int-or-string"):
        return INT_OR_STRING
    kind = schema.get("type")
    nullable = bool(schema.get("nullable"))
    if kind == "string":
        return _string_type(schema, nullable)
    if kind == "integer":
        return t.Type("int", nullable=True) if nullable else t.INT
    if kind == "boolean":
        return t.Type("bool", nullable=True) if nullable else t.BOOL
    if kind == "number":
        return t.Type("double", nullable=True) if nullable else t.DOUBLE
    if kind == "array":
        items = schema.get("items")
        element = schema_type(items) if isinstance(items, Mapping) else None
        if element is None:
            return None
        assert isinstance(items, Mapping)
        limit = _limit(schema, "maxItems", (MAX_REQUEST_BYTES - 2) // (min_serialized(items) + 1))
        return ListType(element, schema, limit)
    if kind == "object":
        additional = schema.get("additionalProperties")
        if isinstance(additional, Mapping) and additional:
            value = schema_type(additional)
            if value is None:
                return None
            limit = _limit(schema, "maxProperties", (MAX_REQUEST_BYTES - 2) // (min_serialized(additional) + 6))
            key = t.Type("string", max_size=MAX_REQUEST_BYTES - 2)
            return t.Type("map", (key, value), nullable=nullable, max_size=limit)
        return ObjectType(schema, embedded=root or bool(schema.get("x-kubernetes-embedded-resource")))
    return None


def _limit(schema: Schema, keyword: str, otherwise: int) -> int:
    value = schema.get(keyword)
    return otherwise if value is None else max(0, int(value))


#: What a string of these formats takes at most, quotes included in the reckoning of the API server.
_FORMAT_SIZES = {"date": 12, "date-time": 36}


def _string_type(schema: Schema, nullable: bool) -> t.Type:
    form = schema.get("format")
    if form == "byte":
        return t.Type("bytes", nullable=nullable, max_size=_limit(schema, "maxLength", MAX_REQUEST_BYTES - 2))
    if form in ("date", "date-time"):
        return t.Type("timestamp", name=t.TIMESTAMP.name, nullable=True, max_size=_FORMAT_SIZES[form])
    if form == "duration":
        return t.Type("duration", name=t.DURATION.name, nullable=True, max_size=MAX_REQUEST_BYTES - 2)
    limit = MAX_REQUEST_BYTES - 2
    if schema.get("maxLength") is not None:
        limit = max(0, int(schema["maxLength"]))
    elif schema.get("enum"):
        limit = max((len(value) for value in schema["enum"] if isinstance(value, str)), default=0)
    return t.Type("string", nullable=nullable, max_size=limit)


def min_serialized(schema: Schema) -> int:
    """Give the fewest bytes that a value of this schema takes as JSON; it bounds how many fit into a request."""
    if schema.get("x-kubernetes-int-or-string"):
        return 1
    kind = schema.get("type")
    if "default" in schema and kind not in ("array", "object") and schema["default"] is not None:
        return 0
    if kind == "string":
        return {"date": 12, "date-time": 21, "duration": 4}.get(schema.get("format") or "", 2)
    if kind == "boolean":
        return 4
    if kind in ("integer", "number"):
        return 1
    if kind == "array":
        return 2
    if kind == "object":
        size = 2
        properties = schema.get("properties") or {}
        for name in schema.get("required") or ():
            if name in properties and "default" not in properties[name]:
                size += len(name) + min_serialized(properties[name]) + 4
        return size
    return 1


def is_exact(type_: t.Type) -> bool:
    """Tell whether the type fixes the types of all content, so that no number can meet a boolean in a comparison."""
    kind = type_.kind
    if kind == "object":
        return isinstance(type_, ObjectType) and type_.is_exact()
    if kind in ("list", "map"):
        return all(map(is_exact, type_.params))
    return kind in _EXACT


_EXACT = frozenset(("string", "int", "uint", "double", "bool", "bytes", "timestamp", "duration"))

# ---- reading data


def _read_timestamp(value: Any) -> Any:
    if value.__class__ is str:
        return parse_timestamp(value if "T" in value or "t" in value else f"{value}T00:00:00Z")
    if value is None or isinstance(value, Timestamp):
        return value
    raise EvaluationError("unexpected value for a timestamp")


def _read_duration(value: Any) -> Any:
    if value.__class__ is str:
        try:
            return parse_duration(value)
        except EvaluationError:
            return parse_format_duration(value)
    if value is None or isinstance(value, Duration):
        return value
    raise EvaluationError("unexpected value for a duration")


def _read_bytes(value: Any) -> Any:
    if value.__class__ is str:
        try:
            return base64.b64decode(value, validate=True)
        except (binascii.Error, ValueError):
            raise EvaluationError("illegal base64 data") from None
    return value


def _read_double(value: Any) -> Any:
    return float(value) if value.__class__ is int else value


_SCALAR_READERS: dict[str, Reader] = {
    "timestamp": _read_timestamp,
    "duration": _read_duration,
    "bytes": _read_bytes,
}


def scalar_reader(type_: t.Type) -> Reader | None:
    """Give the function that decodes a scalar as it is read, None for containers and for what JSON has as such."""
    if type_.kind == "double":
        return _read_double
    return _SCALAR_READERS.get(type_.kind)


def reader(type_: t.Type) -> Reader | None:
    """Give the function that decodes a whole value of the type, None if the data can be used as it is."""
    kind = type_.kind
    if kind in _SCALAR_READERS:
        return _SCALAR_READERS[kind]
    if kind == "object":
        return type_.reader() if isinstance(type_, ObjectType) else None
    if kind == "list":
        element = reader(type_.params[0])
        if isinstance(type_, ListType):
            if type_.list_type == "set":
                return _set_reader(element)
            if type_.list_type == "map":
                return _keyed_reader(element, type_.keys)
        return None if element is None else _list_reader(element)
    if kind == "map":
        value = reader(type_.params[1])
        return None if value is None else _map_reader(value)
    if kind == "optional":
        return None
    return None


def _object_reader(readers: dict[str, Reader]) -> Reader:
    def read(value: Any) -> Any:
        if not isinstance(value, dict):
            return value
        decoded = dict(value)
        for name, read_field in readers.items():
            if name in decoded:
                decoded[name] = read_field(decoded[name])
        return decoded

    return read


def _list_reader(element: Reader) -> Reader:
    def read(value: Any) -> Any:
        return [element(item) for item in value] if isinstance(value, list) else value

    return read


def _set_reader(element: Reader | None) -> Reader:
    def read(value: Any) -> Any:
        if not isinstance(value, list) or isinstance(value, SetList):
            return value
        return SetList(value if element is None else map(element, value))

    return read


def _keyed_reader(element: Reader | None, keys: tuple[str, ...]) -> Reader:
    def read(value: Any) -> Any:
        if not isinstance(value, list) or isinstance(value, KeyedList):
            return value
        return KeyedList(value if element is None else map(element, value), keys)

    return read


def _map_reader(element: Reader) -> Reader:
    def read(value: Any) -> Any:
        return {key: element(item) for key, item in value.items()} if isinstance(value, dict) else value

    return read
