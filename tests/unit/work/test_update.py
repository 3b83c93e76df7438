"""What the update strategy makes of objects that exist."""

from __future__ import annotations

import copy
import hashlib
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from merope.work.update import UnsupportedManifest, created, merged_metadata, same, service_spec_hash, updated

OWNER = {"apiVersion": "work.open-cluster-management.io/v1", "kind": "AppliedManifestWork", "name": "w", "uid": "u"}


def obj(api_version: str, kind: str, metadata: dict[str, Any] | None = None, **content: Any) -> dict[str, Any]:
    return {"apiVersion": api_version, "kind": kind, "metadata": {"name": "x", **(metadata or {})}, **content}


def live(manifest: dict[str, Any], metadata: dict[str, Any] | None = None, **content: Any) -> dict[str, Any]:
    """The manifest as it came back from a server, with something changed."""
    result = copy.deepcopy(created(manifest))
    result["metadata"].update(uid="1", resourceVersion="7", **(metadata or {}))
    result.update(content)
    return result


def test_metadata_of_others_stays_and_orders_to_remove_are_carried_out() -> None:
    existing = {
        "labels": {"theirs": "1", "ours": "old", "gone": "x"},
        "annotations": {"a": "1"},
        "ownerReferences": [{"apiVersion": "v1", "kind": "Pod", "name": "p", "uid": "p"}, {**OWNER, "uid": "old"}],
        "finalizers": ["f"],
        "managedFields": [{}],
    }
    wanted = {"labels": {"ours": "new", "gone-": ""}, "ownerReferences": [OWNER]}

    merged = merged_metadata(existing, wanted)

    assert merged == {
        "labels": {"theirs": "1", "ours": "new"},
        "annotations": {"a": "1"},
        "ownerReferences": [{"apiVersion": "v1", "kind": "Pod", "name": "p", "uid": "p"}, OWNER],
        "finalizers": ["f"],
    }
    released = merged_metadata(merged, {"ownerReferences": [{**OWNER, "uid": "u-"}]})
    assert [owner["kind"] for owner in released["ownerReferences"]] == ["Pod"]


def test_other_kinds_are_replaced_but_for_metadata_and_status() -> None:
    manifest = obj("example.com/v1", "Widget", {"labels": {"a": "1"}}, spec={"size": 1})
    existing = live(manifest, {"finalizers": ["f"], "labels": {"b": "2"}}, spec={"size": 1, "colour": "red"}, status={})

    update = updated(manifest, existing)

    assert update.obj == {
        "apiVersion": "example.com/v1",
        "kind": "Widget",
        "metadata": {
            "name": "x",
            "uid": "1",
            "resourceVersion": "7",
            "finalizers": ["f"],
            "labels": {"b": "2", "a": "1"},
        },
        "spec": {"size": 1},
    }
    assert updated(manifest, live(manifest, status={"ready": True})).obj is None


def test_a_missing_key_of_another_kind_is_a_difference() -> None:
    manifest = obj("example.com/v1", "Widget", spec={"size": 1, "list": []})

    assert updated(manifest, live(manifest, spec={"size": 1})).obj is not None


@pytest.mark.parametrize("kind", ["Namespace", "ServiceAccount", "Pod"])
def test_only_metadata_of_some_kinds_is_updated(kind: str) -> None:
    manifest = obj("v1", kind, {"labels": {"a": "1"}}, spec={"new": True})
    existing = live(manifest, spec={"old": True})

    assert updated(manifest, existing).obj is None
    existing["metadata"]["labels"] = {}
    update = updated(manifest, existing)
    assert update.obj is not None
    assert update.obj["spec"] == {"old": True}
    assert update.obj["metadata"]["labels"] == {"a": "1"}


def test_config_maps_keep_bundles_that_were_injected() -> None:
    trusted = obj(
        "v1", "ConfigMap", {"labels": {"config.openshift.io/inject-trusted-cabundle": "true"}}, data={"a": "1"}
    )
    existing = live(trusted, data={"a": "1", "ca-bundle.crt": "PEM"})

    assert updated(trusted, existing).obj is None
    existing["data"]["b"] = "2"
    update = updated(trusted, existing)
    assert update.obj is not None
    assert update.obj["data"] == {"a": "1", "ca-bundle.crt": "PEM"}
    plain = obj("v1", "ConfigMap", data=None)
    assert updated(plain, live(plain, data={})).obj is None


def test_secrets_fold_their_texts_into_data() -> None:
    manifest = obj("v1", "Secret", stringData={"k": "v"})

    assert created(manifest) == obj("v1", "Secret", data={"k": "dg=="}, type="Opaque")
    assert updated(manifest, live(manifest)).obj is None
    with pytest.raises(UnsupportedManifest, match=r'Secret.stringData\["k"\] conflicts with Secret.data\["k"\]'):
        created({**manifest, "data": {"k": "eA=="}})
    changed = updated({**manifest, "type": "example.com/other"}, live(manifest))
    assert changed.recreate
    token = obj("v1", "Secret", type="kubernetes.io/service-account-token", data={"mine": "eA=="})
    assert updated(token, live(token, data={"mine": "eA==", "token": "eQ=="})).obj is None


def test_services_are_replaced_where_their_spec_changed() -> None:
    manifest = obj("v1", "Service", spec={"ports": [{"port": 80}], "selector": {"a": "b"}})
    spec = {**manifest["spec"], "type": "ClusterIP", "clusterIP": "10.0.0.1", "sessionAffinity": "None"}
    existing = live(manifest, spec=spec)

    assert updated(manifest, existing).obj is None
    update = updated({**manifest, "spec": {**manifest["spec"], "ports": [{"port": 81}]}}, existing)
    assert update.obj is not None
    assert update.obj["spec"] == {"ports": [{"port": 81}], "selector": {"a": "b"}}
    assert updated(manifest, live(manifest, spec={**spec, "type": "NodePort"})).obj is not None


def test_the_hash_of_a_service_is_that_of_its_go_form() -> None:
    spec = {
        "type": "NodePort",
        "selector": {"b": "2", "a": "1"},
        "ports": [{"port": 80, "name": "http", "nodePort": 0}],
        "publishNotReadyAddresses": False,
    }
    text = '{"ports":[{"name":"http","port":80,"targetPort":0}],"selector":{"a":"1","b":"2"},"type":"NodePort"}'

    assert service_spec_hash(spec) == hashlib.sha256(text.encode()).hexdigest()


def test_roles_and_bindings() -> None:
    group = "rbac.authorization.k8s.io"
    role = obj(f"{group}/v1", "ClusterRole", rules=[{"verbs": ["get"]}])
    assert updated(role, live(role, rules=[])).obj is not None
    aggregated = obj(f"{group}/v1", "ClusterRole", aggregationRule={"clusterRoleSelectors": []})
    assert updated(aggregated, live(aggregated, rules=[{"verbs": ["*"]}])).obj is None
    binding = obj(f"{group}/v1", "RoleBinding", roleRef={"kind": "Role", "name": "r"}, subjects=[{"kind": "User"}])
    existing = live(binding)
    assert existing["roleRef"]["apiGroup"] == existing["subjects"][0]["apiGroup"] == group
    assert updated(binding, existing).obj is None


def test_definitions_are_compared_with_their_defaults() -> None:
    manifest = obj("apiextensions.k8s.io/v1", "CustomResourceDefinition", spec={"names": {"kind": "Foo"}, "group": "g"})
    spec = {
        "names": {"kind": "Foo", "singular": "foo", "listKind": "FooList"},
        "group": "g",
        "conversion": {"strategy": "None"},
    }

    assert updated(manifest, live(manifest, spec=spec)).obj is None
    assert updated(manifest, live(manifest, spec={**spec, "group": "h"})).obj is not None


def test_what_cannot_be_changed_is_created_anew() -> None:
    manifest = obj("storage.k8s.io/v1", "StorageClass", provisioner="p", parameters={"a": "1"})
    defaults = {"reclaimPolicy": "Delete", "volumeBindingMode": "Immediate"}

    assert updated(manifest, live(manifest, **defaults)).obj is None
    assert updated(manifest, live(manifest, **defaults, parameters={"a": "2"})).recreate
    kept = live(manifest, {"annotations": {"storageclass.kubernetes.io/is-default-class": "true"}}, **defaults)
    wanted = {
        **manifest,
        "metadata": {"name": "x", "annotations": {"storageclass.kubernetes.io/is-default-class": "f"}},
    }
    assert updated(wanted, kept).obj is None


def test_webhooks_keep_the_bundles_of_others() -> None:
    api = "admissionregistration.k8s.io/v1"
    hook = {"name": "h", "clientConfig": {"url": "https://x"}}
    manifest = obj(api, "ValidatingWebhookConfiguration", webhooks=[hook])
    injected = [{"name": "h", "clientConfig": {"url": "https://x", "caBundle": "PEM"}}]

    assert updated(manifest, live(manifest, webhooks=injected)).obj is None
    update = updated(manifest, live(manifest, webhooks=[{**injected[0], "failurePolicy": "Fail"}]))
    assert update.obj is not None
    assert update.obj["webhooks"] == injected


def test_monitors_are_created_with_their_orders_to_remove() -> None:
    monitor = obj("monitoring.coreos.com/v1", "ServiceMonitor", {"labels": {"a-": ""}}, spec={})

    assert created(monitor)["metadata"]["labels"] == {"a-": ""}
    assert created(obj("v1", "ConfigMap", {"labels": {"a-": ""}}))["metadata"]["labels"] == {}


@pytest.mark.parametrize(
    ("one", "other", "expected"),
    [
        (None, {}, True),
        ([], None, True),
        ("", None, True),
        ({"a": None, "b": []}, {}, True),
        ({"cpu": "1"}, {"cpu": "1000m"}, True),
        ({"cpu": 1}, {"cpu": "1"}, True),
        ({"cpu": "1"}, {"cpu": "2"}, False),
        (True, 1, False),
        (["a"], ["a", "b"], False),
        ({"a": {"b": [1, {"c": "d"}]}}, {"a": {"b": [1, {"c": "d"}]}}, True),
    ],
)
def test_parts_mean_the_same(one: Any, other: Any, expected: bool) -> None:
    assert same(one, other) is expected
    assert same(other, one) is expected


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=4),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=10,
)


@given(st.dictionaries(st.sampled_from(["spec", "data", "rules", "webhooks"]), JSON, max_size=3))
def test_what_was_applied_needs_no_update(content: dict[str, Any]) -> None:
    for api_version, kind in (("example.com/v1", "Widget"), ("policy/v1", "PodDisruptionBudget")):
        manifest = obj(api_version, kind, {"ownerReferences": [OWNER]}, **content)
        stored = live(manifest)
        before = copy.deepcopy((manifest, stored))

        assert updated(manifest, stored).obj is None
        assert (manifest, stored) == before
