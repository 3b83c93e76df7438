"""``merope get clustersets``."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from merope.api.cluster.v1 import ManagedCluster
from merope.api.cluster.v1beta2 import CLUSTER_SET_EMPTY, ManagedClusterSet, ManagedClusterSetBinding
from merope.cli.access import Access, together
from merope.cli.listing import Columns, ListFormat, Listing, Manifest, age_of, condition, name_of, namespace_of, show
from merope.kube import ref_of
from merope.sdk.clustersets import UnknownSelectorType, set_selector


@dataclass(frozen=True, slots=True)
class Sets:
    """All sets of a hub, with what refers to them."""

    sets: Sequence[Manifest]
    bindings: Sequence[Manifest]
    clusters: Sequence[Manifest]


def get_clustersets(access: Access, form: ListFormat) -> None:
    """Print the cluster sets of the hub: where they are bound, and which clusters they have."""
    show(listing(asyncio.run(_find(access))), form)


async def _find(access: Access) -> Sets:
    async with access.hub() as client:
        return Sets(
            *await together(
                client.list(ref_of(ManagedClusterSet)),
                client.list(ref_of(ManagedClusterSetBinding)),
                client.list(ref_of(ManagedCluster)),
            )
        )


def listing(found: Sets) -> Listing:
    """How sets are shown; sorted by name."""
    ordered = sorted(found.sets, key=name_of)
    bound: Mapping[str, list[str]] = defaultdict(list)
    for binding in found.bindings:
        bound[(binding.get("spec") or {}).get("clusterSet") or name_of(binding)].append(namespace_of(binding))

    def namespaces(each: Manifest) -> str:
        return ",".join(sorted(bound.get(name_of(each), ())))

    def leaves(each: Manifest) -> dict[str, str]:
        return {
            "BoundNamespace": namespaces(each),
            "Status": _status(each),
            "Clusters": _bracketed(_clusters(each, found.clusters)),
            "ManagedNamespaces": _bracketed(_managed(each)),
        }

    def columns() -> Columns:
        return Columns(
            ("NAME", "BOUND NAMESPACES", "STATUS", "MANAGED NAMESPACES", "CLUSTERS", "AGE"),
            [
                (
                    name_of(each),
                    namespaces(each),
                    _status(each),
                    _bracketed(_managed(each)),
                    ",".join(_clusters(each, found.clusters)),
                    age_of(each),
                )
                for each in ordered
            ],
            wide=2,
        )

    return Listing(
        "ManagedClusterSet",
        "managedclusterset.cluster.open-cluster-management.io",
        ordered,
        lambda: {name_of(each): leaves(each) for each in ordered},
        columns,
    )


def _status(each: Manifest) -> str:
    return str(condition(each, CLUSTER_SET_EMPTY).get("message", ""))


def _managed(each: Manifest) -> list[str]:
    entries: Sequence[Mapping[str, Any]] = (each.get("spec") or {}).get("managedNamespaces") or ()
    return [str(entry.get("name", "")) for entry in entries]


def _clusters(each: Manifest, clusters: Sequence[Manifest]) -> list[str]:
    try:
        selector = set_selector(name_of(each), each.get("spec"))
    except UnknownSelectorType:
        return []
    return sorted(name_of(cluster) for cluster in clusters if selector.matches(cluster["metadata"].get("labels") or {}))


def _bracketed(names: Sequence[str]) -> str:
    return f"[{' '.join(names)}]"
