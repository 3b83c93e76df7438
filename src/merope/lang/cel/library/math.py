"""Mathematical functions: extremes of arguments or lists, rounding, signs, and bits of 64-bit integers."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

from ..errors import EvaluationError, no_such_overload
from ..functions import Library
from ..values import INT_MIN, UINT_MAX, Uint, comparable, key_of

MATH = Library("math")
_declare = MATH.declare
_NUMBERS = ("int", "uint", "double")


def _extreme(name: str, sign: int) -> tuple[Callable[[Any], Any], Callable[[Any, Any], Any]]:
    def of_two(a: Any, b: Any) -> Any:
        comparable(a, b)
        return b if (b > a if sign > 0 else b < a) else a

    def of_one(value: Any) -> Any:
        if not isinstance(value, (list, tuple)):
            return value
        if not value:
            raise EvaluationError(f"math.@{name}(list) argument must not be empty")
        best = value[0]
        for item in value:
            if key_of(item) not in _NUMBERS:
                raise no_such_overload()
            best = of_two(best, item)
        return best

    return of_one, of_two


for _name, _sign, _inner in (("greatest", 1, "max"), ("least", -1, "min")):
    _one, _two = _extreme(_inner, _sign)
    for _type in _NUMBERS:
        _declare(f"math.{_name}({_type}) -> {_type}", _one)
        _declare(f"math.{_name}(list<{_type}>) -> {_type}", _one, cost="size")
        for _other in _NUMBERS:
            _declare(f"math.{_name}({_type}, {_other}) -> {_type if _type == _other else 'dyn'}", _two)

_declare("math.ceil(double) -> double", lambda x: float(math.ceil(x)) if math.isfinite(x) else x)
_declare("math.floor(double) -> double", lambda x: float(math.floor(x)) if math.isfinite(x) else x)
_declare("math.trunc(double) -> double", lambda x: float(math.trunc(x)) if math.isfinite(x) else x)
_declare("math.isInf(double) -> bool", lambda x: math.isinf(x))
_declare("math.isNaN(double) -> bool", lambda x: math.isnan(x))
_declare("math.isFinite(double) -> bool", lambda x: math.isfinite(x))


@MATH.overload("math.round(double) -> double")
def _round(value: float) -> float:
    """Round to the nearest whole number, halves away from zero."""
    if not math.isfinite(value):
        return value
    whole = math.trunc(value)
    return float(whole + (abs(value - whole) >= 0.5) * (1 if value > 0 else -1))


@MATH.overload("math.abs(int) -> int")
def _abs_int(value: int) -> int:
    if value == INT_MIN:
        raise EvaluationError("integer overflow")
    return abs(value)


_declare("math.abs(uint) -> uint", lambda value: value)
_declare("math.abs(double) -> double", lambda value: abs(value))
_declare("math.sign(int) -> int", lambda value: (value > 0) - (value < 0))
_declare("math.sign(uint) -> uint", lambda value: Uint(value > 0))
_declare("math.sign(double) -> double", lambda value: value if value != value else float((value > 0) - (value < 0)))


def _sqrt(value: float) -> float:
    return math.sqrt(value) if value >= 0 else math.nan


for _type in _NUMBERS:
    _declare(f"math.sqrt({_type}) -> double", _sqrt)


def _signed(value: int) -> int:
    value &= UINT_MAX
    return value - (1 << 64) if value >> 63 else value


def _bits(name: str, operation: Callable[[int, int], int]) -> None:
    _declare(f"math.{name}(int, int) -> int", lambda a, b: _signed(operation(a, b)))
    _declare(f"math.{name}(uint, uint) -> uint", lambda a, b: Uint(operation(int(a), int(b))))


_bits("bitAnd", lambda a, b: a & b)
_bits("bitOr", lambda a, b: a | b)
_bits("bitXor", lambda a, b: a ^ b)
_declare("math.bitNot(int) -> int", lambda a: ~a)
_declare("math.bitNot(uint) -> uint", lambda a: Uint(~int(a) & UINT_MAX))


def _shift_by(count: int) -> int:
    if count < 0:
        raise EvaluationError(f"math.bitShift() negative offset: {count}")
    return count


def _left(value: int, count: int) -> int:
    return 0 if _shift_by(count) > 63 else (int(value) << count) & UINT_MAX


def _right(value: int, count: int) -> int:
    return 0 if _shift_by(count) > 63 else (int(value) & UINT_MAX) >> count


_declare("math.bitShiftLeft(int, int) -> int", lambda a, b: _signed(_left(a, b)))
_declare("math.bitShiftLeft(uint, int) -> uint", lambda a, b: Uint(_left(a, b)))
_declare("math.bitShiftRight(int, int) -> int", lambda a, b: _signed(_right(a, b)))
_declare("math.bitShiftRight(uint, int) -> uint", lambda a, b: Uint(_right(a, b)))
