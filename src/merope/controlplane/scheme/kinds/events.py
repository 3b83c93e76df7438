"""Events, which two groups serve: the older core/v1 and the newer events.k8s.io/v1 show the same objects.

They are stored in the older form. Both forms have every field, under different names where the newer one renamed them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from merope.controlplane.errors import FieldError, invalid_value, required
from merope.controlplane.resource import Object, Request, Strategy
from merope.controlplane.scheme.kinds.base import NoStatus, check_name
from merope.lang import names

if TYPE_CHECKING:
    from merope.controlplane.server import Server

CORE: Final = "v1"
EVENTS: Final = "events.k8s.io/v1"

#: Core name of each field that the newer form calls otherwise.
_RENAMED: Final = {
    "involvedObject": "regarding",
    "message": "note",
    "reportingComponent": "reportingController",
    "source": "deprecatedSource",
    "firstTimestamp": "deprecatedFirstTimestamp",
    "lastTimestamp": "deprecatedLastTimestamp",
    "count": "deprecatedCount",
}
_BACK: Final = {new: old for old, new in _RENAMED.items()}
_CLUSTER_NAMESPACES: Final = ("", "default", "kube-system")
_TYPES: Final = ("Normal", "Warning")
_NOTE_LIMIT: Final = 1024
_WORD_LIMIT: Final = 128


class EventStrategy(NoStatus):
    """Core events: written by anyone in any state of completeness, as clients have done for long."""

    create_on_update = True
    name_rule = "path"

    def prepare_create(self, server: Server, request: Request, obj: Object) -> None:
        """Nothing: an event has no status."""

    def convert(self, obj: Object, api_version: str) -> Object:
        """The event in the form of the other group, or as it is."""
        if obj.get("apiVersion") == api_version:
            return obj
        names_of = _RENAMED if api_version == EVENTS else _BACK
        out: Object = {names_of.get(key, key): value for key, value in obj.items()}
        out["apiVersion"] = api_version
        # Each form prints its own fields when they are empty.
        if api_version == EVENTS:
            for key in ("reportingController", "reportingInstance"):
                if not out.get(key):
                    out.pop(key, None)
            out.setdefault("eventTime", None)
            for key, empty in _ALWAYS_NEW.items():
                out.setdefault(key, {} if empty == {} else empty)
        else:
            for key, empty in _ALWAYS_CORE.items():
                out.setdefault(key, {} if empty == {} else empty)
        return out

    def validate(self, server: Server, request: Request, obj: Object, old: Object | None) -> list[FieldError]:
        if old is None:
            return _check_namespace("involvedObject", obj)
        return []


_ALWAYS_CORE: Final[dict[str, Any]] = {
    "involvedObject": {},
    "source": {},
    "firstTimestamp": None,
    "lastTimestamp": None,
    "eventTime": None,
    "reportingComponent": "",
    "reportingInstance": "",
}
_ALWAYS_NEW: Final[dict[str, Any]] = {
    "regarding": {},
    "deprecatedSource": {},
    "deprecatedFirstTimestamp": None,
    "deprecatedLastTimestamp": None,
}


def _check_namespace(reference: str, obj: Object) -> list[FieldError]:
    """An event lives where its object does; those about cluster-scoped objects in ``default``."""
    about = (obj.get(reference) or {}).get("namespace", "")
    namespace = obj["metadata"].get("namespace", "")
    if about:
        if about != namespace:
            return [invalid_value(f"{reference}.namespace", about, "does not match event.namespace")]
    elif namespace not in _CLUSTER_NAMESPACES:
        return [invalid_value(f"{reference}.namespace", about, "does not match event.namespace")]
    return []


class NewEventStrategy(EventStrategy):
    """Events of the newer group: complete ones only, and hardly changed afterwards."""

    def validate(self, server: Server, request: Request, obj: Object, old: Object | None) -> list[FieldError]:
        if old is None:
            return _check_new(obj)
        complaints = []
        for key in (
            "reportingController",
            "reportingInstance",
            "action",
            "reason",
            "regarding",
            "related",
            "note",
            "type",
        ):
            if (obj.get(key) or None) != (old.get(key) or None):
                complaints.append(invalid_value(_BACK.get(key, key), obj.get(key), "field is immutable"))
        return complaints


def _check_new(obj: Object) -> list[FieldError]:
    complaints = _check_namespace("regarding", obj)
    complaints = [
        FieldError(e.field.replace("regarding", "involvedObject"), e.type, e.value, e.detail) for e in complaints
    ]
    if not obj.get("eventTime"):
        complaints.append(required("eventTime"))
    complaints += check_name("reportingController", obj.get("reportingController"), names.is_qualified_name)
    for key in ("reportingInstance", "action", "reason"):
        value = obj.get(key)
        if not value:
            complaints.append(required(key))
        elif len(value) > _WORD_LIMIT:
            complaints.append(invalid_value(key, "", f"can have at most {_WORD_LIMIT} characters"))
    if obj.get("type") not in _TYPES:
        complaints.append(invalid_value("type", "", f"has invalid value: {obj.get('type', '')}"))
    if len(obj.get("note") or "") > _NOTE_LIMIT:
        complaints.append(invalid_value("message", "", f"can have at most {_NOTE_LIMIT} characters"))
    return complaints


STRATEGIES: Final[dict[tuple[str, str], Strategy]] = {
    ("", "Event"): EventStrategy(),
    ("events.k8s.io", "Event"): NewEventStrategy(),
}
