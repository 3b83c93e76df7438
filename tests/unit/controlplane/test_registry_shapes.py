"""Bodies of built-in kinds in the shape of their types, and the rules of metadata."""

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from merope.controlplane.errors import ApiError
from merope.controlplane.registry import continuation, metadata, typed
from merope.controlplane.registry.patching import go_syntax
from merope.controlplane.registry.writing import unchanged
from merope.controlplane.scheme import catalogue


def decode(group, version, plural, obj):
    resource = catalogue.load().lookup(group, version, plural)
    return typed.decode(resource.node, obj, resource.kind)


class TestTyped:
    def test_fields_that_the_type_does_not_have_are_dropped_and_named(self):
        obj = {
            "metadata": {"name": "d", "nothing": 1},
            "spec": {"template": {"spec": {"containers": [{"name": "c", "other": 2}]}}},
            "Spec": {},
        }

        unknown = decode("apps", "v1", "deployments", obj)

        assert unknown == ["metadata.nothing", "spec.template.spec.containers[0].other", "Spec"]
        assert obj["spec"]["template"]["spec"]["containers"] == [{"name": "c"}]

    def test_null_counts_as_absent(self):
        obj = {"metadata": {"name": "a", "labels": None}, "data": {"k": None}, "binaryData": None}

        decode("", "v1", "configmaps", obj)

        assert obj == {"metadata": {"name": "a"}, "data": {"k": ""}}

    @pytest.mark.parametrize(
        ("obj", "text"),
        [
            ({"data": {"k": 1}}, "cannot unmarshal number into Go struct field ConfigMap.data of type string"),
            ({"data": "x"}, "cannot unmarshal string into Go struct field ConfigMap.data of type map[string]string"),
            (
                {"metadata": {"labels": {"a": 1}}},
                "number into Go struct field ObjectMeta.metadata.labels of type string",
            ),
            ({"metadata": "x"}, "cannot unmarshal string into Go struct field ConfigMap.metadata of type ObjectMeta"),
            ({"immutable": "yes"}, "cannot unmarshal string into Go struct field ConfigMap.immutable of type bool"),
            ({"binaryData": {"k": "%"}}, "illegal base64 data at input byte 0"),
        ],
    )
    def test_a_value_of_another_type_is_a_mismatch(self, obj, text):
        with pytest.raises(typed.TypeMismatch) as caught:
            decode("", "v1", "configmaps", obj)

        assert text in str(caught.value)

    @pytest.mark.parametrize("number", [2**31, -(2**31) - 1, True, 1.5, "1"])
    def test_an_integer_must_fit(self, number):
        with pytest.raises(typed.TypeMismatch):
            decode("apps", "v1", "deployments", {"spec": {"replicas": number}})

    @pytest.mark.parametrize(
        ("given", "expected"),
        [
            ("2020-01-02T03:04:05Z", "2020-01-02T03:04:05Z"),
            ("2020-01-02T03:04:05.999Z", "2020-01-02T03:04:05Z"),
            ("2020-01-02T03:04:05+02:00", "2020-01-02T01:04:05Z"),
        ],
    )
    def test_times_have_whole_seconds_in_utc(self, given, expected):
        obj = {"metadata": {"creationTimestamp": given}}

        decode("", "v1", "configmaps", obj)

        assert obj["metadata"]["creationTimestamp"] == expected

    @pytest.mark.parametrize("given", ["yesterday", "2020-01-02", "2020-13-02T03:04:05Z", 5])
    def test_what_is_no_time_is_a_mismatch(self, given):
        with pytest.raises(typed.TypeMismatch):
            decode("", "v1", "configmaps", {"metadata": {"creationTimestamp": given}})

    @pytest.mark.parametrize(
        "given", ["2020-01-02T03:04:05Z", "2020-01-02T03:04:05.123Z", "2020-01-02T03:04:05.1234567Z"]
    )
    def test_a_micro_time_has_exactly_six_digits(self, given):
        with pytest.raises(typed.TypeMismatch, match="cannot parse"):
            decode("coordination.k8s.io", "v1", "leases", {"spec": {"renewTime": given}})
        obj = {"spec": {"renewTime": "2020-01-02T03:04:05.000001Z"}}
        decode("coordination.k8s.io", "v1", "leases", obj)
        assert obj["spec"]["renewTime"] == "2020-01-02T03:04:05.000001Z"

    def test_quantities_are_canonical(self):
        requests = {"cpu": "1000m", "memory": "1024Mi", "x": 0.5}
        obj = {"spec": {"containers": [{"name": "c", "resources": {"requests": requests}}]}}

        decode("", "v1", "pods", obj)

        assert requests == {"cpu": "1", "memory": "1Gi", "x": "500m"}


class TestMetadata:
    @pytest.mark.parametrize(
        ("rule", "name", "good"),
        [
            ("subdomain", "a.b-c", True),
            ("subdomain", "A", False),
            ("label", "a.b", False),
            ("label", "a-b", True),
            ("label1035", "1a", False),
            ("label1035", "a1", True),
            ("path", "system:Any thing", True),
            ("path", "a/b", False),
            ("path", "..", False),
        ],
    )
    def test_each_kind_has_its_rule_of_names(self, rule, name, good):
        assert (metadata.name_problems(rule, name) == []) is good

    def test_a_prefix_may_end_in_a_dash(self):
        assert metadata.name_problems("subdomain", "a-", prefix=True) == []

    def test_every_complaint_is_made(self):
        complaints = metadata.validate(
            {
                "name": "A",
                "namespace": "n",
                "labels": {"a b": "c d"},
                "annotations": {"k": "v" * 300_000},
                "finalizers": ["plain", "orphan", "foregroundDeletion"],
                "ownerReferences": [{"apiVersion": "v1", "kind": "Event", "name": "", "uid": "u"}],
            },
            namespaced=True,
            rule="subdomain",
            builtin=True,
        )

        assert [complaint.field for complaint in complaints] == [
            "metadata.name",
            "metadata.labels",
            "metadata.labels",
            "metadata.annotations",
            "metadata.ownerReferences.name",
            "metadata.ownerReferences",
            "metadata.finalizers[0]",
            "metadata.finalizers",
        ]

    def test_what_the_server_owns_cannot_be_changed(self):
        old = {"name": "a", "uid": "u", "creationTimestamp": "t", "deletionTimestamp": "d", "finalizers": ["x/y"]}
        new = {"name": "a", "uid": "other", "finalizers": ["x/y", "x/z"]}

        metadata.restore_for_update(new, old)
        complaints = metadata.validate_update(new, old)

        assert new["creationTimestamp"] == "t"
        assert new["deletionTimestamp"] == "d"
        assert [complaint.field for complaint in complaints] == ["metadata.uid", "metadata.finalizers"]

    def test_the_stored_order_is_that_of_kubernetes(self):
        obj = {
            "spec": {},
            "kind": "K",
            "metadata": {"labels": {}, "own": 1, "uid": "u", "name": "n"},
            "apiVersion": "v1",
        }

        ordered = metadata.canonical(obj)

        assert list(ordered) == ["apiVersion", "kind", "metadata", "spec"]
        assert list(ordered["metadata"]) == ["name", "uid", "resourceVersion", "labels", "own"]


NAMES = st.from_regex(r"[a-z0-9]([-a-z0-9.]{0,20}[a-z0-9])?", fullmatch=True).filter(lambda name: ".." not in name)


@given(st.integers(1, 2**63), NAMES, NAMES, st.booleans())
def test_a_continue_token_survives_the_way_to_the_client_and_back(version, namespace, name, spanning):
    token = continuation.encode(version, namespace, name, namespaced_start=spanning)

    found = continuation.decode(token, namespace=namespace, namespaced_start=spanning)

    assert found == continuation.Continuation(version, namespace, name)


@given(st.text(max_size=40))
def test_no_text_makes_a_token_fail_otherwise_than_as_a_bad_request(text):
    with contextlib.suppress(ApiError):
        assert continuation.decode(text, namespace="", namespaced_start=True)


def test_go_prints_maps_in_its_own_way():
    value = {"spec": {"b": [1, "x", None], "a": True}}

    assert go_syntax(value) == "map[spec:map[a:true b:[1 x <nil>]]]"


@pytest.mark.parametrize(("before", "after"), [(1, True), (1, 1.0), (0, False), ({"a": 1}, {"a": True})])
def test_values_that_python_calls_equal_are_still_changes(before, after):
    def obj(value):
        return {"metadata": {"name": "a"}, "spec": value}

    assert not unchanged(obj(after), obj(before))
    assert unchanged(obj(before), obj(before))


def test_times_of_managed_fields_are_no_change():
    def obj(time):
        entry = {"manager": "m", "operation": "Update", "apiVersion": "v1", "time": time, "fieldsV1": {"f:data": {}}}
        return {"metadata": {"name": "a", "managedFields": [entry]}}

    new = obj("2020-01-02T00:00:00Z")

    assert unchanged(new, obj("2020-01-01T00:00:00Z"))
    assert new == obj("2020-01-01T00:00:00Z")
