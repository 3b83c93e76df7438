"""The type graph: one compiled node for every place in an OpenAPI (structural) schema.

Everything that walks an object beside its schema walks this graph instead of the schema's JSON: pruning, defaulting,
field validation, strategic merge, server-side apply. A node is built once per type and shared; the graph may be
cyclic (JSONSchemaProps contains itself), so children are resolved when they are first asked for.

Sources are of two kinds. Custom resources bring one self-contained structural schema. Built-in kinds bring named
definitions that refer to each other by ``$ref``; a node at a reference carries the flags of the use site as well
(``x-kubernetes-map-type`` beside a ``$ref`` counts, as Kubernetes has it).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final, Literal

Schema = Mapping[str, Any]
NodeKind = Literal["object", "array", "string", "integer", "number", "boolean", "any"]

_REF_PREFIXES: Final = ("#/components/schemas/", "#/definitions/", "#/$defs/")

#: Definitions whose values are opaque to structure: any JSON value, owned and merged as one piece.
RAW_EXTENSION: Final = "io.k8s.apimachinery.pkg.runtime.RawExtension"
#: Definitions whose values are free-form JSON with structure deduced from the value.
DEDUCED: Final = frozenset(
    {
        "io.k8s.apimachinery.pkg.apis.meta.v1.FieldsV1",
        "io.k8s.apiextensions-apiserver.pkg.apis.apiextensions.v1.JSON",
    }
)


class Node:
    """One place in a schema, with what Kubernetes says of it.

    ``kind`` is ``any`` for int-or-string values, quantities, and places without a type. ``list_type`` is ``atomic``,
    ``set`` or ``map`` as declared, or None. ``patch_strategy`` and ``patch_merge_key`` are those of strategic merge
    patches. ``compiled`` is where walkers keep what they made of the node, under a key of their own.
    """

    __slots__ = (
        "_additional",
        "_definitions",
        "_items",
        "_properties",
        "_use_site",
        "compiled",
        "default",
        "embedded",
        "format",
        "has_default",
        "int_or_string",
        "kind",
        "list_map_keys",
        "list_type",
        "map_type",
        "nullable",
        "patch_merge_key",
        "patch_strategy",
        "preserve_unknown",
        "ref",
        "required",
        "schema",
    )

    def __init__(
        self, schema: Schema, definitions: _Definitions, use_site: Schema | None = None, ref: str = ""
    ) -> None:
        site: Schema = use_site if use_site is not None else schema
        self.schema = schema
        self.ref = ref
        self._use_site = site
        self._definitions = definitions
        kind = schema.get("type", "")
        self.int_or_string = bool(schema.get("x-kubernetes-int-or-string"))
        if not kind and not self.int_or_string and ("properties" in schema or "additionalProperties" in schema):
            kind = "object"
        self.kind: NodeKind = kind if kind and not self.int_or_string else "any"
        self.format: str = schema.get("format", "")
        self.nullable = bool(site.get("nullable", schema.get("nullable", False)))
        self.preserve_unknown = bool(schema.get("x-kubernetes-preserve-unknown-fields")) or ref in DEDUCED
        self.embedded = bool(schema.get("x-kubernetes-embedded-resource"))
        self.list_type: str | None = site.get("x-kubernetes-list-type", schema.get("x-kubernetes-list-type"))
        self.list_map_keys: tuple[str, ...] = tuple(
            site.get("x-kubernetes-list-map-keys", schema.get("x-kubernetes-list-map-keys", ()))
        )
        self.map_type: str | None = site.get("x-kubernetes-map-type", schema.get("x-kubernetes-map-type"))
        strategy = site.get("x-kubernetes-patch-strategy", "")
        self.patch_strategy: frozenset[str] = frozenset(strategy.split(",")) if strategy else frozenset()
        self.patch_merge_key: str | None = site.get("x-kubernetes-patch-merge-key")
        self.has_default = "default" in site
        self.default: Any = site.get("default")
        self.required: tuple[str, ...] = tuple(schema.get("required", ()))
        self._properties: dict[str, Node] | None = None
        self._items: Node | None = None
        self._additional: Node | None = None
        self.compiled: dict[str, Any] = {}

    @property
    def raw(self) -> bool:
        """Whether the value is one opaque piece (RawExtension)."""
        return self.ref == RAW_EXTENSION

    @property
    def properties(self) -> Mapping[str, Node]:
        """Declared fields; empty where the schema declares none."""
        if self._properties is None:
            declared: Mapping[str, Schema] = self.schema.get("properties") or {}
            self._properties = {name: self._definitions.node(child) for name, child in declared.items()}
        return self._properties

    @property
    def items(self) -> Node | None:
        """The node of list items, None where the schema does not say."""
        if self._items is None and isinstance(self.schema.get("items"), Mapping):
            self._items = self._definitions.node(self.schema["items"])
        return self._items

    @property
    def additional(self) -> Node | None:
        """The node of map values (``additionalProperties``), None for structs and where ``false``."""
        if self._additional is None:
            declared = self.schema.get("additionalProperties")
            if declared is True:
                self._additional = ANY
            elif isinstance(declared, Mapping):
                self._additional = self._definitions.node(declared)
        return self._additional

    @property
    def is_map(self) -> bool:
        """Whether keys are data (``additionalProperties``) and not declared fields."""
        return self.additional is not None

    @property
    def deduced(self) -> bool:
        """Whether the schema says nothing of the structure below, so that it is taken from the values."""
        if self.kind == "object":
            return not self.schema.get("properties") and not self.schema.get("additionalProperties")
        return self.kind == "any" and not self.int_or_string and not self.schema.get("oneOf")

    def child(self, name: str) -> Node | None:
        """The node of the field or map entry ``name``; None where the schema does not know it."""
        found = self.properties.get(name)
        return found if found is not None else self.additional

    def __repr__(self) -> str:
        return f"Node({self.ref or self.kind})"


class _Definitions:
    """Named definitions with one node each; use sites with flags of their own get a node of their own."""

    __slots__ = ("_by_name", "_definitions")

    def __init__(self, definitions: Mapping[str, Schema]) -> None:
        self._definitions = definitions
        self._by_name: dict[str, Node] = {}

    def node(self, schema: Schema) -> Node:
        name = reference_of(schema)
        if not name:
            return Node(schema, self)
        if any(key.startswith("x-kubernetes-") or key in ("default", "nullable") for key in schema):
            return Node(self._definitions.get(name, {}), self, use_site=schema, ref=name)
        found = self._by_name.get(name)
        if found is None:
            found = self._by_name[name] = Node(self._definitions.get(name, {}), self, ref=name)
        return found


def reference_of(schema: Schema) -> str:
    """The definition that ``schema`` refers to (directly, or as the only member of ``allOf``), or ``""``."""
    ref = schema.get("$ref")
    if not isinstance(ref, str):
        all_of = schema.get("allOf")
        if isinstance(all_of, list) and len(all_of) == 1 and "type" not in schema and "properties" not in schema:
            ref = all_of[0].get("$ref")
    if not isinstance(ref, str):
        return ""
    for prefix in _REF_PREFIXES:
        if ref.startswith(prefix):
            return ref[len(prefix) :]
    return ref


class TypeGraph:
    """The nodes of a set of definitions (built-in kinds)."""

    __slots__ = ("_nodes",)

    def __init__(self, definitions: Mapping[str, Schema]) -> None:
        self._nodes = _Definitions(definitions)

    def node(self, name: str) -> Node:
        """The node of the definition ``name`` (``io.k8s.api.core.v1.Pod``)."""
        return self._nodes.node({"$ref": f"#/definitions/{name}"})

    def build(self, schema: Schema) -> Node:
        """The node of a schema that may refer to these definitions (a custom resource with ObjectMeta)."""
        return self._nodes.node(schema)


def build(schema: Schema) -> Node:
    """The node of a self-contained schema.

    >>> build({"type": "object", "properties": {"a": {"type": "string"}}}).child("a").kind
    'string'
    """
    return _Definitions({}).node(schema)


#: The node of a place that nothing is known about.
ANY: Final = build({})
