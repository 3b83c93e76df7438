"""``merope get works``."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any

from merope.api.cluster.v1 import ManagedCluster
from merope.api.work.v1 import APPLIED, AVAILABLE, ManifestWork
from merope.cli.access import Access, each
from merope.cli.listing import Columns, ListFormat, Listing, Manifest, age_of, condition, name_of, namespace_of, show
from merope.cli.refusal import Refused
from merope.cli.tree import Tree
from merope.kube import NotFound, ref_of


def get_works(access: Access, names: Sequence[str], clusters: Sequence[str], form: ListFormat) -> None:
    """Print the works of some clusters, or those of one name."""
    if len(names) > 1:
        raise Refused("can only specify one manifestwork")
    show(listing(asyncio.run(_find(access, names[0] if names else None, clusters))), form)


async def _find(access: Access, name: str | None, clusters: Sequence[str]) -> list[Manifest]:
    async with access.hub() as client:

        async def of_cluster(cluster: str) -> list[dict[str, Any]]:
            await client.fetch(ManagedCluster, cluster)
            if name is None:
                return await client.list(ref_of(ManifestWork), cluster)
            try:
                return [await client.get(ref_of(ManifestWork), name, cluster)]
            except NotFound:
                return []

        found = await each(clusters, of_cluster)
    works: list[Manifest] = [work for of_one in found for work in of_one]
    if name is not None and not works:
        raise Refused(f"there is no work {name} in cluster {', '.join(clusters)}")
    return works


def listing(works: Sequence[Manifest]) -> Listing:
    """How works are shown; sorted by cluster and name."""
    ordered = sorted(works, key=lambda work: (namespace_of(work), name_of(work)))
    return Listing(
        "ManifestWork",
        "manifestwork.work.open-cluster-management.io",
        ordered,
        lambda: _tree(ordered),
        lambda: Columns(
            ("NAME", "CLUSTER", "NUMBER OF MANIFESTS", "APPLIED", "AVAILABLE", "AGE"),
            [(name_of(work), namespace_of(work), *_summary(work), age_of(work)) for work in ordered],
            wide=1,
        ),
    )


def _tree(works: Sequence[Manifest]) -> Tree:
    tree: dict[str, dict[str, Tree]] = {}
    for work in works:
        count, applied, available = _summary(work)
        tree.setdefault(namespace_of(work), {})[name_of(work)] = {
            "Number of Manifests": count,
            "Applied": applied,
            "Available": available,
            "Resources": resources(work),
        }
    return tree


def _summary(work: Manifest) -> tuple[str, str, str]:
    manifests = ((work.get("spec") or {}).get("workload") or {}).get("manifests") or ()
    return (
        str(len(manifests)),
        condition(work, APPLIED).get("status", ""),
        condition(work, AVAILABLE).get("status", ""),
    )


def resources(work: Manifest) -> dict[str, dict[str, str]]:
    """By plural resource name and object: ``applied``, ``not-applied``, or ``unknown`` while no agent has said so."""
    found: dict[str, dict[str, str]] = {}
    status = (work.get("status") or {}).get("resourceStatus") or {}
    for manifest in status.get("manifests") or ():
        meta = manifest.get("resourceMeta") or {}
        name = "/".join(part for part in (meta.get("namespace"), meta.get("name")) if part)
        state = {"True": "applied", "False": "not-applied"}.get(
            condition({"status": manifest}, APPLIED).get("status", ""), "unknown"
        )
        found.setdefault(meta.get("resource") or meta.get("kind") or "unknown", {})[name] = state
    return {plural: dict(sorted(objects.items())) for plural, objects in sorted(found.items())}
