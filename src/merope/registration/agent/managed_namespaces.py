"""Namespaces that a hub's cluster sets want on the managed cluster: made, marked, never deleted."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from merope.kube import CORE, AlreadyExists, Client, Informer, KubeError, Manifest, NotFound, ObjectKey, write

_NAMESPACE: Final = CORE["Namespace"]
_HASH_LENGTH: Final = 63  # as long as a label's name may be

AVAILABLE: Final = "NamespaceAvailable"


def label_of(hub_hash: str) -> str:
    """The label of the namespaces that this hub manages; each hub has its own."""
    return f"clusterset.open-cluster-management.io/{hub_hash[:_HASH_LENGTH]}"


@dataclass(frozen=True)
class Applied:
    """What became of the namespaces that were wanted: the complaint by name, or None where all is well; and of those
    that keep a mark they should have lost, the complaints.
    """

    results: Mapping[str, str | None]
    unmarked: Sequence[str] = ()

    @property
    def complaints(self) -> list[str]:
        """All that went wrong."""
        return [*filter(None, self.results.values()), *self.unmarked]


def wanted_names(cluster: Mapping[str, Any]) -> list[str]:
    """Names of the namespaces that the hub wants; none while the cluster is being deleted."""
    if (cluster.get("metadata") or {}).get("deletionTimestamp"):
        return []
    entries = (cluster.get("status") or {}).get("managedNamespaces") or ()
    return sorted({str(entry.get("name")) for entry in entries})


class ManagedNamespaces:
    """Brings the namespaces of the managed cluster in line. ``namespaces`` is an informer of those with the label."""

    def __init__(self, spoke: Client, label: str, namespaces: Informer[Manifest]) -> None:
        self._spoke = spoke
        self._label = label
        self._namespaces = namespaces

    async def apply(self, wanted: Iterable[str]) -> Applied:
        """Makes and marks what is wanted, unmarks what isn't any more. No request where nothing changes."""
        names = set(wanted)
        results: dict[str, str | None] = {}
        for name in sorted(names):
            try:
                await self._ensure(name)
                results[name] = None
            except KubeError as error:
                results[name] = f"Failed to apply namespace: {error}"
        failures = []
        for namespace in self._namespaces.list():
            if namespace.name not in names:
                try:
                    await self._mark(namespace.key, "false")
                except NotFound:
                    continue
                except KubeError as error:
                    failures.append(f"Failed to release namespace {namespace.name}: {error}")
        return Applied(results, failures)

    async def _ensure(self, name: str) -> None:
        if self._namespaces.get(name) is not None:
            return
        try:
            await self._mark(ObjectKey("", name), "true")
        except NotFound:
            metadata = {"name": name, "labels": {self._label: "true"}}
            try:
                await self._spoke.create(_NAMESPACE, {"apiVersion": "v1", "kind": "Namespace", "metadata": metadata})
            except AlreadyExists:
                await self._mark(ObjectKey("", name), "true")

    async def _mark(self, key: ObjectKey, value: str) -> None:
        def mark(raw: Manifest) -> None:
            raw["metadata"].setdefault("labels", {})[self._label] = value

        await write(self._spoke, _NAMESPACE, await self._spoke.fetch(_NAMESPACE, key.name), mark)
