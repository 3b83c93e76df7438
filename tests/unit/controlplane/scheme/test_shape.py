"""Built-in objects come out in the form in which Kubernetes' own types print them."""

from __future__ import annotations

import copy
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from merope.controlplane.scheme.catalogue import load

CORE = "io.k8s.api.core.v1."


def normalized(definition: str, obj: dict[str, Any]) -> dict[str, Any]:
    out = copy.deepcopy(obj)
    load().shapes.normalize(definition, out)
    return out


@pytest.mark.parametrize(
    ("definition", "given_object", "expected"),
    [
        # Empty values that Go leaves out.
        (CORE + "ConfigMap", {"data": {}, "binaryData": {}}, {"metadata": {}}),
        ("io.k8s.apimachinery.pkg.apis.meta.v1.ObjectMeta", {"labels": {"a": ""}}, {"labels": {"a": ""}}),
        (CORE + "Container", {"name": "c", "args": [], "tty": False}, {"name": "c", "resources": {}}),
        # Pointers keep explicit zeros.
        ("io.k8s.api.coordination.v1.LeaseSpec", {"holderIdentity": "", "leaseTransitions": 0}, None),
        (CORE + "Volume", {"name": "v", "emptyDir": {}}, None),
        # Structs are printed even when they are empty, times as null, required numbers as 0.
        ("io.k8s.api.apps.v1.ReplicaSetStatus", {}, {"replicas": 0}),
        (CORE + "ContainerStateRunning", {}, {"startedAt": None}),
        (CORE + "ServiceStatus", {}, {"loadBalancer": {}}),
        # Lists that are always printed are null when they are empty.
        ("io.k8s.api.rbac.v1.Role", {"metadata": {}}, {"metadata": {}, "rules": None}),
        ("io.k8s.api.rbac.v1.Role", {"metadata": {}, "rules": []}, {"metadata": {}, "rules": None}),
        # Embedded messages belong to the parent.
        (
            "io.k8s.api.networking.v1.IngressRule",
            {"host": "", "http": {"paths": [{"path": "/", "backend": {}}]}},
            {"http": {"paths": [{"path": "/", "backend": {}, "pathType": None}]}},
        ),
    ],
)
def test_the_printed_form(definition: str, given_object: dict[str, Any], expected: dict[str, Any] | None) -> None:
    assert normalized(definition, given_object) == (given_object if expected is None else expected)


def test_values_of_maps_and_items_of_lists_are_reached() -> None:
    template = {"spec": {"containers": [{"name": "c", "env": [{"name": "A", "value": ""}]}]}}

    found = normalized("io.k8s.api.apps.v1.Deployment", {"spec": {"template": template}})

    assert found["spec"]["template"]["spec"]["containers"] == [{"name": "c", "env": [{"name": "A"}], "resources": {}}]
    assert found["status"] == {}


def test_zero_objects_are_not_shared() -> None:
    shapes = load().shapes
    shapes.zero(CORE + "Event")["source"]["component"] = "changed"

    assert shapes.zero(CORE + "Event")["source"] == {}


JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-1, 1) | st.sampled_from(["", "x"]),
    lambda inner: (
        st.lists(inner, max_size=2) | st.dictionaries(st.sampled_from(["metadata", "spec", "containers"]), inner)
    ),
    max_leaves=8,
)


@given(st.dictionaries(st.sampled_from(["metadata", "spec", "status"]), JSON))
def test_the_printed_form_is_final(obj: dict[str, Any]) -> None:
    once = normalized(CORE + "Pod", obj)

    assert normalized(CORE + "Pod", once) == once
