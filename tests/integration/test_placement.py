"""Placements become PlacementDecisions on an API server, by a controller with the placement role and no more."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from fixtures.cluster import Cluster
from fixtures.conditions import eventually
from merope.api.cluster.v1 import ManagedCluster
from merope.api.cluster.v1alpha1 import AddOnPlacementScore
from merope.api.cluster.v1beta1 import Placement, PlacementDecision
from merope.api.cluster.v1beta2 import ManagedClusterSet, ManagedClusterSetBinding
from merope.kube import CORE, Client, ClientConfig, Manager, NotFound, resources
from merope.operator.hub import hub_objects
from merope.operator.install import install
from merope.placement import hub as placement_hub

HUB = "open-cluster-management-hub"
SET_LABEL = "cluster.open-cluster-management.io/clusterset"
PLACEMENT_LABEL = "cluster.open-cluster-management.io/placement"
INDEX_LABEL = "cluster.open-cluster-management.io/decision-group-index"
GROUP_LABEL = "cluster.open-cluster-management.io/decision-group-name"


class Fleet:
    """What an administrator and a user do, and see."""

    def __init__(self, client: Client, manager: Manager) -> None:
        self.client = client
        self.manager = manager

    async def cluster(self, name: str, **labels: str) -> None:
        spec: dict[str, Any] = {"hubAcceptsClient": True}
        await self.client.create(ManagedCluster, {"metadata": {"name": name, "labels": labels}, "spec": spec})

    async def label(self, name: str, **labels: str | None) -> None:
        await self.client.patch(ManagedCluster, name, {"metadata": {"labels": labels}})

    async def taint(self, name: str, *taints: dict[str, Any]) -> None:
        await self.client.patch(ManagedCluster, name, {"spec": {"taints": list(taints)}})

    async def bound_set(self, name: str, namespace: str) -> None:
        spec = {"clusterSelector": {"selectorType": "LabelSelector", "labelSelector": {"matchLabels": {"fleet": name}}}}
        await self.client.create(ManagedClusterSet, {"metadata": {"name": name}, "spec": spec})
        await self.bind(name, namespace)

    async def bind(self, name: str, namespace: str) -> None:
        binding = {"metadata": {"name": name, "namespace": namespace}, "spec": {"clusterSet": name}}
        await self.client.create(ManagedClusterSetBinding, binding)

    async def place(self, namespace: str, name: str, **spec: Any) -> None:
        await self.client.create(Placement, {"metadata": {"name": name, "namespace": namespace}, "spec": spec})

    async def scores(self, cluster: str, resource: str, until: str | None = None, **values: int) -> None:
        with contextlib.suppress(NotFound):
            await self.client.delete(AddOnPlacementScore, resource, cluster)
        await self.client.create(AddOnPlacementScore, {"metadata": {"name": resource, "namespace": cluster}})
        status: dict[str, Any] = {"scores": [{"name": name, "value": value} for name, value in values.items()]}
        if until:
            status["validUntil"] = until
        await self.client.patch(
            AddOnPlacementScore, resource, {"status": status}, namespace=cluster, subresource="status"
        )

    async def decisions(self, namespace: str, placement: str) -> dict[str, list[str]]:
        found = await self.client.list(
            resources.ref_of(PlacementDecision), namespace, label_selector=f"{PLACEMENT_LABEL}={placement}"
        )
        return {
            one["metadata"]["name"]: [
                entry["clusterName"] for entry in (one.get("status") or {}).get("decisions") or ()
            ]
            for one in found
        }

    async def decided(self, namespace: str, placement: str, *clusters: str) -> None:
        async def holds() -> bool:
            found = await self.decisions(namespace, placement)
            assert sorted(name for names in found.values() for name in names) == sorted(clusters)
            return bool(found)

        await eventually(holds, f"{placement} chooses {clusters}")

    async def raw(self, namespace: str, placement: str) -> dict[str, Any]:
        return await self.client.get(resources.ref_of(Placement), placement, namespace)

    async def condition(self, namespace: str, placement: str, type_: str, status: str, reason: str) -> dict[str, Any]:
        async def holds() -> dict[str, Any]:
            found = (await self.raw(namespace, placement)).get("status", {}).get("conditions", [])
            condition = next(one for one in found if one["type"] == type_) if found else {}
            assert (condition.get("status"), condition.get("reason")) == (status, reason), found
            return condition

        return await eventually(holds, f"{type_}={status} ({reason}) of {placement}")


@pytest.fixture(scope="module")
def hub_with_roles(hub: Cluster) -> Cluster:
    async def prepare() -> None:
        async with Client(ClientConfig.load(hub.admin_kubeconfig)) as client:
            await install(client, hub_objects())

    asyncio.run(prepare())
    return hub


@pytest.fixture
async def fleet(hub_with_roles: Cluster) -> AsyncIterator[Fleet]:
    identity = hub_with_roles.service_account_kubeconfig(HUB, "placement-controller-sa")
    async with (
        Client(ClientConfig.load(hub_with_roles.admin_kubeconfig)) as admin,
        Client(ClientConfig.load(identity)) as client,
    ):
        manager = Manager(client)
        placement_hub.setup(manager)
        async with asyncio.TaskGroup() as group:
            running = group.create_task(manager.run())
            try:
                yield Fleet(admin, manager)
            finally:
                manager.stop()
                await asyncio.wait({running}, timeout=10)


@pytest.fixture
def namespace(hub_with_roles: Cluster) -> str:
    return hub_with_roles.create_namespace()


async def test_a_placement_follows_labels_sets_and_bindings(fleet: Fleet, namespace: str) -> None:
    await fleet.place(namespace, "web", predicates=[_labelled(tier="gold")])
    condition = await fleet.condition(namespace, "web", "PlacementSatisfied", "False", "NoManagedClusterSetBindings")
    assert condition["message"] == "No valid ManagedClusterSetBindings found in placement namespace"
    assert await fleet.decisions(namespace, "web") == {"web-decision-1": []}

    await fleet.bound_set("labels", namespace)
    await fleet.condition(namespace, "web", "PlacementSatisfied", "False", "AllManagedClusterSetsEmpty")
    await fleet.cluster("labels-1", fleet="labels", tier="gold")
    await fleet.cluster("labels-2", fleet="labels", tier="silver")
    await fleet.cluster("labels-3", tier="gold")
    await fleet.decided(namespace, "web", "labels-1")
    await fleet.condition(namespace, "web", "PlacementSatisfied", "True", "AllDecisionsScheduled")
    await fleet.condition(namespace, "web", "PlacementMisconfigured", "False", "Succeedconfigured")

    await fleet.label("labels-2", tier="gold")
    await fleet.decided(namespace, "web", "labels-1", "labels-2")
    await fleet.label("labels-1", fleet=None)
    await fleet.decided(namespace, "web", "labels-2")
    await fleet.client.delete(ManagedCluster, "labels-2")
    await fleet.condition(namespace, "web", "PlacementSatisfied", "False", "AllManagedClusterSetsEmpty")
    await fleet.label("labels-3", fleet="labels")
    await fleet.decided(namespace, "web", "labels-3")
    await fleet.client.delete(ManagedClusterSetBinding, "labels", namespace)
    await fleet.decided(namespace, "web")


async def test_decisions_and_status_have_the_shapes_that_consumers_know(fleet: Fleet, namespace: str) -> None:
    for name in ("shape-1", "shape-2", "shape-3"):
        await fleet.cluster(name, fleet="shape", canary=str(name == "shape-2").lower())
    await fleet.bound_set("shape", namespace)
    group = {"groupName": "canary", "groupClusterSelector": {"labelSelector": {"matchLabels": {"canary": "true"}}}}
    await fleet.place(
        namespace,
        "shaped",
        decisionStrategy={"groupStrategy": {"clustersPerDecisionGroup": 1, "decisionGroups": [group]}},
    )
    await fleet.decided(namespace, "shaped", "shape-1", "shape-2", "shape-3")
    await fleet.condition(namespace, "shaped", "PlacementSatisfied", "True", "AllDecisionsScheduled")

    placement = await fleet.raw(namespace, "shaped")
    assert placement["status"]["numberOfSelectedClusters"] == 3
    assert placement["status"]["decisionGroups"] == [
        {"decisionGroupIndex": 0, "decisionGroupName": "canary", "decisions": ["shaped-decision-1"], "clusterCount": 1},
        {"decisionGroupIndex": 1, "decisionGroupName": "", "decisions": ["shaped-decision-2"], "clusterCount": 1},
        {"decisionGroupIndex": 2, "decisionGroupName": "", "decisions": ["shaped-decision-3"], "clusterCount": 1},
    ]
    assert [condition["type"] for condition in placement["status"]["conditions"]] == [
        "PlacementMisconfigured",
        "PlacementSatisfied",
    ]
    decision = await fleet.client.get(resources.ref_of(PlacementDecision), "shaped-decision-1", namespace)
    assert decision["metadata"]["labels"] == {PLACEMENT_LABEL: "shaped", INDEX_LABEL: "0", GROUP_LABEL: "canary"}
    assert decision["metadata"]["ownerReferences"] == [
        {
            "apiVersion": "cluster.open-cluster-management.io/v1beta1",
            "kind": "Placement",
            "name": "shaped",
            "uid": placement["metadata"]["uid"],
            "controller": True,
            "blockOwnerDeletion": True,
        }
    ]
    assert decision["status"] == {"decisions": [{"clusterName": "shape-2", "reason": ""}]}

    await fleet.label("shape-1", canary="true")
    await fleet.decided(namespace, "shaped", "shape-1", "shape-2", "shape-3")

    async def relabelled() -> bool:
        second = await fleet.client.get(resources.ref_of(PlacementDecision), "shaped-decision-2", namespace)
        return bool(second["metadata"]["labels"][GROUP_LABEL] == "canary")

    await eventually(relabelled, "the second decision is one of the canaries")

    await fleet.client.delete(Placement, "shaped", namespace)

    async def gone() -> bool:
        return not await fleet.decisions(namespace, "shaped")

    await eventually(gone, "decisions go with their placement")


async def test_events_tell_what_was_decided(fleet: Fleet, namespace: str) -> None:
    await fleet.cluster("event-1", fleet="event")
    await fleet.bound_set("event", namespace)
    await fleet.place(namespace, "told")
    await fleet.decided(namespace, "told", "event-1")

    async def told() -> dict[str, dict[str, Any]]:
        events = {event["reason"]: event for event in await fleet.client.list(CORE["Event"], namespace)}
        assert events.keys() == {"DecisionCreate", "DecisionUpdate", "ScoreUpdate"}
        return events

    events = await eventually(told, "three events")
    created = events["DecisionCreate"]
    assert created["note"] == f"Decision told-decision-1 is created with placement told in namespace {namespace}"
    assert (created["action"], created["type"]) == ("DecisionCreated", "Normal")
    assert created["reportingController"] == "placement-controller"
    assert (created["regarding"]["kind"], created["regarding"]["name"]) == ("Placement", "told")
    assert (created["related"]["kind"], created["related"]["name"]) == ("PlacementDecision", "told-decision-1")
    assert events["ScoreUpdate"]["note"] == "event-1:100 "


async def test_taints_keep_clusters_away_and_tolerations_let_them_in(fleet: Fleet, namespace: str) -> None:
    for name in ("taint-1", "taint-2"):
        await fleet.cluster(name, fleet="taint")
    await fleet.bound_set("taint", namespace)
    await fleet.place(namespace, "plain")
    await fleet.place(namespace, "tolerant", tolerations=[{"key": "gpu", "operator": "Exists"}])
    await fleet.decided(namespace, "plain", "taint-1", "taint-2")

    await fleet.taint("taint-1", {"key": "gpu", "value": "true", "effect": "NoSelect"})
    await fleet.taint("taint-2", {"key": "drain", "value": "", "effect": "NoSelectIfNew"})
    await fleet.decided(namespace, "plain", "taint-2")
    await fleet.decided(namespace, "tolerant", "taint-1", "taint-2")
    await fleet.place(namespace, "new")
    await fleet.condition(namespace, "new", "PlacementSatisfied", "False", "NoManagedClusterMatched")


async def test_the_number_of_clusters_and_scores_decide(fleet: Fleet, namespace: str) -> None:
    for number, name in enumerate(("score-1", "score-2", "score-3")):
        await fleet.cluster(name, fleet="score")
        await fleet.client.create(CORE["Namespace"], {"metadata": {"name": name}})
        await fleet.scores(name, "load", free=10 + 40 * number)
    await fleet.bound_set("score", namespace)
    coordinate = {"type": "AddOn", "addOn": {"resourceName": "load", "scoreName": "free"}}
    policy = {"mode": "Exact", "configurations": [{"scoreCoordinate": coordinate, "weight": 1}]}
    await fleet.place(namespace, "top", numberOfClusters=2, prioritizerPolicy=policy)
    await fleet.decided(namespace, "top", "score-2", "score-3")

    await fleet.scores("score-1", "load", free=100)
    await fleet.decided(namespace, "top", "score-1", "score-3")

    await fleet.place(namespace, "many", numberOfClusters=5)
    condition = await fleet.condition(namespace, "many", "PlacementSatisfied", "False", "NotAllDecisionsScheduled")
    assert condition["message"] == "2 cluster decisions unscheduled"


async def test_mistakes_are_reported_and_empty_the_decisions(fleet: Fleet, namespace: str) -> None:
    await fleet.cluster("mistake-1", fleet="mistake")
    await fleet.bound_set("mistake", namespace)
    await fleet.place(namespace, "typo")
    await fleet.decided(namespace, "typo", "mistake-1")

    coordinate = {"type": "BuiltIn", "builtIn": "Nope"}
    policy = {"configurations": [{"scoreCoordinate": coordinate, "weight": 1}]}
    await fleet.client.patch(Placement, "typo", {"spec": {"prioritizerPolicy": policy}}, namespace=namespace)
    condition = await fleet.condition(namespace, "typo", "PlacementMisconfigured", "True", "Misconfigured")
    assert condition["message"] == ":incorrect builtin prioritizer: Nope"
    await fleet.decided(namespace, "typo")
    await fleet.client.patch(Placement, "typo", {"spec": {"prioritizerPolicy": None}}, namespace=namespace)
    await fleet.decided(namespace, "typo", "mistake-1")


async def test_more_than_a_hundred_clusters_take_several_decisions(fleet: Fleet, namespace: str) -> None:
    names = [f"many-{number:03}" for number in range(105)]
    await asyncio.gather(*(fleet.cluster(name, fleet="many") for name in names))
    await fleet.bound_set("many", namespace)
    await fleet.place(namespace, "all")
    await fleet.decided(namespace, "all", *names)
    assert await fleet.decisions(namespace, "all") == {"all-decision-1": names[:100], "all-decision-2": names[100:]}

    await fleet.client.patch(Placement, "all", {"spec": {"numberOfClusters": 3}}, namespace=namespace)
    await fleet.decided(namespace, "all", *names[:3])

    async def one_left() -> bool:
        return (await fleet.decisions(namespace, "all")).keys() == {"all-decision-1"}

    await eventually(one_left, "the second decision is deleted")


async def test_cel_and_claims_select(fleet: Fleet, namespace: str) -> None:
    await fleet.cluster("cel-1", fleet="cel")
    await fleet.cluster("cel-2", fleet="cel")
    await fleet.bound_set("cel", namespace)
    expressions = ["managedCluster.status.clusterClaims.exists(c, c.name == 'zone' && c.value == 'a/1')"]
    cel = {"requiredClusterSelector": {"celSelector": {"celExpressions": expressions}}}
    await fleet.place(namespace, "by-cel", predicates=[cel])
    await fleet.condition(namespace, "by-cel", "PlacementSatisfied", "False", "NoManagedClusterMatched")
    status = {"clusterClaims": [{"name": "zone", "value": "a/1"}]}
    await fleet.client.patch(ManagedCluster, "cel-2", {"status": status}, subresource="status")
    await fleet.decided(namespace, "by-cel", "cel-2")


async def test_a_placement_that_something_else_schedules_is_left_alone(fleet: Fleet, namespace: str) -> None:
    await fleet.cluster("other-1", fleet="other")
    await fleet.bound_set("other", namespace)
    annotation = {"cluster.open-cluster-management.io/experimental-scheduling-disable": "true"}
    await fleet.client.create(
        Placement, {"metadata": {"name": "foreign", "namespace": namespace, "annotations": annotation}, "spec": {}}
    )
    await fleet.place(namespace, "ours")
    await fleet.decided(namespace, "ours", "other-1")
    assert await fleet.decisions(namespace, "foreign") == {}
    assert "status" not in await fleet.raw(namespace, "foreign")


def _labelled(**labels: str) -> dict[str, Any]:
    return {"requiredClusterSelector": {"labelSelector": {"matchLabels": labels}}}


async def test_time_alone_ends_what_is_tolerated_for_a_while(fleet: Fleet, namespace: str) -> None:
    await fleet.cluster("timer-1", fleet="timer")
    await fleet.bound_set("timer", namespace)
    added = (datetime.now(UTC) - timedelta(seconds=1)).strftime("%Y-%m-%dT%H:%M:%SZ")
    await fleet.taint("timer-1", {"key": "away", "effect": "NoSelect", "timeAdded": added})
    await fleet.place(namespace, "patient", tolerations=[{"key": "away", "operator": "Exists", "tolerationSeconds": 4}])
    await fleet.decided(namespace, "patient", "timer-1")
    await fleet.decided(namespace, "patient")


async def test_scores_stop_counting_when_their_time_is_over(fleet: Fleet, namespace: str) -> None:
    for name in ("expiry-1", "expiry-2"):
        await fleet.cluster(name, fleet="expiry")
        await fleet.client.create(CORE["Namespace"], {"metadata": {"name": name}})
    until = (datetime.now(UTC) + timedelta(seconds=3)).strftime("%Y-%m-%dT%H:%M:%SZ")
    await fleet.scores("expiry-1", "load", free=1)
    await fleet.scores("expiry-2", "load", until, free=50)
    await fleet.bound_set("expiry", namespace)
    coordinate = {"type": "AddOn", "addOn": {"resourceName": "load", "scoreName": "free"}}
    policy = {"mode": "Exact", "configurations": [{"scoreCoordinate": coordinate, "weight": 1}]}
    await fleet.place(namespace, "best", numberOfClusters=1, prioritizerPolicy=policy)
    await fleet.decided(namespace, "best", "expiry-2")
    await fleet.decided(namespace, "best", "expiry-1")

    async def warned() -> bool:
        events = await fleet.client.list(CORE["Event"], namespace)
        note = f"Decision best-decision-1 is updated with placement best in namespace {namespace}"
        warning = f"{note}: AddOnPlacementScores expiry-2/load expired in plugin AddOn/load/free"
        return any(event["type"] == "Warning" and event["note"] == warning for event in events)

    await eventually(warned, "a warning tells of the expired score")


async def test_heartbeats_of_clusters_write_nothing(fleet: Fleet, namespace: str) -> None:
    for name in ("quiet-1", "quiet-2"):
        await fleet.cluster(name, fleet="quiet")
    await fleet.bound_set("quiet", namespace)
    await fleet.place(namespace, "still", predicates=[_labelled(fleet="quiet")])
    await fleet.decided(namespace, "still", "quiet-1", "quiet-2")
    await fleet.condition(namespace, "still", "PlacementSatisfied", "True", "AllDecisionsScheduled")

    async def versions() -> list[str]:
        decisions = await fleet.client.list(resources.ref_of(PlacementDecision), namespace)
        objects = [await fleet.raw(namespace, "still"), *decisions]
        return [one["metadata"]["resourceVersion"] for one in objects]

    before = await versions()
    for beat in range(5):
        conditions = [
            {
                "type": "ManagedClusterConditionAvailable",
                "status": "True",
                "reason": f"Beat{beat}",
                "message": "",
                "lastTransitionTime": "2026-01-01T00:00:00Z",
            }
        ]
        for name in ("quiet-1", "quiet-2"):
            await fleet.client.patch(ManagedCluster, name, {"status": {"conditions": conditions}}, subresource="status")
    # What is scheduled after the heartbeats shows that they have been seen.
    await fleet.place(namespace, "later", predicates=[_labelled(fleet="quiet")])
    await fleet.decided(namespace, "later", "quiet-1", "quiet-2")
    assert (await versions())[0] == before[0]
    assert set(before) <= set(await versions())


async def test_a_placement_that_wants_change_for_its_own_sake_comes_to_rest(fleet: Fleet, namespace: str) -> None:
    for name in ("rest-1", "rest-2"):
        await fleet.cluster(name, fleet="rest")
    await fleet.bound_set("rest", namespace)
    await fleet.place(namespace, "before")
    await fleet.decided(namespace, "before", "rest-1", "rest-2")
    coordinate = {"type": "BuiltIn", "builtIn": "Steady"}
    policy = {"mode": "Exact", "configurations": [{"scoreCoordinate": coordinate, "weight": -1}]}
    await fleet.place(namespace, "restless", numberOfClusters=1, prioritizerPolicy=policy)
    await fleet.condition(namespace, "restless", "PlacementSatisfied", "True", "AllDecisionsScheduled")
    before = await fleet.client.get(resources.ref_of(PlacementDecision), "restless-decision-1", namespace)
    await fleet.place(namespace, "after")
    await fleet.decided(namespace, "after", "rest-1", "rest-2")
    after = await fleet.client.get(resources.ref_of(PlacementDecision), "restless-decision-1", namespace)
    assert after["metadata"]["resourceVersion"] == before["metadata"]["resourceVersion"]


async def test_decisions_that_somebody_tampers_with_are_repaired(fleet: Fleet, namespace: str) -> None:
    await fleet.cluster("tamper-1", fleet="tamper")
    await fleet.bound_set("tamper", namespace)
    await fleet.place(namespace, "tampered")
    await fleet.decided(namespace, "tampered", "tamper-1")
    await fleet.condition(namespace, "tampered", "PlacementSatisfied", "True", "AllDecisionsScheduled")

    other = {"status": {"decisions": [{"clusterName": "other", "reason": ""}]}}
    await fleet.client.patch(PlacementDecision, "tampered-decision-1", other, namespace=namespace, subresource="status")
    await fleet.decided(namespace, "tampered", "tamper-1")
    await fleet.client.delete(PlacementDecision, "tampered-decision-1", namespace)
    await fleet.decided(namespace, "tampered", "tamper-1")
    labels = {"metadata": {"labels": {INDEX_LABEL: "7", "extra": "yes"}}}
    await fleet.client.patch(PlacementDecision, "tampered-decision-1", labels, namespace=namespace)

    async def repaired() -> bool:
        found = await fleet.client.get(resources.ref_of(PlacementDecision), "tampered-decision-1", namespace)
        return bool(found["metadata"]["labels"] == {PLACEMENT_LABEL: "tampered", INDEX_LABEL: "0", GROUP_LABEL: ""})

    await eventually(repaired, "the labels are as they were")


async def test_a_broken_set_holds_everything_as_it_is_until_it_is_repaired(fleet: Fleet, namespace: str) -> None:
    await fleet.cluster("broken-1", fleet="broken")
    await fleet.bound_set("broken", namespace)
    await fleet.place(namespace, "held")
    await fleet.decided(namespace, "held", "broken-1")
    broken = {"matchExpressions": [{"key": "fleet", "operator": "Like"}], "matchLabels": None}
    selector = {"spec": {"clusterSelector": {"labelSelector": broken}}}
    await fleet.client.patch(ManagedClusterSet, "broken", selector)
    await fleet.cluster("broken-2", fleet="broken")
    repaired = {"matchLabels": {"fleet": "broken"}, "matchExpressions": None}
    assert await fleet.decisions(namespace, "held") == {"held-decision-1": ["broken-1"]}
    await fleet.client.patch(ManagedClusterSet, "broken", {"spec": {"clusterSelector": {"labelSelector": repaired}}})
    await fleet.decided(namespace, "held", "broken-1", "broken-2")
