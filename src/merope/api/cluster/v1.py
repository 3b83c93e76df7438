"""cluster.open-cluster-management.io/v1: ManagedCluster."""

from typing import Annotated

from msgspec import UNSET

from merope.api.meta.v1 import QUALIFIED_NAME, Conditions, Object
from merope.api.schema import (
    Bytes,
    Column,
    Field,
    Int32,
    Maybe,
    Quantity,
    Struct,
    Time,
    map_of,
    resource,
)

GROUP = "cluster.open-cluster-management.io"

# Types of conditions on a ManagedCluster.
HUB_ACCEPTED = "HubAcceptedManagedCluster"
JOINED = "ManagedClusterJoined"
AVAILABLE = "ManagedClusterConditionAvailable"
CLOCK_SYNCED = "ManagedClusterConditionClockSynced"
CERTIFICATE_ROTATED = "ClusterCertificateRotated"
DELETING = "Deleting"
IMPORT_SUCCEEDED = "ManagedClusterImportSucceeded"

# Keys of the taints that the hub itself sets, and the effects that a taint can have.
UNAVAILABLE_TAINT = "cluster.open-cluster-management.io/unavailable"
UNREACHABLE_TAINT = "cluster.open-cluster-management.io/unreachable"
NO_SELECT = "NoSelect"
PREFER_NO_SELECT = "PreferNoSelect"
NO_SELECT_IF_NEW = "NoSelectIfNew"
TAINT_EFFECTS = (NO_SELECT, PREFER_NO_SELECT, NO_SELECT_IF_NEW)

DNS_LABEL = r"^[a-z0-9]([-a-z0-9]*[a-z0-9])?$"

ResourceList = dict[str, Quantity]
"""Amounts by the resource's name, such as `cpu` and `memory`."""


class ClientConfig(Struct):
    """One way to reach the API server of a managed cluster."""

    url: Annotated[str, Field("The URL of the API server.")]
    ca_bundle: Maybe[
        Annotated[
            Bytes,
            Field("The certificates (PEM) that the API server's own is verified with; absent: the system's roots."),
        ]
    ] = UNSET


class Taint(Struct):
    """Keeps placements that don't tolerate it from selecting the cluster."""

    key: Annotated[
        str,
        Field("The taint's key, such as `example.com/maintenance`.", max_length=316, pattern=QUALIFIED_NAME),
    ]
    value: Maybe[Annotated[str, Field("The value that goes with the key.", max_length=1024)]] = UNSET
    effect: Annotated[
        str,
        Field(
            "What it does to placements without a matching toleration. NoSelect: they don't select the cluster, and "
            "drop it if they had. PreferNoSelect: they select it only for want of others. NoSelectIfNew: they don't "
            "select it, but keep it if they had.",
            enum=TAINT_EFFECTS,
        ),
    ]
    time_added: Maybe[Annotated[Time | None, Field("When the taint was added.", nullable=True)]] = UNSET


class ManagedClusterSpec(Struct):
    """What the hub's administrator and the cluster's own have agreed on."""

    managed_cluster_client_configs: Maybe[
        Annotated[
            list[ClientConfig],
            Field("How the hub can reach the cluster's API server; empty where it has no way to."),
        ]
    ] = UNSET
    hub_accepts_client: Maybe[
        Annotated[
            bool,
            Field(
                "The hub's half of the double opt-in: whether the cluster may join. Setting it takes the right to "
                "`update` the subresource `accept` of `managedclusters` in group register.open-cluster-management.io. "
                "Taking it back cuts the cluster's agent off."
            ),
        ]
    ] = UNSET
    lease_duration_seconds: Maybe[
        Annotated[
            Int32,
            Field(
                "How often, in seconds, the agent renews its lease. After five of these without a renewal the hub "
                "takes the cluster's availability for Unknown.",
                default=60,
            ),
        ]
    ] = UNSET
    taints: Maybe[
        Annotated[list[Taint], Field("Properties of the cluster that keep placements away unless they tolerate them.")]
    ] = UNSET


class ManagedClusterVersion(Struct):
    """Versions that the cluster runs."""

    kubernetes: Maybe[Annotated[str, Field("The version of Kubernetes, such as `v1.34.1`.")]] = UNSET


class ManagedClusterClaim(Struct):
    """One claim of the cluster, as its agent reported it."""

    name: Maybe[Annotated[str, Field("The name of the claim.", min_length=1, max_length=253)]] = UNSET
    value: Maybe[Annotated[str, Field("What the claim says.", min_length=1, max_length=1024)]] = UNSET


class ClusterSetManagedNamespaceStatus(Struct):
    """What became of one namespace that a cluster set manages on this cluster."""

    cluster_set: Annotated[str, Field("The cluster set that asks for the namespace.")]
    name: Annotated[str, Field("The namespace's name.", max_length=63, pattern=DNS_LABEL)]
    conditions: Maybe[Annotated[Conditions, Field("Whether the namespace is there and managed.")]] = UNSET


class ManagedClusterStatus(Struct):
    """What the cluster's agent and the hub report about the cluster."""

    conditions: Maybe[
        Annotated[
            Conditions,
            Field("Whether the hub accepted the cluster, whether it joined, and whether it is available."),
        ]
    ] = UNSET
    capacity: Maybe[Annotated[ResourceList, Field("The resources of all nodes together.")]] = UNSET
    allocatable: Maybe[Annotated[ResourceList, Field("The resources of all nodes that pods can use.")]] = UNSET
    version: Maybe[Annotated[ManagedClusterVersion, Field("What the cluster runs.")]] = UNSET
    cluster_claims: Maybe[
        Annotated[
            list[ManagedClusterClaim],
            Field("What the cluster claims about itself, such as its id and platform. Placements can select by it."),
        ]
    ] = UNSET
    managed_namespaces: Maybe[
        Annotated[
            list[ClusterSetManagedNamespaceStatus],
            map_of("clusterSet", "name"),
            Field("The namespaces that cluster sets manage on this cluster."),
        ]
    ] = UNSET


@resource(
    GROUP,
    "v1",
    "managedclusters",
    namespaced=False,
    short_names=("mcl", "mcls"),
    status=True,
    columns=(
        Column("Hub Accepted", "boolean", ".spec.hubAcceptsClient"),
        Column("Managed Cluster URLs", "string", ".spec.managedClusterClientConfigs[*].url"),
        Column("Joined", "string", '.status.conditions[?(@.type=="ManagedClusterJoined")].status'),
        Column("Available", "string", '.status.conditions[?(@.type=="ManagedClusterConditionAvailable")].status'),
        Column("Age", "date", ".metadata.creationTimestamp"),
    ),
)
class ManagedCluster(Object):
    """A cluster that a hub manages, or that asks to be.

    The cluster's agent asks to join by creating it; an administrator of the hub accepts it (`hubAcceptsClient`) and
    approves the agent's certificate request. Then the cluster has a namespace of its own name on the hub, in which
    work for it is found.
    """

    spec: Maybe[Annotated[ManagedClusterSpec, Field("The wanted state of the cluster's membership.")]] = UNSET
    status: Maybe[Annotated[ManagedClusterStatus, Field("The observed state of the cluster.")]] = UNSET
