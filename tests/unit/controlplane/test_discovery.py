"""Discovery, health, version and the chain around every request."""

import pytest

from fixtures.conditions import eventually
from merope.controlplane.discovery import version_order

pytestmark = pytest.mark.asyncio(loop_scope="module")

AGGREGATED = "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList"
KUBECTL = f"{AGGREGATED},application/json;g=apidiscovery.k8s.io;v=v2beta1;as=APIGroupDiscoveryList,application/json"


def crd(group, plural="widgets", kind="Widget"):
    schema = {"type": "object", "properties": {"spec": {"type": "object", "properties": {"size": {"type": "integer"}}}}}
    version = {"name": "v1", "served": True, "storage": True, "schema": {"openAPIV3Schema": schema}}
    return {
        "metadata": {"name": f"{plural}.{group}"},
        "spec": {
            "group": group,
            "scope": "Namespaced",
            "names": {"plural": plural, "kind": kind},
            "versions": [version],
        },
    }


async def test_versions_are_ordered_as_kubernetes_orders_them():
    names = ["v1beta1", "foo", "v2", "v1", "v10", "v1alpha1", "v2beta2", "bar"]

    assert sorted(names, key=version_order) == ["v10", "v2", "v1", "v2beta2", "v1beta1", "v1alpha1", "bar", "foo"]


async def test_both_roots_are_aggregated_for_those_who_can_read_it(api):
    for root in ("/api", "/apis"):
        answer = await api.call("GET", root, headers={"Accept": KUBECTL})

        assert answer.headers["Content-Type"] == AGGREGATED
        assert answer.headers["Vary"] == "Accept"
        assert answer.body["apiVersion"] == "apidiscovery.k8s.io/v2"


async def test_a_client_that_has_the_document_gets_none(api):
    first = await api.call("GET", "/apis", headers={"Accept": KUBECTL})

    second = await api.call("GET", "/apis", headers={"Accept": KUBECTL, "If-None-Match": first.headers["ETag"]})

    assert (second.code, second.text) == (304, "")


async def test_the_legacy_documents_agree_with_the_aggregated_one(api):
    groups = (await api.call("GET", "/apis")).body["groups"]
    aggregated = (await api.call("GET", "/apis", headers={"Accept": KUBECTL})).body["items"]

    assert [group["name"] for group in groups] == [item["metadata"]["name"] for item in aggregated]
    for group, item in zip(groups, aggregated, strict=True):
        assert [v["version"] for v in group["versions"]] == [v["version"] for v in item["versions"]]
        assert group["preferredVersion"] == group["versions"][0]
    resources = (await api.call("GET", "/apis/apps/v1")).body["resources"]
    scale = next(resource for resource in resources if resource["name"] == "deployments/scale")
    assert (scale["group"], scale["version"], scale["kind"]) == ("autoscaling", "v1", "Scale")


async def test_only_an_old_aggregated_form_is_not_acceptable(api):
    old = "application/json;g=apidiscovery.k8s.io;v=v2beta1;as=APIGroupDiscoveryList"

    assert (await api.call("GET", "/apis", headers={"Accept": old})).code == 406
    assert (await api.call("GET", "/apis", headers={"Accept": f"{old},application/json"})).body[
        "kind"
    ] == "APIGroupList"


async def test_a_definition_brings_its_resources_and_takes_them_away(api):
    group = "coming.example.com"
    await api.call("POST", "/apis/apiextensions.k8s.io/v1/customresourcedefinitions", crd(group))

    async def answers(code):
        answer = await api.call("GET", f"/apis/{group}/v1")
        return answer if answer.code == code else None

    served = await eventually(lambda: answers(200), "the group to be served")
    namespace = await api.namespace()
    path = f"/apis/{group}/v1/namespaces/{namespace}/widgets"
    obj = {"apiVersion": f"{group}/v1", "kind": "Widget", "metadata": {"name": "a"}, "spec": {"size": 1, "other": 2}}
    created = await api.call("POST", path, obj)
    listed = await api.call("GET", path)
    await api.call("DELETE", f"/apis/apiextensions.k8s.io/v1/customresourcedefinitions/widgets.{group}")
    await eventually(lambda: answers(404), "the group to go")

    assert [resource["name"] for resource in served.body["resources"]] == ["widgets"]
    assert created.body["spec"] == {"size": 1}
    assert created.warnings == ['299 - "unknown field \\"spec.other\\""']
    assert listed.body["items"][0]["kind"] == "Widget"
    assert listed.body["metadata"]["continue"] == ""


@pytest.mark.parametrize(
    ("path", "text"),
    [
        ("/api/v1/gadgets", "the server could not find the requested resource"),
        ("/api/v1/namespaces/default/configmaps/a/b/c", "the server could not find the requested resource"),
        ("/apis/apps/v1/namespaces/default/nodes", "the server could not find the requested resource"),
    ],
)
async def test_unknown_paths_of_known_groups_are_statuses(api, path, text):
    answer = await api.call("GET", path)

    assert (answer.code, answer.body["message"]) == (404, text)


async def test_other_unknown_paths_are_plain_text(api):
    answer = await api.call("GET", "/apis/nothing.example.com/v1/things")

    assert (answer.code, answer.text) == (404, "404 page not found\n")


async def test_a_method_that_a_resource_does_not_have_is_not_allowed(api):
    for method, path in (
        ("POST", "/api/v1/configmaps"),
        ("DELETE", "/api/v1/configmaps"),
        ("PUT", "/api/v1/namespaces/default/configmaps"),
        ("POST", "/api/v1/namespaces/default/configmaps/a"),
        ("GET", "/apis/authorization.k8s.io/v1/subjectaccessreviews"),
    ):
        answer = await api.call(method, path, {})

        assert (answer.code, answer.body["reason"]) == (405, "MethodNotAllowed"), (method, path)


async def test_head_has_no_body(api):
    answer = await api.call("HEAD", "/api/v1/namespaces/default")

    assert (answer.code, answer.text) == (405, "")


class TestHealth:
    async def test_a_running_server_is_ready(self, api):
        assert (await api.call("GET", "/readyz", token="")).text == "ok"
        assert "[+]ping ok\n" in (await api.call("GET", "/livez?verbose")).text
        assert (await api.call("GET", "/healthz/ping")).text == "ok"
        assert (await api.call("GET", "/healthz/nothing")).code == 404

    async def test_a_failing_check_fails_unless_it_is_excluded(self, api):
        api.server.add_check("broken", lambda: "why")
        try:
            failed = await api.call("GET", "/readyz")
            excluded = await api.call("GET", "/readyz?exclude=broken")
        finally:
            api.server._checks.pop("broken")

        assert failed.code == 500
        assert "[-]broken failed: reason withheld" in failed.text
        assert "why" not in failed.text
        assert excluded.text == "ok"

    async def test_the_version_is_that_of_the_api(self, api):
        version = (await api.call("GET", "/version", token="")).body

        assert (version["major"], version["minor"], version["gitVersion"]) == ("1", "36", "v1.36.0+merope")

    async def test_metrics_count_requests(self, api):
        await api.call("GET", "/api/v1/namespaces/default")

        text = (await api.call("GET", "/metrics")).text

        assert 'apiserver_request_total{verb="get",group="",version="v1",resource="namespaces"' in text
        assert 'apiserver_storage_objects{resource="namespaces"}' in text

    async def test_names_that_clients_make_up_take_no_room_in_the_metrics(self, api):
        before = len(api.server.metrics.requests)
        for index in range(50):
            await api.call("GET", f"/apis/made-up-{index}.example.com/v1/things")
            await api.call("GET", f"/api/v1/namespaces/default/configmaps/a/made-up-{index}")

        assert len(api.server.metrics.requests) <= before + 2


class TestFilters:
    async def test_every_answer_can_be_traced_and_is_not_cached(self, api):
        echoed = await api.call("GET", "/api/v1/namespaces", headers={"Audit-ID": "mine"})
        fresh = await api.call("GET", "/api/v1/nothing")

        assert echoed.headers["Audit-Id"] == "mine"
        assert len(fresh.headers["Audit-Id"]) == 36
        assert fresh.headers["Cache-Control"] == "no-cache, private"

    async def test_wrong_credentials_are_unauthorized(self, api):
        answer = await api.call("GET", "/api/v1/namespaces", token="wrong")

        assert (answer.code, answer.body["message"]) == (401, "Unauthorized")
        assert answer.headers["X-Content-Type-Options"] == "nosniff"

    async def test_who_may_not_is_told_what(self, api):
        resource = await api.call("GET", "/api/v1/namespaces/default/configmaps/a", token="nobody")
        path = await api.call("GET", "/metrics", token="nobody")

        assert resource.body["message"] == (
            'configmaps "a" is forbidden: User "nobody" cannot get resource "configmaps" in API group "" in the '
            'namespace "default"'
        )
        assert path.body["message"] == 'forbidden: User "nobody" cannot get path "/metrics"'

    async def test_impersonation_acts_as_the_other_user(self, api):
        answer = await api.call(
            "POST",
            "/apis/authentication.k8s.io/v1/selfsubjectreviews",
            {},
            {"Impersonate-User": "other"},
        )

        assert answer.body["status"]["userInfo"]["username"] == "other"

    async def test_a_body_that_is_too_long_is_refused(self, api):
        from multidict import CIMultiDict

        from merope.controlplane.http.message import HttpRequest

        headers = CIMultiDict({"Authorization": "Bearer admin"})
        answer = await api.server.handle(
            HttpRequest("POST", "/api/v1/namespaces/default/configmaps", headers, oversized=True)
        )

        assert answer.status == 413
        assert b"limit is 3145728" in (answer.body or b"")

    async def test_a_failure_inside_becomes_a_status(self, api, monkeypatch):
        async def fail(*_, **__):
            raise RuntimeError("inside")

        monkeypatch.setattr(api.server.registry, "get", fail)

        answer = await api.call("GET", "/api/v1/namespaces/default")

        assert (answer.code, answer.body["reason"]) == (500, "InternalError")
