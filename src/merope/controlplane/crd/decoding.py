"""Types of a body, judged as Go's JSON decoder does when it fills the structs of a built-in kind.

A value of the wrong type fails the whole request with 400 and the decoder's own sentence, which names the innermost
struct, the fields that lead there (no list indices, no map keys), and the Go type expected.
"""

from __future__ import annotations

import re
from typing import Any, Final

from merope.controlplane.crd.formats import integer_range
from merope.lang.schema import Node

_META: Final = "io.k8s.apimachinery.pkg.apis.meta.v1."
_TIMES: Final = frozenset({f"{_META}Time", f"{_META}MicroTime"})
#: Types with a decoder of their own: what they take is not what their schema's type says.
_QUANTITY: Final = "io.k8s.apimachinery.pkg.api.resource.Quantity"
_INT_OR_STRING: Final = "io.k8s.apimachinery.pkg.util.intstr.IntOrString"
_RFC3339: Final = re.compile(r"\d{4}-\d{2}-\d{2}T\d{2}:\d{2}:\d{2}(\.\d+)?(Z|[+-]\d{2}:\d{2})")

_KINDS: Final = {str: "string", bool: "bool", int: "number", float: "number", dict: "object", list: "array"}


def check_types(node: Node, obj: Any) -> str | None:
    """The decoder's complaint about the first value of a wrong type, None where all fit. Nulls always do."""
    return _walk(node, obj, "", "")


def _walk(node: Node, value: Any, struct: str, path: str) -> str | None:
    if value is None:
        return None
    kind = value.__class__
    if node.ref == _QUANTITY:
        return (
            None
            if kind in (str, int, float)
            else _wrong("object" if kind is dict else _KINDS[kind], node, struct, path)
        )
    if node.int_or_string or node.ref == _INT_OR_STRING or node.format == "int-or-string":
        return None if kind in (str, int) else _wrong(_KINDS[kind], node, struct, path)
    if node.ref in _TIMES:
        if kind is not str:
            return f"json: cannot unmarshal {_KINDS[kind]} into Go value of type string"
        if _RFC3339.fullmatch(value) is None:
            layout = "2006-01-02T15:04:05Z07:00" if node.ref.endswith(".Time") else "2006-01-02T15:04:05.000000Z07:00"
            return f'parsing time "{value}" as "{layout}": cannot parse "{value}" as "2006"'
        return None
    if node.raw or node.deduced:
        return None
    if node.kind == "object":
        if kind is not dict:
            return _wrong(_KINDS[kind], node, struct, path)
        return _walk_object(node, value, struct, path)
    if node.kind == "array":
        if kind is not list:
            return _wrong(_KINDS[kind], node, struct, path)
        items = node.items
        if items is not None:
            for item in value:
                found = _walk(items, item, struct, path)
                if found is not None:
                    return found
        return None
    return _walk_scalar(node, value, struct, path)


def _walk_object(node: Node, value: dict[str, Any], struct: str, path: str) -> str | None:
    properties = node.properties
    if properties:
        struct = _type_name(node) or struct
        for key, inner in value.items():
            child = properties.get(key)
            if child is not None and (found := _walk(child, inner, struct, f"{path}.{key}")) is not None:
                return found
        return None
    additional = node.additional
    if additional is not None:
        for inner in value.values():
            found = _walk(additional, inner, struct, path)
            if found is not None:
                return found
    return None


def _walk_scalar(node: Node, value: Any, struct: str, path: str) -> str | None:
    kind = value.__class__
    if node.kind == "string":
        return None if kind is str else _wrong(_KINDS[kind], node, struct, path)
    if node.kind == "boolean":
        return None if kind is bool else _wrong(_KINDS[kind], node, struct, path)
    if node.kind == "number":
        return None if kind in (int, float) else _wrong(_KINDS[kind], node, struct, path)
    if node.kind == "integer":
        if kind is int:
            low, high = integer_range(node.format or "int32")
            if low <= value <= high:
                return None
        if kind in (int, float):
            return _wrong(f"number {value}", node, struct, path)
        return _wrong(_KINDS[kind], node, struct, path)
    return None


def _wrong(found: str, node: Node, struct: str, path: str) -> str:
    if not path:
        return f"json: cannot unmarshal {found} into Go value of type {_go_type(node)}"
    return f"json: cannot unmarshal {found} into Go struct field {struct}{path} of type {_go_type(node)}"


def _type_name(node: Node) -> str:
    return node.ref.rpartition(".")[2]


def _go_type(node: Node) -> str:
    """The Go type that decodes a node: ``v1.PodSpec``, ``map[string]string``, ``[]v1.Container``, ``int32``."""
    if node.kind == "object" and not node.ref and node.additional is not None:
        return f"map[string]{_go_type(node.additional)}"
    if node.kind == "array":
        return f"[]{_go_type(node.items)}" if node.items is not None else "[]interface {}"
    if node.ref:
        package, _, name = node.ref.rpartition(".")
        return f"{package.rpartition('.')[2]}.{name}"
    if node.kind == "string":
        return "[]uint8" if node.format == "byte" else "string"
    if node.kind == "integer":
        return node.format or "int32"
    return {"boolean": "bool", "number": "float64"}.get(node.kind, "map[string]interface {}")
