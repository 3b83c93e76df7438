"""Status feedback: values of applied objects that a work wants to be told. Pure functions over raw objects."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Final

from merope.api.work.v1 import STATUS_FEEDBACK_SYNCED
from merope.kube import Manifest
from merope.lang import gojson
from merope.lang.goformat import type_name
from merope.lang.jsonpath import JSONPath, JSONPathError, compile_jsonpath
from merope.work.conditions import Found
from merope.work.go_errors import aggregate

_READY: Final = '.status.conditions[?(@.type=="Ready")].status'
_COMPLETE: Final = '.status.conditions[?(@.type=="Complete")].status'

#: What is worth knowing of well-known kinds: name and path.
_WELL_KNOWN: Final[Mapping[tuple[str, str], Sequence[tuple[str, str]]]] = {
    ("apps/v1", "Deployment"): (
        ("ReadyReplicas", ".status.readyReplicas"),
        ("Replicas", ".status.replicas"),
        ("AvailableReplicas", ".status.availableReplicas"),
    ),
    ("apps/v1", "DaemonSet"): (
        ("NumberReady", ".status.numberReady"),
        ("DesiredNumberScheduled", ".status.desiredNumberScheduled"),
        ("NumberAvailable", ".status.numberAvailable"),
    ),
    ("batch/v1", "Job"): (("JobComplete", _COMPLETE), ("JobSucceeded", ".status.succeeded")),
    ("v1", "Pod"): (("PodReady", _READY), ("PodPhase", ".status.phase")),
}


@dataclass(frozen=True)
class FeedbackLimits:
    """``raw_json``: whether values that are no scalars are reported, as JSON (the gate RawFeedbackJsonString), of at
    most ``raw_json_bytes`` bytes.
    """

    raw_json: bool = False
    raw_json_bytes: int = 1024


DEFAULT_LIMITS: Final = FeedbackLimits()
#: Characters that the API server allows for raw JSON, whatever the agent allows.
_SCHEMA_RAW_LIMIT: Final = 1024


class FeedbackError(Exception):
    """A value that can't be reported."""


def feedback(
    rules: Sequence[Mapping[str, Any]], obj: Manifest, limits: FeedbackLimits = DEFAULT_LIMITS
) -> tuple[Found, list[dict[str, Any]]]:
    """The condition StatusFeedbackSynced of a manifest, and the values that could be read from its object."""
    if not rules:
        return Found(STATUS_FEEDBACK_SYNCED, "True", "NoStatusFeedbackSynced", ""), []
    values: dict[str, dict[str, Any]] = {}
    errors: list[str] = []
    for rule in rules:
        try:
            paths = list(_paths(rule, obj))
        except FeedbackError as error:
            errors.append(str(error))
            continue
        for name, version, path in paths:
            try:
                value = _read(name, version, path, obj, limits)
                if value is None:
                    continue
                if name in values:  # names are the keys of the list: one twice would spoil the whole status
                    raise FeedbackError(f"the name {name} is used for several values, the first one is reported")
                values[name] = {"name": name, "fieldValue": value}
            except FeedbackError as error:
                errors.append(str(error))
    if errors:
        message = f"Sync status feedback failed with error {aggregate(errors)}"
        return Found(STATUS_FEEDBACK_SYNCED, "False", "StatusFeedbackSyncFailed", message), list(values.values())
    return Found(STATUS_FEEDBACK_SYNCED, "True", "StatusFeedbackSynced", ""), list(values.values())


def _paths(rule: Mapping[str, Any], obj: Manifest) -> Iterable[tuple[str, str, str]]:
    """Name, version and path of each value."""
    if rule.get("type") == "WellKnownStatus":
        api_version, kind = str(obj.get("apiVersion") or ""), str(obj.get("kind") or "")
        known = _WELL_KNOWN.get((api_version, kind))
        if known is None:
            group, _, version = api_version.rpartition("/")
            raise FeedbackError(
                f"cannot find the wellknown statuses for resource with gvk {group}/{version}, Kind={kind}"
            )
        return [(name, "", path) for name, path in known]
    return [
        (str(path.get("name") or ""), str(path.get("version") or ""), str(path.get("path") or ""))
        for path in rule.get("jsonPaths") or ()
    ]


@lru_cache(maxsize=512)
def _compiled(path: str) -> JSONPath:
    return compile_jsonpath(f"{{{path}}}", allow_missing=True)


def _read(name: str, version: str, path: str, obj: Manifest, limits: FeedbackLimits) -> dict[str, Any] | None:
    """The value as the API has it; None where there is none. Raises FeedbackError."""
    if version and version != str(obj.get("apiVersion") or "").rpartition("/")[2]:
        raise FeedbackError(f"version set in the path {name} is not matched for the related resource")
    try:
        compiled = _compiled(path)
    except JSONPathError as error:
        raise FeedbackError(f"failed to parse json path {path} of {name} with error: {error}") from error
    try:
        found = compiled.find(obj)
    except JSONPathError as error:
        raise FeedbackError(f"failed to find value for {name} with error: {error}") from error
    if not found or found[0] is None:
        return None
    value = found[0] if len(found) == 1 or not limits.raw_json else list(found)
    if isinstance(value, bool):
        return {"type": "Boolean", "boolean": value}
    if isinstance(value, int):
        return {"type": "Integer", "integer": value}
    if isinstance(value, str):
        return {"type": "String", "string": value}
    if not limits.raw_json:
        raise FeedbackError(f"the type {type_name(value)} of the value for {name} is not found")
    raw = gojson.dumps(value)
    allowed = min(limits.raw_json_bytes, _SCHEMA_RAW_LIMIT)
    if len(raw) > allowed:
        raise FeedbackError(
            f"the length of returned json raw string for name {name} is larger than the maximum length {allowed}"
        )
    return {"type": "JsonRaw", "jsonRaw": raw.decode()}
