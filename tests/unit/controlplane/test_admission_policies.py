"""Validating admission policies: their expressions, and what a server makes of them."""

from __future__ import annotations

from typing import Any

import pytest

from merope.controlplane.admission.authorizer import RequestAuthorizer, ResourceCheck
from merope.controlplane.admission.policy_expressions import OUT_OF_BUDGET, Denial, EvaluationFailed, Expressions
from merope.controlplane.authz import Attributes, Decision
from merope.controlplane.resource import UserInfo

from .conftest import Api

ADMISSION = "/apis/admissionregistration.k8s.io/v1"
ANN = UserInfo("ann", ("system:authenticated",))
NUMBERS = "[1,2,3,4,5,6,7,8,9,10]"


def bindings(**more: Any) -> dict[str, Any]:
    obj = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "a"}, "data": {"k": "v"}}
    return {"object": obj, "oldObject": None, "request": {"operation": "CREATE"}, "namespaceObject": None, **more}


def denials(spec: dict[str, Any], *, fails_closed: bool = True, **more: Any) -> list[str]:
    return [each.message for each in Expressions.of(spec).denials(bindings(**more), fails_closed=fails_closed)]


def validating(*expressions: str, **more: Any) -> dict[str, Any]:
    return {"validations": [{"expression": expression} for expression in expressions], **more}


def loops(depth: int) -> str:
    expression = "true"
    for name in "abcdefgh"[:depth]:
        expression = f"{NUMBERS}.all({name}, {expression})"
    return expression


class TestExpressions:
    def test_each_validation_that_is_false_is_a_denial(self) -> None:
        found = denials(validating("object.data.k == 'v'", "object.data.k == 'w'", "oldObject != null"))

        assert found == ["failed expression: object.data.k == 'w'", "failed expression: oldObject != null"]

    @pytest.mark.parametrize(
        ("fails_closed", "expected"),
        [(True, ["expression 'object.no == 1' resulted in error: no such key: no"]), (False, [])],
    )
    def test_failures_are_denials_where_the_policy_fails(self, fails_closed: bool, expected: list[str]) -> None:
        assert denials(validating("object.no == 1"), fails_closed=fails_closed) == expected

    def test_what_no_longer_compiles_is_a_failure(self) -> None:
        (found,) = denials(validating("unheard_of(1)"))

        assert found.startswith("compilation error: ERROR: <input>:1:11: undeclared reference to 'unheard_of'")

    def test_variables_are_computed_once_and_only_when_read(self) -> None:
        asked: list[str] = []

        def ask(attributes: Attributes) -> Decision:
            asked.append(attributes.verb)
            return Decision(True)

        spec = validating(
            "variables.once",
            "variables.once && variables.chained",
            "true || variables.never",
            variables=[
                {"name": "once", "expression": "authorizer.path('/a').check('get').allowed()"},
                {"name": "chained", "expression": "variables.once"},
                {"name": "never", "expression": "authorizer.path('/a').check('put').allowed()"},
            ],
        )

        assert denials(spec, authorizer=RequestAuthorizer(ask, ANN)) == []
        assert asked == ["get"]

    def test_failures_of_variables_say_which(self) -> None:
        variables = [{"name": "x", "expression": "object.no"}, {"name": "y", "expression": "variables.x + 1"}]

        assert denials(validating("variables.y == 2", variables=variables)) == [
            "expression 'variables.y == 2' resulted in error: "
            'composited variable "y" fails to evaluate: composited variable "x" fails to evaluate: no such key: no'
        ]

    def test_variables_keep_their_types(self) -> None:
        variables = [
            {"name": "created", "expression": "timestamp('2026-01-01T00:00:00Z')"},
            {"name": "names", "expression": "[object.metadata.name]"},
        ]
        spec = validating(
            "variables.created.getFullYear() == 2026",
            "variables.names == ['a']",
            "has(variables.names)",
            variables=variables,
        )

        assert denials(spec) == []

    def test_one_expression_may_not_cost_too_much(self) -> None:
        (found,) = denials(validating(loops(6)))

        assert found.endswith("resulted in error: operation cancelled: actual cost limit exceeded")

    def test_what_all_cost_together_is_limited_and_then_it_is_the_only_verdict(self) -> None:
        assert denials(validating("false", *[f"{loops(6)} && {n} > 0" for n in range(11)])) == [OUT_OF_BUDGET]

    def test_variables_are_paid_for_as_well(self) -> None:
        variables = [{"name": f"v{n}", "expression": loops(6)} for n in range(11)]

        assert denials(validating(*[f"variables.v{n}" for n in range(11)], variables=variables)) == [OUT_OF_BUDGET]

    def test_annotations_that_fail_deny_whatever_the_actions(self) -> None:
        expressions = Expressions.of({"auditAnnotations": [{"key": "k", "valueExpression": "string(object.no)"}]})

        (denial,) = expressions.denials(bindings(), fails_closed=True)

        assert denial == Denial("expression 'string(object.no)' resulted in error: no such key: no", always=True)
        assert expressions.denials(bindings(), fails_closed=False) == []

    @pytest.mark.parametrize(
        ("conditions", "concerned"),
        [
            ([], True),
            (["request.operation == 'CREATE'"], True),
            (["object.no == 1", "false"], False),
            (["true", "request.operation == 'DELETE'"], False),
        ],
    )
    def test_all_conditions_must_hold(self, conditions: list[str], concerned: bool) -> None:
        spec = {"matchConditions": [{"name": "n", "expression": expression} for expression in conditions]}

        assert Expressions.of(spec).concern(bindings()) is concerned

    def test_conditions_that_fail_are_reported_together(self) -> None:
        conditions = [{"name": "n", "expression": f"object.{name} == 1"} for name in ("x", "y")]

        with pytest.raises(EvaluationFailed) as failure:
            Expressions.of({"matchConditions": conditions}).concern(bindings())

        assert str(failure.value) == (
            "[expression 'object.x == 1' resulted in error: no such key: x, "
            "expression 'object.y == 1' resulted in error: no such key: y]"
        )


@pytest.mark.parametrize(
    ("question", "attributes"),
    [
        ("path('/metrics').check('get')", Attributes(ANN, "get", path="/metrics")),
        ("group('apps').resource('deployments').check('list')", Attributes(ANN, "list", "apps", "deployments")),
        (
            "group('').resource('pods').subresource('log').namespace('n').name('p').check('get')",
            Attributes(ANN, "get", "", "pods", "log", "n", "p"),
        ),
        (
            "group('').resource('pods').labelSelector('a=b').fieldSelector('c=d').check('list')",
            Attributes(ANN, "list", "", "pods"),
        ),
        ("requestResource.check('update')", Attributes(ANN, "update", "", "configmaps", "", "n", "a")),
        ("requestResource.name('b').check('update')", Attributes(ANN, "update", "", "configmaps", "", "n", "b")),
        (
            "serviceAccount('n', 'robot').path('/x').check('get')",
            Attributes(
                UserInfo("system:serviceaccount:n:robot", ("system:serviceaccounts", "system:serviceaccounts:n")),
                "get",
                path="/x",
            ),
        ),
    ],
)
def test_the_authorizer_is_asked_what_the_expression_says(question: str, attributes: Attributes) -> None:
    asked: list[Attributes] = []

    def ask(attributes: Attributes) -> Decision:
        asked.append(attributes)
        return Decision(False, "because")

    about = ResourceCheck(ask, Attributes(ANN, "", "", "configmaps", "", "n", "a"))
    spec = validating(f"authorizer.{question}.allowed()", f"authorizer.{question}.reason() != 'because'")

    assert len(denials(spec, authorizer=RequestAuthorizer(ask, ANN, about))) == 2
    assert asked == [attributes, attributes]


@pytest.mark.parametrize(("account", "problem"), [("'A', 'b'", "namespace"), ("'a', 'B c'", "name")])
def test_there_are_no_service_accounts_with_impossible_names(account: str, problem: str) -> None:
    authorizer = RequestAuthorizer(lambda _: Decision(True), ANN)

    (found,) = denials(
        validating(f"authorizer.serviceAccount({account}).path('/').check('get').allowed()"), authorizer=authorizer
    )

    assert found.endswith(f"Invalid service account {problem}")


async def install(api: Api, name: str, spec: dict[str, Any], **binding: Any) -> None:
    rule = {"operations": ["*"], "apiGroups": ["*"], "apiVersions": ["*"], "resources": ["*"]}
    match = {"resourceRules": [rule]}
    policy = {"metadata": {"name": name}, "spec": {"matchConstraints": match, **spec}}
    bound = {"metadata": {"name": name}, "spec": {"policyName": name, "validationActions": ["Deny"], **binding}}
    for path, obj in (("policies", policy), ("policybindings", bound)):
        answer = await api.call("POST", f"{ADMISSION}/validatingadmission{path}", obj)
        assert answer.code == 201, answer.text


async def remove(api: Api, name: str) -> None:
    for path in ("policybindings", "policies"):
        await api.call("DELETE", f"{ADMISSION}/validatingadmission{path}/{name}")


@pytest.mark.asyncio(loop_scope="module")
class TestServer:
    async def test_policies_are_in_force_at_once_and_can_always_be_removed(self, api: Api) -> None:
        namespace = await api.namespace()
        maps = f"/api/v1/namespaces/{namespace}/configmaps"

        await install(api, "nothing-goes", validating("false"))
        refused = await api.call("POST", maps, {"metadata": {"name": "a"}})
        await remove(api, "nothing-goes")
        created = await api.call("POST", maps, {"metadata": {"name": "a"}})

        assert (refused.code, created.code) == (422, 201)

    async def test_a_changed_policy_is_compiled_anew_and_a_noted_status_is_not(self, api: Api) -> None:
        policies = api.server.admission.policies
        await install(api, "changing", validating("true"))
        first = policies._policies["changing"]

        target = f"{ADMISSION}/validatingadmissionpolicies/changing"
        status = await api.patch(f"{target}/status", {"status": {"observedGeneration": 1}})
        noted = policies._policies["changing"]
        changed = await api.patch(target, {"spec": {"validations": [{"expression": "1 == 1"}]}})
        last = policies._policies["changing"]
        await remove(api, "changing")

        assert (status.code, changed.code, changed.body["metadata"]["generation"]) == (200, 200, 2)
        assert noted is first
        assert last is not first

    async def test_all_warnings_are_given_even_beside_a_denial(self, api: Api) -> None:
        namespace = await api.namespace()
        await install(api, "denying", validating("object.kind != 'ConfigMap'"))
        await install(api, "warning", validating("object.kind != 'ConfigMap'"), validationActions=["Warn"])

        answer = await api.call("POST", f"/api/v1/namespaces/{namespace}/configmaps", {"metadata": {"name": "a"}})
        await remove(api, "denying")
        await remove(api, "warning")

        assert answer.code == 422
        assert len(answer.warnings) == 1

    async def test_a_policy_without_binding_is_not_in_force(self, api: Api) -> None:
        namespace = await api.namespace()
        await install(api, "unbound", validating("object.kind != 'ConfigMap'"), policyName="another")

        answer = await api.call("POST", f"/api/v1/namespaces/{namespace}/configmaps", {"metadata": {"name": "a"}})
        await remove(api, "unbound")

        assert answer.code == 201
        assert api.server.admission.policies._bound == ()

    async def test_generated_names_are_judged_as_stored(self, api: Api) -> None:
        namespace = await api.namespace()
        await install(api, "naming", validating("object.kind != 'ConfigMap' || object.metadata.name == 'x'"))

        target = f"/api/v1/namespaces/{namespace}/configmaps"
        answer = await api.call("POST", target, {"metadata": {"generateName": "made-"}})
        await remove(api, "naming")

        assert answer.body["details"]["name"].startswith("made-")
        assert f'configmaps "{answer.body["details"]["name"]}" is forbidden' in answer.body["message"]
