"""authentication.k8s.io/v1: TokenRequest, TokenReview, SelfSubjectReview."""

from msgspec import UNSET

from merope.api.meta.v1 import Object
from merope.api.schema import Int64, Maybe, Struct, Time, resource

GROUP = "authentication.k8s.io"


class BoundObjectReference(Struct):
    """The object with which a token dies."""

    kind: Maybe[str] = UNSET
    api_version: Maybe[str] = UNSET
    name: Maybe[str] = UNSET
    uid: Maybe[str] = UNSET


class TokenRequestSpec(Struct):
    """For whom and for how long, in seconds, a token is to be valid."""

    audiences: Maybe[list[str] | None] = UNSET
    expiration_seconds: Maybe[Int64 | None] = UNSET
    bound_object_ref: Maybe[BoundObjectReference | None] = UNSET


class TokenRequestStatus(Struct):
    """The token, and when it expires."""

    token: str
    expiration_timestamp: Maybe[Time | None] = UNSET


@resource(GROUP, "v1", "serviceaccounts/token", namespaced=True)
class TokenRequest(Object):
    """Asks for a token of a service account: created at the subresource `token` of it."""

    spec: TokenRequestSpec
    status: Maybe[TokenRequestStatus] = UNSET


class UserInfo(Struct):
    """Who somebody is."""

    username: Maybe[str] = UNSET
    uid: Maybe[str] = UNSET
    groups: Maybe[list[str] | None] = UNSET
    extra: Maybe[dict[str, list[str]] | None] = UNSET


class TokenReviewSpec(Struct):
    """The token in question."""

    token: Maybe[str] = UNSET
    audiences: Maybe[list[str] | None] = UNSET


class TokenReviewStatus(Struct):
    """Whose token it is, if it is anybody's."""

    authenticated: Maybe[bool] = UNSET
    user: Maybe[UserInfo] = UNSET
    audiences: Maybe[list[str] | None] = UNSET
    error: Maybe[str] = UNSET


@resource(GROUP, "v1", "tokenreviews", namespaced=False)
class TokenReview(Object):
    """Asks whose token this is."""

    spec: TokenReviewSpec
    status: Maybe[TokenReviewStatus] = UNSET


class SelfSubjectReviewStatus(Struct):
    """Who asks."""

    user_info: Maybe[UserInfo] = UNSET


@resource(GROUP, "v1", "selfsubjectreviews", namespaced=False)
class SelfSubjectReview(Object):
    """Asks who one is."""

    status: Maybe[SelfSubjectReviewStatus] = UNSET
