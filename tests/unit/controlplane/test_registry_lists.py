"""Lists and watches: versions, pages, selectors, events."""

import asyncio
import base64
import json

import pytest

pytestmark = pytest.mark.asyncio(loop_scope="module")


async def config_maps(api, *names, **labels):
    namespace = await api.namespace()
    path = f"/api/v1/namespaces/{namespace}/secrets"
    for name in names:
        await api.call("POST", path, {"metadata": {"name": name, "labels": labels.get(name, {})}})
    return path


def names(answer):
    return [item["metadata"]["name"] for item in answer.body["items"]]


async def test_a_list_is_sorted_and_leaves_the_type_of_built_in_items_out(api):
    path = await config_maps(api, "c", "a", "b")

    answer = await api.call("GET", path)

    assert names(answer) == ["a", "b", "c"]
    assert (answer.body["kind"], answer.body["apiVersion"]) == ("SecretList", "v1")
    assert answer.body["metadata"] == {"resourceVersion": str(api.server.store.rv)}
    assert not {"kind", "apiVersion"} & answer.body["items"][0].keys()


async def test_an_empty_list_has_items(api):
    path = await config_maps(api)

    assert (await api.call("GET", path)).body["items"] == []


async def test_pages_show_one_version(api):
    path = await config_maps(api, "a", "b", "c", "d")

    first = await api.call("GET", f"{path}?limit=2")
    await api.call("POST", path, {"metadata": {"name": "bb"}})
    await api.call("DELETE", f"{path}/d")
    second = await api.call("GET", f"{path}?limit=2&continue={first.body['metadata']['continue']}")

    assert names(first) == ["a", "b"]
    assert first.body["metadata"]["remainingItemCount"] == 2
    assert names(second) == ["c", "d"]
    assert "continue" not in second.body["metadata"]
    assert second.body["metadata"]["resourceVersion"] == first.body["metadata"]["resourceVersion"]


async def test_pages_across_namespaces_go_on_where_they_ended(api):
    path = await config_maps(api, "zz-a", "zz-b", "zz-c", **{n: {"pages": "yes"} for n in ("zz-a", "zz-b", "zz-c")})
    assert path
    found, token = [], ""
    while True:
        answer = await api.call("GET", f"/api/v1/secrets?labelSelector=pages&limit=1&continue={token}")
        found += names(answer)
        assert "remainingItemCount" not in answer.body["metadata"]
        token = answer.body["metadata"].get("continue", "")
        if not token:
            break

    assert found == ["zz-a", "zz-b", "zz-c"]


async def test_an_expired_page_comes_with_a_token_to_go_on(api):
    path = await config_maps(api, "a", "b")
    old = base64.urlsafe_b64encode(b'{"v":"meta.k8s.io/v1","rv":1,"start":"a\\u0000"}').rstrip(b"=").decode()
    # The history reaches back to the start of this young server: let it forget.
    api.server.store._history.__init__(api.server.store.rv, api.server.store._limits)

    expired = await api.call("GET", f"{path}?limit=1&continue={old}")
    rest = await api.call("GET", f"{path}?limit=1&continue={expired.body['metadata']['continue']}")

    assert (expired.code, expired.body["reason"]) == (410, "Expired")
    assert names(rest) == ["b"]


@pytest.mark.parametrize("token", ["abc", "e30", "%20"])
async def test_what_is_no_token_is_a_bad_request(api, token):
    answer = await api.call("GET", f"/api/v1/secrets?continue={token}")

    assert answer.code == 400
    assert answer.body["message"].startswith("invalid continue token: continue key is not valid: ")


@pytest.mark.parametrize("version", ["true", "-5", "1.5", "1e30", '"7"'])
async def test_a_forged_token_of_no_version_is_a_bad_request(api, version):
    token = base64.urlsafe_b64encode(f'{{"v":"meta.k8s.io/v1","rv":{version},"start":"a"}}'.encode()).decode()

    answer = await api.call("GET", f"/api/v1/secrets?continue={token}")

    assert answer.code == 400


async def test_a_forged_token_of_the_future_shows_no_version_that_is_not_there(api):
    token = base64.urlsafe_b64encode(b'{"v":"meta.k8s.io/v1","rv":99999999999,"start":"a"}').decode()

    answer = await api.call("GET", f"/api/v1/secrets?limit=1&continue={token}")

    assert (answer.code, answer.body["reason"]) == (504, "Timeout")


async def test_an_exact_list_shows_the_past(api):
    path = await config_maps(api, "a")
    version = api.server.store.rv
    await api.call("DELETE", f"{path}/a")

    past = await api.call("GET", f"{path}?resourceVersion={version}&resourceVersionMatch=Exact")

    assert names(past) == ["a"]
    assert names(await api.call("GET", path)) == []


async def test_a_version_that_is_not_there_yet_is_waited_for(api):
    path = await config_maps(api)

    async def write_later():
        await asyncio.sleep(0)
        await api.call("POST", path, {"metadata": {"name": "late"}})

    waiting = asyncio.create_task(api.call("GET", f"{path}?resourceVersion={api.server.store.rv + 1}"))
    await write_later()

    assert names(await waiting) == ["late"]


async def test_selectors_narrow_a_list(api):
    path = await config_maps(api, "a", "b", "c", a={"t": "web"}, b={"t": "db"})

    assert names(await api.call("GET", f"{path}?labelSelector=t%20in%20(web,db)")) == ["a", "b"]
    assert names(await api.call("GET", f"{path}?labelSelector=!t")) == ["c"]
    assert names(await api.call("GET", f"{path}?fieldSelector=metadata.name!=b")) == ["a", "c"]
    assert names(await api.call("GET", f"{path}?fieldSelector=type=Opaque,metadata.name=c")) == ["c"]


@pytest.mark.parametrize(
    ("query", "text"),
    [
        ("labelSelector=a%20b", "unable to parse requirement: found 'b', expected: in, notin, =, ==, !=, gt, lt"),
        ("fieldSelector=x=y", "field label not supported: x"),
        ("fieldSelector=a%20b", "invalid selector: 'a b'; can't understand 'a b'"),
    ],
)
async def test_wrong_selectors_are_bad_requests(api, query, text):
    answer = await api.call("GET", f"/api/v1/secrets?{query}")

    assert (answer.code, answer.body["message"]) == (400, text)


async def test_a_long_list_is_streamed_and_whole(api):
    namespace = await api.namespace()
    path = f"/api/v1/namespaces/{namespace}/configmaps"
    for index in range(40):
        await api.call("POST", path, {"metadata": {"name": f"n{index:02}"}, "data": {"k": "v" * 30_000}})

    response = await api.send("GET", path)
    answer = await api.call("GET", path)

    assert response.body is None
    assert len(answer.body["items"]) >= 40
    assert [name for name in names(answer) if name.startswith("n")] == [f"n{index:02}" for index in range(40)]


async def test_tables_and_metadata_are_made_on_request(api):
    path = await config_maps(api, "a")
    table = await api.call("GET", path, headers={"Accept": "application/json;as=Table;v=v1;g=meta.k8s.io"})
    metadata = await api.call(
        "GET", path, headers={"Accept": "application/json;as=PartialObjectMetadataList;v=v1;g=meta.k8s.io"}
    )

    assert table.body["kind"] == "Table"
    assert table.body["columnDefinitions"][0]["name"] == "Name"
    assert table.body["rows"][0]["cells"][0] == "a"
    assert table.body["rows"][0]["object"]["kind"] == "PartialObjectMetadata"
    assert metadata.body["items"][0].keys() == {"kind", "apiVersion", "metadata"}


async def test_yaml_is_served(api):
    path = await config_maps(api, "a")

    answer = await api.call("GET", f"{path}/a", headers={"Accept": "application/yaml"})

    assert answer.headers["Content-Type"] == "application/yaml"
    assert "\nkind: Secret\n" in answer.text


class TestWatch:
    async def test_a_watch_begins_with_what_is_there(self, api):
        path = await config_maps(api, "a", "b")

        async with await api.watch(f"{path}?watch=1") as watch:
            assert await watch.events(2) == [("ADDED", "a"), ("ADDED", "b")]
            await api.patch(f"{path}/a", {"metadata": {"labels": {"x": "y"}}})
            await api.call("DELETE", f"{path}/b")
            assert await watch.events(2) == [("MODIFIED", "a"), ("DELETED", "b")]

    async def test_a_list_and_a_watch_from_its_version_miss_nothing(self, api):
        path = await config_maps(api, "a")
        listed = await api.call("GET", path)
        await api.call("POST", path, {"metadata": {"name": "b"}})

        async with await api.watch(f"{path}?watch=1&resourceVersion={listed.body['metadata']['resourceVersion']}") as w:
            event = await w.next()

        assert (event["type"], event["object"]["kind"], event["object"]["metadata"]["name"]) == ("ADDED", "Secret", "b")

    async def test_initial_events_end_with_a_marked_bookmark(self, api):
        path = await config_maps(api, "a")
        query = "watch=1&sendInitialEvents=true&resourceVersionMatch=NotOlderThan&allowWatchBookmarks=true"
        version = api.server.store.rv

        async with await api.watch(f"{path}?{query}") as watch:
            assert await watch.events(1) == [("ADDED", "a")]
            bookmark = await watch.next()

        assert bookmark["type"] == "BOOKMARK"
        assert bookmark["object"]["metadata"]["annotations"] == {"k8s.io/initial-events-end": "true"}
        assert int(bookmark["object"]["metadata"]["resourceVersion"]) >= version
        assert (bookmark["object"]["kind"], bookmark["object"]["apiVersion"]) == ("Secret", "v1")

    async def test_objects_come_into_and_go_out_of_a_selection(self, api):
        path = await config_maps(api, "a")

        async with await api.watch(f"{path}?watch=1&labelSelector=go=yes") as watch:
            await api.patch(f"{path}/a", {"metadata": {"labels": {"go": "yes"}}})
            added = await watch.next()
            gone_at = (await api.patch(f"{path}/a", {"metadata": {"labels": {"go": "no"}}})).body
            deleted = await watch.next()

        assert added["type"] == "ADDED"
        assert deleted["type"] == "DELETED"
        assert deleted["object"]["metadata"]["labels"] == {"go": "yes"}
        assert deleted["object"]["metadata"]["resourceVersion"] == gone_at["metadata"]["resourceVersion"]

    async def test_one_name_can_be_watched(self, api):
        path = await config_maps(api, "a", "b")

        async with await api.watch(f"{path}?watch=1&fieldSelector=metadata.name=b") as watch:
            assert await watch.events(1) == [("ADDED", "b")]
            await api.call("DELETE", f"{path}/a")
            await api.call("DELETE", f"{path}/b")
            assert await watch.events(1) == [("DELETED", "b")]

    async def test_a_version_that_is_gone_is_an_error_event(self, api):
        path = await config_maps(api, "a")
        api.server.store._history.__init__(api.server.store.rv, api.server.store._limits)

        async with await api.watch(f"{path}?watch=1&resourceVersion=1") as watch:
            event = await watch.next()

        assert watch.code == 200
        assert event["type"] == "ERROR"
        assert (event["object"]["code"], event["object"]["reason"]) == (410, "Expired")
        assert event["object"]["message"].startswith("too old resource version: 1 (")

    async def test_a_watch_ends_at_its_time(self, api):
        path = await config_maps(api, "a")

        answer = await api.call("GET", f"{path}?watch=1&timeoutSeconds=1&allowWatchBookmarks=true")

        events = [json.loads(line) for line in answer.text.splitlines()]
        assert [event["type"] for event in events] == ["ADDED", "BOOKMARK"]

    async def test_a_watch_of_tables_sends_the_columns_once(self, api):
        path = await config_maps(api, "a", "b")

        async with await api.watch(
            f"{path}?watch=1", headers={"Accept": "application/json;as=Table;v=v1;g=meta.k8s.io"}
        ) as watch:
            first, second = await watch.next(), await watch.next()

        assert first["object"]["columnDefinitions"]
        assert not second["object"]["columnDefinitions"]
        assert second["object"]["rows"][0]["cells"][0] == "b"

    async def test_a_watch_that_is_not_allowed_is_refused_before_the_stream(self, api):
        answer = await api.call("GET", "/api/v1/secrets?watch=1", token="nobody")

        assert answer.code == 403


async def test_events_are_one_kind_with_two_faces(api):
    namespace = await api.namespace()
    await api.call(
        "POST",
        f"/api/v1/namespaces/{namespace}/events",
        {
            "metadata": {"name": "e"},
            "involvedObject": {"kind": "Pod", "name": "p", "namespace": namespace},
            "reason": "Started",
            "message": "text",
            "type": "Normal",
        },
    )

    answer = await api.call(
        "GET", f"/apis/events.k8s.io/v1/namespaces/{namespace}/events?fieldSelector=regarding.name=p"
    )

    assert answer.body["items"][0]["note"] == "text"
    assert answer.body["items"][0]["regarding"]["name"] == "p"
