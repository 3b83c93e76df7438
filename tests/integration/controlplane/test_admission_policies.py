"""Validating admission policies: which requests they concern, what their expressions see, what follows from them."""

import secrets
from collections.abc import Iterator
from typing import Any

import pytest

from fixtures.api import Answer, Manifest
from fixtures.cluster import Cluster
from fixtures.conditions import wait_until

ADMISSION = "/apis/admissionregistration.k8s.io/v1"
POLICIES = f"{ADMISSION}/validatingadmissionpolicies"
BINDINGS = f"{ADMISSION}/validatingadmissionpolicybindings"
CONFIG_MAP = {"apiVersion": "v1", "kind": "ConfigMap"}


def rule(*resources: str, operations: tuple[str, ...] = ("CREATE", "UPDATE", "DELETE"), **more: Any) -> Manifest:
    versions = {"apiGroups": ["*"], "apiVersions": ["*"]}
    return {**versions, "operations": list(operations), "resources": list(resources or ("configmaps",)), **more}


def validations(*expressions: str, **more: Any) -> Manifest:
    return {"validations": [{"expression": expression, **more} for expression in expressions]}


class Setup:
    """A namespace, and policies that concern only it."""

    def __init__(self, cluster: Cluster, namespace: str) -> None:
        self.cluster = cluster
        self.api = cluster.api
        self.namespace = namespace
        self.maps = f"/api/v1/namespaces/{namespace}/configmaps"
        self.installed: list[str] = []

    def _create(self, path: str, name: str, spec: Manifest) -> Manifest:
        created = self.api.create(path, {"metadata": {"name": name}, "spec": spec})
        self.installed.append(f"{path}/{name}")
        return created

    def _install(self, name: str, spec: Manifest, *bindings: Manifest) -> None:
        match = {
            "namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": self.namespace}},
            "resourceRules": [rule()],
            **spec.pop("matchConstraints", {}),
        }
        self._create(POLICIES, name, {"matchConstraints": match, **spec})
        for number, binding in enumerate(bindings):
            self._create(BINDINGS, f"{name}-{number}", {"policyName": name, "validationActions": ["Deny"], **binding})

    def install(self, spec: Manifest, *bindings: Manifest) -> str:
        """Create a policy with bindings and wait until the server acts on them. Gives the policy's name."""
        name, marker = f"p{secrets.token_hex(4)}", f"marker-{secrets.token_hex(4)}"
        self._install(name, dict(spec), *(bindings or ({},)))
        self._install(marker, validations(f"object == null || object.metadata.name != '{marker}'"), {})

        def acted() -> bool:
            answer = self.api.request("POST", f"{self.maps}?dryRun=All", {"metadata": {"name": marker}})
            # A policy that refuses everything speaks before the marker does: then it is known itself.
            return any(f"'{known}'" in answer.body.get("message", "") for known in (marker, name))

        wait_until(acted, f"{name} to be known", interval=0.05)
        return name

    def post(self, name: str = "a", query: str = "", **fields: Any) -> Answer:
        labels = fields.pop("labels", {})
        return self.api.request("POST", f"{self.maps}{query}", {"metadata": {"name": name, "labels": labels}, **fields})

    def said(self, answer: Answer, policy: str, binding: int = 0) -> str:
        """What the policy said in a refusal."""
        start = f"ValidatingAdmissionPolicy '{policy}' with binding '{policy}-{binding}' denied request: "
        (cause,) = answer.body["details"]["causes"]
        assert cause["message"].startswith(start), answer.body
        assert answer.body["message"].endswith(f" is forbidden: {cause['message']}")
        return str(cause["message"].removeprefix(start))


@pytest.fixture
def setup(cluster: Cluster, namespace: str) -> Iterator[Setup]:
    made = Setup(cluster, namespace)
    yield made
    for path in reversed(made.installed):
        cluster.api.delete(path)


def test_a_denial_names_policy_and_binding_and_is_422(setup: Setup) -> None:
    policy = setup.install(validations("object.data.size() < 2"))

    answer = setup.post(data={"a": "1", "b": "2"})

    assert answer.status == 422
    message = (
        f"ValidatingAdmissionPolicy '{policy}' with binding '{policy}-0' denied request: "
        "failed expression: object.data.size() < 2"
    )
    assert answer.body == {
        "kind": "Status",
        "apiVersion": "v1",
        "metadata": {},
        "status": "Failure",
        "message": f'configmaps "a" is forbidden: {message}',
        "reason": "Invalid",
        "details": {"name": "a", "kind": "configmaps", "causes": [{"message": message}]},
        "code": 422,
    }
    assert setup.api.find(f"{setup.maps}/a") is None
    assert setup.post(data={"a": "1"}).status == 201


@pytest.mark.parametrize(
    ("reason", "code"), [("Invalid", 422), ("Forbidden", 403), ("RequestEntityTooLarge", 413), (None, 422)]
)
def test_the_reason_decides_the_code(setup: Setup, reason: str | None, code: int) -> None:
    more = {"reason": reason} if reason else {}
    setup.install(validations("!('no' in object.metadata.labels)", message="no", **more))

    answer = setup.post(labels={"no": ""})

    assert (answer.status, answer.body["reason"]) == (code, reason or "Invalid")


@pytest.mark.parametrize(
    ("validation", "message"),
    [
        ({"message": " plain "}, "plain"),
        ({"message": "plain", "messageExpression": "'made of ' + object.metadata.name"}, "made of a"),
        ({"message": "plain", "messageExpression": "string(object.data.missing)"}, "plain"),
        ({"message": "plain", "messageExpression": "'two\\nlines'"}, "plain"),
        ({"message": "plain", "messageExpression": "'   '"}, "plain"),
        ({}, "failed expression: object.metadata.name != 'a'"),
    ],
)
def test_the_message_is_the_most_telling_one_that_can_be_made(setup: Setup, validation: Manifest, message: str) -> None:
    policy = setup.install(validations(" object.metadata.name != 'a' ", **validation))

    assert setup.said(setup.post(), policy) == message


def test_warnings_let_the_request_pass(setup: Setup) -> None:
    policy = setup.install(
        validations("object.metadata.name != 'a'", message="beware"), {"validationActions": ["Warn"]}
    )

    answer = setup.post()

    assert answer.status == 201
    said = f"Validation failed for ValidatingAdmissionPolicy '{policy}' with binding '{policy}-0': beware"
    assert answer.headers["Warning"] == f'299 - "{said}"'


def test_audit_alone_lets_the_request_pass_in_silence(setup: Setup) -> None:
    setup.install(validations("object.metadata.name != 'a'"), {"validationActions": ["Audit"]})

    answer = setup.post()

    assert (answer.status, answer.headers.get("Warning")) == (201, None)


def test_policies_see_what_a_request_is_about(setup: Setup) -> None:
    seen = (
        "[request.operation, request.name, request.namespace, request.kind.kind, request.resource.resource, "
        "request.userInfo.username, string(request.dryRun), string(has(request.subResource)), "
        "namespaceObject.metadata.name, string(oldObject == null), string(object.apiVersion)].join(' ')"
    )
    policy = setup.install(validations("object.metadata.name != 'a'", messageExpression=seen))

    said = setup.said(setup.post(), policy)

    ns = setup.namespace
    assert said == f"CREATE a {ns} ConfigMap configmaps tests-admin false false {ns} true v1"


def test_changes_and_deletions_are_judged_with_the_old_object(setup: Setup) -> None:
    policy = setup.install(
        validations(
            "request.operation == 'CREATE' || !has(oldObject.data.keep) || object != null && has(object.data.keep)"
        )
    )
    assert setup.post(data={"keep": "1"}).status == 201

    changed = setup.api.request(
        "PATCH", f"{setup.maps}/a", {"data": {"keep": None}}, {"Content-Type": "application/merge-patch+json"}
    )
    deleted = setup.api.request("DELETE", f"{setup.maps}/a")

    assert (changed.status, deleted.status) == (422, 422)
    assert setup.said(deleted, policy).startswith("failed expression: ")
    assert setup.api.get(f"{setup.maps}/a")["data"] == {"keep": "1"}
    # Its own end must be possible.
    setup.api.delete(f"{BINDINGS}/{policy}-0")
    setup.installed.remove(f"{BINDINGS}/{policy}-0")
    wait_until(lambda: setup.api.request("DELETE", f"{setup.maps}/a").status in (200, 404), "the end of the policy")


def test_variables_build_on_each_other_and_are_lazy(setup: Setup) -> None:
    variables = [
        {"name": "sizes", "expression": "object.data.map(key, size(object.data[key]))"},
        {"name": "total", "expression": "variables.sizes.sum()"},
    ]
    policy = setup.install(
        {
            "variables": variables,
            **validations("!has(object.data) || variables.total < 5", messageExpression="string(variables.total)"),
        }
    )

    assert setup.post("none").status == 201
    assert setup.said(setup.post(data={"a": "123", "b": "45"}), policy) == "5"


@pytest.mark.parametrize(
    ("failure", "actions", "passes"), [("Fail", "Deny", False), ("Fail", "Warn", True), ("Ignore", "Deny", True)]
)
def test_the_failure_policy_decides_about_expressions_that_fail(
    setup: Setup, failure: str, actions: str, passes: bool
) -> None:
    expression = "object.metadata.name != 'a' || object.data.missing == '1'"
    spec = {"failurePolicy": failure, **validations(expression)}
    policy = setup.install(spec, {"validationActions": [actions]})

    answer = setup.post(data={"a": "b"})

    assert (answer.status == 201) is passes
    said = f"expression '{expression}' resulted in error: no such key: missing"
    if not passes:
        assert setup.said(answer, policy) == said
    assert (said in answer.headers.get("Warning", "")) is (actions == "Warn")


def test_match_conditions_decide_first(setup: Setup) -> None:
    conditions = [{"name": "labelled", "expression": "'judge' in object.metadata.?labels.orValue({})"}]
    setup.install({"matchConditions": conditions, **validations("object.metadata.name != 'a'")})

    assert setup.post("b", labels={"judge": ""}).status == 201
    assert setup.post("a", labels={"judge": ""}).status == 422
    assert setup.post("a").status == 201


def test_exclusions_names_and_selectors_narrow_what_is_concerned(setup: Setup) -> None:
    match = {
        "resourceRules": [rule("configmaps", "secrets")],
        "excludeResourceRules": [rule("configmaps", resourceNames=["spared"])],
        "objectSelector": {"matchExpressions": [{"key": "free", "operator": "DoesNotExist"}]},
    }
    setup.install({"matchConstraints": match, **validations("object.metadata.name.startsWith('marker')")})

    assert setup.post("spared").status == 201
    assert setup.post("free", labels={"free": ""}).status == 201
    assert setup.post("a").status == 422


def test_a_binding_narrows_its_policy(setup: Setup) -> None:
    only = {"matchResources": {"resourceRules": [rule(resourceNames=["a"])]}}
    policy = setup.install(validations("object.metadata.name.startsWith('marker')"), only)

    assert setup.post("b").status == 201
    assert setup.said(setup.post("a"), policy)


def test_parameters_are_found_by_name_in_the_namespace_of_the_request(setup: Setup) -> None:
    setup.post("limits", data={"most": "1"})
    spec = {
        "paramKind": CONFIG_MAP,
        **validations("!has(object.data) || size(object.data) <= int(params.data.most)"),
    }
    setup.install(spec, {"paramRef": {"name": "limits", "parameterNotFoundAction": "Deny"}})

    assert setup.post("a", data={"a": "1"}).status == 201
    assert setup.post("b", data={"a": "1", "b": "2"}).status == 422


def test_parameters_that_a_selector_finds_must_all_agree(setup: Setup) -> None:
    setup.post("first", labels={"limit": ""}, data={"no": "a"})
    setup.post("second", labels={"limit": ""}, data={"no": "b"})
    spec = {"paramKind": CONFIG_MAP, **validations("object.metadata.name != params.data.no")}
    reference = {"selector": {"matchLabels": {"limit": ""}}, "parameterNotFoundAction": "Deny"}
    setup.install(spec, {"paramRef": {**reference, "namespace": setup.namespace}})

    assert [setup.post(name).status for name in ("a", "b", "c")] == [422, 422, 201]


@pytest.mark.parametrize(("action", "status"), [("Deny", 422), ("Allow", 201)])
def test_missing_parameters_deny_or_allow(setup: Setup, action: str, status: int) -> None:
    spec = {"paramKind": CONFIG_MAP, **validations("false")}
    reference = {"name": "missing", "parameterNotFoundAction": action}
    policy = setup.install(spec, {"paramRef": reference, "validationActions": ["Warn"]})

    answer = setup.post()

    assert answer.status == status
    if status != 201:
        said = "failed to configure binding: no params found for policy binding with `Deny` parameterNotFoundAction"
        assert setup.said(answer, policy) == said


def test_a_binding_without_reference_has_no_parameters(setup: Setup) -> None:
    spec = {"paramKind": CONFIG_MAP, **validations("object.metadata.name != 'a' || params != null", message="none")}
    policy = setup.install(spec)

    assert setup.said(setup.post(), policy) == "none"


def test_an_unknown_kind_of_parameters_is_an_error_of_the_policy(setup: Setup) -> None:
    spec = {"paramKind": {"apiVersion": "nowhere.example.com/v1", "kind": "Nothing"}, **validations("true")}
    policy = setup.install(spec, {"paramRef": {"name": "a", "parameterNotFoundAction": "Allow"}})

    answer = setup.post()

    assert answer.status == 422
    assert answer.body["message"] == (
        f"configmaps \"a\" is forbidden: ValidatingAdmissionPolicy '{policy}' denied request: failed to configure "
        "policy: failed to find resource referenced by paramKind: 'nowhere.example.com/v1, Kind=Nothing'"
    )


@pytest.mark.parametrize(
    ("question", "answer"),
    [
        ("requestResource.check('create').allowed()", True),
        ("group('apps').resource('deployments').namespace('x').name('y').check('delete').allowed()", True),
        ("path('/healthz').check('get').allowed()", True),
        ("serviceAccount('a', 'b').group('').resource('pods').subresource('log').check('get').allowed()", False),
        ("serviceAccount('a', 'b').path('/metrics').check('get').errored()", False),
    ],
)
def test_expressions_ask_what_users_may_do(setup: Setup, question: str, answer: bool) -> None:
    word = str(answer).lower()
    policy = setup.install(
        validations(f"object.metadata.name != 'a' || authorizer.{question} != {word}", message="as expected")
    )

    assert setup.said(setup.post(), policy) == "as expected"


def test_asking_too_often_costs_too_much(setup: Setup) -> None:
    often = " && ".join(["authorizer.path('/healthz').check('get').allowed()"] * 3)
    policy = setup.install(validations(f"object.metadata.name != 'a' || {often}"))

    assert setup.said(setup.post(), policy).endswith("operation cancelled: actual cost limit exceeded")


def test_expressions_that_cost_too_much_are_stopped(setup: Setup) -> None:
    numbers = "[1,2,3,4,5,6,7,8,9,10]"
    loops = "true"
    for name in "abcdef":
        loops = f"{numbers}.all({name}, {loops})"
    policy = setup.install(validations(f"object.metadata.name != 'a' || {loops}"))

    said = setup.said(setup.post(), policy)

    assert said.endswith("resulted in error: operation cancelled: actual cost limit exceeded")


def test_policies_are_seen_in_the_version_that_their_rules_name(setup: Setup) -> None:
    match = {"resourceRules": [rule("events", apiGroups=["events.k8s.io"], apiVersions=["v1"])]}
    seen = "request.kind.group + ' ' + request.requestKind.group + ' ' + string(object.note)"
    policy = setup.install(
        {"matchConstraints": match, **validations("false", messageExpression=seen)},
    )
    event = {
        "metadata": {"name": "e"},
        "involvedObject": {"kind": "ConfigMap", "namespace": setup.namespace, "name": "a"},
        "message": "hello",
        "type": "Normal",
    }

    answer = setup.api.request("POST", f"/api/v1/namespaces/{setup.namespace}/events", event)

    assert setup.said(answer, policy) == "events.k8s.io  hello"


def test_policies_go_out_of_force_with_their_binding(setup: Setup) -> None:
    policy = setup.install(validations("object.metadata.name != 'a'"))
    assert setup.post().status == 422

    setup.api.delete(f"{BINDINGS}/{policy}-0")
    setup.installed.remove(f"{BINDINGS}/{policy}-0")

    wait_until(lambda: setup.post(query="?dryRun=All").status == 201, "the end of the policy", interval=0.05)


# --- the objects -------------------------------------------------------------------------------------------------


def complaints(answer: Answer) -> list[tuple[str, str]]:
    assert answer.status == 422, answer.body
    return [(cause["field"], cause["message"]) for cause in answer.body["details"]["causes"]]


@pytest.mark.parametrize(
    ("spec", "expected"),
    [
        (
            {},
            [
                (f"spec.{key}", "Required value: validations or auditAnnotations must contain at least one item")
                for key in ("validations", "auditAnnotations")
            ],
        ),
        (
            validations("1", "object.data.a", " "),
            [
                ("spec.validations[0].expression", 'Invalid value: "1": must evaluate to bool but got int'),
                ("spec.validations[1].expression", 'Invalid value: "object.data.a": must evaluate to bool but got dyn'),
                ("spec.validations[2].expression", "Required value: expression is not specified"),
            ],
        ),
        (
            validations("request.unknown == 1"),
            [
                (
                    "spec.validations[0].expression",
                    'Invalid value: "request.unknown == 1": compilation failed: ERROR: <input>:1:8: undefined field '
                    "'unknown'\n | request.unknown == 1\n | .......^",
                )
            ],
        ),
        (
            validations("true", message="a\nb", messageExpression="1", reason="NotFound"),
            [
                ("spec.validations[0].messageExpression", 'Invalid value: "1": must evaluate to string but got int'),
                ("spec.validations[0].message", 'Invalid value: "a\\nb": must not contain line breaks'),
                (
                    "spec.validations[0].reason",
                    'Unsupported value: "NotFound": supported values: "Forbidden", "Invalid", "RequestEntityTooLarge"',
                ),
            ],
        ),
        (
            {**validations("true"), "variables": [{"name": "a b", "expression": "1"}, {"name": "", "expression": ""}]},
            [
                ("spec.variables[0].name", 'Invalid value: "a b": must be a valid CEL identifier'),
                ("spec.variables[1].name", "Required value: name is not specified"),
                ("spec.variables[1].expression", "Required value: expression is not specified"),
            ],
        ),
        (
            {**validations("true"), "paramKind": {}},
            [("spec.paramKind.apiVersion", "Required value"), ("spec.paramKind.kind", "Required value")],
        ),
        (
            {
                **validations("true"),
                "matchConditions": [
                    {"name": "a", "expression": "true"},
                    {"name": "a", "expression": "1"},
                ],
            },
            [
                ("spec.matchConditions[1].expression", 'Invalid value: "1": must evaluate to bool but got int'),
                ("spec.matchConditions[1].name", 'Duplicate value: "a"'),
            ],
        ),
        (
            {"auditAnnotations": [{"key": "k", "valueExpression": "1"}, {"key": "k", "valueExpression": "'a'"}]},
            [
                (
                    "spec.auditAnnotations[0].valueExpression",
                    'Invalid value: "1": must evaluate to one of [string null_type] but got int',
                ),
                ("spec.auditAnnotations[1].key", 'Duplicate value: "k"'),
            ],
        ),
    ],
)
def test_policies_that_cannot_work_are_refused(cluster: Cluster, spec: Manifest, expected: list[Any]) -> None:
    body = {"metadata": {"name": "invalid"}, "spec": {"matchConstraints": {"resourceRules": [rule()]}, **spec}}

    assert complaints(cluster.api.request("POST", POLICIES, body)) == expected


@pytest.mark.parametrize(
    ("spec", "expected"),
    [
        ({"policyName": ""}, [("spec.policyName", "Required value")]),
        (
            {"validationActions": []},
            [("spec.validationActions", "Required value: at least one validation action is required")],
        ),
        (
            {"validationActions": ["Deny", "Warn"]},
            [
                (
                    "spec.validationActions",
                    'Invalid value: ["Deny","Warn"]: must not contain both Deny and Warn (repeating the same '
                    "validation failure information in the API response and headers serves no purpose)",
                )
            ],
        ),
        (
            {"paramRef": {"name": "a"}},
            [("spec.paramRef.parameterNotFoundAction", "Required value")],
        ),
        (
            {"paramRef": {"parameterNotFoundAction": "Deny"}},
            [("spec.paramRef", "Required value: one of name or selector must be specified")],
        ),
    ],
)
def test_bindings_that_cannot_work_are_refused(cluster: Cluster, spec: Manifest, expected: list[Any]) -> None:
    whole = {"policyName": "any", "validationActions": ["Deny"], **spec}

    answer = cluster.api.request("POST", BINDINGS, {"metadata": {"name": "invalid"}, "spec": whole})

    assert complaints(answer) == expected


def test_what_is_left_out_gets_defaults(setup: Setup) -> None:
    policy = setup.install(validations("true"), {"matchResources": {}})

    stored = setup.api.get(f"{POLICIES}/{policy}")["spec"]
    binding = setup.api.get(f"{BINDINGS}/{policy}-0")

    assert stored["failurePolicy"] == "Fail"
    assert stored["matchConstraints"]["matchPolicy"] == "Equivalent"
    assert stored["matchConstraints"]["objectSelector"] == {}
    assert stored["matchConstraints"]["resourceRules"][0]["scope"] == "*"
    assert binding["metadata"]["generation"] == 1
    assert binding["spec"]["matchResources"] == {
        "matchPolicy": "Equivalent",
        "namespaceSelector": {},
        "objectSelector": {},
    }
