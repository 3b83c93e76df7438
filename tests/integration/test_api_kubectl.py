"""What people do with kubectl, done by kubectl itself, in each of its versions."""

import json

import pytest

from fixtures import kubectl
from fixtures.cluster import Cluster

GROUP = "kubectl.merope.dev"


def run(cluster: Cluster, tools: kubectl.Tools, *arguments: str, stdin: str | None = None, check: bool = True) -> str:
    return kubectl.run(arguments, cluster.admin_kubeconfig, stdin=stdin, check=check, tools=tools).stdout


def definition(plural: str) -> dict:
    spec = {"type": "object", "properties": {"replicas": {"type": "integer", "minimum": 0}}}
    status = {"type": "object", "properties": {"replicas": {"type": "integer"}}}
    return {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": f"{plural}.{GROUP}"},
        "spec": {
            "group": GROUP,
            "scope": "Namespaced",
            "names": {"plural": plural, "kind": plural[:-1].capitalize()},
            "versions": [
                {
                    "name": "v1",
                    "served": True,
                    "storage": True,
                    "schema": {"openAPIV3Schema": {"type": "object", "properties": {"spec": spec, "status": status}}},
                    "subresources": {
                        "status": {},
                        "scale": {"specReplicasPath": ".spec.replicas", "statusReplicasPath": ".status.replicas"},
                    },
                    "additionalPrinterColumns": [
                        {"name": "Replicas", "type": "integer", "jsonPath": ".spec.replicas"},
                    ],
                }
            ],
        },
    }


def manifest(name: str, value: str) -> str:
    return json.dumps({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name}, "data": {"k": value}})


def test_an_object_is_created_applied_edited_and_deleted(cluster, kubectl_version, namespace):
    def do(*arguments: str, stdin: str | None = None) -> str:
        return run(cluster, kubectl_version, "--namespace", namespace, *arguments, stdin=stdin)

    assert "created" in do("create", "configmap", "a", "--from-literal=k=v")
    assert "created" in do("apply", "--filename=-", stdin=manifest("b", "1"))
    assert "unchanged" in do("apply", "--filename=-", stdin=manifest("b", "1"))
    assert "configured" in do("apply", "--filename=-", stdin=manifest("b", "2"))
    assert "serverside-applied" in do("apply", "--server-side", "--filename=-", stdin=manifest("b", "2"))
    assert "labeled" in do("label", "configmap", "b", "x=y")
    assert "annotate" in do("annotate", "configmap", "b", "n=m")
    assert "patched" in do(
        "patch", "configmap", "b", "--type=json", "--patch", '[{"op":"add","path":"/data/j","value":"w"}]'
    )
    assert do("get", "configmap", "b", "--output=jsonpath={.data.k}{.data.j}{.metadata.labels.x}") == "2wy"
    assert "replaced" in do("replace", "--filename=-", stdin=manifest("a", "9"))
    assert do("get", "configmaps", "--output=name").split() == [
        "configmap/a",
        "configmap/b",
        "configmap/kube-root-ca.crt",
    ]
    assert "deleted" in do("delete", "configmap", "a", "b")
    assert "a" not in do("get", "configmaps", "--output=name").split()


def test_typed_commands_send_what_the_server_reads(cluster, kubectl_version, namespace):
    def do(*arguments: str) -> str:
        return run(cluster, kubectl_version, "--namespace", namespace, *arguments)

    do("create", "secret", "generic", "s", "--from-literal=k=v")
    do("create", "serviceaccount", "sa")
    do("create", "role", "r", "--verb=get", "--resource=pods")
    do("create", "rolebinding", "rb", "--role=r", f"--serviceaccount={namespace}:sa")
    do("create", "deployment", "d", "--image=x:1")
    do("scale", "deployment", "d", "--replicas=0")
    do("rollout", "restart", "deployment", "d")
    do("expose", "deployment", "d", "--port=80")
    token = do("create", "token", "sa")

    subject = f"system:serviceaccount:{namespace}:sa"
    assert do("auth", "can-i", "get", "pods", "--as", subject).strip() == "yes"
    assert do("get", "deployment", "d", "--output=jsonpath={.spec.replicas}") == "0"
    assert do("get", "service", "d", "--output=jsonpath={.spec.ports[0].port}") == "80"
    assert do("get", "secret", "s", "--output=jsonpath={.data.k}") == "dg=="
    assert token.count(".") == 2


def test_a_strict_client_hears_of_unknown_fields(cluster, kubectl_version, namespace):
    wrong = manifest("a", "1").replace('"data"', '"date"')

    with pytest.raises(Exception, match="date"):
        run(cluster, kubectl_version, "--namespace", namespace, "create", "--filename=-", stdin=wrong)


def test_custom_resources_are_explained_listed_and_scaled(cluster, kubectl_version, namespace):
    plural = f"gadget{kubectl_version.minor}s"

    def do(*arguments: str, stdin: str | None = None) -> str:
        return run(cluster, kubectl_version, "--namespace", namespace, *arguments, stdin=stdin)

    do("apply", "--filename=-", stdin=json.dumps(definition(plural)))
    do("wait", "--for=condition=Established", f"crd/{plural}.{GROUP}", "--timeout=10s")
    gadget = {
        "apiVersion": f"{GROUP}/v1",
        "kind": plural[:-1].capitalize(),
        "metadata": {"name": "g"},
        "spec": {"replicas": 2},
    }
    do("apply", "--filename=-", stdin=json.dumps(gadget))
    gadget["spec"]["replicas"] = 3
    assert "configured" in do("apply", "--filename=-", stdin=json.dumps(gadget))
    assert "replicas" in do("explain", f"{plural}.spec")
    do("scale", plural, "g", "--replicas=4")
    table = do("get", plural).split()
    assert table == ["NAME", "REPLICAS", "g", "4"]
    assert "deleted" in do("delete", "crd", f"{plural}.{GROUP}")


def test_a_namespace_goes_with_everything_in_it(cluster, kubectl_version, namespace):
    run(cluster, kubectl_version, "--namespace", namespace, "create", "configmap", "a")

    assert "deleted" in run(cluster, kubectl_version, "delete", "namespace", namespace, "--timeout=20s")

    assert cluster.api.find(f"/api/v1/namespaces/{namespace}") is None
    assert cluster.api.find(f"/api/v1/namespaces/{namespace}/configmaps/a") is None
