"""Taints that say of a cluster that it cannot be reached, or that its API server does not work."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

from merope.api.cluster.v1 import AVAILABLE, NO_SELECT, UNAVAILABLE_TAINT, UNREACHABLE_TAINT, ManagedCluster
from merope.kube import Client, Informer, condition_status, write

Manifest = dict[str, Any]

_UNREACHABLE: Final = {"key": UNREACHABLE_TAINT, "effect": NO_SELECT}
_UNAVAILABLE: Final = {"key": UNAVAILABLE_TAINT, "effect": NO_SELECT}


def wanted_taints(taints: Sequence[Mapping[str, Any]], available: str | None) -> list[Manifest]:
    """``taints`` as they shall be for the status of the condition Available (None: there is none yet).

    A taint counts as the hub's own by key, value and effect; one of a user with another effect is left alone.
    """
    add, drop = {
        "True": (None, (_UNREACHABLE, _UNAVAILABLE)),
        "False": (_UNAVAILABLE, (_UNREACHABLE,)),
    }.get(available or "", (_UNREACHABLE, (_UNAVAILABLE,)))
    kept = [dict(taint) for taint in taints if not any(_same(taint, each) for each in drop)]
    if add is not None and not any(_same(taint, add) for taint in kept):
        kept.append(dict(add))
    return kept


def _same(one: Mapping[str, Any], other: Mapping[str, Any]) -> bool:
    return all((one.get(key) or "") == (other.get(key) or "") for key in ("key", "value", "effect"))


class TaintReconciler:
    """Reconciles the taints of one cluster by name."""

    def __init__(self, client: Client, clusters: Informer[ManagedCluster]) -> None:
        self._client = client
        self._clusters = clusters

    async def reconcile(self, name: str) -> float | None:
        cluster = self._clusters.get(name)
        if cluster is None or cluster.deleting:
            return None

        def change(raw: Manifest) -> None:
            available = condition_status((raw.get("status") or {}).get("conditions"), AVAILABLE)
            spec = raw.setdefault("spec", {})
            before = spec.get("taints") or []
            after = wanted_taints(before, available)
            if after != before:
                spec["taints"] = after or None

        await write(self._client, ManagedCluster, cluster, change)
        return None
