"""What an export leaves out, takes away, and writes."""

from __future__ import annotations

import copy
import json
import shutil
import subprocess
from typing import Any

import pytest
import yaml
from hypothesis import example, given, settings
from hypothesis import strategies as st

from merope.cli.export import Exported, belongs_to_cluster, clean, document, local_webhook, order
from merope.controlplane.http import yamlbody

RBAC = "rbac.authorization.k8s.io/v1"


def thing(kind: str, name: str, namespace: str = "", api_version: str = "v1", **rest: Any) -> dict[str, Any]:
    metadata = {"name": name, **({"namespace": namespace} if namespace else {}), **rest.pop("metadata", {})}
    return {"apiVersion": api_version, "kind": kind, "metadata": metadata, **rest}


@pytest.mark.parametrize(
    ("obj", "left_out"),
    [
        (thing("ConfigMap", "a", "team"), False),
        (thing("ConfigMap", "a", "default"), False),
        (thing("ConfigMap", "a", "kube-system"), True),
        (thing("ConfigMap", "kube-root-ca.crt", "team"), True),
        (thing("Namespace", "team"), False),
        (thing("Namespace", "default"), True),
        (thing("Namespace", "kube-public"), True),
        (thing("ServiceAccount", "default", "team"), True),
        (thing("ServiceAccount", "default", "team", imagePullSecrets=[{"name": "pull"}]), False),
        (thing("ServiceAccount", "bob", "team"), False),
        (thing("Secret", "s", "team", type="Opaque"), False),
        (thing("Secret", "t", "team", type="kubernetes.io/service-account-token"), True),
        (thing("Service", "kubernetes", "default"), True),
        (thing("Service", "kubernetes", "team"), False),
        (thing("ClusterRole", "r", api_version=RBAC), False),
        (
            thing("ClusterRole", "admin", metadata={"labels": {"kubernetes.io/bootstrapping": "rbac-defaults"}}),
            True,
        ),
        (thing("APIService", "v1.apps", spec={"group": "apps"}), True),
        (thing("APIService", "v1.metrics", spec={"service": {"name": "m"}}), False),
        (thing("PriorityClass", "system-node-critical"), True),
        (thing("Pod", "p", "team"), False),
        (thing("Pod", "p", "team", metadata={"ownerReferences": [{"kind": "ReplicaSet", "controller": True}]}), True),
        (thing("ManifestWork", "w", "c1", metadata={"ownerReferences": [{"kind": "X", "controller": True}]}), False),
        (thing("ConfigMap", "a", "team", metadata={"deletionTimestamp": "2026-01-01T00:00:00Z"}), True),
    ],
)
def test_what_each_cluster_has_of_its_own_is_left_out(obj: dict[str, Any], left_out: bool) -> None:
    assert belongs_to_cluster(obj) is left_out


def test_what_lies_in_system_namespaces_is_exported_on_request_without_the_namespaces() -> None:
    assert not belongs_to_cluster(thing("ConfigMap", "a", "kube-system"), system=True)
    assert belongs_to_cluster(thing("Namespace", "kube-system"), system=True)
    assert belongs_to_cluster(thing("ConfigMap", "extension-apiserver-authentication", "kube-system"), system=True)


def test_what_servers_set_is_taken_away() -> None:
    obj = thing(
        "ManifestWork",
        "w",
        "c1",
        "work.open-cluster-management.io/v1",
        metadata={
            "uid": "u",
            "resourceVersion": "1",
            "creationTimestamp": "2026-01-01T00:00:00Z",
            "generation": 3,
            "managedFields": [{}],
            "selfLink": "/x",
            "labels": {"a": "b"},
            "annotations": {"kubectl.kubernetes.io/last-applied-configuration": "{}", "mine": "yes"},
            "ownerReferences": [{"kind": "ReplicaSet", "name": "r", "uid": "x"}, {"kind": "Y", "name": "s"}],
            "finalizers": ["a.b/c", "d"],
        },
        spec={"status": "kept", "uid": "kept"},
        status={"conditions": []},
    )

    exported = clean(copy.deepcopy(obj))

    assert exported.manifest == thing(
        "ManifestWork",
        "w",
        "c1",
        "work.open-cluster-management.io/v1",
        metadata={"labels": {"a": "b"}, "annotations": {"mine": "yes"}},
        spec={"status": "kept", "uid": "kept"},
    )
    assert exported.notes == ["owned by ReplicaSet r, Y s", "finalizers a.b/c, d"]
    assert document(exported).startswith(
        "---\n# not exported: owned by ReplicaSet r, Y s\n# not exported: finalizers a.b/c, d\napiVersion: "
    )


@pytest.mark.parametrize(
    ("before", "after"),
    [
        (
            thing(
                "Namespace",
                "team",
                metadata={"labels": {"kubernetes.io/metadata.name": "team"}},
                spec={"finalizers": ["kubernetes"]},
            ),
            thing("Namespace", "team"),
        ),
        (
            thing(
                "Service",
                "s",
                "team",
                spec={
                    "clusterIP": "10.96.0.7",
                    "clusterIPs": ["10.96.0.7"],
                    "ipFamilies": ["IPv4"],
                    "ipFamilyPolicy": "SingleStack",
                    "ports": [{"port": 80, "nodePort": 30080}],
                },
            ),
            thing("Service", "s", "team", spec={"ports": [{"port": 80}]}),
        ),
        (
            thing("Service", "s", "team", spec={"clusterIP": "None", "clusterIPs": ["None"]}),
            thing("Service", "s", "team", spec={"clusterIP": "None", "clusterIPs": ["None"]}),
        ),
        (
            thing("ServiceAccount", "bob", "team", secrets=[{"name": "bob-token-x"}]),
            thing("ServiceAccount", "bob", "team"),
        ),
        (
            thing(
                "Job",
                "j",
                "team",
                "batch/v1",
                metadata={"labels": {"job-name": "j", "mine": "x"}},
                spec={
                    "selector": {"matchLabels": {"batch.kubernetes.io/controller-uid": "u"}},
                    "template": {"metadata": {"labels": {"batch.kubernetes.io/controller-uid": "u"}}, "spec": {}},
                },
            ),
            thing(
                "Job",
                "j",
                "team",
                "batch/v1",
                metadata={"labels": {"mine": "x"}},
                spec={"template": {"metadata": {}, "spec": {}}},
            ),
        ),
        (
            thing(
                "Pod",
                "p",
                "team",
                spec={
                    "nodeName": "n",
                    "volumes": [{"name": "kube-api-access-x1"}, {"name": "mine"}],
                    "containers": [{"volumeMounts": [{"name": "kube-api-access-x1"}, {"name": "mine"}]}, {}],
                },
            ),
            thing(
                "Pod",
                "p",
                "team",
                spec={
                    "volumes": [{"name": "mine"}],
                    "containers": [{"volumeMounts": [{"name": "mine"}]}, {"volumeMounts": []}],
                },
            ),
        ),
        (
            thing("PersistentVolume", "v", spec={"claimRef": {"name": "c", "uid": "u", "resourceVersion": "7"}}),
            thing("PersistentVolume", "v", spec={"claimRef": {"name": "c"}}),
        ),
        # A kind of the same name in another group has fields of its own.
        (
            thing("Service", "s", "team", "example.com/v1", spec={"clusterIP": "x"}),
            thing("Service", "s", "team", "example.com/v1", spec={"clusterIP": "x"}),
        ),
    ],
)
def test_what_a_cluster_gives_is_taken_away(before: dict[str, Any], after: dict[str, Any]) -> None:
    assert clean(before).manifest == after


def test_each_object_comes_after_those_that_it_needs() -> None:
    kinds = [
        "ValidatingWebhookConfiguration",
        "ManifestWork",
        "RoleBinding",
        "Deployment",
        "Namespace",
        "Role",
        "APIService",
        "Secret",
        "CustomResourceDefinition",
        "ServiceAccount",
    ]

    ordered = [one.manifest["kind"] for one in order(Exported(thing(kind, "x")) for kind in kinds)]

    assert ordered == [
        "CustomResourceDefinition",
        "Namespace",
        "ServiceAccount",
        "Secret",
        "Role",
        "RoleBinding",
        "Deployment",
        "ManifestWork",
        "APIService",
        "ValidatingWebhookConfiguration",
    ]


@pytest.mark.parametrize(
    ("obj", "url"),
    [
        (thing("ConfigMap", "a"), ""),
        (thing("ValidatingWebhookConfiguration", "v", webhooks=[{"clientConfig": {"service": {"name": "s"}}}]), ""),
        (
            thing(
                "ValidatingWebhookConfiguration",
                "v",
                webhooks=[{"clientConfig": {}}, {"clientConfig": {"url": "https://127.0.0.1:9443/x"}}],
            ),
            "https://127.0.0.1:9443/x",
        ),
        (
            thing("MutatingWebhookConfiguration", "v", webhooks=[{"clientConfig": {"url": "https://[::1]:9443/x"}}]),
            "https://[::1]:9443/x",
        ),
        (
            thing("MutatingWebhookConfiguration", "v", webhooks=[{"clientConfig": {"url": "https://hooks.example/x"}}]),
            "",
        ),
        (
            thing(
                "CustomResourceDefinition",
                "c",
                spec={"conversion": {"webhook": {"clientConfig": {"url": "https://localhost/c"}}}},
            ),
            "https://localhost/c",
        ),
    ],
)
def test_webhooks_on_the_old_machine_are_recognised(obj: dict[str, Any], url: str) -> None:
    assert local_webhook(obj) == url


SCALARS = st.one_of(
    st.text(max_size=30),
    st.text(alphabet="0123456789eExob_.+-:TZ~nyNY \n\t#'\"|>", max_size=12),
    st.integers(-(2**63), 2**63 - 1),
    st.booleans(),
    st.none(),
)
VALUES = st.recursive(
    SCALARS, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4)
)


@settings(max_examples=400, deadline=None)
@given(VALUES)
@example("1e3")
@example("0o14")
@example("y")
@example(".5e2")
@example("12:30")
@example("  a\n b\n\n")
@example("a\x85b\u2028c\n")
@example("\ufeff")
@example({"n": "no", "null": "~", "1": "0x1f"})
def test_strings_stay_strings_for_every_reader(value: Any) -> None:
    text = document(Exported(thing("Thing", "x", value=value)))

    assert yaml.safe_load(text)["value"] == value
    # The rules of the library that kubectl and API servers read YAML with.
    assert yamlbody.load(text.encode())[0]["value"] == value


@pytest.mark.parametrize("value", ["1e3", "y", "0o14", "+.5", "a\n b\n", "é\n☃", "-", "1_000", "2020-01-01", ".inf"])
def test_kubectl_reads_what_was_written(value: str) -> None:

    kubectl = shutil.which("kubectl")
    if kubectl is None:
        pytest.skip("there is no kubectl on the path")
    text = document(Exported(thing("ConfigMap", "x", data={"value": value})))

    done = subprocess.run(
        [kubectl, "label", "--local", "-f", "-", "-o", "json", "a=b"], input=text, capture_output=True, text=True
    )

    assert json.loads(done.stdout)["data"] == {"value": value}, done.stderr


def test_a_note_cannot_break_out_of_its_comment() -> None:
    text = document(Exported(thing("ConfigMap", "x"), ["owned by A b\n---\nkind: Evil"]))

    assert list(yaml.safe_load_all(text)) == [thing("ConfigMap", "x")]
