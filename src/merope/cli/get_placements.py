"""``merope get placements``."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from merope.api.cluster.v1beta1 import (
    PLACEMENT_MISCONFIGURED,
    PLACEMENT_SATISFIED,
    Placement,
    PlacementDecision,
)
from merope.cli.access import Access, together
from merope.cli.listing import Columns, ListFormat, Listing, Manifest, age_of, condition, name_of, namespace_of, show
from merope.cli.refusal import Refused
from merope.cli.tree import Tree
from merope.kube import CORE, ref_of
from merope.sdk.decisions import PLACEMENT_LABEL, decided_clusters

_NONE_SELECTED: Final = "[NoClusterSelected]"


@dataclass(frozen=True, slots=True)
class Placements:
    """Placements, and the decisions of their namespaces."""

    placements: Sequence[Manifest]
    decisions: Sequence[Manifest]


def get_placements(access: Access, names: Sequence[str], namespace: str | None, form: ListFormat) -> None:
    """Print placements and the clusters that they selected; of one namespace, or of all."""
    if len(names) > 1:
        raise Refused("the number of placement name should be 0 or 1")
    name = names[0] if names else None
    found = asyncio.run(_find(access, namespace or None))
    placements = [each for each in found.placements if name in (None, name_of(each))]
    if name and not placements:
        raise Refused(f"there is no placement {name} in {f'namespace {namespace}' if namespace else 'any namespace'}")
    show(listing(Placements(placements, found.decisions)), form)


async def _find(access: Access, namespace: str | None) -> Placements:
    async with access.hub() as client:
        if namespace:
            await client.get(CORE["Namespace"], namespace)
        return Placements(
            *await together(
                client.list(ref_of(Placement), namespace), client.list(ref_of(PlacementDecision), namespace)
            )
        )


def listing(found: Placements) -> Listing:
    """How placements are shown; sorted by namespace and name."""
    ordered = sorted(found.placements, key=lambda each: (namespace_of(each), name_of(each)))
    clusters = selected(found.decisions)

    def chosen(placement: Manifest) -> str:
        names = clusters.get((namespace_of(placement), name_of(placement)))
        return f"[{' '.join(names)}]" if names else _NONE_SELECTED

    def tree() -> Tree:
        # Names are unique in a namespace only: where two are the same, the namespace tells them apart.
        names = [name_of(each) for each in ordered]
        return {
            name if names.count(name) == 1 else f"{namespace_of(each)}/{name}": _leaves(each, chosen(each))
            for name, each in zip(names, ordered, strict=True)
        }

    def columns() -> Columns:
        return Columns(
            ("NAME", "STATUS", "REASON", "SELECTEDCLUSTERS", "NAMESPACE", "AGE"),
            [(name_of(each), *_satisfied(each), chosen(each), namespace_of(each), age_of(each)) for each in ordered],
            wide=2,
        )

    return Listing("Placement", "placement.cluster.open-cluster-management.io", ordered, tree, columns)


def selected(decisions: Sequence[Manifest]) -> Mapping[tuple[str, str], list[str]]:
    """The clusters of each placement, by its namespace and name, over all pages of its decisions; sorted."""
    found: dict[tuple[str, str], set[str]] = {}
    for decision in decisions:
        placement = (decision["metadata"].get("labels") or {}).get(PLACEMENT_LABEL, "")
        found.setdefault((namespace_of(decision), placement), set()).update(decided_clusters(decision))
    return {key: sorted(names) for key, names in found.items()}


def _leaves(placement: Manifest, chosen: str) -> Tree:
    return {
        "Namespace": namespace_of(placement),
        "ClusterSet": f"[{' '.join((placement.get('spec') or {}).get('clusterSets') or ())}]",
        "Status": {
            "NumberOfSelectedClusters": str((placement.get("status") or {}).get("numberOfSelectedClusters", 0)),
            "Conditions": {
                "PlacementConditionSatisfied": _word(placement, PLACEMENT_SATISFIED),
                "PlacementConditionMisconfigured": _word(placement, PLACEMENT_MISCONFIGURED),
            },
        },
        "PlacementDecision": chosen,
    }


def _word(placement: Manifest, type_: str) -> str:
    return {"True": "true", "False": "false"}.get(condition(placement, type_).get("status", ""), "unknown")


def _satisfied(placement: Manifest) -> tuple[str, str]:
    found = condition(placement, PLACEMENT_SATISFIED)
    return str(found.get("status", "")), str(found.get("reason", ""))
