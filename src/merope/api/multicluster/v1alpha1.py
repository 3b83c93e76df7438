"""multicluster.x-k8s.io/v1alpha1: ClusterProfile."""

from typing import Annotated, Any, ClassVar

import msgspec
from msgspec import UNSET

from merope.api.cluster.v1 import ManagedClusterVersion
from merope.api.meta.v1 import Condition, Object
from merope.api.schema import Bytes, Field, Maybe, Rule, Struct, Time, resource

GROUP = "multicluster.x-k8s.io"


class ClusterManager(Struct):
    """Who manages a cluster."""

    schema: ClassVar[Field] = Field(rules=(Rule("self == oldSelf", "ClusterManager is immutable"),))

    name: Annotated[str, Field("The manager's name; every profile of it carries the same one, also as a label.")]


class ClusterProfileSpec(Struct):
    """Which cluster, and who manages it."""

    display_name: Maybe[Annotated[str, Field("The cluster's name for people.")]] = UNSET
    cluster_manager: Annotated[ClusterManager, Field("Who keeps this profile up to date; never changes.")]


class Property(Struct):
    """One property of a cluster."""

    name: Annotated[str, Field("The property's name.", min_length=1, max_length=253)]
    value: Annotated[str, Field("What it says.", min_length=1, max_length=1024)]
    last_observed_time: Maybe[Annotated[Time, Field("When it was last seen to be so.")]] = UNSET


class NamedExtension(Struct):
    """Additional data of a kubeconfig's cluster entry, for whoever knows the name."""

    name: Annotated[str, Field("Names the extension.")]
    extension: Annotated[dict[str, Any], Field("The data, of any form.", preserve_unknown=True)]


class AccessCluster(Struct):
    """How to reach an API server, with the members of a kubeconfig's cluster entry."""

    server: Annotated[str, Field("The URL of the API server.")]
    tls_server_name: Maybe[Annotated[str, Field("The name that its certificate must bear, if not the URL's.")]] = (
        msgspec.field(default=UNSET, name="tls-server-name")
    )
    insecure_skip_tls_verify: Maybe[
        Annotated[bool, Field("Don't verify its certificate: connections can be intercepted.")]
    ] = msgspec.field(default=UNSET, name="insecure-skip-tls-verify")
    certificate_authority: Maybe[Annotated[str, Field("The file with the certificates to verify its own with.")]] = (
        msgspec.field(default=UNSET, name="certificate-authority")
    )
    certificate_authority_data: Maybe[
        Annotated[Bytes, Field("The same certificates (PEM) in place; they win over the file.")]
    ] = msgspec.field(default=UNSET, name="certificate-authority-data")
    proxy_url: Maybe[Annotated[str, Field("The proxy through which it is reached (http, https or socks5).")]] = (
        msgspec.field(default=UNSET, name="proxy-url")
    )
    disable_compression: Maybe[Annotated[bool, Field("Don't ask for compressed answers.")]] = msgspec.field(
        default=UNSET, name="disable-compression"
    )
    extensions: Maybe[Annotated[list[NamedExtension], Field("Additional data, such as for credential plugins.")]] = (
        UNSET
    )


class AccessProvider(Struct):
    """One way to get at a cluster."""

    name: Annotated[str, Field("Names the kind of access; a client picks the plugin for it by this.")]
    cluster: Maybe[Annotated[AccessCluster, Field("How to reach the API server this way.")]] = UNSET


class ClusterProfileStatus(Struct):
    """What is known of the cluster."""

    conditions: Maybe[
        Annotated[list[Condition], Field("Whether the cluster's control plane is healthy, and whether it joined.")]
    ] = UNSET
    version: Maybe[Annotated[ManagedClusterVersion, Field("What the cluster runs.")]] = UNSET
    properties: Maybe[Annotated[list[Property], Field("What the cluster says about itself.")]] = UNSET
    access_providers: Maybe[Annotated[list[AccessProvider], Field("Ways to get at the cluster.")]] = UNSET
    credential_providers: Maybe[
        Annotated[list[AccessProvider], Field("The former name of `accessProviders`, for clients that still read it.")]
    ] = UNSET


@resource(GROUP, "v1alpha1", "clusterprofiles", namespaced=True, status=True)
class ClusterProfile(Object):
    """One cluster of an inventory, for tools that work with any cluster manager."""

    spec: Annotated[ClusterProfileSpec, Field("Which cluster, and who manages it.")]
    status: Maybe[Annotated[ClusterProfileStatus, Field("What is known of the cluster.")]] = UNSET
