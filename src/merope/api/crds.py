"""CustomResourceDefinitions, generated from the types alone.

Every constraint, default and description that `kubectl explain` shows stands on a field of a typed object; nothing is
read from YAML. Kinds of one name in several versions make one CRD with several versions.
"""

from __future__ import annotations

import inspect
import typing
from collections.abc import Iterable
from importlib import import_module
from typing import Any

import msgspec
from msgspec import UNSET

from merope.api.meta.v1 import Object, resource_of
from merope.api.schema import Column, Field, Hint, Manifest, ResourceInfo, Rule, hint_of, members_of

Schema = dict[str, Any]

_MODULES = (
    "merope.api.cluster.v1",
    "merope.api.cluster.v1alpha1",
    "merope.api.cluster.v1beta1",
    "merope.api.cluster.v1beta2",
    "merope.api.work.v1",
    "merope.api.work.v1alpha1",
    "merope.api.about.v1alpha1",
    "merope.api.multicluster.v1alpha1",
)
"""Where the kinds are that are served as custom resources."""


def kinds() -> list[type[Object]]:
    """Every kind of this project's APIs, in the order of the modules and of declaration."""
    found: list[type[Object]] = []
    for name in _MODULES:
        for value in vars(import_module(name)).values():
            if inspect.isclass(value) and issubclass(value, Object) and value.__module__ == name:
                found.append(value)
    return found


def crds(groups: Iterable[str] | None = None) -> list[Manifest]:
    """The CRDs of these API groups, by default of all; sorted by name. Raises KeyError for an unknown group."""
    by_name: dict[str, list[type[Object]]] = {}
    for cls in kinds():
        info = resource_of(cls)
        by_name.setdefault(f"{info.plural}.{info.group}", []).append(cls)
    if groups is not None:
        wanted = set(groups)
        unknown = wanted - {resource_of(versions[0]).group for versions in by_name.values()}
        if unknown:
            raise KeyError(f"no such API group: {', '.join(sorted(unknown))}")
        by_name = {name: versions for name, versions in by_name.items() if resource_of(versions[0]).group in wanted}
    return [crd(by_name[name]) for name in sorted(by_name)]


def crd(versions: list[type[Object]]) -> Manifest:
    """The CRD of one kind, from its class in each version."""
    first = resource_of(versions[0])
    names: dict[str, Any] = {
        "kind": first.kind,
        "listKind": f"{first.kind}List",
        "plural": first.plural,
        "singular": first.singular,
    }
    if first.short_names:
        names["shortNames"] = list(first.short_names)
    if first.categories:
        names["categories"] = list(first.categories)
    metadata: dict[str, Any] = {"name": f"{first.plural}.{first.group}"}
    if first.annotations:
        metadata["annotations"] = dict(first.annotations)
    return {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": metadata,
        "spec": {
            "group": first.group,
            "names": names,
            "scope": "Namespaced" if first.namespaced else "Cluster",
            "versions": [_version(cls, resource_of(cls)) for cls in versions],
        },
    }


def _version(cls: type[Object], info: ResourceInfo) -> Manifest:
    version: Manifest = {"name": info.version, "served": info.served, "storage": info.storage}
    if info.deprecation_warning is not None:
        version["deprecated"] = True
        if info.deprecation_warning:
            version["deprecationWarning"] = info.deprecation_warning
    version["schema"] = {"openAPIV3Schema": object_schema(cls)}
    if info.status:
        version["subresources"] = {"status": {}}
    if info.columns:
        version["additionalPrinterColumns"] = [_column(column) for column in info.columns]
    if info.selectable_fields:
        version["selectableFields"] = [{"jsonPath": path} for path in info.selectable_fields]
    return version


def _column(column: Column) -> Manifest:
    out: Manifest = {"name": column.name, "type": column.type, "jsonPath": column.json_path}
    if column.description:
        out["description"] = column.description
    if column.format:
        out["format"] = column.format
    if column.priority:
        out["priority"] = column.priority
    return out


def object_schema(cls: type[Object]) -> Schema:
    """The structural schema of a kind, its root included."""
    schema = struct_schema(cls)
    members = schema["properties"]
    schema["properties"] = {
        "apiVersion": {
            "type": "string",
            "description": "The version of the schema that the object is written in, as `group/version`.",
        },
        "kind": {"type": "string", "description": "The kind of the object, in CamelCase."},
        # The server knows what metadata is; a CRD may only say that it is there.
        "metadata": {"type": "object"},
        **{name: value for name, value in members.items() if name != "metadata"},
    }
    _require(schema, [name for name in schema.get("required", ()) if name != "metadata"])
    return schema


def struct_schema(cls: type[msgspec.Struct]) -> Schema:
    """The structural schema of a struct: its members, which of them are required, its own markers."""
    schema: Schema = {"type": "object"}
    description = inspect.getdoc(cls)
    if description:
        schema["description"] = description
    members = members_of(cls)
    if members:
        schema["properties"] = {member.name: _schema(member.hint) for member in members}
    _require(schema, [member.name for member in members if member.required])
    own = getattr(cls, "schema", None)
    if isinstance(own, Field):
        _constrain(schema, own)
    return schema


def _require(schema: Schema, names: list[str]) -> None:
    schema.pop("required", None)
    if names:
        schema["required"] = sorted(names)


_SCALARS: dict[Any, str] = {str: "string", bool: "boolean", int: "integer", float: "number"}


def _schema(hint: Hint) -> Schema:
    schema = {} if hint.field.int_or_string else _type_schema(hint.type)
    _constrain(schema, hint.field)
    return schema


def _type_schema(kind: Any) -> Schema:
    if kind in _SCALARS:
        return {"type": _SCALARS[kind]}
    if isinstance(kind, type) and issubclass(kind, msgspec.Struct):
        return struct_schema(kind)
    origin, arguments = typing.get_origin(kind), typing.get_args(kind)
    if origin is list:
        return {"type": "array", "items": _schema(hint_of(arguments[0]))}
    if origin is dict and arguments[1] is Any:
        return {"type": "object"}
    if origin is dict:
        return {"type": "object", "additionalProperties": _schema(hint_of(arguments[1]))}
    raise TypeError(f"{kind} has no structural schema")


_KEYWORDS = {
    "pattern": "pattern",
    "format": "format",
    "min_length": "minLength",
    "max_length": "maxLength",
    "minimum": "minimum",
    "maximum": "maximum",
    "min_items": "minItems",
    "max_items": "maxItems",
    "max_properties": "maxProperties",
    "list_type": "x-kubernetes-list-type",
    "map_type": "x-kubernetes-map-type",
}
_FLAGS = {
    "nullable": "nullable",
    "embedded": "x-kubernetes-embedded-resource",
    "preserve_unknown": "x-kubernetes-preserve-unknown-fields",
}


def _constrain(schema: Schema, field: Field) -> None:
    """Write a field's markers into its schema."""
    if field.doc:
        schema["description"] = field.doc
    if field.int_or_string:
        schema["anyOf"] = [{"type": "integer"}, {"type": "string"}]
        schema["x-kubernetes-int-or-string"] = True
    if field.enum:
        schema["enum"] = list(field.enum)
    for name, keyword in _KEYWORDS.items():
        value = getattr(field, name)
        if value is not None and value != "":
            schema[keyword] = value
    for name, keyword in _FLAGS.items():
        if getattr(field, name):
            schema[keyword] = True
    if field.map_keys:
        schema["x-kubernetes-list-map-keys"] = list(field.map_keys)
    if field.default is not UNSET:
        schema["default"] = field.default
    if field.rules:
        schema["x-kubernetes-validations"] = [_rule(rule) for rule in field.rules]


def _rule(rule: Rule) -> Schema:
    out = {"rule": rule.rule}
    for name, value in (
        ("message", rule.message),
        ("messageExpression", rule.message_expression),
        ("reason", rule.reason),
        ("fieldPath", rule.field_path),
    ):
        if value:
            out[name] = value
    return out
