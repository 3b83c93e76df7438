"""Order of application, settings and ownership of manifests."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from merope.work.manifests import (
    InvalidManifest,
    Settings,
    Target,
    glob,
    owned,
    parse,
    rank,
    settings,
    target,
    without_removals,
)

CONFIG_MAP = Target(0, "", "v1", "ConfigMap", "configmaps", "web", "default")


@pytest.mark.parametrize(
    ("kinds", "expected"),
    [
        ("PriorityClass Namespace CustomResourceDefinition StorageClass PersistentVolume PodSecurityPolicy", 0),
        ("ClusterRole ClusterRoleBinding Role RoleBinding", 1),
        ("NetworkPolicy ResourceQuota LimitRange PodDisruptionBudget ServiceAccount", 2),
        ("Secret ConfigMap PersistentVolumeClaim", 3),
        ("Service", 4),
        ("DaemonSet Pod ReplicationController ReplicaSet Deployment HorizontalPodAutoscaler StatefulSet", 5),
        ("Job CronJob", 5),
        ("APIService MutatingWebhookConfiguration ValidatingAdmissionPolicyBinding", 6),
        ("Widget Ingress", 1000),
    ],
)
def test_kinds_are_applied_in_ranks(kinds: str, expected: int) -> None:
    assert {rank(kind) for kind in kinds.split()} == {expected}
    assert rank("") == 1001


def test_a_manifest_names_its_object() -> None:
    manifest = {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "d", "namespace": "n"}}

    assert parse(3, manifest) == Target(3, "apps", "v1", "Deployment", "", "d", "n")
    assert target(parse(3, manifest).meta()) == parse(3, manifest)
    for bad in ("text", {}, {"kind": 3}):
        with pytest.raises(InvalidManifest):
            parse(0, bad)


@pytest.mark.parametrize(
    ("pattern", "text", "expected"),
    [
        ("*", "anything", True),
        ("*", "", True),
        ("", "", True),
        ("", "x", False),
        ("web", "web", True),
        ("web", "webs", False),
        ("we*", "web", True),
        ("*-a-*", "x-a-y", True),
        ("*-a-*", "x-b-y", False),
        ("a*", "ba", False),
        ("a.c", "abc", False),
    ],
)
def test_names_match_by_stars_only(pattern: str, text: str, expected: bool) -> None:
    assert glob(pattern, text) is expected


@given(st.text("ab", max_size=6), st.lists(st.text("ab", max_size=3), min_size=1, max_size=3))
def test_a_star_stands_for_any_text_between_the_parts(middle: str, parts: list[str]) -> None:
    assert glob("*".join(parts), middle.join(parts))


def identifier(**fields: str) -> dict[str, str]:
    return {"group": "", "resource": "configmaps", "namespace": "default", "name": "web", **fields}


def test_settings_come_from_the_first_entry_that_has_them_and_scraping_from_the_last() -> None:
    configs = [
        {"resourceIdentifier": identifier(name="other"), "updateStrategy": {"type": "ReadOnly"}},
        {"resourceIdentifier": identifier(name="w*"), "feedbackRules": [{"type": "WellKnownStatus"}]},
        {
            "resourceIdentifier": identifier(),
            "updateStrategy": {"type": "CreateOnly"},
            "feedbackRules": [{"type": "JSONPaths"}],
            "feedbackScrapeType": "Poll",
        },
        {
            "resourceIdentifier": identifier(namespace="*"),
            "updateStrategy": {"type": "ServerSideApply"},
            "conditionRules": [{"condition": "C"}],
            "feedbackScrapeType": "Watch",
        },
        {"resourceIdentifier": identifier(group="apps"), "feedbackScrapeType": "Poll"},
    ]

    found = settings(configs, CONFIG_MAP)

    assert found == Settings({"type": "CreateOnly"}, [{"type": "WellKnownStatus"}], [{"condition": "C"}], watched=True)
    assert found.strategy == "CreateOnly"


def test_scraping_alone_is_no_setting() -> None:
    assert settings([{"resourceIdentifier": identifier(), "feedbackScrapeType": "Watch"}], CONFIG_MAP) == Settings()
    assert settings(None, CONFIG_MAP).strategy == "Update"


ORPHAN_WEB = {"selectivelyOrphans": {"orphaningRules": [identifier()]}, "propagationPolicy": "SelectivelyOrphan"}


@pytest.mark.parametrize(
    ("option", "expected"),
    [
        (None, True),
        ({"propagationPolicy": "Foreground"}, True),
        ({"propagationPolicy": "Orphan"}, False),
        ({"propagationPolicy": "SelectivelyOrphan"}, True),
        (ORPHAN_WEB, False),
        ({**ORPHAN_WEB, "selectivelyOrphans": {"orphaningRules": [identifier(name="w*")]}}, True),
        ({**ORPHAN_WEB, "propagationPolicy": "Foreground"}, True),
    ],
)
def test_the_delete_option_decides_who_owns_an_object(option: dict[str, object] | None, expected: bool) -> None:
    assert owned(option, CONFIG_MAP) is expected


def test_orders_to_remove_are_not_created() -> None:
    manifest = {
        "kind": "X",
        "metadata": {
            "labels": {"a": "1", "b-": ""},
            "annotations": {"c-": ""},
            "ownerReferences": [{"name": "o", "uid": "u-"}],
        },
    }

    assert without_removals(manifest) == {"kind": "X", "metadata": {"labels": {"a": "1"}, "annotations": {}}}
