"""PlacementDecisions as consumers and schedulers share them: their labels, their names, how choices are cut into them.

Consumers find the decisions of a Placement by label alone. A choice is a sequence of groups, each cut into objects of
at most a hundred clusters; the objects are numbered over all groups, from 1, the groups from 0.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

PLACEMENT_LABEL: Final = "cluster.open-cluster-management.io/placement"
GROUP_INDEX_LABEL: Final = "cluster.open-cluster-management.io/decision-group-index"
GROUP_NAME_LABEL: Final = "cluster.open-cluster-management.io/decision-group-name"
#: Annotation of Placements that something else schedules: the value "true" keeps the controller away.
DISABLE_ANNOTATION: Final = "cluster.open-cluster-management.io/experimental-scheduling-disable"
#: Clusters in one PlacementDecision, at most.
MAX_DECISIONS: Final = 100


@dataclass(frozen=True, slots=True)
class Group:
    """One decision group: its name (``""``: unnamed) and its clusters, sorted by name."""

    name: str
    clusters: Sequence[str]


@dataclass(frozen=True, slots=True)
class Slice:
    """One PlacementDecision as it should be: its name, its labels, its clusters in order."""

    name: str
    labels: Mapping[str, str]
    clusters: tuple[str, ...]


def decision_name(placement: str, number: int) -> str:
    """The name of a Placement's decision; ``number`` counts from 1 over all groups."""
    return f"{placement}-decision-{number}"


def decision_labels(placement: str, group_index: int, group_name: str) -> dict[str, str]:
    """The labels by which consumers find a decision."""
    return {
        GROUP_INDEX_LABEL: str(group_index),
        GROUP_NAME_LABEL: group_name,
        PLACEMENT_LABEL: placement,
    }


def slices(placement: str, groups: Sequence[Group]) -> tuple[list[Slice], list[dict[str, Any]]]:
    """The decisions that hold ``groups``, and ``status.decisionGroups`` of their Placement. An empty group has one."""
    objects: list[Slice] = []
    status: list[dict[str, Any]] = []
    for index, group in enumerate(groups):
        labels = decision_labels(placement, index, group.name)
        names: list[str] = []
        for start in range(0, max(1, len(group.clusters)), MAX_DECISIONS):
            name = decision_name(placement, len(objects) + 1)
            objects.append(Slice(name, labels, tuple(group.clusters[start : start + MAX_DECISIONS])))
            names.append(name)
        status.append(
            {
                "decisionGroupIndex": index,
                "decisionGroupName": group.name,
                "decisions": names,
                "clusterCount": len(group.clusters),
            }
        )
    return objects, status


def decision_entries(clusters: Iterable[str]) -> list[dict[str, str]]:
    """``status.decisions`` of a decision with these clusters."""
    return [{"clusterName": name, "reason": ""} for name in clusters]


def decided_clusters(decision: Mapping[str, Any]) -> list[str]:
    """The clusters of one PlacementDecision, in order; none where it has no status yet."""
    return [entry.get("clusterName", "") for entry in (decision.get("status") or {}).get("decisions") or ()]


def owner_reference(placement: str, uid: str) -> dict[str, Any]:
    """What makes a decision go with its Placement."""
    return {
        "apiVersion": "cluster.open-cluster-management.io/v1beta1",
        "kind": "Placement",
        "name": placement,
        "uid": uid,
        "controller": True,
        "blockOwnerDeletion": True,
    }
