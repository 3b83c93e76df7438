"""Whether a definition's names are free, and the conditions that say so.

Pure: from a definition and the others of its group to the status that it should have. Names that are accepted stay
the definition's until it goes; a definition that was established once stays established.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Final

from merope.controlplane.crd.approval import approval_condition
from merope.controlplane.resource import Object

NAMES_ACCEPTED: Final = "NamesAccepted"
ESTABLISHED: Final = "Established"
TERMINATING: Final = "Terminating"

Condition = dict[str, Any]


def condition(definition: Mapping[str, Any], kind: str) -> Condition | None:
    """The condition of a type in a definition's status."""
    status = definition.get("status") or {}
    for found in status.get("conditions") or ():
        if found.get("type") == kind:
            return found  # type: ignore[no-any-return]
    return None


def is_true(definition: Mapping[str, Any], kind: str) -> bool:
    """Whether a condition is there and True."""
    found = condition(definition, kind)
    return found is not None and found.get("status") == "True"


def make(kind: str, status: str, reason: str, message: str) -> Condition:
    return {"type": kind, "status": status, "reason": reason, "message": message}


def set_condition(definition: Object, wanted: Condition, now: str) -> None:
    """Put a condition in, in place of the one of its type; its time is that of the last change of its status."""
    status = definition.setdefault("status", {})
    conditions = status.get("conditions") or []
    status["conditions"] = conditions
    for index, found in enumerate(conditions):
        if found.get("type") == wanted["type"]:
            time = found.get("lastTransitionTime", now) if found.get("status") == wanted["status"] else now
            conditions[index] = _ordered(wanted, time)
            return
    conditions.append(_ordered(wanted, now))


def _ordered(wanted: Condition, time: str) -> Condition:
    return {
        "type": wanted["type"],
        "status": wanted["status"],
        "lastTransitionTime": time,
        "reason": wanted["reason"],
        "message": wanted["message"],
    }


def settle(definition: Object, others: Iterable[Mapping[str, Any]], now: str) -> None:
    """Bring names and conditions of a definition's status up to date, in place.

    ``others`` are all other definitions of the group.
    """
    status = definition.setdefault("status", {})
    accepted = status.get("acceptedNames") or {}
    names, verdict = _judge(definition["spec"]["names"], accepted, others)
    established = condition(definition, ESTABLISHED)
    if established is None or established["status"] != "True":
        if verdict["status"] == "True":
            established = make(ESTABLISHED, "True", "InitialNamesAccepted", "the initial names have been accepted")
        elif established is None:
            established = make(ESTABLISHED, "False", "NotAccepted", "not all names are accepted")
    status["acceptedNames"] = names
    set_condition(definition, verdict, now)
    set_condition(definition, established, now)
    approval = approval_condition(definition)
    if approval is not None:
        set_condition(definition, approval, now)
    definition["status"] = {
        key: status[key] for key in ("conditions", "acceptedNames", "storedVersions") if key in status
    }


def _judge(
    requested: Mapping[str, Any], accepted: Mapping[str, Any], others: Iterable[Mapping[str, Any]]
) -> tuple[dict[str, Any], Condition]:
    """The names that the definition has now, and whether those are all it asked for."""
    resources: set[str] = set()
    kinds: set[str] = set()
    for other in others:
        theirs = (other.get("status") or {}).get("acceptedNames") or {}
        resources.update(name for key in ("plural", "singular") if (name := theirs.get(key)))
        resources.update(theirs.get("shortNames") or ())
        kinds.update(name for key in ("kind", "listKind") if (name := theirs.get(key)))
    names = dict(accepted)
    verdict = make(NAMES_ACCEPTED, "True", "NoConflicts", "no conflicts found")

    def claim(key: str, used: set[str], reason: str) -> None:
        nonlocal verdict
        wanted = requested.get(key) or ""
        if wanted != (accepted.get(key) or "") and wanted in used:
            verdict = make(NAMES_ACCEPTED, "False", reason, f'"{wanted}" is already in use')
        elif wanted:
            names[key] = wanted
        else:
            names.pop(key, None)

    claim("plural", resources, "PluralConflict")
    claim("singular", resources, "SingularConflict")
    verdict = _claim_short_names(requested, accepted, resources, names) or verdict
    claim("kind", kinds, "KindConflict")
    claim("listKind", kinds, "ListKindConflict")
    if requested.get("categories"):
        names["categories"] = requested["categories"]
    else:
        names.pop("categories", None)
    ordered = {"plural": names.get("plural", "")}
    for key in ("singular", "shortNames"):
        if names.get(key):
            ordered[key] = names[key]
    ordered["kind"] = names.get("kind", "")
    for key in ("listKind", "categories"):
        if names.get(key):
            ordered[key] = names[key]
    return ordered, verdict


def _claim_short_names(
    requested: Mapping[str, Any], accepted: Mapping[str, Any], used: set[str], names: dict[str, Any]
) -> Condition | None:
    wanted = requested.get("shortNames") or []
    ours = accepted.get("shortNames") or []
    taken = [f'"{name}" is already in use' for name in wanted if name not in ours and name in used]
    if taken:
        text = taken[0] if len(taken) == 1 else f"[{', '.join(taken)}]"
        return make(NAMES_ACCEPTED, "False", "ShortNamesConflict", text)
    if wanted:
        names["shortNames"] = list(wanted)
    else:
        names.pop("shortNames", None)
    return None
