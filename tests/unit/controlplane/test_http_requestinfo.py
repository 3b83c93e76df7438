"""How a method and a path are classified."""

import pytest

from merope.controlplane.http.requestinfo import RequestInfo, classify


def of(method: str, path: str, **query: str) -> RequestInfo:
    return classify(method, path, query)


@pytest.mark.parametrize(
    ("method", "path", "query", "expected"),
    [
        ("GET", "/api/v1/namespaces/a/pods", {}, ("list", "", "v1", "a", "pods", "", "")),
        ("GET", "/api/v1/namespaces/a/pods/p", {}, ("get", "", "v1", "a", "pods", "p", "")),
        ("GET", "/api/v1/namespaces/a/pods/p/log", {}, ("get", "", "v1", "a", "pods", "p", "log")),
        ("GET", "/api/v1/pods", {"watch": "1"}, ("watch", "", "v1", "", "pods", "", "")),
        ("GET", "/api/v1/pods", {"watch": "false"}, ("list", "", "v1", "", "pods", "", "")),
        ("GET", "/api/v1/pods", {"watch": "0"}, ("list", "", "v1", "", "pods", "", "")),
        ("GET", "/api/v1/namespaces/a", {}, ("get", "", "v1", "a", "namespaces", "a", "")),
        ("PUT", "/api/v1/namespaces/a/finalize", {}, ("update", "", "v1", "a", "namespaces", "a", "finalize")),
        ("PATCH", "/api/v1/namespaces/a/status", {}, ("patch", "", "v1", "a", "namespaces", "a", "status")),
        ("POST", "/apis/apps/v1/namespaces/a/jobs", {}, ("create", "apps", "v1", "a", "jobs", "", "")),
        ("DELETE", "/apis/apps/v1/namespaces/a/jobs", {}, ("deletecollection", "apps", "v1", "a", "jobs", "", "")),
        ("DELETE", "/apis/apps/v1/namespaces/a/jobs/d", {}, ("delete", "apps", "v1", "a", "jobs", "d", "")),
        ("GET", "/apis/rbac/v1/clusterroles/system%3Ax", {}, ("get", "rbac", "v1", "", "clusterroles", "system:x", "")),
    ],
)
def test_a_path_names_a_resource(method, path, query, expected):
    info = classify(method, path, query)

    assert info.is_resource
    assert expected == (
        info.verb,
        info.group,
        info.version,
        info.namespace,
        info.resource,
        info.name,
        info.subresource,
    )


@pytest.mark.parametrize(
    "path", ["/", "/version", "/api", "/api/v1", "/apis", "/apis/apps", "/apis/apps/v1", "/healthz"]
)
def test_paths_above_resources_are_no_resource_requests(path):
    info = of("GET", path)

    assert not info.is_resource
    assert info.verb == "get"
    assert info.path == path


def test_a_field_selector_on_the_name_narrows_what_is_authorized():
    info = of("GET", "/api/v1/namespaces/a/secrets", fieldSelector="metadata.name=b,type=Opaque")

    assert info.name == "b"
    assert info.path_name == ""


@pytest.mark.parametrize(
    "selector", ["metadata.name!=b", "metadata.name=a/b", "metadata.name=..", "metadata.name", "x=y"]
)
def test_a_field_selector_that_pins_no_valid_name_narrows_nothing(selector):
    assert of("GET", "/api/v1/namespaces/a/secrets", fieldSelector=selector).name == ""


@pytest.mark.parametrize(
    ("method", "path", "query", "expected"),
    [
        ("GET", "/api/v1/pods", {"watch": "true"}, True),
        ("GET", "/api/v1/namespaces/a/pods/p/log", {}, True),
        ("POST", "/api/v1/namespaces/a/pods/p/exec", {}, True),
        ("GET", "/api/v1/pods", {}, False),
        ("PATCH", "/api/v1/namespaces/a/pods/p/status", {}, False),
    ],
)
def test_watches_and_streams_have_no_deadline(method, path, query, expected):
    assert classify(method, path, query).long_running is expected
