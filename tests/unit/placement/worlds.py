"""A hub in memory for the scheduler: raw objects go in, decisions come out. Time is in seconds from 0."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from merope.lang.selectors import Selector
from merope.placement.balance import Tally
from merope.placement.decision import Decision, decide
from merope.placement.fleet import Fleet, read_cluster, read_scores
from merope.placement.policy import read_policy
from merope.placement.sets import BrokenSet, available, selector_of
from merope.sdk.decisions import PLACEMENT_LABEL, decided_clusters

Manifest = dict[str, Any]


def time(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def cluster(
    name: str,
    *,
    labels: dict[str, str] | None = None,
    taints: tuple[Manifest, ...] = (),
    claims: dict[str, str] | None = None,
    amounts: dict[str, str] | None = None,
) -> Manifest:
    """``labels`` default to those of members of the set s; ``amounts`` are its capacity, all of it allocatable."""
    metadata: Manifest = {"name": name, "labels": {"fleet": "s"} if labels is None else labels}
    status: Manifest = {"allocatable": dict(amounts or {}), "capacity": dict(amounts or {})}
    if claims:
        status["clusterClaims"] = [{"name": key, "value": value} for key, value in claims.items()]
    return {"metadata": metadata, "spec": {"taints": list(taints)}, "status": status}


def label_set(name: str, **labels: str) -> Manifest:
    selector = {"selectorType": "LabelSelector", "labelSelector": {"matchLabels": labels}}
    return {"metadata": {"name": name}, "spec": {"clusterSelector": selector}}


def decision(namespace: str, name: str, placement: str | None, *clusters: str) -> Manifest:
    metadata: Manifest = {"namespace": namespace, "name": name}
    if placement is not None:
        metadata["labels"] = {PLACEMENT_LABEL: placement}
    return {
        "metadata": metadata,
        "status": {"decisions": [{"clusterName": one, "reason": ""} for one in clusters]},
    }


def score(cluster_name: str, resource: str, until: float | None = None, **values: int) -> Manifest:
    status: Manifest = {"scores": [{"name": name, "value": value} for name, value in values.items()]}
    if until is not None:
        status["validUntil"] = time(until)
    return {"metadata": {"namespace": cluster_name, "name": resource}, "status": status}


@dataclass
class World:
    """Everything that a choice depends on, with the columns that follow it. One set ``s``, bound, unless told."""

    sets: list[Manifest] = field(default_factory=lambda: [label_set("s", fleet="s")])
    bindings: list[str] = field(default_factory=lambda: ["s"])
    now: float = 100.0
    clusters: dict[str, Manifest] = field(default_factory=dict)
    decisions: dict[tuple[str, str], Manifest] = field(default_factory=dict)
    scores: dict[tuple[str, str], Manifest] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.fleet = Fleet()
        self.tally = Tally(self.fleet)

    def put(self, *clusters: Manifest) -> World:
        for one in clusters:
            self.clusters[one["metadata"]["name"]] = one
            self.fleet.put(read_cluster(one))
        return self

    def remove(self, name: str) -> None:
        self.clusters.pop(name, None)
        self.fleet.remove(name)

    def decide_before(self, *decisions: Manifest) -> World:
        for one in decisions:
            metadata = one["metadata"]
            key = (metadata["namespace"], metadata["name"])
            self.decisions[key] = one
            placement = metadata.get("labels", {}).get(PLACEMENT_LABEL, "")
            self.tally.put(key, (metadata["namespace"], placement), decided_clusters(one))
        return self

    def undecide(self, namespace: str, name: str) -> None:
        self.decisions.pop((namespace, name), None)
        self.tally.remove((namespace, name))

    def give(self, *scores: Manifest) -> World:
        for one in scores:
            key = (one["metadata"]["namespace"], one["metadata"]["name"])
            self.scores[key] = one
            self.fleet.put_scores(*key, read_scores(one))
        return self

    def take(self, cluster_name: str, resource: str) -> None:
        if self.scores.pop((cluster_name, resource), None) is not None:
            self.fleet.put_scores(cluster_name, resource, None)

    def place(self, spec: Manifest, name: str = "p", namespace: str = "ns") -> Decision:
        selectors: dict[str, Selector | BrokenSet] = {
            one["metadata"]["name"]: selector_of(one["metadata"]["name"], one["spec"]) for one in self.sets
        }
        policy = read_policy(spec)
        usable = available(self.fleet, policy, self.bindings, selectors)
        return decide(namespace, name, policy, usable, self.fleet, self.tally, self.now)


def chosen(decided: Decision) -> list[str]:
    return [name for one in decided.slices for name in one.clusters]
