"""cluster.open-cluster-management.io/v1beta1: Placement and PlacementDecision."""

from typing import Annotated

from msgspec import UNSET

from merope.api.cluster.v1 import GROUP, TAINT_EFFECTS
from merope.api.meta.v1 import QUALIFIED_NAME, Conditions, LabelSelector, LabelSelectorRequirement, Object
from merope.api.schema import (
    Column,
    Field,
    Int32,
    Int64,
    IntOrString,
    Maybe,
    Struct,
    Time,
    resource,
)

# Labels of a PlacementDecision: whose it is, and which group of decisions it belongs to.
PLACEMENT_LABEL = "cluster.open-cluster-management.io/placement"
DECISION_GROUP_INDEX_LABEL = "cluster.open-cluster-management.io/decision-group-index"
DECISION_GROUP_NAME_LABEL = "cluster.open-cluster-management.io/decision-group-name"
# Types of conditions on a Placement.
PLACEMENT_SATISFIED = "PlacementSatisfied"
PLACEMENT_MISCONFIGURED = "PlacementMisconfigured"


class ClusterClaimSelector(Struct):
    """A query over the claims of clusters; all its conditions must hold."""

    match_expressions: Maybe[
        Annotated[list[LabelSelectorRequirement], Field("Conditions on claims, written like those on labels.")]
    ] = UNSET


class ClusterCelSelector(Struct):
    """A query over whole clusters, in CEL."""

    cel_expressions: Maybe[
        Annotated[
            list[str],
            Field("Expressions over `managedCluster` that give a bool; a cluster is selected if all give true."),
        ]
    ] = UNSET


class ClusterSelector(Struct):
    """Which clusters are meant; what is given must all hold."""

    label_selector: Maybe[Annotated[LabelSelector, Field("Selects by the labels of the ManagedCluster.")]] = UNSET
    claim_selector: Maybe[Annotated[ClusterClaimSelector, Field("Selects by the claims in its status.")]] = UNSET
    cel_selector: Maybe[Annotated[ClusterCelSelector, Field("Selects by CEL expressions over it.")]] = UNSET


class ClusterPredicate(Struct):
    """One alternative of a placement's choice."""

    required_cluster_selector: Maybe[
        Annotated[
            ClusterSelector,
            Field("What a cluster must be like; it is dropped from the decisions as soon as it no longer is."),
        ]
    ] = UNSET


class AddOnScore(Struct):
    """A score from an AddOnPlacementScore."""

    resource_name: Annotated[str, Field("The name of the AddOnPlacementScore, the same in every cluster's namespace.")]
    score_name: Annotated[str, Field("The name of the score in it.")]


class ScoreCoordinate(Struct):
    """Where a score comes from."""

    type: Annotated[
        str,
        Field(
            "BuiltIn: a prioritizer of the scheduler; AddOn: a published score.",
            enum=("BuiltIn", "AddOn"),
            default="BuiltIn",
        ),
    ]
    built_in: Maybe[
        Annotated[
            str,
            Field(
                "With type BuiltIn: Balance (spreads decisions), Steady (keeps earlier decisions), or "
                "ResourceAllocatableCPU and ResourceAllocatableMemory (prefer much allocatable)."
            ),
        ]
    ] = UNSET
    add_on: Maybe[Annotated[AddOnScore, Field("With type AddOn: which score.")]] = UNSET


class PrioritizerConfig(Struct):
    """One prioritizer and how much it counts."""

    score_coordinate: Annotated[ScoreCoordinate, Field("Where the score comes from.")]
    weight: Maybe[
        Annotated[
            Int32,
            Field(
                "The factor of the score; negative: prefer low ones, 0: ignore it.", minimum=-10, maximum=10, default=1
            ),
        ]
    ] = UNSET


class PrioritizerPolicy(Struct):
    """How clusters are ranked."""

    mode: Maybe[
        Annotated[
            str,
            Field(
                "Additive: prioritizers that aren't configured keep their default weight. Exact: they count nothing.",
                default="Additive",
            ),
        ]
    ] = UNSET
    configurations: Maybe[Annotated[list[PrioritizerConfig], Field("The prioritizers and their weights.")]] = UNSET


class SpreadConstraintsTerm(Struct):
    """How evenly decisions are to spread over one topology."""

    topology_key: Annotated[
        str,
        Field(
            "The label or claim whose values are the domains.",
            max_length=316,
            pattern=r"^([a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*/)?"
            r"([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]$",
        ),
    ]
    topology_key_type: Annotated[str, Field("Whether the key is a label's or a claim's.", enum=("Label", "Claim"))]
    max_skew: Maybe[
        Annotated[
            Int32,
            Field("By how many decisions the fullest domain may exceed the emptiest.", minimum=1, default=1),
        ]
    ] = UNSET
    when_unsatisfiable: Maybe[
        Annotated[
            str,
            Field(
                "What happens to a cluster that would exceed the skew: it is left out, or only ranked lower.",
                enum=("DoNotSchedule", "ScheduleAnyway"),
                default="ScheduleAnyway",
            ),
        ]
    ] = UNSET


class SpreadPolicy(Struct):
    """How decisions are to spread over topologies."""

    spread_constraints: Maybe[
        Annotated[list[SpreadConstraintsTerm], Field("The constraints, the most important first.", max_items=8)]
    ] = UNSET


class Toleration(Struct):
    """Lets a placement select clusters in spite of matching taints."""

    key: Maybe[
        Annotated[
            str,
            Field(
                "The key of the taints; empty, with the operator Exists: every key.",
                max_length=316,
                pattern=QUALIFIED_NAME,
            ),
        ]
    ] = UNSET
    operator: Maybe[
        Annotated[str, Field("Equal: the value must be the same; Exists: any value will do.", default="Equal")]
    ] = UNSET
    value: Maybe[Annotated[str, Field("The value of the taints.", max_length=1024)]] = UNSET
    effect: Maybe[
        Annotated[
            str,
            Field("The effect of the taints; absent: every effect.", enum=TAINT_EFFECTS),
        ]
    ] = UNSET
    toleration_seconds: Maybe[
        Annotated[Int64, Field("How long a taint is tolerated after it was added, in seconds. Absent: for ever.")]
    ] = UNSET


class GroupClusterSelector(Struct):
    """Which of the selected clusters belong to a group."""

    label_selector: Maybe[Annotated[LabelSelector, Field("Selects by the labels of the ManagedCluster.")]] = UNSET
    claim_selector: Maybe[Annotated[ClusterClaimSelector, Field("Selects by the claims in its status.")]] = UNSET


class DecisionGroup(Struct):
    """A named group of decisions."""

    group_name: Annotated[str, Field("The group's name.", pattern=r"^[a-zA-Z0-9][-A-Za-z0-9_.]{0,61}[a-zA-Z0-9]$")]
    group_cluster_selector: Annotated[GroupClusterSelector, Field("Which of the selected clusters make up the group.")]


class GroupStrategy(Struct):
    """How decisions are put into groups, for rollouts that go group by group."""

    decision_groups: Maybe[
        Annotated[
            list[DecisionGroup],
            Field("Named groups, in order. A cluster belongs to the first that selects it; what is left follows."),
        ]
    ] = UNSET
    clusters_per_decision_group: Maybe[
        Annotated[
            IntOrString,
            Field(
                "How many clusters a group may hold, as a number or as a share of the selected clusters; "
                "fuller groups are split.",
                pattern=r"^((100|[1-9][0-9]{0,1})%|[1-9][0-9]*)$",
                default="100%",
            ),
        ]
    ] = UNSET


class DecisionStrategy(Struct):
    """How decisions are published."""

    group_strategy: Maybe[Annotated[GroupStrategy, Field("How they are put into groups.")]] = UNSET


class PlacementSpec(Struct):
    """What is looked for."""

    cluster_sets: Maybe[
        Annotated[
            list[str],
            Field(
                "The sets to choose from; only those that are bound to the placement's namespace count. "
                "Absent: all of these."
            ),
        ]
    ] = UNSET
    number_of_clusters: Maybe[Annotated[Int32, Field("How many clusters are wanted. Absent: all that fit.")]] = UNSET
    predicates: Maybe[
        Annotated[list[ClusterPredicate], Field("A cluster fits if it meets one of these. Absent: every cluster fits.")]
    ] = UNSET
    prioritizer_policy: Maybe[Annotated[PrioritizerPolicy, Field("Which of the fitting clusters come first.")]] = UNSET
    spread_policy: Maybe[
        Annotated[SpreadPolicy, Field("How the decisions spread over topologies such as regions.")]
    ] = UNSET
    tolerations: Maybe[Annotated[list[Toleration], Field("The taints that don't keep a cluster away.")]] = UNSET
    decision_strategy: Maybe[Annotated[DecisionStrategy, Field("How the decisions are published.")]] = UNSET
    sort_by: Maybe[
        Annotated[
            str,
            Field(
                "The order of the decisions that are published.",
                enum=("ClusterName", "Score"),
                default="ClusterName",
            ),
        ]
    ] = UNSET
    score_rate_limit: Maybe[
        Annotated[
            str,
            Field(
                "How long a change of scores may wait before decisions follow it, such as `30s` or `5m`.",
                pattern=r"^[0-9]+[hms]$",
                default="1m",
            ),
        ]
    ] = UNSET


class DecisionGroupStatus(Struct):
    """One group of decisions."""

    decision_group_index: Maybe[Annotated[Int32, Field("The group's place, from 0.")]] = UNSET
    decision_group_name: Maybe[
        Annotated[str, Field("The group's name; empty for the clusters that no named group selects.")]
    ] = UNSET
    decisions: Maybe[
        Annotated[list[str], Field("The names of the PlacementDecisions that hold the group's clusters.")]
    ] = UNSET
    cluster_count: Maybe[Annotated[Int32, Field("How many clusters the group has.", default=0)]] = UNSET


class PlacementStatus(Struct):
    """What was found."""

    number_of_selected_clusters: Maybe[Annotated[Int32, Field("How many clusters were selected.")]] = UNSET
    decision_groups: Maybe[Annotated[list[DecisionGroupStatus], Field("The groups of decisions.")]] = UNSET
    conditions: Maybe[
        Annotated[
            Conditions,
            Field("Whether as many clusters as wanted were found, and whether the placement is misconfigured."),
        ]
    ] = UNSET
    last_score_update_time: Maybe[Annotated[Time, Field("When decisions last followed a change of scores.")]] = UNSET


@resource(
    GROUP,
    "v1beta1",
    "placements",
    namespaced=True,
    status=True,
    columns=(
        Column("Succeeded", "string", '.status.conditions[?(@.type=="PlacementSatisfied")].status'),
        Column("Reason", "string", '.status.conditions[?(@.type=="PlacementSatisfied")].reason'),
        Column("SelectedClusters", "integer", ".status.numberOfSelectedClusters"),
    ),
)
class Placement(Object):
    """A choice of clusters, from the sets that are bound to the namespace.

    The clusters chosen are published in PlacementDecisions that carry the label
    cluster.open-cluster-management.io/placement with the placement's name. They follow every change of the clusters
    and of the placement.
    """

    spec: Annotated[PlacementSpec, Field("What is looked for.")]
    status: Maybe[Annotated[PlacementStatus, Field("What was found.")]] = UNSET


class ClusterDecision(Struct):
    """One chosen cluster."""

    cluster_name: Annotated[str, Field("The cluster's name.")]
    reason: Annotated[str, Field("Why it was chosen; may be empty.")]
    score: Maybe[Annotated[Int64, Field("The score with which it was chosen.")]] = UNSET


class PlacementDecisionStatus(Struct):
    """A slice of a placement's choice."""

    decisions: Annotated[list[ClusterDecision], Field("The chosen clusters, at most 100 in one object.")]


@resource(GROUP, "v1beta1", "placementdecisions", namespaced=True, status=True)
class PlacementDecision(Object):
    """Clusters that a Placement chose; it may take several of these to hold them all."""

    status: Maybe[Annotated[PlacementDecisionStatus, Field("The clusters.")]] = UNSET
