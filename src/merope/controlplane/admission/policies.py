"""Validating admission policies: which concern a request, with which parameters, and what their verdicts lead to."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from merope.controlplane import errors
from merope.controlplane.admission.matching import NAMESPACES, MatchResources
from merope.controlplane.admission.requests import Surroundings, describe
from merope.controlplane.entry import Change
from merope.controlplane.resource import GroupResource, GroupVersionKind, Object, Request, Resource
from merope.lang.selectors import label_selector

if TYPE_CHECKING:
    from merope.controlplane.admission.policy_expressions import Denial, Expressions
    from merope.controlplane.server import Server

_logger = logging.getLogger(__name__)

_GROUP: Final = "admissionregistration.k8s.io"
POLICIES: Final = GroupResource(_GROUP, "validatingadmissionpolicies")
BINDINGS: Final = GroupResource(_GROUP, "validatingadmissionpolicybindings")
_CODES: Final = {"Unauthorized": 401, "Forbidden": 403, "RequestEntityTooLarge": 413}


class Misconfigured(Exception):
    """A policy or binding cannot be put to use on a request; the failure policy decides what that means."""


@dataclass(frozen=True, slots=True)
class Policy:
    """A policy, ready to be matched and evaluated. ``parameter`` is the kind of its parameters."""

    name: str
    match: MatchResources
    parameter: GroupVersionKind | None
    fails_closed: bool
    expressions: Expressions

    @classmethod
    def of(cls, policy: Mapping[str, Any]) -> Policy:
        # Expressions bring the CEL libraries, which a server without policies does not need.
        from merope.controlplane.admission.policy_expressions import Expressions

        spec = policy["spec"]
        parameter = spec.get("paramKind")
        return cls(
            policy["metadata"]["name"],
            MatchResources.of(spec.get("matchConstraints") or {}),
            _kind(parameter) if parameter is not None else None,
            spec.get("failurePolicy", "Fail") == "Fail",
            Expressions.of(spec),
        )


def _kind(parameter: Mapping[str, Any]) -> GroupVersionKind:
    group, _, version = parameter["apiVersion"].rpartition("/")
    return GroupVersionKind(group, version, parameter["kind"])


@dataclass(frozen=True, slots=True)
class Binding:
    """A binding: where a policy is in force, with which parameters, and what follows from its verdicts."""

    name: str
    policy: str
    match: MatchResources
    actions: frozenset[str]
    parameters: Mapping[str, Any] | None

    @classmethod
    def of(cls, binding: Mapping[str, Any]) -> Binding:
        spec = binding["spec"]
        return cls(
            binding["metadata"]["name"],
            spec["policyName"],
            MatchResources.of(spec.get("matchResources") or {}),
            frozenset(spec.get("validationActions") or ()),
            spec.get("paramRef"),
        )


class Policies:
    """The policies of one server. They are followed and compiled as they change; without any, writes cost nothing."""

    def __init__(self, server: Server, surroundings: Surroundings) -> None:
        self._server = server
        self._surroundings = surroundings
        self._policies: dict[str, Policy] = {}
        self._bindings: dict[str, Binding] = {}
        self._bound: tuple[tuple[Policy, tuple[Binding, ...]], ...] = ()
        self._unsubscribe: list[Callable[[], None]] = []

    async def start(self) -> None:
        store = self._server.store
        self._policies = {entry.name: Policy.of(entry.parsed()) for entry in store.list(POLICIES)}
        self._bindings = {entry.name: Binding.of(entry.parsed()) for entry in store.list(BINDINGS)}
        self._bind()
        self._unsubscribe = [
            store.subscribe(self._policy_changed, POLICIES),
            store.subscribe(self._binding_changed, BINDINGS),
        ]

    async def stop(self) -> None:
        while self._unsubscribe:
            self._unsubscribe.pop()()

    def _policy_changed(self, change: Change) -> None:
        entry, previous = change.entry, change.previous
        if change.type == "DELETED":
            self._policies.pop(entry.name, None)
        elif previous is not None and entry.name in self._policies:
            # Most writes are of the status or of metadata: what is compiled stays.
            policy = entry.parsed()
            if policy["spec"] == previous.parsed()["spec"]:
                return
            self._policies[entry.name] = Policy.of(policy)
        else:
            self._policies[entry.name] = Policy.of(entry.parsed())
        self._bind()

    def _binding_changed(self, change: Change) -> None:
        entry = change.entry
        if change.type == "DELETED":
            self._bindings.pop(entry.name, None)
        else:
            self._bindings[entry.name] = Binding.of(entry.parsed())
        self._bind()

    def _bind(self) -> None:
        """Bring bindings and policies together; what has no counterpart is not in force."""
        bound: dict[str, list[Binding]] = {}
        for _, binding in sorted(self._bindings.items()):
            bound.setdefault(binding.policy, []).append(binding)
        self._bound = tuple(
            (policy, tuple(bound[name])) for name, policy in sorted(self._policies.items()) if name in bound
        )

    # --- a request -----------------------------------------------------------------------------------------------

    async def validate(self, request: Request, operation: str, obj: Object | None, old: Object | None) -> None:
        """Let all policies see the object as it will be stored. Raises ApiError with the first denial.

        Every policy is evaluated, also after a denial: the warnings of all are due.
        """
        if not self._bound or request.resource.storage in (POLICIES, BINDINGS):
            return
        refusals: list[tuple[str, Denial]] = []
        for policy, bindings in self._bound:
            resource = self._surroundings.concerned(policy.match, request, operation, obj, old)
            if resource is not None:
                refusals += await self._apply(policy, bindings, resource, request, operation, obj, old)
        if refusals:
            origin, denial = refusals[0]
            raise _refusal(request, f"{origin} denied request: {denial.message}", denial.reason)

    async def _apply(
        self,
        policy: Policy,
        bindings: Sequence[Binding],
        resource: Resource,
        request: Request,
        operation: str,
        obj: Object | None,
        old: Object | None,
    ) -> list[tuple[str, Denial]]:
        from merope.controlplane.admission.policy_expressions import Denial

        origin = f"ValidatingAdmissionPolicy '{policy.name}'"
        if policy.parameter is not None and self._server.by_kind(policy.parameter) is None:
            kind = policy.parameter
            cause = f"failed to find resource referenced by paramKind: '{kind.api_version}, Kind={kind.kind}'"
            if kind.group == "":
                cause = f"failed to find resource referenced by paramKind: '/{kind.version}, Kind={kind.kind}'"
            return [(origin, Denial(f"failed to configure policy: {cause}"))] if policy.fails_closed else []
        refusals: list[tuple[str, Denial]] = []
        values: dict[str, Any] | None = None
        for binding in bindings:
            if self._surroundings.concerned(binding.match, request, operation, obj, old) is None:
                continue
            bound = f"{origin} with binding '{binding.name}'"
            try:
                parameters = await self._parameters(policy, binding, request)
            except Misconfigured as error:
                if policy.fails_closed:
                    refusals.append((bound, Denial(f"failed to configure binding: {error}")))
                continue
            if values is None:
                values = await self._values(resource, request, operation, obj, old)
            for number, parameter in enumerate(parameters):
                if number:
                    # Each evaluation may use up a whole budget; others shall have a turn between them.
                    await asyncio.sleep(0)
                for denial in _verdicts(policy, {**values, "params": parameter}):
                    if denial.always or "Deny" in binding.actions:
                        refusals.append((bound, denial))
                    elif "Warn" in binding.actions:
                        request.warn(f"Validation failed for {bound}: {denial.message}")
                    if "Audit" in binding.actions:
                        _logger.info("%s: %s: %s", bound, request.name, denial.message)
        return refusals

    async def _values(
        self, resource: Resource, request: Request, operation: str, obj: Object | None, old: Object | None
    ) -> dict[str, Any]:
        """What the expressions may refer to, parameters aside."""
        namespaced = request.resource.namespaced
        namespace = self._server.store.get(NAMESPACES, "", request.namespace) if namespaced else None
        return {
            "object": await self._surroundings.in_version(request, resource, obj),
            "oldObject": await self._surroundings.in_version(request, resource, old),
            "request": describe(request, resource, operation),
            "namespaceObject": namespace.parsed() if namespace is not None else None,
            "authorizer": self._surroundings.authorizer(request),
        }

    async def _parameters(self, policy: Policy, binding: Binding, request: Request) -> Sequence[Object | None]:
        """The objects that a binding's reference names; one None where no parameters are wanted.

        Raises:
            Misconfigured: there are none and the binding denies then, or the reference cannot be followed.
        """
        reference = binding.parameters
        if policy.parameter is None or reference is None:
            return (None,)
        resource = self._server.by_kind(policy.parameter)
        assert resource is not None
        namespace = reference.get("namespace") or ""
        if not resource.namespaced:
            if namespace:
                raise Misconfigured("paramRef.namespace must not be provided for a cluster-scoped `paramKind`")
        elif not namespace:
            # A Namespace counts as in itself.
            namespace = request.name if request.resource.storage == NAMESPACES else request.namespace
            if not namespace:
                raise Misconfigured(
                    "cannot use namespaced paramRef in policy binding that matches cluster-scoped resources"
                )
        store, name = self._server.store, reference.get("name")
        if name:
            entry = store.get(resource.storage, namespace, name)
            entries = [entry] if entry is not None else []
        else:
            selector = label_selector(reference.get("selector"))
            entries = [entry for entry in store.list(resource.storage, namespace) if selector.matches(entry.labels)]
        if not entries and reference.get("parameterNotFoundAction") == "Deny":
            raise Misconfigured("no params found for policy binding with `Deny` parameterNotFoundAction")
        return [await self._server.views.shared(resource, entry) for entry in entries]


def _verdicts(policy: Policy, values: Mapping[str, Any]) -> list[Denial]:
    """What a policy has against a request with one set of parameters."""
    from merope.controlplane.admission.policy_expressions import Denial, EvaluationFailed

    try:
        if not policy.expressions.concern(values):
            return []
    except EvaluationFailed as error:
        return [Denial(str(error))] if policy.fails_closed else []
    return policy.expressions.denials(values, fails_closed=policy.fails_closed)


def _refusal(request: Request, message: str, reason: str) -> errors.ApiError:
    refused = errors.forbidden(request.resource.group, request.resource.plural, request.name, "")
    # Unlike other refusals, the text of a policy is not escaped for HTML.
    refused.message = f"{refused.message}{message}"
    refused.reason, refused.code = reason, _CODES.get(reason, 422)
    refused.details = {**(refused.details or {}), "causes": [{"message": message}]}
    return refused
