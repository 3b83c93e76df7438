"""JSON values as Kubernetes compares, names and prints them."""

from __future__ import annotations

import math
from decimal import Decimal
from typing import Any, Final


class _Nothing:
    """The absence of a value, distinct from null."""

    def __repr__(self) -> str:
        return "NOTHING"


#: There is no (old) value; null is a value.
NOTHING: Final[Any] = _Nothing()

_NAMES: Final = {
    str: "string",
    bool: "boolean",
    int: "integer",
    float: "number",
    dict: "object",
    list: "array",
    type(None): "null",
}


def type_name(value: Any) -> str:
    """The name of a value's type in schemas; a float is ``number`` also where it is whole."""
    return _NAMES[value.__class__]


def same(a: Any, b: Any) -> bool:
    """Deep equality that keeps booleans apart from numbers (Python does not)."""
    if a is b:
        return True
    if a.__class__ is dict:
        return b.__class__ is dict and len(a) == len(b) and all(key in b and same(a[key], b[key]) for key in a)
    if a.__class__ is list:
        return b.__class__ is list and len(a) == len(b) and all(map(same, a, b))
    return bool(a == b) and (a.__class__ is bool) == (b.__class__ is bool)


def go_float(value: float) -> str:
    """A number as Go's ``%v`` prints a float64: shortest form, an exponent from a million on or below 0.0001.

    >>> go_float(3), go_float(1.5), go_float(3000000)
    ('3', '1.5', '3e+06')
    """
    number = float(value)
    if not math.isfinite(number):
        return "NaN" if math.isnan(number) else "+Inf" if number > 0 else "-Inf"
    if number == 0:
        return "0"
    shortest = Decimal(repr(number)).normalize()
    exponent = shortest.adjusted()
    if -4 <= exponent < 6:
        return f"{shortest:f}"
    digits = "".join(map(str, shortest.as_tuple().digits))
    fraction = f".{digits[1:]}" if len(digits) > 1 else ""
    sign = "-" if number < 0 else ""
    return f"{sign}{digits[0]}{fraction}e{'+' if exponent >= 0 else '-'}{abs(exponent):02d}"
