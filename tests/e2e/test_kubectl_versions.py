"""The kubectl binaries that the end-to-end tests use are what they claim, and each can talk to a cluster."""

import json

from fixtures import kubectl
from fixtures.cluster import Cluster


def test_each_kubectl_lists_creates_and_explains(kubectl_version: kubectl.Tools, cluster: Cluster) -> None:
    tools = kubectl_version
    name = f"from-kubectl-{tools.minor}-{tools.kubectl.parent.name.replace('.', '-')[:20].lower()}"

    cluster.kubectl("create", "namespace", name, tools=tools)
    listed = json.loads(cluster.kubectl("get", "namespaces", "--output=json", tools=tools))
    explained = cluster.kubectl("explain", "configmap.data", tools=tools)

    assert name in {item["metadata"]["name"] for item in listed["items"]}
    assert "KIND:" in explained
    assert kubectl.client_minor(tools.kubectl) == tools.minor
