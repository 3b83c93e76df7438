"""Request bodies in protobuf become the objects that the same client would have sent as JSON."""

from __future__ import annotations

import base64
import json
import struct
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from merope.controlplane.errors import ApiError
from merope.controlplane.resource import GroupVersionKind
from merope.controlplane.scheme import messages, protobuf
from merope.controlplane.scheme.catalogue import load

RECORDED = Path(__file__).parents[3] / "fixtures" / "data" / "protobuf_bodies.json"
BODIES: dict[str, Any] = json.loads(RECORDED.read_text())["bodies"]


# --- a small encoder of our own ----------------------------------------------------------------------------------


def varint(value: int) -> bytes:
    value &= 0xFFFFFFFFFFFFFFFF
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)


def number(field: int, value: int) -> bytes:
    return varint(field << 3) + varint(value)


def text(field: int, value: bytes | str) -> bytes:
    raw = value.encode() if isinstance(value, str) else value
    return varint(field << 3 | 2) + varint(len(raw)) + raw


def entry(field: int, key: str, value: bytes | None) -> bytes:
    return text(field, text(1, key) + (text(2, value) if value is not None else b""))


def body(api_version: str, kind: str, raw: bytes) -> bytes:
    envelope = text(1, text(1, api_version) + text(2, kind)) + text(2, raw) + text(3, "") + text(4, "")
    return b"k8s\x00" + envelope


def decoded(api_version: str, kind: str, raw: bytes) -> Any:
    found = protobuf.decode(body(api_version, kind, raw), None, load())
    assert found[:2] == (api_version, kind)
    assert found[2].pop("apiVersion") == api_version
    assert found[2].pop("kind") == kind
    return found[2]


# --- bodies of Go clients ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", BODIES)
def test_a_body_of_a_go_client_equals_its_json(name: str) -> None:
    api_version, _, kind = name.rpartition("/")
    known = load()
    found = protobuf.decode(base64.b64decode(BODIES[name]["protobuf"]), None, known)

    obj = found[2]
    group, _, version = api_version.rpartition("/")
    definition = known.schema_name(GroupVersionKind(group, version, kind))
    if kind != "DeleteOptions":
        known.shapes.normalize(definition, obj)

    assert found[:2] == (api_version, kind)
    assert obj == {"apiVersion": api_version, "kind": kind, **BODIES[name]["json"]}


def test_options_of_a_deletion_may_be_stamped_with_any_group() -> None:
    raw = base64.b64decode(BODIES["apps/v1/DeleteOptions"]["protobuf"])

    options = protobuf.decode_delete_options(raw)

    assert options["gracePeriodSeconds"] == 0
    assert options["propagationPolicy"] == "Foreground"
    assert options["preconditions"] == {"uid": "u"}
    assert options["dryRun"] == ["All"]


def test_another_kind_in_place_of_delete_options_is_refused() -> None:
    with pytest.raises(ApiError) as failure:
        protobuf.decode_delete_options(body("v1", "ConfigMap", b""))
    assert failure.value.code == 400


# --- the rules of zero values ------------------------------------------------------------------------------------


def test_zero_values_that_json_does_not_have_are_dropped() -> None:
    metadata = text(1, "c") + text(2, "") + text(3, "") + number(7, 0) + text(8, b"")

    assert decoded("v1", "ConfigMap", text(1, metadata)) == {"metadata": {"name": "c"}}


def test_zero_values_of_pointers_are_kept() -> None:
    spec = number(1, 0) + text(4, text(2, text(1, b""))) + number(7, 0)

    found = decoded("apps/v1", "Deployment", text(2, spec))

    assert found["spec"]["replicas"] == 0
    assert "paused" not in found["spec"]
    assert "rollingUpdate" in found["spec"]["strategy"]


def test_a_map_entry_without_a_value_has_the_zero_value() -> None:
    assert decoded("v1", "ConfigMap", entry(2, "k", None)) == {"data": {"k": ""}}
    assert decoded("v1", "Secret", entry(2, "k", None)) == {"data": {"k": ""}}


def test_empty_strings_in_lists_are_kept() -> None:
    spec = text(1, "kubernetes") + text(1, "")

    assert decoded("v1", "Namespace", text(2, spec)) == {"spec": {"finalizers": ["kubernetes", ""]}}


@pytest.mark.parametrize(
    ("encoded", "expected"),
    [
        (b"", None),
        (number(1, 981173106), "2001-02-03T04:05:06Z"),
        (number(1, 981173106) + number(2, 999), "2001-02-03T04:05:06Z"),
        (number(1, -1), "1969-12-31T23:59:59Z"),
    ],
)
def test_times_have_seconds(encoded: bytes, expected: str | None) -> None:
    found = decoded("v1", "Pod", text(1, text(8, encoded)))

    assert found.get("metadata", {}).get("creationTimestamp") == expected


def test_micro_times_have_six_digits() -> None:
    spec = text(4, number(1, 981173106) + number(2, 789000))

    assert decoded("coordination.k8s.io/v1", "Lease", text(2, spec)) == {
        "spec": {"renewTime": "2001-02-03T04:05:06.000789Z"}
    }


def test_negative_numbers_are_two_complement() -> None:
    assert decoded("scheduling.k8s.io/v1", "PriorityClass", number(2, -7)) == {"value": -7}


@pytest.mark.parametrize(
    ("encoded", "expected"),
    [(b"", 0), (number(1, 0) + number(2, 8080) + text(3, ""), 8080), (number(1, 1) + text(3, "web"), "web")],
)
def test_numbers_or_names(encoded: bytes, expected: int | str) -> None:
    port = number(3, 80) + text(4, encoded)

    found = decoded("v1", "Service", text(2, text(1, port)))

    assert found["spec"]["ports"] == [{"port": 80, "targetPort": expected}]


def test_floating_point_bounds_of_schemas() -> None:
    schema = varint(9 << 3 | 1) + struct.pack("<d", 2.5) + varint(11 << 3 | 1) + struct.pack("<d", 3.0)
    version = text(1, "v1") + text(4, text(1, schema))

    found = decoded("apiextensions.k8s.io/v1", "CustomResourceDefinition", text(2, text(7, version)))

    assert found["spec"]["versions"][0]["schema"]["openAPIV3Schema"] == {"maximum": 2.5, "minimum": 3}


# --- refusals ----------------------------------------------------------------------------------------------------


def test_an_unknown_field_number_is_never_dropped_silently() -> None:
    with pytest.raises(ApiError) as failure:
        decoded("v1", "ConfigMap", text(1, text(99, "x")))

    assert failure.value.code == 400
    assert "ObjectMeta" in failure.value.message
    assert "99" in failure.value.message


@pytest.mark.parametrize(("api_version", "kind"), [("example.com/v1", "Widget"), ("v1", "Nothing"), ("", "")])
def test_a_kind_that_is_not_built_in_is_an_unsupported_media_type(api_version: str, kind: str) -> None:
    with pytest.raises(ApiError) as failure:
        protobuf.decode(body(api_version, kind, b""), None, load())

    assert failure.value.code == 415


def refusal(data: bytes) -> int | None:
    """The code with which a body is refused, None when it is not."""
    try:
        protobuf.decode(data, None, load())
    except ApiError as error:
        return error.code
    return None


@given(st.binary(max_size=200))
def test_any_bytes_are_decoded_or_refused(data: bytes) -> None:
    assert {refusal(body("v1", kind, data)) for kind in ("Pod", "Secret")} <= {None, 400}


@given(st.integers(min_value=0, max_value=2000), st.sampled_from(sorted(BODIES)))
def test_a_truncated_body_is_decoded_or_refused(length: int, name: str) -> None:
    assert refusal(base64.b64decode(BODIES[name]["protobuf"])[:length]) in (None, 400, 415)


def test_nesting_has_a_limit() -> None:
    schema = b""
    for _ in range(400):
        schema = text(28, schema)
    version = text(4, text(1, schema))

    with pytest.raises(ApiError) as failure:
        decoded("apiextensions.k8s.io/v1", "CustomResourceDefinition", text(2, text(7, version)))
    assert failure.value.code == 400


# --- the table ---------------------------------------------------------------------------------------------------


def test_every_served_kind_and_every_body_has_a_message() -> None:
    known = load()
    missing = [one for one in known.resources.values() if messages.fields(one.schema_name) is None]

    assert missing == []


def test_the_fields_of_every_message_are_those_of_its_definition() -> None:
    known = load()
    for definition, schema in known.definitions.items():
        if messages.fields(definition) is None or "properties" not in schema:
            continue
        named = {field.name for field in messages.json_fields(definition)}
        declared = set(schema["properties"]) - {"apiVersion", "kind"}
        assert declared - named == set(), definition
