"""cluster.open-cluster-management.io/v1beta2: ManagedClusterSet and ManagedClusterSetBinding."""

from typing import Annotated

from msgspec import UNSET

from merope.api.cluster.v1 import DNS_LABEL, GROUP
from merope.api.meta.v1 import Condition, LabelSelector, Object
from merope.api.schema import Column, Field, Maybe, Struct, map_of, resource

# The label of a ManagedCluster that names the exclusive set it belongs to.
CLUSTER_SET_LABEL = "cluster.open-cluster-management.io/clusterset"
# Types of conditions: on a set, and on a binding.
CLUSTER_SET_EMPTY = "ClusterSetEmpty"
BOUND = "Bound"
# Types of a set's selector.
EXCLUSIVE_CLUSTER_SET_LABEL = "ExclusiveClusterSetLabel"
LABEL_SELECTOR = "LabelSelector"


class ManagedClusterSelector(Struct):
    """Which clusters belong to a set."""

    selector_type: Annotated[
        str,
        Field(
            "ExclusiveClusterSetLabel: the clusters whose label cluster.open-cluster-management.io/clusterset names "
            "this set, so that a cluster is in one such set at most. LabelSelector: those that `labelSelector` "
            "matches; such sets may overlap.",
            enum=(EXCLUSIVE_CLUSTER_SET_LABEL, LABEL_SELECTOR),
            default=EXCLUSIVE_CLUSTER_SET_LABEL,
        ),
    ]
    label_selector: Maybe[
        Annotated[
            LabelSelector,
            Field("Selects clusters by their labels, with the type LabelSelector; an empty one selects all."),
        ]
    ] = UNSET


class ManagedNamespaceConfig(Struct):
    """A namespace to be managed on every cluster of the set."""

    name: Annotated[str, Field("The namespace's name.", max_length=63, pattern=DNS_LABEL)]


_SELECTOR_DEFAULT = {"selectorType": EXCLUSIVE_CLUSTER_SET_LABEL}


class ManagedClusterSetSpec(Struct):
    """Who belongs to the set, and what its members get."""

    cluster_selector: Maybe[
        Annotated[ManagedClusterSelector, Field("Which clusters belong to the set.", default=_SELECTOR_DEFAULT)]
    ] = UNSET
    managed_namespaces: Maybe[
        Annotated[
            list[ManagedNamespaceConfig],
            map_of("name"),
            Field("Namespaces that the set's clusters are to have, managed on behalf of the set."),
        ]
    ] = UNSET


class ManagedClusterSetStatus(Struct):
    """The observed state of the set."""

    conditions: Maybe[Annotated[list[Condition], Field("Whether any cluster belongs to the set.")]] = UNSET


@resource(
    GROUP,
    "v1beta2",
    "managedclustersets",
    namespaced=False,
    short_names=("mclset", "mclsets"),
    status=True,
    columns=(
        Column("Empty", "string", '.status.conditions[?(@.type=="ClusterSetEmpty")].status'),
        Column("Age", "date", ".metadata.creationTimestamp"),
    ),
)
class ManagedClusterSet(Object):
    """A set of managed clusters, of one team or one purpose.

    Putting a cluster into an exclusive set, or taking it out, needs the right to `create` the subresource `join` of
    that set. A namespace uses a set through a ManagedClusterSetBinding. The set `default` holds the clusters that
    were given no other, the set `global` all of them.
    """

    spec: Maybe[
        Annotated[
            ManagedClusterSetSpec,
            Field("The wanted state of the set.", default={"clusterSelector": _SELECTOR_DEFAULT}),
        ]
    ] = UNSET
    status: Maybe[Annotated[ManagedClusterSetStatus, Field("The observed state of the set.")]] = UNSET


class ManagedClusterSetBindingSpec(Struct):
    """The binding itself."""

    cluster_set: Maybe[Annotated[str, Field("The set; the binding must have the same name.", min_length=1)]] = UNSET


class ManagedClusterSetBindingStatus(Struct):
    """The observed state of the binding."""

    conditions: Maybe[Annotated[list[Condition], Field("Whether the set is there to be bound.")]] = UNSET


@resource(
    GROUP,
    "v1beta2",
    "managedclustersetbindings",
    namespaced=True,
    short_names=("mclsetbinding", "mclsetbindings"),
    status=True,
)
class ManagedClusterSetBinding(Object):
    """Lets the placements of a namespace select clusters of a set.

    Creating it needs the right to `create` the subresource `bind` of the set.
    """

    spec: Maybe[Annotated[ManagedClusterSetBindingSpec, Field("Which set is bound.")]] = UNSET
    status: Maybe[Annotated[ManagedClusterSetBindingStatus, Field("The observed state of the binding.")]] = UNSET
