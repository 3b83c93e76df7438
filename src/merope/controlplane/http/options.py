"""Query parameters and option bodies, checked as the API's own option kinds are."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from merope.controlplane.errors import (
    TOO_LONG,
    ApiError,
    FieldError,
    bad_request,
    forbidden_field,
    invalid,
    invalid_value,
    not_supported,
    required,
)
from merope.controlplane.resource import Options

_GROUP: Final = "meta.k8s.io"
_MANAGER_LIMIT: Final = 128
#: Digits that a version may have, and characters of a bad one that are shown.
_VERSION_DIGITS: Final = 4_000
_SHOWN_DIGITS: Final = 256
_VALIDATIONS: Final = ("", "Ignore", "Strict", "Warn")
#: Seconds; more than a lifetime, and few enough to be added to any date.
_LONGEST_GRACE: Final = 2**32
_POLICIES: Final = ("Foreground", "Background", "Orphan")


@dataclass(frozen=True, slots=True)
class DeleteOptions:
    """How to delete. ``propagation`` is ``Orphan``, ``Background``, ``Foreground`` or empty (the object decides)."""

    grace_period: int | None = None
    propagation: str = ""
    orphan_dependents: bool | None = None
    uid: str | None = None
    resource_version: str | None = None
    dry_run: bool = False

    def shown(self) -> dict[str, Any]:
        """The members of a DeleteOptions object that were given, but for ``dryRun``."""
        out: dict[str, Any] = {}
        if self.grace_period is not None:
            out["gracePeriodSeconds"] = self.grace_period
        preconditions = {"uid": self.uid, "resourceVersion": self.resource_version}
        if stated := {key: value for key, value in preconditions.items() if value is not None}:
            out["preconditions"] = stated
        if self.orphan_dependents is not None:
            out["orphanDependents"] = self.orphan_dependents
        if self.propagation:
            out["propagationPolicy"] = self.propagation
        return out


@dataclass(frozen=True, slots=True)
class ListOptions:
    """What to list or watch; texts as the client sent them, ``version`` parsed (None: not given)."""

    label_selector: str = ""
    field_selector: str = ""
    version: int | None = None
    match: str = ""
    limit: int = 0
    continue_token: str = ""
    timeout: int | None = None
    bookmarks: bool = False
    initial_events: bool | None = None


def write_options(query: Mapping[str, str], user_agent: str, kind: str, *, apply: bool = False) -> Options:
    """Options of a create, update or patch; ``kind`` is the option kind that complaints name."""
    complaints: list[FieldError] = []
    dry_run = _dry_run(query.get("dryRun"), complaints)
    manager = query.get("fieldManager", "")
    force: bool | None = None
    if kind == "PatchOptions":
        if "force" in query:
            force = _bool(query["force"])
        if apply and not manager:
            complaints.append(required("fieldManager", "is required for apply patch"))
        elif not apply and force is not None:
            complaints.append(forbidden_field("force", "may not be specified for non-apply patch"))
    complaints += _manager_complaints(manager)
    validation = query.get("fieldValidation", "")
    if validation not in _VALIDATIONS:
        complaints.append(not_supported("fieldValidation", validation, _VALIDATIONS))
    if complaints:
        raise invalid(_GROUP, kind, "", complaints)
    return Options(
        dry_run=dry_run,
        field_manager=manager or default_manager(user_agent),
        explicit_manager=bool(manager),
        field_validation=validation or "Warn",
        force=force,
        query=query,
    )


def default_manager(user_agent: str) -> str:
    """The field manager of a client that names none: its program name."""
    name = "".join(char for char in user_agent.partition("/")[0] if char.isprintable())
    return name[:_MANAGER_LIMIT] or "unknown"


def _manager_complaints(manager: str) -> list[FieldError]:
    if len(manager.encode()) > _MANAGER_LIMIT:
        return [FieldError("fieldManager", TOO_LONG, detail=f"may not be more than {_MANAGER_LIMIT} bytes")]
    if not manager.isprintable():
        return [invalid_value("fieldManager", manager, "should only contain printable characters")]
    return []


def _dry_run(value: str | None, complaints: list[FieldError]) -> bool:
    if not value:
        return False
    if value != "All":
        complaints.append(not_supported("dryRun", [value], ("All",)))
        return False
    return True


def delete_options(query: Mapping[str, str], body: Mapping[str, Any] | None) -> DeleteOptions:
    """Options of a delete: from the decoded body, or where there is none from the query."""
    complaints: list[FieldError] = []
    if body is not None:
        dry_runs = body.get("dryRun") or []
        dry_run = bool(dry_runs)
        if dry_runs and (not isinstance(dry_runs, list) or any(value != "All" for value in dry_runs)):
            complaints.append(not_supported("dryRun", dry_runs, ("All",)))
        grace = body.get("gracePeriodSeconds")
        orphan = body.get("orphanDependents")
        policy = body.get("propagationPolicy")
        preconditions = body.get("preconditions") or {}
        if not isinstance(preconditions, Mapping):
            raise bad_request("preconditions must be an object")
    else:
        dry_run = _dry_run(query.get("dryRun"), complaints)
        grace = _int(query["gracePeriodSeconds"], "gracePeriodSeconds") if "gracePeriodSeconds" in query else None
        orphan = _bool(query["orphanDependents"]) if "orphanDependents" in query else None
        policy = query.get("propagationPolicy")
        preconditions = {}
    if grace is not None and (not isinstance(grace, int) or isinstance(grace, bool)):
        raise bad_request("gracePeriodSeconds must be an integer")
    if grace is not None and grace > _LONGEST_GRACE:
        complaints.append(invalid_value("gracePeriodSeconds", grace, f"must be at most {_LONGEST_GRACE}"))
    if policy is not None and orphan is not None:
        complaints.append(
            invalid_value("propagationPolicy", policy, "orphanDependents and deletionPropagation cannot be both set")
        )
    if policy is not None and policy not in _POLICIES:
        complaints.append(not_supported("propagationPolicy", policy, (*_POLICIES, "nil")))
    if complaints:
        raise invalid(_GROUP, "DeleteOptions", "", complaints)
    return DeleteOptions(
        grace_period=grace,
        propagation=policy or "",
        orphan_dependents=orphan,
        uid=preconditions.get("uid"),
        resource_version=preconditions.get("resourceVersion"),
        dry_run=dry_run,
    )


def list_options(query: Mapping[str, str], *, watch: bool) -> ListOptions:
    """Options of a list, watch or deletecollection."""
    text = query.get("resourceVersion", "")
    match = query.get("resourceVersionMatch", "")
    token = query.get("continue", "")
    initial = _bool(query["sendInitialEvents"]) if query.get("sendInitialEvents") else None
    complaints = _watch_complaints(match, initial) if watch else _list_complaints(text, match, token, initial)
    if complaints:
        raise invalid(_GROUP, "ListOptions", "", complaints)
    limit = _int(query["limit"], "limit") if query.get("limit") else 0
    timeout = _int(query["timeoutSeconds"], "timeoutSeconds") if query.get("timeoutSeconds") else None
    if token and text not in ("", "0"):
        raise bad_request("specifying resource version is not allowed when using continue")
    version: int | None = None
    if text:
        try:
            version = parse_version(text)
        except ApiError as error:
            if watch:
                raise
            raise bad_request(f"invalid resource version: {error.message}") from None
    return ListOptions(
        label_selector=query.get("labelSelector", ""),
        field_selector=query.get("fieldSelector", ""),
        version=version,
        match=match,
        limit=max(limit, 0),
        continue_token=token,
        timeout=timeout,
        bookmarks=_bool(query["allowWatchBookmarks"]) if query.get("allowWatchBookmarks") else False,
        initial_events=initial,
    )


def _list_complaints(version: str, match: str, token: str, initial: bool | None) -> list[FieldError]:
    complaints: list[FieldError] = []
    if match:
        if not version:
            complaints.append(
                forbidden_field(
                    "resourceVersionMatch", "resourceVersionMatch is forbidden unless resourceVersion is provided"
                )
            )
        if token:
            complaints.append(
                forbidden_field("resourceVersionMatch", "resourceVersionMatch is forbidden when continue is provided")
            )
        if match not in ("Exact", "NotOlderThan"):
            complaints.append(not_supported("resourceVersionMatch", match, ("Exact", "NotOlderThan", "")))
        elif match == "Exact" and version == "0":
            complaints.append(
                forbidden_field(
                    "resourceVersionMatch", 'resourceVersionMatch "exact" is forbidden for resourceVersion "0"'
                )
            )
    if initial is not None:
        complaints.append(forbidden_field("sendInitialEvents", "sendInitialEvents is forbidden for list"))
    return complaints


def _watch_complaints(match: str, initial: bool | None) -> list[FieldError]:
    complaints: list[FieldError] = []
    if initial is not None:
        if not match:
            complaints.append(
                forbidden_field(
                    "resourceVersionMatch", "sendInitialEvents requires setting resourceVersionMatch to NotOlderThan"
                )
            )
        elif match != "NotOlderThan":
            complaints.append(not_supported("resourceVersionMatch", match, ("NotOlderThan",)))
    elif match:
        complaints.append(
            forbidden_field(
                "resourceVersionMatch",
                "resourceVersionMatch is forbidden for watch unless sendInitialEvents is provided",
            )
        )
    return complaints


def parse_version(text: str) -> int:
    """A resource version as a number; a text that is none is the client's error."""
    if not text.isascii() or not text.isdigit():
        problem = "invalid syntax"
    elif len(text) > _VERSION_DIGITS or int(text) >= 2**64:
        problem = "value out of range"
    else:
        return int(text)
    shown = text[:_SHOWN_DIGITS]
    raise ApiError(
        500, "", f'resourceVersion: Invalid value: "{shown}": strconv.ParseUint: parsing "{shown}": {problem}'
    )


def _int(text: str, name: str) -> int:
    try:
        return max(-(2**63), min(int(text), 2**63 - 1))
    except ValueError:
        text = text[:_SHOWN_DIGITS]
        raise bad_request(f'strconv.ParseInt: parsing "{text}": invalid syntax: {name} must be an integer') from None


def _bool(text: str) -> bool:
    """Go's reading of a boolean parameter: present and not ``false`` or ``0``."""
    return text.lower() not in ("false", "0")
