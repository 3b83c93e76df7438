"""events.k8s.io/v1: Event."""

from msgspec import UNSET

from merope.api.core.v1 import EventSeries, EventSource, ObjectReference
from merope.api.meta.v1 import Object
from merope.api.schema import Maybe, Time, resource

GROUP = "events.k8s.io"


@resource(GROUP, "v1", "events", namespaced=True, short_names=("ev",))
class Event(Object):
    """Something that happened to an object. The same objects as those of the core group, under other names."""

    event_time: Maybe[Time | None] = UNSET
    series: Maybe[EventSeries | None] = UNSET
    reporting_controller: Maybe[str] = UNSET
    reporting_instance: Maybe[str] = UNSET
    action: Maybe[str] = UNSET
    reason: Maybe[str] = UNSET
    regarding: Maybe[ObjectReference] = UNSET
    related: Maybe[ObjectReference | None] = UNSET
    note: Maybe[str] = UNSET
    type: Maybe[str] = UNSET
    deprecated_source: Maybe[EventSource] = UNSET
    deprecated_first_timestamp: Maybe[Time | None] = UNSET
    deprecated_last_timestamp: Maybe[Time | None] = UNSET
    deprecated_count: Maybe[int] = UNSET
