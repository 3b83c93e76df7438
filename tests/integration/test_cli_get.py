"""``merope get`` against a hub's API."""

from __future__ import annotations

import asyncio
import json
import os
import sys
from typing import Any

import pytest
import yaml

from fixtures.cluster import Cluster
from fixtures.commandline import CommandLine
from fixtures.hubs import install_hub
from merope.cli.main import main

CLUSTERS = "/apis/cluster.open-cluster-management.io/v1/managedclusters"
SETS = "/apis/cluster.open-cluster-management.io/v1beta2/managedclustersets"
PLACEMENTS = "/apis/cluster.open-cluster-management.io/v1beta1/namespaces/{0}/placements"
WORKS = "/apis/work.open-cluster-management.io/v1/namespaces/{0}/manifestworks"


@pytest.fixture
async def merope(hub: Cluster, capsys: pytest.CaptureFixture[str]) -> CommandLine:
    """The command line against a hub without controllers."""
    await install_hub(hub)
    return CommandLine(hub, capsys)


def ensure(hub: Cluster, path: str, name: str, **body: Any) -> None:
    if hub.api.find(f"{path}/{name}") is None:
        group, version = path.split("/")[2:4]
        kinds = {"managedclusters": "ManagedCluster", "managedclustersets": "ManagedClusterSet"}
        kinds |= {"placements": "Placement", "manifestworks": "ManifestWork"}
        kind = kinds[path.rsplit("/", 1)[1]]
        hub.api.create(path, {"apiVersion": f"{group}/{version}", "kind": kind, "metadata": {"name": name}, **body})


async def test_clusters_of_the_hub_and_of_one_set(hub: Cluster, merope: CommandLine) -> None:
    ensure(hub, SETS, "blue")
    for name in ("g2", "g1"):
        ensure(hub, CLUSTERS, name, spec={"hubAcceptsClient": False})
    hub.api.patch(f"{CLUSTERS}/g1", {"metadata": {"labels": {"cluster.open-cluster-management.io/clusterset": "blue"}}})

    status, shown, _ = await merope("get", "clusters", "-o", "json")
    assert status == 0
    items = json.loads(shown)["items"]
    assert [each["metadata"]["name"] for each in items] == ["g1", "g2"]
    assert {each["kind"] for each in items} == {"ManagedCluster"}

    status, shown, _ = await merope("get", "clusters", "--clusterset", "blue", "-o", "table")
    assert (status, [line.split()[0] for line in shown.splitlines()]) == (0, ["NAME", "g1"])

    status, shown, error = await merope("get", "clusters", "--clusterset", "none")
    assert (status, shown) == (1, "")
    assert 'managedclustersets.cluster.open-cluster-management.io "none" not found' in error

    status, shown, _ = await merope("get", "clustersets")
    assert status == 0
    assert "<Clusters> [g1]" in shown


async def test_works_of_clusters_that_exist(hub: Cluster, merope: CommandLine) -> None:
    ensure(hub, CLUSTERS, "w1", spec={"hubAcceptsClient": False})
    if hub.api.find("/api/v1/namespaces/w1") is None:
        hub.api.create("/api/v1/namespaces", {"metadata": {"name": "w1"}})
    ensure(hub, WORKS.format("w1"), "hello", spec={"workload": {"manifests": []}})

    status, shown, _ = await merope("get", "works", "hello", "--cluster", "w1", "-o", "yaml")
    assert status == 0
    assert yaml.safe_load(shown)["metadata"]["name"] == "hello"

    assert (await merope("get", "works", "--clusters", "w1,nowhere"))[0] == 1
    status, _, error = await merope("get", "works", "other", "--cluster", "w1")
    assert (status, error) == (1, "error: there is no work other in cluster w1\n")
    status, _, error = await merope("get", "works")
    assert (status, error) == (1, "error: either --cluster or --clusters needs to be set\n")


async def test_placements_of_a_namespace_that_exists(hub: Cluster, merope: CommandLine) -> None:
    ensure(hub, PLACEMENTS.format("default"), "shown", spec={})

    status, shown, _ = await merope("get", "placements", "shown", "-n", "default", "-otable")
    assert (status, shown.splitlines()[1].split()) == (0, ["shown", "[NoClusterSelected]"])
    assert (await merope("get", "placements", "-n", "nowhere"))[0] == 1


async def test_a_token_that_asks_to_join(hub: Cluster, merope: CommandLine) -> None:
    status, shown, _ = await merope("get", "token", "-o", "json")
    assert status == 0
    found = json.loads(shown)
    assert found["hub-apiserver"] == hub.url
    assert hub.as_token(found["hub-token"]).items(CLUSTERS) is not None

    status, shown, error = await merope("get", "token", "--use-bootstrap-token")
    assert (status, shown) == (1, "")
    assert "token doesn't exist" in error


async def test_what_a_hub_consists_of(merope: CommandLine) -> None:
    status, shown, _ = await merope("get", "hub-info")

    assert status == 0
    assert shown.splitlines()[:2] == ["Registration Operator:\t<none>", "Components:\t<uninstalled>"]
    assert "    (installed) managedclusters.cluster.open-cluster-management.io [*v1]" in shown.splitlines()


async def test_shells_complete_names_of_clusters(hub: Cluster, merope: CommandLine) -> None:
    ensure(hub, CLUSTERS, "typed", spec={"hubAcceptsClient": False})
    words = "merope get works --clusters other,ty"
    asked = {"_MEROPE_COMPLETE": "complete_bash", "COMP_WORDS": words, "COMP_CWORD": "4"}
    environment = os.environ | {"KUBECONFIG": str(hub.admin_kubeconfig)} | asked

    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "merope", env=environment, stdout=asyncio.subprocess.PIPE
    )

    assert await process.communicate() == (b"other,typed\n", None)


async def test_a_cluster_that_is_no_hub_is_refused(
    managed_cluster: Cluster, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = ["get", "clusters", "--kubeconfig", str(managed_cluster.admin_kubeconfig)]
    assert await asyncio.to_thread(main, arguments) == 1

    assert "hub oriented command should not running against non-hub cluster" in capsys.readouterr().err
