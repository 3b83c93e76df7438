"""The main path of a work: applied, reported, changed, cleaned up."""

from __future__ import annotations

from fixtures.conditions import eventually
from fixtures.works import AGENT, APPLIED_WORKS, CLUSTER, CM, WORKS, Fleet, agent, config_map, fleet
from merope.kube import Manifest

__all__ = ["agent", "fleet"]


async def test_a_work_is_applied_reported_and_cleaned_up(agent: Fleet) -> None:
    await agent.create_work("first", config_map("first", a="1"))
    work = await agent.condition("first", "Available")

    applied_work = await agent.cluster.get(APPLIED_WORKS, agent.applied_name("first"))
    assert applied_work["metadata"]["labels"] == {"team": "a"}
    assert applied_work["metadata"]["finalizers"] == [
        "cluster.open-cluster-management.io/applied-manifest-work-cleanup"
    ]
    assert applied_work["spec"] == {"hubHash": agent.hub_hash, "agentID": AGENT, "manifestWorkName": "first"}
    live = await agent.cluster.get(CM, "first", "default")
    assert live["data"] == {"a": "1"}
    assert live["metadata"]["ownerReferences"] == [
        {
            "apiVersion": "work.open-cluster-management.io/v1",
            "kind": "AppliedManifestWork",
            "name": applied_work["metadata"]["name"],
            "uid": applied_work["metadata"]["uid"],
        }
    ]
    assert work["metadata"]["finalizers"] == ["cluster.open-cluster-management.io/manifest-work-cleanup"]
    assert [without_times(condition) for condition in work["status"]["conditions"]] == [
        {
            "type": "Applied",
            "status": "True",
            "reason": "AppliedManifestWorkComplete",
            "message": "Apply manifest work complete",
            "observedGeneration": 1,
        },
        {
            "type": "Available",
            "status": "True",
            "reason": "ResourcesAvailable",
            "message": "All resources are available",
            "observedGeneration": 1,
        },
    ]
    [manifest] = work["status"]["resourceStatus"]["manifests"]
    assert manifest["resourceMeta"] == {
        "ordinal": 0,
        "group": "",
        "version": "v1",
        "kind": "ConfigMap",
        "resource": "configmaps",
        "name": "first",
        "namespace": "default",
    }
    assert [without_times(condition) for condition in manifest["conditions"]] == [
        {
            "type": "Applied",
            "status": "True",
            "reason": "AppliedManifestComplete",
            "message": "Apply manifest complete",
            "observedGeneration": 1,
        },
        {"type": "Available", "status": "True", "reason": "ResourceAvailable", "message": "Resource is available"},
        {"type": "StatusFeedbackSynced", "status": "True", "reason": "NoStatusFeedbackSynced", "message": ""},
    ]

    async def recorded() -> bool:
        status = (await agent.cluster.get(APPLIED_WORKS, agent.applied_name("first"))).get("status") or {}
        return status.get("appliedResources") == [
            {
                "group": "",
                "version": "v1",
                "resource": "configmaps",
                "namespace": "default",
                "name": "first",
                "uid": live["metadata"]["uid"],
            }
        ]

    await eventually(recorded, "the record of what was applied")

    await agent.hub.delete(WORKS, "first", CLUSTER)

    await agent.work_gone("first")
    assert await agent.find(CM, "first", "default") is None
    assert await agent.find(APPLIED_WORKS, agent.applied_name("first")) is None


def without_times(condition: Manifest) -> Manifest:
    return {key: value for key, value in condition.items() if key != "lastTransitionTime"}


async def test_what_a_work_no_longer_names_is_deleted(agent: Fleet) -> None:
    await agent.create_work("prune", config_map("stays", a="1"), config_map("goes"))
    await agent.condition("prune", "Available")

    await agent.change_work("prune", {"workload": {"manifests": [config_map("stays", a="2")]}})

    await agent.condition("prune", "Available", generation=2)
    await agent.gone(lambda: agent.find(CM, "goes", "default"), "the config map that the work no longer names")
    assert (await agent.cluster.get(CM, "stays", "default"))["data"] == {"a": "2"}

    async def recorded() -> bool:
        status = (await agent.cluster.get(APPLIED_WORKS, agent.applied_name("prune"))).get("status") or {}
        return [entry["name"] for entry in status.get("appliedResources") or ()] == ["stays"]

    await eventually(recorded, "a record without the deleted one")
