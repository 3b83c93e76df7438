"""about.k8s.io/v1alpha1: ClusterProperty."""

from typing import Annotated

from msgspec import UNSET

from merope.api.meta.v1 import Object
from merope.api.schema import Column, Field, Maybe, Struct, resource

GROUP = "about.k8s.io"


class ClusterPropertySpec(Struct):
    """The property itself."""

    value: Annotated[str, Field("What the property says.", min_length=1)]


class ClusterPropertyStatus(Struct):
    """Nothing is observed of a property."""


@resource(
    GROUP,
    "v1alpha1",
    "clusterproperties",
    namespaced=False,
    status=True,
    columns=(
        Column("value", "string", ".spec.value"),
        Column("age", "date", ".metadata.creationTimestamp"),
    ),
    annotations={"api-approved.kubernetes.io": "https://github.com/kubernetes/enhancements/pull/3084"},
)
class ClusterProperty(Object):
    """A property of the cluster that it lives in, named by the object's name, such as `cluster.clusterset.k8s.io`.

    The agent of a managed cluster reports it on the hub like a ClusterClaim.
    """

    spec: Maybe[Annotated[ClusterPropertySpec, Field("The property.")]] = UNSET
    status: Maybe[Annotated[ClusterPropertyStatus, Field("The observed state of the property.")]] = UNSET
