"""The embedded control plane accepts the definitions that this project installs on it."""

from typing import Any

import pytest

from merope.api.crds import crds
from merope.controlplane.crd.rule_checks import rule_complaints


@pytest.mark.parametrize("crd", crds(), ids=lambda crd: crd["metadata"]["name"])
def test_rules_of_the_products_kinds_are_cheap_enough(crd: dict[str, Any]) -> None:
    for version in crd["spec"]["versions"]:
        assert rule_complaints(version["schema"]["openAPIV3Schema"], "spec.validation.openAPIV3Schema") == []


def nested(limits: dict[str, int], rule: str) -> dict[str, Any]:
    """A rule on the items of a list within a list."""
    items = {
        "type": "object",
        "properties": {"name": {"type": "string"}},
        "x-kubernetes-validations": [{"rule": rule}],
    }
    inner = {"type": "array", "items": items, **limits}
    outer = {"type": "array", "items": {"type": "object", "properties": {"inner": inner}}, **limits}
    return {"type": "object", "properties": {"outer": outer}}


def test_a_rule_below_lists_without_limits_counts_as_often_as_a_request_can_hold_it() -> None:
    assert rule_complaints(nested({}, "has(self.name)"), "root") == []


def test_a_rule_below_lists_with_limits_counts_as_often_as_these_allow() -> None:
    assert rule_complaints(nested({"maxItems": 100}, "has(self.name)"), "root") == []
    complaints = rule_complaints(nested({"maxItems": 1_000_000}, "has(self.name)"), "root")
    assert any("exceeds budget" in str(complaint) for complaint in complaints)
