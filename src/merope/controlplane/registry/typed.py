"""What decoding into a Go struct does to a body of a built-in kind.

Built-in kinds are structs in the reference: a field that the struct does not have is dropped (and reported where the
client asked for field validation), a null counts as absent, times and quantities come out in their canonical form,
and a value of the wrong type is refused. This walks the object once beside its type and does the same in place.
"""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Callable
from typing import Any, Final

from merope.lang.quantity import Quantity, QuantityError
from merope.lang.schema import Node

_META = "io.k8s.apimachinery.pkg.apis.meta.v1."
OBJECT_META: Final = _META + "ObjectMeta"
_QUANTITY: Final = "io.k8s.apimachinery.pkg.api.resource.Quantity"
_TIME: Final = _META + "Time"
_MICRO_TIME: Final = _META + "MicroTime"
#: What is written around a map key in paths while decoding: complaints about types leave keys out.
_KEY, _KEY_END = "\x1f", "\x1e"
_NOT_FIELDS: Final = re.compile(f"\\[\\d+\\]|{_KEY}.*?{_KEY_END}")
#: Fields of a schema that hold a schema or something simpler; OpenAPI says nothing of their structure.
_SCHEMA_UNIONS: Final = frozenset(
    f"io.k8s.apiextensions-apiserver.pkg.apis.apiextensions.v1.JSONSchemaPropsOr{other}"
    for other in ("Array", "Bool", "StringArray")
)
_RFC3339: Final = re.compile(r"(\d{4}-\d\d-\d\d)[Tt](\d\d:\d\d:\d\d)(\.\d+)?([Zz]|[+-]\d\d:\d\d)")
_MICRO: Final = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}(Z|[+-]\d\d:\d\d)")
#: Members of ObjectMeta that Go leaves out where they are empty; managedFields are not among them, since an empty list
#: of a writer asks to forget all owners.
_META_EMPTY: Final = (
    "annotations",
    "deletionGracePeriodSeconds",
    "finalizers",
    "generateName",
    "labels",
    "name",
    "namespace",
    "ownerReferences",
    "resourceVersion",
    "selfLink",
    "uid",
    "generation",
)


class TypeMismatch(ValueError):
    """A value that the field cannot hold; the text is that of the reference's decoder where it has one."""


def _json_type(value: Any) -> str:
    if isinstance(value, bool):
        return "bool"
    if isinstance(value, dict):
        return "object"
    if isinstance(value, list):
        return "array"
    return "string" if isinstance(value, str) else "number"


def _go_type(node: Node) -> str:
    if node.ref:
        return node.ref.rpartition(".")[2]
    if node.kind == "integer":
        return "int64" if node.format == "int64" else "int32"
    if node.kind == "number":
        return "float64"
    if node.kind == "boolean":
        return "bool"
    if node.kind == "array":
        return f"[]{_go_type(node.items)}" if node.items is not None else "[]interface {}"
    if node.is_map and node.additional is not None:
        return f"map[string]{_go_type(node.additional)}"
    return "string" if node.kind == "string" else "interface {}"


def _mismatch(value: Any, node: Node, owner: str, path: str) -> TypeMismatch:
    field = _NOT_FIELDS.sub("", path)
    if field:
        return TypeMismatch(
            f"json: cannot unmarshal {_json_type(value)} into Go struct field {owner}.{field} of type {_go_type(node)}"
        )
    return TypeMismatch(f"json: cannot unmarshal {_json_type(value)} into Go value of type {_go_type(node)}")


def decode(node: Node, obj: dict[str, Any], kind: str) -> list[str]:
    """Bring ``obj`` into the shape of its type, in place; returns the paths of fields that the type does not have.

    Raises TypeMismatch.
    """
    unknown: list[str] = []
    _struct(node, obj, "", kind, unknown)
    return [path.replace(_KEY, ".").replace(_KEY_END, "") for path in unknown] if unknown else unknown


def _value(node: Node, value: Any, path: str, owner: str, unknown: list[str]) -> Any:
    special = _SPECIAL.get(node.ref)
    if special is not None:
        return special(value, path)
    kind = node.kind
    if kind == "object":
        if not isinstance(value, dict):
            raise _mismatch(value, node, owner, path)
        if node.properties:
            _struct(node, value, path, node.ref.rpartition(".")[2] or owner, unknown)
        elif node.additional is not None:
            _map(node.additional, value, path, owner, unknown, node)
        return value
    if kind == "array":
        if not isinstance(value, list):
            raise _mismatch(value, node, owner, path)
        item = node.items
        if item is not None:
            for index, child in enumerate(value):
                place = f"{path}[{index}]"
                value[index] = _zero(item) if child is None else _value(item, child, place, owner, unknown)
        return value
    if kind == "string":
        if not isinstance(value, str):
            raise _mismatch(value, node, owner, path)
        if node.format == "byte":
            _check_base64(value)
        return value
    if kind == "integer":
        if not isinstance(value, int) or isinstance(value, bool):
            raise _mismatch(value, node, owner, path)
        bits = 63 if node.format == "int64" else 31
        if not -(1 << bits) <= value < (1 << bits):
            raise _mismatch(value, node, owner, path)
        return value
    if kind == "number":
        if not isinstance(value, int | float) or isinstance(value, bool):
            raise _mismatch(value, node, owner, path)
        return value
    if kind == "boolean":
        if not isinstance(value, bool):
            raise _mismatch(value, node, owner, path)
        return value
    if node.int_or_string and not isinstance(value, str | int):
        raise _mismatch(value, node, owner, path)
    return value


def _struct(node: Node, value: dict[str, Any], path: str, owner: str, unknown: list[str]) -> None:
    if node.preserve_unknown:
        return
    properties = node.properties
    for key in list(value):
        child = value[key]
        declared = properties.get(key)
        if declared is None:
            del value[key]
            unknown.append(f"{path}.{key}" if path else key)
        elif child is None:
            del value[key]
        else:
            place = f"{path}.{key}" if path else key
            if declared.ref in _SCHEMA_UNIONS:
                _nested_schemas(node, child, place, unknown)
                continue
            result = _value(declared, child, place, owner, unknown)
            if result is None:
                del value[key]
            elif result is not child:
                value[key] = result
    if node.ref == OBJECT_META:
        for key in _META_EMPTY:
            if key in value and not value[key] and value[key] is not False:
                del value[key]


def _nested_schemas(node: Node, value: Any, path: str, unknown: list[str]) -> None:
    """The schema, or the schemas, inside a schema; ``node`` is the type of schemas."""
    if isinstance(value, dict):
        _struct(node, value, path, "JSONSchemaProps", unknown)
    elif isinstance(value, list):
        for index, child in enumerate(value):
            if isinstance(child, dict):
                _struct(node, child, f"{path}[{index}]", "JSONSchemaProps", unknown)


def _map(node: Node, value: dict[str, Any], path: str, owner: str, unknown: list[str], whole: Node) -> None:
    simple = node.kind == "string" and not node.format and not node.ref
    for key, child in value.items():
        if child is None:
            value[key] = _zero(node)
        elif simple:
            if not isinstance(child, str):
                raise _mismatch(child, node, owner, path)
        else:
            result = _value(node, child, f"{path}{_KEY}{key}{_KEY_END}", owner, unknown)
            if result is not child:
                value[key] = result


def _zero(node: Node) -> Any:
    return {"string": "", "object": {}, "array": [], "integer": 0, "number": 0, "boolean": False}.get(node.kind)


def _check_base64(value: str) -> None:
    try:
        base64.b64decode(value, validate=True)
    except (binascii.Error, ValueError):
        position = next(
            (i for i, char in enumerate(value) if not (char.isascii() and (char.isalnum() or char in "+/=\r\n"))),
            len(value) - len(value) % 4,
        )
        if "\n" in value or "\r" in value:
            try:
                base64.b64decode(value.replace("\n", "").replace("\r", ""), validate=True)
                return
            except (binascii.Error, ValueError):
                pass
        raise TypeMismatch(f"illegal base64 data at input byte {position}") from None


def _time(value: Any, path: str) -> Any:
    """A Time: RFC 3339, whole seconds, UTC; an empty text is none."""
    if value == "":
        return None
    if not isinstance(value, str):
        raise TypeMismatch(f"json: cannot unmarshal {_json_type(value)} into Go struct field .{path} of type string")
    if len(value) == 20 and value[19] == "Z" and _RFC3339.fullmatch(value):
        _check_time(value, value)
        return value
    match = _RFC3339.fullmatch(value)
    if match is None:
        raise TypeMismatch(f'parsing time "{value}" as "2006-01-02T15:04:05Z07:00": cannot parse "{value}" as "2006"')
    return _check_time(f"{match[1]}T{match[2]}{match[4].upper()}", value)


def _check_time(text: str, shown: str) -> str:
    from datetime import UTC, datetime

    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise TypeMismatch(f'parsing time "{shown}": out of range') from None
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def _micro_time(value: Any, path: str) -> Any:
    """A MicroTime: exactly six digits of a fraction, kept as it is in UTC."""
    if value == "":
        return None
    if not isinstance(value, str):
        raise TypeMismatch(f"json: cannot unmarshal {_json_type(value)} into Go struct field .{path} of type string")
    if not _MICRO.fullmatch(value):
        layout = "2006-01-02T15:04:05.000000Z07:00"
        match = re.match(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d", value)
        rest = value[match.end() :] if match else value
        raise TypeMismatch(
            f'parsing time "{value}" as "{layout}": cannot parse "{rest}" as "{".000000" if match else "2006"}"'
        )
    if value.endswith("Z"):
        return value
    from datetime import UTC, datetime

    try:
        moment = datetime.fromisoformat(value)
    except ValueError:
        raise TypeMismatch(f'parsing time "{value}": out of range') from None
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def _quantity(value: Any, path: str) -> Any:
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        raise TypeMismatch(f"json: cannot unmarshal {_json_type(value)} into Go struct field .{path} of type string")
    try:
        return str(Quantity.parse(value))
    except QuantityError as error:
        raise TypeMismatch(str(error)) from None


def _int_or_string(value: Any, path: str) -> Any:
    if isinstance(value, bool) or not isinstance(value, str | int):
        raise TypeMismatch(
            f"json: cannot unmarshal {_json_type(value)} into Go struct field .{path} of type intstr.IntOrString"
        )
    return value


def _raw(value: Any, path: str) -> Any:
    return value


_SPECIAL: Final[dict[str, Callable[[Any, str], Any]]] = {
    _QUANTITY: _quantity,
    _TIME: _time,
    _MICRO_TIME: _micro_time,
    "io.k8s.apimachinery.pkg.util.intstr.IntOrString": _int_or_string,
    "io.k8s.apimachinery.pkg.runtime.RawExtension": _raw,
    _META + "FieldsV1": _raw,
    "io.k8s.apiextensions-apiserver.pkg.apis.apiextensions.v1.JSON": _raw,
}
