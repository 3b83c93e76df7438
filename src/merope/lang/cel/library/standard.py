"""CEL's standard functions: operators, conversions, strings, sizes, timestamps and durations.

Operators have no implementation here: the compiler knows them by name and generates code for the types at hand.
"""

from __future__ import annotations

import math
from datetime import datetime
from typing import Any

from .. import types as t
from ..errors import EvaluationError
from ..functions import Library
from ..temporal import (
    SECOND,
    calendar,
    format_duration,
    format_timestamp,
    parse_duration,
    parse_timestamp,
)
from ..values import (
    INT_MAX,
    INT_MIN,
    UINT_MAX,
    Duration,
    Timestamp,
    Uint,
    check_int,
    check_timestamp,
    check_uint,
    type_of,
)
from .regex import search

STANDARD = Library("standard")
#: `<` and its like between int, uint and double.
CROSS_TYPE = Library("cross-type-comparisons")

_declare = STANDARD.declare
for _type in ("int", "uint", "double"):
    for _operator in "+-*/":
        _declare(f"_{_operator}_({_type}, {_type}) -> {_type}", None)
for _type in ("int", "uint"):
    _declare(f"_%_({_type}, {_type}) -> {_type}", None)
for _type in ("string", "bytes", "list<T>"):
    _declare(f"_+_({_type}, {_type}) -> {_type}", None)
for _signature in (
    "_+_(timestamp, duration) -> timestamp",
    "_+_(duration, timestamp) -> timestamp",
    "_+_(duration, duration) -> duration",
    "_-_(timestamp, timestamp) -> duration",
    "_-_(timestamp, duration) -> timestamp",
    "_-_(duration, duration) -> duration",
    "-_(int) -> int",
    "-_(double) -> double",
    "!_(bool) -> bool",
    "_==_(T, T) -> bool",
    "_!=_(T, T) -> bool",
    "@in(T, list<T>) -> bool",
    "@in(K, map<K, V>) -> bool",
):
    _declare(_signature, None)
for _operator in ("<", "<=", ">", ">="):
    for _type in ("bool", "int", "uint", "double", "string", "bytes", "timestamp", "duration"):
        _declare(f"_{_operator}_({_type}, {_type}) -> bool", None)
    for _a in ("int", "uint", "double"):
        for _b in ("int", "uint", "double"):
            if _a != _b:
                CROSS_TYPE.declare(f"_{_operator}_({_a}, {_b}) -> bool", None)

for _type in ("string", "bytes", "list<T>", "map<K, V>"):
    _declare(f"size({_type}) -> int", len)
    _declare(f"<{_type}>.size() -> int", len)


@STANDARD.overload("dyn(T) -> dyn", cost=1)
def _dyn(value: Any) -> Any:
    return value


@STANDARD.overload("type(T) -> type<T>")
def _type_of(value: Any) -> t.Type:
    return type_of(value)


# ---- strings

_declare("<string>.contains(string) -> bool", lambda s, part: part in s, cost="contains")
_declare("<string>.startsWith(string) -> bool", lambda s, part: s.startswith(part), cost="argument")
_declare("<string>.endsWith(string) -> bool", lambda s, part: s.endswith(part), cost="argument")
_declare("<string>.matches(string) -> bool", search, cost="regex")
_declare("matches(string, string) -> bool", search, cost="regex")

# ---- conversions


@STANDARD.overload("int(double) -> int")
def _int_of_double(value: float) -> int:
    if not math.isfinite(value) or not -9.223372036854775808e18 < value < 9.223372036854775807e18:
        raise EvaluationError("integer overflow")
    return int(value)


@STANDARD.overload("int(string) -> int")
def _int_of_string(text: str) -> int:
    digits = text[1:] if text[:1] in ("+", "-") else text
    if not (digits.isascii() and digits.isdigit()):
        raise EvaluationError(f'strconv.ParseInt: parsing "{text}": invalid syntax')
    value = int(text) if len(digits) <= 400 else INT_MAX + 1
    if not INT_MIN <= value <= INT_MAX:
        raise EvaluationError(f'strconv.ParseInt: parsing "{text}": value out of range')
    return value


_declare("int(int) -> int", lambda value: value)
_declare("int(uint) -> int", lambda value: check_int(int(value)))
_declare("int(timestamp) -> int", lambda value: value.ns // SECOND)
_declare("int(duration) -> int", lambda value: value.ns)
_declare("uint(uint) -> uint", lambda value: value)
_declare("uint(int) -> uint", check_uint)


@STANDARD.overload("uint(double) -> uint")
def _uint_of_double(value: float) -> Uint:
    if not math.isfinite(value) or not 0 <= value < 1.8446744073709551615e19:
        raise EvaluationError("unsigned integer overflow")
    return Uint(value)


@STANDARD.overload("uint(string) -> uint")
def _uint_of_string(text: str) -> Uint:
    if not (text.isascii() and text.isdigit()):
        raise EvaluationError(f'strconv.ParseUint: parsing "{text}": invalid syntax')
    value = int(text) if len(text) <= 400 else UINT_MAX + 1
    if value > UINT_MAX:
        raise EvaluationError(f'strconv.ParseUint: parsing "{text}": value out of range')
    return Uint(value)


_declare("double(double) -> double", lambda value: value)
_declare("double(int) -> double", float)
_declare("double(uint) -> double", float)


@STANDARD.overload("double(string) -> double")
def _double_of_string(text: str) -> float:
    lowered = text.lower()
    if lowered.lstrip("+-") in ("inf", "infinity", "nan") or (text.isascii() and text == text.strip()):
        try:
            return float(text)
        except ValueError:
            pass
    raise EvaluationError(f'strconv.ParseFloat: parsing "{text}": invalid syntax')


_TRUE = frozenset(("1", "t", "T", "true", "TRUE", "True"))
_FALSE = frozenset(("0", "f", "F", "false", "FALSE", "False"))


@STANDARD.overload("bool(string) -> bool")
def _bool_of_string(text: str) -> bool:
    if text in _TRUE:
        return True
    if text in _FALSE:
        return False
    raise EvaluationError(f'strconv.ParseBool: parsing "{text}": invalid syntax')


_declare("bool(bool) -> bool", lambda value: value)


def format_double(value: float) -> str:
    """Write a double as Go's %g does: shortest digits, exponents below 1e-4 and from the seventh digit on."""
    if math.isnan(value):
        return "NaN"
    if math.isinf(value):
        return "+Inf" if value > 0 else "-Inf"
    mantissa, _, exponent = f"{value!r}".partition("e")
    sign = "-" if mantissa[0] == "-" else ""
    whole, _, fraction = mantissa.lstrip("-").partition(".")
    digits = (whole + fraction).lstrip("0")
    point = len(whole) + int(exponent or 0) - (len(whole + fraction) - len(digits))
    digits = digits.rstrip("0")
    if not digits:
        return sign + "0"
    power = point - 1
    if power < -4 or power >= 6:
        tail = "." + digits[1:] if len(digits) > 1 else ""
        return f"{sign}{digits[0]}{tail}e{'-' if power < 0 else '+'}{abs(power):02}"
    if point <= 0:
        return f"{sign}0.{'0' * -point}{digits}"
    if point >= len(digits):
        return sign + digits + "0" * (point - len(digits))
    return f"{sign}{digits[:point]}.{digits[point:]}"


_declare("string(string) -> string", lambda value: value)
_declare("string(int) -> string", str)
_declare("string(uint) -> string", lambda value: str(int(value)))
_declare("string(double) -> string", lambda value: format_double(float(value)))
_declare("string(bool) -> string", lambda value: "true" if value else "false")
_declare("string(timestamp) -> string", format_timestamp)
_declare("string(duration) -> string", format_duration)


@STANDARD.overload("string(bytes) -> string", cost="argument0")
def _string_of_bytes(value: bytes) -> str:
    try:
        return value.decode()
    except UnicodeDecodeError:
        raise EvaluationError("invalid UTF-8 in bytes, cannot convert to string") from None


_declare("bytes(bytes) -> bytes", lambda value: value)
_declare("bytes(string) -> bytes", lambda value: value.encode("utf-8", "surrogatepass"), cost="argument0")
_declare("timestamp(timestamp) -> timestamp", lambda value: value)
_declare("timestamp(string) -> timestamp", parse_timestamp)
_declare("timestamp(int) -> timestamp", lambda value: check_timestamp(value * SECOND))
_declare("duration(duration) -> duration", lambda value: value)
_declare("duration(string) -> duration", parse_duration)
_declare("duration(int) -> duration", lambda value: Duration(value))

# ---- parts of timestamps and durations


def _field(name: str, part: Any) -> None:
    def plain(value: Timestamp) -> int:
        return int(part(calendar(value)))

    def zoned(value: Timestamp, zone: str) -> int:
        return int(part(calendar(value, zone)))

    _declare(f"<timestamp>.{name}() -> int", plain)
    _declare(f"<timestamp>.{name}(string) -> int", zoned)


def _day_of_year(moment: datetime) -> int:
    return moment.timetuple().tm_yday - 1


_field("getFullYear", lambda moment: moment.year)
_field("getMonth", lambda moment: moment.month - 1)
_field("getDate", lambda moment: moment.day)
_field("getDayOfMonth", lambda moment: moment.day - 1)
_field("getDayOfWeek", lambda moment: (moment.weekday() + 1) % 7)
_field("getDayOfYear", _day_of_year)
_field("getHours", lambda moment: moment.hour)
_field("getMinutes", lambda moment: moment.minute)
_field("getSeconds", lambda moment: moment.second)
_declare("<timestamp>.getMilliseconds() -> int", lambda value: value.ns % SECOND // 1_000_000)
_declare("<timestamp>.getMilliseconds(string) -> int", lambda value, zone: value.ns % SECOND // 1_000_000)


def _units(value: Duration, size: int) -> int:
    return value.ns // size if value.ns >= 0 else -(-value.ns // size)


_declare("<duration>.getHours() -> int", lambda value: _units(value, 3600 * SECOND))
_declare("<duration>.getMinutes() -> int", lambda value: _units(value, 60 * SECOND))
_declare("<duration>.getSeconds() -> int", lambda value: _units(value, SECOND))
_declare("<duration>.getMilliseconds() -> int", lambda value: _units(value, 1_000_000))
