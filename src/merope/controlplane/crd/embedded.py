"""Objects inside objects: values that the schema declares to be Kubernetes resources of some kind.

Their metadata is brought into the shape of ObjectMeta like that of the object itself, and they need an apiVersion and
a kind. A node whose schema has no embedded resources below costs nothing.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

from merope.controlplane.crd.values import type_name
from merope.controlplane.errors import FieldError, invalid_value, render_value, required
from merope.controlplane.registry import metadata as meta
from merope.controlplane.registry import typed
from merope.lang import names
from merope.lang.schema import Node

#: What to do with each embedded resource: the value and its path.
_Visit = Callable[[dict[str, Any], str], None]
_Walk = Callable[[Any, str, _Visit], None]


def decode_metadata(node: Node, value: Any) -> list[str]:
    """Bring a metadata into the shape of ObjectMeta, in place; gives its unknown fields. ``node`` is ObjectMeta's.

    Raises typed.TypeMismatch.
    """
    if value.__class__ is not dict:
        kind = {"boolean": "bool", "integer": "number"}.get(type_name(value), type_name(value))
        raise typed.TypeMismatch(f"json: cannot unmarshal {kind} into Go value of type v1.ObjectMeta")
    return typed.decode(node, value, "ObjectMeta")


def coerce(node: Node, object_meta: Node, obj: Any) -> list[str]:
    """``decode_metadata`` for all embedded resources; gives the paths of unknown fields.

    Raises typed.TypeMismatch, which names the place.
    """
    walk = _walker(node)
    if walk is None:
        return []
    unknown: list[str] = []

    def visit(value: dict[str, Any], path: str) -> None:
        for key in ("apiVersion", "kind"):
            found = value.get(key)
            if found is not None and not isinstance(found, str):
                raise typed.TypeMismatch(f"{path}.{key}: Invalid value: {render_value(found)}: must be a string")
        metadata = value.get("metadata")
        if metadata is None:
            value.pop("metadata", None)
            return
        shown = render_value(metadata)
        try:
            fields = decode_metadata(object_meta, metadata)
        except typed.TypeMismatch as error:
            raise typed.TypeMismatch(f"{path}.metadata: Invalid value: {shown}: {error}") from None
        unknown.extend(f"{path}.metadata.{field}" for field in fields)

    walk(obj, "", visit)
    return sorted(unknown)


def validate(node: Node, obj: Any) -> list[FieldError]:
    """Complaints about type and metadata of embedded resources."""
    walk = _walker(node)
    if walk is None:
        return []
    errors: list[FieldError] = []
    walk(obj, "", lambda value, path: errors.extend(_complaints(value, path)))
    return errors


def _complaints(value: dict[str, Any], path: str) -> list[FieldError]:
    prefix = f"{path}." if path else ""
    errors = _api_version(value, f"{prefix}apiVersion") + _kind(value, f"{prefix}kind")
    metadata = value.get("metadata")
    if metadata.__class__ is dict:
        named = {"name": "unnamed", **metadata} if not metadata.get("name") else metadata
        found = meta.validate(named, namespaced=bool(metadata.get("namespace")), rule="path", builtin=False)
        errors += [replace(error, field=f"{prefix}{error.field}") for error in found]
    return errors


def _api_version(value: dict[str, Any], path: str) -> list[FieldError]:
    if "apiVersion" not in value:
        return [required(path)]
    found = value["apiVersion"]
    if not isinstance(found, str):
        return [invalid_value(path, found, "must be a string")]
    if not found:
        return [invalid_value(path, found, "must not be empty")]
    if found.count("/") > 1:
        return [invalid_value(path, found, f"unexpected GroupVersion string: {found}")]
    return []


def _kind(value: dict[str, Any], path: str) -> list[FieldError]:
    if "kind" not in value:
        return [required(path)]
    found = value["kind"]
    if not isinstance(found, str):
        return [invalid_value(path, found, "must be a string")]
    if not found:
        return [invalid_value(path, found, "must not be empty")]
    problems = names.is_dns1035_label(found.lower())
    if problems:
        text = "may have mixed case, but should otherwise match: " + ",".join(problems)
        return [invalid_value(path, found, text)]
    return []


def _walker(node: Node) -> _Walk | None:
    """None where nothing at or below the node is an embedded resource."""
    if "embedded" not in node.compiled:
        node.compiled["embedded"] = None if node.ref else _compile(node)
    found: _Walk | None = node.compiled["embedded"]
    return found


def _compile(node: Node) -> _Walk | None:
    fields = {name: walk for name, child in node.properties.items() if (walk := _walker(child)) is not None}
    values = _walker(node.additional) if node.additional is not None else None
    items = _walker(node.items) if node.items is not None else None
    embedded = node.embedded
    if not embedded and not fields and values is None and items is None:
        return None

    def visit_below(value: Any, path: str, visit: _Visit) -> None:
        if value.__class__ is dict:
            if embedded:
                visit(value, path)
            for key, inner in value.items():
                walk = fields.get(key)
                if walk is not None:
                    walk(inner, f"{path}.{key}" if path else key, visit)
                elif values is not None and key not in node.properties:
                    values(inner, f"{path}[{key}]", visit)
        elif value.__class__ is list and items is not None:
            for index, inner in enumerate(value):
                items(inner, f"{path}[{index}]", visit)

    return visit_below
