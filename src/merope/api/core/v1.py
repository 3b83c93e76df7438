"""v1: Namespace, Secret, ConfigMap, ServiceAccount, Event and Node."""

import msgspec
from msgspec import UNSET

from merope.api.meta.v1 import Object
from merope.api.schema import Bytes, Manifest, Maybe, Quantity, Struct, Time, resource


class ObjectReference(Struct):
    """Names an object; which members count depends on where it stands."""

    kind: Maybe[str] = UNSET
    namespace: Maybe[str] = UNSET
    name: Maybe[str] = UNSET
    uid: Maybe[str] = UNSET
    api_version: Maybe[str] = UNSET
    resource_version: Maybe[str] = UNSET
    field_path: Maybe[str] = UNSET


class LocalObjectReference(Struct):
    """Names an object of the same namespace."""

    name: Maybe[str] = UNSET


class CoreCondition(Struct):
    """A condition as the core kinds have it: like meta's, but with nothing required beyond type and status."""

    type: str
    status: str
    reason: Maybe[str] = UNSET
    message: Maybe[str] = UNSET
    last_transition_time: Maybe[Time | None] = UNSET
    last_heartbeat_time: Maybe[Time | None] = UNSET


class NamespaceSpec(Struct):
    """Who must have cleaned up before the namespace is gone."""

    finalizers: Maybe[list[str] | None] = UNSET


class NamespaceStatus(Struct):
    """Whether the namespace is Active or Terminating."""

    phase: Maybe[str] = UNSET
    conditions: Maybe[list[CoreCondition] | None] = UNSET


@resource("", "v1", "namespaces", namespaced=False, short_names=("ns",), status=True)
class Namespace(Object):
    """A scope for names and permissions."""

    spec: Maybe[NamespaceSpec] = UNSET
    status: Maybe[NamespaceStatus] = UNSET


@resource("", "v1", "secrets", namespaced=True)
class Secret(Object):
    """Confidential data, base64 encoded."""

    type: Maybe[str] = UNSET
    data: Maybe[dict[str, Bytes] | None] = UNSET
    string_data: Maybe[dict[str, str] | None] = UNSET
    immutable: Maybe[bool | None] = UNSET


@resource("", "v1", "configmaps", namespaced=True, short_names=("cm",))
class ConfigMap(Object):
    """Data that programs are configured with."""

    data: Maybe[dict[str, str] | None] = UNSET
    binary_data: Maybe[dict[str, Bytes] | None] = UNSET
    immutable: Maybe[bool | None] = UNSET


@resource("", "v1", "serviceaccounts", namespaced=True, short_names=("sa",))
class ServiceAccount(Object):
    """The identity of a program."""

    secrets: Maybe[list[ObjectReference] | None] = UNSET
    image_pull_secrets: Maybe[list[LocalObjectReference] | None] = UNSET
    automount_service_account_token: Maybe[bool | None] = UNSET


class EventSource(Struct):
    """Who reports an event."""

    component: Maybe[str] = UNSET
    host: Maybe[str] = UNSET


class EventSeries(Struct):
    """How often an event has happened, and when last."""

    count: Maybe[int] = UNSET
    last_observed_time: Maybe[Time | None] = UNSET


@resource("", "v1", "events", namespaced=True, short_names=("ev",))
class Event(Object):
    """Something that happened to an object, in the older form that kubectl shows."""

    involved_object: ObjectReference
    reason: Maybe[str] = UNSET
    message: Maybe[str] = UNSET
    source: Maybe[EventSource] = UNSET
    first_timestamp: Maybe[Time | None] = UNSET
    last_timestamp: Maybe[Time | None] = UNSET
    count: Maybe[int] = UNSET
    type: Maybe[str] = UNSET
    event_time: Maybe[Time | None] = UNSET
    series: Maybe[EventSeries | None] = UNSET
    action: Maybe[str] = UNSET
    related: Maybe[ObjectReference | None] = UNSET
    reporting_component: Maybe[str] = UNSET
    reporting_instance: Maybe[str] = UNSET


class Taint(Struct):
    """Keeps pods that don't tolerate it off a node."""

    key: str
    effect: str
    value: Maybe[str] = UNSET
    time_added: Maybe[Time | None] = UNSET


class NodeSpec(Struct):
    """What is wanted of a node."""

    unschedulable: Maybe[bool] = UNSET
    taints: Maybe[list[Taint] | None] = UNSET
    provider_id: Maybe[str] = msgspec.field(default=UNSET, name="providerID")


class NodeStatus(Struct):
    """What a node has."""

    capacity: Maybe[dict[str, Quantity] | None] = UNSET
    allocatable: Maybe[dict[str, Quantity] | None] = UNSET
    conditions: Maybe[list[CoreCondition] | None] = UNSET
    node_info: Maybe[Manifest] = UNSET


@resource("", "v1", "nodes", namespaced=False, short_names=("no",), status=True)
class Node(Object):
    """A machine of a cluster."""

    spec: Maybe[NodeSpec] = UNSET
    status: Maybe[NodeStatus] = UNSET
