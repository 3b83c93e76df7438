"""What a work can ask for: strategies, deletion options, executors, feedback; and what becomes of the rest."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from fixtures.conditions import eventually
from fixtures.works import APPLIED_WORKS, CLUSTER, CM, WORKS, Fleet, agent, config_map, fleet, running
from merope.kube import CORE, Manifest, ResourceRef, find_condition

__all__ = ["agent", "fleet"]

DEPLOYMENT = CORE["Deployment"]


def configured(name: str, resource: str = "configmaps", namespace: str = "default", **config: Any) -> Manifest:
    identifier = {"group": "", "resource": resource, "namespace": namespace, "name": name}
    group = config.pop("group", "")
    return {"resourceIdentifier": {**identifier, "group": group}, **config}


def strategy(type_: str, **server_side_apply: Any) -> Manifest:
    return {"type": type_, **({"serverSideApply": server_side_apply} if server_side_apply else {})}


def manifest_condition(work: Manifest, index: int, type_: str = "Applied") -> tuple[str, str, str]:
    found = find_condition(work["status"]["resourceStatus"]["manifests"][index]["conditions"], type_)
    assert found is not None
    return found["status"], found["reason"], found["message"]


async def test_what_cannot_be_applied_is_reported_and_stops_nothing_else(agent: Fleet) -> None:
    unknown = {"apiVersion": "example.com/v1", "kind": "Nothing", "metadata": {"name": "n", "namespace": "default"}}
    await agent.create_work("bad", unknown, config_map("nowhere", "absent"), config_map("good"))

    work = await agent.condition("bad", "Applied", "False")
    assert manifest_condition(work, 0) == (
        "False",
        "AppliedManifestFailed",
        'Failed to apply manifest: the server doesn\'t have a resource type "Nothing"',
    )
    assert manifest_condition(work, 1) == (
        "False",
        "AppliedManifestFailed",
        'Failed to apply manifest: namespaces "absent" not found',
    )
    assert manifest_condition(work, 2)[0] == "True"
    assert work["status"]["resourceStatus"]["manifests"][0]["resourceMeta"]["resource"] == ""
    assert manifest_condition(work, 0, "Available") == (
        "Unknown",
        "IncompleteResourceMeta",
        "Resource meta is incomplete",
    )
    assert manifest_condition(work, 1, "Available") == ("False", "ResourceNotAvailable", "Resource is not available")
    available = find_condition(work["status"]["conditions"], "Available")
    assert available is not None
    assert available["message"] == "1 of 3 resources are not available"
    assert await agent.find(CM, "good", "default") is not None
    await agent.hub.delete(WORKS, "bad", CLUSTER)
    await agent.work_gone("bad")


async def test_a_definition_and_its_resource_in_one_work_converge(agent: Fleet) -> None:
    schema = {"type": "object", "x-kubernetes-preserve-unknown-fields": True}
    definition = {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": "widgets.work.example.com"},
        "spec": {
            "group": "work.example.com",
            "names": {"kind": "Widget", "plural": "widgets"},
            "scope": "Namespaced",
            "versions": [{"name": "v1", "served": True, "storage": True, "schema": {"openAPIV3Schema": schema}}],
        },
    }
    role = {
        "apiVersion": "rbac.authorization.k8s.io/v1",
        "kind": "ClusterRole",
        "metadata": {"name": "widgets", "labels": {"open-cluster-management.io/aggregate-to-work": "true"}},
        "rules": [{"apiGroups": ["work.example.com"], "resources": ["widgets"], "verbs": ["*"]}],
    }
    widget = {
        "apiVersion": "work.example.com/v1",
        "kind": "Widget",
        "metadata": {"name": "w", "namespace": "default"},
        "spec": {"size": 3},
    }
    await agent.create_work("widgets", widget, role, definition)

    await agent.condition("widgets", "Available")

    live = await agent.find(ResourceRef("work.example.com", "v1", "widgets"), "w", "default")
    assert live is not None
    assert live["spec"] == {"size": 3}


async def test_labels_and_annotations_of_others_survive_updates(agent: Fleet) -> None:
    await agent.create_work("merge", config_map("merge", a="1"))
    await agent.condition("merge", "Available")
    others = {"metadata": {"annotations": {"theirs": "x"}, "labels": {"theirs": "y"}, "finalizers": ["example.com/f"]}}
    await agent.cluster.patch(CM, "merge", others, namespace="default")

    manifest = config_map("merge", a="2")
    manifest["metadata"].update(annotations={"ours": "z"})
    await agent.change_work("merge", {"workload": {"manifests": [manifest]}})
    await agent.condition("merge", "Applied", generation=2)

    live = await agent.cluster.get(CM, "merge", "default")
    assert live["data"] == {"a": "2"}
    assert live["metadata"]["annotations"] == {"theirs": "x", "ours": "z"}
    assert live["metadata"]["labels"] == {"theirs": "y"}
    assert live["metadata"]["finalizers"] == ["example.com/f"]
    await agent.hub.delete(WORKS, "merge", CLUSTER)

    async def going() -> bool:
        found = await agent.find(CM, "merge", "default")
        return found is not None and "deletionTimestamp" in found["metadata"]

    await eventually(going, "the deletion that waits for somebody's finalizer")
    assert find_condition((await agent.work("merge"))["status"]["conditions"], "Deleting") is not None
    await agent.cluster.patch(CM, "merge", {"metadata": {"finalizers": None}}, namespace="default")
    await agent.work_gone("merge")


async def test_create_only_and_read_only_leave_contents_alone(agent: Fleet) -> None:
    await agent.cluster.create(CM, config_map("theirs", a="theirs"))
    await agent.create_work(
        "hands-off",
        config_map("created", a="1"),
        config_map("theirs", a="2"),
        manifestConfigs=[
            configured("created", updateStrategy=strategy("CreateOnly")),
            configured("th*", updateStrategy=strategy("ReadOnly")),
        ],
    )
    await agent.condition("hands-off", "Available")
    await agent.cluster.patch(CM, "created", {"data": {"a": "changed"}}, namespace="default")
    await agent.hub.patch(WORKS, "hands-off", {"metadata": {"labels": {"again": "x"}}}, namespace=CLUSTER)

    await asyncio.sleep(0)
    await agent.hub.delete(WORKS, "hands-off", CLUSTER)
    await agent.work_gone("hands-off")

    assert await agent.find(CM, "created", "default") is None
    live = await agent.cluster.get(CM, "theirs", "default")
    assert live["data"] == {"a": "theirs"}
    assert not live["metadata"].get("ownerReferences")


async def test_server_side_apply_meets_other_managers(agent: Fleet) -> None:
    await agent.cluster.apply(CM, config_map("ssa", a="theirs", b="theirs"), field_manager="others")
    manifest = config_map("ssa", a="ours")
    await agent.create_work(
        "ssa", manifest, manifestConfigs=[configured("ssa", updateStrategy=strategy("ServerSideApply"))]
    )
    work = await agent.condition("ssa", "Applied", "False")
    status, reason, message = manifest_condition(work, 0)
    assert (status, reason) == ("False", "AppliedManifestFailed")
    assert message.startswith("Failed to apply manifest: Apply failed with 1 conflict")

    forced = strategy("ServerSideApply", force=True, fieldManager="work-agent-test")
    await agent.change_work("ssa", {"manifestConfigs": [configured("ssa", updateStrategy=forced)]})
    await agent.condition("ssa", "Applied", generation=2)

    live = await agent.cluster.get(CM, "ssa", "default")
    assert live["data"] == {"a": "ours", "b": "theirs"}
    assert "work-agent-test" in {entry["manager"] for entry in live["metadata"]["managedFields"]}
    assert live["metadata"]["ownerReferences"]


async def test_ignored_fields_are_left_to_others(agent: Fleet) -> None:
    manifest = config_map("ignored", a="1", b="1")
    ignore = [{"condition": "OnSpokePresent", "jsonPaths": [".data.a"]}]
    configs = [configured("ignored", updateStrategy=strategy("ServerSideApply", force=True, ignoreFields=ignore))]
    await agent.create_work("ignored", manifest, manifestConfigs=configs)
    await agent.condition("ignored", "Applied")
    created = await agent.cluster.get(CM, "ignored", "default")
    assert created["data"] == {"a": "1", "b": "1"}
    assert created["metadata"]["annotations"]["open-cluster-management.io/config-spec-hash"]

    await agent.cluster.apply(CM, config_map("ignored", a="theirs"), field_manager="others", force=True)
    await agent.change_work("ignored", {"workload": {"manifests": [config_map("ignored", a="2", b="2")]}})
    await agent.condition("ignored", "Applied", generation=2)

    assert (await agent.cluster.get(CM, "ignored", "default"))["data"] == {"a": "theirs", "b": "2"}


async def test_objects_that_are_orphaned_or_shared_stay(agent: Fleet) -> None:
    orphans = {
        "propagationPolicy": "SelectivelyOrphan",
        "selectivelyOrphans": {
            "orphaningRules": [{"group": "", "resource": "configmaps", "namespace": "default", "name": "orphan"}]
        },
    }
    await agent.create_work("one", config_map("orphan"), config_map("shared"), config_map("own"), deleteOption=orphans)
    await agent.create_work("two", config_map("shared"))
    await agent.condition("one", "Available")
    await agent.condition("two", "Available")

    async def held_by_both() -> bool:
        live = await agent.cluster.get(CM, "shared", "default")
        return len(live["metadata"].get("ownerReferences") or ()) == 2

    await eventually(held_by_both, "two owners")
    before = await agent.cluster.get(CM, "shared", "default")

    await agent.hub.delete(WORKS, "one", CLUSTER)
    await agent.work_gone("one")

    assert await agent.find(CM, "own", "default") is None
    orphan = await agent.cluster.get(CM, "orphan", "default")
    assert not orphan["metadata"].get("ownerReferences")
    shared = await agent.cluster.get(CM, "shared", "default")
    assert shared["metadata"]["uid"] == before["metadata"]["uid"]
    assert [owner["name"] for owner in shared["metadata"]["ownerReferences"]] == [agent.applied_name("two")]
    await agent.hub.delete(WORKS, "two", CLUSTER)
    await agent.work_gone("two")
    assert await agent.find(CM, "shared", "default") is None


def deployment(name: str) -> Manifest:
    labels = {"app": name}
    container = {"name": "c", "image": "example.com/image"}
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": name, "namespace": "default"},
        "spec": {
            "replicas": 2,
            "selector": {"matchLabels": labels},
            "template": {"metadata": {"labels": labels}, "spec": {"containers": [container]}},
        },
    }


async def test_feedback_and_rules_follow_the_object(agent: Fleet) -> None:
    rules = [
        {"type": "WellKnownStatus"},
        {"type": "JSONPaths", "jsonPaths": [{"name": "wanted", "path": ".spec.replicas"}]},
    ]
    progressing = {
        "condition": "Progressing",
        "type": "CEL",
        "celExpressions": ["object.spec.replicas != object.status.readyReplicas"],
        "messageExpression": "result ? 'rolling' : 'rolled'",
    }
    config = configured("web", "deployments", group="apps", feedbackRules=rules, conditionRules=[progressing])
    await agent.create_work("web", deployment("web"), manifestConfigs=[config])
    await agent.condition("web", "Available")
    status = {"status": {"replicas": 2, "readyReplicas": 2, "availableReplicas": 2, "observedGeneration": 1}}
    await agent.cluster.patch(DEPLOYMENT, "web", status, namespace="default", subresource="status")

    async def told() -> bool:
        work = await agent.work("web")
        [entry] = work["status"]["resourceStatus"]["manifests"]
        values = {value["name"]: value["fieldValue"] for value in entry["statusFeedback"].get("values", ())}
        return values == {
            name: {"type": "Integer", "integer": 2}
            for name in ("ReadyReplicas", "Replicas", "AvailableReplicas", "wanted")
        }

    await eventually(told, "feedback of the deployment")
    work = await agent.condition("web", "Progressing", "False")
    assert manifest_condition(work, 0, "StatusFeedbackSynced") == ("True", "StatusFeedbackSynced", "")
    assert manifest_condition(work, 0, "Progressing") == ("False", "ConditionRuleEvaluated", "rolled")
    condition = find_condition(work["status"]["conditions"], "Progressing")
    assert condition is not None
    assert (condition["reason"], condition["message"]) == ("ConditionRulesAggregated", "rolled")


async def test_an_executor_may_do_what_it_may_and_give_away_nothing_more(agent: Fleet) -> None:
    role = {
        "apiVersion": "rbac.authorization.k8s.io/v1",
        "kind": "Role",
        "metadata": {"name": "escalated", "namespace": "default"},
        "rules": [{"apiGroups": [""], "resources": ["secrets"], "verbs": ["get"]}],
    }
    executor = {"subject": {"type": "ServiceAccount", "serviceAccount": {"namespace": "default", "name": "runner"}}}
    await agent.cluster.create(
        CORE["ServiceAccount"], {"metadata": {"name": "runner", "namespace": "default"}}, "default"
    )
    await agent.create_work("executor", config_map("executed"), role, executor=executor)
    work = await agent.condition("executor", "Applied", "False")
    assert manifest_condition(work, 0) == (
        "False",
        "AppliedManifestFailed",
        "Failed to apply manifest: not allowed to apply the resource  configmaps, default executed, "
        "will try again in 1m0s",
    )

    rules = [
        {"apiGroups": [""], "resources": ["configmaps"], "verbs": ["*"]},
        {
            "apiGroups": ["rbac.authorization.k8s.io"],
            "resources": ["roles"],
            "verbs": ["create", "update", "patch", "get", "delete"],
        },
    ]
    await agent.cluster.create(CORE["Role"], {"metadata": {"name": "runner", "namespace": "default"}, "rules": rules})
    await agent.cluster.create(
        CORE["RoleBinding"],
        {
            "metadata": {"name": "runner", "namespace": "default"},
            "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": "runner"},
            "subjects": [{"kind": "ServiceAccount", "namespace": "default", "name": "runner"}],
        },
    )
    await agent.hub.patch(WORKS, "executor", {"metadata": {"labels": {"try": "again"}}}, namespace=CLUSTER)

    async def judged() -> bool:
        work = await agent.work("executor")
        return manifest_condition(work, 0)[0] == "True" and "escalation" in manifest_condition(work, 1)[2]

    await eventually(judged, "the executor's rights to count")
    assert manifest_condition(await agent.work("executor"), 1)[2] == (
        "Failed to apply manifest: not allowed to apply the resource rbac.authorization.k8s.io roles, "
        "default escalated, error: permission escalation, will try again in 1m0s"
    )
    assert await agent.find(CM, "executed", "default") is not None
    assert await agent.find(CORE["Role"], "escalated", "default") is None


async def test_a_complete_work_is_applied_no_more(agent: Fleet) -> None:
    rule = {"condition": "Complete", "type": "CEL", "celExpressions": ["object.data.done == 'yes'"]}
    configs = [configured("task", conditionRules=[rule])]
    await agent.create_work("task", config_map("task", done="yes"), manifestConfigs=configs)
    await agent.condition("task", "Complete")

    await agent.cluster.delete(CM, "task", "default")
    await agent.condition("task", "Available", "False")

    work = await agent.condition("task", "Complete")
    assert manifest_condition(work, 0, "Complete") == ("True", "ConditionRuleEvaluated", "Manifest is Complete")
    assert await agent.find(CM, "task", "default") is None


@pytest.mark.parametrize("owned", [True, False])
async def test_works_that_vanished_are_evicted_unless_another_agent_has_them(fleet: Fleet, owned: bool) -> None:
    async with running(fleet, agent_id="agent1" if owned else "stranger"):
        name = f"vanished-{owned}".lower()
        await fleet.create_work(name, config_map(name))
        await fleet.condition(name, "Available")
    await fleet.hub.patch(WORKS, name, {"metadata": {"finalizers": None}}, namespace=CLUSTER)
    await fleet.hub.delete(WORKS, name, CLUSTER, missing_ok=True)

    async with running(fleet, eviction_grace_period=1.0):
        if owned:
            await fleet.gone(lambda: fleet.find(CM, name, "default"), "an evicted object")
            await fleet.gone(lambda: fleet.find(APPLIED_WORKS, fleet.applied_name(name)), "an evicted record")
        else:
            await fleet.create_work("after", config_map("after"))
            await fleet.condition("after", "Available")
            await asyncio.sleep(1.5)  # beyond the grace period: what must not happen has had its time
            assert await fleet.find(CM, name, "default") is not None


async def test_nothing_is_written_while_nothing_changes(fleet: Fleet) -> None:
    async with running(fleet):
        await fleet.create_work("quiet", config_map("quiet"), deployment("quiet"))
        await fleet.condition("quiet", "Available")

        async def recorded() -> bool:
            found = await fleet.cluster.get(APPLIED_WORKS, fleet.applied_name("quiet"))
            return len((found.get("status") or {}).get("appliedResources") or ()) == 2

        await eventually(recorded, "the record")
        before = [await fleet.work("quiet"), await fleet.cluster.get(APPLIED_WORKS, fleet.applied_name("quiet"))]
        live = await fleet.cluster.get(DEPLOYMENT, "quiet", "default")
        hub_requests = fleet.agent_hub.requests_total
        await asyncio.sleep(2.5)  # several looks at the objects

        assert fleet.agent_hub.requests_total == hub_requests
        assert [
            await fleet.work("quiet"),
            await fleet.cluster.get(APPLIED_WORKS, fleet.applied_name("quiet")),
        ] == before
        assert await fleet.cluster.get(DEPLOYMENT, "quiet", "default") == live


async def test_drift_is_corrected_at_once(agent: Fleet) -> None:
    rules = [{"type": "JSONPaths", "jsonPaths": [{"name": "ready", "path": ".status.readyReplicas"}]}]
    config = configured("drift", "deployments", group="apps", feedbackRules=rules, feedbackScrapeType="Watch")
    await agent.create_work("drift", config_map("drift", a="1"), deployment("drift"), manifestConfigs=[config])
    await agent.condition("drift", "Available")

    async def data(expected: Manifest) -> bool:
        found = await agent.find(CM, "drift", "default")
        return found is not None and found["data"] == expected

    for change in ({"a": "2"}, {"b": "3"}):
        await agent.cluster.patch(CM, "drift", {"data": change}, namespace="default")
        await eventually(lambda: data({"a": "1"}), "the correction of a changed object", timeout=3)
    await agent.cluster.delete(CM, "drift", "default")
    await eventually(lambda: data({"a": "1"}), "the return of a deleted object", timeout=3)
    await agent.cluster.patch(DEPLOYMENT, "drift", {"spec": {"replicas": 5}}, namespace="default")

    async def replicas() -> bool:
        return (await agent.cluster.get(DEPLOYMENT, "drift", "default"))["spec"]["replicas"] == 2

    await eventually(replicas, "the correction of a changed deployment", timeout=3)


async def test_watched_feedback_needs_no_interval(fleet: Fleet) -> None:
    async with running(fleet, status_sync_interval=600.0):
        rules = [{"type": "JSONPaths", "jsonPaths": [{"name": "ready", "path": ".status.readyReplicas"}]}]
        config = configured("watched", "deployments", group="apps", feedbackRules=rules, feedbackScrapeType="Watch")
        await fleet.create_work("watched", deployment("watched"), manifestConfigs=[config])
        await fleet.condition("watched", "Available")
        status = {"status": {"replicas": 1, "readyReplicas": 1}}
        await fleet.cluster.patch(DEPLOYMENT, "watched", status, namespace="default", subresource="status")

        async def told() -> bool:
            [entry] = (await fleet.work("watched"))["status"]["resourceStatus"]["manifests"]
            return bool(entry["statusFeedback"].get("values"))

        await eventually(told, "feedback at once", timeout=3)


async def test_a_work_whose_record_is_deleted_is_applied_anew(agent: Fleet) -> None:
    await agent.create_work("anew", config_map("anew", a="1"))
    await agent.condition("anew", "Available")
    before = await agent.cluster.get(APPLIED_WORKS, agent.applied_name("anew"))

    await agent.cluster.delete(APPLIED_WORKS, agent.applied_name("anew"))

    async def again() -> bool:
        applied_work = await agent.find(APPLIED_WORKS, agent.applied_name("anew"))
        live = await agent.find(CM, "anew", "default")
        if applied_work is None or live is None or applied_work["metadata"]["uid"] == before["metadata"]["uid"]:
            return False
        return [owner["uid"] for owner in live["metadata"]["ownerReferences"]] == [applied_work["metadata"]["uid"]]

    await eventually(again, "a new record and object", timeout=10)


async def test_fields_that_cannot_be_ignored_are_reported_as_such(agent: Fleet) -> None:
    ignore = [{"condition": "OnSpokePresent", "jqPathExpressions": [".data["]}]
    configs = [configured("bad-jq", updateStrategy=strategy("ServerSideApply", ignoreFields=ignore))]
    await agent.create_work("bad-jq", config_map("bad-jq", a="1"), manifestConfigs=configs)

    work = await agent.condition("bad-jq", "Applied", "False")

    status, reason, message = manifest_condition(work, 0)
    assert (status, reason) == ("False", "AppliedManifestSSAIgnoreFieldError")
    assert message.startswith("Failed to process ignoreFields: JQ expression error in '.data[': ")


async def test_what_may_not_be_watched_is_applied_all_the_same(agent: Fleet) -> None:
    schema = {"type": "object", "x-kubernetes-preserve-unknown-fields": True}
    definition = {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": "gadgets.work.example.com"},
        "spec": {
            "group": "work.example.com",
            "names": {"kind": "Gadget", "plural": "gadgets"},
            "scope": "Cluster",
            "versions": [{"name": "v1", "served": True, "storage": True, "schema": {"openAPIV3Schema": schema}}],
        },
    }
    role = {
        "apiVersion": "rbac.authorization.k8s.io/v1",
        "kind": "ClusterRole",
        "metadata": {"name": "gadgets", "labels": {"open-cluster-management.io/aggregate-to-work": "true"}},
        "rules": [
            {
                "apiGroups": ["work.example.com"],
                "resources": ["gadgets"],
                "verbs": ["create", "get", "update", "patch", "delete"],
            }
        ],
    }
    gadget = {"apiVersion": "work.example.com/v1", "kind": "Gadget", "metadata": {"name": "g"}, "size": 3}
    await agent.create_work("gadgets", definition, role)
    await agent.condition("gadgets", "Available")
    await agent.create_work("gadget", gadget)
    await agent.condition("gadget", "Available")
    ref = ResourceRef("work.example.com", "v1", "gadgets", False)
    await agent.cluster.patch(ref, "g", {"size": 4})

    await agent.hub.patch(WORKS, "gadget", {"metadata": {"labels": {"look": "again"}}}, namespace=CLUSTER)

    async def corrected() -> bool:
        found = await agent.find(ref, "g")
        return found is not None and found["size"] == 3

    await eventually(corrected, "the correction that comes with the next application")
    await agent.hub.delete(WORKS, "gadget", CLUSTER)
    await agent.work_gone("gadget")
    assert await agent.find(ref, "g") is None


async def test_a_manifest_without_a_namespace_names_no_object(agent: Fleet) -> None:
    homeless = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "homeless"}}
    nameless = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"namespace": "default"}}
    await agent.create_work("homeless", homeless, nameless, config_map("homed"))

    work = await agent.condition("homeless", "Applied", "False")

    assert manifest_condition(work, 0)[2] == (
        "Failed to apply manifest: an empty namespace may not be set when a resource name is provided"
    )
    assert manifest_condition(work, 1)[2] == "Failed to apply manifest: name is required"
    assert manifest_condition(work, 2)[0] == "True"
    await agent.hub.delete(WORKS, "homeless", CLUSTER)
    await agent.work_gone("homeless")
    assert await agent.find(CM, "homed", "default") is None
