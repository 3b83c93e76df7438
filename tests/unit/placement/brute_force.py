"""Placement the plain way, as an oracle: one cluster after the other, over raw objects, nothing kept.

Written from the rules, not from the scheduler: it shares with it nothing but the text of what it decides.
"""

from __future__ import annotations

import math
from collections import Counter
from datetime import datetime
from typing import Any

Manifest = dict[str, Any]

SET_LABEL = "cluster.open-cluster-management.io/clusterset"
PREFIX = "cluster.open-cluster-management.io/"
SUFFIXES = {"n": -9, "u": -6, "m": -3, "": 0, "k": 3, "M": 6, "G": 9}
BINARY = {"Ki": 2**10, "Mi": 2**20, "Gi": 2**30}


class Wrong(Exception):
    def __init__(self, plugin: str, message: str) -> None:
        super().__init__(plugin, message)
        self.text = f"{plugin}:{message}"


def place(
    placement: Manifest,
    clusters: list[Manifest],
    sets: list[Manifest],
    bindings: list[str],
    scores: list[Manifest],
    decisions: list[Manifest],
    now: float,
) -> Manifest:
    """The decisions, groups and conditions of a Placement; ``decisions`` are all that there are now."""
    namespace, name = placement["metadata"]["namespace"], placement["metadata"]["name"]
    spec = placement["spec"]
    own = [
        entry["clusterName"]
        for decision in decisions
        if decision["metadata"]["namespace"] == namespace
        and decision["metadata"].get("labels", {}).get(PREFIX + "placement") == name
        for entry in decision.get("status", {}).get("decisions", [])
    ]
    count = Counter(
        entry["clusterName"]
        for decision in decisions
        for entry in decision.get("status", {}).get("decisions", [])
        if not (
            decision["metadata"]["namespace"] == namespace
            and decision["metadata"].get("labels", {}).get(PREFIX + "placement") == name
        )
    )
    by_name = {one["metadata"]["name"]: one for one in sets}
    valid = sorted(binding for binding in bindings if binding in by_name)
    eligible = [one for one in valid if not spec.get("clusterSets") or one in spec["clusterSets"]]
    available = [
        cluster
        for cluster in clusters
        if any(_member(by_name[one], cluster) for one in eligible) and "deletionTimestamp" not in cluster["metadata"]
    ]
    mistake = ""
    selected: list[str] = []
    totals: dict[str, int] = {}
    unscheduled = 0
    try:
        feasible = _tainted(spec, _predicates(spec, available), own, now)
        found = _scores(spec, feasible, own, count, scores, now)
        ranked = sorted(found, key=lambda one: (-found[one], one))
        wanted = spec.get("numberOfClusters")
        if wanted is not None and wanted < 0:
            raise Wrong("", f"numberOfClusters must not be negative: {wanted}")
        totals = found
        selected = sorted(ranked if wanted is None else ranked[:wanted])
        unscheduled = 0 if wanted is None else wanted - len(selected)
    except Wrong as wrong:
        mistake = wrong.text
    chosen = {cluster["metadata"]["name"]: cluster for cluster in clusters if cluster["metadata"]["name"] in selected}
    try:
        groups = _groups(spec, chosen)
    except Wrong as wrong:
        groups, mistake = [], wrong.text
    objects, status = [], []
    for index, (group, members) in enumerate(groups):
        names = []
        for start in range(0, max(len(members), 1), 100):
            names.append(f"{name}-decision-{len(objects) + 1}")
            labels = {
                PREFIX + "placement": name,
                PREFIX + "decision-group-index": str(index),
                PREFIX + "decision-group-name": group,
            }
            objects.append({"name": names[-1], "labels": labels, "clusters": members[start : start + 100]})
        status.append(
            {
                "decisionGroupIndex": index,
                "decisionGroupName": group,
                "decisions": names,
                "clusterCount": len(members),
            }
        )
    if not valid:
        satisfied: list[Any] = [False, "NoManagedClusterSetBindings"]
    elif not eligible:
        satisfied = [False, "NoIntersection"]
    elif not available:
        satisfied = [False, "AllManagedClusterSetsEmpty"]
    elif not selected:
        satisfied = [False, "NoManagedClusterMatched"]
    else:
        satisfied = [True, "AllDecisionsScheduled"] if not unscheduled else [False, "NotAllDecisionsScheduled"]
    return {
        "decisions": objects,
        "groups": status,
        "selected": len(selected),
        "scores": totals,
        "misconfigured": mistake,
        "satisfied": satisfied,
    }


def _member(cluster_set: Manifest, cluster: Manifest) -> bool:
    selector = cluster_set["spec"]["clusterSelector"]
    labels = cluster["metadata"].get("labels", {})
    if selector["selectorType"] == "LabelSelector":
        return selector.get("labelSelector") is not None and _selected(selector["labelSelector"], labels)
    return bool(labels.get(SET_LABEL) == cluster_set["metadata"]["name"])


def _selected(selector: Manifest, labels: dict[str, str]) -> bool:
    if any(labels.get(key) != value for key, value in selector.get("matchLabels", {}).items()):
        return False
    for one in selector.get("matchExpressions", []):
        key, operator, values = one["key"], one["operator"], one.get("values", [])
        holds = {
            "In": key in labels and labels[key] in values,
            "NotIn": key not in labels or labels[key] not in values,
            "Exists": key in labels,
            "DoesNotExist": key not in labels,
        }
        if operator not in holds:
            raise Wrong("Predicate", f'"{operator}" is not a valid label selector operator')
        if not holds[operator]:
            return False
    return True


def _claims(cluster: Manifest) -> dict[str, str]:
    return {claim["name"]: claim["value"] for claim in cluster.get("status", {}).get("clusterClaims", [])}


def _both(selector: Manifest, cluster: Manifest) -> bool:
    labels = _selected(selector.get("labelSelector", {}), cluster["metadata"].get("labels", {}))
    return _selected(selector.get("claimSelector", {}), _claims(cluster)) and labels


def _predicates(spec: Manifest, clusters: list[Manifest]) -> list[Manifest]:
    predicates = spec.get("predicates") or []
    if not predicates or not clusters:
        return clusters
    matching = [[_both(one["requiredClusterSelector"], cluster) for one in predicates] for cluster in clusters]
    return [cluster for cluster, matches in zip(clusters, matching, strict=True) if any(matches)]


def _tainted(spec: Manifest, clusters: list[Manifest], own: list[str], now: float) -> list[Manifest]:
    if not clusters:
        return clusters
    for one in spec.get("tolerations", []):
        if not one.get("key") and one.get("operator") != "Exists":
            raise Wrong("TaintToleration", "If the key is empty, operator must be Exists.")
        if one.get("operator") == "Exists" and one.get("value"):
            raise Wrong("TaintToleration", "If the operator is Exists, the value should be empty.")

    def tolerates(one: Manifest, taint: Manifest) -> bool:
        if one.get("effect") and one["effect"] != taint["effect"]:
            return False
        if one.get("key") and one["key"] != taint["key"]:
            return False
        if one.get("operator", "Equal") in ("", "Equal") and one.get("value", "") != taint.get("value", ""):
            return False
        if "tolerationSeconds" in one:
            added = taint.get("timeAdded")
            return added is not None and now < _time(added) + one["tolerationSeconds"]
        return True

    return [
        cluster
        for cluster in clusters
        if all(
            taint["effect"] == "PreferNoSelect"
            or (taint["effect"] == "NoSelectIfNew" and cluster["metadata"]["name"] in own)
            or any(tolerates(one, taint) for one in spec.get("tolerations", []))
            for taint in cluster["spec"].get("taints", [])
        )
    ]


def _scores(
    spec: Manifest,
    clusters: list[Manifest],
    own: list[str],
    count: Counter[str],
    scores: list[Manifest],
    now: float,
) -> dict[str, int]:
    policy = spec.get("prioritizerPolicy", {})
    mode = policy.get("mode") or "Additive"
    weights: dict[str, int] = {"Balance": 1, "Steady": 1} if mode == "Additive" else {}
    add_ons: list[tuple[Manifest, int]] = []
    for one in policy.get("configurations", []):
        coordinate, weight = one["scoreCoordinate"], one.get("weight", 1)
        if coordinate["type"] == "AddOn":
            add_ons.append((coordinate["addOn"], weight))
        else:
            weights[coordinate["builtIn"]] = weight
    for name, weight in weights.items():
        if weight and name not in ("Balance", "Steady", "ResourceAllocatableCPU", "ResourceAllocatableMemory"):
            raise Wrong("", f"incorrect builtin prioritizer: {name}")
    names = [cluster["metadata"]["name"] for cluster in clusters]
    totals = dict.fromkeys(names, 0)
    most = max(count.values(), default=0)
    for name in names:
        balance = 100 if not count[name] else 2 * int(100 * (0.5 - count[name] / most))
        totals[name] += weights.get("Balance", 0) * balance
        totals[name] += weights.get("Steady", 0) * (100 if name in own else 0)
        for add_on, weight in add_ons:
            for score in scores:
                metadata, status = score["metadata"], score["status"]
                if metadata["namespace"] != name or metadata["name"] != add_on["resourceName"]:
                    continue
                if "validUntil" in status and now > _time(status["validUntil"]):
                    continue
                values = {item["name"]: item["value"] for item in status["scores"]}
                totals[name] += weight * values.get(add_on["scoreName"], 0)
    for resource, prioritizer in (("cpu", "ResourceAllocatableCPU"), ("memory", "ResourceAllocatableMemory")):
        amounts = {
            cluster["metadata"]["name"]: _number(cluster["status"]["allocatable"][resource])
            for cluster in clusters
            if resource in cluster.get("status", {}).get("allocatable", {})
            and resource in cluster.get("status", {}).get("capacity", {})
        }
        for name, amount in amounts.items():
            least, greatest = min(amounts.values()), max(amounts.values())
            score = 100 if least == greatest else int((((amount - least) / (greatest - least)) - 0.5) * 2.0 * 100.0)
            totals[name] += weights.get(prioritizer, 0) * score
    return totals


def _groups(spec: Manifest, chosen: dict[str, Manifest]) -> list[tuple[str, list[str]]]:
    strategy = spec.get("decisionStrategy", {}).get("groupStrategy", {})
    wanted = strategy.get("clustersPerDecisionGroup", "100%")
    if isinstance(wanted, str):
        if not wanted.endswith("%"):
            raise Wrong("", f"{wanted} invalid type: string is not a percentage")
        wanted = math.ceil(int(wanted[:-1]) / 100 * len(chosen))
    size = wanted if 0 < wanted <= len(chosen) else len(chosen)
    rest = sorted(chosen)
    groups: list[tuple[str, list[str]]] = []
    for group in strategy.get("decisionGroups", []):
        members = [name for name in rest if _both(group["groupClusterSelector"], chosen[name])]
        rest = [name for name in rest if name not in members]
        groups += [(group["groupName"], members[at : at + size]) for at in range(0, len(members), max(size, 1))]
    groups += [("", rest[at : at + size]) for at in range(0, len(rest), max(size, 1))]
    return groups or [("", [])]


def _time(text: str) -> float:
    return datetime.fromisoformat(text).timestamp()


def _number(text: str) -> float:
    for suffix, factor in BINARY.items():
        if text.endswith(suffix):
            return float(int(text[: -len(suffix)]) * factor)
    suffix = text[-1] if text[-1] in SUFFIXES else ""
    digits = text[:-1] if suffix else text
    return float(int(digits)) * 10.0 ** SUFFIXES[suffix] if suffix else float(int(digits))
