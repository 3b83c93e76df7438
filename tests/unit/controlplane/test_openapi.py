"""OpenAPI documents: what kubectl needs of them, and when they are built again."""

from __future__ import annotations

import hashlib
import json
from typing import Any

import pytest

from merope.controlplane.openapi import OpenAPI
from merope.controlplane.resource import GroupResource, Resource, Strategy
from merope.controlplane.scheme.catalogue import load
from merope.lang.schema import build

PATCHES = {"application/apply-patch+yaml", "application/json-patch+json", "application/merge-patch+json"}
STRATEGIC = "application/strategic-merge-patch+json"


class Server:
    """The part of a server that documents are made from."""

    def __init__(self) -> None:
        self.resources_generation = 0
        self.custom: list[Resource] = []

    def all_resources(self) -> list[Resource]:
        return [*load().resources.values(), *self.custom]

    def serve(self, *resources: Resource) -> None:
        self.custom = list(resources)
        self.resources_generation += 1


def widget(group: str = "example.com", **schema: Any) -> Resource:
    declared = {"type": "object", "properties": {"spec": {"type": "object", "properties": schema}}}
    return Resource(
        group=group,
        version="v1",
        plural="widgets",
        kind="Widget",
        list_kind="WidgetList",
        singular="widget",
        namespaced=True,
        verbs=("create", "delete", "deletecollection", "get", "list", "patch", "update", "watch"),
        storage=GroupResource(group, "widgets"),
        storage_version="v1",
        builtin=False,
        strategy=Strategy(),
        node=build(declared),
    )


@pytest.fixture
def server() -> Server:
    return Server()


@pytest.fixture
def openapi(server: Server) -> OpenAPI:
    return OpenAPI(server)  # type: ignore[arg-type]


def document(openapi: OpenAPI, key: str) -> Any:
    found = openapi.document(key)
    assert found is not None
    return json.loads(found.body)


def paths(openapi: OpenAPI) -> dict[str, str]:
    return {name: one["serverRelativeURL"] for name, one in json.loads(openapi.index())["paths"].items()}


def references(value: Any) -> set[str]:
    if isinstance(value, list):
        return {found for one in value for found in references(one)}
    if not isinstance(value, dict):
        return set()
    own = {value["$ref"].rpartition("/")[2]} if isinstance(value.get("$ref"), str) else set()
    return own.union(*(references(one) for one in value.values()))


def test_the_index_names_every_document_with_its_hash(openapi: OpenAPI) -> None:
    index = paths(openapi)

    assert {"api/v1", "apis/apps/v1", "apis/apps", "apis", "version"} <= index.keys()
    for name, url in index.items():
        found = openapi.document(name)
        assert found is not None
        assert found.hash == hashlib.sha512(found.body).hexdigest().upper()
        assert url == f"/openapi/v3/{name}?hash={found.hash}"


def test_an_unknown_document_does_not_exist(openapi: OpenAPI) -> None:
    assert openapi.document("apis/nothing.example.com/v1") is None
    assert openapi.document("apis/nothing.example.com") is None


@pytest.mark.parametrize(
    "key", ["api/v1", "apis/apps/v1", "apis/apiextensions.k8s.io/v1", "apis/autoscaling/v1", "apis"]
)
def test_every_reference_is_in_the_document(openapi: OpenAPI, key: str) -> None:
    found = document(openapi, key)

    assert references(found) <= found["components"]["schemas"].keys()


def test_the_patch_of_a_built_in_kind(openapi: OpenAPI) -> None:
    patch = document(openapi, "apis/apps/v1")["paths"]["/apis/apps/v1/namespaces/{namespace}/deployments/{name}"][
        "patch"
    ]

    assert patch["x-kubernetes-group-version-kind"] == {"group": "apps", "version": "v1", "kind": "Deployment"}
    assert patch["x-kubernetes-action"] == "patch"
    query = {one["name"] for one in patch["parameters"] if one["in"] == "query"}
    assert {"fieldValidation", "fieldManager", "dryRun", "force"} <= query
    assert patch["requestBody"]["content"].keys() == PATCHES | {STRATEGIC}


def test_extensions_are_kept(openapi: OpenAPI) -> None:
    schemas = document(openapi, "api/v1")["components"]["schemas"]
    ports = schemas["io.k8s.api.core.v1.ServiceSpec"]["properties"]["ports"]

    assert ports["x-kubernetes-list-map-keys"] == ["port", "protocol"]
    assert ports["x-kubernetes-patch-merge-key"] == "port"
    volumes = schemas["io.k8s.api.core.v1.PodSpec"]["properties"]["volumes"]
    assert volumes["x-kubernetes-patch-strategy"] == "merge,retainKeys"
    assert schemas["io.k8s.api.core.v1.ConfigMap"]["x-kubernetes-group-version-kind"] == [
        {"group": "", "kind": "ConfigMap", "version": "v1"}
    ]
    assert ports["description"]


def test_a_reference_has_no_siblings(openapi: OpenAPI) -> None:
    def check(value: Any) -> None:
        if isinstance(value, list):
            for one in value:
                check(one)
        elif isinstance(value, dict):
            assert not isinstance(value.get("$ref"), str) or len(value) == 1
            for one in value.values():
                check(one)

    check(document(openapi, "apis/apps/v1")["components"])


def test_a_custom_resource_is_not_patched_strategically(server: Server, openapi: OpenAPI) -> None:
    server.serve(widget())
    found = document(openapi, "apis/example.com/v1")
    patch = found["paths"]["/apis/example.com/v1/namespaces/{namespace}/widgets/{name}"]["patch"]

    assert patch["requestBody"]["content"].keys() == PATCHES
    schema = found["components"]["schemas"]["com.example.v1.Widget"]
    assert schema["x-kubernetes-group-version-kind"] == [{"group": "example.com", "version": "v1", "kind": "Widget"}]
    assert schema["properties"]["metadata"]["allOf"] == [
        {"$ref": "#/components/schemas/io.k8s.apimachinery.pkg.apis.meta.v1.ObjectMeta"}
    ]
    assert {"apiVersion", "kind", "spec"} <= schema["properties"].keys()
    assert references(found) <= found["components"]["schemas"].keys()


def test_a_change_of_one_group_leaves_the_other_documents(server: Server, openapi: OpenAPI) -> None:
    stays = widget("other.example.com")
    server.serve(widget(), stays)
    before = paths(openapi)

    server.serve(widget(size={"type": "integer"}), stays)
    after = paths(openapi)

    changed = {name for name in before if before[name] != after[name]}
    assert changed == {"apis/example.com/v1"}


def test_a_group_that_is_gone_has_no_document(server: Server, openapi: OpenAPI) -> None:
    server.serve(widget())
    assert "apis/example.com/v1" in paths(openapi)

    server.serve()

    assert "apis/example.com/v1" not in paths(openapi)
    assert openapi.document("apis/example.com/v1") is None


def test_equal_definitions_have_equal_hashes(server: Server, openapi: OpenAPI) -> None:
    server.serve(widget())
    before = paths(openapi)["apis/example.com/v1"]

    server.serve(widget())

    assert paths(openapi)["apis/example.com/v1"] == before


def test_version_2_is_empty_in_protobuf_and_complete_in_json(server: Server, openapi: OpenAPI) -> None:
    server.serve(widget(v={"x-kubernetes-int-or-string": True, "anyOf": [{"type": "integer"}, {"type": "string"}]}))

    found = json.loads(openapi.v2_json())

    assert openapi.v2_protobuf() == b""
    assert found["swagger"] == "2.0"
    assert references(found) <= found["definitions"].keys()
    assert "/apis/example.com/v1/namespaces/{namespace}/widgets" in found["paths"]
    identifiers = [one["operationId"] for path in found["paths"].values() for one in path.values()]
    assert len(identifiers) == len(set(identifiers))
