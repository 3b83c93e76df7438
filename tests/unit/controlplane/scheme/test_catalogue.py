"""The catalogue knows every resource that is served, and reads it fast."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from pathlib import Path

import pytest

from merope.controlplane.resource import GroupResource, GroupVersionKind
from merope.controlplane.scheme import catalogue
from merope.controlplane.scheme.catalogue import load

REPOSITORY = Path(__file__).parents[4]
RECORDS = REPOSITORY.parent / "shared" / "reference" / "golden" / "discovery.jsonl"
STANDARD = {"create", "delete", "deletecollection", "get", "list", "patch", "update", "watch"}


@pytest.mark.parametrize(
    ("group", "version", "plural", "namespaced", "short", "categories", "subresources"),
    [
        ("", "v1", "namespaces", False, ("ns",), (), {"status", "finalize"}),
        ("", "v1", "configmaps", True, ("cm",), (), set()),
        ("", "v1", "services", True, ("svc",), ("all",), {"status"}),
        ("", "v1", "serviceaccounts", True, ("sa",), (), {"token"}),
        ("", "v1", "nodes", False, ("no",), (), {"status"}),
        ("apps", "v1", "deployments", True, ("deploy",), ("all",), {"status", "scale"}),
        ("apps", "v1", "daemonsets", True, ("ds",), ("all",), {"status"}),
        ("batch", "v1", "cronjobs", True, ("cj",), ("all",), {"status"}),
        ("coordination.k8s.io", "v1", "leases", True, (), (), set()),
        ("certificates.k8s.io", "v1", "certificatesigningrequests", False, ("csr",), (), {"status", "approval"}),
        (
            "apiextensions.k8s.io",
            "v1",
            "customresourcedefinitions",
            False,
            ("crd", "crds"),
            ("api-extensions",),
            {"status"},
        ),
        ("policy", "v1", "poddisruptionbudgets", True, ("pdb",), (), {"status"}),
    ],
)
def test_names_and_subresources(
    group: str,
    version: str,
    plural: str,
    namespaced: bool,
    short: tuple[str, ...],
    categories: tuple[str, ...],
    subresources: set[str],
) -> None:
    found = load().resources[group, version, plural]

    assert found.namespaced is namespaced
    assert found.short_names == short
    assert found.categories == categories
    assert set(found.subresources) == subresources
    assert found.singular == found.kind.lower()


def test_namespaces_are_not_deleted_as_a_collection() -> None:
    known = load()

    assert set(known.resources["", "v1", "namespaces"].verbs) == STANDARD - {"deletecollection"}
    assert set(known.resources["", "v1", "secrets"].verbs) == STANDARD
    assert known.resources["authorization.k8s.io", "v1", "subjectaccessreviews"].verbs == ("create",)


def test_groups_come_in_the_order_of_their_priority() -> None:
    groups = list(dict.fromkeys(group for group, _ in load().group_versions()))

    assert groups[:5] == ["", "apiregistration.k8s.io", "apps", "events.k8s.io", "authentication.k8s.io"]
    assert groups[-1] == "discovery.k8s.io"
    assert [version for group, version in load().group_versions() if group == "autoscaling"] == ["v2", "v1"]


def test_views_of_the_same_objects_share_their_storage() -> None:
    known = load()

    assert known.resources["events.k8s.io", "v1", "events"].storage == GroupResource("", "events")
    assert known.resources["autoscaling", "v1", "horizontalpodautoscalers"].storage_version == "v2"


def test_bodies_of_subresources_have_types() -> None:
    known = load()

    for kind in (
        GroupVersionKind("autoscaling", "v1", "Scale"),
        GroupVersionKind("policy", "v1", "Eviction"),
        GroupVersionKind("authentication.k8s.io", "v1", "TokenRequest"),
        GroupVersionKind("", "v1", "Binding"),
    ):
        node = known.node(kind)
        assert node is not None
        assert "metadata" in node.properties
        assert known.by_kind(kind) is None


def test_corrections_of_the_source() -> None:
    known = load()
    definitions = known.definitions

    assert definitions["io.k8s.apimachinery.pkg.util.intstr.IntOrString"]["x-kubernetes-int-or-string"] is True
    assert definitions["io.k8s.api.core.v1.ServicePort"]["properties"]["protocol"]["default"] == "TCP"
    assert "enum" not in definitions["io.k8s.api.core.v1.ConfigMap"]["properties"]["kind"]
    schema = known.graph.node("io.k8s.apiextensions-apiserver.pkg.apis.apiextensions.v1.JSONSchemaProps")
    assert schema.properties["$ref"].kind == "string"
    assert schema.properties["properties"].additional is schema.properties["not"]


def test_no_reference_leads_nowhere() -> None:
    text = json.dumps(load().definitions)
    found = {part.partition('"')[0] for part in text.split("#/components/schemas/")[1:]}

    assert found <= load().definitions.keys()


def test_descriptions_are_there_when_asked_for() -> None:
    described = load().described()

    assert "data" in described["io.k8s.api.core.v1.ConfigMap"]["properties"]
    assert described["io.k8s.api.core.v1.ConfigMap"]["properties"]["data"]["description"]
    assert "description" not in load().definitions["io.k8s.api.core.v1.ConfigMap"]["properties"]["data"]


def test_reading_takes_milliseconds() -> None:
    load()
    data = catalogue.DATA.read_bytes()
    best = min(_seconds(data) for _ in range(5))

    assert best < 0.05


def _seconds(data: bytes) -> float:
    start = time.perf_counter()
    catalogue.Catalogue(data)
    return time.perf_counter() - start


def test_the_data_file_is_up_to_date() -> None:
    script = REPOSITORY / "scripts" / "generate_catalogue.py"
    done = subprocess.run([sys.executable, str(script), "--check"], capture_output=True, text=True, check=False)
    if "skipped" in done.stderr:
        pytest.skip("the release packages are not installed")

    assert done.returncode == 0, done.stdout


@pytest.mark.skipif(not RECORDS.exists(), reason="the records of a real API server are not here")
def test_recorded_discovery_entries() -> None:
    known = load()
    checked = 0
    for line in RECORDS.read_text().splitlines():
        for step in json.loads(line).get("steps", ()):
            path = step["path"].strip("/").split("/")
            if (
                path[0] not in ("api", "apis")
                or len(path) not in (2, 3)
                or not isinstance(step["response"].get("body"), dict)
            ):
                continue
            group, version = ("", path[1]) if path[0] == "api" else (path[1], path[-1])
            body = step["response"]["body"]
            entries = [*body.get("resources", ()), *(v for k, v in body.items() if k.startswith("resources[name="))]
            for entry in entries:
                if not isinstance(entry, dict) or "${" in group:
                    continue
                plural, _, subresource = entry["name"].partition("/")
                resource = known.resources.get((group, version, plural))
                if resource is None:
                    continue
                checked += 1
                if subresource:
                    found = resource.subresources[subresource]
                    assert sorted(found.verbs) == entry["verbs"], entry["name"]
                    assert found.kind.kind == entry["kind"]
                else:
                    assert sorted(resource.verbs) == entry["verbs"], plural
                    assert list(resource.short_names) == entry.get("shortNames", []), plural
                    assert list(resource.categories) == entry.get("categories", []), plural
                    assert resource.singular == entry["singularName"]
    assert checked > 30
