"""Decoding of request bodies."""

import json
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from merope.controlplane.errors import ApiError
from merope.controlplane.http import bodies, yamlbody
from merope.controlplane.resource import GroupVersionKind
from merope.controlplane.scheme import catalogue

CONFIG_MAP = GroupVersionKind("", "v1", "ConfigMap")
WIDGET = GroupVersionKind("example.com", "v1", "Widget")


def decode(data, header="application/json", expected=CONFIG_MAP, builtin=True):
    return bodies.decode(data, header, expected, builtin=builtin, catalogue=catalogue.load(), look_for_duplicates=True)


def message(data, **options):
    with pytest.raises(ApiError) as caught:
        decode(data, **options)
    return caught.value.code, caught.value.message


def test_a_built_in_kind_may_leave_its_type_out():
    assert decode(b'{"metadata":{"name":"a"}}').obj == {
        "metadata": {"name": "a"},
        "apiVersion": "v1",
        "kind": "ConfigMap",
    }


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        (b"", "couldn't get version/kind; json parse error: unexpected end of JSON input (<empty>)"),
        (b"{", "couldn't get version/kind; json parse error: unexpected end of JSON input ({)"),
    ],
)
def test_what_is_no_json_is_unrecognized(data, expected):
    assert message(data) == (400, f"the object provided is unrecognized (must be of type ConfigMap): {expected}")


def test_long_or_unprintable_bodies_are_shown_in_hexadecimal():
    assert bodies.excerpt(b"no") == "6e6f"
    assert bodies.excerpt(b"x" * 40) == "78" * 30 + " ..."


@pytest.mark.parametrize(
    ("obj", "expected"),
    [
        (
            {"apiVersion": "v1", "kind": "Secret"},
            'Secret in version "v1" cannot be handled as a ConfigMap: converting (v1.Secret) to (core.ConfigMap): '
            "unknown conversion",
        ),
        (
            {"apiVersion": "v2", "kind": "ConfigMap"},
            'ConfigMap in version "v2" cannot be handled as a ConfigMap: no kind "ConfigMap" is registered for version '
            '"v2" in scheme "k8s.io/kubernetes/pkg/api/legacyscheme/scheme.go:30"',
        ),
    ],
)
def test_another_type_cannot_be_handled(obj, expected):
    assert message(json.dumps(obj).encode()) == (400, expected)


def test_a_custom_resource_must_name_its_type():
    code, text = message(b'{"apiVersion":"example.com/v1"}', expected=WIDGET, builtin=False)
    assert code == 400
    assert text.startswith("the object provided is unrecognized (must be of type Widget): Object 'Kind' is missing in ")

    assert message(b'{"kind":"Widget"}', expected=WIDGET, builtin=False) == (
        400,
        "the API version in the data () does not match the expected API version (example.com/v1)",
    )
    other = b'{"kind":"Other","apiVersion":"example.com/v1","metadata":{"name":"a"}}'
    assert message(other, expected=WIDGET, builtin=False) == (
        422,
        'Other.example.com "a" is invalid: kind: Invalid value: "Other": must be Widget',
    )


@pytest.mark.parametrize("header", ["text/plain", "application/cbor"])
def test_other_media_types_are_unsupported(header):
    code, text = message(b"{}", header=header)

    assert code == 415
    assert text.endswith("application/json, application/yaml, application/vnd.kubernetes.protobuf")


def test_keys_that_come_twice_are_named_with_their_place():
    body = decode(b'{"metadata":{"name":"a"},"data":{"k":"v","k":"w"},"x":[{"a":1,"a":2}],"metadata":{"name":"b"}}')

    assert body.obj["data"] == {"k": "w"}
    assert body.duplicates == ['duplicate field "metadata"', 'duplicate field "data.k"', 'duplicate field "x[0].a"']


JSON_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.text(max_size=5),
    lambda children: st.lists(children, max_size=3) | st.dictionaries(st.text(max_size=3), children, max_size=3),
    max_leaves=10,
)


@given(st.dictionaries(st.text(max_size=3), JSON_VALUES, max_size=4), st.sampled_from([None, 2]))
def test_a_text_without_repeated_keys_has_no_duplicates(value, indent):
    data = json.dumps(value, indent=indent).encode()

    assert bodies.duplicate_paths(data, json.loads(data)) == []


@given(st.dictionaries(st.text(max_size=3), JSON_VALUES, min_size=1, max_size=4), st.sampled_from([None, 1]))
def test_a_repeated_key_is_found_whatever_the_spacing(value, indent):
    first = next(iter(value))
    text = json.dumps(value, indent=indent)
    repeated = text.rstrip()[:-1] + "," + json.dumps(first) + ":0}"

    assert first in bodies.duplicate_paths(repeated.encode(), json.loads(repeated))


def test_numbers_are_kept_as_go_prints_them():
    assert bodies.parse_json(b'{"a":1.0,"b":1.5,"c":[2e3],"d":9223372036854775807,"e":"1.0"}') == {
        "a": 1,
        "b": 1.5,
        "c": [2000],
        "d": 9223372036854775807,
        "e": "1.0",
    }
    assert isinstance(bodies.parse_json(b"[1.0]")[0], int)


class TestYaml:
    @pytest.mark.parametrize(
        ("text", "expected"),
        [
            ("a: yes", {"a": True}),
            ("a: 'yes'", {"a": "yes"}),
            ("a: 2020-01-01", {"a": "2020-01-01"}),
            ("a: 0x10", {"a": 16}),
            ("a: 010", {"a": 8}),
            ("a: 1e3", {"a": 1000.0}),
            ("a: 1:30", {"a": "1:30"}),
            ("1: x", {"1": "x"}),
            ("true: x", {"true": "x"}),
            ("a: &x {b: c}\nd: *x", {"a": {"b": "c"}, "d": {"b": "c"}}),
        ],
    )
    def test_values_are_those_of_kubernetes(self, text, expected):
        assert yamlbody.load(text.encode()) == (expected, [])

    def test_duplicate_keys_are_reported_with_their_line(self):
        assert yamlbody.load(b"a: 1\nb: 2\na: 3")[1] == ['line 3: key "a" already set in map']

    def test_excessive_aliases_are_refused(self):
        bomb = "a: &a [x]\n" + "b: [" + ",".join(["*a"] * 200) + "]"
        with pytest.raises(yamlbody.YamlError, match="excessive aliasing"):
            yamlbody.load(bomb.encode())

    def test_an_object_in_yaml_is_decoded(self):
        body = decode(b"metadata:\n  name: a\ndata:\n  k: v\n  k: w\n", header="application/yaml")

        assert body.obj["data"] == {"k": "w"}
        assert body.duplicates == ['yaml: unmarshal errors:\n  line 5: key "k" already set in map']


def test_a_body_that_is_no_delete_options_is_refused():
    assert bodies.decode_delete_options(b"", "") is None
    assert bodies.decode_delete_options(b'{"propagationPolicy":"Orphan"}', "") == {"propagationPolicy": "Orphan"}
    with pytest.raises(ApiError, match='no kind "ConfigMap" is registered for version "v1"'):
        bodies.decode_delete_options(b'{"kind":"ConfigMap","apiVersion":"v1"}', "application/json")


YAML = "application/yaml"
LIMIT = bodies.DEPTH_LIMIT


def nested(depth, value=""):
    return "[" * depth + value + "]" * depth


@pytest.mark.parametrize("depth", [LIMIT + 1, 900, 1_020, 100_000])
@pytest.mark.parametrize("header", ["application/json", YAML])
def test_what_is_nested_too_deep_to_be_shown_is_refused(header, depth):
    code, text = message(f'{{"data":{nested(min(depth, 3_000))}}}'.encode(), header=header)

    assert code == 400
    assert "depth" in text


def test_what_is_nested_as_deep_as_allowed_is_taken():
    decode(f'{{"data":{nested(LIMIT - 1)}}}'.encode())


@pytest.mark.parametrize(
    "value",
    [
        "!!float abc",
        "!!int abc",
        "!!timestamp 2001-01-01",
        "!!binary AAAA",
        "!!set {a}",
        "!!omap [a: b]",
        "!!pairs [a: b]",
        "!!python/object/apply:os.system [id]",
        "1e400",
        "9" * 5_000,
        "0x" + "f" * 5_000,
        "&a [*a]",
    ],
)
def test_yaml_that_is_nothing_in_json_is_refused(value):
    assert message(f"data: {{a: {value}}}\n".encode(), header=YAML)[0] == 400


def test_large_integers_in_yaml_become_floats_as_in_json():
    assert decode(b"data: {a: 123456789012345678901234567890}", YAML).obj["data"] == {"a": 1.2345678901234568e29}


def test_aliases_cannot_make_a_small_text_large():
    lines = ["l0: &l0 [" + ",".join(["x" * 100] * 100) + "]"]
    lines += [f"l{n}: &l{n} [*l{n - 1}, *l{n - 1}]" for n in range(1, 11)]

    assert "aliasing" in message("\n".join(lines).encode(), header=YAML)[1]


def test_merge_keys_cannot_make_a_small_text_large():
    lines = ["l0: &l0 {" + ",".join(f"k{n}: v" for n in range(1_000)) + "}"]
    lines += [f"l{n}: &l{n} {{<<: [*l{n - 1}, *l{n - 1}]}}" for n in range(1, 11)]

    found = decode("\n".join(lines).encode(), YAML)

    assert len(found.obj["l10"]) == 1_000
    assert found.duplicates == []


def test_own_keys_count_before_merged_ones_and_earlier_merged_ones_before_later():
    text = b"a: &a {x: 1, y: 1}\nb: &b {x: 2, z: 2}\nc: {<<: [*a, *b], y: 3}\n"

    found = decode(text, YAML)

    assert found.obj["c"] == {"x": 1, "y": 3, "z": 2}
    assert found.duplicates == []


def test_any_number_of_repeated_keys_is_found_in_no_time():
    pairs = ",".join(f'"k{n}":1' for n in range(50_000))
    started = time.process_time()

    found = decode(f'{{"data":{{{pairs},{pairs}}}}}'.encode()).duplicates

    assert len(found) == 50_000
    assert time.process_time() - started < 5
