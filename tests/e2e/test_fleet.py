"""`merope up` gives a fleet that works: clusters join, works and placements do what they say, with the real kubectl."""

import json
import os
import stat
from pathlib import Path

import pytest
import yaml

from fixtures.api import Manifest
from fixtures.conditions import wait_until

from .conftest import ROOT, WORKS, Fleet, FleetFactory, is_running

HELLO = ROOT / "examples" / "hello-work.yaml"
GREETING = "/apis/hello.example.com/v1/namespaces/hello/greetings/hello"
CONFIGMAP = "/api/v1/namespaces/hello/configmaps/hello"


def conditions(obj: Manifest) -> dict[str, str]:
    return {each["type"]: each["status"] for each in (obj.get("status") or {}).get("conditions") or ()}


def feedback(work: Manifest, kind: str) -> dict[str, str]:
    """Name and string of each value that came back of the manifest of a kind."""
    return {
        value["name"]: value["fieldValue"]["string"]
        for manifest in work["status"]["resourceStatus"]["manifests"]
        if manifest["resourceMeta"]["kind"] == kind
        for value in manifest.get("statusFeedback", {}).get("values", ())
    }


@pytest.fixture
def hello(fleet: Fleet) -> str:
    """The path of the example's work, applied on cluster1."""
    fleet.kubectl("hub", "apply", "-f", str(HELLO))
    fleet.kubectl("hub", "-n", "cluster1", "wait", "manifestwork/hello", "--for=condition=Available", "--timeout=60s")
    return f"{WORKS.format('cluster1')}/hello"


@pytest.mark.parametrize("name", ["cluster1", "cluster2"])
def test_each_cluster_is_accepted_joined_and_available(fleet: Fleet, name: str) -> None:
    cluster = fleet.cluster(name)

    assert cluster["spec"]["hubAcceptsClient"] is True
    assert conditions(cluster).items() >= {
        ("HubAcceptedManagedCluster", "True"),
        ("ManagedClusterJoined", "True"),
        ("ManagedClusterConditionAvailable", "True"),
    }
    assert cluster["spec"]["managedClusterClientConfigs"][0]["url"] == fleet.api(name).url


def test_kubectl_shows_the_fleet(fleet: Fleet) -> None:
    clusters = fleet.kubectl("hub", "get", "managedclusters").splitlines()

    assert clusters[0].split("  ")[0] == "NAME"
    assert [line.split()[0] for line in clusters[1:]] == ["cluster1", "cluster2"]
    assert all(line.split()[3:5] == ["True", "True"] for line in clusters[1:])
    assert "Joined" in fleet.kubectl("hub", "describe", "managedcluster", "cluster1")


def test_a_work_is_applied_with_conditions_and_feedback(fleet: Fleet, hello: str) -> None:
    work = wait_until(
        lambda: (seen := fleet.api().get(hello)) and feedback(seen, "Greeting") and seen, "the feedback", timeout=60
    )

    assert conditions(work).items() >= {("Applied", "True"), ("Available", "True")}
    assert feedback(work, "Greeting") == {"text": "Hello from the hub", "language": "en"}
    assert fleet.kubectl("cluster1", "-n", "hello", "get", "configmap", "hello", "-o", "jsonpath={.data.greeting}")
    assert "hello.example.com" in fleet.kubectl("cluster1", "get", "crd", "greetings.hello.example.com", "-o", "yaml")
    assert fleet.api("cluster2").find(CONFIGMAP) is None
    listed = fleet.kubectl("hub", "get", "managedclusters,manifestworks", "-A")
    assert "manifestwork.work.open-cluster-management.io/hello" in listed


def test_what_is_edited_on_the_hub_changes_on_the_cluster_and_comes_back(fleet: Fleet, hello: str) -> None:
    text = HELLO.read_text().replace("Hello from the hub", "Good evening")

    fleet.kubectl("hub", "apply", "--server-side", "--force-conflicts", "-f", "-", stdin=text)

    wait_until(lambda: fleet.api("cluster1").get(CONFIGMAP)["data"]["greeting"] == "Good evening", "the change arrives")
    wait_until(
        lambda: feedback(fleet.api().get(hello), "Greeting")["text"] == "Good evening", "it comes back", timeout=60
    )


def test_one_manifest_taken_out_of_a_work_is_removed(fleet: Fleet, hello: str) -> None:
    work = yaml.safe_load(HELLO.read_text())
    manifests = work["spec"]["workload"]["manifests"]
    work["spec"]["workload"]["manifests"] = [each for each in manifests if each["kind"] != "ConfigMap"]

    fleet.kubectl("hub", "apply", "-f", "-", stdin=yaml.safe_dump(work))

    wait_until(lambda: fleet.api("cluster1").find(CONFIGMAP) is None, "the ConfigMap goes")
    assert fleet.api("cluster1").find(GREETING) is not None


def test_deleting_a_work_removes_what_it_brought(fleet: Fleet, hello: str) -> None:
    fleet.kubectl("hub", "delete", "-f", str(HELLO), "--timeout=60s")

    assert fleet.api().find(hello) is None
    wait_until(lambda: fleet.api("cluster1").find("/api/v1/namespaces/hello") is None, "the namespace goes")
    assert fleet.api("cluster1").items("/apis/work.open-cluster-management.io/v1/appliedmanifestworks") == []
    crds = fleet.api("cluster1").items("/apis/apiextensions.k8s.io/v1/customresourcedefinitions")
    assert "greetings.hello.example.com" not in {crd["metadata"]["name"] for crd in crds}


def test_a_placement_chooses_clusters(fleet: Fleet) -> None:
    fleet.kubectl("hub", "apply", "-f", str(ROOT / "examples" / "placement.yaml"))

    fleet.kubectl(
        *("hub", "-n", "fleet-apps", "wait", "placement/one-cluster", "--for=condition=PlacementSatisfied"),
        "--timeout=30s",
    )

    (decision,) = fleet.api().items(
        "/apis/cluster.open-cluster-management.io/v1beta1/namespaces/fleet-apps/placementdecisions"
    )
    assert decision["status"]["decisions"][0]["clusterName"] in ("cluster1", "cluster2")


def test_status_tells_of_every_process_and_cluster(fleet: Fleet) -> None:
    status = json.loads(fleet.merope("status", "-o", "json").stdout)

    assert status["running"] is True
    assert {each["name"]: each["state"] for each in status["processes"]} == {
        "supervisor": "ready",
        "guard": "ready",
        "controlplane": "ready",
        "hub": "ready",
        "agent-cluster1": "ready",
        "agent-cluster2": "ready",
        "tokens": "waiting",
    }
    assert [(each["name"], each["accepted"], each["joined"], each["available"]) for each in status["clusters"]] == [
        ("cluster1", "True", "True", "True"),
        ("cluster2", "True", "True", "True"),
    ]
    assert "agent-cluster2" in fleet.merope("status").stdout


def test_the_printed_kubeconfigs_work(fleet: Fleet) -> None:
    for argument, context in (((), "hub"), (("cluster1",), None)):
        path = Path(fleet.merope("kubeconfig", *argument).stdout.strip())
        contexts = {each["name"] for each in yaml.safe_load(path.read_text())["contexts"]}
        assert context is None or contexts == {"hub", "cluster1", "cluster2"}

    assert fleet.api_of(path).url == fleet.api("cluster1").url
    assert fleet.api_of(path).get("/version")["major"] == "1"


def test_logs_are_those_of_the_processes(fleet: Fleet) -> None:
    assert "https://127.0.0.1" in fleet.merope("logs", "controlplane").stdout
    assert "agent-cluster1 | " in fleet.merope("logs").stdout


def test_what_the_fleet_keeps_is_its_owners_alone(fleet: Fleet) -> None:
    for path in (fleet.root, *fleet.root.rglob("*")):
        if not path.is_symlink():
            assert not stat.S_IMODE(path.stat().st_mode) & 0o077, path


def test_nothing_runs_as_the_administrator(fleet: Fleet) -> None:
    """What hub and agents are started with names no kubeconfig of an administrator."""
    for spec in json.loads((fleet.root / "processes.json").read_text()):
        assert not any("admin.kubeconfig" in each for each in spec["arguments"])
    for kubeconfig in fleet.root.glob("*/**/*.kubeconfig"):
        if kubeconfig.name != "admin.kubeconfig":
            who = fleet.api_of(kubeconfig).create(
                "/apis/authentication.k8s.io/v1/selfsubjectreviews",
                {"apiVersion": "authentication.k8s.io/v1", "kind": "SelfSubjectReview"},
            )["status"]["userInfo"]
            assert who["username"].startswith("system:serviceaccount:open-cluster-management"), kubeconfig
            assert "system:masters" not in who["groups"]


def test_after_down_nothing_runs_and_up_brings_back_what_was(fleet: Fleet, hello: str) -> None:
    before = {name: fleet.cluster(name)["metadata"]["uid"] for name in ("cluster1", "cluster2")}
    urls = [fleet.api(name).url for name in ("hub", "cluster1", "cluster2")]
    pids = fleet.pids()

    fleet.down()
    assert not any(is_running(pid) for pid in pids)
    assert "not running" in fleet.merope("status").stdout
    fleet.up()

    assert {name: fleet.cluster(name)["metadata"]["uid"] for name in before} == before
    assert all(fleet.is_available(name) for name in before)
    assert [fleet.api(name).url for name in ("hub", "cluster1", "cluster2")] == urls
    assert conditions(fleet.api().get(hello)).items() >= {("Applied", "True"), ("Available", "True")}
    fleet.kubectl("hub", "apply", "-f", "-", stdin=HELLO.read_text().replace("Hello from the hub", "Good morning"))
    wait_until(
        lambda: fleet.api("cluster1").get(CONFIGMAP)["data"]["greeting"] == "Good morning",
        "the agent is at work again",
        timeout=60,
    )


def test_up_where_all_runs_changes_nothing(fleet: Fleet) -> None:
    before = fleet.pids()

    fleet.up()

    assert fleet.pids() == before


def test_a_second_fleet_runs_beside_the_first_without_touching_it(fleet: Fleet, fleets: FleetFactory) -> None:
    second = fleets("other")
    before = fleet.pids()

    second.up("--clusters", "1")

    assert [each["name"] for each in json.loads(second.merope("status", "-o", "json").stdout)["clusters"]] == [
        "cluster1"
    ]
    assert second.cluster("cluster1")["metadata"]["uid"] != fleet.cluster("cluster1")["metadata"]["uid"]
    second.down("--purge")
    assert not second.root.exists()
    assert fleet.pids() == before


def test_clusters_are_added_to_a_running_fleet(fleet: Fleet) -> None:
    before = {name: fleet.cluster(name)["metadata"]["uid"] for name in ("cluster1", "cluster2")}
    hub = fleet.process("hub")["pid"]

    fleet.up("--clusters", "3")

    assert fleet.is_available("cluster3")
    assert {name: fleet.cluster(name)["metadata"]["uid"] for name in before} == before
    assert fleet.process("hub")["pid"] == hub
    assert "cluster3" in fleet.kubectl("cluster3", "config", "get-contexts", "-o", "name").split()
    refused = fleet.merope("up", "--clusters", "2", check=False)
    assert refused.returncode == 1
    assert "does not shrink" in refused.stderr


def test_without_kubectl_up_goes_on_and_says_where_to_get_one(fleet: Fleet) -> None:
    without = os.pathsep.join(
        each for each in os.environ["PATH"].split(os.pathsep) if not (Path(each) / "kubectl").exists()
    )

    answer = fleet.merope("up", environment={"PATH": without})

    assert "https://kubernetes.io/docs/tasks/tools/" in answer.stdout
