"""authorization.k8s.io/v1: SubjectAccessReview, LocalSubjectAccessReview, SelfSubjectAccessReview."""

from msgspec import UNSET

from merope.api.meta.v1 import Object
from merope.api.schema import Maybe, Struct, resource

GROUP = "authorization.k8s.io"


class ResourceAttributes(Struct):
    """An action on a resource; an empty name stands for all, `*` for any."""

    verb: Maybe[str] = UNSET
    group: Maybe[str] = UNSET
    version: Maybe[str] = UNSET
    resource: Maybe[str] = UNSET
    subresource: Maybe[str] = UNSET
    namespace: Maybe[str] = UNSET
    name: Maybe[str] = UNSET


class NonResourceAttributes(Struct):
    """An action on a path that is no resource."""

    path: Maybe[str] = UNSET
    verb: Maybe[str] = UNSET


class SubjectAccessReviewSpec(Struct):
    """Who wants to do what."""

    resource_attributes: Maybe[ResourceAttributes | None] = UNSET
    non_resource_attributes: Maybe[NonResourceAttributes | None] = UNSET
    user: Maybe[str] = UNSET
    groups: Maybe[list[str] | None] = UNSET
    extra: Maybe[dict[str, list[str]] | None] = UNSET
    uid: Maybe[str] = UNSET


class SelfSubjectAccessReviewSpec(Struct):
    """What the asker wants to do."""

    resource_attributes: Maybe[ResourceAttributes | None] = UNSET
    non_resource_attributes: Maybe[NonResourceAttributes | None] = UNSET


class SubjectAccessReviewStatus(Struct):
    """The answer, and why."""

    allowed: bool
    denied: Maybe[bool] = UNSET
    reason: Maybe[str] = UNSET
    evaluation_error: Maybe[str] = UNSET


@resource(GROUP, "v1", "subjectaccessreviews", namespaced=False)
class SubjectAccessReview(Object):
    """Asks whether somebody may do something."""

    spec: SubjectAccessReviewSpec
    status: Maybe[SubjectAccessReviewStatus] = UNSET


@resource(GROUP, "v1", "localsubjectaccessreviews", namespaced=True)
class LocalSubjectAccessReview(Object):
    """Asks whether somebody may do something within one namespace."""

    spec: SubjectAccessReviewSpec
    status: Maybe[SubjectAccessReviewStatus] = UNSET


@resource(GROUP, "v1", "selfsubjectaccessreviews", namespaced=False)
class SelfSubjectAccessReview(Object):
    """Asks whether oneself may do something."""

    spec: SelfSubjectAccessReviewSpec
    status: Maybe[SubjectAccessReviewStatus] = UNSET
