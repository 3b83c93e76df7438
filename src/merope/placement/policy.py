"""What a Placement asks for, read once for each generation of it.

A mistake in one part of a Placement counts only when the scheduler gets to that part (nothing in predicates is looked
at while there are no candidates), so each part is read into a value or into the `Misconfigured` that will be reported.
"""

from __future__ import annotations

import enum
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, TypeVar

from merope.lang.cel import CompileError
from merope.lang.selectors import Selector, SelectorError, label_selector
from merope.placement.expressions import compile_expression

PREDICATE: Final = "Predicate"
TAINT_TOLERATION: Final = "TaintToleration"
BALANCE: Final = "Balance"
STEADY: Final = "Steady"
CPU: Final = "ResourceAllocatableCPU"
MEMORY: Final = "ResourceAllocatableMemory"
ADD_ON: Final = "AddOn"
T = TypeVar("T")

_BUILT_IN: Final = frozenset((BALANCE, STEADY, CPU, MEMORY))


class Aspect(enum.Flag):
    """Parts of a cluster that a choice may depend on."""

    NONE = 0
    LABELS = enum.auto()
    CLAIMS = enum.auto()
    TAINTS = enum.auto()
    CPU = enum.auto()
    MEMORY = enum.auto()
    #: That it exists and isn't about to go.
    LIFE = enum.auto()
    #: Anything at all: what CEL expressions may look at.
    WHOLE = enum.auto()


class Misconfigured(Exception):
    """A Placement that cannot be followed. ``plugin`` is the part that found it, ``""`` for the policy itself."""

    def __init__(self, plugin: str, message: str) -> None:
        super().__init__(message)
        self.plugin = plugin
        self.message = message


@dataclass(frozen=True, slots=True)
class Predicate:
    """One alternative: what a cluster's labels, claims and CEL expressions must say, all of it."""

    labels: Selector
    claims: Selector
    expressions: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Toleration:
    """One toleration. ``seconds`` None tolerates for ever."""

    key: str = ""
    operator: str = ""
    value: str = ""
    effect: str = ""
    seconds: int | None = None


@dataclass(frozen=True, slots=True)
class Prioritizer:
    """One source of scores, with its weight. ``resource`` and ``score`` say which add-on score."""

    name: str
    weight: int
    resource: str = ""
    score: str = ""


@dataclass(frozen=True, slots=True)
class NamedGroup:
    """A decision group that is asked for by name: what its clusters' labels and claims must say."""

    name: str
    labels: Selector
    claims: Selector


@dataclass(frozen=True, slots=True)
class Policy:
    """The whole of a Placement's spec. Parts that may be wrong hold the `Misconfigured` instead."""

    cluster_sets: tuple[str, ...] = ()
    number: int | None = None
    predicates: Sequence[Predicate] | Misconfigured = ()
    tolerations: Sequence[Toleration] | Misconfigured = ()
    prioritizers: Sequence[Prioritizer] | Misconfigured = ()
    group_size: int | str = 0
    groups: Sequence[NamedGroup | Misconfigured] = ()
    #: What of a cluster it looks at; changes of anything else don't concern it.
    reads: Aspect = Aspect.LIFE
    #: Names of the AddOnPlacementScores it looks at; None: any (CEL expressions may ask for any name).
    score_resources: frozenset[str] | None = field(default=frozenset())

    @property
    def restless(self) -> bool:
        """Whether what it has been given counts against it the next time: then it never settles."""
        prioritizers = () if isinstance(self.prioritizers, Misconfigured) else self.prioritizers
        return self.number is not None and any(one.name == STEADY and one.weight < 0 for one in prioritizers)


def read_policy(spec: Mapping[str, Any]) -> Policy:
    """Read a Placement's spec; never raises for what users wrote."""
    predicates = _tried(_predicates, spec)
    tolerations = _tried(_tolerations, spec)
    prioritizers = _tried(_prioritizers, spec)
    strategy = (spec.get("decisionStrategy") or {}).get("groupStrategy") or {}
    size = strategy.get("clustersPerDecisionGroup")
    groups = tuple(_group(group) for group in strategy.get("decisionGroups") or ())
    reads = Aspect.LIFE | Aspect.TAINTS
    resources: frozenset[str] | None = frozenset()
    selected: list[tuple[Selector, Selector]] = [
        (group.labels, group.claims) for group in groups if isinstance(group, NamedGroup)
    ]
    if not isinstance(predicates, Misconfigured):
        selected += [(one.labels, one.claims) for one in predicates]
        if any(one.expressions for one in predicates):
            reads |= Aspect.WHOLE
            resources = None
    for labels, claims in selected:
        reads |= Aspect.NONE if labels.empty else Aspect.LABELS
        reads |= Aspect.NONE if claims.empty else Aspect.CLAIMS
    if not isinstance(prioritizers, Misconfigured):
        names = {one.name for one in prioritizers}
        if spec.get("numberOfClusters") is not None:
            reads |= Aspect.CPU if CPU in names else Aspect.NONE
            reads |= Aspect.MEMORY if MEMORY in names else Aspect.NONE
        if resources is not None:
            resources = frozenset(one.resource for one in prioritizers if one.resource)
    return Policy(
        cluster_sets=tuple(spec.get("clusterSets") or ()),
        number=spec.get("numberOfClusters"),
        predicates=predicates,
        tolerations=tolerations,
        prioritizers=prioritizers,
        group_size="100%" if size is None else size,
        groups=groups,
        reads=reads,
        score_resources=resources,
    )


def _tried(read: Callable[[Mapping[str, Any]], Sequence[T]], spec: Mapping[str, Any]) -> Sequence[T] | Misconfigured:
    try:
        return read(spec)
    except Misconfigured as error:
        return error


def _selectors(plugin: str, selector: Mapping[str, Any]) -> tuple[Selector, Selector]:
    """The selectors over labels and claims. In a Placement an absent selector asks for nothing: everything matches."""
    claims = (selector.get("claimSelector") or {}).get("matchExpressions")
    try:
        return (
            label_selector(selector.get("labelSelector") or {}),
            label_selector({"matchExpressions": claims or []}),
        )
    except SelectorError as error:
        raise Misconfigured(plugin, str(error)) from None


def _predicates(spec: Mapping[str, Any]) -> Sequence[Predicate]:
    found: list[Predicate] = []
    for predicate in spec.get("predicates") or ():
        selector = predicate.get("requiredClusterSelector") or {}
        labels, claims = _selectors(PREDICATE, selector)
        expressions = (selector.get("celSelector") or {}).get("celExpressions") or ()
        try:
            for expression in expressions:
                compile_expression(expression)
        except CompileError as error:
            raise Misconfigured(PREDICATE, f"compilation failed: {error}") from None
        found.append(Predicate(labels, claims, tuple(expressions)))
    return found


def _tolerations(spec: Mapping[str, Any]) -> Sequence[Toleration]:
    found: list[Toleration] = []
    for toleration in spec.get("tolerations") or ():
        one = Toleration(
            key=toleration.get("key") or "",
            operator=toleration.get("operator") or "",
            value=toleration.get("value") or "",
            effect=toleration.get("effect") or "",
            seconds=toleration.get("tolerationSeconds"),
        )
        if not one.key and one.operator != "Exists":
            raise Misconfigured(TAINT_TOLERATION, "If the key is empty, operator must be Exists.")
        if one.operator == "Exists" and one.value:
            raise Misconfigured(TAINT_TOLERATION, "If the operator is Exists, the value should be empty.")
        found.append(one)
    return found


def _prioritizers(spec: Mapping[str, Any]) -> Sequence[Prioritizer]:
    """The sources of scores whose weight isn't zero. What is given for a built-in one replaces its default."""
    policy = spec.get("prioritizerPolicy") or {}
    mode = policy.get("mode") or "Additive"
    if mode not in ("Additive", "Exact"):
        raise Misconfigured("", f"incorrect prioritizer policy mode: {mode}")
    built_in: dict[str, int] = {BALANCE: 1, STEADY: 1} if mode == "Additive" else {}
    add_ons: list[Prioritizer] = []
    for configuration in policy.get("configurations") or ():
        coordinate = configuration.get("scoreCoordinate")
        if coordinate is None:
            raise Misconfigured("", "scoreCoordinate field is required")
        weight = configuration.get("weight")
        weight = 1 if weight is None else weight
        if coordinate.get("type") == "BuiltIn":
            built_in[coordinate.get("builtIn") or ""] = weight
        elif weight:
            add_on = coordinate.get("addOn")
            if add_on is None:
                raise Misconfigured("", "addOn should not be empty")
            resource, score = add_on.get("resourceName") or "", add_on.get("scoreName") or ""
            add_ons.append(Prioritizer(f"{ADD_ON}/{resource}/{score}", weight, resource, score))
    found: list[Prioritizer] = []
    for name, weight in built_in.items():
        if not weight:
            continue
        if name not in _BUILT_IN:
            raise Misconfigured("", f"incorrect builtin prioritizer: {name}")
        found.append(Prioritizer(name, weight))
    return found + add_ons


def _group(group: Mapping[str, Any]) -> NamedGroup | Misconfigured:
    try:
        labels, claims = _selectors("", group.get("groupClusterSelector") or {})
    except Misconfigured as error:
        return error
    return NamedGroup(group.get("groupName") or "", labels, claims)
