"""Acting as somebody else: the ``Impersonate-*`` headers.

The request is authorized twice: here, whether the real user may impersonate each name asked for, and later as the
impersonated user for what the request does.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final, Protocol
from urllib.parse import unquote

from merope.controlplane import errors
from merope.controlplane.authz import Attributes, Authorizer
from merope.controlplane.resource import UserInfo

_EXTRA_PREFIX: Final = "impersonate-extra-"
_SERVICE_ACCOUNT_PREFIX: Final = "system:serviceaccount:"
_AUTHENTICATION: Final = "authentication.k8s.io"


class Headers(Protocol):
    """A case-insensitive multi-valued header map."""

    def get(self, key: str, default: str = "") -> str: ...
    def getall(self, key: str, default: Sequence[str] = ()) -> Sequence[str]: ...
    def keys(self) -> Sequence[str]: ...


def requested(headers: Headers) -> tuple[str, tuple[str, ...], str, Mapping[str, tuple[str, ...]]] | None:
    """User, groups, uid and extra asked for; None where the request impersonates nobody.

    Raises a 400 where groups, uid or extra come without a user.
    """
    user = headers.get("Impersonate-User", "")
    groups = tuple(headers.getall("Impersonate-Group", ()))
    uid = headers.get("Impersonate-Uid", "")
    extra: dict[str, tuple[str, ...]] = {}
    for key in headers.keys():  # noqa: SIM118 - a multi-valued map, not a dict
        if key.lower().startswith(_EXTRA_PREFIX):
            extra[unquote(key[len(_EXTRA_PREFIX) :].lower())] = tuple(headers.getall(key))
    if user:
        return user, groups, uid, extra
    if groups or uid or extra:
        asked = [f"{{Group  {group}    }}" for group in groups]
        asked += [f"{{UserExtra  {value} {key}   }}" for key, values in extra.items() for value in values]
        asked += [f"{{UID  {uid}    }}"] if uid else []
        raise errors.bad_request(f"requested [{' '.join(asked)}] without impersonating a user")
    return None


def impersonate(authorizer: Authorizer, user: UserInfo, headers: Headers) -> UserInfo:
    """The user that the rest of the request acts as; ``user`` itself without the headers.

    Raises ApiError 403 where ``user`` may not impersonate one of the names, 400 for incomplete headers.
    """
    wanted = requested(headers)
    if wanted is None:
        return user
    name, groups, uid, extra = wanted
    account = _service_account(name)
    if account is not None:
        _check(authorizer, user, "", "serviceaccounts", namespace=account[0], name=account[1])
    else:
        _check(authorizer, user, "", "users", name=name)
    for group in groups:
        _check(authorizer, user, "", "groups", name=group)
    for key, values in extra.items():
        for value in values:
            _check(authorizer, user, _AUTHENTICATION, "userextras", subresource=key, name=value)
    if uid:
        _check(authorizer, user, _AUTHENTICATION, "uids", name=uid)
    if account is not None and not groups:
        groups = ("system:serviceaccounts", f"system:serviceaccounts:{account[0]}")
    if name == "system:anonymous":
        groups = groups if "system:unauthenticated" in groups else (*groups, "system:unauthenticated")
    elif "system:authenticated" not in groups and "system:unauthenticated" not in groups:
        groups = (*groups, "system:authenticated")
    return UserInfo(name, groups, uid, extra)


def _service_account(name: str) -> tuple[str, str] | None:
    if not name.startswith(_SERVICE_ACCOUNT_PREFIX):
        return None
    namespace, colon, account = name[len(_SERVICE_ACCOUNT_PREFIX) :].partition(":")
    return (namespace, account) if colon and namespace and account and ":" not in account else None


def _check(
    authorizer: Authorizer,
    user: UserInfo,
    group: str,
    resource: str,
    *,
    name: str,
    namespace: str = "",
    subresource: str = "",
) -> None:
    asked = Attributes(user, "impersonate", group, resource, subresource, namespace, name)
    decision = authorizer.authorize(asked)
    if not decision.allowed:
        cause = asked.denial() + (f": {decision.reason}" if decision.reason else "")
        raise errors.forbidden(group, resource, name, cause)
