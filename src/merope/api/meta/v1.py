"""meta.k8s.io/v1: the parts that objects of every group share, and the base class of all kinds."""

from collections.abc import Mapping
from typing import Annotated, Any, ClassVar, TypeVar

import msgspec
from msgspec import UNSET

from merope.api.schema import (
    ATOMIC_LIST,
    Field,
    Int64,
    Manifest,
    Maybe,
    ResourceInfo,
    Struct,
    Time,
    map_of,
)

QUALIFIED_NAME = (
    r"^([a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*/)?"
    r"(([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9])$"
)


class OwnerReference(Struct):
    """An object that this one belongs to: when the last owner goes, so does this one."""

    api_version: str
    kind: str
    name: str
    uid: str
    controller: Maybe[bool] = UNSET
    block_owner_deletion: Maybe[bool] = UNSET


class ManagedFieldsEntry(Struct):
    """The fields that one manager set, at one version, through one subresource."""

    manager: Maybe[str] = UNSET
    operation: Maybe[str] = UNSET
    api_version: Maybe[str] = UNSET
    time: Maybe[str | None] = UNSET
    fields_type: Maybe[str] = UNSET
    fields_v1: Maybe[Manifest] = UNSET
    subresource: Maybe[str] = UNSET


class ObjectMeta(Struct):
    """The metadata of one object. What a server assigns is absent from an object that wasn't created yet."""

    name: Maybe[str] = UNSET
    generate_name: Maybe[str] = UNSET
    namespace: Maybe[str] = UNSET
    uid: Maybe[str] = UNSET
    resource_version: Maybe[str] = UNSET
    generation: Maybe[int] = UNSET
    creation_timestamp: Maybe[str | None] = UNSET
    deletion_timestamp: Maybe[str | None] = UNSET
    deletion_grace_period_seconds: Maybe[int | None] = UNSET
    labels: Maybe[dict[str, str] | None] = UNSET
    annotations: Maybe[dict[str, str] | None] = UNSET
    owner_references: Maybe[Annotated[list[OwnerReference] | None, map_of("uid")]] = UNSET
    finalizers: Maybe[list[str] | None] = UNSET
    managed_fields: Maybe[list[ManagedFieldsEntry] | None] = UNSET
    self_link: Maybe[str] = UNSET


class ListMeta(Struct):
    """The metadata of a list: the version it shows, and where its next page starts."""

    resource_version: Maybe[str] = UNSET
    continue_: Maybe[str] = msgspec.field(default=UNSET, name="continue")
    remaining_item_count: Maybe[int | None] = UNSET
    self_link: Maybe[str] = UNSET


class Condition(Struct):
    """One aspect of an object's state, as an observer last saw it."""

    type: Annotated[
        str,
        Field(
            "The aspect, in CamelCase or as `prefix/CamelCase`.",
            max_length=316,
            pattern=QUALIFIED_NAME,
        ),
    ]
    status: Annotated[str, Field("Whether it holds: True, False or Unknown.", enum=("True", "False", "Unknown"))]
    observed_generation: Maybe[
        Annotated[
            Int64,
            Field(
                "The metadata.generation that this was concluded from; an older one than the object's is out of date.",
                minimum=0,
            ),
        ]
    ] = UNSET
    last_transition_time: Annotated[Time, Field("When the status last changed from one value to another.")]
    reason: Annotated[
        str,
        Field(
            "The cause of the last transition, one CamelCase word for programs.",
            min_length=1,
            max_length=1024,
            pattern=r"^[A-Za-z]([A-Za-z0-9_,:]*[A-Za-z0-9_])?$",
        ),
    ]
    message: Annotated[str, Field("Details of the last transition for people; may be empty.", max_length=32768)]


Conditions = Annotated[list[Condition], map_of("type")]
"""Conditions that are told apart by their type."""


class LabelSelectorRequirement(Struct):
    """One condition on one label."""

    key: Annotated[str, Field("The label's key.")]
    operator: Annotated[str, Field("How key and values relate: In, NotIn, Exists or DoesNotExist.")]
    values: Maybe[
        Annotated[list[str], ATOMIC_LIST, Field("The values for In and NotIn; none for Exists and DoesNotExist.")]
    ] = UNSET


class LabelSelector(Struct):
    """A query over labels. All its conditions must hold; an empty selector matches every object."""

    schema: ClassVar[Field] = Field(map_type="atomic")

    match_labels: Maybe[Annotated[dict[str, str], Field("Labels that must have exactly these values.")]] = UNSET
    match_expressions: Maybe[
        Annotated[list[LabelSelectorRequirement], ATOMIC_LIST, Field("Further conditions on labels.")]
    ] = UNSET


class StatusCause(Struct):
    """One of several reasons of a failure, and the field that it is about."""

    reason: Maybe[str] = UNSET
    message: Maybe[str] = UNSET
    field: Maybe[str] = UNSET


class StatusDetails(Struct):
    """What a failure is about."""

    name: Maybe[str] = UNSET
    group: Maybe[str] = UNSET
    kind: Maybe[str] = UNSET
    uid: Maybe[str] = UNSET
    causes: Maybe[list[StatusCause] | None] = UNSET
    retry_after_seconds: Maybe[int] = UNSET


class Status(Struct):
    """The answer of a request that returns no object, above all of one that failed."""

    metadata: Maybe[ListMeta] = UNSET
    status: Maybe[str] = UNSET
    message: Maybe[str] = UNSET
    reason: Maybe[str] = UNSET
    details: Maybe[StatusDetails | None] = UNSET
    code: Maybe[int] = UNSET


class Preconditions(Struct):
    """What must be true of an object for it to be deleted."""

    uid: Maybe[str] = UNSET
    resource_version: Maybe[str] = UNSET


class DeleteOptions(Struct):
    """How an object is to be deleted."""

    grace_period_seconds: Maybe[int] = UNSET
    preconditions: Maybe[Preconditions] = UNSET
    propagation_policy: Maybe[str] = UNSET
    dry_run: Maybe[list[str]] = UNSET


class Object(Struct):
    """Base of every kind. `api_version`, `kind`, `plural` and `namespaced` belong to the class, not to the object."""

    resource: ClassVar[ResourceInfo]
    api_version: ClassVar[str]
    kind: ClassVar[str]
    plural: ClassVar[str]
    namespaced: ClassVar[bool]

    # Absent metadata and empty metadata are the same thing to every server, and reviews come without any.
    metadata: ObjectMeta = msgspec.field(default_factory=ObjectMeta)

    @property
    def name(self) -> str:
        """The object's name; empty where the server is still to generate one."""
        return self.metadata.name or ""

    @property
    def namespace(self) -> str:
        """The object's namespace; empty for a cluster-scoped one."""
        return self.metadata.namespace or ""

    @property
    def uid(self) -> str:
        """The identity that the server gave it; empty before it is created."""
        return self.metadata.uid or ""

    @property
    def resource_version(self) -> str:
        """The version of the object's state; opaque."""
        return self.metadata.resource_version or ""

    @property
    def generation(self) -> int:
        """Counts the changes of the desired state; 0 before the object is created."""
        return self.metadata.generation or 0

    @property
    def labels(self) -> Mapping[str, str]:
        """The labels, empty where there are none."""
        return self.metadata.labels or {}

    @property
    def annotations(self) -> Mapping[str, str]:
        """The annotations, empty where there are none."""
        return self.metadata.annotations or {}

    @property
    def finalizers(self) -> list[str]:
        """Who must still agree before a deleted object is gone."""
        return self.metadata.finalizers or []

    @property
    def deleting(self) -> bool:
        """Whether deletion has been asked for."""
        return bool(self.metadata.deletion_timestamp)


ObjectT = TypeVar("ObjectT", bound=Object)


def resource_of(cls: type[Object]) -> ResourceInfo:
    """Group, version, kind, plural and scope of a kind; raises TypeError for a class that isn't registered as one."""
    info = getattr(cls, "resource", None)
    if not isinstance(info, ResourceInfo):
        raise TypeError(f"{cls.__name__} is not a registered kind")
    return info


def decode(cls: type[ObjectT], raw: Mapping[str, Any] | bytes | str) -> ObjectT:
    """The typed object of its JSON or decoded JSON. Unknown fields are ignored.

    Raises msgspec.ValidationError naming the path that doesn't fit.
    """
    if isinstance(raw, (bytes, str)):
        return msgspec.json.decode(raw, type=cls)
    return msgspec.convert(raw, cls)


def encode(obj: Object) -> Manifest:
    """The raw object of a typed one, `apiVersion` and `kind` included: to create it, not to update it (see `diff`)."""
    info = resource_of(type(obj))
    return {"apiVersion": info.api_version, "kind": info.kind, **msgspec.to_builtins(obj)}
