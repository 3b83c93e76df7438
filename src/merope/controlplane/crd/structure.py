"""Whether a schema is structural: every value has a type outside of logic, so that unknown fields can be told.

Types, defaults, descriptions and extensions stand in the skeleton of the schema; inside allOf, anyOf, oneOf and not
there are only value checks. Two ways to write int-or-string are excepted.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final, Literal

from merope.controlplane.errors import FieldError, forbidden_field, invalid_value, required

Schema = Mapping[str, Any]
Level = Literal["root", "item", "field"]

_TYPE_MISSING: Final = {
    "root": "must not be empty at the root",
    "item": "must not be empty for specified array items",
    "field": "must not be empty for specified object fields",
}
_INT_OR_STRING: Final = [{"type": "integer"}, {"type": "string"}]
_EMPTY: Final = "must be empty to be structural"
_UNDEFINED: Final = "must be undefined to be structural"
_FALSE: Final = "must be false to be structural"
#: What logic must not hold, besides ``type``, and the complaint about it.
_NOT_IN_LOGIC: Final = {
    "additionalProperties": _UNDEFINED,
    "default": _UNDEFINED,
    "title": _EMPTY,
    "description": _EMPTY,
    "nullable": _FALSE,
    "x-kubernetes-preserve-unknown-fields": _FALSE,
    "x-kubernetes-embedded-resource": _FALSE,
    "x-kubernetes-int-or-string": _FALSE,
    "x-kubernetes-list-map-keys": _EMPTY,
    "x-kubernetes-list-type": _UNDEFINED,
    "x-kubernetes-map-type": _UNDEFINED,
}


def structural_complaints(schema: Schema, path: str) -> list[FieldError]:
    """What keeps a whole schema from being structural, sorted."""
    errors = _invariants(schema, "root", path) + _completeness(schema, schema, path, path)
    return sorted(errors, key=str)


def _invariants(schema: Schema, level: Level, path: str) -> list[FieldError]:
    errors: list[FieldError] = []
    if isinstance(schema.get("items"), Mapping):
        errors += _invariants(schema["items"], "item", f"{path}.items")
    elif schema.get("type") == "array" and schema.get("items") is None:
        errors.append(required(f"{path}.items", "must be specified"))
    properties: Mapping[str, Schema] = schema.get("properties") or {}
    for name, child in properties.items():
        errors += _invariants(child, "field", f"{path}.properties[{name}]")
    if schema.get("additionalProperties") is not None:
        if level == "root":
            errors.append(forbidden_field(f"{path}.additionalProperties", "must not be used at the root"))
        if isinstance(schema["additionalProperties"], Mapping):
            errors += _invariants(schema["additionalProperties"], "field", f"{path}.additionalProperties")
    first_all_of = _first_all_of_is_int_or_string(schema)
    errors += _logic(schema, path, typed_any_of=_any_of_is_int_or_string(schema), typed_first_all_of=first_all_of)
    return errors + _type(schema, level, path) + _embedded(schema, path) + _object_fields(schema, level, path)


def _type(schema: Schema, level: Level, path: str) -> list[FieldError]:
    kind = schema.get("type") or ""
    if schema.get("x-kubernetes-embedded-resource") and kind != "object":
        text = "must be object if x-kubernetes-embedded-resource is true"
        return [invalid_value(f"{path}.type", kind, text) if kind else required(f"{path}.type", text)]
    if (
        not kind
        and not schema.get("x-kubernetes-int-or-string")
        and not schema.get("x-kubernetes-preserve-unknown-fields")
    ):
        return [required(f"{path}.type", _TYPE_MISSING[level])]
    if level == "root" and kind and kind != "object":
        return [invalid_value(f"{path}.type", kind, "must be object at the root")]
    return []


def _embedded(schema: Schema, path: str) -> list[FieldError]:
    if not schema.get("x-kubernetes-embedded-resource"):
        return []
    errors = []
    if schema.get("additionalProperties") is not None:
        text = "must not be used if x-kubernetes-embedded-resource is set"
        errors.append(forbidden_field(f"{path}.additionalProperties", text))
    if not schema.get("properties") and not schema.get("x-kubernetes-preserve-unknown-fields"):
        text = (
            "must not be empty if x-kubernetes-embedded-resource is true without x-kubernetes-preserve-unknown-fields"
        )
        errors.append(required(f"{path}.properties", text))
    return errors


def _object_fields(schema: Schema, level: Level, path: str) -> list[FieldError]:
    """Schemas of apiVersion, kind and metadata where those have a meaning."""
    if level != "root" and not schema.get("x-kubernetes-embedded-resource"):
        return []
    errors = []
    properties: Mapping[str, Schema] = schema.get("properties") or {}
    for name in ("kind", "apiVersion"):
        if name in properties and properties[name].get("type") != "string":
            errors.append(
                invalid_value(f"{path}.properties[{name}].type", properties[name].get("type", ""), "must be string")
            )
    metadata = properties.get("metadata")
    if metadata is not None:
        place = f"{path}.properties[metadata]"
        if metadata.get("type") != "object":
            errors.append(invalid_value(f"{place}.type", metadata.get("type", ""), "must be object"))
        extra = metadata.keys() - {"type", "properties", "default"}
        fields = (metadata.get("properties") or {}).keys() - {"name", "generateName"}
        if level == "root" and (extra or fields):
            text = "must not specify anything other than name and generateName, but metadata is implicitly specified"
            errors.append(forbidden_field(place, text))
    return errors


# --- logic -----------------------------------------------------------------------------------------------------------


def _any_of_is_int_or_string(schema: Schema) -> bool:
    return bool(schema.get("x-kubernetes-int-or-string")) and schema.get("anyOf") == _INT_OR_STRING


def _first_all_of_is_int_or_string(schema: Schema) -> bool:
    all_of = schema.get("allOf") or ()
    return bool(
        schema.get("x-kubernetes-int-or-string")
        and all_of
        and all_of[0].get("anyOf") == _INT_OR_STRING
        and not schema.get("anyOf")
    )


def _logic(
    schema: Schema, path: str, *, typed_any_of: bool = False, typed_first_all_of: bool = False
) -> list[FieldError]:
    errors: list[FieldError] = []
    for index, branch in enumerate(schema.get("allOf") or ()):
        errors += _nested(branch, f"{path}.allOf[{index}]", typed_any_of=typed_first_all_of and index == 0)
    for index, branch in enumerate(schema.get("anyOf") or ()):
        errors += _nested(branch, f"{path}.anyOf[{index}]", typed=typed_any_of)
    for index, branch in enumerate(schema.get("oneOf") or ()):
        errors += _nested(branch, f"{path}.oneOf[{index}]")
    if isinstance(schema.get("not"), Mapping):
        errors += _nested(schema["not"], f"{path}.not")
    return errors


def _nested(schema: Schema, path: str, *, typed: bool = False, typed_any_of: bool = False) -> list[FieldError]:
    errors = _logic(schema, path, typed_any_of=typed_any_of)
    if isinstance(schema.get("items"), Mapping):
        errors += _nested(schema["items"], f"{path}.items")
    properties: Mapping[str, Schema] = schema.get("properties") or {}
    for name, child in properties.items():
        errors += _nested(child, f"{path}.properties[{name}]")
    if schema.get("type") and not typed:
        errors.append(forbidden_field(f"{path}.type", _EMPTY))
    for keyword, text in _NOT_IN_LOGIC.items():
        present = schema.get(keyword)
        if present or (keyword in ("additionalProperties", "default") and present is not None):
            errors.append(forbidden_field(f"{path}.{keyword}", text))
    if "metadata" in properties:
        errors.append(forbidden_field(f"{path}.properties[metadata]", "must not be specified in a nested context"))
    return errors


def _completeness(logic: Schema, skeleton: Schema | None, logic_path: str, path: str) -> list[FieldError]:
    """Fields that only the logic at the root knows (deeper logic is not looked at, as in Kubernetes)."""
    errors: list[FieldError] = []
    for keyword in ("allOf", "anyOf", "oneOf"):
        for index, branch in enumerate(logic.get(keyword) or ()):
            errors += _declared_outside(branch, skeleton, f"{logic_path}.{keyword}[{index}]", path)
    if isinstance(logic.get("not"), Mapping):
        errors += _declared_outside(logic["not"], skeleton, f"{logic_path}.not", path)
    return errors


def _declared_outside(branch: Schema, skeleton: Schema | None, branch_path: str, path: str) -> list[FieldError]:
    if skeleton is None:
        return [required(path, f"because it is defined in {branch_path}")]
    errors = _completeness(branch, skeleton, branch_path, path)
    if isinstance(branch.get("items"), Mapping):
        items = skeleton.get("items")
        errors += _declared_outside(branch["items"], items, f"{branch_path}.items", f"{path}.items")
    properties: Mapping[str, Schema] = branch.get("properties") or {}
    for name, child in properties.items():
        outside = (skeleton.get("properties") or {}).get(name)
        step = f"properties[{name}]"
        errors += _declared_outside(child, outside, f"{branch_path}.{step}", f"{path}.{step}")
    return errors
