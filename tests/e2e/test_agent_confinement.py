"""An agent's own certificate opens nothing of another cluster, and a bootstrap identity lets nobody in."""

import itertools
import json
from typing import Any

import pytest

from fixtures.api import Api, Manifest

from .conftest import CLUSTERS, WORKS, Fleet

READS = ("GET", "LIST", "WATCH")
WRITES = ("POST", "PUT", "PATCH", "DELETE", "DELETECOLLECTION")
CORE, RBAC = "/api/v1", "/apis/rbac.authorization.k8s.io/v1"
#: Namespaced resources: where they live, and one that is there in every cluster's namespace, if any.
NAMESPACED = {
    "manifestworks": (WORKS.removesuffix("/manifestworks"), "probe"),
    "leases": ("/apis/coordination.k8s.io/v1/namespaces/{}", "managed-cluster-lease"),
    "secrets": (CORE + "/namespaces/{}", "probe"),
    "configmaps": (CORE + "/namespaces/{}", "probe"),
    "serviceaccounts": (CORE + "/namespaces/{}", "default"),
    "pods": (CORE + "/namespaces/{}", "probe"),
    "events": (CORE + "/namespaces/{}", "probe"),
    "roles": (RBAC + "/namespaces/{}", "probe"),
    "rolebindings": (RBAC + "/namespaces/{}", "open-cluster-management:managedcluster:{}:work"),
    "managedclusteraddons": ("/apis/addon.open-cluster-management.io/v1alpha1/namespaces/{}", "probe"),
    "deployments": ("/apis/apps/v1/namespaces/{}", "probe"),
}
SUBRESOURCES = {"manifestworks": ("status",), "managedclusters": ("status", "accept"), "serviceaccounts": ("token",)}
HUB_WIDE = {
    "managedclusters": "/apis/cluster.open-cluster-management.io/v1",
    "managedclustersets": "/apis/cluster.open-cluster-management.io/v1beta2",
    "namespaces": CORE,
    "clusterroles": RBAC,
    "clusterrolebindings": RBAC,
    "customresourcedefinitions": "/apis/apiextensions.k8s.io/v1",
    "validatingwebhookconfigurations": "/apis/admissionregistration.k8s.io/v1",
    "certificatesigningrequests": "/apis/certificates.k8s.io/v1",
}


@pytest.fixture(scope="module")
def intruder(fleet: Fleet) -> Api:
    """The hub as the agent of cluster2 sees it, with the certificate that the hub issued to it."""
    fleet.api().create(WORKS.format("cluster1"), _work("probe"))
    fleet.api().create("/api/v1/namespaces/cluster1/secrets", {"metadata": {"name": "probe"}})
    return fleet.api_of(fleet.hub_identity("cluster2"))


def _work(name: str) -> Manifest:
    return {
        "apiVersion": "work.open-cluster-management.io/v1",
        "kind": "ManifestWork",
        "metadata": {"name": name},
        "spec": {"workload": {"manifests": [{"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}}]}},
    }


def send(api: Api, verb: str, collection: str, name: str, subresource: str = "") -> int:
    """The status code of one request; bodies are minimal, since permission comes before everything else."""
    path = f"{collection}/{name}" + (f"/{subresource}" if subresource else "")
    body: Any = {"metadata": {"name": name}}
    headers: dict[str, str] = {}
    method = verb
    if verb == "LIST":
        method, path, body = "GET", collection, None
    elif verb == "WATCH":
        method, path, body = "GET", f"{collection}?watch=true&timeoutSeconds=1", None
    elif verb == "DELETECOLLECTION":
        method, path, body = "DELETE", collection, None
    elif verb == "POST":
        path = path if subresource else collection
    elif verb == "PATCH":
        headers["Content-Type"] = "application/merge-patch+json"
    elif verb in ("GET", "DELETE"):
        body = None
    return api.request(method, path, body, headers).status


@pytest.mark.parametrize("resource", NAMESPACED)
def test_nothing_in_the_namespace_of_another_cluster_can_be_read_or_written(resource: str, intruder: Api) -> None:
    place, name = NAMESPACED[resource]
    collection = f"{place.format('cluster1')}/{resource}"
    name = name.format("cluster1")

    answers = {verb: send(intruder, verb, collection, name) for verb in (*READS, *WRITES)}
    for subresource, verb in itertools.product(SUBRESOURCES.get(resource, ()), ("GET", "PUT", "PATCH", "POST")):
        answers[f"{verb} {subresource}"] = send(intruder, verb, collection, name, subresource)

    assert set(answers.values()) == {403}, answers


def test_the_managed_cluster_of_another_cannot_be_read_or_written(intruder: Api) -> None:
    answers = {verb: send(intruder, verb, CLUSTERS, "cluster1") for verb in ("GET", "PUT", "PATCH", "DELETE")}
    for subresource, verb in itertools.product(SUBRESOURCES["managedclusters"], ("GET", "PUT", "PATCH")):
        answers[f"{verb} {subresource}"] = send(intruder, verb, CLUSTERS, "cluster1", subresource)

    assert set(answers.values()) == {403}, answers


@pytest.mark.parametrize("resource", HUB_WIDE)
def test_nothing_of_the_whole_hub_can_be_listed_or_written(resource: str, intruder: Api) -> None:
    collection = f"{HUB_WIDE[resource]}/{resource}"
    verbs = {"LIST", "WATCH", "POST", "PUT", "PATCH", "DELETE", "DELETECOLLECTION"}
    if resource == "certificatesigningrequests":
        verbs -= {"LIST", "WATCH", "POST"}  # an agent renews its own certificate

    answers = {verb: send(intruder, verb, collection, "probe") for verb in sorted(verbs)}

    assert set(answers.values()) == {403}, answers


def test_an_agent_approves_no_certificate_and_signs_none(fleet: Fleet, intruder: Api) -> None:
    requests = fleet.api().items("/apis/certificates.k8s.io/v1/certificatesigningrequests")
    name = requests[0]["metadata"]["name"] if requests else "probe"
    collection = "/apis/certificates.k8s.io/v1/certificatesigningrequests"

    answers = {
        (verb, subresource): send(intruder, verb, collection, name, subresource)
        for verb, subresource in itertools.product(("PUT", "PATCH"), ("approval", "status"))
    }

    assert set(answers.values()) == {403}, answers


def test_an_agent_becomes_nobody_else(fleet: Fleet, intruder: Api) -> None:
    other = json.loads((fleet.root / "fleet.json").read_text())["agents"]["cluster1"]
    for user in ("admin", f"system:open-cluster-management:cluster1:{other}"):
        answer = intruder.request("GET", f"{CLUSTERS}/cluster1", headers={"Impersonate-User": user})

        assert answer.status == 403, user


def test_within_its_own_namespace_an_agent_does_what_it_must_and_no_more(fleet: Fleet, intruder: Api) -> None:
    works = WORKS.format("cluster2")
    fleet.api().create(works, _work("own"))

    assert intruder.get(f"{CLUSTERS}/cluster2")["metadata"]["name"] == "cluster2"
    assert intruder.get(f"{works}/own")["metadata"]["name"] == "own"
    assert send(intruder, "LIST", works, "") == 200
    assert send(intruder, "POST", works, "more") == 403
    assert send(intruder, "DELETE", works, "own") == 403
    secrets = "/api/v1/namespaces/cluster2/secrets"
    assert send(intruder, "POST", secrets, "probe") == 403
    assert send(intruder, "POST", "/apis/rbac.authorization.k8s.io/v1/namespaces/cluster2/rolebindings", "probe") == 403


def test_an_agent_does_not_accept_its_own_cluster_again_nor_move_it(intruder: Api) -> None:
    accepting = {"spec": {"hubAcceptsClient": False}}
    moving = {"metadata": {"labels": {"cluster.open-cluster-management.io/clusterset": "production"}}}

    for patch in (accepting, moving):
        answer = intruder.request(
            "PATCH", f"{CLUSTERS}/cluster2", patch, {"Content-Type": "application/merge-patch+json"}
        )
        assert answer.status == 403, answer.body


def bootstrap(fleet: Fleet) -> Api:
    return fleet.api_of(fleet.root / "agents" / "cluster1" / "bootstrap.kubeconfig")


def managed_cluster(name: str, *, accepted: bool) -> Manifest:
    return {
        "apiVersion": "cluster.open-cluster-management.io/v1",
        "kind": "ManagedCluster",
        "metadata": {"name": name},
        "spec": {"hubAcceptsClient": accepted},
    }


def test_a_bootstrap_identity_asks_and_lets_nobody_in(fleet: Fleet) -> None:
    api = bootstrap(fleet)

    refused = api.request("POST", CLUSTERS, managed_cluster("stranger", accepted=True))
    asked = api.request("POST", CLUSTERS, managed_cluster("stranger", accepted=False))

    try:
        assert refused.status == 403, refused.body
        assert "stranger" in refused.body["message"]
        assert asked.status == 201, asked.body
        assert not fleet.cluster("stranger")["spec"]["hubAcceptsClient"]
        accepting = api.request(
            "PATCH",
            f"{CLUSTERS}/stranger",
            {"spec": {"hubAcceptsClient": True}},
            {"Content-Type": "application/merge-patch+json"},
        )
        assert accepting.status == 403, accepting.body
        assert fleet.api().find("/api/v1/namespaces/stranger") is None
    finally:
        fleet.api().delete(f"{CLUSTERS}/stranger", missing_ok=True)


@pytest.mark.parametrize("resource", NAMESPACED)
def test_a_bootstrap_identity_sees_nothing_of_any_cluster(resource: str, fleet: Fleet, intruder: Api) -> None:
    place, name = NAMESPACED[resource]
    collection = f"{place.format('cluster1')}/{resource}"

    verbs = [verb for verb in (*READS, *WRITES) if (verb, resource) != ("GET", "configmaps")]  # OCM's role has that one

    answers = {verb: send(bootstrap(fleet), verb, collection, name.format("cluster1")) for verb in verbs}

    assert set(answers.values()) == {403}, answers
