"""Custom resources over the wire: defined, served, watched, converted, gone."""

from __future__ import annotations

import base64
import http.client
import http.server
import json
import ssl
import threading
from pathlib import Path
from typing import Any

import pytest

from fixtures.api import ApiFailureError, Manifest
from fixtures.certificates import CertificateAuthority
from fixtures.cluster import Cluster
from fixtures.conditions import wait_until

GROUP = "things.merope.dev"
DEFINITIONS = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"
ANY = {"type": "object", "x-kubernetes-preserve-unknown-fields": True}


def definition(name: str, schema: Manifest | None = None, **spec: Any) -> Manifest:
    kind = name.removesuffix("s").capitalize()
    version = {"name": "v1", "served": True, "storage": True, "schema": {"openAPIV3Schema": schema or ANY}}
    return {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": f"{name}.{GROUP}"},
        "spec": {
            "group": GROUP,
            "scope": "Namespaced",
            "names": {"plural": name, "kind": kind},
            "versions": [version],
            **spec,
        },
    }


def establish(cluster: Cluster, crd: Manifest) -> str:
    """Create a definition; gives the path of its resources in the namespace ``default``."""
    cluster.api.create(DEFINITIONS, crd)
    name = crd["metadata"]["name"]
    wait_until(lambda: condition(cluster, name, "Established") == "True", f"{name} is established")
    path = f"/apis/{GROUP}/v1/namespaces/default/{crd['spec']['names']['plural']}"
    wait_until(lambda: cluster.api.request("GET", path).status == 200, f"{path} is served")
    return path


def condition(cluster: Cluster, name: str, kind: str) -> str:
    status = cluster.api.get(f"{DEFINITIONS}/{name}").get("status") or {}
    return next((c["status"] for c in status.get("conditions") or () if c["type"] == kind), "")


def thing(crd: Manifest, name: str, version: str = "v1", **fields: Any) -> Manifest:
    return {
        "apiVersion": f"{GROUP}/{version}",
        "kind": crd["spec"]["names"]["kind"],
        "metadata": {"name": name},
        **fields,
    }


@pytest.mark.parametrize("method", ["POST", "DELETE", "PUT", "PATCH"])
def test_only_lists_look_into_all_namespaces(cluster: Cluster, method: str) -> None:
    path = establish(cluster, definition(f"wide{method.lower()}s"))

    answer = cluster.api.request(method, path.replace("/namespaces/default", ""), {"metadata": {"name": "a"}})

    assert answer.status == 404
    assert "404 page not found" in str(answer.body)


def groups(cluster: Cluster) -> set[str]:
    return {group["name"] for group in cluster.api.get("/apis")["groups"]}


@pytest.mark.embedded_only
def test_a_definition_that_shows_established_is_served_at_once(cluster: Cluster) -> None:
    crd = definition("moments")
    cluster.api.create(DEFINITIONS, crd)
    name = crd["metadata"]["name"]
    wait_until(lambda: condition(cluster, name, "Established") == "True", "established", interval=0.001)

    created = cluster.api.create(f"/apis/{GROUP}/v1/namespaces/default/moments", thing(crd, "a"))

    assert created["metadata"]["generation"] == 1
    assert GROUP in groups(cluster)
    assert (
        "/openapi/v3/apis/" + GROUP in cluster.api.get("/openapi/v3")["paths"][f"apis/{GROUP}/v1"]["serverRelativeURL"]
    )


def test_bodies_are_pruned_completed_and_judged(cluster: Cluster) -> None:
    size = {"type": "integer", "maximum": 9, "default": 3}
    spec = {
        "type": "object",
        "properties": {"size": size, "name": {"type": "string"}},
        "x-kubernetes-validations": [{"rule": "self.name != 'bad'", "message": "bad is not allowed"}],
    }
    crd = definition("shapes", {"type": "object", "properties": {"spec": spec}})
    path = establish(cluster, crd)

    created = cluster.api.request("POST", path, thing(crd, "a", spec={"name": "x", "odd": 1}))
    assert created.body["spec"] == {"name": "x", "size": 3}
    assert created.headers["Warning"] == '299 - "unknown field \\"spec.odd\\""'

    for wrong, message in (
        (
            {"name": "x", "size": 10},
            "spec.size: Invalid value: 10: spec.size in body should be less than or equal to 9",
        ),
        ({"name": "bad"}, "spec: Invalid value: bad is not allowed"),
    ):
        answer = cluster.api.request("POST", path, thing(crd, "b", spec=wrong))
        assert answer.status == 422
        kind = f"{crd['spec']['names']['kind']}.{GROUP}"
        assert answer.body["message"] == f'{kind} "b" is invalid: {message}'

    with pytest.raises(ApiFailureError, match="strict decoding error: unknown field"):
        cluster.api.create(f"{path}?fieldValidation=Strict", thing(crd, "c", spec={"name": "x", "odd": 1}))


def test_a_default_added_later_shows_on_stored_objects(cluster: Cluster) -> None:
    schema: Manifest = {
        "type": "object",
        "properties": {"spec": {"type": "object", "properties": {"a": {"type": "string"}}}},
    }
    crd = definition("laters", schema)
    path = establish(cluster, crd)
    before = cluster.api.create(path, thing(crd, "a", spec={}))

    pointer = "/spec/versions/0/schema/openAPIV3Schema/properties/spec/properties/a/default"
    cluster.api.patch(f"{DEFINITIONS}/laters.{GROUP}", [{"op": "add", "path": pointer, "value": "new"}], "json")

    def completed() -> Manifest:
        # A real server may be busy for a moment with taking the new schema over (429).
        single, listed = cluster.api.request("GET", f"{path}/a"), cluster.api.request("GET", path)
        assert (single.status, listed.status) == (200, 200)
        assert single.body["spec"] == listed.body["items"][0]["spec"] == {"a": "new"}
        return single.body

    after = wait_until(completed, "the default shows")
    assert after["metadata"]["resourceVersion"] == before["metadata"]["resourceVersion"]


def test_the_scale_of_a_custom_resource(cluster: Cluster) -> None:
    crd = definition("fleets")
    crd["spec"]["versions"][0]["subresources"] = {
        "status": {},
        "scale": {
            "specReplicasPath": ".spec.replicas",
            "statusReplicasPath": ".status.replicas",
            "labelSelectorPath": ".status.selector",
        },
    }
    path = establish(cluster, crd)
    cluster.api.create(path, thing(crd, "a", spec={"replicas": 2}))
    cluster.api.patch(f"{path}/a/status", {"status": {"replicas": 1, "selector": "app=x"}})

    scaled = cluster.api.patch(f"{path}/a/scale", {"spec": {"replicas": 5}})

    assert (scaled["kind"], scaled["spec"], scaled["status"]) == (
        "Scale",
        {"replicas": 5},
        {"replicas": 1, "selector": "app=x"},
    )
    found = cluster.api.get(f"{path}/a")
    assert found["spec"] == {"replicas": 5}
    assert found["metadata"]["generation"] == 2
    assert cluster.kubectl("-n", "default", "scale", f"fleets.{GROUP}/a", "--replicas=7")
    assert cluster.api.get(f"{path}/a/scale")["spec"] == {"replicas": 7}


def test_selectable_fields_select(cluster: Cluster) -> None:
    schema: Manifest = {
        "type": "object",
        "properties": {"spec": {"type": "object", "properties": {"color": {"type": "string"}}}},
    }
    crd = definition("colors", schema)
    crd["spec"]["versions"][0]["selectableFields"] = [{"jsonPath": ".spec.color"}]
    path = establish(cluster, crd)
    for name, color in (("a", "red"), ("b", "blue"), ("c", "red")):
        cluster.api.create(path, thing(crd, name, spec={"color": color}))

    found = cluster.api.items(f"{path}?fieldSelector=spec.color%3Dred")

    assert [item["metadata"]["name"] for item in found] == ["a", "c"]
    assert cluster.api.request("GET", f"{path}?fieldSelector=spec.size%3D1").status == 400


def test_a_version_that_is_no_longer_served_goes_and_its_watches_end(cluster: Cluster) -> None:
    crd = definition("ages")
    crd["spec"]["versions"].append({"name": "v2", "served": True, "storage": False, "schema": {"openAPIV3Schema": ANY}})
    path = establish(cluster, crd)
    second = path.replace("/v1/", "/v2/")
    cluster.api.create(path, thing(crd, "a", spec={"x": 1}))
    assert cluster.api.get(f"{second}/a")["apiVersion"] == f"{GROUP}/v2"
    with Watch(cluster, f"{second}?watch=1&resourceVersion=0") as watch:
        assert watch.event()["object"]["apiVersion"] == f"{GROUP}/v2"

        cluster.api.patch(
            f"{DEFINITIONS}/ages.{GROUP}",
            [{"op": "replace", "path": "/spec/versions/1/served", "value": False}],
            "json",
        )

        assert watch.ended()
    wait_until(lambda: cluster.api.request("GET", second).status == 404, "v2 is gone")
    assert cluster.api.get(f"{path}/a")["spec"] == {"x": 1}


def test_instances_go_before_their_definition(cluster: Cluster) -> None:
    crd = definition("leavers")
    path = establish(cluster, crd)
    held = thing(crd, "held")
    held["metadata"]["finalizers"] = ["merope.dev/test"]
    cluster.api.create(path, held)
    cluster.api.create(path, thing(crd, "free"))

    deleted = cluster.api.delete(f"{DEFINITIONS}/leavers.{GROUP}")

    assert deleted["metadata"]["finalizers"] == ["customresourcecleanup.apiextensions.k8s.io"]
    wait_until(lambda: cluster.api.find(f"{path}/free") is None, "the free instance is gone")
    wait_until(lambda: cluster.api.request("POST", path, thing(crd, "new")).status == 403, "nothing new is created")
    assert condition(cluster, f"leavers.{GROUP}", "Terminating") == "True"
    cluster.api.patch(f"{path}/held", {"metadata": {"finalizers": None}})
    wait_until(lambda: cluster.api.find(f"{DEFINITIONS}/leavers.{GROUP}") is None, "the definition is gone")
    wait_until(lambda: cluster.api.request("GET", path).status == 404, "its endpoints are gone")


def test_a_name_becomes_free_when_its_definition_goes(cluster: Cluster) -> None:
    first = definition("owners", names={"plural": "owners", "kind": "Owner", "shortNames": ["tk"]})
    establish(cluster, first)
    second = definition("takers", names={"plural": "takers", "kind": "Taker", "shortNames": ["tk"]})
    cluster.api.create(DEFINITIONS, second)
    wait_until(lambda: condition(cluster, f"takers.{GROUP}", "NamesAccepted") == "False", "the name is taken")

    cluster.api.delete(f"{DEFINITIONS}/owners.{GROUP}")

    wait_until(lambda: condition(cluster, f"takers.{GROUP}", "Established") == "True", "the name is free")


@pytest.mark.embedded_only
def test_definitions_and_objects_survive_a_restart(cluster: Cluster) -> None:
    crd = definition(
        "stayers",
        {"type": "object", "properties": {"spec": {"type": "object", "properties": {"a": {"type": "string"}}}}},
    )
    path = establish(cluster, crd)
    cluster.api.create(path, thing(crd, "a", spec={"a": "x"}))

    cluster.restart()

    assert cluster.api.get(f"{path}/a")["spec"] == {"a": "x"}
    assert cluster.api.request("POST", path, thing(crd, "b", spec={"a": 1})).status == 422


def test_versions_are_converted_by_a_webhook(cluster: Cluster, tmp_path: Path, control_plane: str) -> None:
    with Converter(tmp_path) as converter:
        crd = definition("shifts", conversion=converter.conversion())
        crd["spec"]["versions"].append(
            {"name": "v2", "served": True, "storage": False, "schema": {"openAPIV3Schema": ANY}}
        )
        path = establish(cluster, crd)
        second = path.replace("/v1/", "/v2/")

        cluster.api.create(path, thing(crd, "a", spec={"size": 1}))
        assert cluster.api.get(f"{second}/a")["spec"] == {"length": 1}
        cluster.api.create(second, thing(crd, "b", "v2", spec={"length": 2}))
        assert cluster.api.get(f"{path}/b")["spec"] == {"size": 2}
        assert [item["spec"] for item in cluster.api.items(second)] == [{"length": 1}, {"length": 2}]
        with Watch(cluster, f"{second}?watch=1&resourceVersion=0") as watch:
            assert [watch.event()["object"]["spec"] for _ in range(2)] == [{"length": 1}, {"length": 2}]
            cluster.api.patch(f"{path}/a", {"spec": {"size": 3}})
            assert watch.event()["object"]["spec"] == {"length": 3}

        for index in range(20):
            cluster.api.create(path, thing(crd, f"many{index}", spec={"size": index}))
        converter.reviews = 0
        assert len(cluster.api.items(second)) == 22
        if control_plane == "embedded":  # a real one converts as the watch cache of that version fills
            assert converter.reviews <= 1

        converter.failure = "no luck today"
        cluster.api.create(path, thing(crd, "c", spec={"size": 3}))
        answer = cluster.api.request("GET", f"{second}/c")
        assert answer.status == 500
        assert answer.body["message"] == (
            f"conversion webhook for {GROUP}/v1, Kind={crd['spec']['names']['kind']} failed: no luck today"
        )
        converter.failure = ""
        cluster.api.delete(f"{DEFINITIONS}/shifts.{GROUP}")
        wait_until(lambda: cluster.api.find(f"{DEFINITIONS}/shifts.{GROUP}") is None, "the definition is gone")


class Watch:
    """A watch, read event by event."""

    def __init__(self, cluster: Cluster, path: str) -> None:
        address = cluster.url.removeprefix("https://").rstrip("/")
        self._connection = http.client.HTTPSConnection(address, timeout=20, context=cluster.ssl_context())
        headers = {"Authorization": f"Bearer {cluster.admin_token}"}
        self._connection.request("GET", path, headers=headers)
        self._response = self._connection.getresponse()

    def event(self) -> Manifest:
        return json.loads(self._response.readline())  # type: ignore[no-any-return]

    def ended(self) -> bool:
        """Whether the server ends the watch, after whatever events it still sends."""
        while self._response.readline():
            pass
        return True

    def __enter__(self) -> Watch:
        return self

    def __exit__(self, *_: object) -> None:
        self._connection.close()


class Converter:
    """A conversion webhook: v1 says ``size`` where v2 says ``length``."""

    def __init__(self, directory: Path) -> None:
        self.failure = ""
        self.reviews = 0
        authority = CertificateAuthority("converters")
        certificate, key = authority.issue_server(["converter"], ["127.0.0.1"])
        self._ca = authority.pem
        chain = directory / "server.pem"
        chain.write_bytes(certificate + key)
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(chain)
        converter = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                review = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                body = json.dumps(converter.answer(review)).encode()
                self.send_response(200)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_: Any) -> None:
                pass

        self._server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.socket = context.wrap_socket(self._server.socket, server_side=True)
        self._thread = threading.Thread(target=self._server.serve_forever, daemon=True)

    def conversion(self) -> Manifest:
        url = f"https://127.0.0.1:{self._server.server_address[1]}/convert"
        client = {"url": url, "caBundle": base64.b64encode(self._ca).decode()}
        return {"strategy": "Webhook", "webhook": {"clientConfig": client, "conversionReviewVersions": ["v1"]}}

    def answer(self, review: Manifest) -> Manifest:
        request = review["request"]
        self.reviews += 1
        response: Manifest = {"uid": request["uid"], "result": {"status": "Success"}}
        if self.failure:
            response["result"] = {"status": "Failure", "message": self.failure}
        else:
            response["convertedObjects"] = [
                self._converted(obj, request["desiredAPIVersion"]) for obj in request["objects"]
            ]
        return {"apiVersion": review["apiVersion"], "kind": "ConversionReview", "response": response}

    @staticmethod
    def _converted(obj: Manifest, version: str) -> Manifest:
        old, new = ("size", "length") if version.endswith("/v2") else ("length", "size")
        spec = {new if key == old else key: value for key, value in (obj.get("spec") or {}).items()}
        return {**obj, "apiVersion": version, "spec": spec}

    def __enter__(self) -> Converter:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()
