"""Bodies of custom resources: coercion, embedded objects, what a write may change, conversion."""

from __future__ import annotations

import copy
from types import SimpleNamespace
from typing import Any

import pytest

from merope.controlplane.crd.conversion import checked_response, relabel
from merope.controlplane.crd.resources import Served, _resource
from merope.controlplane.crd.schemas import CompiledSchema
from merope.controlplane.crd.strategy import DefaultingStrategy
from merope.controlplane.errors import ApiError
from merope.controlplane.registry.typed import TypeMismatch
from merope.controlplane.resource import Object, Options, Request, Resource, UserInfo
from merope.controlplane.scheme import catalogue
from merope.controlplane.webhookclient import CallFailed

CATALOGUE = catalogue.load()
SERVER: Any = SimpleNamespace(catalogue=CATALOGUE)
SCHEMA: dict[str, Any] = {
    "type": "object",
    "properties": {
        "spec": {
            "type": "object",
            "properties": {
                "a": {"type": "string"},
                "d": {"type": "integer", "default": 7},
                "replicas": {"type": "integer"},
                "raw": {
                    "type": "object",
                    "x-kubernetes-embedded-resource": True,
                    "x-kubernetes-preserve-unknown-fields": True,
                },
            },
        },
        "status": {"type": "object", "x-kubernetes-preserve-unknown-fields": True},
    },
}


def definition(**version: Any) -> Object:
    return {
        "metadata": {"name": "widgets.example.com", "generation": version.pop("generation", 1)},
        "spec": {
            "group": "example.com",
            "scope": "Namespaced",
            "names": {"plural": "widgets", "kind": "Widget"},
            "versions": [
                {"name": "v1", "served": True, "storage": True, "schema": {"openAPIV3Schema": SCHEMA}, **version}
            ],
        },
        "status": {
            "acceptedNames": {"plural": "widgets", "singular": "widget", "kind": "Widget", "listKind": "WidgetList"},
            "conditions": version.pop("conditions", []),
        },
    }


def resource(**version: Any) -> Resource:
    found = definition(**version)
    return _resource(found, found["spec"]["versions"][0], Served(found, SERVER))


def request(of: Resource, subresource: str = "") -> Request:
    return Request(UserInfo("u"), "create", of, "ns", "a", subresource, Options())


def widget(**spec: Any) -> Object:
    return {"apiVersion": "example.com/v1", "kind": "Widget", "metadata": {"name": "a"}, "spec": spec}


def test_a_body_is_brought_into_the_shape_of_its_kind() -> None:
    strategy: Any = resource().strategy
    obj = widget(a=None, z=1, raw={"apiVersion": "v1", "kind": "X", "metadata": {"name": "x", "odd": 1}, "data": {}})
    obj["metadata"]["unknown"] = 1

    paths = strategy.coerce(None, obj)

    assert paths == ["metadata.unknown", "spec.z", "spec.raw.metadata.odd"]
    assert obj == widget(raw={"apiVersion": "v1", "kind": "X", "metadata": {"name": "x"}, "data": {}})


def test_nulls_that_were_applied_are_kept() -> None:
    strategy: Any = resource().strategy
    obj = widget(a=None, z=None)

    assert strategy.coerce(None, obj, keep_nulls=True) == ["spec.z"]
    assert obj == widget(a=None)


@pytest.mark.parametrize(
    ("metadata", "message"),
    [
        ("text", "json: cannot unmarshal string into Go value of type v1.ObjectMeta"),
        ({"labels": {"a": 1}}, "json: cannot unmarshal number into Go struct field ObjectMeta.labels of type string"),
        (
            {"annotations": {"a": [1]}},
            "json: cannot unmarshal array into Go struct field ObjectMeta.annotations of type string",
        ),
    ],
)
def test_metadata_that_is_none_is_refused(metadata: Any, message: str) -> None:
    strategy: Any = resource().strategy

    with pytest.raises(TypeMismatch) as caught:
        strategy.coerce(None, {**widget(), "metadata": metadata})

    assert str(caught.value) == message


def test_metadata_of_an_embedded_resource_is_named_where_it_stands() -> None:
    strategy: Any = resource().strategy
    raw = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "Bad_Name", "labels": {"a": 1}}}

    with pytest.raises(TypeMismatch) as caught:
        strategy.coerce(None, widget(raw=raw))

    assert str(caught.value) == (
        'spec.raw.metadata: Invalid value: {"labels":{"a":1},"name":"Bad_Name"}: json: cannot unmarshal number into Go '
        "struct field ObjectMeta.labels of type string"
    )


@pytest.mark.parametrize(
    ("raw", "fields"),
    [
        ({"metadata": {"name": "x"}}, ["spec.raw.apiVersion", "spec.raw.kind"]),
        ({"apiVersion": "v1", "kind": ""}, ["spec.raw.kind"]),
        ({"apiVersion": "a/b/c", "kind": "Bad kind"}, ["spec.raw.apiVersion", "spec.raw.kind"]),
        ({"apiVersion": "v1", "kind": "X", "metadata": {"labels": {"-": ""}}}, ["spec.raw.metadata.labels"]),
        ({"apiVersion": "v1", "kind": "X"}, []),
    ],
)
def test_embedded_resources_have_a_type_and_valid_metadata(raw: Any, fields: list[str]) -> None:
    of = resource()

    errors = of.strategy.validate(SERVER, request(of), widget(raw=raw), None)

    assert [error.field for error in errors] == fields


def test_with_a_status_endpoint_each_endpoint_writes_its_own_part() -> None:
    of = resource(subresources={"status": {}})
    old = {**widget(a="x"), "status": {"s": 1}}
    old["metadata"] = {"name": "a", "labels": {"l": "1"}, "managedFields": [1]}

    main = {**copy.deepcopy(old), "spec": {"a": "y"}, "status": {"s": 2}}
    of.strategy.prepare_update(SERVER, request(of), main, old)
    assert main["spec"] == {"a": "y"}
    assert main["status"] == {"s": 1}
    assert of.strategy.spec_changed(main, old)

    status = {**copy.deepcopy(old), "spec": {"a": "y"}, "status": {"s": 2}, "extra": 1}
    status["metadata"] = {"name": "a", "labels": {}, "managedFields": [2]}
    of.strategy.prepare_update(SERVER, request(of, "status"), status, old)
    assert status == {**old, "status": {"s": 2}, "metadata": {**old["metadata"], "managedFields": [2]}}
    assert not of.strategy.spec_changed(status, old)

    created = {**copy.deepcopy(old)}
    of.strategy.prepare_create(SERVER, request(of), created)
    assert "status" not in created


def test_a_status_written_apart_is_judged_by_its_own_schema() -> None:
    schema = copy.deepcopy(SCHEMA)
    schema["properties"]["status"] = {"type": "object", "properties": {"n": {"type": "integer"}}}
    of = resource(subresources={"status": {}}, schema={"openAPIV3Schema": schema})
    obj = {**widget(a=1), "status": {"n": "many"}}

    errors = of.strategy.validate(SERVER, request(of, "status"), obj, widget())

    assert [str(error) for error in errors] == [
        'status.n: Invalid value: "string": n in body must be of type integer: "string"'
    ]


def test_without_a_status_endpoint_the_status_is_a_field_like_others() -> None:
    of = resource()
    old = {**widget(), "status": {"s": 1}}
    new = {**widget(), "status": {"s": 2}}

    of.strategy.prepare_update(SERVER, request(of), new, old)

    assert new["status"] == {"s": 2}
    assert of.strategy.spec_changed(new, old)


@pytest.mark.parametrize(
    ("replicas", "expected"),
    [
        (-2, [".spec.replicas: Invalid value: -2: should be a non-negative integer"]),
        (2**31, [".spec.replicas: Invalid value: 2147483648: should be less than or equal to 2147483647"]),
        (3, []),
    ],
)
def test_a_scale_must_be_readable(replicas: int, expected: list[str]) -> None:
    paths = {"specReplicasPath": ".spec.replicas", "statusReplicasPath": ".status.replicas"}
    of = resource(subresources={"scale": paths})

    assert of.strategy.scale_paths == ("spec.replicas", "status.replicas", "")  # type: ignore[attr-defined]
    errors = of.strategy.validate(SERVER, request(of), widget(replicas=replicas), None)
    assert [str(error) for error in errors] == expected


async def test_nothing_is_created_while_the_definition_goes() -> None:
    found = definition()
    found["metadata"]["deletionTimestamp"] = "2024-01-01T00:00:00Z"
    of = _resource(found, found["spec"]["versions"][0], Served(found, SERVER))

    assert not {"create", "update", "patch"} & set(of.verbs)
    await of.strategy.authorize_write(SERVER, request(of), widget(), widget())
    with pytest.raises(ApiError) as caught:
        await of.strategy.authorize_write(SERVER, request(of), widget(), None)
    assert caught.value.message == (
        'widgets.example.com "a" is forbidden: create not allowed while custom resource definition is terminating'
    )


def test_stored_objects_are_completed_once_the_definition_changed() -> None:
    assert not hasattr(resource().strategy, "read")
    strategy = resource(generation=2).strategy
    assert isinstance(strategy, DefaultingStrategy)
    obj = widget()

    strategy.read(obj)

    assert obj["spec"] == {"d": 7}


def test_selectable_fields_are_texts() -> None:
    of = resource(selectableFields=[{"jsonPath": ".spec.a"}, {"jsonPath": ".spec.d"}])

    assert {name: read(widget(a="x", d=3)) for name, read in of.selectable.items()} == {"spec.a": "x", "spec.d": "3"}
    assert of.selectable["spec.a"](widget()) == ""


def test_deprecated_versions_warn() -> None:
    assert resource(deprecated=True).deprecation_warning == "example.com/v1 Widget is deprecated"
    assert resource(deprecated=True, deprecationWarning="use v2").deprecation_warning == "use v2"
    assert resource().deprecation_warning == ""


def test_relabelling_keeps_what_the_other_version_declares_and_fills_in_nothing() -> None:
    target = CompiledSchema(
        {
            "type": "object",
            "properties": {
                "spec": {"type": "object", "properties": {"d": SCHEMA["properties"]["spec"]["properties"]["d"]}}
            },
        },
        CATALOGUE.graph,
    )
    obj = widget(a="x")
    before = copy.deepcopy(obj)

    assert relabel(obj, "example.com/v2", target) == {**widget(), "apiVersion": "example.com/v2"}
    assert obj == before


def answer(**changes: Any) -> Object:
    converted: Object = {
        "apiVersion": "example.com/v2",
        "kind": "Widget",
        "metadata": {"name": "a", "labels": {"new": "1"}, "generation": 9},
        "spec": {"b": 1},
    }
    response = {"uid": "u", "result": {"status": "Success"}, "convertedObjects": [converted]}
    return {"response": {**response, **changes}}


def test_a_converted_object_keeps_the_metadata_that_others_rely_on() -> None:
    sent = widget()
    sent["metadata"] = {"name": "a", "generation": 2, "resourceVersion": "5", "annotations": {"old": "1"}}

    [got] = checked_response(answer(), "u", [sent], "example.com/v2")

    assert got["metadata"] == {"name": "a", "generation": 2, "resourceVersion": "5", "labels": {"new": "1"}}
    assert got["spec"] == {"b": 1}


OTHER_NAME = {"apiVersion": "example.com/v2", "kind": "Widget", "metadata": {"name": "b"}}


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({}, "the answer is no ConversionReview with a response"),
        (answer(uid="x"), 'expected response.uid="u", got "x"'),
        (answer(result={"status": "Failure", "message": "no"}), "no"),
        (answer(convertedObjects=[]), "1 objects were expected, 0 came back"),
        (answer(convertedObjects=[widget()]), "converted object 0 is of example.com/v1, expected example.com/v2"),
        (answer(convertedObjects=[OTHER_NAME]), "converted object 0 has another metadata.name: b"),
    ],
)
def test_answers_that_are_no_conversion_are_refused(given: Any, message: str) -> None:
    with pytest.raises(CallFailed) as caught:
        checked_response(given, "u", [widget()], "example.com/v2")

    assert str(caught.value) == message
