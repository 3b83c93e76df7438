"""Names and conditions of definitions."""

from __future__ import annotations

from typing import Any

import pytest

from merope.controlplane.crd.naming import make, set_condition, settle

NOW, LATER = "2024-01-01T00:00:00Z", "2024-01-02T00:00:00Z"


def definition(plural: str, kind: str, *short: str, **accepted: Any) -> dict[str, Any]:
    names: dict[str, Any] = {"plural": plural, "singular": kind.lower(), "kind": kind, "listKind": f"{kind}List"}
    if short:
        names["shortNames"] = list(short)
    obj: dict[str, Any] = {
        "metadata": {"name": f"{plural}.example.com"},
        "spec": {"group": "example.com", "names": names},
        "status": {"conditions": None, "acceptedNames": {"plural": "", "kind": ""}, "storedVersions": ["v1"]},
    }
    if accepted.get("settled"):
        settle(obj, [], NOW)
    return obj


def conditions(obj: dict[str, Any]) -> dict[str, tuple[str, str, str]]:
    return {c["type"]: (c["status"], c["reason"], c["message"]) for c in obj["status"]["conditions"]}


def test_free_names_are_accepted_and_established_at_once() -> None:
    obj = definition("widgets", "Widget", "wd")

    settle(obj, [], NOW)

    assert obj["status"] == {
        "conditions": [
            {
                "type": "NamesAccepted",
                "status": "True",
                "lastTransitionTime": NOW,
                "reason": "NoConflicts",
                "message": "no conflicts found",
            },
            {
                "type": "Established",
                "status": "True",
                "lastTransitionTime": NOW,
                "reason": "InitialNamesAccepted",
                "message": "the initial names have been accepted",
            },
        ],
        "acceptedNames": {
            "plural": "widgets",
            "singular": "widget",
            "shortNames": ["wd"],
            "kind": "Widget",
            "listKind": "WidgetList",
        },
        "storedVersions": ["v1"],
    }


def test_settling_again_changes_nothing() -> None:
    obj = definition("widgets", "Widget", "wd", settled=True)
    before = repr(obj)

    settle(obj, [], LATER)

    assert repr(obj) == before


@pytest.mark.parametrize(
    ("obj", "reason", "message", "accepted"),
    [
        (
            definition("gadgets", "Gadget", "wd"),
            "ShortNamesConflict",
            '"wd" is already in use',
            {"plural": "gadgets", "singular": "gadget", "kind": "Gadget", "listKind": "GadgetList"},
        ),
        (
            definition("gadgets", "Widget"),
            "ListKindConflict",
            '"WidgetList" is already in use',
            {"plural": "gadgets", "kind": ""},
        ),
        (
            definition("wd", "Gadget"),
            "PluralConflict",
            '"wd" is already in use',
            {"plural": "", "singular": "gadget", "kind": "Gadget", "listKind": "GadgetList"},
        ),
    ],
)
def test_names_of_another_definition_are_not_accepted(
    obj: dict[str, Any], reason: str, message: str, accepted: dict[str, str]
) -> None:
    settle(obj, [definition("widgets", "Widget", "wd", settled=True)], NOW)

    assert conditions(obj) == {
        "NamesAccepted": ("False", reason, message),
        "Established": ("False", "NotAccepted", "not all names are accepted"),
    }
    assert obj["status"]["acceptedNames"] == accepted


def test_a_freed_name_is_accepted_later() -> None:
    obj = definition("gadgets", "Gadget", "wd")
    settle(obj, [definition("widgets", "Widget", "wd", settled=True)], NOW)

    settle(obj, [], LATER)

    assert conditions(obj)["Established"][0] == "True"
    assert [c["lastTransitionTime"] for c in obj["status"]["conditions"]] == [LATER, LATER]


def test_an_established_definition_stays_so_when_it_asks_for_a_taken_name() -> None:
    obj = definition("gadgets", "Gadget", settled=True)
    obj["spec"]["names"]["shortNames"] = ["wd"]

    settle(obj, [definition("widgets", "Widget", "wd", settled=True)], LATER)

    assert conditions(obj)["NamesAccepted"][0] == "False"
    assert conditions(obj)["Established"][0] == "True"
    assert obj["status"]["acceptedNames"]["plural"] == "gadgets"
    assert "shortNames" not in obj["status"]["acceptedNames"]


def test_protected_groups_show_whether_they_were_approved() -> None:
    obj = definition("widgets", "Widget")
    obj["spec"]["group"] = "x.k8s.io"
    obj["metadata"]["annotations"] = {"api-approved.kubernetes.io": "unapproved, an experiment"}

    settle(obj, [], NOW)

    assert conditions(obj)["KubernetesAPIApprovalPolicyConformant"] == (
        "False",
        "UnapprovedAnnotation",
        'not approved: "unapproved, an experiment"',
    )


def test_the_time_of_a_condition_is_that_of_its_last_change_of_status() -> None:
    obj: dict[str, Any] = {"status": {}}
    set_condition(obj, make("X", "True", "A", "a"), NOW)

    set_condition(obj, make("X", "True", "B", "b"), LATER)

    assert obj["status"]["conditions"] == [
        {"type": "X", "status": "True", "lastTransitionTime": NOW, "reason": "B", "message": "b"}
    ]
