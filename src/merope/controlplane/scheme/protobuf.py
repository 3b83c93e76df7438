"""Decode the protobuf bodies that typed Go clients send for built-in kinds.

Such clients do not fall back to JSON, so a server has to read them. There is no generated code here: field numbers
come from ``messages``, types from the OpenAPI definitions (fields have the same names in both), and a few types have
encodings of their own. The result is what the client would have sent as JSON.

Encoders write every field that is not a pointer, also when it is zero. Such values are dropped again, except where
JSON has them as well.
"""

from __future__ import annotations

import base64
import binascii
import functools
import struct
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any, Final, NamedTuple

import orjson

from merope.controlplane.errors import ApiError, bad_request, unsupported_media_type
from merope.controlplane.resource import GroupVersionKind, Resource
from merope.controlplane.scheme import messages
from merope.controlplane.scheme.catalogue import Catalogue, load
from merope.lang.schema import Node

Object = dict[str, Any]
Decoder = Callable[[Any], Any]

#: The first bytes of every protobuf body.
MAGIC: Final = b"k8s\x00"
MEDIA_TYPE: Final = "application/vnd.kubernetes.protobuf"

_VARINT, _FIXED64, _BYTES, _FIXED32 = 0, 1, 2, 5
_META: Final = "io.k8s.apimachinery.pkg.apis.meta.v1."
_EXTENSIONS: Final = "io.k8s.apiextensions-apiserver.pkg.apis.apiextensions.v1."
_DELETE_OPTIONS: Final = _META + "DeleteOptions"
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_UNKNOWN_FORMAT: Final = (
    "the body of the request was in an unknown format - accepted media types include: "
    "application/json, application/yaml, application/vnd.kubernetes.protobuf"
)
#: Nesting that no real object reaches; deeper input is refused before it exhausts the stack.
_MAX_DEPTH: Final = 120


class _Malformed(ValueError):
    """The bytes are not what the schema says."""


# --- the wire format ---------------------------------------------------------------------------------------------


def _varint(data: bytes, position: int) -> tuple[int, int]:
    result = shift = 0
    while True:
        if position >= len(data) or shift > 63:
            raise _Malformed("unexpected end of a number")
        byte = data[position]
        position += 1
        result |= (byte & 0x7F) << shift
        if byte < 0x80:
            return result & 0xFFFFFFFFFFFFFFFF, position
        shift += 7


def _fields(data: bytes) -> Iterator[tuple[int, int, Any]]:
    """(number, wire type, value) of every field: an int of a varint, bytes of anything else."""
    position, end = 0, len(data)
    while position < end:
        tag, position = _varint(data, position)
        number, wire = tag >> 3, tag & 7
        if wire == _VARINT:
            value: Any
            value, position = _varint(data, position)
        else:
            if wire == _BYTES:
                length, position = _varint(data, position)
            elif wire == _FIXED64:
                length = 8
            elif wire == _FIXED32:
                length = 4
            else:
                raise _Malformed(f"wire type {wire} is not supported")
            if position + length > end:
                raise _Malformed("unexpected end of a field")
            value = data[position : position + length]
            position += length
        if number == 0:
            raise _Malformed("field number 0")
        yield number, wire, value


def _integer(value: Any) -> int:
    if not isinstance(value, int):
        raise _Malformed("expected a number")
    return value - (1 << 64) if value >= 1 << 63 else value


def _boolean(value: Any) -> bool:
    return bool(_integer(value))


def _double(value: Any) -> float | int:
    if not isinstance(value, bytes) or len(value) != 8:
        raise _Malformed("expected a floating point number")
    number: float = struct.unpack("<d", value)[0]
    return int(number) if number.is_integer() and abs(number) < 1 << 53 else number


def _raw(value: Any) -> bytes:
    if not isinstance(value, bytes):
        raise _Malformed("expected bytes")
    return value


def _string(value: Any) -> str:
    try:
        return _raw(value).decode()
    except UnicodeDecodeError as error:
        raise _Malformed("text is not UTF-8") from error


def _base64(value: Any) -> str:
    return base64.b64encode(_raw(value)).decode()


# --- types with encodings of their own ---------------------------------------------------------------------------


def _moment(value: Any) -> tuple[datetime, int] | None:
    seconds = nanos = 0
    for number, _, part in _fields(_raw(value)):
        if number == 1:
            seconds = _integer(part)
        elif number == 2:
            nanos = _integer(part)
    if not seconds and not nanos:
        return None
    try:
        return _EPOCH + timedelta(seconds=seconds), nanos
    except OverflowError as error:
        raise _Malformed("time out of range") from error


def _time(value: Any) -> str | None:
    moment = _moment(value)
    return None if moment is None else moment[0].strftime("%Y-%m-%dT%H:%M:%SZ")


def _micro_time(value: Any) -> str | None:
    moment = _moment(value)
    return None if moment is None else f"{moment[0].strftime('%Y-%m-%dT%H:%M:%S')}.{moment[1] // 1000:06d}Z"


def _quantity(value: Any) -> str:
    text = ""
    for number, _, part in _fields(_raw(value)):
        if number == 1:
            text = _string(part)
    return text or "0"


def _int_or_string(value: Any) -> int | str:
    kind, integer, text = 0, 0, ""
    for number, _, part in _fields(_raw(value)):
        if number == 1:
            kind = _integer(part)
        elif number == 2:
            integer = _integer(part)
        elif number == 3:
            text = _string(part)
    return text if kind == 1 else integer


def _json(value: Any) -> Any:
    """A message whose first field holds JSON text."""
    for number, _, part in _fields(_raw(value)):
        if number == 1 and part:
            try:
                return orjson.loads(_raw(part))
            except orjson.JSONDecodeError as error:
                raise _Malformed("embedded JSON is not valid") from error
    return None


def _extra(value: Any) -> list[str]:
    """A list of strings that is the value of a map: wrapped in a message."""
    return [_string(part) for number, _, part in _fields(_raw(value)) if number == 1]


# --- messages ----------------------------------------------------------------------------------------------------


class _Slot(NamedTuple):
    """How one field number is read. ``map_value`` decodes the values of a map; ``kept`` keeps zero values."""

    name: str
    decode: Decoder
    repeated: bool
    map_value: Decoder | None
    kept: bool
    zero: Any


class Types:
    """The decoders of one catalogue, built as they are needed."""

    def __init__(self, catalogue: Catalogue) -> None:
        self._catalogue = catalogue
        self._slots: dict[tuple[str, str], dict[int, _Slot | tuple[str, str]]] = {}
        self._depth = 0
        self._special: dict[str, Decoder] = {
            _META + "Time": _time,
            _META + "MicroTime": _micro_time,
            _META + "FieldsV1": _json,
            "io.k8s.apimachinery.pkg.runtime.RawExtension": _json,
            "io.k8s.apimachinery.pkg.api.resource.Quantity": _quantity,
            "io.k8s.apimachinery.pkg.util.intstr.IntOrString": _int_or_string,
            _EXTENSIONS + "JSON": _json,
            _EXTENSIONS + "JSONSchemaPropsOrBool": self._schema_or_bool,
            _EXTENSIONS + "JSONSchemaPropsOrArray": self._schema_or_array,
            _EXTENSIONS + "JSONSchemaPropsOrStringArray": self._schema_or_strings,
        }

    def message(self, definition: str, data: bytes) -> Object:
        """The JSON object of a message."""
        obj: Object = {}
        self._read(definition, definition, data, obj)
        return obj

    def _read(self, message: str, definition: str, data: bytes, obj: Object) -> None:
        """Read ``message`` into ``obj``; its fields have the types of ``definition`` (the parent's when embedded)."""
        self._depth += 1
        try:
            if self._depth > _MAX_DEPTH:
                raise _Malformed("nested too deeply")
            self._read_fields(message, definition, data, obj)
        finally:
            self._depth -= 1

    def _read_fields(self, message: str, definition: str, data: bytes, obj: Object) -> None:
        slots = self._slots_of(message, definition)
        touched: set[int] = set()
        for number, _, value in _fields(data):
            slot = slots.get(number)
            if slot is None:
                raise _Malformed(f"message {message.rpartition('.')[2]} has no field {number}")
            if not isinstance(slot, _Slot):
                self._read(slot[0], slot[1], _raw(value), obj)
                continue
            touched.add(number)
            if slot.map_value is not None:
                key, entry = self._entry(slot, _raw(value))
                obj.setdefault(slot.name, {})[key] = entry
            elif slot.repeated:
                obj.setdefault(slot.name, []).append(slot.decode(value))
            else:
                obj[slot.name] = slot.decode(value)
        for number in touched:
            slot = slots[number]
            if isinstance(slot, _Slot) and not slot.kept and obj.get(slot.name) in _ZEROES:
                obj.pop(slot.name, None)

    @staticmethod
    def _entry(slot: _Slot, data: bytes) -> tuple[str, Any]:
        key, value = "", slot.zero
        for number, _, part in _fields(data):
            if number == 1:
                key = _string(part)
            elif number == 2 and slot.map_value is not None:
                value = slot.map_value(part)
        return key, value

    def _slots_of(self, message: str, definition: str) -> dict[int, _Slot | tuple[str, str]]:
        found = self._slots.get((message, definition))
        if found is None:
            found = self._slots[message, definition] = self._build(message, definition)
        return found

    def _build(self, message: str, definition: str) -> dict[int, _Slot | tuple[str, str]]:
        fields = messages.fields(message)
        if fields is None:
            raise _Malformed(f"message {message.rpartition('.')[2]} is not known")
        node = self._catalogue.graph.node(definition)
        slots: dict[int, _Slot | tuple[str, str]] = {}
        for field in fields:
            if field.embedded:
                slots[field.number] = (field.embedded, definition)
                continue
            child = node.properties.get(field.name)
            if child is None:
                continue
            slots[field.number] = self._slot(field, child, field.name in node.required)
        return slots

    def _slot(self, field: messages.Field, node: Node, required: bool) -> _Slot:
        scalar = node.kind in ("string", "integer", "number", "boolean")
        kept = field.pointer or (scalar and (field.always or required)) or node.ref.endswith("IntOrString")
        if node.kind == "array" and node.items is not None:
            return _Slot(field.name, self._decoder(node.items), True, None, kept, None)
        if node.additional is not None and node.ref not in self._special:
            value = node.additional
            decode: Decoder = _extra if value.kind == "array" else self._decoder(value)
            return _Slot(field.name, decode, False, decode, kept, _zero_of(value))
        return _Slot(field.name, self._decoder(node), False, None, kept, None)

    def _decoder(self, node: Node) -> Decoder:
        special = self._special.get(node.ref)
        if special is not None:
            return special
        match node.kind:
            case "string":
                return _base64 if node.format == "byte" else _string
            case "integer":
                return _integer
            case "boolean":
                return _boolean
            case "number":
                return _double
        definition = node.ref
        return lambda value: self.message(definition, _raw(value))

    def _schema_or_bool(self, value: Any) -> Any:
        allows: Any = False
        schema = None
        for number, _, part in _fields(_raw(value)):
            if number == 1:
                allows = _boolean(part)
            elif number == 2:
                schema = self.message(_EXTENSIONS + "JSONSchemaProps", _raw(part))
        return allows if schema is None else schema

    def _schema_or_array(self, value: Any) -> Any:
        schema = None
        several = []
        for number, _, part in _fields(_raw(value)):
            read = self.message(_EXTENSIONS + "JSONSchemaProps", _raw(part))
            if number == 1:
                schema = read
            else:
                several.append(read)
        return several or schema

    def _schema_or_strings(self, value: Any) -> Any:
        schema = None
        strings = []
        for number, _, part in _fields(_raw(value)):
            if number == 1:
                schema = self.message(_EXTENSIONS + "JSONSchemaProps", _raw(part))
            else:
                strings.append(_string(part))
        return strings if schema is None else schema


#: What is dropped unless the field keeps zero values. (False equals 0.)
_ZEROES: Final[tuple[Any, ...]] = (None, "", 0, [], {})


def _zero_of(node: Node) -> Any:
    match node.kind:
        case "string":
            return ""
        case "integer" | "number":
            return 0
        case "boolean":
            return False
        case "array":
            return []
    return "0" if node.ref.endswith(".Quantity") else {}


@functools.lru_cache(maxsize=2)
def _types(catalogue: Catalogue) -> Types:
    return Types(catalogue)


# --- bodies ------------------------------------------------------------------------------------------------------


def _envelope(body: bytes) -> tuple[str, str, bytes, str]:
    """apiVersion, kind, the encoded object, and its content type (empty for protobuf)."""
    if not body.startswith(MAGIC):
        raise bad_request(
            "provided data does not appear to be a protobuf message, expected prefix "
            + str(list(MAGIC)).replace(",", "")
        )
    api_version = kind = content_type = ""
    raw = b""
    for number, _, value in _fields(body[len(MAGIC) :]):
        if number == 1:
            for inner, _, part in _fields(_raw(value)):
                if inner == 1:
                    api_version = _string(part)
                elif inner == 2:
                    kind = _string(part)
        elif number == 2:
            raw = _raw(value)
        elif number == 4:
            content_type = _string(value)
    return api_version, kind, raw, content_type


def _as_api_error(kind: str, error: Exception) -> ApiError:
    about = f" {kind}" if kind else ""
    return bad_request(f"the protobuf body{about} cannot be decoded: {error}")


def decode(body: bytes, resource: Resource | None, catalogue: Catalogue) -> tuple[str, str, Object]:
    """apiVersion, kind and the object of a request body.

    ``resource`` gives the kind where the envelope leaves it out. Options of deletions may be stamped with any group
    version. Raises ApiError 400 for malformed bodies and unknown field numbers, 415 for kinds that are not built in.
    """
    kind = ""
    try:
        api_version, kind, raw, content_type = _envelope(body)
        if not kind and resource is not None:
            api_version, kind = resource.api_version, resource.kind
        definition = _definition(api_version, kind, catalogue)
        json = content_type == "application/json"
        obj = orjson.loads(raw) if json else _types(catalogue).message(definition, raw)
    except (_Malformed, binascii.Error, orjson.JSONDecodeError) as error:
        raise _as_api_error(kind, error) from None
    return api_version, kind, {"kind": kind, "apiVersion": api_version, **obj}


def _definition(api_version: str, kind: str, catalogue: Catalogue) -> str:
    if kind == "DeleteOptions":
        return _DELETE_OPTIONS
    group, _, version = api_version.rpartition("/")
    definition = catalogue.schema_name(GroupVersionKind(group, version, kind))
    if not definition or messages.fields(definition) is None:
        raise unsupported_media_type(_UNKNOWN_FORMAT)
    return definition


def decode_delete_options(body: bytes, catalogue: Catalogue | None = None) -> Object:
    """The options of a deletion. Raises ApiError 400 when the body is something else."""
    _, kind, obj = decode(body, None, catalogue or load())
    if kind != "DeleteOptions":
        raise bad_request(f"expected DeleteOptions, got {kind or 'an unnamed kind'}")
    return obj
