"""coordination.k8s.io/v1: Lease."""

from msgspec import UNSET

from merope.api.meta.v1 import Object
from merope.api.schema import Int32, Maybe, Struct, Time, resource

GROUP = "coordination.k8s.io"


class LeaseSpec(Struct):
    """Who holds the lease, and until when it counts without being renewed."""

    holder_identity: Maybe[str | None] = UNSET
    lease_duration_seconds: Maybe[Int32 | None] = UNSET
    acquire_time: Maybe[Time | None] = UNSET
    renew_time: Maybe[Time | None] = UNSET
    lease_transitions: Maybe[Int32 | None] = UNSET
    strategy: Maybe[str | None] = UNSET
    preferred_holder: Maybe[str | None] = UNSET


@resource(GROUP, "v1", "leases", namespaced=True)
class Lease(Object):
    """A sign of life, or a leader's claim."""

    spec: Maybe[LeaseSpec] = UNSET
