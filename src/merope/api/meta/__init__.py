"""What every object of the API has: metadata, conditions, selectors, lists, status answers; and what a kind is."""

from merope.api.meta.v1 import (
    Condition,
    DeleteOptions,
    LabelSelector,
    LabelSelectorRequirement,
    ListMeta,
    ManagedFieldsEntry,
    Object,
    ObjectMeta,
    OwnerReference,
    Preconditions,
    Status,
    StatusCause,
    StatusDetails,
    decode,
    encode,
    resource_of,
)
from merope.api.schema import Manifest, Maybe, ResourceInfo

__all__ = [
    "Condition",
    "DeleteOptions",
    "LabelSelector",
    "LabelSelectorRequirement",
    "ListMeta",
    "ManagedFieldsEntry",
    "Manifest",
    "Maybe",
    "Object",
    "ObjectMeta",
    "OwnerReference",
    "Preconditions",
    "ResourceInfo",
    "Status",
    "StatusCause",
    "StatusDetails",
    "decode",
    "encode",
    "resource_of",
]
