"""Which definitions are valid, in the server's words."""

from __future__ import annotations

import copy
from typing import Any

import pytest

from merope.controlplane.crd.definitions import DefinitionStrategy
from merope.controlplane.crd.validity import definition_complaints
from merope.controlplane.registry import typed
from merope.controlplane.resource import Request
from merope.controlplane.scheme import catalogue

GRAPH = catalogue.load().graph
ANY = {"type": "object", "x-kubernetes-preserve-unknown-fields": True}
ROOT = "spec.validation.openAPIV3Schema"


def definition(schema: Any = None, **spec: Any) -> dict[str, Any]:
    version: dict[str, Any] = {"name": "v1", "served": True, "storage": True}
    if schema is not None:
        version["schema"] = {"openAPIV3Schema": schema}
    version |= spec.pop("version", {})
    group = spec.get("group", "example.com")
    obj: dict[str, Any] = {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": f"widgets.{group}"},
        "spec": {
            "group": group,
            "scope": "Namespaced",
            "names": {"plural": "widgets", "kind": "Widget"},
            "versions": [version],
            **spec,
        },
    }
    return prepared(obj)


def prepared(obj: dict[str, Any]) -> dict[str, Any]:
    strategy = DefinitionStrategy()
    request: Any = Request.__new__(Request)
    strategy.default(None, request, obj)  # type: ignore[arg-type]
    strategy.prepare_create(None, request, obj)  # type: ignore[arg-type]
    return obj


def spec_of(schema: dict[str, Any]) -> dict[str, Any]:
    return {"type": "object", "properties": {"spec": schema}}


def complaints(obj: dict[str, Any], old: dict[str, Any] | None = None) -> list[str]:
    return [str(error) for error in definition_complaints(obj, old, GRAPH)]


def test_defaults_complete_names_and_conversion() -> None:
    obj = definition(ANY)

    assert obj["spec"]["names"] == {
        "plural": "widgets",
        "kind": "Widget",
        "singular": "widget",
        "listKind": "WidgetList",
    }
    assert obj["spec"]["conversion"] == {"strategy": "None"}
    assert obj["status"] == {
        "conditions": None,
        "acceptedNames": {"plural": "", "kind": ""},
        "storedVersions": ["v1"],
    }
    assert complaints(obj) == []


LONG_NAME = (
    "a DNS-1035 label must consist of lower case alphanumeric characters or '-', start with an alphabetic character, "
    "and end with an alphanumeric character (e.g. 'my-name',  or 'abc-123', regex used for validation is "
    "'[a-z]([-a-z0-9]*[a-z0-9])?')"
)

INVALID = [
    (
        definition(ANY, scope="Galaxy"),
        ['spec.scope: Unsupported value: "Galaxy": supported values: "Cluster", "Namespaced"'],
    ),
    (
        definition(ANY, group="nodot"),
        ['spec.group: Invalid value: "nodot": should be a domain with at least one dot'],
    ),
    (
        definition(ANY, group="x.k8s.io"),
        [
            "metadata.annotations[api-approved.kubernetes.io]: Required value: protected groups must have approval "
            'annotation "api-approved.kubernetes.io", see https://github.com/kubernetes/enhancements/pull/1111'
        ],
    ),
    (definition(), ["spec.versions[0].schema.openAPIV3Schema: Required value"]),
    (definition({}), [f"{ROOT}.type: Required value: must not be empty at the root"]),
    (definition({"type": "string"}), [f'{ROOT}.type: Invalid value: "string": must be object at the root']),
    (
        definition(ANY, version={"name": "V.1"}),
        [
            f'spec.versions[0].name: Invalid value: "V.1": {LONG_NAME}',
            f'spec.version: Invalid value: "V.1": {LONG_NAME}',
        ],
    ),
    (
        definition(ANY, version={"storage": False}),
        [
            'spec.versions: Invalid value: [{"Name":"v1","Served":true,"Storage":false,"Deprecated":false,'
            '"DeprecationWarning":null,"Schema":null,"Subresources":null,"AdditionalPrinterColumns":null,'
            '"SelectableFields":null}]: must have exactly one version marked as storage version',
            "status.storedVersions: Invalid value: null: must have at least one stored version",
        ],
    ),
    (
        definition(ANY, preserveUnknownFields=True),
        [
            "spec.preserveUnknownFields: Invalid value: true: cannot set to true, set "
            "x-kubernetes-preserve-unknown-fields to true in spec.versions[*].schema instead"
        ],
    ),
    (
        definition(ANY, conversion={"strategy": "Webhook"}),
        [
            "spec.conversion.webhookClientConfig: Required value: required when strategy is set to Webhook",
            "spec.conversion.conversionReviewVersions: Required value",
        ],
    ),
    (
        definition(ANY, names={"plural": "widgets", "kind": "Widget", "listKind": "Widget"}),
        ['spec.names.listKind: Invalid value: "Widget": kind and listKind may not be the same'],
    ),
    (
        definition(ANY, names={"plural": "gadgets", "kind": "Widget"}),
        ['metadata.name: Invalid value: "widgets.example.com": must be spec.names.plural+"."+spec.group'],
    ),
    (
        definition(spec_of({"properties": {"a": {"type": "string"}}})),
        [f"{ROOT}.properties[spec].type: Required value: must not be empty for specified object fields"],
    ),
    (
        definition(spec_of({"type": "array", "items": {}})),
        [f"{ROOT}.properties[spec].items.type: Required value: must not be empty for specified array items"],
    ),
    (
        definition(
            spec_of(
                {
                    "type": "object",
                    "properties": {"b": {"type": "integer"}},
                    "oneOf": [{"properties": {"b": {"type": "integer", "default": 1}}}],
                }
            )
        ),
        [
            f"{ROOT}.properties[spec].oneOf[0].properties[b].default: Forbidden: must be undefined to be structural",
            f"{ROOT}.properties[spec].oneOf[0].properties[b].type: Forbidden: must be empty to be structural",
        ],
    ),
    (
        definition({"type": "object", "anyOf": [{"properties": {"x": {"minimum": 1}}}]}),
        [f"{ROOT}.properties[x]: Required value: because it is defined in {ROOT}.anyOf[0].properties[x]"],
    ),
    (
        definition(spec_of({"type": "object", "$ref": "#/x"})),
        [f"{ROOT}.properties[spec].$ref: Forbidden: $ref is not supported"],
    ),
    (
        definition(spec_of({"type": "array", "uniqueItems": True, "items": {"type": "string"}})),
        [
            f"{ROOT}.properties[spec].uniqueItems: Forbidden: uniqueItems cannot be set to true since the runtime "
            "complexity becomes quadratic"
        ],
    ),
    (
        definition({"type": "object", "properties": {"metadata": {"type": "object", "properties": {"labels": ANY}}}}),
        [
            f"{ROOT}.properties[metadata]: Forbidden: must not specify anything other than name and generateName, but "
            "metadata is implicitly specified"
        ],
    ),
    (
        definition(spec_of({"type": "object", "properties": {"a": {"type": "integer", "default": "text"}}})),
        [
            f'{ROOT}.properties[spec].properties[a].default: Invalid value: "string":  in body must be of type '
            'integer: "string"'
        ],
    ),
    (
        definition(spec_of({"type": "object", "default": {"b": 1}, "properties": {"a": {"type": "integer"}}})),
        [f'{ROOT}.properties[spec].default: Invalid value: {{"b":1}}: must not have unknown fields'],
    ),
    (
        definition({"type": "object", "properties": {"metadata": {"type": "object", "default": {}}}}),
        [f"{ROOT}.properties[metadata].default: Forbidden: must not be set in top-level metadata"],
    ),
    (
        definition(spec_of({"type": "string", "pattern": "("})),
        [
            f'{ROOT}.properties[spec].pattern: Invalid value: "(": must be a valid regular expression, but isn\'t: '
            "error parsing regexp: missing closing ): `(`"
        ],
    ),
    (
        definition(spec_of({"type": "array"})),
        [f"{ROOT}.properties[spec].items: Required value: must be specified"],
    ),
    (
        definition(
            spec_of({"type": "object", "x-kubernetes-embedded-resource": True, **ANY, "default": {"kind": "X"}})
        ),
        [f"{ROOT}.properties[spec].default.apiVersion: Required value"],
    ),
    (
        definition(spec_of({"type": "strange"})),
        [
            f'{ROOT}.properties[spec].type: Unsupported value: "strange": supported values: "array", "boolean", '
            '"integer", "number", "object", "string"'
        ],
    ),
    (
        definition(spec_of({"type": "object", "x-kubernetes-embedded-resource": True})),
        [
            f"{ROOT}.properties[spec].properties: Required value: must not be empty if x-kubernetes-embedded-resource "
            "is true without x-kubernetes-preserve-unknown-fields"
        ],
    ),
    (
        definition(spec_of({"type": "string", "x-kubernetes-map-type": "atomic"})),
        [
            f'{ROOT}.properties[spec].type: Invalid value: "string": must be object if x-kubernetes-map-type is '
            "specified"
        ],
    ),
    (
        definition({"type": "object", "x-kubernetes-preserve-unknown-fields": False}),
        [f"{ROOT}.x-kubernetes-preserve-unknown-fields: Invalid value: false: must be true or undefined"],
    ),
    (
        definition(
            spec_of(
                {
                    "type": "array",
                    "x-kubernetes-list-type": "map",
                    "x-kubernetes-list-map-keys": ["k"],
                    "items": {"type": "object", "properties": {"k": {"type": "string"}}},
                }
            )
        ),
        [
            f"{ROOT}.properties[spec].items.properties[k].default: Required value: this property is in "
            "x-kubernetes-list-map-keys, so it must have a default or be a required property"
        ],
    ),
    (
        definition(
            spec_of(
                {
                    "type": "array",
                    "x-kubernetes-list-type": "set",
                    "items": {"type": "object", "properties": {"k": {"type": "string"}}},
                }
            )
        ),
        [
            f"{ROOT}.properties[spec].items.x-kubernetes-map-type: Invalid value: null: must be atomic as item of a "
            "list with x-kubernetes-list-type=set"
        ],
    ),
    (
        definition(
            ANY,
            version={"subresources": {"scale": {"specReplicasPath": ".status.x", "statusReplicasPath": ".spec.x"}}},
        ),
        [
            'spec.subresources.scale.specReplicasPath: Invalid value: ".status.x": should be a json path under .spec',
            'spec.subresources.scale.statusReplicasPath: Invalid value: ".spec.x": should be a json path under .status',
        ],
    ),
    (
        definition(ANY, version={"additionalPrinterColumns": [{"name": "A", "type": "strange", "jsonPath": "{.a}"}]}),
        [
            'spec.additionalPrinterColumns[0].type: Invalid value: "strange": must be one of '
            "boolean,date,integer,number,string",
            'spec.additionalPrinterColumns[0].JSONPath: Invalid value: "{.a}": must be a simple json path starting '
            "with .",
        ],
    ),
    (
        definition(
            spec_of({"type": "object", "properties": {"o": {"type": "object"}}}),
            version={"selectableFields": [{"jsonPath": ".spec.o"}, {"jsonPath": ".spec.none"}]},
        ),
        [
            'spec.selectableFields[0].jsonPath: Invalid value: ".spec.o": must point to a field of type string, '
            "boolean or integer. Enum string fields and strings with formats are allowed.",
            'spec.selectableFields[1].jsonPath: Invalid value: ".spec.none": is an invalid path: does not refer to a '
            "valid field",
        ],
    ),
    (
        definition(
            spec_of(
                {
                    "type": "array",
                    "maxItems": 3,
                    "items": {
                        "type": "string",
                        "maxLength": 5,
                        "x-kubernetes-validations": [{"rule": "self == oldSelf"}],
                    },
                }
            )
        ),
        [
            f'{ROOT}.properties[spec].items.x-kubernetes-validations[0].rule: Invalid value: "self == oldSelf": '
            f"oldSelf cannot be used on the uncorrelatable portion of the schema within {ROOT}.properties[spec]"
        ],
    ),
    (
        definition(spec_of({"type": "string", "x-kubernetes-validations": [{"rule": "  "}]})),
        [f"{ROOT}.properties[spec].x-kubernetes-validations[0].rule: Required value: rule is not specified"],
    ),
]


@pytest.mark.parametrize(("obj", "expected"), INVALID)
def test_invalid_definitions_are_refused(obj: dict[str, Any], expected: list[str]) -> None:
    assert sorted(complaints(obj)) == sorted(expected)


@pytest.mark.parametrize(
    "schema",
    [
        pytest.param({"type": "object", "anyOf": [{"properties": {"b": {"minimum": 1}}}]}, id="logic below the root"),
        pytest.param({"type": "string", "x-kubernetes-int-or-string": True}, id="int-or-string with a type"),
        pytest.param({"type": "string", "minLength": -1}, id="negative bounds"),
        pytest.param(
            {"x-kubernetes-int-or-string": True, "anyOf": [{"type": "integer"}, {"type": "string"}]},
            id="int-or-string as generators write it",
        ),
        pytest.param(
            {
                "x-kubernetes-int-or-string": True,
                "allOf": [{"anyOf": [{"type": "integer"}, {"type": "string"}]}, {"pattern": "x"}],
            },
            id="int-or-string with more conditions",
        ),
        pytest.param(
            {
                "type": "array",
                "x-kubernetes-list-type": "map",
                "x-kubernetes-list-map-keys": ["k"],
                "items": {"type": "object", "properties": {"k": {"type": "string", "default": "x"}}},
            },
            id="a map list whose key has a default",
        ),
    ],
)
def test_schemas_that_look_wrong_but_are_accepted(schema: dict[str, Any]) -> None:
    assert complaints(definition(spec_of(schema))) == []


def test_rules_that_do_not_compile_are_shown_with_the_compilers_report() -> None:
    rule = {"rule": "self.nope == 1"}
    found = complaints(definition(spec_of({"type": "object", "properties": {}, "x-kubernetes-validations": [rule]})))

    assert len(found) == 1
    assert found[0].startswith(
        f"{ROOT}.properties[spec].x-kubernetes-validations[0].rule: Invalid value: "
        '{"Rule":"self.nope == 1","Message":"","MessageExpression":"","Reason":null,"FieldPath":"",'
        "\"OptionalOldSelf\":null}: compilation failed: ERROR: <input>:1:5: undefined field 'nope'"
    )


def test_rules_that_could_cost_too_much_are_refused() -> None:
    schema = {
        "type": "array",
        "items": {"type": "array", "items": {"type": "string"}},
        "x-kubernetes-validations": [{"rule": "self.all(x, self.all(y, x.all(z, y.all(w, z == w))))"}],
    }

    found = complaints(definition(spec_of(schema)))

    assert len(found) == 3
    assert all("Forbidden" in text for text in found)
    assert any("estimated rule cost exceeds budget by factor of more than 100x" in text for text in found)


def test_what_several_versions_do_not_share_is_reported_at_each() -> None:
    obj = definition(ANY)
    obj["spec"]["versions"].append(
        {"name": "v2", "served": True, "storage": False, "schema": {"openAPIV3Schema": {"type": "string"}}}
    )

    assert complaints(obj) == [
        'spec.versions[1].schema.openAPIV3Schema.type: Invalid value: "string": must be object at the root'
    ]


def established(obj: dict[str, Any]) -> dict[str, Any]:
    obj["status"]["conditions"] = [{"type": "Established", "status": "True"}]
    return obj


@pytest.mark.parametrize(
    ("path", "value"),
    [("scope", "Cluster"), ("names.kind", "Other"), ("names.plural", "others"), ("group", "other.example.com")],
)
def test_what_objects_are_stored_under_does_not_change(path: str, value: str) -> None:
    old = established(definition(ANY))
    new = copy.deepcopy(old)
    target = new["spec"]
    *parents, last = path.split(".")
    for parent in parents:
        target = target[parent]
    target[last] = value

    assert complaints(new, old) == [f'spec.{path}: Invalid value: "{value}": field is immutable']


def test_a_version_stays_as_long_as_objects_may_be_stored_in_it() -> None:
    old = established(definition(ANY))
    new = copy.deepcopy(old)
    new["spec"]["versions"][0]["name"] = "v2"
    new["status"]["storedVersions"] = ["v1", "v2"]

    assert complaints(new, old) == [
        'status.storedVersions[0]: Invalid value: "v1": missing from spec.versions; v1 was previously a storage '
        "version, and must remain in spec.versions until a storage migration ensures no data remains persisted in v1 "
        "and removes v1 from status.storedVersions"
    ]


def test_an_update_is_not_refused_for_what_the_stored_definition_already_had_wrong() -> None:
    old = established(definition(spec_of({"properties": {"a": {"type": "string"}}})))
    new = copy.deepcopy(old)
    new["spec"]["versions"][0]["deprecated"] = True

    assert complaints(new, old) == []


DECODED = [
    pytest.param(
        spec_of({"type": "array", "items": {"type": "string", "odd": 1}}), ["properties.spec.items.odd"], id="items"
    ),
    pytest.param(
        spec_of({"type": "object", "additionalProperties": {"type": "string", "odd": 1}}),
        ["properties.spec.additionalProperties.odd"],
        id="map values",
    ),
    pytest.param(spec_of({"type": "object", "default": {"odd": 1}}), [], id="defaults are data"),
    pytest.param(spec_of({"type": "object", "additionalProperties": True}), [], id="no schema"),
]


@pytest.mark.parametrize(("schema", "unknown"), DECODED)
def test_a_schema_has_known_keywords_only_however_deep(schema: dict[str, Any], unknown: list[str]) -> None:
    resource = catalogue.load().lookup("apiextensions.k8s.io", "v1", "customresourcedefinitions")
    assert resource is not None
    obj = definition(schema)

    found = typed.decode(resource.node, obj, resource.kind)

    assert found == [f"spec.versions[0].schema.openAPIV3Schema.{path}" for path in unknown]


def test_a_wrong_type_in_a_schema_is_told_without_the_names_of_its_properties() -> None:
    resource = catalogue.load().lookup("apiextensions.k8s.io", "v1", "customresourcedefinitions")
    assert resource is not None

    with pytest.raises(typed.TypeMismatch) as caught:
        typed.decode(resource.node, definition(spec_of({"description": False})), resource.kind)

    assert str(caught.value) == (
        "json: cannot unmarshal bool into Go struct field JSONSchemaProps.spec.versions.schema.openAPIV3Schema."
        "properties.description of type string"
    )
