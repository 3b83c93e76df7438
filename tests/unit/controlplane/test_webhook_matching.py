"""Which webhooks a request concerns."""

from __future__ import annotations

from typing import Any

import pytest

from merope.controlplane.admission.authorizer import RequestAuthorizer
from merope.controlplane.admission.conditions import ConditionError, all_true
from merope.controlplane.admission.matching import Rule, Webhook, webhooks_of
from merope.controlplane.authz import Attributes, Decision
from merope.controlplane.resource import GroupResource, Resource, Strategy, UserInfo


def resource(
    group: str = "apps", version: str = "v1", plural: str = "deployments", namespaced: bool = True
) -> Resource:
    return Resource(
        group=group,
        version=version,
        plural=plural,
        kind="Kind",
        list_kind="KindList",
        singular="kind",
        namespaced=namespaced,
        verbs=("create",),
        storage=GroupResource(group, plural),
        storage_version=version,
        builtin=True,
        strategy=Strategy(),
    )


def rule(**more: Any) -> dict[str, Any]:
    return {"operations": ["*"], "apiGroups": ["*"], "apiVersions": ["*"], "resources": ["*"], **more}


@pytest.mark.parametrize(
    ("pattern", "subresource", "matches"),
    [
        ("deployments", "", True),
        ("deployments", "status", False),
        ("deployments/status", "status", True),
        ("deployments/status", "", False),
        ("deployments/*", "status", True),
        ("deployments/*", "", True),
        ("*", "", True),
        ("*", "status", False),
        ("*/status", "status", True),
        ("*/*", "status", True),
        ("*/*", "", True),
        ("pods", "", False),
    ],
)
def test_resource_patterns_match_as_documented(pattern: str, subresource: str, matches: bool) -> None:
    assert Rule.of(rule(resources=[pattern])).matches("CREATE", resource(), subresource) is matches


@pytest.mark.parametrize(
    ("more", "matches"),
    [
        ({"operations": ["CREATE"]}, True),
        ({"operations": ["UPDATE"]}, False),
        ({"apiGroups": ["apps"]}, True),
        ({"apiGroups": [""]}, False),
        ({"apiVersions": ["v2"]}, False),
        ({"scope": "Namespaced"}, True),
        ({"scope": "Cluster"}, False),
    ],
)
def test_every_part_of_a_rule_must_match(more: dict[str, Any], matches: bool) -> None:
    assert Rule.of(rule(**more)).matches("CREATE", resource(), "") is matches


def webhook(**more: Any) -> Webhook:
    return Webhook.of({"name": "a.example.com", "rules": [rule(apiVersions=["v1"])], **more})


def test_an_equivalent_version_is_found_unless_the_policy_is_exact() -> None:
    asked, other = resource(version="v2"), resource(version="v1")

    assert webhook().resource_for("CREATE", asked, "", [other]) is other
    assert webhook(matchPolicy="Exact").resource_for("CREATE", asked, "", [other]) is None


def test_selectors_look_at_the_namespace_and_at_both_states_of_the_object() -> None:
    hook = webhook(
        namespaceSelector={"matchLabels": {"env": "prod"}},
        objectSelector={"matchExpressions": [{"key": "x", "operator": "Exists"}]},
    )

    assert hook.selects_namespace({"env": "prod"})
    assert not hook.selects_namespace({"env": "dev"})
    assert hook.selects_namespace(None)
    assert hook.selects_object({"metadata": {}}, {"metadata": {"labels": {"x": ""}}})
    assert not hook.selects_object({"metadata": {}}, None)


def test_webhooks_are_called_by_name_of_configuration_then_as_listed() -> None:
    def configuration(name: str, *hooks: str) -> dict[str, Any]:
        return {"metadata": {"name": name}, "webhooks": [{"name": hook} for hook in hooks]}

    ordered = webhooks_of([configuration("b", "b1", "b2"), configuration("a", "a2", "a1")])

    assert [hook.name for hook in ordered] == ["a2", "a1", "b1", "b2"]


def test_match_conditions_decide_by_the_object_and_the_request() -> None:
    expressions = ["object.metadata.name == 'x'", "request.operation == 'CREATE'"]
    conditions = [{"name": f"c{index}", "expression": text} for index, text in enumerate(expressions)]
    obj = {"metadata": {"name": "x"}}

    assert all_true(conditions, obj, None, {"operation": "CREATE"})
    assert not all_true(conditions, obj, None, {"operation": "UPDATE"})
    broken = {"name": "broken", "expression": "object.spec.none == 1"}
    with pytest.raises(ConditionError, match="no such key: spec"):
        all_true([broken], obj, None, {})
    assert not all_true([broken, {"name": "no", "expression": "false"}], obj, None, {})


def test_conditions_may_ask_the_authorizer() -> None:
    asked: list[Attributes] = []

    def ask(attributes: Attributes) -> Decision:
        asked.append(attributes)
        return Decision(False)

    user = UserInfo("ann")
    question = "authorizer.group('apps').resource('deployments').check('get').allowed()"
    conditions = [{"name": "n", "expression": question}]

    assert not all_true(conditions, {}, None, {}, RequestAuthorizer(ask, user))
    assert asked == [Attributes(user, "get", "apps", "deployments")]
