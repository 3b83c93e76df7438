"""Defaults in a schema: they must be what the schema itself would accept and keep."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import orjson

from merope.controlplane.crd import embedded, structural
from merope.controlplane.crd.schemas import OBJECT_META, with_metadata
from merope.controlplane.crd.values import same
from merope.controlplane.errors import FieldError, invalid_value
from merope.controlplane.registry import typed
from merope.lang.schema import TypeGraph, build

Schema = Mapping[str, Any]


def default_complaints(schema: Schema, graph: TypeGraph, path: str) -> list[FieldError]:
    """Complaints about the defaults anywhere in a structural schema."""
    errors = _default(schema, graph, path) if schema.get("default") is not None else []
    if isinstance(schema.get("items"), Mapping):
        errors += default_complaints(schema["items"], graph, f"{path}.items")
    if isinstance(schema.get("additionalProperties"), Mapping):
        errors += default_complaints(schema["additionalProperties"], graph, f"{path}.additionalProperties")
    properties: Mapping[str, Schema] = schema.get("properties") or {}
    for name, child in properties.items():
        errors += default_complaints(child, graph, f"{path}.properties[{name}]")
    return errors


def _default(schema: Schema, graph: TypeGraph, path: str) -> list[FieldError]:
    place = f"{path}.default"
    value: Any = schema["default"]
    full = graph.build(with_metadata(schema))
    kept: Any = orjson.loads(orjson.dumps(value))
    object_meta = graph.node(OBJECT_META)
    try:
        # What an embedded object's metadata loses is as unknown as any other field.
        dropped = embedded.coerce(full, object_meta, kept) + structural.prune(full, kept)
    except typed.TypeMismatch as error:
        return [invalid_value(place, value, f"must result in valid metadata: {error}")]
    if dropped or not same(kept, value):
        return [invalid_value(place, value, "must not have unknown fields")]
    found = embedded.validate(full, value)
    if found:
        return [replace(error, field=f"{place}{'' if error.field[:1] == '[' else '.'}{error.field}") for error in found]
    return structural.validate(build(schema), value, path=place)
