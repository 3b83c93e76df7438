"""The clusters in columns: what the scheduler computes with, kept up to date change by change.

Every name gets an ordinal that it keeps; a column is an array over ordinals. Labels and claims are columns of codes, so
selectors are comparisons of arrays. What CEL expressions say of the clusters is kept: a changed cluster is asked about
again, nothing else. So a choice costs a few vector operations, however large the fleet.

Not thread-safe: one event loop owns a fleet.
"""

from __future__ import annotations

import re
from collections import OrderedDict
from collections.abc import Callable, Hashable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Final, TypeAlias

import numpy as np
import numpy.typing as npt

from merope.api.meta.times import parse_time
from merope.lang.quantity import Quantity, QuantityError
from merope.lang.selectors import DOES_NOT_EXIST, EXISTS, NOT_IN, Requirement, Selector
from merope.placement.expressions import Subject, matches, subject
from merope.placement.policy import Aspect

Bools: TypeAlias = npt.NDArray[np.bool_]
Ints: TypeAlias = npt.NDArray[np.int64]
Floats: TypeAlias = npt.NDArray[np.float64]

NOWHERE: Final[Ints] = np.empty(0, dtype=np.int64)
_MASKS: Final = 4096
_MEMBERS: Final = 256
_FIRST_ROOM: Final = 64
_NEGATIVE: Final = (NOT_IN, DOES_NOT_EXIST)
_DECIMAL: Final = re.compile(r"([+-]?)(\d*)(?:\.(\d*))?([numkMGTPE]?)", re.ASCII)
_EXPONENTS: Final = {"n": -9, "u": -6, "m": -3, "": 0, "k": 3, "M": 6, "G": 9, "T": 12, "P": 15, "E": 18}


@dataclass(frozen=True, slots=True)
class Taint:
    """A taint. ``added`` is when, in Unix seconds; None: unknown."""

    key: str
    value: str
    effect: str
    added: float | None


@dataclass(frozen=True, slots=True)
class Cluster:
    """What the scheduler knows of a ManagedCluster. ``manifest`` gives the whole of it, for CEL expressions."""

    name: str
    labels: Mapping[str, str] = field(default_factory=dict)
    claims: Mapping[str, str] = field(default_factory=dict)
    taints: tuple[Taint, ...] = ()
    cpu: float | None = None
    memory: float | None = None
    deleting: bool = False
    version: str = ""
    manifest: Callable[[], Mapping[str, Any]] = dict


@dataclass(frozen=True, slots=True)
class Scores:
    """One AddOnPlacementScore: values by name, and until when they count (Unix seconds; None: for ever)."""

    values: Mapping[str, int]
    valid_until: float | None = None


def read_cluster(raw: Mapping[str, Any], manifest: Callable[[], Mapping[str, Any]] | None = None) -> Cluster:
    """The scheduler's view of a ManagedCluster. What doesn't parse counts as absent."""
    metadata, status = raw["metadata"], raw.get("status") or {}
    return Cluster(
        name=metadata["name"],
        labels=metadata.get("labels") or {},
        claims={claim.get("name", ""): claim.get("value", "") for claim in status.get("clusterClaims") or ()},
        taints=tuple(_taint(taint) for taint in (raw.get("spec") or {}).get("taints") or ()),
        cpu=_allocatable(status, "cpu"),
        memory=_allocatable(status, "memory"),
        deleting=metadata.get("deletionTimestamp") is not None,
        version=metadata.get("resourceVersion") or "",
        manifest=manifest if manifest is not None else lambda: raw,
    )


def read_scores(raw: Mapping[str, Any]) -> Scores:
    """What an AddOnPlacementScore says."""
    status = raw.get("status") or {}
    values = {score["name"]: score["value"] for score in status.get("scores") or ()}
    return Scores(values, _seconds(status.get("validUntil")))


def amount(text: str | int) -> float | None:
    """A quantity as a number: its digits times a power of ten, which isn't always the nearest float. None: no quantity.

    Scores follow from these numbers, and clients that compare them expect this rounding.
    """
    try:
        exact = Quantity.parse(text)
    except QuantityError:
        return None
    decimal = _DECIMAL.fullmatch(str(text))
    if decimal is None:
        return exact.approximate_float()
    sign, whole, fraction, suffix = decimal.groups(default="")
    digits, exponent = int((whole + fraction) or "0"), _EXPONENTS[suffix] - len(fraction)
    found = float(digits) * 10.0**exponent if exponent else float(digits)
    return -found if sign == "-" else found


def _allocatable(status: Mapping[str, Any], resource: str) -> float | None:
    """Counts only where the capacity is known, too."""
    allocatable = (status.get("allocatable") or {}).get(resource)
    if allocatable is None or resource not in (status.get("capacity") or {}):
        return None
    return amount(allocatable)


def _taint(taint: Mapping[str, Any]) -> Taint:
    return Taint(
        taint.get("key") or "", taint.get("value") or "", taint.get("effect") or "", _seconds(taint.get("timeAdded"))
    )


def _seconds(text: str | None) -> float | None:
    if not text:
        return None
    try:
        return parse_time(text).timestamp()
    except ValueError:
        return None


class Mask:
    """Which clusters a condition holds for that has to be asked one by one. `Fleet.bits` brings it up to date."""

    __slots__ = ("bits", "holds", "stale")

    def __init__(self, holds: Callable[[Cluster], bool], room: int) -> None:
        self.holds = holds
        self.bits: Bools = np.zeros(room, dtype=np.bool_)
        self.stale: set[int] = set()


class Pairs:
    """Labels, or claims, of all clusters: a column of codes for each key, so that selectors are comparisons of arrays.

    Code 0 is a key's absence; the codes of its values are given out as they are met.
    """

    def __init__(self, room: int) -> None:
        self._room = room
        self._codes: dict[str, npt.NDArray[np.int32]] = {}
        self._values: dict[str, dict[str, int]] = {}
        self._selected: OrderedDict[Hashable, tuple[int, Bools]] = OrderedDict()
        #: Grows with every change.
        self.version = 0

    def put(self, at: int, before: Mapping[str, str], after: Mapping[str, str]) -> None:
        """The pairs of one cluster have changed."""
        if before == after:
            return
        self.version += 1
        for key in before.keys() - after.keys():
            self._codes[key][at] = 0
        for key, value in after.items():
            codes = self._codes.get(key)
            if codes is None:
                codes = self._codes[key] = np.zeros(self._room, dtype=np.int32)
                self._values[key] = {}
            values = self._values[key]
            codes[at] = values.setdefault(value, len(values) + 1)
            if len(values) > 2 * self._room:
                self._forget_unused(key)

    def _forget_unused(self, key: str) -> None:
        """Values come and go (versions do): codes are given out anew to those that are left."""
        codes = self._codes[key]
        used = np.unique(codes[codes != 0])
        names = {code: value for value, code in self._values[key].items()}
        self._values[key] = {names[code]: place for place, code in enumerate(used.tolist(), start=1)}
        self._codes[key] = np.where(codes == 0, 0, np.searchsorted(used, codes) + 1).astype(np.int32)

    def grow(self, room: int) -> None:
        """There are more clusters than before."""
        self._room = room
        self.version += 1
        self._codes = {key: _longer(codes, room, 0) for key, codes in self._codes.items()}

    def selected(self, selector: Selector) -> Bools:
        """Whom a selector matches, by ordinal. What it says where there is no cluster means nothing."""
        key = (selector.nothing, str(selector))
        known = self._selected.get(key)
        if known is not None and known[0] == self.version:
            self._selected.move_to_end(key)
            return known[1]
        bits: Bools = np.full(self._room, not selector.nothing, dtype=np.bool_)
        for requirement in selector.requirements:
            bits &= self._meeting(requirement)
        self._selected[key] = (self.version, bits)
        if len(self._selected) > _MASKS:
            self._selected.popitem(last=False)
        return bits

    def _meeting(self, requirement: Requirement) -> Bools:
        operator, codes = requirement.operator, self._codes.get(requirement.key)
        if codes is None:
            return np.full(self._room, operator in _NEGATIVE, dtype=np.bool_)
        if operator in (EXISTS, DOES_NOT_EXIST):
            there: Bools = codes != 0
            return there if operator == EXISTS else ~there
        values = self._values[requirement.key]
        wanted = [values[value] for value in requirement.values if value in values]
        meeting: Bools = codes == wanted[0] if len(wanted) == 1 else np.isin(codes, wanted)
        return ~meeting if operator in _NEGATIVE else meeting


class Column:
    """Add-on scores of one name: the value of each cluster, and until when it counts (infinite: for ever)."""

    __slots__ = ("until", "values")

    def __init__(self, room: int) -> None:
        self.values: Ints = np.zeros(room, dtype=np.int64)
        self.until: Floats = np.full(room, np.inf)


class Fleet:
    """All clusters, by ordinal, with their add-on scores."""

    def __init__(self) -> None:
        self.names: list[str] = []
        self.clusters: list[Cluster | None] = []
        self._ordinals: dict[str, int] = {}
        self._room = _FIRST_ROOM
        #: Which are there and not about to go.
        self.alive: Bools = np.zeros(self._room, dtype=np.bool_)
        self.tainted: Bools = np.zeros(self._room, dtype=np.bool_)
        #: Allocatable amounts; NaN where unknown.
        self.cpu: Floats = np.full(self._room, np.nan)
        self.memory: Floats = np.full(self._room, np.nan)
        self._order: Ints = NOWHERE
        self._ranks: Ints = NOWHERE
        self._labels = Pairs(self._room)
        self._claims = Pairs(self._room)
        self._masks: OrderedDict[tuple[str, ...], Mask] = OrderedDict()
        self._scores: dict[str, dict[str, Scores]] = {}
        self._columns: dict[tuple[str, str], Column] = {}
        self._members: OrderedDict[tuple[str, ...], tuple[tuple[int, ...], Ints]] = OrderedDict()
        self._births = 0
        self._taints: dict[tuple[Taint, ...], tuple[Taint, ...]] = {}

    def __len__(self) -> int:
        """How many ordinals there are (not: how many clusters)."""
        return len(self.names)

    @property
    def room(self) -> int:
        """The length of the columns; those of others that compute with ordinals have to be as long."""
        return self._room

    # --- names -----------------------------------------------------------------------------------------------------

    def ordinal(self, name: str) -> int:
        """The ordinal of a name, which needn't be that of a cluster: decisions may name what is gone."""
        found = self._ordinals.get(name)
        if found is None:
            found = self._ordinals[name] = len(self.names)
            self.names.append(name)
            self.clusters.append(None)
            if found >= self._room:
                self._grow()
        return found

    def ordinals(self, names: Sequence[str]) -> Ints:
        """The ordinals of names, in order."""
        return np.fromiter((self.ordinal(name) for name in names), dtype=np.int64, count=len(names))

    @property
    def ranks(self) -> Ints:
        """The place of each ordinal's name in the order of names."""
        self._sort()
        return self._ranks

    def where(self, bits: Bools) -> Ints:
        """The ordinals for which this is true, in the order of their names."""
        self._sort()
        return self._order[bits[self._order]]

    def by_name(self, ordinals: Ints) -> Ints:
        """The same ordinals in the order of their names."""
        return ordinals[np.argsort(self.ranks[ordinals], kind="stable")]

    def _sort(self) -> None:
        if len(self._order) != len(self.names):
            order = sorted(range(len(self.names)), key=self.names.__getitem__)
            self._order = np.array(order, dtype=np.int64)
            self._ranks = np.empty(len(order), dtype=np.int64)
            self._ranks[self._order] = np.arange(len(order))

    def _grow(self) -> None:
        self._room *= 2
        self._labels.grow(self._room)
        self._claims.grow(self._room)
        self.alive = _longer(self.alive, self._room, False)
        self.tainted = _longer(self.tainted, self._room, False)
        self.cpu = _longer(self.cpu, self._room, np.nan)
        self.memory = _longer(self.memory, self._room, np.nan)
        for mask in self._masks.values():
            mask.bits = _longer(mask.bits, self._room, False)
        for column in self._columns.values():
            column.values = _longer(column.values, self._room, 0)
            column.until = _longer(column.until, self._room, np.inf)

    # --- clusters --------------------------------------------------------------------------------------------------

    def cluster(self, name: str) -> Cluster | None:
        """The cluster of this name, if there is one."""
        found = self._ordinals.get(name)
        return self.clusters[found] if found is not None else None

    def put(self, cluster: Cluster) -> Aspect:
        """Take a cluster in, or its new state; returns what of it changed."""
        at = self.ordinal(cluster.name)
        before = self.clusters[at]
        changed = difference(before, cluster)
        if cluster.taints:
            cluster = replace(cluster, taints=self._shared(cluster.taints))
        self.clusters[at] = cluster
        self.alive[at] = not cluster.deleting
        self.tainted[at] = bool(cluster.taints)
        self.cpu[at] = np.nan if cluster.cpu is None else cluster.cpu
        self.memory[at] = np.nan if cluster.memory is None else cluster.memory
        self._labels.put(at, before.labels if before is not None else {}, cluster.labels)
        self._claims.put(at, before.claims if before is not None else {}, cluster.claims)
        if changed & Aspect.LIFE:
            self._births += 1
        if changed & (Aspect.WHOLE | Aspect.LIFE):
            self._outdate(at)
        return changed

    def _shared(self, taints: tuple[Taint, ...]) -> tuple[Taint, ...]:
        """One tuple for all that have the same taints: whoever asks about many clusters need not ask twice."""
        if len(self._taints) > 2 * self._room:
            self._taints.clear()
        return self._taints.setdefault(taints, taints)

    def remove(self, name: str) -> None:
        """A cluster is gone. Its ordinal stays its name's."""
        at = self.ordinal(name)
        before = self.clusters[at]
        if before is None:
            return
        self._labels.put(at, before.labels, {})
        self._claims.put(at, before.claims, {})
        self.clusters[at] = None
        self._births += 1
        self.alive[at] = self.tainted[at] = False
        self.cpu[at] = self.memory[at] = np.nan
        self._outdate(at)

    def _outdate(self, at: int) -> None:
        for mask in self._masks.values():
            mask.stale.add(at)

    # --- conditions ------------------------------------------------------------------------------------------------

    def labelled(self, selector: Selector) -> Bools:
        """The clusters whose labels a selector matches."""
        return self._labels.selected(selector)

    def members(self, selectors: Sequence[Selector]) -> Ints:
        """The clusters that stay and whose labels one of the selectors matches; in the order of names."""
        chosen = [selector for selector in selectors if not selector.nothing]
        key = tuple(map(str, chosen))
        version = (self._labels.version, self._births, len(self.names))
        known = self._members.get(key)
        if known is not None and known[0] == version:
            self._members.move_to_end(key)
            return known[1]
        bits: Bools = np.zeros(self._room, dtype=np.bool_)
        for selector in chosen:
            bits |= self.labelled(selector)
        found = self.where(bits & self.alive)
        self._members[key] = (version, found)
        if len(self._members) > _MEMBERS:
            self._members.popitem(last=False)
        return found

    def claiming(self, selector: Selector) -> Bools:
        """The clusters whose claims a selector matches."""
        return self._claims.selected(selector)

    def satisfying(self, expressions: tuple[str, ...]) -> Mask:
        """The clusters that all these CEL expressions are true of."""
        found = self._masks.get(expressions)
        if found is None:
            found = Mask(lambda cluster: matches(expressions, self._subject(cluster)), self._room)
            found.stale.update(at for at, cluster in enumerate(self.clusters) if cluster is not None)
            self._masks[expressions] = found
            if len(self._masks) > _MASKS:
                self._masks.popitem(last=False)
        else:
            self._masks.move_to_end(expressions)
        return found

    def refreshing(self, mask: Mask) -> Iterator[None]:
        """Bring a mask up to date, giving way after each cluster; what changes meanwhile is done, too."""
        while mask.stale:
            at = mask.stale.pop()
            cluster = self.clusters[at]
            mask.bits[at] = cluster is not None and mask.holds(cluster)
            yield

    def bits(self, mask: Mask) -> Bools:
        """What a mask says now, by ordinal."""
        for _ in self.refreshing(mask):
            pass
        return mask.bits

    def _subject(self, cluster: Cluster) -> Subject:
        manifest = dict(cluster.manifest())
        # The reference's objects are typed: their list of conditions is always there, null where it is empty.
        status = dict(manifest.get("status") or {})
        status["conditions"] = status.get("conditions") or None
        manifest["status"] = status

        def scores_of(resource: str) -> Mapping[str, int] | None:
            found = self._scores.get(cluster.name, {}).get(resource)
            return found.values if found is not None else None

        return subject(manifest, scores_of)

    # --- add-on scores ---------------------------------------------------------------------------------------------

    def put_scores(self, cluster: str, resource: str, scores: Scores | None) -> None:
        """Take in what an AddOnPlacementScore says of a cluster; None: it is gone."""
        of_cluster = self._scores.setdefault(cluster, {})
        if scores is None:
            of_cluster.pop(resource, None)
            if not of_cluster:
                del self._scores[cluster]
        else:
            of_cluster[resource] = scores
        at = self.ordinal(cluster)
        for (name, score), column in self._columns.items():
            if name == resource:
                self._fill(column, at, scores, score)
        self._outdate(at)

    def column(self, resource: str, score: str) -> Column:
        """The scores that a prioritizer refers to."""
        found = self._columns.get((resource, score))
        if found is None:
            for cluster in self._scores:
                self.ordinal(cluster)
            found = self._columns[resource, score] = Column(self._room)
            for cluster, resources in self._scores.items():
                self._fill(found, self.ordinal(cluster), resources.get(resource), score)
        return found

    @staticmethod
    def _fill(column: Column, at: int, scores: Scores | None, score: str) -> None:
        column.values[at] = scores.values.get(score, 0) if scores is not None else 0
        until = scores.valid_until if scores is not None else None
        column.until[at] = np.inf if until is None else until


def difference(before: Cluster | None, after: Cluster) -> Aspect:
    """What differs between two states of a cluster (None: it wasn't there)."""
    if before is None:
        return ~Aspect.NONE
    changed = Aspect.NONE
    for aspect, same in (
        (Aspect.LABELS, before.labels == after.labels),
        (Aspect.CLAIMS, before.claims == after.claims),
        (Aspect.TAINTS, before.taints == after.taints),
        (Aspect.CPU, before.cpu == after.cpu),
        (Aspect.MEMORY, before.memory == after.memory),
        (Aspect.LIFE, before.deleting == after.deleting),
        (Aspect.WHOLE, bool(before.version) and before.version == after.version),
    ):
        changed |= Aspect.NONE if same else aspect
    return changed


def _longer(column: npt.NDArray[Any], room: int, filler: Any) -> npt.NDArray[Any]:
    longer = np.full(room, filler, dtype=column.dtype)
    longer[: len(column)] = column
    return longer
