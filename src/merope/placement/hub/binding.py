"""Bringing a Placement's decisions and its status to what was chosen; nothing is sent where nothing differs."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from merope.api.cluster.v1beta1 import Placement, PlacementDecision
from merope.kube import Client, EventRecorder, Manifest, Snapshot, set_condition, write
from merope.kube.events import EventType
from merope.placement.decision import Decision
from merope.placement.hub.observed import Decided
from merope.placement.verdict import MISCONFIGURED, SATISFIED
from merope.sdk.decisions import Slice, decision_entries, owner_reference

_AT_ONCE: Final = 32


@dataclass(frozen=True, slots=True)
class Difference:
    """What has to be done to a Placement's decisions: create, update, relabel, delete."""

    missing: Sequence[Slice]
    changed: Sequence[tuple[Slice, Snapshot[Decided]]]
    relabelled: Sequence[tuple[Slice, Snapshot[Decided]]]
    surplus: Sequence[Snapshot[Decided]]

    def __bool__(self) -> bool:
        return bool(self.missing or self.changed or self.relabelled or self.surplus)


@dataclass(frozen=True, slots=True)
class Desired:
    """What is to be true of one Placement. ``scores`` is the note of the Event that tells the scores."""

    placement: Snapshot[Placement]
    decision: Decision
    difference: Difference
    scores: str = ""

    @property
    def decides(self) -> bool:
        """Whether any decision has to be written."""
        return bool(self.difference)


class Binder:
    """Writes. At most a few dozen requests are under way at a time, over all Placements."""

    def __init__(self, client: Client, recorder: EventRecorder) -> None:
        self._client = client
        self._recorder = recorder
        self._room = asyncio.Semaphore(_AT_ONCE)

    async def bind(self, desired: Desired) -> None:
        """Decisions first, the status that speaks of them last. Raises what the server refused (KubeError)."""
        if desired.decides:
            difference = desired.difference
            await _all(
                *(self._create(desired, one) for one in difference.missing),
                *(self._update(desired, one, current) for one, current in difference.changed),
                *(self._relabel(one, current) for one, current in difference.relabelled),
            )
            await _all(*(self._delete(desired, current) for current in difference.surplus))
        await write(
            self._client,
            Placement,
            desired.placement,
            lambda raw: set_status(raw, desired.decision),
            subresource="status",
        )

    async def _create(self, desired: Desired, wanted: Slice) -> None:
        placement = desired.placement
        manifest = {
            "metadata": {
                "name": wanted.name,
                "namespace": placement.namespace,
                "labels": dict(wanted.labels),
                "ownerReferences": [owner_reference(placement.name, placement.uid)],
            },
        }
        async with self._room:
            created = await self._client.create(PlacementDecision, manifest, placement.namespace)
        self._tell(desired, created, "Normal", "DecisionCreate", "DecisionCreated", "is created")
        if wanted.clusters:
            await self._patch_status(desired, wanted, created.uid, created.resource_version)

    async def _update(self, desired: Desired, wanted: Slice, current: Snapshot[Decided]) -> None:
        updated = await self._patch_status(desired, wanted, current.uid, current.resource_version)
        await self._relabel(wanted, updated)

    async def _patch_status(
        self, desired: Desired, wanted: Slice, uid: str, version: str
    ) -> Snapshot[PlacementDecision]:
        patch = {
            "metadata": {"uid": uid, "resourceVersion": version},
            "status": {"decisions": decision_entries(wanted.clusters)},
        }
        namespace = desired.placement.namespace
        async with self._room:
            updated = await self._client.patch_snapshot(
                PlacementDecision, wanted.name, patch, namespace=namespace, subresource="status"
            )
        warning = desired.decision.warning
        kind: EventType = "Warning" if warning else "Normal"
        self._tell(desired, updated, kind, "DecisionUpdate", "DecisionUpdated", "is updated", warning)
        if desired.scores:
            self._recorder.record(
                desired.placement, "Normal", "ScoreUpdate", desired.scores, action="ScoreUpdated", related=updated
            )
        return updated

    async def _relabel(self, wanted: Slice, current: Snapshot[Any]) -> None:
        labels: dict[str, str | None] = {key: None for key in current.labels if key not in wanted.labels}
        labels |= {key: value for key, value in wanted.labels.items() if current.labels.get(key) != value}
        if not labels:
            return
        patch = {"metadata": {"uid": current.uid, "resourceVersion": current.resource_version, "labels": labels}}
        async with self._room:
            await self._client.patch_snapshot(PlacementDecision, wanted.name, patch, namespace=current.namespace)

    async def _delete(self, desired: Desired, current: Snapshot[Decided]) -> None:
        async with self._room:
            await self._client.delete(
                PlacementDecision, current.name, current.namespace, uid=current.uid, missing_ok=True
            )
        self._tell(desired, current, "Normal", "DecisionDelete", "DecisionDeleted", "is deleted")

    def _tell(
        self,
        desired: Desired,
        decision: PlacementDecision | Snapshot[Any],
        kind: EventType,
        reason: str,
        action: str,
        what: str,
        addition: str = "",
    ) -> None:
        placement = desired.placement
        note = f"Decision {decision.name} {what} with placement {placement.name} in namespace {placement.namespace}"
        self._recorder.record(placement, kind, reason, note + addition, action=action, related=decision)


def compare(
    slices: Sequence[Slice], named: Mapping[str, Snapshot[Decided]], labelled: Mapping[str, Snapshot[Decided]]
) -> Difference:
    """What has to be created, updated, relabelled and deleted.

    ``named`` are the decisions that have the wanted names, whatever their labels; ``labelled`` those that carry the
    Placement's label, whatever their names.
    """
    missing: list[Slice] = []
    changed: list[tuple[Slice, Snapshot[Decided]]] = []
    relabelled: list[tuple[Slice, Snapshot[Decided]]] = []
    for wanted in slices:
        current = named.get(wanted.name)
        if current is None:
            missing.append(wanted)
        elif current.value.clusters != wanted.clusters or not current.value.plain:
            changed.append((wanted, current))
        elif dict(current.labels) != dict(wanted.labels):
            relabelled.append((wanted, current))
    kept = {wanted.name for wanted in slices}
    surplus = [decision for name, decision in labelled.items() if name not in kept]
    return Difference(missing, changed, relabelled, surplus)


def set_status(raw: Manifest, decision: Decision) -> None:
    """Change a Placement's raw status to what was decided. Zero and nothing are written only over something."""
    status = raw.setdefault("status", {})
    if decision.selected or status.get("numberOfSelectedClusters"):
        status["numberOfSelectedClusters"] = decision.selected
    if decision.groups or status.get("decisionGroups"):
        status["decisionGroups"] = [dict(group) for group in decision.groups]
    conditions = status.setdefault("conditions", [])
    for type_, (holds, reason, message) in (
        (MISCONFIGURED, decision.misconfigured),
        (SATISFIED, decision.satisfied),
    ):
        set_condition(conditions, type_, "True" if holds else "False", reason, message)


async def _all(*writes: Awaitable[object]) -> None:
    """Do all of it, whatever becomes of the others; then raise the first error."""
    results = await asyncio.gather(*writes, return_exceptions=True)
    for result in results:
        if isinstance(result, BaseException):
            raise result
