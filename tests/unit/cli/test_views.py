"""What the get commands show of given objects, drawn as trees and tables."""

import json
from typing import Any

import pytest
import yaml

from merope.cli import get_clusters, get_clustersets, get_placements, get_token, get_works
from merope.cli.listing import ListFormat, Listing, lines
from merope.cli.refusal import Refused, chosen_clusters, needed_clusters, only_name
from merope.cli.tree import draw

SET_LABEL = "cluster.open-cluster-management.io/clusterset"


def cluster(name: str, *, accepted: bool = True, available: str = "True", **labels: str) -> dict[str, Any]:
    return {
        "apiVersion": "cluster.open-cluster-management.io/v1",
        "kind": "ManagedCluster",
        "metadata": {"name": name, "labels": labels},
        "spec": {"hubAcceptsClient": accepted},
        "status": {
            "capacity": {"cpu": "12", "memory": "24528Ki"},
            "version": {"kubernetes": "v1.32.2"},
            "conditions": [{"type": "ManagedClusterConditionAvailable", "status": available}] if available else [],
        },
    }


def table(listing: Listing) -> list[str]:
    return lines(listing, ListFormat.TABLE)


def test_a_tree_connects_each_line_to_its_own_parent() -> None:
    drawn = list(draw("Kind", {"a": {"x": "1", "y": {"z": "2"}}, "b.c": {"x": "", "y": "False"}}))

    assert drawn == [
        "<Kind>",
        "├── <a>",
        "│   ├── <x> 1",
        "│   └── <y>",
        "│       └── <z> 2",
        "└── <b.c>",
        "    ├── <x>",
        "    └── <y> False",
    ]
    assert list(draw("Kind", {})) == ["<Kind>"]


def test_only_what_should_alarm_is_red_and_only_on_terminals() -> None:
    tree = {"a": "false", "b": "not-applied", "c": "true"}

    assert [line.count("\x1b[31m") for line in draw("Kind", tree, colour=True)] == [0, 1, 1, 0]
    assert "\x1b" not in "".join(draw("Kind", tree))


def test_clusters_are_shown_by_name_with_set_and_size() -> None:
    listing = get_clusters.listing([cluster("b", accepted=False, available=""), cluster("a", **{SET_LABEL: "default"})])

    assert lines(listing, ListFormat.TREE)[:8] == [
        "<ManagedCluster>",
        "├── <a>",
        "│   ├── <Accepted> true",
        "│   ├── <Available> True",
        "│   ├── <ClusterSet> default",
        "│   ├── <Capacity>",
        "│   │   ├── <Cpu> 12",
        "│   │   └── <Memory> 24528Ki",
    ]
    assert [line.split("   ")[0] for line in table(listing)] == ["NAME", "a", "b"]
    assert table(listing)[0].endswith("KUBERNETES VERSION")
    assert lines(listing, ListFormat.WIDE)[0].split()[-3:] == ["JOINED", "URLS", "AGE"]
    assert lines(listing, ListFormat.NAME) == [
        "managedcluster.cluster.open-cluster-management.io/a",
        "managedcluster.cluster.open-cluster-management.io/b",
    ]


def test_a_cluster_that_has_said_nothing_yet_is_shown_with_blanks() -> None:
    bare = {"metadata": {"name": "new"}, "spec": {"hubAcceptsClient": False}}

    assert lines(get_clusters.listing([bare]), ListFormat.TREE)[2:] == [
        "    ├── <Accepted> false",
        "    ├── <Available>",
        "    ├── <ClusterSet>",
        "    ├── <Capacity>",
        "    │   ├── <Cpu>",
        "    │   └── <Memory>",
        "    └── <KubernetesVersion>",
    ]
    assert table(get_clusters.listing([])) == [
        "NAME   ACCEPTED   AVAILABLE   CLUSTERSET   CPU   MEMORY   KUBERNETES VERSION"
    ]


def test_programs_get_the_objects_themselves() -> None:
    found = [cluster("a"), cluster("b")]
    listing = get_clusters.listing(found)

    assert list(yaml.safe_load_all("\n".join(lines(listing, ListFormat.YAML)))) == found
    document = json.loads("\n".join(lines(listing, ListFormat.JSON)))
    assert (document["kind"], document["items"]) == ("List", found)


@pytest.mark.parametrize(
    ("spec", "expected"),
    [
        ({}, ["a"]),
        ({"clusterSelector": {"selectorType": "ExclusiveClusterSetLabel"}}, ["a"]),
        ({"clusterSelector": {"selectorType": "LabelSelector", "labelSelector": {}}}, ["a", "b"]),
        ({"clusterSelector": {"selectorType": "LabelSelector", "labelSelector": {"matchLabels": {"env": "x"}}}}, ["b"]),
        ({"clusterSelector": {"selectorType": "LabelSelector"}}, []),
    ],
)
def test_a_set_has_the_clusters_that_it_selects_either_way(spec: dict[str, Any], expected: list[str]) -> None:
    clusters = [cluster("a", **{SET_LABEL: "s"}), cluster("b", env="x")]
    clusterset = {"metadata": {"name": "s"}, "spec": spec}

    assert [each["metadata"]["name"] for each in get_clusters.members(clusters, clusterset)] == expected
    shown = get_clustersets.listing(get_clustersets.Sets([clusterset], [], clusters))
    assert f"    ├── <Clusters> [{' '.join(expected)}]" in lines(shown, ListFormat.TREE)


def test_sets_are_shown_with_their_bindings_and_namespaces() -> None:
    sets = [
        {
            "metadata": {"name": "s"},
            "spec": {"managedNamespaces": [{"name": "m1"}, {"name": "m2"}]},
            "status": {"conditions": [{"type": "ClusterSetEmpty", "status": "True", "message": "No ManagedCluster"}]},
        },
        {"metadata": {"name": "alone"}},
    ]
    bindings = [{"metadata": {"name": "s", "namespace": each}, "spec": {"clusterSet": "s"}} for each in ("n2", "n1")]

    assert table(get_clustersets.listing(get_clustersets.Sets(sets, bindings, []))) == [
        "NAME    BOUND NAMESPACES   STATUS              MANAGED NAMESPACES",
        "alone                                          []",
        "s       n1,n2              No ManagedCluster   [m1 m2]",
    ]


def manifest(resource: str, name: str, status: str | None, namespace: str = "") -> dict[str, Any]:
    meta = {"resource": resource, "name": name, **({"namespace": namespace} if namespace else {})}
    return {"resourceMeta": meta, "conditions": [{"type": "Applied", "status": status}] if status else []}


def test_works_are_shown_with_each_of_their_objects() -> None:
    work = {
        "metadata": {"name": "w", "namespace": "c1"},
        "spec": {"workload": {"manifests": [{}, {}, {}]}},
        "status": {
            "conditions": [{"type": "Applied", "status": "False"}],
            "resourceStatus": {
                "manifests": [
                    manifest("namespaces", "n", "True"),
                    manifest("configmaps", "z", None, "n"),
                    manifest("configmaps", "a", "False", "n"),
                ]
            },
        },
    }

    assert lines(get_works.listing([work]), ListFormat.TREE) == [
        "<ManifestWork>",
        "└── <c1>",
        "    └── <w>",
        "        ├── <Number of Manifests> 3",
        "        ├── <Applied> False",
        "        ├── <Available>",
        "        └── <Resources>",
        "            ├── <configmaps>",
        "            │   ├── <n/a> not-applied",
        "            │   └── <n/z> unknown",
        "            └── <namespaces>",
        "                └── <n> applied",
    ]
    assert table(get_works.listing([work]))[1].split() == ["w", "c1", "3", "False"]


def placement(name: str, namespace: str, *conditions: tuple[str, str, str]) -> dict[str, Any]:
    return {
        "metadata": {"name": name, "namespace": namespace},
        "spec": {"clusterSets": ["s"]},
        "status": {
            "numberOfSelectedClusters": 2,
            "conditions": [{"type": type_, "status": status, "reason": why} for type_, status, why in conditions],
        },
    }


def decision(name: str, namespace: str, of: str, *clusters: str) -> dict[str, Any]:
    label = "cluster.open-cluster-management.io/placement"
    return {
        "metadata": {"name": name, "namespace": namespace, "labels": {label: of}},
        "status": {"decisions": [{"clusterName": each, "reason": ""} for each in clusters]},
    }


def test_placements_are_shown_by_the_condition_that_counts_with_all_pages_of_their_own_decisions() -> None:
    found = get_placements.Placements(
        [
            placement("p", "n2"),
            placement(
                "p",
                "n1",
                ("PlacementMisconfigured", "False", "Succeedconfigured"),
                ("PlacementSatisfied", "True", "AllDecisionsScheduled"),
            ),
        ],
        [decision("p-decision-2", "n1", "p", "c2"), decision("p-decision-1", "n1", "p", "c1")],
    )
    listing = get_placements.listing(found)

    assert [line.split() for line in table(listing)[1:]] == [
        ["p", "True", "AllDecisionsScheduled", "[c1", "c2]"],
        ["p", "[NoClusterSelected]"],
    ]
    drawn = lines(listing, ListFormat.TREE)
    assert drawn[1] == "├── <n1/p>"
    assert "│   ├── <ClusterSet> [s]" in drawn
    assert "│   │       └── <PlacementConditionMisconfigured> false" in drawn
    assert "            ├── <PlacementConditionSatisfied> unknown".replace("            ", "    │       ") in drawn
    assert drawn[-1] == "    └── <PlacementDecision> [NoClusterSelected]"


def test_the_join_line_has_token_and_address_where_scripts_look() -> None:
    words = get_token.text("T", "https://hub:6443").splitlines()[-1].split()

    assert (words[1], words[3], words[5], words[7]) == ("join", "T", "https://hub:6443", "<cluster_name>")
    assert get_token.text("T", "h").splitlines()[0] == "token=T"


def test_the_newest_bootstrap_token_counts() -> None:
    def secret(name: str, created: str, identity: str) -> dict[str, Any]:
        return {
            "metadata": {"name": name, "creationTimestamp": created},
            "data": {"token-id": identity, "token-secret": "c2VjcmV0"},
        }

    older, newer = (
        secret("bootstrap-token-a", "2026-01-01T00:00:00Z", "b2xk"),
        secret("bootstrap-token-b", "2026-01-02T00:00:00Z", "bmV3"),
    )
    other = secret("something-else", "2026-01-03T00:00:00Z", "eHh4")
    assert get_token.newest_token([older, newer, other]) == "new.secret"
    assert get_token.newest_token([other]) == ""


def test_clusters_are_chosen_by_both_flags_together_each_once() -> None:
    assert chosen_clusters("c", ["a,b", "c", "a"]) == ["c", "a", "b"]
    assert chosen_clusters(None, None) == []
    with pytest.raises(Refused, match="--clusters cannot be set as an empty value"):
        chosen_clusters(None, ["a,,b"])
    with pytest.raises(Refused, match="either --cluster or --clusters needs to be set"):
        needed_clusters(None, [])


def test_several_problems_are_one_line() -> None:
    assert str(Refused.of(["one"])) == "one"
    assert str(Refused.of(["one", "two"])) == "[one, two]"
    with pytest.raises(Refused, match=r"^several$"):
        only_name(["a", "b"], missing="missing", several="several")
    with pytest.raises(Refused, match=r"^missing$"):
        only_name(None, missing="missing", several="several")
