"""cluster.open-cluster-management.io/v1alpha1: ClusterClaim, AddOnPlacementScore, and the shared rollout strategy."""

from typing import Annotated

from msgspec import UNSET

from merope.api.cluster.v1 import GROUP
from merope.api.meta.v1 import Conditions, Object
from merope.api.schema import Field, Int32, IntOrString, Maybe, Struct, Time, map_of, resource


class ClusterClaimSpec(Struct):
    """The claim itself."""

    value: Maybe[Annotated[str, Field("What the claim says.", min_length=1, max_length=1024)]] = UNSET


@resource(GROUP, "v1alpha1", "clusterclaims", namespaced=False)
class ClusterClaim(Object):
    """Something that a managed cluster claims about itself, under a name that is the object's.

    It lives on the managed cluster; the agent reports it in the status of the ManagedCluster.
    """

    spec: Maybe[Annotated[ClusterClaimSpec, Field("The claim.")]] = UNSET


class AddOnPlacementScoreItem(Struct):
    """One score."""

    name: Annotated[str, Field("The name that a prioritizer refers to.")]
    value: Annotated[
        Int32, Field("The score; the higher, the sooner the cluster is chosen.", minimum=-100, maximum=100)
    ]


class AddOnPlacementScoreStatus(Struct):
    """The scores, and how long they count."""

    conditions: Maybe[Annotated[Conditions, Field("How the computation of the scores went.")]] = UNSET
    scores: Maybe[
        Annotated[list[AddOnPlacementScoreItem], map_of("name"), Field("The scores of the cluster, by name.")]
    ] = UNSET
    valid_until: Maybe[
        Annotated[Time, Field("When the scores stop counting: from then on they are 0. Absent: never.")]
    ] = UNSET


@resource(GROUP, "v1alpha1", "addonplacementscores", namespaced=True, status=True)
class AddOnPlacementScore(Object):
    """Scores that an add-on gives one cluster, in that cluster's namespace; placements can prioritize by them."""

    status: Maybe[Annotated[AddOnPlacementScoreStatus, Field("The scores.")]] = UNSET


_SHARE = r"^((100|[0-9]{1,2})%|[0-9]+)$"

MinSuccessTime = Annotated[
    str,
    Field(
        "How long a cluster must have succeeded before the rollout counts it and goes on, such as `5m`.", default="0"
    ),
]
ProgressDeadline = Annotated[
    str,
    Field(
        "How long to wait for a cluster to succeed, such as `30m`, before it counts as failed; None: for ever.",
        pattern=r"^(([0-9])+[h|m|s])|None$",
        default="None",
    ),
]
MaxFailures = Annotated[
    IntOrString,
    Field(
        "How many clusters (or what share of them) may fail before the rollout stops; 0: the first failure stops it.",
        pattern=_SHARE,
        default=0,
    ),
]


class MandatoryDecisionGroup(Struct):
    """A decision group that must succeed before the others begin; the name counts, else the index."""

    group_name: Maybe[Annotated[str, Field("The group's name.")]] = UNSET
    group_index: Maybe[Annotated[Int32, Field("The group's place, from 0.")]] = UNSET


MandatoryDecisionGroups = Annotated[
    list[MandatoryDecisionGroup],
    Field("The groups that the rollout starts with, one after the other, none of whose clusters may fail."),
]


class RolloutAll(Struct):
    """All clusters at once."""

    min_success_time: Maybe[MinSuccessTime] = UNSET
    progress_deadline: Maybe[ProgressDeadline] = UNSET
    max_failures: Maybe[MaxFailures] = UNSET


class RolloutProgressive(Struct):
    """Cluster by cluster, so many at a time."""

    min_success_time: Maybe[MinSuccessTime] = UNSET
    progress_deadline: Maybe[ProgressDeadline] = UNSET
    max_failures: Maybe[MaxFailures] = UNSET
    mandatory_decision_groups: Maybe[MandatoryDecisionGroups] = UNSET
    max_concurrency: Maybe[
        Annotated[
            IntOrString,
            Field(
                "How many clusters (or what share of them) are changed at a time. Absent: as many as the placement's "
                "clustersPerDecisionGroup.",
                pattern=_SHARE,
            ),
        ]
    ] = UNSET


class RolloutProgressivePerGroup(Struct):
    """Decision group by decision group."""

    min_success_time: Maybe[MinSuccessTime] = UNSET
    progress_deadline: Maybe[ProgressDeadline] = UNSET
    max_failures: Maybe[MaxFailures] = UNSET
    mandatory_decision_groups: Maybe[MandatoryDecisionGroups] = UNSET


class RolloutStrategy(Struct):
    """In what steps a change reaches the clusters that a placement selects."""

    type: Maybe[
        Annotated[
            str,
            Field(
                "All: at once. Progressive: cluster by cluster. ProgressivePerGroup: decision group by decision group.",
                enum=("All", "Progressive", "ProgressivePerGroup"),
                default="All",
            ),
        ]
    ] = UNSET
    all: Maybe[Annotated[RolloutAll, Field("Settings of the type All.")]] = UNSET
    progressive: Maybe[Annotated[RolloutProgressive, Field("Settings of the type Progressive.")]] = UNSET
    progressive_per_group: Maybe[
        Annotated[RolloutProgressivePerGroup, Field("Settings of the type ProgressivePerGroup.")]
    ] = UNSET
