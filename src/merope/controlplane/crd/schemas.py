"""The schema of one version of a custom resource, in the forms that its users need.

``declared`` is what the definition says: values are validated against it. ``full`` has apiVersion, kind and metadata
filled in, at the root and in embedded resources, as every object has them: it is what prunes, owns and merges.

Compiling costs milliseconds and some hundred kilobytes for a large kind, so it is done when first needed, and equal
schemas of several logical servers in a process share one result.
"""

from __future__ import annotations

import functools
import weakref
from collections.abc import Mapping
from typing import Any, Final

import orjson

from merope.controlplane.crd import structural
from merope.lang.schema import Node, Schema, TypeGraph, build

OBJECT_META: Final = "io.k8s.apimachinery.pkg.apis.meta.v1.ObjectMeta"


class CompiledSchema:
    """One declared schema; ``graph`` has the built-in definitions that objects refer to (ObjectMeta)."""

    def __init__(self, schema: Schema, graph: TypeGraph) -> None:
        self.schema = schema
        self._graph = graph

    @functools.cached_property
    def declared(self) -> Node:
        """The node of the schema as it was declared."""
        return build(self.schema)

    @functools.cached_property
    def full(self) -> Node:
        """The node with what every object has."""
        return self._graph.build(with_metadata(self.schema, root=True))

    @functools.cached_property
    def object_meta(self) -> Node:
        """The type of metadata."""
        return self._graph.node(OBJECT_META)

    @functools.cached_property
    def has_defaults(self) -> bool:
        """Whether objects may lack a default that the schema has now."""
        return structural.has_defaults(self.full)


class SchemaCache:
    """Compiled schemas by their text, as long as somebody uses them."""

    def __init__(self, graph: TypeGraph) -> None:
        self._graph = graph
        self._compiled: weakref.WeakValueDictionary[bytes, CompiledSchema] = weakref.WeakValueDictionary()

    def get(self, schema: Schema) -> CompiledSchema:
        """The compiled form of a schema; compiles nothing yet."""
        key = orjson.dumps(schema, option=orjson.OPT_SORT_KEYS)
        found = self._compiled.get(key)
        if found is None:
            found = self._compiled[key] = CompiledSchema(orjson.loads(key), self._graph)
        return found


@functools.lru_cache(maxsize=4)
def cache_of(graph: TypeGraph) -> SchemaCache:
    """The cache of a type graph: servers that share a catalogue share their schemas."""
    return SchemaCache(graph)


def with_metadata(schema: Mapping[str, Any], *, root: bool = False) -> dict[str, Any]:
    """A copy of a schema with apiVersion, kind and metadata filled in where there are objects."""
    out = dict(schema)
    properties: Mapping[str, Any] | None = schema.get("properties")
    if properties is not None:
        out["properties"] = {name: with_metadata(child) for name, child in properties.items()}
    for key in ("items", "additionalProperties"):
        if isinstance(schema.get(key), Mapping):
            out[key] = with_metadata(schema[key])
    if root or schema.get("x-kubernetes-embedded-resource"):
        out["properties"] = {
            "apiVersion": {"type": "string"},
            "kind": {"type": "string"},
            **out.get("properties", {}),
            "metadata": {"$ref": f"#/definitions/{OBJECT_META}"},
        }
    return out
