"""Admission webhooks: who is asked, what they are shown, and what becomes of their answers.

The listener of these tests serves one function a path. Every configuration has a further webhook for objects with the
label ``marker``: asked for the first time, it tells that the API server knows the configuration.
"""

import base64
import http.server
import json
import secrets
import ssl
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from fixtures.api import Answer, Manifest
from fixtures.certificates import CertificateAuthority
from fixtures.cluster import Cluster
from fixtures.conditions import wait_until

Handler = Callable[[Manifest], Manifest]
ADMISSION = "/apis/admissionregistration.k8s.io/v1"
DEFINITIONS = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"
SERVICE = "webhook"


class Listener:
    """An HTTPS server that answers AdmissionReviews and remembers them by path."""

    def __init__(self, directory: Path, *names: str) -> None:
        self.authority = CertificateAuthority("webhooks")
        certificate, key = self.authority.issue_server(["localhost", *names], ["127.0.0.1"])
        (directory / "tls.crt").write_bytes(certificate)
        (directory / "tls.key").write_bytes(key)
        self.handlers: dict[str, Handler] = {"/marker": lambda _: {"allowed": True}}
        self.seen: dict[str, list[Manifest]] = {}
        self.queries: list[str] = []
        self.released = threading.Event()
        listener = self

        class Answering(http.server.BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                path, _, query = self.path.partition("?")
                body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                listener.queries.append(query)
                listener.seen.setdefault(path, []).append(body["request"])
                response = listener.handlers[path](body["request"])
                status = response.pop("http", 200)
                body["response"] = {"uid": body.pop("request")["uid"], **response}
                data = response.get("raw", json.dumps(body).encode())
                self.send_response(status)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(data)))
                self.end_headers()
                self.wfile.write(data)

            def log_message(self, *_: Any) -> None:
                pass

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Answering)
        self.server.daemon_threads = True
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(directory / "tls.crt", directory / "tls.key")
        self.server.socket = context.wrap_socket(self.server.socket, server_side=True, do_handshake_on_connect=False)
        self.port = self.server.server_address[1]
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def close(self) -> None:
        self.released.set()
        self.server.shutdown()
        self.server.server_close()

    def client(self, path: str, authority: CertificateAuthority | None = None) -> Manifest:
        bundle = base64.b64encode((authority or self.authority).pem).decode()
        return {"url": f"https://127.0.0.1:{self.port}{path}", "caBundle": bundle}


class Setup:
    """A namespace, and webhook configurations that concern only it."""

    def __init__(self, cluster: Cluster, namespace: str, listener: Listener) -> None:
        self.api = cluster.api
        self.namespace = namespace
        self.listener = listener
        self.maps = f"/api/v1/namespaces/{namespace}/configmaps"
        self.installed: list[str] = []

    def hook(self, handler: Handler | None = None, **changes: Any) -> Manifest:
        """A webhook for new ConfigMaps of the namespace; ``handler`` answers it."""
        path = f"/{secrets.token_hex(4)}"
        if handler is not None:
            self.listener.handlers[path] = handler
        return {
            "name": f"h{path[1:]}.example.com",
            "rules": [rule("configmaps")],
            "namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": self.namespace}},
            "objectSelector": {"matchExpressions": [{"key": "marker", "operator": "DoesNotExist"}]},
            "clientConfig": self.listener.client(path),
            "admissionReviewVersions": ["v1"],
            "sideEffects": "None",
            **changes,
        }

    def install(self, kind: str, *hooks: Manifest) -> Manifest:
        """Create a configuration and wait until the server acts on it."""
        marker = self.hook(
            name="marker.example.com",
            objectSelector={"matchLabels": {"marker": "true"}},
            clientConfig=self.listener.client("/marker"),
        )
        name = f"w{secrets.token_hex(4)}"
        path = f"{ADMISSION}/{kind}webhookconfigurations"
        created = self.api.create(path, {"metadata": {"name": name}, "webhooks": [marker, *hooks]})
        self.installed.append(f"{path}/{name}")
        known = len(self.listener.seen.get("/marker", ()))

        def asked() -> bool:
            metadata = {"name": f"marker-{secrets.token_hex(4)}", "labels": {"marker": "true"}}
            self.api.request("POST", f"{self.maps}?dryRun=All", {"metadata": metadata})
            return len(self.listener.seen.get("/marker", ())) > known

        wait_until(asked, f"{name} to be known", interval=0.05)
        return created

    def mutating(self, *hooks: Manifest) -> Manifest:
        return self.install("mutating", *hooks)

    def validating(self, *hooks: Manifest) -> Manifest:
        return self.install("validating", *hooks)

    def reviews(self, hook: Manifest) -> list[Manifest]:
        return self.listener.seen.get("/" + hook["name"].split(".")[0][1:], [])

    def post(self, name: str = "a", query: str = "", **fields: Any) -> Answer:
        labels = fields.pop("labels", {})
        return self.api.request("POST", f"{self.maps}{query}", {"metadata": {"name": name, "labels": labels}, **fields})


def rule(resource: str, *operations: str, group: str = "", version: str = "v1", scope: str = "*") -> Manifest:
    return {
        "operations": list(operations or ("CREATE",)),
        "apiGroups": [group],
        "apiVersions": [version],
        "resources": [resource],
        "scope": scope,
    }


def allow(_: Manifest) -> Manifest:
    return {"allowed": True}


def deny(_: Manifest) -> Manifest:
    return {"allowed": False, "status": {"message": "not today", "code": 403}}


def patching(*operations: Manifest) -> Handler:
    patch = base64.b64encode(json.dumps(operations).encode()).decode()
    return lambda _: {"allowed": True, "patchType": "JSONPatch", "patch": patch}


@pytest.fixture(scope="module")
def listener(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Listener]:
    names = [f"{SERVICE}.{namespace}.svc" for namespace in ("webhooks-slices", "webhooks-external")]
    found = Listener(tmp_path_factory.mktemp("tls"), *names)
    yield found
    found.close()


@pytest.fixture
def setup(cluster: Cluster, namespace: str, listener: Listener) -> Iterator[Setup]:
    made = Setup(cluster, namespace, listener)
    yield made
    for path in made.installed:
        cluster.api.delete(path)


def test_a_mutating_webhook_changes_the_object_and_owns_nothing(setup: Setup) -> None:
    hook = setup.hook(patching({"op": "add", "path": "/data", "value": {"added": "yes"}}))
    setup.mutating(hook)

    answer = setup.post("a", "?fieldManager=writer", immutable=False)

    assert answer.status == 201
    assert answer.body["data"] == {"added": "yes"}
    (entry,) = answer.body["metadata"]["managedFields"]
    assert entry["manager"] == "writer"
    assert entry["fieldsV1"] == {"f:immutable": {}}


def test_a_webhook_is_shown_the_whole_request(setup: Setup) -> None:
    hook = setup.hook(allow, rules=[rule("configmaps", "CREATE", "UPDATE", "DELETE")])
    setup.validating(hook)

    setup.post("a", "?fieldManager=m", data={"k": "v"})
    setup.api.patch(f"{setup.maps}/a", {"data": {"k": "w"}})
    setup.api.delete(f"{setup.maps}/a", options={"propagationPolicy": "Background"})

    created, updated, deleted = setup.reviews(hook)
    assert created["operation"] == "CREATE"
    assert (created["name"], created["namespace"]) == ("a", setup.namespace)
    assert created["kind"] == created["requestKind"] == {"group": "", "version": "v1", "kind": "ConfigMap"}
    assert created["resource"] == created["requestResource"] == {"group": "", "version": "v1", "resource": "configmaps"}
    assert created["userInfo"]["username"] == "tests-admin"
    assert "system:masters" in created["userInfo"]["groups"]
    assert created["object"]["data"] == {"k": "v"}
    assert created["object"]["metadata"]["uid"]
    assert created["oldObject"] is None
    assert created["dryRun"] is False
    assert created["options"] == {"kind": "CreateOptions", "apiVersion": "meta.k8s.io/v1", "fieldManager": "m"}
    assert (updated["object"]["data"], updated["oldObject"]["data"]) == ({"k": "w"}, {"k": "v"})
    assert updated["options"]["kind"] == "UpdateOptions"
    assert (deleted["object"], deleted["oldObject"]["data"]) == (None, {"k": "w"})
    assert deleted["options"]["kind"] == "DeleteOptions"
    assert deleted["options"]["propagationPolicy"] == "Background"
    assert "timeout=10s" in setup.listener.queries


def test_a_denial_has_the_words_and_the_code_of_the_webhook(setup: Setup) -> None:
    hook = setup.hook(deny)
    setup.validating(hook)

    answer = setup.post()

    assert answer.status == 403
    assert answer.body["message"] == f'admission webhook "{hook["name"]}" denied the request: not today'
    assert setup.api.find(f"{setup.maps}/a") is None


@pytest.mark.parametrize(
    ("status", "code", "reason", "said"),
    [
        ({}, 400, "", "without explanation"),
        ({"reason": "why"}, 400, "why", ": why"),
        ({"message": "m", "code": 200}, 400, "", ": m"),
        ({"message": "m", "code": 422, "reason": "Invalid"}, 422, "Invalid", ": m"),
    ],
)
def test_denials_without_a_code_are_bad_requests(
    setup: Setup, status: Manifest, code: int, reason: str, said: str
) -> None:
    setup.mutating(setup.hook(lambda _: {"allowed": False, "status": status}))

    answer = setup.post()

    assert (answer.status, answer.body.get("reason", "")) == (code, reason)
    assert answer.body["message"].endswith(said)


def test_warnings_reach_the_client(setup: Setup) -> None:
    setup.validating(setup.hook(lambda _: {"allowed": True, "warnings": ["beware"]}))

    answer = setup.post()

    assert answer.status == 201
    assert answer.headers["Warning"] == '299 - "beware"'


@pytest.mark.parametrize(("policy", "status"), [("Fail", 500), ("Ignore", 201)])
@pytest.mark.parametrize(
    "broken",
    [
        {"http": 500, "allowed": True},
        {"allowed": True, "raw": b"not JSON"},
        {"allowed": True, "uid": "another"},
        {"allowed": True, "patch": base64.b64encode(b"[]").decode()},
        {"allowed": True, "patchType": "JSONPatch"},
        {"allowed": True, "patchType": "MergePatch", "patch": base64.b64encode(b"{}").decode()},
        {"allowed": True, "patchType": "JSONPatch", "patch": base64.b64encode(b"{}").decode()},
        {"allowed": True, "patchType": "JSONPatch", "patch": base64.b64encode(b"null and void").decode()},
    ],
    ids=["status", "body", "uid", "no-patch-type", "no-patch", "patch-type", "no-list", "no-json"],
)
def test_an_answer_that_is_none_counts_as_the_failure_policy_says(
    setup: Setup, broken: Manifest, policy: str, status: int
) -> None:
    hook = setup.hook(lambda _: dict(broken), failurePolicy=policy)
    setup.mutating(hook)

    answer = setup.post()

    assert answer.status == status, answer.body
    if status == 500:
        assert answer.body["reason"] == "InternalError"
        assert f'failed calling webhook "{hook["name"]}"' in answer.body["message"]


@pytest.mark.parametrize("policy", ["Fail", "Ignore"])
def test_a_patch_that_cannot_be_applied_refuses_whatever_the_failure_policy(setup: Setup, policy: str) -> None:
    setup.mutating(setup.hook(patching({"op": "remove", "path": "/x"}), failurePolicy=policy))

    answer = setup.post()

    assert (answer.status, answer.body["reason"]) == (500, "InternalError")


def test_a_webhook_that_takes_too_long_fails(setup: Setup) -> None:
    def slow(_: Manifest) -> Manifest:
        setup.listener.released.wait(5)
        return {"allowed": True}

    hook = setup.hook(slow, timeoutSeconds=1)
    setup.validating(hook)

    answer = setup.post()

    assert answer.status == 500
    assert f'failed calling webhook "{hook["name"]}"' in answer.body["message"]
    assert "deadline exceeded" in answer.body["message"]


def test_a_certificate_of_another_authority_is_not_accepted(setup: Setup) -> None:
    hook = setup.hook(allow)
    hook["clientConfig"]["caBundle"] = base64.b64encode(CertificateAuthority("other").pem).decode()
    setup.validating(hook)

    answer = setup.post()

    assert answer.status == 500
    assert "failed to verify certificate" in answer.body["message"]
    assert setup.reviews(hook) == []


def test_nobody_listening_fails_closed_or_open(setup: Setup) -> None:
    closed = setup.hook(objectSelector={"matchLabels": {"p": "fail"}}, failurePolicy="Fail")
    opened = setup.hook(failurePolicy="Ignore")
    for hook in (closed, opened):
        hook["clientConfig"]["url"] = "https://127.0.0.1:1/x"
    setup.validating(closed, opened)

    assert setup.post("a").status == 201
    refused = setup.post("b", labels={"p": "fail"})
    assert refused.status == 500
    assert "connection refused" in refused.body["message"]


def test_selectors_and_rules_choose(setup: Setup, cluster: Cluster) -> None:
    by_object = setup.hook(deny, objectSelector={"matchExpressions": [{"key": "deny", "operator": "Exists"}]})
    elsewhere = setup.hook(deny, namespaceSelector={"matchLabels": {"kubernetes.io/metadata.name": "other"}})
    cluster_scoped = setup.hook(deny, rules=[rule("configmaps", scope="Cluster")])
    updates = setup.hook(deny, rules=[rule("configmaps", "UPDATE")])
    other_version = setup.hook(deny, rules=[rule("configmaps", version="v2")])
    setup.validating(by_object, elsewhere, cluster_scoped, updates, other_version)

    assert setup.post("a").status == 201
    assert setup.post("b", labels={"deny": ""}).status == 403
    patched = setup.api.request(
        "PATCH", f"{setup.maps}/a", {"data": {"k": "v"}}, {"Content-Type": "application/merge-patch+json"}
    )
    assert patched.status == 403
    # The object as it was counts, too: taking the label away does not help.
    assert setup.api.delete(f"{setup.maps}/a")["status"] == "Success"


def test_subresources_are_matched_only_where_the_rule_names_them(setup: Setup) -> None:
    plain = setup.hook(deny, rules=[rule("deployments", "UPDATE", group="apps")])
    status = setup.hook(allow, rules=[rule("deployments/status", "UPDATE", group="apps")])
    everything = setup.hook(allow, rules=[rule("*/*", "UPDATE", group="apps")])
    setup.validating(plain, status, everything)
    path = f"/apis/apps/v1/namespaces/{setup.namespace}/deployments"
    container = {"name": "c", "image": "x"}
    template = {"metadata": {"labels": {"a": "b"}}, "spec": {"containers": [container]}}
    spec = {"selector": {"matchLabels": {"a": "b"}}, "template": template}
    setup.api.create(path, {"metadata": {"name": "d"}, "spec": spec})

    setup.api.patch(f"{path}/d/status", {"status": {"replicas": 3}})

    assert setup.reviews(plain) == []
    (review,) = setup.reviews(status)
    assert review["subResource"] == review["requestSubResource"] == "status"
    assert len(setup.reviews(everything)) == 1


def test_match_conditions_choose(setup: Setup) -> None:
    conditions = [
        {"name": "named", "expression": "object.metadata.name.startsWith('x')"},
        {"name": "user", "expression": "request.userInfo.username == 'tests-admin'"},
    ]
    setup.validating(setup.hook(deny, matchConditions=conditions))

    assert setup.post("a").status == 201
    assert setup.post("x").status == 403


@pytest.mark.parametrize(("policy", "status"), [("Fail", 403), ("Ignore", 201)])
def test_a_match_condition_that_fails_counts_as_the_failure_policy_says(setup: Setup, policy: str, status: int) -> None:
    conditions = [{"name": "broken", "expression": "object.missing == 1"}]
    hook = setup.hook(deny, matchConditions=conditions, failurePolicy=policy)
    setup.validating(hook)

    assert setup.post().status == status
    assert setup.reviews(hook) == []


def test_webhooks_mutate_in_order_and_are_asked_again_when_a_later_one_changed_more(setup: Setup) -> None:
    first = setup.hook(allow, reinvocationPolicy="IfNeeded")
    never = setup.hook(allow)
    last = setup.hook(patching({"op": "add", "path": "/data", "value": {"last": "1"}}))
    setup.mutating(first, never, last)

    assert setup.post().status == 201

    assert [review["object"].get("data") for review in setup.reviews(first)] == [None, {"last": "1"}]
    assert len(setup.reviews(never)) == 1
    assert len(setup.reviews(last)) == 1


def test_nobody_is_asked_again_when_nothing_changed_since(setup: Setup) -> None:
    first = setup.hook(patching({"op": "add", "path": "/data", "value": {"first": "1"}}), reinvocationPolicy="IfNeeded")
    last = setup.hook(allow)
    setup.mutating(first, last)

    assert setup.post().status == 201
    assert len(setup.reviews(first)) == 1


def test_a_dry_run_tells_webhooks_so_and_stores_nothing(setup: Setup) -> None:
    hook = setup.hook(allow, sideEffects="NoneOnDryRun")
    setup.validating(hook)

    assert setup.post("a", "?dryRun=All").status == 201

    (review,) = setup.reviews(hook)
    assert review["dryRun"] is True
    assert review["options"]["dryRun"] == ["All"]
    assert setup.api.find(f"{setup.maps}/a") is None


def test_validating_webhooks_see_what_mutating_ones_left_and_may_not_patch(setup: Setup) -> None:
    setup.mutating(setup.hook(patching({"op": "add", "path": "/data", "value": {"k": "mutated"}})))
    seeing = setup.hook(allow)
    patched = setup.hook(
        patching({"op": "add", "path": "/data", "value": {}}), objectSelector={"matchLabels": {"p": ""}}
    )
    setup.validating(seeing, patched)

    assert setup.post().status == 201
    assert setup.reviews(seeing)[0]["object"]["data"] == {"k": "mutated"}
    refused = setup.post("b", labels={"p": ""})
    assert refused.status == 500
    assert "webhook may not return response.patch" in refused.body["message"]


def test_what_a_patch_breaks_is_found_by_validation(setup: Setup) -> None:
    setup.mutating(setup.hook(patching({"op": "add", "path": "/metadata/labels", "value": {"bad value": "-"}})))

    answer = setup.post()

    assert (answer.status, answer.body["reason"]) == (422, "Invalid")


def test_equivalent_versions_are_shown_in_the_version_of_the_rule(setup: Setup, cluster: Cluster) -> None:
    group = f"g{secrets.token_hex(4)}.example.com"
    names = {"plural": "widgets", "singular": "widget", "kind": "Widget", "listKind": "WidgetList"}
    schema = {"openAPIV3Schema": {"type": "object", "x-kubernetes-preserve-unknown-fields": True}}
    versions = [
        {"name": "v1", "served": True, "storage": True, "schema": schema},
        {"name": "v2", "served": True, "storage": False, "schema": schema},
    ]
    spec = {"group": group, "names": names, "scope": "Namespaced", "versions": versions}
    cluster.api.create(DEFINITIONS, {"metadata": {"name": f"widgets.{group}"}, "spec": spec})
    path = f"/apis/{group}/v2/namespaces/{setup.namespace}/widgets"
    wait_until(lambda: cluster.api.request("GET", path).status == 200, "widgets to be served")
    rules = [rule("widgets", group=group, version="v1")]
    equivalent = setup.hook(patching({"op": "add", "path": "/x", "value": 1}), rules=rules)
    exact = setup.hook(deny, rules=rules, matchPolicy="Exact")
    setup.mutating(equivalent, exact)

    widget = {"apiVersion": f"{group}/v2", "kind": "Widget", "metadata": {"name": "a"}}
    created = wait_until(
        lambda: setup.api.create(path, {**widget, "metadata": {"generateName": "a"}}).get("x") and widget, "the webhook"
    )
    assert created

    review = setup.reviews(equivalent)[-1]
    assert review["kind"]["version"] == review["resource"]["version"] == "v1"
    assert review["requestKind"]["version"] == review["requestResource"]["version"] == "v2"
    assert review["object"]["apiVersion"] == f"{group}/v1"
    assert setup.reviews(exact) == []
    cluster.api.delete(f"{DEFINITIONS}/widgets.{group}")


def test_collections_are_deleted_object_by_object(setup: Setup) -> None:
    hook = setup.hook(
        allow,
        rules=[rule("configmaps", "DELETE")],
        objectSelector={"matchLabels": {"mine": "1"}},
    )
    setup.validating(hook)
    for name in ("a", "b"):
        setup.post(name, labels={"mine": "1"})

    setup.api.delete(f"{setup.maps}?labelSelector=mine%3D1")

    shown = [review["oldObject"]["metadata"]["name"] for review in setup.reviews(hook) if review["oldObject"]]
    assert sorted(shown) == ["a", "b"]


def test_configurations_are_not_subject_to_webhooks(setup: Setup) -> None:
    hook = setup.hook(
        deny,
        rules=[rule("*", "CREATE", "UPDATE", "DELETE", group="admissionregistration.k8s.io")],
        namespaceSelector={},
    )
    setup.validating(hook)

    setup.mutating(setup.hook(allow))
    assert setup.reviews(hook) == []


@pytest.mark.embedded_only
def test_nothing_enters_a_namespace_that_went_while_a_webhook_was_thinking(
    cluster: Cluster, listener: Listener
) -> None:
    setup = Setup(cluster, cluster.create_namespace(), listener)
    asked, go_on = threading.Event(), threading.Event()

    def slow(_: Manifest) -> Manifest:
        asked.set()
        go_on.wait(10)
        return {"allowed": True}

    hook = setup.hook(slow, objectSelector={"matchLabels": {"slow": "1"}})
    setup.validating(hook)
    answers: list[Answer] = []
    writer = threading.Thread(target=lambda: answers.append(setup.post("late", labels={"slow": "1"})))
    writer.start()
    assert asked.wait(10)
    cluster.api.delete(f"/api/v1/namespaces/{setup.namespace}")
    wait_until(lambda: cluster.api.find(f"/api/v1/namespaces/{setup.namespace}") is None, "the namespace to go")

    go_on.set()
    writer.join()

    assert answers[0].status == 404
    assert cluster.api.items(setup.maps) == []
    cluster.api.delete(setup.installed[0])


@pytest.mark.embedded_only
def test_a_service_is_reached_through_its_endpoint_slices(setup: Setup, cluster: Cluster) -> None:
    namespace = cluster.create_namespace("webhooks-slices")
    base = f"/api/v1/namespaces/{namespace}"
    ports = [{"name": "https", "port": 443, "targetPort": 9443}]
    cluster.api.create(f"{base}/services", {"metadata": {"name": SERVICE}, "spec": {"ports": ports}})
    hook = setup.hook(allow)
    bundle = hook["clientConfig"]["caBundle"]
    path = "/" + hook["name"].split(".")[0][1:]
    service = {"namespace": namespace, "name": SERVICE, "path": path}
    hook["clientConfig"] = {"caBundle": bundle, "service": service}
    setup.validating(hook)

    refused = setup.post("a")
    assert refused.status == 500
    assert f'no endpoints available for service "{namespace}/{SERVICE}"' in refused.body["message"]

    slice_ = {
        "metadata": {"name": "s", "labels": {"kubernetes.io/service-name": SERVICE}},
        "addressType": "IPv4",
        "endpoints": [
            {"addresses": ["127.0.0.9"], "conditions": {"ready": False}},
            {"addresses": ["127.0.0.1"]},
        ],
        "ports": [{"name": "https", "port": setup.listener.port}],
    }
    cluster.api.create(f"/apis/discovery.k8s.io/v1/namespaces/{namespace}/endpointslices", slice_)
    assert setup.post("a").status == 201
    assert len(setup.reviews(hook)) == 1


def test_a_service_may_be_an_external_name(setup: Setup, cluster: Cluster) -> None:
    namespace = cluster.create_namespace("webhooks-external")
    spec = {"type": "ExternalName", "externalName": "localhost"}
    cluster.api.create(f"/api/v1/namespaces/{namespace}/services", {"metadata": {"name": SERVICE}, "spec": spec})
    hook = setup.hook(allow)
    path = "/" + hook["name"].split(".")[0][1:]
    service = {"namespace": namespace, "name": SERVICE, "path": path, "port": setup.listener.port}
    hook["clientConfig"] = {"caBundle": hook["clientConfig"]["caBundle"], "service": service}
    setup.validating(hook)

    assert wait_until(lambda: setup.post(f"a{secrets.token_hex(3)}").status == 201, "the service to be known")
    assert len(setup.reviews(hook)) == 1
