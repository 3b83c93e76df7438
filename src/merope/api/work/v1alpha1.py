"""work.open-cluster-management.io/v1alpha1: ManifestWorkReplicaSet."""

from typing import Annotated

from msgspec import UNSET

from merope.api.cluster.v1alpha1 import RolloutStrategy
from merope.api.meta.v1 import Conditions, Object
from merope.api.schema import Column, Field, Maybe, Struct, resource
from merope.api.work.v1 import GROUP, ManifestWorkSpec


class LocalPlacementReference(Struct):
    """A placement of the same namespace, and how changes reach its clusters."""

    name: Annotated[str, Field("The placement's name.", min_length=1)]
    rollout_strategy: Maybe[
        Annotated[
            RolloutStrategy,
            Field(
                "In what steps a change reaches the clusters.",
                default={"type": "All", "all": {"progressDeadline": "None"}},
            ),
        ]
    ] = UNSET


class ManifestWorkReplicaSetSpec(Struct):
    """What is to be on which clusters."""

    manifest_work_template: Maybe[Annotated[ManifestWorkSpec, Field("The works that are made, one a cluster.")]] = UNSET
    placement_refs: Annotated[
        list[LocalPlacementReference], Field("The placements whose clusters get a work.", min_items=1)
    ]
    cascade_deletion_policy: Annotated[
        str,
        Field(
            "Background: the set is gone before its works are. Foreground: it stays until they are gone.",
            enum=("Background", "Foreground"),
            default="Background",
        ),
    ]


class ManifestWorkReplicaSetSummary(Struct):
    """How many works there are, by their state."""

    total: Maybe[Annotated[int, Field("Works that exist.")]] = UNSET
    applied: Maybe[Annotated[int, Field("Works that are applied.")]] = UNSET
    available: Maybe[Annotated[int, Field("Works whose objects are all there.")]] = UNSET
    progressing: Maybe[Annotated[int, Field("Works that are on their way.")]] = UNSET
    degraded: Maybe[Annotated[int, Field("Works that don't do well.")]] = UNSET
    desired_total: Maybe[Annotated[int, Field("Works that there should be.")]] = UNSET
    updated: Maybe[Annotated[int, Field("Works that have the latest template.")]] = UNSET


class PlacementSummary(Struct):
    """The works of one placement."""

    name: Maybe[Annotated[str, Field("The placement's name.")]] = UNSET
    available_decision_groups: Maybe[
        Annotated[str, Field("How many decision groups have their works, of how many, in words.")]
    ] = UNSET
    summary: Maybe[Annotated[ManifestWorkReplicaSetSummary, Field("How many works, by their state.")]] = UNSET


class ManifestWorkReplicaSetStatus(Struct):
    """How the works do."""

    conditions: Maybe[
        Annotated[
            Conditions, Field("Whether the placements are there, the rollout is complete and the works are applied.")
        ]
    ] = UNSET
    summary: Maybe[Annotated[ManifestWorkReplicaSetSummary, Field("How many works, by their state.")]] = UNSET
    placement_summary: Maybe[Annotated[list[PlacementSummary], Field("The same for each placement.")]] = UNSET


def _condition(of: str, member: str) -> str:
    return f'.status.conditions[?(@.type=="{of}")].{member}'


@resource(
    GROUP,
    "v1alpha1",
    "manifestworkreplicasets",
    namespaced=True,
    short_names=("mwrs",),
    status=True,
    columns=(
        Column("Placement", "string", _condition("PlacementVerified", "reason")),
        Column("Found", "string", _condition("PlacementVerified", "status")),
        Column("ManifestWorks", "string", _condition("ManifestworkApplied", "reason")),
        Column("Applied", "string", _condition("ManifestworkApplied", "status")),
    ),
)
class ManifestWorkReplicaSet(Object):
    """One work for every cluster that some placements select."""

    spec: Maybe[Annotated[ManifestWorkReplicaSetSpec, Field("What is to be on which clusters.")]] = UNSET
    status: Maybe[Annotated[ManifestWorkReplicaSetStatus, Field("How the works do.")]] = UNSET
