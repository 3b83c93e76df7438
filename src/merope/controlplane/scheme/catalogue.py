"""The catalogue: every built-in resource with its names, verbs, types and strategy.

The data file is written at release time (``scripts/generate_catalogue.py``): a few milliseconds to read, no package of
Kubernetes' types needed at run time. It has two parts. The structure is read at start; the descriptions of fields,
five times as large, only when an OpenAPI document is asked for, and are not kept.

A catalogue is read-only and shared by all logical servers of a process.
"""

from __future__ import annotations

import functools
import zlib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final

import orjson

from merope.controlplane.resource import GroupResource, GroupVersionKind, Resource, Subresource
from merope.controlplane.scheme.shape import Shapes
from merope.lang.schema import Node, TypeGraph

DATA: Final = Path(__file__).parent / "data" / "catalogue.bin"

Schema = dict[str, Any]

OBJECT_META: Final = "io.k8s.apimachinery.pkg.apis.meta.v1.ObjectMeta"
LIST_META: Final = "io.k8s.apimachinery.pkg.apis.meta.v1.ListMeta"

#: Priority of groups that custom resource definitions bring, and of their versions.
CUSTOM_GROUP_PRIORITY: Final = 1000
CUSTOM_VERSION_PRIORITY: Final = 100

#: Resources that are views of the objects of another one: where those are stored, and in which version.
_VIEWS: Final = {
    ("events.k8s.io", "v1", "events"): (GroupResource("", "events"), "v1"),
    ("autoscaling", "v1", "horizontalpodautoscalers"): (
        GroupResource("autoscaling", "horizontalpodautoscalers"),
        "v2",
    ),
}


#: What every answer about a deprecated resource warns of.
_DEPRECATED: Final = {
    ("", "v1", "endpoints"): "v1 Endpoints is deprecated in v1.33+; use discovery.k8s.io/v1 EndpointSlice",
}


class Catalogue:
    """The built-in resources and their types.

    ``resources`` is in the order of discovery: groups by descending priority, versions by descending priority, names
    alphabetically. ``definitions`` are the OpenAPI schemas by canonical name (``io.k8s.api.core.v1.Pod``) without
    descriptions; ``graph`` compiles them to nodes, ``shapes`` to their printed form, as they are needed.
    """

    def __init__(self, data: bytes) -> None:
        stream = zlib.decompressobj()
        structure = orjson.loads(stream.decompress(data))
        self._descriptions = stream.unused_data
        self.release: str = structure["release"]
        self.definitions: Mapping[str, Schema] = structure["definitions"]
        self.graph = TypeGraph(self.definitions)
        self.shapes = Shapes(self.graph)
        self.resources: dict[tuple[str, str, str], Resource] = {}
        self._priorities: dict[tuple[str, str], tuple[int, int]] = {}
        self._definition_of: dict[GroupVersionKind, str] = {}
        for name, schema in self.definitions.items():
            for kind in schema.get("x-kubernetes-group-version-kind", ()):
                self._definition_of.setdefault(GroupVersionKind(kind["group"], kind["version"], kind["kind"]), name)
        for record in structure["resources"]:
            resource = self._resource(record)
            self.resources[resource.group, resource.version, resource.plural] = resource
            self._priorities[resource.group, resource.version] = tuple(record["priority"])
        self._by_kind = {resource.gvk: resource for resource in self.resources.values()}

    def _resource(self, record: Mapping[str, Any]) -> Resource:
        from merope.controlplane.scheme import columns, kinds

        group, version, plural, kind = record["group"], record["version"], record["plural"], record["kind"]
        storage, storage_version = _VIEWS.get((group, version, plural), (GroupResource(group, plural), ""))
        return Resource(
            group=group,
            version=version,
            plural=plural,
            kind=kind,
            list_kind=kind + "List",
            singular=kind.lower(),
            namespaced=record["namespaced"],
            verbs=tuple(record["verbs"]),
            storage=storage,
            storage_version=storage_version or ("v2" if plural == "horizontalpodautoscalers" else version),
            builtin=True,
            strategy=kinds.strategy(group, kind),
            node=self.graph.node(record["schema"]),
            schema_name=record["schema"],
            short_names=tuple(record["shortNames"]),
            categories=tuple(record["categories"]),
            subresources={
                name: Subresource(name, GroupVersionKind(*sub["kind"]), tuple(sub["verbs"]))
                for name, sub in record["subresources"].items()
            },
            columns=columns.COLUMNS.get(GroupVersionKind(group, version, kind)),
            selectable=kinds.selectable(group, kind),
            deprecation_warning=_DEPRECATED.get((group, version, plural), ""),
        )

    def lookup(self, group: str, version: str, plural: str) -> Resource | None:
        """The resource at a path."""
        return self.resources.get((group, version, plural))

    def by_kind(self, gvk: GroupVersionKind) -> Resource | None:
        """The resource whose objects are of a kind; None for bodies of subresources and for unknown kinds."""
        return self._by_kind.get(gvk)

    def schema_name(self, gvk: GroupVersionKind) -> str:
        """The definition of any kind, bodies of subresources included; ``""`` when there is none."""
        return self._definition_of.get(gvk, "")

    def node(self, gvk: GroupVersionKind) -> Node | None:
        """The type of any kind, bodies of subresources (Scale, TokenRequest, Eviction) included."""
        name = self._definition_of.get(gvk)
        return self.graph.node(name) if name else None

    def group_versions(self) -> Iterator[tuple[str, str]]:
        """Every served group version in the order of discovery."""
        return iter(self._priorities)

    def priority(self, group: str, version: str) -> tuple[int, int]:
        """Priorities of the group and of the version in it; those of custom resources for any other group."""
        return self._priorities.get((group, version), (CUSTOM_GROUP_PRIORITY, CUSTOM_VERSION_PRIORITY))

    def described(self) -> dict[str, Schema]:
        """The definitions with descriptions: fresh and costly (some ms), for OpenAPI documents only."""
        descriptions = orjson.loads(zlib.decompress(self._descriptions))
        definitions = {}
        for name, schema in self.definitions.items():
            own, fields = descriptions.get(name, ("", {}))
            described: Schema = {"description": own, **schema} if own else dict(schema)
            if "properties" in schema:
                described["properties"] = {
                    field: {"description": fields[field], **child} if field in fields else child
                    for field, child in schema["properties"].items()
                }
            definitions[name] = described
        return definitions


@functools.cache
def load() -> Catalogue:
    """The catalogue of this release, one a process."""
    return Catalogue(DATA.read_bytes())
