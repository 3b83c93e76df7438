"""Which clusters belong to which sets: pure functions over labels and specs.

A set selects either by the exclusive label, so that a cluster is in one such set at most, or by a label selector.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Final

from merope.lang.selectors import Selector, label_selector, match_labels

CLUSTER_SET_LABEL: Final = "cluster.open-cluster-management.io/clusterset"
EXCLUSIVE: Final = "ExclusiveClusterSetLabel"
LABEL_SELECTOR: Final = "LabelSelector"


class UnknownSelectorType(ValueError):
    """A set whose selector is of a type that this version does not know; the text names the set and the type."""


def set_selector(name: str, spec: Mapping[str, Any] | None) -> Selector:
    """The selector of the set ``name`` with ``spec`` over cluster labels.

    An absent label selector selects nothing, an empty one everything. Raises UnknownSelectorType.
    """
    selector: Mapping[str, Any] = (spec or {}).get("clusterSelector") or {}
    kind = selector.get("selectorType") or EXCLUSIVE
    if kind == EXCLUSIVE:
        return match_labels({CLUSTER_SET_LABEL: name})
    if kind == LABEL_SELECTOR:
        return label_selector(selector.get("labelSelector"))
    raise UnknownSelectorType(f"selectorType {kind!r} of ManagedClusterSet {name!r} is not supported")


def is_exclusive(spec: Mapping[str, Any] | None) -> bool:
    """Whether a set selects by the exclusive label."""
    return ((spec or {}).get("clusterSelector") or {}).get("selectorType", EXCLUSIVE) in ("", EXCLUSIVE)


def sets_of(labels: Mapping[str, str], selectors: Iterable[tuple[str, Selector]]) -> list[str]:
    """The names of the sets, given with their selectors, that a cluster with ``labels`` belongs to; sorted."""
    return sorted(name for name, selector in selectors if selector.matches(labels))
