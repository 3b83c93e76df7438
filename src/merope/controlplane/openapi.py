"""OpenAPI documents: what clients learn the types and operations of this server from.

Version 3 is one document a group version, found through an index that names each document with its hash; kubectl asks
it which patch types a kind takes, how lists merge, and what fields mean (``explain``). The documents of built-in kinds
are the same for all servers of a process and built once; those of custom resources are built when they are asked for
and again only when a definition of that group version changed. Hashes are kept, documents only for a while: they are
large and clients cache them.

Version 2 is answered for old clients. kubectl before 1.29 asks for its protobuf form before anything else and is
content with an empty document, then uses version 3; dashboards and older libraries read the JSON form.
"""

from __future__ import annotations

import functools
import hashlib
import re
from collections.abc import Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import orjson

from merope.controlplane.resource import GroupVersionKind, Resource
from merope.controlplane.scheme import catalogue

if TYPE_CHECKING:
    from merope.controlplane.server import Server

Schema = dict[str, Any]
GroupVersion = tuple[str, str]

V3: Final = "#/components/schemas/"
V2: Final = "#/definitions/"
_META: Final = "io.k8s.apimachinery.pkg.apis.meta.v1."
STATUS: Final = _META + "Status"
DELETE_OPTIONS: Final = _META + "DeleteOptions"
PATCH: Final = _META + "Patch"
_JSON: Final = "application/json"
_MERGE_PATCHES: Final = ("application/apply-patch+yaml", "application/json-patch+json", "application/merge-patch+json")
_STRATEGIC: Final = "application/strategic-merge-patch+json"
_GVK: Final = "x-kubernetes-group-version-kind"

#: Documents kept as bytes, of each of the built-in and the custom kinds.
_KEPT: Final = 6


class Document(NamedTuple):
    """An encoded document and the hash that names it."""

    body: bytes
    hash: str


# --- parameters --------------------------------------------------------------------------------------------------

_PARAMETERS: Final[Mapping[str, tuple[str, str, str]]] = {
    "allowWatchBookmarks": ("query", "boolean", "Ask for events of type BOOKMARK, which only carry a version."),
    "continue": ("query", "string", "The token of the previous page of a list."),
    "dryRun": ("query", "string", "With the value All, everything happens but the write."),
    "fieldManager": ("query", "string", "The name under which the fields of this write are owned."),
    "fieldSelector": ("query", "string", "Limits the answer to objects whose fields match."),
    "fieldValidation": ("query", "string", "What happens to unknown and duplicate fields: Ignore, Warn or Strict."),
    "force": ("query", "boolean", "Take fields over from other managers when applying."),
    "gracePeriodSeconds": ("query", "integer", "The seconds before the object is removed."),
    "labelSelector": ("query", "string", "Limits the answer to objects whose labels match."),
    "limit": ("query", "integer", "The largest number of items of one page."),
    "name": ("path", "string", "The name of the object."),
    "namespace": ("path", "string", "The namespace of the object."),
    "orphanDependents": ("query", "boolean", "Leave dependents in place; superseded by propagationPolicy."),
    "pretty": ("query", "string", "Indent the answer."),
    "propagationPolicy": ("query", "string", "What happens to dependents: Orphan, Background or Foreground."),
    "resourceVersion": ("query", "string", "The version that the answer is read at."),
    "resourceVersionMatch": ("query", "string", "How resourceVersion is meant in a list."),
    "sendInitialEvents": ("query", "boolean", "Begin a watch with the objects that exist."),
    "timeoutSeconds": ("query", "integer", "The longest time of the request."),
    "watch": ("query", "boolean", "Stream the changes instead of answering a list."),
}
_SELECTION: Final = (
    "allowWatchBookmarks",
    "continue",
    "fieldSelector",
    "labelSelector",
    "limit",
    "resourceVersion",
    "resourceVersionMatch",
    "sendInitialEvents",
    "timeoutSeconds",
    "watch",
)
_WRITE: Final = ("dryRun", "fieldManager", "fieldValidation")
_DELETION: Final = ("dryRun", "gracePeriodSeconds", "orphanDependents", "propagationPolicy")


class Operation(NamedTuple):
    """One method on one path, before it is written in the words of either version."""

    method: str
    action: str
    parameters: tuple[str, ...]
    body: str
    answer: str
    kind: GroupVersionKind
    patch_types: tuple[str, ...]
    operation_id: str
    tag: str


class Path(NamedTuple):
    path: str
    operations: tuple[Operation, ...]


def group_version_key(group: str, version: str) -> str:
    """The name of a group version in the index: ``api/v1``, ``apis/apps/v1``."""
    return f"apis/{group}/{version}" if group else f"api/{version}"


def schema_name(resource: Resource) -> str:
    """The definition of a resource; for custom resources the reversed group, the version and the kind."""
    if resource.builtin:
        return resource.schema_name
    return ".".join((*reversed(resource.group.split(".")), resource.version, resource.kind))


def _list_name(resource: Resource) -> str:
    if resource.builtin:
        return resource.schema_name + "List"
    return ".".join((*reversed(resource.group.split(".")), resource.version, resource.list_kind))


def _camel(text: str) -> str:
    return "".join(part[:1].upper() + part[1:] for part in re.split(r"[^A-Za-z0-9]+", text))


def paths_of(resource: Resource) -> Iterator[Path]:
    """The paths of a resource with the operations that it serves on each."""
    known = catalogue.load()
    name = schema_name(resource)
    patches = (*_MERGE_PATCHES, _STRATEGIC) if resource.builtin else _MERGE_PATCHES
    prefix = "/" + group_version_key(resource.group, resource.version)
    base = (
        f"{prefix}/namespaces/{{namespace}}/{resource.plural}" if resource.namespaced else f"{prefix}/{resource.plural}"
    )
    in_path = ("namespace",) if resource.namespaced else ()
    group = _camel(resource.group.removesuffix(".k8s.io") or "core")
    scope = "Namespaced" if resource.namespaced else ""
    owner = f"{group}{_camel(resource.version)}{scope}{resource.kind}"
    tag = f"{re.sub('[^a-z0-9]', '', resource.group.removesuffix('.k8s.io')) or 'core'}_{resource.version}"
    verbs = set(resource.verbs)

    def operation(
        method: str,
        verb: str,
        action: str,
        parameters: tuple[str, ...],
        body: str = "",
        answer: str = "",
        *,
        kind: GroupVersionKind = resource.gvk,
        suffix: str = "",
        path: tuple[str, ...] = in_path,
    ) -> Operation:
        return Operation(
            method,
            action,
            (*path, "pretty", *parameters),
            body,
            answer or name,
            kind,
            patches if method == "patch" else (),
            f"{verb}{owner}{suffix}",
            tag,
        )

    collection = []
    if "list" in verbs:
        collection.append(operation("get", "list", "list", _SELECTION, answer=_list_name(resource)))
    if "create" in verbs:
        collection.append(operation("post", "create", "post", _WRITE, name))
    if "deletecollection" in verbs:
        parameters = (*_SELECTION, *_DELETION)
        collection.append(
            operation("delete", "deleteCollection", "deletecollection", parameters, DELETE_OPTIONS, STATUS)
        )
    yield Path(base, tuple(collection))

    named = (*in_path, "name")
    item = []
    if "get" in verbs:
        item.append(operation("get", "read", "get", (), path=named))
    if "update" in verbs:
        item.append(operation("put", "replace", "put", _WRITE, name, path=named))
    if "patch" in verbs:
        item.append(operation("patch", "patch", "patch", (*_WRITE, "force"), PATCH, path=named))
    if "delete" in verbs:
        item.append(operation("delete", "delete", "delete", _DELETION, DELETE_OPTIONS, STATUS, path=named))
    if item:
        yield Path(base + "/{name}", tuple(item))
    if resource.namespaced and "list" in verbs:
        everywhere = operation(
            "get", "list", "list", _SELECTION, answer=_list_name(resource), suffix="ForAllNamespaces", path=()
        )
        yield Path(f"{prefix}/{resource.plural}", (everywhere,))

    methods = {
        "get": ("get", "read"),
        "update": ("put", "replace"),
        "patch": ("patch", "patch"),
        "create": ("post", "create"),
    }
    for subresource in resource.subresources.values():
        kind = subresource.kind
        body = name if kind == resource.gvk else known.schema_name(kind)
        if not body:
            continue
        operations = [
            operation(
                method,
                verb_name,
                method,
                () if method == "get" else _WRITE if method != "patch" else (*_WRITE, "force"),
                "" if method == "get" else PATCH if method == "patch" else body,
                body,
                kind=kind,
                suffix=_camel(subresource.name),
                path=named,
            )
            for verb in subresource.verbs
            if verb in methods
            for method, verb_name in (methods[verb],)
        ]
        yield Path(f"{base}/{{name}}/{subresource.name}", tuple(operations))


# --- schemas -----------------------------------------------------------------------------------------------------


def _references(schema: Any) -> Iterator[str]:
    if not isinstance(schema, Mapping):
        return
    if isinstance(schema.get("$ref"), str):
        yield schema["$ref"].rpartition("/")[2]
    for one in schema.get("allOf") or ():
        yield from _references(one)
    for child in (schema.get("properties") or {}).values():
        yield from _references(child)
    for key in ("items", "additionalProperties"):
        yield from _references(schema.get(key))


def _reachable(definitions: Mapping[str, Schema], roots: Iterable[str]) -> dict[str, Schema]:
    seen: dict[str, Schema] = {}
    pending = list(roots)
    while pending:
        name = pending.pop()
        if name in definitions and name not in seen:
            seen[name] = definitions[name]
            pending.extend(_references(definitions[name]))
    return dict(sorted(seen.items()))


def _published(schema: Any) -> Any:
    """A schema with every reference that has siblings wrapped: beside ``$ref`` OpenAPI 3.0 ignores other keys."""
    if not isinstance(schema, Mapping):
        return schema
    out = dict(schema)
    if "properties" in out:
        out["properties"] = {name: _published(child) for name, child in out["properties"].items()}
    for key in ("items", "additionalProperties"):
        if key in out:
            out[key] = _published(out[key])
    if isinstance(out.get("$ref"), str) and len(out) > 1:
        out["allOf"] = [{"$ref": out.pop("$ref")}]
    return out


@functools.lru_cache(maxsize=1)
def _published_definitions() -> Mapping[str, Schema]:
    """The definitions of built-in kinds as documents hold them. Large: forgotten when an index is done."""
    return {name: _published(schema) for name, schema in catalogue.load().described().items()}


@functools.lru_cache(maxsize=2)
def _standard_properties(kind: str) -> Mapping[str, Schema]:
    """``apiVersion``, ``kind`` and ``metadata`` as a built-in kind declares them.

    Custom resources and embedded ones are published with these, whatever their own schema says of the three.
    """
    properties = _published_definitions()[f"io.k8s.api.core.v1.{kind}"]["properties"]
    return {name: properties[name] for name in ("apiVersion", "kind", "metadata")}


def custom_schemas(resource: Resource) -> dict[str, Schema]:
    """The definitions of a custom resource and of its list."""
    gvk = {"group": resource.group, "version": resource.version}
    own = _with_metadata(resource.node.schema, root=True)
    own[_GVK] = [{**gvk, "kind": resource.kind}]
    items = {"type": "array", "description": "The objects.", "items": {"$ref": V3 + schema_name(resource)}}
    listed: Schema = {
        "description": f"A list of {resource.kind}.",
        "type": "object",
        "required": ["items"],
        "properties": {
            **_standard_properties("ConfigMapList"),
            "items": items,
        },
        _GVK: [{**gvk, "kind": resource.list_kind}],
    }
    return {schema_name(resource): own, _list_name(resource): listed}


def _with_metadata(schema: Mapping[str, Any], *, root: bool = False) -> Schema:
    """A structural schema with ``apiVersion``, ``kind`` and ``metadata`` filled in, here and in embedded objects."""
    out = dict(schema)
    embedded = bool(out.get("x-kubernetes-embedded-resource"))
    if "properties" in out or root or embedded:
        properties = {name: _with_metadata(child) for name, child in (out.get("properties") or {}).items()}
        if root or embedded:
            properties.update(_standard_properties("ConfigMap"))
        if embedded:
            out["required"] = [*dict.fromkeys([*(out.get("required") or ()), "kind", "apiVersion"])]
        out["properties"] = dict(sorted(properties.items()))
    for key in ("items", "additionalProperties"):
        if isinstance(out.get(key), Mapping):
            out[key] = _with_metadata(out[key])
    return out


# --- version 3 ---------------------------------------------------------------------------------------------------


def _parameter_v3(name: str) -> Schema:
    place, kind, description = _PARAMETERS[name]
    parameter: Schema = {"name": name, "in": place, "description": description, "schema": {"type": kind}}
    if place == "path":
        parameter["required"] = True
    else:
        parameter["schema"]["uniqueItems"] = True
    return parameter


def _operation_v3(operation: Operation) -> Schema:
    code, text = ("201", "Created") if operation.method == "post" else ("200", "OK")
    answer = {"content": {_JSON: {"schema": {"$ref": V3 + operation.answer}}}}
    responses: Schema = {"200": {"description": "OK", **answer}, "401": {"description": "Unauthorized"}}
    if code != "200":
        responses[code] = {"description": text, **answer}
    out: Schema = {
        "tags": [operation.tag],
        "operationId": operation.operation_id,
        "parameters": [_parameter_v3(name) for name in operation.parameters],
        "responses": dict(sorted(responses.items())),
        "x-kubernetes-action": operation.action,
        _GVK: operation.kind._asdict(),
    }
    if operation.body:
        types = operation.patch_types or (_JSON, "application/yaml", "application/vnd.kubernetes.protobuf")
        content = {kind: {"schema": {"$ref": V3 + operation.body}} for kind in types}
        out["requestBody"] = {"content": content}
        if operation.body != DELETE_OPTIONS:
            out["requestBody"]["required"] = True
    return out


def _document_v3(title: str, paths: Schema, schemas: Schema) -> Document:
    document = {
        "openapi": "3.0.0",
        "info": {"title": "Kubernetes", "version": title},
        "paths": paths,
        "components": {
            "schemas": schemas,
            "securitySchemes": {"BearerToken": {"type": "apiKey", "in": "header", "name": "authorization"}},
        },
    }
    body = orjson.dumps(document)
    return Document(body, hashlib.sha512(body).hexdigest().upper())


def _release() -> str:
    return f"v{catalogue.load().release}.0"


def _group_version_document(resources: Iterable[Resource]) -> Document:
    """The document of the resources of one group version."""
    definitions = dict(_published_definitions())
    paths: Schema = {}
    roots = {STATUS, DELETE_OPTIONS, PATCH}
    for resource in resources:
        if not resource.builtin:
            definitions.update(custom_schemas(resource))
        roots |= {schema_name(resource), _list_name(resource)}
        for path, operations in paths_of(resource):
            paths[path] = {operation.method: _operation_v3(operation) for operation in operations}
            roots |= {name for operation in operations for name in (operation.body, operation.answer) if name}
    schemas = _reachable(definitions, roots)
    return _document_v3(_release(), dict(sorted(paths.items())), schemas)


#: Documents that describe the server's other paths: the definition each answers.
_DISCOVERY: Final[Mapping[str, tuple[str, str]]] = {
    "api": ("/api/", "APIVersions"),
    "apis": ("/apis/", "APIGroupList"),
}


@functools.lru_cache(maxsize=64)
def _discovery_document(key: str) -> Document | None:
    """The documents of ``api``, ``apis``, ``apis/GROUP`` and ``version``."""
    path, answer = _DISCOVERY.get(key, (f"/{key}/", "APIGroup"))
    schemas: dict[str, Schema] = {}
    if key == "version":
        names = ("major", "minor", "gitVersion", "gitCommit", "gitTreeState", "buildDate", "goVersion", "compiler")
        info = {name: {"type": "string"} for name in (*names, "platform")}
        answer = "io.k8s.apimachinery.pkg.version.Info"
        path = "/version/"
        schemas[answer] = {"type": "object", "required": sorted(info), "properties": info}
    else:
        answer = _META + answer
        schemas = _reachable(_published_definitions(), {answer})
    operation: Schema = {
        "operationId": "get" + _camel(key),
        "responses": {"200": {"description": "OK", "content": {_JSON: {"schema": {"$ref": V3 + answer}}}}},
    }
    return _document_v3(_release(), {path: {"get": operation}}, dict(sorted(schemas.items())))


@functools.lru_cache(maxsize=_KEPT)
def _builtin_document(group: str, version: str) -> Document:
    known = catalogue.load()
    return _group_version_document(
        one for one in known.resources.values() if (one.group, one.version) == (group, version)
    )


@functools.cache
def _builtin_hashes() -> Mapping[GroupVersion, str]:
    """The hash of the document of every built-in group version."""
    return {gv: _builtin_document(*gv).hash for gv in catalogue.load().group_versions()}


class OpenAPI:
    """The documents of one server. They follow its resources: nothing has to be told when those change."""

    def __init__(self, server: Server) -> None:
        self._server = server
        #: For each group version with custom resources: those it was built from, its hash, its body while it is kept.
        self._hashes: dict[GroupVersion, tuple[tuple[Resource, ...], str]] = {}
        self._bodies: dict[GroupVersion, bytes] = {}
        self._index: tuple[int, bytes] | None = None
        self._v2: tuple[int, bytes] | None = None

    def _custom(self) -> dict[GroupVersion, tuple[Resource, ...]]:
        """The resources of every group version that has a custom one."""
        grouped: dict[GroupVersion, list[Resource]] = {}
        custom = set()
        for resource in self._server.all_resources():
            key = (resource.group, resource.version)
            grouped.setdefault(key, []).append(resource)
            if not resource.builtin:
                custom.add(key)
        return {key: tuple(sorted(grouped[key], key=lambda one: one.plural)) for key in custom}

    def _custom_document(self, key: GroupVersion, resources: tuple[Resource, ...]) -> Document:
        known = self._hashes.get(key)
        body = self._bodies.get(key)
        if known is not None and known[0] == resources and body is not None:
            return Document(body, known[1])
        document = _group_version_document(resources)
        self._hashes[key] = (resources, document.hash)
        self._bodies.pop(key, None)
        self._bodies[key] = document.body
        while len(self._bodies) > _KEPT:
            del self._bodies[next(iter(self._bodies))]
        return document

    def _custom_hash(self, key: GroupVersion, resources: tuple[Resource, ...]) -> str:
        known = self._hashes.get(key)
        if known is not None and known[0] == resources:
            return known[1]
        return self._custom_document(key, resources).hash

    def index(self) -> bytes:
        """The body of ``/openapi/v3``: every document by name, with the URL that holds its hash."""
        generation = self._server.resources_generation
        if self._index is None or self._index[0] != generation:
            self._index = (generation, orjson.dumps({"paths": self._index_paths()}))
            _published_definitions.cache_clear()
        return self._index[1]

    def _index_paths(self) -> Schema:
        custom = self._custom()
        hashes: dict[GroupVersion, str] = dict(_builtin_hashes())
        hashes.update({key: self._custom_hash(key, resources) for key, resources in custom.items()})
        for key in self._hashes.keys() - custom.keys():
            del self._hashes[key]
            self._bodies.pop(key, None)
        found = {group_version_key(*key): value for key, value in hashes.items()}
        others = {"api", "apis", "version", *(f"apis/{group}" for group, _ in hashes if group)}
        for name in others:
            document = _discovery_document(name)
            if document is not None:
                found[name] = document.hash
        return {
            name: {"serverRelativeURL": f"/openapi/v3/{name}?hash={value}"} for name, value in sorted(found.items())
        }

    def document(self, key: str) -> Document | None:
        """The document of ``api/v1``, ``apis/apps/v1``, ``apis/apps``, ``version``; None when there is none."""
        custom = self._custom()
        known = {group_version_key(*gv): gv for gv in (*_builtin_hashes(), *custom)}
        if key in known:
            gv = known[key]
            return self._custom_document(gv, custom[gv]) if gv in custom else _builtin_document(*gv)
        if key in ("api", "apis", "version") or any(key == f"apis/{group}" for group, _ in known.values() if group):
            return _discovery_document(key)
        return None

    def v2_protobuf(self) -> bytes:
        """The version 2 document in protobuf: an empty one, from which clients turn to version 3."""
        return b""

    def v2_json(self) -> bytes:
        """The version 2 document of all resources in JSON (swagger 2.0)."""
        generation = self._server.resources_generation
        if self._v2 is None or self._v2[0] != generation:
            self._v2 = (generation, orjson.dumps(_document_v2(self._server.all_resources())))
        return self._v2[1]


# --- version 2 ---------------------------------------------------------------------------------------------------

_NOT_IN_V2: Final = frozenset({"oneOf", "anyOf", "allOf", "not", "nullable", "x-kubernetes-validations", "default"})


def _schema_v2(schema: Any) -> Any:
    """A schema in the words of swagger 2.0, which knows neither alternatives nor null."""
    if not isinstance(schema, Mapping):
        return schema
    out = {key: value for key, value in schema.items() if key not in _NOT_IN_V2}
    reference = schema.get("$ref") or next(
        (one.get("$ref") for one in schema.get("allOf") or () if "$ref" in one), None
    )
    if isinstance(reference, str):
        out["$ref"] = V2 + reference.rpartition("/")[2]
    if schema.get("x-kubernetes-int-or-string"):
        out = {"type": "string", "format": "int-or-string"} | (
            {"description": out["description"]} if "description" in out else {}
        )
    elif "oneOf" in schema and "type" not in schema:
        out["type"] = "string"
    if "properties" in out:
        out["properties"] = {name: _schema_v2(child) for name, child in out["properties"].items()}
    for key in ("items", "additionalProperties"):
        if key in out:
            out[key] = _schema_v2(out[key])
    return out


def _parameter_v2(name: str) -> Schema:
    place, kind, description = _PARAMETERS[name]
    parameter: Schema = {"name": name, "in": place, "description": description, "type": kind, "uniqueItems": True}
    if place == "path":
        parameter["required"] = True
    return parameter


def _operation_v2(operation: Operation) -> Schema:
    parameters = [_parameter_v2(name) for name in operation.parameters]
    if operation.body:
        body: Schema = {"name": "body", "in": "body", "schema": {"$ref": V2 + operation.body}}
        if operation.body != DELETE_OPTIONS:
            body["required"] = True
        parameters.append(body)
    code = "201" if operation.method == "post" else "200"
    return {
        "tags": [operation.tag],
        "operationId": operation.operation_id,
        "consumes": list(operation.patch_types) or ["*/*"],
        "produces": [_JSON, "application/yaml"],
        "schemes": ["https"],
        "parameters": parameters,
        "responses": {
            code: {"description": "OK", "schema": {"$ref": V2 + operation.answer}},
            "401": {"description": "Unauthorized"},
        },
        "x-kubernetes-action": operation.action,
        _GVK: operation.kind._asdict(),
    }


def _document_v2(resources: Iterable[Resource]) -> Schema:
    definitions: dict[str, Any] = {name: _schema_v2(schema) for name, schema in catalogue.load().described().items()}
    paths: Schema = {}
    for resource in resources:
        if not resource.builtin:
            definitions |= {name: _schema_v2(schema) for name, schema in custom_schemas(resource).items()}
        for path, operations in paths_of(resource):
            paths[path] = {operation.method: _operation_v2(operation) for operation in operations}
    return {
        "swagger": "2.0",
        "info": {"title": "Kubernetes", "version": _release()},
        "paths": dict(sorted(paths.items())),
        "definitions": dict(sorted(definitions.items())),
        "securityDefinitions": {"BearerToken": {"type": "apiKey", "name": "authorization", "in": "header"}},
        "security": [{"BearerToken": []}],
    }
