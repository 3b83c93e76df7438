"""apiextensions.k8s.io/v1: CustomResourceDefinition, typed as far as anybody here looks into it."""

from typing import Annotated

from msgspec import UNSET

from merope.api.core.v1 import CoreCondition
from merope.api.meta.v1 import Object
from merope.api.schema import Manifest, Maybe, Struct, map_of, resource

GROUP = "apiextensions.k8s.io"


class CustomResourceDefinitionNames(Struct):
    """What the resource is called."""

    plural: str
    kind: str
    singular: Maybe[str] = UNSET
    short_names: Maybe[list[str] | None] = UNSET
    list_kind: Maybe[str] = UNSET
    categories: Maybe[list[str] | None] = UNSET


class CustomResourceDefinitionVersion(Struct):
    """One version of the resource; its schema stays raw."""

    name: str
    served: bool
    storage: bool
    deprecated: Maybe[bool] = UNSET
    schema: Maybe[Manifest | None] = UNSET
    subresources: Maybe[Manifest | None] = UNSET


class CustomResourceDefinitionSpec(Struct):
    """The resource."""

    group: str
    names: CustomResourceDefinitionNames
    scope: str
    versions: list[CustomResourceDefinitionVersion]
    conversion: Maybe[Manifest | None] = UNSET
    preserve_unknown_fields: Maybe[bool] = UNSET


class CustomResourceDefinitionStatus(Struct):
    """Whether the resource is served."""

    conditions: Maybe[Annotated[list[CoreCondition] | None, map_of("type")]] = UNSET
    accepted_names: Maybe[Manifest] = UNSET
    stored_versions: Maybe[list[str] | None] = UNSET


@resource(GROUP, "v1", "customresourcedefinitions", namespaced=False, short_names=("crd", "crds"), status=True)
class CustomResourceDefinition(Object):
    """Defines a kind of object beside the built-in ones."""

    spec: CustomResourceDefinitionSpec
    status: Maybe[CustomResourceDefinitionStatus] = UNSET
