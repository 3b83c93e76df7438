"""Which objects the create commands make of their flags, without a hub."""

from typing import Any

import pytest

from merope.cli.clustersets import bound_namespaces, new_namespaces
from merope.cli.create_placement import placement_spec
from merope.cli.create_work import PLACEMENT_ANNOTATION, Place, Plan, new_work, parse_placement, plan
from merope.cli.main import main
from merope.cli.refusal import Refused


def test_a_placement_without_flags_asks_for_everything() -> None:
    assert placement_spec([], [], 0, []) == {}


def test_a_placement_has_what_its_flags_say() -> None:
    spec = placement_spec(
        ["s1", "s2"],
        ["env=prod,zone in (a, b),!old", "gpu"],
        3,
        ["BuiltIn:Steady:3", "AddOn:demo:score:-1"],
    )

    assert spec == {
        "clusterSets": ["s1", "s2"],
        "numberOfClusters": 3,
        "predicates": [
            {
                "requiredClusterSelector": {
                    "labelSelector": {
                        "matchLabels": {"env": "prod"},
                        "matchExpressions": [
                            {"key": "old", "operator": "DoesNotExist"},
                            {"key": "zone", "operator": "In", "values": ["a", "b"]},
                        ],
                    }
                }
            },
            {
                "requiredClusterSelector": {
                    "labelSelector": {"matchExpressions": [{"key": "gpu", "operator": "Exists"}]}
                }
            },
        ],
        "prioritizerPolicy": {
            "mode": "Additive",
            "configurations": [
                {"scoreCoordinate": {"type": "BuiltIn", "builtIn": "Steady"}, "weight": 3},
                {
                    "scoreCoordinate": {"type": "AddOn", "addOn": {"resourceName": "demo", "scoreName": "score"}},
                    "weight": -1,
                },
            ],
        },
    }


def test_two_values_for_one_label_both_stay_asked_for() -> None:
    spec = placement_spec([], ["a=1,a=2"], 0, [])

    selector = spec["predicates"][0]["requiredClusterSelector"]["labelSelector"]
    assert selector == {
        "matchLabels": {"a": "1"},
        "matchExpressions": [{"key": "a", "operator": "In", "values": ["2"]}],
    }


@pytest.mark.parametrize(
    ("selectors", "prioritizers", "expected"),
    [
        (["a in"], [], "failed to parse selector a in: "),
        (["a>3"], [], "failed to parse selector a>3: "),
        ([], ["Steady"], "prioritizer Steady format is not correct"),
        (
            [],
            ["BuiltIn:Steady"],
            r"prioritizer BuiltIn:Steady format is not correct, should be Builtin:{Type}:{Weight}",
        ),
        ([], ["AddOn:a:1"], "prioritizer AddOn:a:1 format is not correct, should be Addon:{Type}:{ScoreName}:{Weight}"),
        ([], ["BuiltIn:Steady:x"], "weight in prioritizer BuiltIn:Steady:x is not correct: "),
        ([], ["Other:a:1"], "unknown prioritizer type Other for Other:a:1"),
    ],
)
def test_flags_that_make_no_placement_are_refused(selectors: list[str], prioritizers: list[str], expected: str) -> None:
    with pytest.raises(Refused) as refused:
        placement_spec([], selectors, 0, prioritizers)

    assert str(refused.value).startswith(expected)


def work(cluster: str, place: str | None = None) -> dict[str, Any]:
    annotations = {PLACEMENT_ANNOTATION: place} if place else {}
    return {"metadata": {"name": "w", "namespace": cluster, "annotations": annotations}}


@pytest.mark.parametrize(
    ("selected", "existing", "expected"),
    [
        ([], [], Plan([], [], [], [])),
        (["b", "a"], [], Plan(["a", "b"], [], [], [])),
        (["a", "b"], [work("b", "n/p"), work("c", "n/p")], Plan(["a"], ["b"], ["c"], [])),
        (["a"], [work("a"), work("b"), work("c", "n/other")], Plan([], ["a"], [], ["b", "c"])),
        ([], [work("a", "n/p")], Plan([], [], ["a"], [])),
    ],
)
def test_works_go_where_the_placement_says_and_others_are_left_alone(
    selected: list[str], existing: list[dict[str, Any]], expected: Plan
) -> None:
    assert plan(selected, existing, Place("n", "p")) == expected


def test_a_work_made_for_a_placement_remembers_it() -> None:
    made = new_work("w", "c", [{"kind": "A"}], Place("n", "p"))

    assert made["metadata"] == {"name": "w", "namespace": "c", "annotations": {PLACEMENT_ANNOTATION: "n/p"}}
    assert made["spec"] == {"workload": {"manifests": [{"kind": "A"}]}}
    assert plan([], [made], Place("n", "p")).delete == ["c"]
    assert "annotations" not in new_work("w", "c", [])["metadata"]


@pytest.mark.parametrize("text", ["p", "n/", "/p", "a/b/c"])
def test_a_placement_is_named_with_its_namespace(text: str) -> None:
    with pytest.raises(Refused, match="must be in the format of <namespace>/<name>"):
        parse_placement(text)


def test_managed_namespaces_are_added_once() -> None:
    assert new_namespaces(["a"], ["b", "a", "b"]) == (["b"], ["a"])


def test_a_set_is_bound_by_name_or_by_what_the_binding_says() -> None:
    def binding(name: str, namespace: str, clusterset: str) -> dict[str, Any]:
        return {"metadata": {"name": name, "namespace": namespace}, "spec": {"clusterSet": clusterset}}

    found = [binding("s", "n2", "s"), binding("x", "n1", "s"), binding("x", "n3", "x")]
    assert bound_namespaces("s", found) == ["n1", "n2"]


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        ("create work", "work name must be specified"),
        ("create work a b", "only one work name can be specified"),
        ("create work a", "--clusters or --placement must be specified"),
        ("create work a --clusters c --placement n/p", "--clusters and --placement can only specify one"),
        ("create work a --clusters c", "manifest files must be specified"),
        ("create work a --clusters c -r", "--placement must be specified when enable --replicaset"),
        ("create work a --placement p", "the name of the placement p must be in the format of <namespace>/<name>"),
        ("create placement", "placement name must be specified"),
        ("create placement a b", "only one placement name can be specified"),
        ("delete work a", "either --cluster or --clusters needs to be set"),
        ("create clusterset", "the name of the clusterset must be specified"),
        ("create clusterset a b", "only one clusterset can be created"),
        ("clusterset create a b", "only one clusterset can be created"),
        ("delete clusterset a b", "only one clusterset can be deleted"),
        ("delete clusterset default", "Clusterset default can not be deleted"),
        ("clusterset set a", "at least one cluster (--clusters) or namespace (--namespaces) must be specified"),
        ("clusterset set a --clusters ,", "--clusters cannot be set as an empty value"),
        ("clusterset bind a b", "only one clusterset can be specified"),
        ("clusterset bind a --namespace=", "namespace name must be specified in --namespace"),
        ("get works a b -c c", "can only specify one manifestwork"),
        ("get placements a b", "the number of placement name should be 0 or 1"),
    ],
)
def test_what_cannot_be_done_is_said_before_any_hub_is_asked(
    arguments: str, expected: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("KUBECONFIG", "/nonexistent")

    assert main(arguments.split()) == 1
    captured = capsys.readouterr()
    assert (captured.out, captured.err) == ("", f"error: {expected}\n")
