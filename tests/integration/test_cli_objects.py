"""The commands that make, change and delete a hub's objects."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from fixtures.cluster import Cluster
from fixtures.commandline import CommandLine
from fixtures.hubs import install_hub

CLUSTER_API = "/apis/cluster.open-cluster-management.io"
CLUSTERS = f"{CLUSTER_API}/v1/managedclusters"
SETS = f"{CLUSTER_API}/v1beta2/managedclustersets"
BINDINGS = f"{CLUSTER_API}/v1beta2/namespaces/default/managedclustersetbindings"
PLACEMENTS = f"{CLUSTER_API}/v1beta1/namespaces/default/placements"
DECISIONS = f"{CLUSTER_API}/v1beta1/namespaces/default/placementdecisions"
WORKS = "/apis/work.open-cluster-management.io/v1/namespaces/{0}/manifestworks"
REPLICA_SETS = "/apis/work.open-cluster-management.io/v1alpha1/namespaces/default/manifestworkreplicasets"
SET_LABEL = "cluster.open-cluster-management.io/clusterset"
PLACEMENT_LABEL = "cluster.open-cluster-management.io/placement"


@pytest.fixture
async def merope(hub: Cluster, capsys: pytest.CaptureFixture[str]) -> CommandLine:
    """The command line against a hub without controllers."""
    await install_hub(hub)
    return CommandLine(hub, capsys)


@pytest.fixture
def manifests(tmp_path: Path) -> Path:
    return write(tmp_path / "manifests.yaml", "first")


def write(path: Path, *names: str) -> Path:
    objects = [
        {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": n, "namespace": "default"}} for n in names
    ]
    path.write_text("\n---\n".join(json.dumps(each) for each in objects))
    return path


def add_cluster(hub: Cluster, name: str) -> None:
    obj = {"apiVersion": "cluster.open-cluster-management.io/v1", "kind": "ManagedCluster"}
    hub.api.create(CLUSTERS, obj | {"metadata": {"name": name}, "spec": {"hubAcceptsClient": False}})
    hub.api.create("/api/v1/namespaces", {"metadata": {"name": name}})


def contents(hub: Cluster, cluster: str, work: str) -> list[str]:
    found = hub.api.get(f"{WORKS.format(cluster)}/{work}")
    return [each["metadata"]["name"] for each in found["spec"]["workload"]["manifests"]]


async def test_the_life_of_a_set(hub: Cluster, merope: CommandLine) -> None:
    add_cluster(hub, "s1")

    assert await merope("clusterset", "create", "blue") == (0, "Clusterset blue is created\n", "")
    assert await merope("create", "clusterset", "blue") == (1, "", "error: Clusterset blue is already created\n")
    assert (await merope("create", "clusterset", "red"))[0] == 0

    set_ = ("clusterset", "set")
    assert (await merope(*set_, "blue", "--clusters", "s1"))[1] == "Cluster s1 is set to Clusterset blue\n"
    assert (await merope(*set_, "blue", "--clusters", "s1"))[1] == "Cluster s1 is already in Clusterset blue\n"
    moved = "Cluster s1 is set, from ClusterSet blue to Clusterset red\n"
    assert (await merope(*set_, "red", "--clusters", "s1"))[1] == moved
    assert hub.api.get(f"{CLUSTERS}/s1")["metadata"]["labels"][SET_LABEL] == "red"
    assert (await merope(*set_, "blue", "--clusters", "nowhere"))[0] == 1
    assert (await merope(*set_, "none", "--clusters", "s1"))[0] == 1

    assert (await merope("clusterset", "bind", "blue"))[1] == "Clusterset blue is bound to Namespace default\n"
    again = "Clusterset blue is already bound to Namespace default\n"
    assert (await merope("clusterset", "bind", "blue", "--namespace", "default"))[1] == again
    assert hub.api.get(f"{BINDINGS}/blue")["spec"] == {"clusterSet": "blue"}
    status, shown, error = await merope("delete", "clusterset", "blue")
    assert (status, shown) == (1, "")
    assert error.startswith("error: Clusterset blue still bind to a namespace! Please unbind before deleted.")

    assert (await merope("clusterset", "unbind", "blue"))[1] == "Clusterset blue is unbind from namespace default\n"
    assert (await merope("clusterset", "unbind", "blue"))[0] == 0
    assert await merope("clusterset", "delete", "blue") == (0, "Clusterset blue is deleted\n", "")
    assert hub.api.find(f"{SETS}/blue") is None
    assert (await merope("delete", "clusterset", "blue"))[2] == (
        "error: Clusterset blue not found or is already deleted\n"
    )


async def test_namespaces_that_a_set_has_on_its_clusters(hub: Cluster, merope: CommandLine) -> None:
    assert (await merope("clusterset", "create", "managed"))[0] == 0

    status, shown, error = await merope("clusterset", "set", "managed", "--namespaces", "n1, n2,")

    assert (status, error) == (0, "Warning: Empty namespace name provided, skipping\n")
    assert shown.splitlines() == [
        "Processing managed namespaces: [n1 n2 ]",
        "Successfully updated Clusterset managed",
        "Added 2 managed namespace(s): n1, n2",
        "Total managed namespaces in clusterset: 2",
    ]
    assert [each["name"] for each in hub.api.get(f"{SETS}/managed")["spec"]["managedNamespaces"]] == ["n1", "n2"]
    assert (await merope("clusterset", "set", "managed", "--namespaces", "n2"))[1].splitlines()[1:] == [
        "Managed namespace n2 already exists in Clusterset managed",
        "All specified namespaces already exist in Clusterset managed",
    ]


async def test_a_dry_run_changes_nothing_and_says_so(hub: Cluster, merope: CommandLine, manifests: Path) -> None:
    add_cluster(hub, "dry")
    created = await merope("clusterset", "create", "drying", "--dry-run")
    assert created == (0, "Clusterset drying is created\n", "merope is running in dry-run mode\n")
    assert hub.api.find(f"{SETS}/drying") is None

    assert (await merope("create", "work", "w", "-f", str(manifests), "-c", "dry", "--dry-run"))[0] == 0
    assert hub.api.items(WORKS.format("dry")) == []
    assert (await merope("create", "work", "w", "-f", str(manifests), "-c", "dry"))[0] == 0
    assert (await merope("delete", "work", "w", "-c", "dry", "--dry-run"))[0] == 0
    assert contents(hub, "dry", "w") == ["first"]


async def test_works_on_clusters_that_are_named(
    hub: Cluster, merope: CommandLine, manifests: Path, tmp_path: Path
) -> None:
    for name in ("w1", "w2"):
        add_cluster(hub, name)
    create = ("create", "work", "hello", "-f", str(manifests))

    assert await merope(*create, "--clusters", "w1") == (0, "create work hello in cluster w1\n", "")
    status, shown, error = await merope(*create, "--clusters", "w1,w2")
    assert (status, shown) == (1, "create work hello in cluster w2\n")
    assert error == "error: work hello in cluster w1 already exists\n"

    hub.api.patch(f"{WORKS.format('w1')}/hello", {"spec": {"deleteOption": {"propagationPolicy": "Orphan"}}})
    write(tmp_path / "manifests.yaml", "second", "third")
    status, shown, _ = await merope(*create, "--clusters", "w1,w2", "--overwrite")
    assert (status, shown) == (0, "update work hello in cluster w1\nupdate work hello in cluster w2\n")
    assert contents(hub, "w1", "hello") == ["second", "third"]
    assert hub.api.get(f"{WORKS.format('w1')}/hello")["spec"]["deleteOption"] == {"propagationPolicy": "Orphan"}

    status, _, error = await merope(*create, "--clusters", "nowhere")
    assert status == 1
    assert "nowhere" in error


async def test_a_work_that_its_agent_holds_is_deleted_by_force_only(
    hub: Cluster, merope: CommandLine, manifests: Path
) -> None:
    add_cluster(hub, "held")
    assert (await merope("create", "work", "w", "-f", str(manifests), "--cluster", "held"))[0] == 0
    hub.api.patch(f"{WORKS.format('held')}/w", {"metadata": {"finalizers": ["example.com/agent"]}})

    status, _, error = await merope("delete", "work", "w", "--cluster", "held", "--timeout", "0.2")
    assert status == 1
    assert error.startswith("error: delete work w timeout, failed to delete")

    deleted = await merope("delete", "work", "w", "--cluster", "held", "--force")
    assert deleted == (0, "work w in cluster held is deleted\n", "")
    assert hub.api.items(WORKS.format("held")) == []
    assert (await merope("delete", "work", "w", "--cluster", "held", "--force"))[1] == "work w is deleted\n"
    status, _, error = await merope("delete", "work", "w", "--cluster", "held")
    assert (status, error) == (1, "error: work w not found or is already deleted in cluster held\n")


def decide(hub: Cluster, placement: str, *clusters: str) -> None:
    """What the placement controller would do."""
    name = f"{placement}-decision-1"
    if hub.api.find(f"{DECISIONS}/{name}") is None:
        obj: dict[str, Any] = {"apiVersion": "cluster.open-cluster-management.io/v1beta1", "kind": "PlacementDecision"}
        hub.api.create(DECISIONS, obj | {"metadata": {"name": name, "labels": {PLACEMENT_LABEL: placement}}})
    status = {"decisions": [{"clusterName": cluster, "reason": ""} for cluster in clusters]}
    hub.api.patch(f"{DECISIONS}/{name}/status", {"status": status})


async def test_works_follow_a_placement_each_time_they_are_made(
    hub: Cluster, merope: CommandLine, manifests: Path, tmp_path: Path
) -> None:
    for name in ("p1", "p2", "p3", "p4"):
        add_cluster(hub, name)
    assert (await merope("create", "placement", "place"))[0] == 0
    decide(hub, "place", "p1", "p2")
    create = ("create", "work", "app", "-f", str(manifests), "--placement", "default/place")
    assert (await merope("create", "work", "app", "-f", str(manifests), "--clusters", "p4"))[0] == 0

    status, shown, _ = await merope(*create)
    assert (status, shown) == (0, "create work app in cluster p1\ncreate work app in cluster p2\n")

    decide(hub, "place", "p2", "p3")
    write(tmp_path / "manifests.yaml", "second")
    status, shown, error = await merope(*create, "--overwrite")
    assert (status, shown.splitlines()) == (
        0,
        ["delete work app in cluster p1", "update work app in cluster p2", "create work app in cluster p3"],
    )
    assert "work app in cluster p4 was not made for placement default/place" in error
    assert [contents(hub, cluster, "app") for cluster in ("p2", "p3", "p4")] == [["second"], ["second"], ["first"]]
    assert hub.api.items(WORKS.format("p1")) == []

    status, _, error = await merope(*create[:-1], "default/none")
    assert status == 1
    assert error.startswith("error: failed to get placement ")

    replicas = (*create, "--replicaset")
    assert (await merope(*replicas))[1] == "create manifestworkreplicaset app in namespace default\n"
    assert (await merope(*replicas))[2] == "error: manifestworkreplicaset app in namespace default already exists\n"
    updated = "update manifestworkreplicaset app in namespace default\n"
    assert (await merope(*replicas, "--overwrite"))[1] == updated
    assert hub.api.get(f"{REPLICA_SETS}/app")["spec"]["placementRefs"][0]["name"] == "place"


async def test_placements_are_made_replaced_and_deleted(hub: Cluster, merope: CommandLine) -> None:
    create = ("create", "placement", "choice")

    status, _, error = await merope(*create, "--clustersets", "green")
    assert status == 1
    assert 'managedclustersetbindings.cluster.open-cluster-management.io "green" not found' in error

    assert (await merope("clusterset", "create", "green"))[0] == 0
    assert (await merope("clusterset", "bind", "green"))[0] == 0
    status, shown, _ = await merope(*create, "--clustersets", "green", "--label-selectors", "a=1,b=2", "--count", "2")
    assert (status, shown) == (0, "Placement 'choice' has been created in 'default' namespace\n")
    spec = hub.api.get(f"{PLACEMENTS}/choice")["spec"]
    assert (spec["clusterSets"], spec["numberOfClusters"], len(spec["predicates"])) == (["green"], 2, 1)

    assert await merope(*create) == (1, "", "error: placement choice already exists\n")
    status, shown, _ = await merope(*create, "--overwrite", "--prioritizers", "BuiltIn:Steady:2")
    assert (status, shown) == (0, "Placement 'choice' of 'default' namespace has been updated\n")
    spec = hub.api.get(f"{PLACEMENTS}/choice")["spec"]
    assert "clusterSets" not in spec
    assert spec["prioritizerPolicy"]["configurations"][0]["weight"] == 2

    assert (await merope("delete", "placement", "choice"))[
        1
    ] == "Placement 'choice' of 'default' namespace is deleted\n"
    assert hub.api.find(f"{PLACEMENTS}/choice") is None
    assert (await merope("delete", "placement", "choice"))[0] == 1
