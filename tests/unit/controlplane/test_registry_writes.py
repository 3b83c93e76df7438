"""Create, update, patch and delete, seen from the bytes that come and go."""

import asyncio
import base64
import threading

import pytest

from merope.controlplane.http import yamlbody

pytestmark = pytest.mark.asyncio(loop_scope="module")


async def config_map(api, name="a", **more):
    namespace = await api.namespace()
    path = f"/api/v1/namespaces/{namespace}/configmaps"
    answer = await api.call("POST", path, {"metadata": {"name": name}, **more})
    assert answer.code == 201
    return f"{path}/{name}", answer.body


class TestCreate:
    async def test_server_owned_metadata_is_set_by_the_server(self, api):
        namespace = await api.namespace()

        answer = await api.call(
            "POST",
            f"/api/v1/namespaces/{namespace}/configmaps",
            {"metadata": {"name": "a", "uid": "mine", "creationTimestamp": "2001-01-01T00:00:00Z", "selfLink": "/x"}},
        )

        metadata = answer.body["metadata"]
        assert answer.code == 201
        assert metadata["namespace"] == namespace
        assert metadata["uid"] != "mine"
        assert metadata["creationTimestamp"] > "2020"
        assert "selfLink" not in metadata

    async def test_a_name_is_taken_only_once(self, api):
        path, _ = await config_map(api)

        answer = await api.call("POST", path.removesuffix("/a"), {"metadata": {"name": "a"}})

        assert (answer.code, answer.body["reason"]) == (409, "AlreadyExists")
        assert answer.body["message"] == 'configmaps "a" already exists'

    async def test_a_name_is_generated_from_its_prefix(self, api):
        namespace = await api.namespace()

        answer = await api.call(
            "POST", f"/api/v1/namespaces/{namespace}/configmaps", {"metadata": {"generateName": "x" * 60}}
        )

        name = answer.body["metadata"]["name"]
        assert name.startswith("x" * 58)
        assert len(name) == 63
        assert set(name[58:]) <= set("bcdfghjklmnpqrstvwxz2456789")

    async def test_an_object_without_a_name_is_invalid(self, api):
        namespace = await api.namespace()

        answer = await api.call("POST", f"/api/v1/namespaces/{namespace}/configmaps", {"metadata": {}})

        assert answer.code == 422
        assert "metadata.name: Required value: name or generateName is required" in answer.body["message"]

    async def test_a_resource_version_is_refused(self, api):
        namespace = await api.namespace()

        answer = await api.call(
            "POST", f"/api/v1/namespaces/{namespace}/configmaps", {"metadata": {"name": "a", "resourceVersion": "1"}}
        )

        assert answer.body["message"] == "resourceVersion should not be set on objects to be created"

    async def test_the_namespace_must_be_that_of_the_path(self, api):
        namespace = await api.namespace()

        answer = await api.call(
            "POST", f"/api/v1/namespaces/{namespace}/configmaps", {"metadata": {"name": "a", "namespace": "other"}}
        )

        assert answer.code == 400

    async def test_a_dry_run_stores_nothing(self, api):
        namespace = await api.namespace()
        path = f"/api/v1/namespaces/{namespace}/configmaps"
        version = api.server.store.rv

        answer = await api.call("POST", f"{path}?dryRun=All", {"metadata": {"name": "a"}})

        assert answer.code == 201
        assert answer.body["metadata"]["uid"]
        assert "resourceVersion" not in answer.body["metadata"]
        assert api.server.store.rv == version
        assert (await api.call("GET", f"{path}/a")).code == 404

    async def test_unknown_fields_are_reported_as_the_client_asks(self, api):
        namespace = await api.namespace()
        path = f"/api/v1/namespaces/{namespace}/configmaps"
        body = {"metadata": {"name": "a", "nothing": 1}, "other": 2}

        strict = await api.call("POST", f"{path}?fieldValidation=Strict", body)
        warned = await api.call("POST", path, body)
        body["metadata"]["name"] = "b"
        ignored = await api.call("POST", f"{path}?fieldValidation=Ignore", body)

        assert strict.code == 400
        assert strict.body["message"] == (
            'ConfigMap in version "v1" cannot be handled as a ConfigMap: strict decoding error: '
            'unknown field "metadata.nothing", unknown field "other"'
        )
        assert warned.code == 201
        assert warned.warnings == ['299 - "unknown field \\"metadata.nothing\\""', '299 - "unknown field \\"other\\""']
        assert "other" not in warned.body
        assert (ignored.code, ignored.warnings) == (201, [])

    async def test_a_value_of_the_wrong_type_cannot_be_handled(self, api):
        namespace = await api.namespace()

        answer = await api.call(
            "POST", f"/api/v1/namespaces/{namespace}/configmaps", {"metadata": {"name": "a"}, "data": {"k": 1}}
        )

        assert answer.code == 400
        assert "json: cannot unmarshal number into Go struct field ConfigMap.data of type string" in answer.text

    async def test_repeated_owners_are_dropped_with_a_warning(self, api):
        namespace = await api.namespace()
        owner = {"apiVersion": "v1", "kind": "Secret", "name": "s", "uid": "u"}

        answer = await api.call(
            "POST",
            f"/api/v1/namespaces/{namespace}/configmaps?dryRun=All",
            {"metadata": {"name": "a", "ownerReferences": [owner, owner]}},
        )

        assert answer.body["metadata"]["ownerReferences"] == [owner]
        assert "duplicate entries" in answer.warnings[0]


class TestUpdate:
    async def test_a_write_that_changes_nothing_is_none(self, api):
        path, obj = await config_map(api, data={"k": "v"})
        version = api.server.store.rv

        answer = await api.call("PUT", path, {"metadata": {"name": "a"}, "data": {"k": "v"}})

        assert answer.code == 200
        assert answer.body == obj
        assert api.server.store.rv == version

    async def test_true_is_another_value_than_one(self, api):
        namespace = await api.namespace()
        path = f"/api/v1/namespaces/{namespace}/secrets"
        await api.call("POST", path, {"metadata": {"name": "a"}})

        answer = await api.patch(f"{path}/a", {"immutable": True})

        assert answer.body["immutable"] is True

    async def test_a_stale_version_is_a_conflict(self, api):
        path, obj = await config_map(api)
        await api.patch(path, {"data": {"k": "v"}})

        answer = await api.call("PUT", path, obj)

        assert answer.code == 409
        assert answer.body["message"] == (
            'Operation cannot be fulfilled on configmaps "a": the object has been modified; please apply your changes '
            "to the latest version and try again"
        )

    async def test_another_uid_is_a_conflict(self, api):
        path, _ = await config_map(api)

        answer = await api.call("PUT", path, {"metadata": {"name": "a", "uid": "other"}})

        assert (answer.code, answer.body["reason"]) == (409, "Conflict")
        assert "Precondition failed: UID in precondition: other" in answer.body["message"]

    @pytest.mark.parametrize(
        ("metadata", "text"),
        [
            ({"name": "b"}, "the name of the object (b) does not match the name on the URL (a)"),
            ({}, "the name of the object (a based on URL) was undeterminable: name must be provided"),
        ],
    )
    async def test_the_name_must_be_that_of_the_path(self, api, metadata, text):
        path, _ = await config_map(api)

        answer = await api.call("PUT", path, {"metadata": metadata})

        assert (answer.code, answer.body["message"]) == (400, text)

    async def test_a_put_creates_only_kinds_that_allow_it(self, api):
        namespace = await api.namespace()
        lease = {"metadata": {"name": "l"}, "spec": {"holderIdentity": "x"}}

        created = await api.call("PUT", f"/apis/coordination.k8s.io/v1/namespaces/{namespace}/leases/l", lease)
        missing = await api.call("PUT", f"/api/v1/namespaces/{namespace}/configmaps/a", {"metadata": {"name": "a"}})

        assert (created.code, missing.code) == (201, 404)

    async def test_writers_that_set_no_version_all_succeed(self, api):
        path, _ = await config_map(api)

        answers = await asyncio.gather(*(api.patch(path, {"data": {f"k{i}": "v"}}) for i in range(20)))

        assert {answer.code for answer in answers} == {200}
        assert len((await api.call("GET", path)).body["data"]) == 20

    async def test_generation_follows_the_spec_only(self, api):
        namespace = await api.namespace()
        path = f"/apis/apps/v1/namespaces/{namespace}/deployments"
        template = {"metadata": {"labels": {"a": "b"}}, "spec": {"containers": [{"name": "c", "image": "x"}]}}
        spec = {"selector": {"matchLabels": {"a": "b"}}, "template": template}
        created = await api.call("POST", path, {"metadata": {"name": "d"}, "spec": spec, "status": {"replicas": 9}})

        labelled = await api.patch(f"{path}/d", {"metadata": {"labels": {"x": "y"}}, "status": {"replicas": 5}})
        scaled = await api.patch(f"{path}/d", {"spec": {"replicas": 3}})
        status = await api.patch(f"{path}/d/status", {"status": {"replicas": 3}, "spec": {"replicas": 7}})

        assert [a.body["metadata"]["generation"] for a in (created, labelled, scaled, status)] == [1, 1, 2, 2]
        assert "replicas" not in labelled.body["status"]
        assert status.body["status"]["replicas"] == 3
        assert status.body["spec"]["replicas"] == 3
        assert {entry.get("subresource") for entry in status.body["metadata"]["managedFields"]} == {None, "status"}


class TestPatch:
    async def test_each_type_of_patch_changes_the_object(self, api):
        path, _ = await config_map(api, data={"a": "1", "b": "2"})

        await api.patch(path, [{"op": "remove", "path": "/data/a"}], "json")
        await api.patch(path, {"data": {"b": None, "c": "3"}}, "merge")
        await api.patch(path, {"data": {"d": "4"}}, "strategic-merge")
        answer = await api.patch(
            f"{path}?fieldManager=m",
            {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "a"}, "data": {"e": "5"}},
            "apply",
        )

        assert answer.body["data"] == {"c": "3", "d": "4", "e": "5"}

    async def test_an_apply_creates_what_is_missing(self, api):
        namespace = await api.namespace()
        config = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "a"}, "data": {"k": "v"}}
        path = f"/api/v1/namespaces/{namespace}/configmaps/a?fieldManager=m"

        created = await api.patch(path, config, "apply")
        again = await api.patch(path, config, "apply")

        assert (created.code, again.code) == (201, 200)
        assert created.body == again.body
        assert created.body["metadata"]["managedFields"][0]["operation"] == "Apply"

    async def test_a_failing_json_patch_is_invalid(self, api):
        path, _ = await config_map(api)

        answer = await api.patch(path, [{"op": "test", "path": "/data/k", "value": "x"}], "json")

        assert answer.code == 422
        assert answer.body["message"] == "the server rejected our request due to an error in our request"

    @pytest.mark.parametrize(
        ("kind", "patch", "text"),
        [
            ("merge", b"null", "Invalid JSON Patch"),
            ("merge", b"{", "error decoding patch: unexpected end of JSON input"),
            (
                "json",
                b"{}",
                "error decoding patch: json: cannot unmarshal object into Go value of type []handlers.jsonPatchOp",
            ),
            ("strategic-merge", b"[]", "json: cannot unmarshal array into Go value of type map[string]interface {}"),
        ],
    )
    async def test_what_is_no_patch_is_a_bad_request(self, api, kind, patch, text):
        path, _ = await config_map(api)

        answer = await api.patch(path, patch, kind)

        assert (answer.code, answer.body["message"]) == (400, text)

    async def test_a_result_of_the_wrong_type_is_invalid(self, api):
        path, _ = await config_map(api)

        answer = await api.patch(path, {"data": "text"})

        assert answer.code == 422
        assert answer.body["details"]["causes"][0]["field"] == "patch"

    async def test_a_patch_that_fixes_the_version_loses_a_race(self, api):
        path, obj = await config_map(api)
        await api.patch(path, {"data": {"k": "v"}})

        answer = await api.patch(path, {"metadata": {"resourceVersion": obj["metadata"]["resourceVersion"]}})

        assert answer.code == 409

    async def test_identity_is_immutable(self, api):
        path, _ = await config_map(api)

        name = await api.patch(path, {"metadata": {"name": "b"}})
        uid = await api.patch(path, {"metadata": {"uid": "other"}})

        assert name.code == 400
        assert (uid.code, uid.body["details"]["causes"][0]["message"]) == (
            422,
            'Invalid value: "other": field is immutable',
        )


class TestDelete:
    async def test_the_answer_names_what_was_deleted(self, api):
        path, obj = await config_map(api)

        answer = await api.call("DELETE", path)

        assert answer.code == 200
        assert answer.body["status"] == "Success"
        assert answer.body["details"] == {"name": "a", "kind": "configmaps", "uid": obj["metadata"]["uid"]}
        assert (await api.call("GET", path)).code == 404

    async def test_an_object_with_finalizers_stays_until_the_last_one_goes(self, api):
        path, _ = await config_map(api)
        await api.patch(path, {"metadata": {"finalizers": ["example.com/x"]}})

        marked = await api.call("DELETE", path)
        again = await api.call("DELETE", path)
        new = await api.patch(path, {"metadata": {"finalizers": ["example.com/x", "example.com/y"]}})
        released = await api.patch(path, {"metadata": {"finalizers": None}})

        assert marked.body["metadata"]["deletionTimestamp"]
        assert marked.body["metadata"]["deletionGracePeriodSeconds"] == 0
        assert again.body == marked.body
        assert "no new finalizers can be added" in new.body["message"]
        assert released.code == 200
        assert released.body["metadata"]["resourceVersion"] == marked.body["metadata"]["resourceVersion"]
        assert (await api.call("GET", path)).code == 404

    @pytest.mark.parametrize("precondition", [{"uid": "other"}, {"resourceVersion": "1"}])
    async def test_preconditions_are_checked(self, api, precondition):
        path, _ = await config_map(api)

        answer = await api.call("DELETE", path, {"preconditions": precondition})

        assert answer.code == 409
        assert answer.body["details"]["kind"] == "ConfigMap"
        assert (await api.call("GET", path)).code == 200

    async def test_a_dry_run_deletes_nothing(self, api):
        path, _ = await config_map(api)

        assert (await api.call("DELETE", f"{path}?dryRun=All")).code == 200
        assert (await api.call("GET", path)).code == 200

    async def test_a_collection_is_deleted_by_selector(self, api):
        namespace = await api.namespace()
        path = f"/api/v1/namespaces/{namespace}/secrets"
        for name in ("a", "b", "c"):
            labels = {"go": "yes"} if name != "b" else {}
            await api.call("POST", path, {"metadata": {"name": name, "labels": labels}})

        answer = await api.call("DELETE", f"{path}?labelSelector=go=yes")

        assert answer.body["kind"] == "SecretList"
        assert [item["metadata"]["name"] for item in answer.body["items"]] == ["a", "c"]
        left = (await api.call("GET", path)).body["items"]
        assert [item["metadata"]["name"] for item in left] == ["b"]


class TestSubresources:
    async def test_the_scale_reads_and_writes_the_replicas_of_its_parent(self, api):
        namespace = await api.namespace()
        path = f"/apis/apps/v1/namespaces/{namespace}/deployments"
        template = {"metadata": {"labels": {"a": "b"}}, "spec": {"containers": [{"name": "c", "image": "x"}]}}
        spec = {"selector": {"matchLabels": {"a": "b"}}, "template": template}
        await api.call("POST", path, {"metadata": {"name": "d"}, "spec": spec})

        read = await api.call("GET", f"{path}/d/scale")
        patched = await api.patch(f"{path}/d/scale", {"spec": {"replicas": 0}})
        negative = await api.patch(f"{path}/d/scale", {"spec": {"replicas": -1}})

        assert read.body["kind"] == "Scale"
        assert read.body["spec"] == {"replicas": 1}
        assert read.body["status"] == {"replicas": 0, "selector": "a=b"}
        assert patched.body["spec"] == {}
        assert negative.code == 422
        assert (await api.call("GET", f"{path}/d")).body["spec"]["replicas"] == 0

    async def test_a_subresource_that_does_not_exist_is_an_unknown_path(self, api):
        path, _ = await config_map(api)

        answer = await api.call("GET", f"{path}/status")

        assert answer.body["message"] == "the server could not find the requested resource"

    async def test_logs_are_refused_but_only_of_pods_that_exist(self, api):
        namespace = await api.namespace()
        path = f"/api/v1/namespaces/{namespace}/pods"
        missing = await api.call("GET", f"{path}/p/log")
        await api.call("POST", path, {"metadata": {"name": "p"}, "spec": {"containers": [{"name": "c", "image": "x"}]}})

        assert missing.code == 404
        assert (await api.call("GET", f"{path}/p/log")).code == 501

    async def test_a_review_is_answered_and_stored_nowhere(self, api):
        version = api.server.store.rv

        answer = await api.call(
            "POST",
            "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews",
            {"spec": {"resourceAttributes": {"verb": "get", "resource": "pods"}}},
        )

        assert answer.code == 201
        assert answer.body["status"]["allowed"] is True
        assert api.server.store.rv == version

    async def test_an_eviction_deletes_the_pod(self, api):
        namespace = await api.namespace()
        path = f"/api/v1/namespaces/{namespace}/pods"
        await api.call("POST", path, {"metadata": {"name": "p"}, "spec": {"containers": [{"name": "c", "image": "x"}]}})

        answer = await api.call("POST", f"{path}/p/eviction", {"metadata": {"name": "p"}})

        assert answer.code == 201
        assert (await api.call("GET", f"{path}/p")).code == 404


async def test_secrets_keep_their_bytes(api):
    namespace = await api.namespace()
    encoded = base64.b64encode(bytes(range(256))).decode()

    answer = await api.call(
        "POST",
        f"/api/v1/namespaces/{namespace}/secrets",
        {"metadata": {"name": "s"}, "data": {"k": encoded}, "stringData": {"t": "x"}},
    )

    assert answer.body["data"] == {"k": encoded, "t": "eA=="}


async def test_a_large_body_is_decoded_beside_the_loop(api, monkeypatch):
    namespace = await api.namespace()
    path = f"/api/v1/namespaces/{namespace}/configmaps"
    threads = {}

    def load(text):
        threads[len(text)] = threading.current_thread()
        return original(text)

    original = yamlbody.load
    monkeypatch.setattr(yamlbody, "load", load)
    yaml = {"Content-Type": "application/yaml"}
    small, large = (f"metadata:\n  name: n{size}\ndata:\n  k: {'v' * size}\n".encode() for size in (10, 200_000))
    answers = [await api.call("POST", path, body, yaml) for body in (small, large)]

    assert [answer.code for answer in answers] == [201, 201]
    assert threads[len(small)] is threading.main_thread()
    assert threads[len(large)] is not threading.main_thread()


async def test_pretty_answers_are_for_people(api):
    answer = await api.call("GET", "/api/v1/namespaces/default?pretty=true")

    assert '\n  "kind": "Namespace",\n' in answer.text


async def test_patches_cannot_nest_an_object_deeper_than_it_can_be_shown(api):
    path, _ = await config_map(api)
    deep = value = {}
    for _ in range(150):
        value["x"] = value = {}
    entry = {"manager": "m", "operation": "Update", "apiVersion": "v1", "fieldsType": "FieldsV1", "fieldsV1": deep}
    first = [{"op": "add", "path": "/metadata/managedFields", "value": [entry]}]
    more = [{"op": "add", "path": "/metadata/managedFields/0/fieldsV1" + "/x" * 150 + "/y", "value": deep}]

    answer = await api.patch(path, [*first, *more], "json")

    assert answer.code == 400
    assert "depth" in answer.body["message"]
