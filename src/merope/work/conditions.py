"""The status of a work: conditions of its manifests, and what follows from them for the work.

Pure functions over raw status. Two passes fill it in: applying (``applied``) and looking at what is there
(``observed``); each leaves the other's part as it is.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from merope.api.work.v1 import APPLIED, AVAILABLE, COMPLETE, DELETING, PROGRESSING, STATUS_FEEDBACK_SYNCED
from merope.kube import find_condition, is_condition_true, remove_condition, set_condition, timestamp
from merope.work.manifests import Target, target

Condition = dict[str, Any]

#: Prefix of the reasons of conditions that rules concluded.
RULE_REASON: Final = "ConditionRule"
#: Characters that a condition's message may have; more would make the API server refuse the whole status.
MESSAGE_LIMIT: Final = 32768


def message_of(text: str) -> str:
    """A message that fits into a condition."""
    return text if len(text) <= MESSAGE_LIMIT else text[: MESSAGE_LIMIT - 3] + "..."


# --- applied ---------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Outcome:
    """What became of applying one manifest."""

    target: Target
    error: str = ""
    """Why it failed; empty: it was applied."""
    reason: str = "AppliedManifestFailed"

    def condition(self) -> tuple[str, str, str]:
        """Status, reason and message of the manifest's condition Applied."""
        if not self.error:
            return "True", "AppliedManifestComplete", "Apply manifest complete"
        prefix = (
            "Failed to process ignoreFields"
            if self.reason == "AppliedManifestSSAIgnoreFieldError"
            else "Failed to apply manifest"
        )
        return "False", self.reason, message_of(f"{prefix}: {self.error}")


def set_applied(status: dict[str, Any], outcomes: Sequence[Outcome], generation: int, now: str | None = None) -> None:
    """Writes what became of applying the manifests, in their order, into a work's status."""
    now = now or timestamp()
    old = ((status.get("resourceStatus") or {}).get("manifests")) or ()
    manifests = [_applied_entry(find(old, outcome.target), outcome, generation, now) for outcome in outcomes]
    status["resourceStatus"] = {**(status.get("resourceStatus") or {}), "manifests": manifests}
    if not manifests:
        return
    failed = any(outcome.error for outcome in outcomes)
    set_condition(
        status.setdefault("conditions", []),
        APPLIED,
        "False" if failed else "True",
        "AppliedManifestWorkFailed" if failed else "AppliedManifestWorkComplete",
        "Failed to apply manifest work" if failed else "Apply manifest work complete",
        observed_generation=generation,
        now=now,
    )


def find(entries: Iterable[Mapping[str, Any]], wanted: Target) -> Mapping[str, Any] | None:
    """The entry of a manifest: the same object at the same place, else the only one of that object."""
    moved: list[Mapping[str, Any]] = []
    for entry in entries:
        named = target(entry.get("resourceMeta") or {})
        if named == wanted:
            return entry
        if named.identity == wanted.identity:
            moved.append(entry)
    return moved[0] if len(moved) == 1 else None


def _applied_entry(old: Mapping[str, Any] | None, outcome: Outcome, generation: int, now: str) -> dict[str, Any]:
    conditions = [dict(condition) for condition in (old or {}).get("conditions") or ()]
    known = find_condition(conditions, APPLIED)
    if known is not None and (known.get("observedGeneration") or 0) != generation:
        remove_condition(conditions, APPLIED)  # each generation was applied at its own time
    status, reason, message = outcome.condition()
    set_condition(
        conditions,
        APPLIED,
        status,  # type: ignore[arg-type]
        reason,
        message,
        observed_generation=generation,
        now=now,
    )
    feedback = (old or {}).get("statusFeedback") or {}
    return {"resourceMeta": outcome.target.meta(), "statusFeedback": dict(feedback), "conditions": conditions}


def complete(conditions: Iterable[Mapping[str, Any]] | None) -> bool:
    """Whether a work, or a manifest of it, has done what it was for; then it is applied no more."""
    return is_condition_true(conditions, COMPLETE)


# --- observed --------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Found:
    """A condition that was concluded: the parts of it that say something."""

    type: str
    status: str
    reason: str
    message: str


@dataclass(frozen=True)
class Observation:
    """What was seen of one manifest's object."""

    target: Target
    available: Found
    feedback: Found | None = None
    """None: the object could not be read, what is known of it stays."""
    values: Sequence[Mapping[str, Any]] = ()
    rules: Sequence[Found] = ()


def availability(named: Target, error: Exception | None = None, *, missing: bool = False) -> Found:
    """The condition Available of one manifest."""
    if not (named.resource and named.version and named.name):
        return Found(AVAILABLE, "Unknown", "IncompleteResourceMeta", "Resource meta is incomplete")
    if missing:
        return Found(AVAILABLE, "False", "ResourceNotAvailable", "Resource is not available")
    if error is not None:
        text = getattr(error, "message", None) or str(error)
        return Found(AVAILABLE, "Unknown", "FetchingResourceFailed", f"Failed to fetch resource: {text}")
    return Found(AVAILABLE, "True", "ResourceAvailable", "Resource is available")


def set_observed(
    status: dict[str, Any], observations: Sequence[Observation], generation: int, now: str | None = None
) -> None:
    """Writes what was seen into a work's status, and what follows for the work."""
    now = now or timestamp()
    entries = ((status.get("resourceStatus") or {}).get("manifests")) or []
    seen = {observation.target: observation for observation in observations}
    for entry in entries:
        observation = seen.get(target(entry.get("resourceMeta") or {}))
        if observation is not None:
            _observe(entry, observation, generation, now)
    _aggregate(status.setdefault("conditions", []), entries, generation, now)


def _observe(entry: dict[str, Any], observation: Observation, generation: int, now: str) -> None:
    conditions: list[Condition] = entry.setdefault("conditions", [])
    _set(conditions, observation.available, None, now)
    if observation.feedback is None:
        return
    values = [dict(value) for value in observation.values]
    known = (entry.get("statusFeedback") or {}).get("values") or []
    if values != known:
        remove_condition(conditions, STATUS_FEEDBACK_SYNCED)  # its time is that of the last change of a value
        entry["statusFeedback"] = {"values": values} if values else {}
    _set(conditions, observation.feedback, None, now)
    for rule in observation.rules:
        _set(conditions, rule, generation, now)
    _drop_stale_rules(conditions, generation)


def _set(conditions: list[Condition], found: Found, generation: int | None, now: str) -> None:
    set_condition(
        conditions,
        found.type,
        found.status,  # type: ignore[arg-type]
        found.reason,
        message_of(found.message),
        observed_generation=generation,
        now=now,
    )


def _drop_stale_rules(conditions: list[Condition], generation: int) -> None:
    conditions[:] = [
        condition
        for condition in conditions
        if not _by_rule(condition) or (condition.get("observedGeneration") or 0) == generation
    ]


def _by_rule(condition: Mapping[str, Any]) -> bool:
    return str(condition.get("reason") or "").startswith(RULE_REASON)


def _aggregate(conditions: list[Condition], entries: Sequence[Mapping[str, Any]], generation: int, now: str) -> None:
    by_type: dict[str, list[Mapping[str, Any]]] = {AVAILABLE: []}
    for entry in entries:
        for condition in entry.get("conditions") or ():
            if condition.get("type") == AVAILABLE or _by_rule(condition):
                by_type.setdefault(condition["type"], []).append(condition)
    for type_, found in by_type.items():
        concluded = available(found, len(entries)) if type_ == AVAILABLE else aggregated(type_, found)
        _set(conditions, concluded, generation, now)
    _drop_stale_rules(conditions, generation)


def available(found: Sequence[Mapping[str, Any]], total: int) -> Found:
    """The work's condition Available from those of its manifests."""
    statuses = [condition.get("status") for condition in found]
    missing, unknown = statuses.count("False"), statuses.count("Unknown")
    if missing:
        text = f"{missing} of {total} resources are not available"
        return Found(AVAILABLE, "False", "ResourcesNotAvailable", text)
    if unknown:
        text = f"{unknown} of {total} resources have unknown status"
        return Found(AVAILABLE, "Unknown", "ResourcesStatusUnknown", text)
    if "True" not in statuses:
        return Found(AVAILABLE, "Unknown", "ResourcesStatusUnknown", "cannot get any available resource ")
    return Found(AVAILABLE, "True", "ResourcesAvailable", "All resources are available")


def aggregated(type_: str, found: Sequence[Mapping[str, Any]]) -> Found:
    """A condition of the work that rules concluded on its manifests: those without such a rule don't count.

    A work progresses as long as a part of it does; anything else it is only as a whole.
    """
    statuses = {condition.get("status") for condition in found}
    decisive = ("True", "Unknown") if type_ == PROGRESSING else ("False", "Unknown")
    otherwise = "False" if type_ == PROGRESSING else "True"
    status = next((candidate for candidate in decisive if candidate in statuses), otherwise)
    message = str(found[0].get("message") or "") if len(found) == 1 else ""
    return Found(
        type_,
        status,
        "ConditionRulesAggregated",
        message or f"Aggregated from {len(found)} manifest conditions",
    )


def set_deleting(status: dict[str, Any], generation: int) -> None:
    """Writes into a work's status that its deletion is under way."""
    set_condition(
        status.setdefault("conditions", []),
        DELETING,
        "True",
        "WorkDeleting",
        "ManifestWork is being deleted",
        observed_generation=generation,
    )
