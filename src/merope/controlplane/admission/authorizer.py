"""``authorizer`` in policies' expressions: what a user may do, asked step by step and answered by the authorizer.

An expression narrows down what it asks about, then asks, then reads the answer:
``authorizer.group('apps').resource('deployments').namespace('a').check('get').allowed()``. Every step gives a new
value; nothing is asked before ``check``.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, Final

from merope.controlplane.authz import Attributes, Decision
from merope.controlplane.resource import UserInfo
from merope.lang.cel import BOOL, STRING, EvaluationError, Function, Type, opaque
from merope.lang.cel.schema import ObjectType
from merope.lang.cel.values import register_key
from merope.lang.names import is_dns1123_label, is_dns1123_subdomain

Ask = Callable[[Attributes], Decision]

#: What asking the authorizer costs of an expression's budget: a webhook may be behind it elsewhere.
_CHECK_COST: Final = 350_000


class Record(ObjectType):
    """An object type whose fields are given as types, where a schema couldn't say them."""

    __slots__ = ("declared",)

    def __init__(self, name: str, declared: dict[str, Type]) -> None:
        super().__init__({"nullable": True, "x-kubernetes-preserve-unknown-fields": True}, embedded=False, name=name)
        self.declared = declared

    def field(self, identifier: str) -> tuple[Type, str] | None:
        found = self.declared.get(identifier)
        return None if found is None else (found, identifier)

    def properties(self) -> dict[str, Type]:
        return self.declared


@dataclass(frozen=True, slots=True)
class ResourceCheck:
    """A question about a resource, not asked yet."""

    ask: Ask
    about: Attributes

    def check(self, verb: str) -> Answer:
        return Answer(*self.ask(self.about._replace(verb=verb)))

    def of_subresource(self, subresource: str) -> ResourceCheck:
        return replace(self, about=self.about._replace(subresource=subresource))

    def in_namespace(self, namespace: str) -> ResourceCheck:
        return replace(self, about=self.about._replace(namespace=namespace))

    def named(self, name: str) -> ResourceCheck:
        return replace(self, about=self.about._replace(name=name))


@dataclass(frozen=True, slots=True)
class GroupCheck:
    """A question about an API group whose resource is not known yet."""

    ask: Ask
    user: UserInfo
    group: str

    def resource(self, resource: str) -> ResourceCheck:
        return ResourceCheck(self.ask, Attributes(self.user, "", self.group, resource))


@dataclass(frozen=True, slots=True)
class PathCheck:
    """A question about a path outside the API."""

    ask: Ask
    about: Attributes

    def check(self, verb: str) -> Answer:
        return Answer(*self.ask(self.about._replace(verb=verb)))


@dataclass(frozen=True, slots=True)
class Answer:
    """What the authorizer decided. It never fails: it decides in memory."""

    allowed: bool
    reason: str


@dataclass(frozen=True, slots=True)
class RequestAuthorizer:
    """``authorizer`` of one request; ``request_resource`` is the question whether its user may do it."""

    ask: Ask
    user: UserInfo
    request_resource: ResourceCheck | None = None

    def __getitem__(self, key: str) -> ResourceCheck:
        """Fields are read as those of the maps that other objects are."""
        if key != "requestResource" or self.request_resource is None:
            raise EvaluationError(f"no such key: {key}")
        return self.request_resource

    def path(self, path: str) -> PathCheck:
        return PathCheck(self.ask, Attributes(self.user, "", path=path))

    def group(self, group: str) -> GroupCheck:
        return GroupCheck(self.ask, self.user, group)

    def service_account(self, namespace: str, name: str) -> RequestAuthorizer:
        if is_dns1123_label(namespace):
            raise EvaluationError("Invalid service account namespace")
        if is_dns1123_subdomain(name):
            raise EvaluationError("Invalid service account name")
        groups = ("system:serviceaccounts", f"system:serviceaccounts:{namespace}")
        return RequestAuthorizer(self.ask, UserInfo(f"system:serviceaccount:{namespace}:{name}", groups))


_RESOURCE_CHECK: Final = opaque("kubernetes.authorization.ResourceCheck")
_GROUP_CHECK: Final = opaque("kubernetes.authorization.GroupCheck")
_PATH_CHECK: Final = opaque("kubernetes.authorization.PathCheck")
_ANSWER: Final = opaque("kubernetes.authorization.Decision")
AUTHORIZER: Final = Record("kubernetes.authorization.Authorizer", {"requestResource": _RESOURCE_CHECK})

register_key(ResourceCheck, _RESOURCE_CHECK)
register_key(GroupCheck, _GROUP_CHECK)
register_key(PathCheck, _PATH_CHECK)
register_key(Answer, _ANSWER)
# It has a field, so its type is an object's; and objects are maps at run time.
register_key(RequestAuthorizer, Type("map"))


def _method(name: str, params: tuple[Type, ...], result: Type, implementation: Callable[..., Any]) -> Function:
    return Function(name, params, result, implementation, member=True, cost=_CHECK_COST if name == "check" else 1)


#: The methods of all these types.
FUNCTIONS: Final = (
    _method("path", (AUTHORIZER, STRING), _PATH_CHECK, RequestAuthorizer.path),
    _method("group", (AUTHORIZER, STRING), _GROUP_CHECK, RequestAuthorizer.group),
    _method("serviceAccount", (AUTHORIZER, STRING, STRING), AUTHORIZER, RequestAuthorizer.service_account),
    _method("resource", (_GROUP_CHECK, STRING), _RESOURCE_CHECK, GroupCheck.resource),
    _method("subresource", (_RESOURCE_CHECK, STRING), _RESOURCE_CHECK, ResourceCheck.of_subresource),
    _method("namespace", (_RESOURCE_CHECK, STRING), _RESOURCE_CHECK, ResourceCheck.in_namespace),
    _method("name", (_RESOURCE_CHECK, STRING), _RESOURCE_CHECK, ResourceCheck.named),
    # Roles know nothing of selectors: what is granted with one is granted without.
    _method("fieldSelector", (_RESOURCE_CHECK, STRING), _RESOURCE_CHECK, lambda check, _: check),
    _method("labelSelector", (_RESOURCE_CHECK, STRING), _RESOURCE_CHECK, lambda check, _: check),
    _method("check", (_PATH_CHECK, STRING), _ANSWER, PathCheck.check),
    _method("check", (_RESOURCE_CHECK, STRING), _ANSWER, ResourceCheck.check),
    _method("allowed", (_ANSWER,), BOOL, lambda answer: answer.allowed),
    _method("reason", (_ANSWER,), STRING, lambda answer: answer.reason),
    _method("errored", (_ANSWER,), BOOL, lambda _: False),
    _method("error", (_ANSWER,), STRING, lambda _: ""),
)
