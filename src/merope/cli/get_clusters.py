"""``merope get clusters``."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any

from merope.api.cluster.v1 import AVAILABLE, JOINED, ManagedCluster
from merope.api.cluster.v1beta2 import ManagedClusterSet
from merope.cli.access import Access
from merope.cli.listing import Columns, ListFormat, Listing, Manifest, age_of, condition, name_of, show
from merope.cli.tree import Tree
from merope.kube import Client, ref_of
from merope.sdk.clustersets import CLUSTER_SET_LABEL, set_selector


def get_clusters(access: Access, clusterset: str | None, form: ListFormat) -> None:
    """Print the clusters of the hub, or those of one set."""
    show(listing(asyncio.run(_find(access, clusterset))), form)


async def _find(access: Access, clusterset: str | None) -> list[dict[str, Any]]:
    async with access.hub() as client:
        return await _members(client, clusterset) if clusterset else await client.list(ref_of(ManagedCluster))


async def _members(client: Client, clusterset: str) -> list[dict[str, Any]]:
    found = await client.get(ref_of(ManagedClusterSet), clusterset)
    return members(await client.list(ref_of(ManagedCluster)), found)


def members(clusters: Sequence[dict[str, Any]], clusterset: Manifest) -> list[dict[str, Any]]:
    """Those of ``clusters`` that a set selects, by the exclusive label or by its label selector."""
    selector = set_selector(name_of(clusterset), clusterset.get("spec"))
    return [cluster for cluster in clusters if selector.matches(cluster["metadata"].get("labels") or {})]


def listing(clusters: Sequence[Manifest]) -> Listing:
    """How clusters are shown; sorted by name."""
    ordered = sorted(clusters, key=name_of)
    return Listing(
        "ManagedCluster",
        "managedcluster.cluster.open-cluster-management.io",
        ordered,
        lambda: {name_of(cluster): _leaves(cluster) for cluster in ordered},
        lambda: _columns(ordered),
    )


def _leaves(cluster: Manifest) -> Tree:
    cpu, memory, version = _resources(cluster)
    return {
        "Accepted": _accepted(cluster),
        "Available": condition(cluster, AVAILABLE).get("status", ""),
        "ClusterSet": _set(cluster),
        "Capacity": {"Cpu": cpu, "Memory": memory},
        "KubernetesVersion": version,
    }


def _columns(clusters: Sequence[Manifest]) -> Columns:
    return Columns(
        ("NAME", "ACCEPTED", "AVAILABLE", "CLUSTERSET", "CPU", "MEMORY", "KUBERNETES VERSION", "JOINED", "URLS", "AGE"),
        [
            (
                name_of(cluster),
                _accepted(cluster),
                condition(cluster, AVAILABLE).get("status", ""),
                _set(cluster),
                *_resources(cluster),
                condition(cluster, JOINED).get("status", ""),
                ",".join(
                    each.get("url", "") for each in (cluster.get("spec") or {}).get("managedClusterClientConfigs") or ()
                ),
                age_of(cluster),
            )
            for cluster in clusters
        ],
        wide=3,
    )


def _accepted(cluster: Manifest) -> str:
    return "true" if (cluster.get("spec") or {}).get("hubAcceptsClient") else "false"


def _set(cluster: Manifest) -> str:
    return str((cluster["metadata"].get("labels") or {}).get(CLUSTER_SET_LABEL, ""))


def _resources(cluster: Manifest) -> tuple[str, str, str]:
    status = cluster.get("status") or {}
    capacity = status.get("capacity") or {}
    version = (status.get("version") or {}).get("kubernetes", "")
    return str(capacity.get("cpu", "")), str(capacity.get("memory", "")), str(version)
