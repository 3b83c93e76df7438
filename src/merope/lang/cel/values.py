"""The values that Python has no type for, and what is common to all values: equality, order, size, type.

Objects of the API are evaluated as they are: `dict`, `list`, `str`, `int`, `float`, `bool`, `None`. What JSON does not
have gets a small class here. Python's own `==` is nearly CEL's: it also compares numbers across types and maps without
order. It differs in one point: it takes `True` for `1`. So its "no" is final, and its "yes" is checked only where a
boolean could hide.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from decimal import Decimal
from functools import total_ordering
from typing import Any

from . import types as t
from .errors import CostExceeded, EvaluationError, no_such_overload

INT_MIN = -(1 << 63)
INT_MAX = (1 << 63) - 1
UINT_MAX = (1 << 64) - 1
#: The longest string or list that a function may build; longer ones mean that the cost model has been outwitted.
MAX_BUILT = 10_000_000


class Uint(int):
    """An unsigned 64-bit integer. It is an `int`, so it compares, hashes and indexes as one."""

    __slots__ = ()


@total_ordering
class Timestamp:
    """A point in time with nanoseconds, from year 1 to 9999, in UTC."""

    __slots__ = ("ns",)

    MIN = -62135596800 * 1_000_000_000
    MAX = 253402300799 * 1_000_000_000 + 999_999_999

    def __init__(self, ns: int) -> None:
        #: Nanoseconds since 1970-01-01T00:00:00Z.
        self.ns = ns

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Timestamp) and self.ns == other.ns

    def __lt__(self, other: Timestamp) -> bool:
        return self.ns < other.ns

    def __hash__(self) -> int:
        return hash(("timestamp", self.ns))

    def __repr__(self) -> str:
        return f"Timestamp({self.ns})"


@total_ordering
class Duration:
    """A span of time with nanoseconds, positive or negative, within 64 bits."""

    __slots__ = ("ns",)

    def __init__(self, ns: int) -> None:
        #: Nanoseconds.
        self.ns = ns

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Duration) and self.ns == other.ns

    def __lt__(self, other: Duration) -> bool:
        return self.ns < other.ns

    def __hash__(self) -> int:
        return hash(("duration", self.ns))

    def __repr__(self) -> str:
        return f"Duration({self.ns})"


class OptionalValue:
    """A value that may be absent."""

    __slots__ = ("has", "value")

    def __init__(self, has: bool, value: Any = None) -> None:
        self.has = has
        self.value = value

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, OptionalValue):
            return False
        return (self.has and other.has and equals(self.value, other.value)) or (not self.has and not other.has)

    def __hash__(self) -> int:
        return hash((self.has, self.value))

    def __repr__(self) -> str:
        return f"optional.of({self.value!r})" if self.has else "optional.none()"


NONE = OptionalValue(False)


class SetList(list[Any]):
    """A list of the schema's list type `set`: the order is no part of its identity, and `+` is union."""

    __slots__ = ()

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, list) or len(self) != len(other):
            return False
        return all(contains(other, item) for item in self)

    def __ne__(self, other: object) -> bool:
        return not self == other

    __hash__ = None

    def merge(self, other: Iterable[Any]) -> SetList:
        """Make the union: own items first, then those of `other` that are not among them."""
        merged = SetList(self)
        merged.extend(item for item in other if not contains(self, item))
        return merged


class KeyedList(list[Any]):
    """A list of the schema's list type `map`: items are identified by their key fields, `+` merges by key."""

    __slots__ = ("keys",)

    def __init__(self, items: Iterable[Any], keys: tuple[str, ...]) -> None:
        super().__init__(items)
        self.keys = keys

    def _key(self, item: Any) -> tuple[str, ...]:
        return tuple(repr(item.get(k)) if isinstance(item, dict) else "" for k in self.keys)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, list) or len(self) != len(other):
            return False
        by_key = {self._key(item): item for item in other}
        return all(self._key(item) in by_key and equals(item, by_key[self._key(item)]) for item in self)

    def __ne__(self, other: object) -> bool:
        return not self == other

    __hash__ = None

    def merge(self, other: Iterable[Any]) -> KeyedList:
        """Overlay `other`: items with a known key replace in place, the rest is appended."""
        merged = {self._key(item): item for item in self}
        for item in other:
            merged[self._key(item)] = item
        return KeyedList(merged.values(), self.keys)


#: What the runtime calls the type of each Python class; libraries add their own.
KEYS: dict[type, str] = {
    bool: "bool",
    int: "int",
    Uint: "uint",
    float: "double",
    Decimal: "double",
    str: "string",
    bytes: "bytes",
    type(None): "null",
    list: "list",
    tuple: "list",
    SetList: "list",
    KeyedList: "list",
    dict: "map",
    Timestamp: "timestamp",
    Duration: "duration",
    OptionalValue: "optional",
}

_TYPES: dict[str, t.Type] = {
    "bool": t.BOOL,
    "int": t.INT,
    "uint": t.UINT,
    "double": t.DOUBLE,
    "string": t.STRING,
    "bytes": t.BYTES,
    "null": t.NULL,
    "list": t.LIST,
    "map": t.MAP,
    "timestamp": t.TIMESTAMP,
    "duration": t.DURATION,
    "optional": t.OPTIONAL,
    "type": t.TYPE,
}


def key_of(value: Any) -> str:
    """Name the runtime type of a value; subclasses of the plain types count as those."""
    cls = value.__class__
    key = KEYS.get(cls)
    if key is None:
        if isinstance(value, t.Type):
            return "type"
        for base, name in KEYS.items():
            if isinstance(value, base):
                key = name
                break
        else:
            key = f"{cls.__module__}.{cls.__qualname__}"
        KEYS[cls] = key
    return key


def type_of(value: Any) -> t.Type:
    """Give the type that `type(value)` returns."""
    key = key_of(value)
    found = _TYPES.get(key)
    return found if found is not None else t.opaque(key)


def _bool_hidden(a: Any, b: Any) -> bool:
    """Tell whether two values that Python calls equal pair a boolean with a number somewhere."""
    ca, cb = a.__class__, b.__class__
    if ca is str or ca is type(None):
        return False
    if (ca is bool) is not (cb is bool):
        return True
    if ca is dict and cb is dict:
        return any(_bool_hidden(value, b[key]) for key, value in a.items())
    if ca is list and cb is list:
        return any(map(_bool_hidden, a, b))
    return False


def equals(a: Any, b: Any) -> bool:
    """Compare as CEL's `==` does: numbers across types, lists in order, maps by key, others by type and value."""
    try:
        if a != b:
            return False
    except RecursionError:
        raise EvaluationError("value is nested too deeply") from None
    cls = a.__class__
    if cls is str or cls is bytes:
        return True
    return not _bool_hidden(a, b)


def contains(items: Iterable[Any], wanted: Any) -> bool:
    """Tell whether a list has an equal item."""
    cls = wanted.__class__
    if cls is str or cls is bytes:
        return wanted in items
    return any(equals(item, wanted) for item in items)


_NUMERIC = frozenset(("int", "uint", "double"))
_ORDERED = _NUMERIC | {"string", "bytes", "bool", "timestamp", "duration"}


def comparable(a: Any, b: Any) -> None:
    """Check that `<` is defined between the two values.

    Raises:
        EvaluationError: they are of different types (numbers aside), have no order, or one is not a number.
    """
    ka, kb = key_of(a), key_of(b)
    if ka != kb:
        if ka not in _NUMERIC or kb not in _NUMERIC:
            raise no_such_overload()
    elif ka not in _ORDERED:
        raise no_such_overload()
    if a != a or b != b:
        raise EvaluationError("NaN values cannot be ordered")


def size_of(value: Any) -> int:
    """Measure a value for the cost model: code points, bytes, items or entries, and 1 for everything else."""
    cls = value.__class__
    if cls is str or cls is list or cls is dict or cls is bytes:
        return len(value)
    if isinstance(value, (str, bytes, list, tuple, dict)):
        return len(value)
    return 1


def check_int(value: int) -> int:
    """Return the value if it is a 64-bit integer.

    Raises:
        EvaluationError: `integer overflow`.
    """
    if INT_MIN <= value <= INT_MAX:
        return value
    raise EvaluationError("integer overflow")


def check_uint(value: int) -> Uint:
    """Return the value as an unsigned integer if it fits.

    Raises:
        EvaluationError: `unsigned integer overflow`.
    """
    if 0 <= value <= UINT_MAX:
        return Uint(value)
    raise EvaluationError("unsigned integer overflow")


def check_duration(ns: int) -> Duration:
    """Return a duration of so many nanoseconds if that fits 64 bits.

    Raises:
        EvaluationError: `duration overflow`.
    """
    if INT_MIN <= ns <= INT_MAX:
        return Duration(ns)
    raise EvaluationError("duration overflow")


def check_timestamp(ns: int) -> Timestamp:
    """Return the timestamp if it lies between the years 1 and 9999.

    Raises:
        EvaluationError: `timestamp overflow`.
    """
    if Timestamp.MIN <= ns <= Timestamp.MAX:
        return Timestamp(ns)
    raise EvaluationError("timestamp overflow")


def bounded(size: int) -> None:
    """Refuse to build a string or list of this size if it is beyond any sensible one.

    Raises:
        CostExceeded: it is larger than `MAX_BUILT`.
    """
    if size > MAX_BUILT:
        raise CostExceeded


def register_key(cls: type, type_: t.Type) -> None:
    """Make the runtime recognise a class as the values of an opaque type."""
    KEYS[cls] = type_.name


Impl = Callable[..., Any]
