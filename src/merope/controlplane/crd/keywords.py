"""Keywords of a schema: those that are not supported, and those whose values don't fit together."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import re2

from merope.controlplane.errors import FieldError, forbidden_field, invalid_value, not_supported, required

Schema = Mapping[str, Any]

TYPES: Final = ("array", "boolean", "integer", "number", "object", "string")
#: What RE2 says of a wrong pattern, where Go's package of the same syntax says something else.
_GO_WORDS: Final = {
    "missing )": "missing closing )",
    "missing ]": "missing closing ]",
    "trailing \\": "trailing backslash at end of expression",
    "no argument for repetition operator": "missing argument to repetition operator",
    "invalid repetition size": "invalid repeat count",
    "bad repetition operator": "invalid nested repetition operator",
    "invalid perl operator": "invalid or unsupported Perl syntax",
    "invalid named capture group": "invalid named capture",
}
_UNSUPPORTED: Final = ("id", "additionalItems", "patternProperties", "definitions", "dependencies", "$ref")


def keyword_complaints(schema: Schema, path: str) -> list[FieldError]:
    """Complaints about one node of a schema, its children left out."""
    errors = [
        forbidden_field(f"{path}.{keyword}", f"{keyword} is not supported")
        for keyword in _UNSUPPORTED
        if schema.get(keyword) not in (None, "", {})
    ]
    kind = schema.get("type") or ""
    if kind == "null":
        text = "type cannot be set to null, use nullable as an alternative"
        errors.append(forbidden_field(f"{path}.type", text))
    elif kind and kind not in TYPES:
        errors.append(not_supported(f"{path}.type", kind, TYPES))
    if isinstance(schema.get("items"), list):
        errors.append(forbidden_field(f"{path}.items", "items must be a schema object and not an array"))
    if schema.get("uniqueItems"):
        text = "uniqueItems cannot be set to true since the runtime complexity becomes quadratic"
        errors.append(forbidden_field(f"{path}.uniqueItems", text))
    if schema.get("pattern"):
        problem = _pattern_problem(schema["pattern"])
        if problem:
            text = f"must be a valid regular expression, but isn't: {problem}"
            errors.append(invalid_value(f"{path}.pattern", schema["pattern"], text))
    additional = schema.get("additionalProperties")
    if schema.get("properties") and (additional is False or isinstance(additional, Mapping)):
        text = "additionalProperties and properties are mutual exclusive"
        errors.append(forbidden_field(f"{path}.additionalProperties", text))
    if schema.get("x-kubernetes-preserve-unknown-fields") is False:
        keyword = "x-kubernetes-preserve-unknown-fields"
        errors.append(invalid_value(f"{path}.{keyword}", False, "must be true or undefined"))
    return errors + _map_type(schema, path) + _list_type(schema, path)


def _pattern_problem(pattern: str) -> str:
    """Why a pattern is none, in the words of Go's regexp package; empty where it is one."""
    options = re2.Options()
    options.log_errors = False
    try:
        re2.compile(pattern, options)
    except re2.error as error:
        reason = error.args[0]
        text = reason.decode() if isinstance(reason, bytes) else str(reason)
        name, _, fragment = text.partition(": ")
        if name == "trailing \\":
            fragment = ""
        return f"error parsing regexp: {_GO_WORDS.get(name, name)}: `{fragment}`"
    return ""


def _typed(schema: Schema, path: str, kind: str, keyword: str) -> list[FieldError]:
    found = schema.get("type") or ""
    if found == kind:
        return []
    text = f"must be {kind} if {keyword} is specified"
    return [invalid_value(f"{path}.type", found, text) if found else required(f"{path}.type", text)]


def _map_type(schema: Schema, path: str) -> list[FieldError]:
    keyword = "x-kubernetes-map-type"
    found = schema.get(keyword)
    if found is None:
        return []
    errors = _typed(schema, path, "object", keyword)
    if found not in ("atomic", "granular"):
        errors.append(not_supported(f"{path}.{keyword}", found, ("atomic", "granular")))
    return errors


def _list_type(schema: Schema, path: str) -> list[FieldError]:
    keyword, keys_keyword = "x-kubernetes-list-type", "x-kubernetes-list-map-keys"
    found, keys = schema.get(keyword), schema.get(keys_keyword) or []
    errors: list[FieldError] = []
    if found is not None:
        errors += _typed(schema, path, "array", keyword)
        if found not in ("atomic", "map", "set"):
            errors.append(not_supported(f"{path}.{keyword}", found, ("atomic", "set", "map")))
    if keys and found != "map":
        text = f"must be map if {keys_keyword} is non-empty"
        place = f"{path}.{keyword}"
        errors.append(required(place, text) if found is None else invalid_value(place, found, text))
    if found == "map":
        errors += _map_list(schema, keys, path)
    if found == "set":
        errors += _set(schema, path)
    return errors


def _map_list(schema: Schema, keys: list[str], path: str) -> list[FieldError]:
    keys_path = f"{path}.x-kubernetes-list-map-keys"
    errors: list[FieldError] = []
    if not keys:
        errors.append(required(keys_path, "must not be empty if x-kubernetes-list-type is map"))
    items = schema.get("items")
    if items is None:
        return [*errors, required(f"{path}.items", "must have a schema if x-kubernetes-list-type is map")]
    if not isinstance(items, Mapping):
        return errors
    if items.get("type") != "object":
        text = "must be object if parent array's x-kubernetes-list-type is map"
        return [*errors, invalid_value(f"{path}.items.type", items.get("type", ""), text)]
    properties: Mapping[str, Schema] = items.get("properties") or {}
    for key in keys:
        found = properties.get(key)
        if found is None:
            errors.append(invalid_value(keys_path, keys, "entries must all be names of item properties"))
        elif found.get("type") in ("array", "object"):
            text = "must be a scalar type if parent array's x-kubernetes-list-type is map"
            errors.append(invalid_value(f"{path}.items.properties[{key}].type", items["type"], text))
    if len(set(keys)) < len(keys):
        errors.append(invalid_value(keys_path, keys, "must not contain duplicate entries"))
    because = "this property is in x-kubernetes-list-map-keys, so it"
    for key in keys:
        found = properties.get(key)
        if found is None:
            continue
        place = f"{path}.items.properties[{key}]"
        if key not in (items.get("required") or ()) and found.get("default") is None:
            errors.append(required(f"{place}.default", f"{because} must have a default or be a required property"))
        if found.get("nullable"):
            errors.append(forbidden_field(f"{place}.nullable", f"{because} cannot be nullable"))
    return errors


def _set(schema: Schema, path: str) -> list[FieldError]:
    items = schema.get("items")
    if not isinstance(items, Mapping):
        return []
    errors = []
    if items.get("nullable"):
        text = "cannot be nullable when x-kubernetes-list-type is set"
        errors.append(forbidden_field(f"{path}.items.nullable", text))
    text = "must be atomic as item of a list with x-kubernetes-list-type=set"
    kinds = {"array": ("x-kubernetes-list-type", "atomic"), "object": ("x-kubernetes-map-type", "granular")}
    keyword, otherwise = kinds.get(items.get("type") or "", ("", ""))
    if keyword:
        found = items.get(keyword) or otherwise
        if found != "atomic":
            errors.append(invalid_value(f"{path}.items.{keyword}", items.get(keyword), text))
    return errors
