"""From what an agent found out to the status of its ManagedCluster: a pure function."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, Literal

from merope.kube import Manifest, is_condition_false, is_condition_true, set_condition
from merope.registration.agent.lease import is_accepted
from merope.registration.agent.managed_namespaces import AVAILABLE as NAMESPACE_AVAILABLE

JOINED: Final = "ManagedClusterJoined"
AVAILABLE: Final = "ManagedClusterConditionAvailable"
CLOCK_SYNCED: Final = "ManagedClusterConditionClockSynced"
_MESSAGE_LIMIT: Final = 1024


@dataclass(frozen=True)
class Facts:
    """What is known of the managed cluster.

    ``availability`` is ``pending`` while failures haven't lasted long enough to count. What is None is not known (a
    failure): the status keeps what it has. ``namespaces`` has the complaint of each managed namespace, or None.
    """

    availability: Literal["available", "unavailable", "pending"]
    complaint: str = ""
    version: str | None = None
    capacity: Mapping[str, str] = field(default_factory=dict)
    allocatable: Mapping[str, str] = field(default_factory=dict)
    claims: Sequence[Mapping[str, str]] = ()
    namespaces: Mapping[str, str | None] | None = None


def is_clock_off(cluster: Mapping[str, Any]) -> bool:
    """Whether the hub found the cluster's clock to differ: nothing that carries a time is to be reported then."""
    return is_condition_false((cluster.get("status") or {}).get("conditions"), CLOCK_SYNCED)


def apply(cluster: Manifest, facts: Facts) -> None:
    """Sets the agent's parts of a ManagedCluster's status, in place; the parts of others stay.

    Each part is set only where those before it were well: joined, available, resources, claims, namespaces.
    """
    if not is_accepted(cluster):
        return
    status = cluster.setdefault("status", {})
    conditions = status.setdefault("conditions", [])
    if not is_condition_true(conditions, JOINED):
        set_condition(conditions, JOINED, "True", JOINED, "Managed cluster joined")
    if facts.availability == "pending":
        return
    if facts.availability == "unavailable":
        message = f"The kube-apiserver is not ok, {facts.complaint}"[:_MESSAGE_LIMIT]
        set_condition(conditions, AVAILABLE, "False", "ManagedClusterKubeAPIServerUnavailable", message)
        return
    set_condition(conditions, AVAILABLE, "True", "ManagedClusterAvailable", "Managed cluster is available")
    if facts.version is None:
        return
    status["version"] = {**(status.get("version") or {}), "kubernetes": facts.version}
    _replace(status, "capacity", {**(status.get("capacity") or {}), **facts.capacity})
    _replace(status, "allocatable", dict(facts.allocatable))
    _replace(status, "clusterClaims", [dict(claim) for claim in facts.claims])
    if facts.namespaces is not None:
        for entry in status.get("managedNamespaces") or ():
            _judge_namespace(entry, facts.namespaces)


def _replace(status: dict[str, Any], name: str, value: Any) -> None:
    if value:
        status[name] = value
    else:
        status.pop(name, None)


def _judge_namespace(entry: dict[str, Any], results: Mapping[str, str | None]) -> None:
    name = entry.get("name", "")
    if name not in results:
        return
    complaint = results[name]
    conditions = entry.setdefault("conditions", [])
    if complaint is None:
        message = "Namespace successfully applied and managed"
        set_condition(conditions, NAMESPACE_AVAILABLE, "True", "NamespaceApplied", message)
    else:
        set_condition(conditions, NAMESPACE_AVAILABLE, "False", "NamespaceApplyFailed", complaint[:_MESSAGE_LIMIT])
