"""Arithmetic, selection and indexing on values, by static type where it is known and by runtime type where not."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

from .errors import EvaluationError, no_such_key, no_such_overload
from .values import (
    INT_MAX,
    INT_MIN,
    NONE,
    Duration,
    KeyedList,
    OptionalValue,
    SetList,
    Timestamp,
    Uint,
    bounded,
    check_duration,
    check_int,
    check_timestamp,
    check_uint,
    equals,
    key_of,
)

Binary = Callable[[Any, Any], Any]


def _int_add(a: int, b: int) -> int:
    result = a + b
    if INT_MIN <= result <= INT_MAX:
        return result
    raise EvaluationError("integer overflow")


def _int_subtract(a: int, b: int) -> int:
    result = a - b
    if INT_MIN <= result <= INT_MAX:
        return result
    raise EvaluationError("integer overflow")


def _int_multiply(a: int, b: int) -> int:
    return check_int(a * b)


def _int_divide(a: int, b: int) -> int:
    """Divide, truncating towards zero."""
    if b == 0:
        raise EvaluationError("division by zero")
    quotient = abs(a) // abs(b)
    return check_int(quotient if (a < 0) == (b < 0) else -quotient)


def _int_modulo(a: int, b: int) -> int:
    """Give the remainder of truncating division: it has the sign of `a`."""
    if b == 0:
        raise EvaluationError("modulus by zero")
    if a == INT_MIN and b == -1:
        raise EvaluationError("integer overflow")
    remainder = abs(a) % abs(b)
    return -remainder if a < 0 else remainder


def _uint_divide(a: int, b: int) -> Uint:
    if b == 0:
        raise EvaluationError("division by zero")
    return Uint(int(a) // int(b))


def _uint_modulo(a: int, b: int) -> Uint:
    if b == 0:
        raise EvaluationError("modulus by zero")
    return Uint(int(a) % int(b))


def _double_divide(a: float, b: float) -> float:
    a, b = float(a), float(b)
    if b == 0:
        if a == 0 or math.isnan(a):
            return math.nan
        return math.copysign(math.inf, a) * math.copysign(1, b)
    try:
        return a / b
    except OverflowError:
        return math.copysign(math.inf, a) * math.copysign(1, b)


def _list_add(a: list[Any], b: list[Any]) -> list[Any]:
    if isinstance(a, (SetList, KeyedList)):
        return a.merge(b)
    bounded(len(a) + len(b))
    return [*a, *b]


def _text_add(a: Any, b: Any) -> Any:
    if a.__class__ is not b.__class__:
        raise no_such_overload()
    bounded(len(a) + len(b))
    return a + b


#: Implementations by operator and the static kinds of the operands.
ARITHMETIC: dict[str, dict[tuple[str, str], Binary]] = {
    "_+_": {
        ("int", "int"): _int_add,
        ("uint", "uint"): lambda a, b: check_uint(int(a) + int(b)),
        ("double", "double"): lambda a, b: float(a) + float(b),
        ("timestamp", "duration"): lambda a, b: check_timestamp(a.ns + b.ns),
        ("duration", "timestamp"): lambda a, b: check_timestamp(a.ns + b.ns),
        ("duration", "duration"): lambda a, b: check_duration(a.ns + b.ns),
    },
    "_-_": {
        ("int", "int"): _int_subtract,
        ("uint", "uint"): lambda a, b: check_uint(int(a) - int(b)),
        ("double", "double"): lambda a, b: float(a) - float(b),
        ("timestamp", "timestamp"): lambda a, b: check_duration(a.ns - b.ns),
        ("timestamp", "duration"): lambda a, b: check_timestamp(a.ns - b.ns),
        ("duration", "duration"): lambda a, b: check_duration(a.ns - b.ns),
    },
    "_*_": {
        ("int", "int"): _int_multiply,
        ("uint", "uint"): lambda a, b: check_uint(int(a) * int(b)),
        ("double", "double"): lambda a, b: float(a) * float(b),
    },
    "_/_": {
        ("int", "int"): _int_divide,
        ("uint", "uint"): _uint_divide,
        ("double", "double"): _double_divide,
    },
    "_%_": {
        ("int", "int"): _int_modulo,
        ("uint", "uint"): _uint_modulo,
    },
}


def _dynamic(name: str) -> Binary:
    table = dict(ARITHMETIC[name])
    if name == "_+_":
        table["list", "list"] = _list_add
        table["string", "string"] = _text_add
        table["bytes", "bytes"] = _text_add

    def compute(a: Any, b: Any) -> Any:
        operation = table.get((key_of(a), key_of(b)))
        if operation is None:
            raise no_such_overload()
        return operation(a, b)

    return compute


#: Implementations that look at the values, for operands whose type is not known before.
DYNAMIC: dict[str, Binary] = {name: _dynamic(name) for name in ARITHMETIC}


def negate(value: Any) -> Any:
    """Compute `-value` of an int or double."""
    key = key_of(value)
    if key == "int":
        return check_int(-value)
    if key == "double":
        return -value
    raise no_such_overload()


def select_value(value: Any, key: str) -> Any:
    """Compute `value.key` of a map, or of an optional one.

    Raises:
        EvaluationError: `no such key`.
    """
    if isinstance(value, dict):
        try:
            return value[key]
        except KeyError:
            raise no_such_key(key) from None
    if isinstance(value, OptionalValue):
        return select_optional(value, key)
    if isinstance(value, (list, tuple)):
        raise EvaluationError("unsupported index type 'string' in list")
    if isinstance(value, (Timestamp, Duration)) or value is None or isinstance(value, (str, bytes, int, float)):
        raise no_such_key(key)
    raise no_such_overload()


def index_value(value: Any, index: Any) -> Any:
    """Compute `value[index]` of a list or map.

    Raises:
        EvaluationError: the index is out of bounds, the key is missing, or of a type that cannot be one.
    """
    if isinstance(value, (list, tuple)):
        cls = index.__class__
        if cls is float and index.is_integer():
            index = int(index)
        elif cls is bool or not isinstance(index, int):
            raise EvaluationError(f"unsupported index type '{key_of(index)}' in list")
        if 0 <= index < len(value):
            return value[index]
        raise EvaluationError(f"index out of bounds: {int(index)}")
    if isinstance(value, dict):
        try:
            found = value[index]
        except KeyError:
            raise no_such_key(index) from None
        except TypeError:
            raise no_such_overload() from None
        if index.__class__ is not str and not any(equals(key, index) for key in value):
            raise no_such_key(index)
        return found
    if isinstance(value, OptionalValue):
        return select_optional(value, index)
    if value is None:
        raise no_such_key(index)
    raise no_such_overload()


def select_optional(value: Any, key: Any) -> OptionalValue:
    """Compute `value.?key` and `value[?key]`: none instead of an error where the key or index is missing."""
    if isinstance(value, OptionalValue):
        if not value.has:
            return NONE
        value = value.value
    if isinstance(value, dict):
        try:
            present = key in value
        except TypeError:
            raise no_such_overload() from None
        if not present:
            return NONE
        return OptionalValue(True, index_value(value, key))
    if isinstance(value, (list, tuple)):
        if key.__class__ is bool or not isinstance(key, int):
            raise EvaluationError(f"unsupported index type '{key_of(key)}' in list")
        return OptionalValue(True, value[key]) if 0 <= key < len(value) else NONE
    if value is None:
        return NONE
    raise no_such_overload()
