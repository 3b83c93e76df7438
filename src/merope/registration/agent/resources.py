"""The capacity of a cluster: what its nodes have, added up."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from merope.kube import Manifest, Snapshot
from merope.lang.quantity import Quantity, QuantityError


@dataclass(frozen=True, slots=True)
class NodeResources:
    """What counts of a node. Heartbeats don't change it."""

    capacity: Mapping[str, str]
    allocatable: Mapping[str, str]
    schedulable: bool


def node_resources(node: Snapshot[Manifest]) -> NodeResources:
    """Projection of a Node."""
    raw = node.value
    status: Mapping[str, Any] = raw.get("status") or {}
    return NodeResources(
        {name: str(value) for name, value in (status.get("capacity") or {}).items()},
        {name: str(value) for name, value in (status.get("allocatable") or {}).items()},
        not (raw.get("spec") or {}).get("unschedulable", False),
    )


def totals(nodes: Iterable[NodeResources]) -> tuple[dict[str, str], dict[str, str]]:
    """Capacity of all nodes, and what may be allocated on those that take new Pods; by resource name, canonical.

    A quantity that can't be read counts as nothing.
    """
    capacity: dict[str, Quantity] = {}
    allocatable: dict[str, Quantity] = {}
    for node in nodes:
        _add(capacity, node.capacity)
        if node.schedulable:
            _add(allocatable, node.allocatable)
    return _texts(capacity), _texts(allocatable)


def _add(sums: dict[str, Quantity], more: Mapping[str, str]) -> None:
    for name, text in more.items():
        try:
            amount = Quantity.parse(text)
        except QuantityError:
            continue
        known = sums.get(name)
        sums[name] = amount if known is None else known + amount


def _texts(sums: Mapping[str, Quantity]) -> dict[str, str]:
    return {name: str(amount) for name, amount in sorted(sums.items())}
