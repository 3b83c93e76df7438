"""CRDs come from the types alone, and say everything that the reference's say."""

import subprocess
import sys
from pathlib import Path
from typing import Annotated, Any

import pytest
import yaml
from msgspec import UNSET

from merope.api import crds
from merope.api.cluster.v1 import ManagedCluster
from merope.api.meta.v1 import Object, resource_of
from merope.api.schema import Column, Field, Int32, IntOrString, Maybe, Rule, Struct, Time, map_of, resource
from merope.cli.crds import crds as crds_as_yaml

SHARED = Path(__file__).resolve().parents[4] / "shared"
GROUPS = (
    "cluster.open-cluster-management.io",
    "work.open-cluster-management.io",
    "about.k8s.io",
    "multicluster.x-k8s.io",
)


@pytest.mark.skipif(not SHARED.is_dir(), reason="the reference CRDs (../shared) are not here")
def test_the_crds_differ_in_nothing_from_the_reference(tmp_path: Path) -> None:
    generated = tmp_path / "crds.yaml"
    generated.write_text("".join(crds_as_yaml(group) for group in GROUPS))

    compared = subprocess.run(
        [
            sys.executable,
            SHARED / "tools/crd-parity",
            generated,
            SHARED / "reference/crds/core",
            "--only",
            ",".join(GROUPS),
        ],
        capture_output=True,
        text=True,
    )

    assert compared.returncode == 0, compared.stdout
    assert " 0 differences" in compared.stdout


def small(maximum: int) -> dict[str, Any]:
    """The CRD of a small kind, one of whose fields has this maximum."""

    class WidgetSpec(Struct):
        """What is wanted."""

        size: Maybe[Annotated[Int32, Field("How large.", minimum=1, maximum=maximum, default=3)]] = UNSET
        names: Annotated[list[Annotated[str, Field(min_length=1)]], Field("Whose.", list_type="set")]

    @resource("example.com", "v1", "widgets", namespaced=True, status=True, short_names=("wd",))
    class Widget(Object):
        """A thing."""

        spec: WidgetSpec

    return crds.crd([Widget])


def schema_of(crd: dict[str, Any], version: int = 0) -> dict[str, Any]:
    schema: dict[str, Any] = crd["spec"]["versions"][version]["schema"]["openAPIV3Schema"]
    return schema


def test_changing_one_constraint_in_a_type_changes_the_crd_there_and_nowhere_else() -> None:
    before, after = small(maximum=5), small(maximum=6)

    assert before != after
    assert schema_of(before)["properties"]["spec"]["properties"]["size"]["maximum"] == 5
    assert schema_of(after)["properties"]["spec"]["properties"]["size"]["maximum"] == 6
    schema_of(after)["properties"]["spec"]["properties"]["size"]["maximum"] = 5
    assert before == after


def test_constraints_defaults_and_docs_of_a_field_reach_its_schema() -> None:
    assert schema_of(small(maximum=5)) == {
        "type": "object",
        "description": "A thing.",
        "required": ["spec"],
        "properties": {
            "apiVersion": schema_of(small(5))["properties"]["apiVersion"],
            "kind": schema_of(small(5))["properties"]["kind"],
            "metadata": {"type": "object"},
            "spec": {
                "type": "object",
                "description": "What is wanted.",
                "required": ["names"],
                "properties": {
                    "size": {
                        "type": "integer",
                        "format": "int32",
                        "description": "How large.",
                        "minimum": 1,
                        "maximum": 5,
                        "default": 3,
                    },
                    "names": {
                        "type": "array",
                        "description": "Whose.",
                        "x-kubernetes-list-type": "set",
                        "items": {"type": "string", "minLength": 1},
                    },
                },
            },
        },
    }


class Inner(Struct):
    """With a rule."""

    schema = Field(rules=(Rule("self.a != ''", "a is needed", reason="FieldValueRequired", field_path=".a"),))

    a: Annotated[str, Field(enum=("x", "y"), pattern="^[xy]$")]


class GadgetSpec(Struct):
    """Every marker once."""

    inner: Maybe[Annotated[list[Inner], map_of("a"), Field(min_items=1, max_items=4)]] = UNSET
    share: Maybe[Annotated[IntOrString, Field(default="5%")]] = UNSET
    when: Maybe[Annotated[Time | None, Field(nullable=True)]] = UNSET
    by_name: Maybe[Annotated[dict[str, Int32], Field(max_properties=2)]] = UNSET
    anything: Maybe[Annotated[dict[str, Any], Field(preserve_unknown=True)]] = UNSET
    ratio: Maybe[float] = UNSET


@resource(
    "example.com",
    "v1alpha1",
    "gadgets",
    namespaced=False,
    categories=("all",),
    columns=(Column("When", "date", ".spec.when", priority=1, description="d", format="f"),),
    storage=False,
    deprecation_warning="use v1",
    selectable_fields=(".spec.share",),
    annotations={"a": "b"},
)
class Gadget(Object):
    """A thing with everything."""

    spec: Maybe[GadgetSpec] = UNSET


@resource("example.com", "v1", "gadgets", namespaced=False, kind="Gadget", status=True)
class GadgetV1(Object):
    """Its next version."""


def test_every_marker_has_its_keyword() -> None:
    spec = schema_of(crds.crd([Gadget]))["properties"]["spec"]["properties"]
    assert spec == {
        "inner": {
            "type": "array",
            "minItems": 1,
            "maxItems": 4,
            "x-kubernetes-list-type": "map",
            "x-kubernetes-list-map-keys": ["a"],
            "items": {
                "type": "object",
                "description": "With a rule.",
                "required": ["a"],
                "properties": {"a": {"type": "string", "enum": ["x", "y"], "pattern": "^[xy]$"}},
                "x-kubernetes-validations": [
                    {
                        "rule": "self.a != ''",
                        "message": "a is needed",
                        "reason": "FieldValueRequired",
                        "fieldPath": ".a",
                    }
                ],
            },
        },
        "share": {
            "anyOf": [{"type": "integer"}, {"type": "string"}],
            "x-kubernetes-int-or-string": True,
            "default": "5%",
        },
        "when": {"type": "string", "format": "date-time", "nullable": True},
        "byName": {
            "type": "object",
            "maxProperties": 2,
            "additionalProperties": {"type": "integer", "format": "int32"},
        },
        "anything": {"type": "object", "x-kubernetes-preserve-unknown-fields": True},
        "ratio": {"type": "number"},
    }


class Layered(Struct):
    """A field whose type already says something."""

    size: Annotated[Maybe[Annotated[int, Field("Any size.", minimum=0, maximum=9)]], Field("My size.", maximum=5)] = (
        UNSET
    )


def test_what_is_said_at_the_field_wins_over_what_its_type_says() -> None:
    assert crds.struct_schema(Layered)["properties"]["size"] == {
        "type": "integer",
        "description": "My size.",
        "minimum": 0,
        "maximum": 5,
    }


def test_several_versions_of_a_kind_make_one_crd() -> None:
    crd = crds.crd([Gadget, GadgetV1])
    assert crd["metadata"] == {"name": "gadgets.example.com", "annotations": {"a": "b"}}
    assert crd["spec"]["names"]["categories"] == ["all"]
    old, new = crd["spec"]["versions"]
    assert (old["name"], old["served"], old["storage"], old["deprecationWarning"]) == (
        "v1alpha1",
        True,
        False,
        "use v1",
    )
    assert old["selectableFields"] == [{"jsonPath": ".spec.share"}]
    assert old["additionalPrinterColumns"] == [
        {"name": "When", "type": "date", "jsonPath": ".spec.when", "description": "d", "format": "f", "priority": 1}
    ]
    assert "subresources" not in old
    assert (new["name"], new["storage"], new["subresources"]) == ("v1", True, {"status": {}})


def test_a_group_can_be_asked_for_alone() -> None:
    documents = list(yaml.safe_load_all(crds_as_yaml("about.k8s.io")))
    assert [document["metadata"]["name"] for document in documents] == ["clusterproperties.about.k8s.io"]
    with pytest.raises(KeyError, match="no such API group"):
        crds.crds(["example.com"])


def described(schema: dict[str, Any], path: str) -> list[str]:
    """Where a field has no description."""
    missing = [] if "description" in schema else [path]
    for name, inner in schema.get("properties", {}).items():
        if path.count(".") or name != "metadata":
            missing += described(inner, f"{path}.{name}")
    for inner in (schema.get("items"), schema.get("additionalProperties")):
        if inner and inner.get("properties"):
            missing += described(inner, f"{path}[]")
    return missing


@pytest.mark.parametrize("crd", crds.crds(), ids=lambda crd: crd["spec"]["names"]["kind"])
def test_kubectl_explain_has_something_to_say_about_every_field(crd: dict[str, Any]) -> None:
    assert described(schema_of(crd), crd["spec"]["names"]["kind"]) == []


def test_a_kind_knows_where_it_lives() -> None:
    info = resource_of(ManagedCluster)
    assert (info.group, info.version, info.kind, info.plural, info.namespaced) == (
        "cluster.open-cluster-management.io",
        "v1",
        "ManagedCluster",
        "managedclusters",
        False,
    )
    assert ManagedCluster.api_version == "cluster.open-cluster-management.io/v1"
    with pytest.raises(TypeError, match="not a registered kind"):
        resource_of(Object)
