"""The real helm installs, upgrades, rolls back and uninstalls a chart on the embedded control plane."""

import json
import os
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from fixtures import kubectl
from fixtures.cluster import Cluster

CHART = {
    "Chart.yaml": "apiVersion: v2\nname: tiny\nversion: 0.1.0\nappVersion: '1'\n",
    "values.yaml": "color: blue\nreplicas: 1\n",
    "crds/tints.yaml": """\
apiVersion: apiextensions.k8s.io/v1
kind: CustomResourceDefinition
metadata: {name: tints.tiny.example.com}
spec:
  group: tiny.example.com
  names: {kind: Tint, plural: tints}
  scope: Namespaced
  versions:
  - name: v1
    served: true
    storage: true
    schema: {openAPIV3Schema: {type: object, properties: {spec: {type: object, properties: {color: {type: string}}}}}}
""",
    "templates/all.yaml": """\
apiVersion: v1
kind: ConfigMap
metadata: {name: {{ .Release.Name }}-settings}
data: {color: {{ .Values.color }}, revision: "{{ .Release.Revision }}"}
---
apiVersion: apps/v1
kind: Deployment
metadata: {name: {{ .Release.Name }}}
spec:
  replicas: {{ .Values.replicas }}
  selector: {matchLabels: {app: {{ .Release.Name }}}}
  template:
    metadata: {labels: {app: {{ .Release.Name }}}}
    spec: {containers: [{name: main, image: registry.example.com/main:1}]}
---
apiVersion: tiny.example.com/v1
kind: Tint
metadata: {name: {{ .Release.Name }}}
spec: {color: {{ .Values.color }}}
{{- if .Capabilities.APIVersions.Has "policy/v1/PodDisruptionBudget" }}
---
apiVersion: policy/v1
kind: PodDisruptionBudget
metadata: {name: {{ .Release.Name }}}
spec: {minAvailable: 1, selector: {matchLabels: {app: {{ .Release.Name }}}}}
{{- end }}
{{- with lookup "v1" "Namespace" "" .Release.Namespace }}
---
apiVersion: v1
kind: ConfigMap
metadata: {name: {{ $.Release.Name }}-namespace}
data: {uid: {{ .metadata.uid }}}
{{- end }}
""",
    "templates/hook.yaml": """\
apiVersion: v1
kind: ConfigMap
metadata:
  name: {{ .Release.Name }}-hook
  annotations: {helm.sh/hook: "pre-install,pre-upgrade", helm.sh/hook-delete-policy: before-hook-creation}
data: {ran: "yes"}
""",
}

Helm = Callable[..., str]


@pytest.fixture
def chart(tmp_path: Path) -> Path:
    root = tmp_path / "tiny"
    for name, content in CHART.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content)
    return root


@pytest.fixture
def helm(kubectl_version: kubectl.Tools, cluster: Cluster, namespace: str, tmp_path: Path) -> Helm:
    """helm of the time of a kubectl: version 3 with the older ones, 4 with the newest."""
    try:
        program = kubectl_version.helm or kubectl.helm()
    except kubectl.ToolNotAvailableError as reason:
        pytest.skip(f"helm: {reason}")

    def run(*arguments: str) -> str:
        result = subprocess.run(
            [str(program), "--namespace", namespace, *arguments],
            capture_output=True,
            text=True,
            timeout=120,
            env={"PATH": os.environ["PATH"], "HOME": str(tmp_path), "KUBECONFIG": str(cluster.admin_kubeconfig)},
        )
        assert result.returncode == 0, f"helm {' '.join(arguments)}\n{result.stdout}{result.stderr}"
        return result.stdout

    return run


def test_a_release_goes_through_its_life(helm: Helm, chart: Path, cluster: Cluster, namespace: str) -> None:
    core, apps = f"/api/v1/namespaces/{namespace}", f"/apis/apps/v1/namespaces/{namespace}"
    tint = f"/apis/tiny.example.com/v1/namespaces/{namespace}/tints/demo"

    helm("install", "demo", str(chart))

    assert cluster.api.get(f"{core}/configmaps/demo-settings")["data"] == {"color": "blue", "revision": "1"}
    assert cluster.api.get(f"{core}/configmaps/demo-hook")["data"] == {"ran": "yes"}
    uid = cluster.api.get(f"/api/v1/namespaces/{namespace}")["metadata"]["uid"]
    assert cluster.api.get(f"{core}/configmaps/demo-namespace")["data"] == {"uid": uid}
    assert cluster.api.get(tint)["spec"] == {"color": "blue"}
    labels = cluster.api.get(f"{apps}/deployments/demo")["metadata"]["labels"]
    assert labels["app.kubernetes.io/managed-by"] == "Helm"
    (listed,) = json.loads(helm("list", "--output=json"))
    assert (listed["name"], listed["status"], listed["revision"]) == ("demo", "deployed", "1")

    helm("upgrade", "demo", str(chart), "--set=color=red,replicas=3")

    assert cluster.api.get(f"{core}/configmaps/demo-settings")["data"] == {"color": "red", "revision": "2"}
    assert cluster.api.get(f"{apps}/deployments/demo")["spec"]["replicas"] == 3
    assert cluster.api.get(tint)["spec"] == {"color": "red"}

    helm("rollback", "demo", "1")

    assert cluster.api.get(f"{core}/configmaps/demo-settings")["data"]["color"] == "blue"
    assert cluster.api.get(f"{apps}/deployments/demo")["spec"]["replicas"] == 1
    assert [entry["status"] for entry in json.loads(helm("history", "demo", "--output=json"))] == [
        "superseded",
        "superseded",
        "deployed",
    ]

    helm("uninstall", "demo")

    assert json.loads(helm("list", "--output=json")) == []
    for path in (f"{core}/configmaps/demo-settings", f"{apps}/deployments/demo", tint):
        assert cluster.api.find(path) is None
