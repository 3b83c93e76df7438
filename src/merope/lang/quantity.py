"""Kubernetes quantities: `100m`, `1.5Gi`, `12e6`; exact, ordered, and written back in canonical form.

A quantity is a whole number of billionths (nano is the finest scale that Kubernetes knows; anything finer is rounded
away from zero, so that a little never becomes nothing), plus the notation in which it was given, which decides how it
is written. Binary notation falls back to decimal where it would lose precision.
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass, field
from decimal import Decimal

DECIMAL_SI = "DecimalSI"
BINARY_SI = "BinarySI"
DECIMAL_EXPONENT = "DecimalExponent"

_NANO = 9
_ONE: int = 10**_NANO
_INT64 = range(-(1 << 63), 1 << 63)
_DECIMAL = {"n": -9, "u": -6, "m": -3, "": 0, "k": 3, "M": 6, "G": 9, "T": 12, "P": 15, "E": 18}
_DECIMAL_SUFFIX = {exponent: suffix for suffix, exponent in _DECIMAL.items()}
_BINARY = {"Ki": 10, "Mi": 20, "Gi": 30, "Ti": 40, "Pi": 50, "Ei": 60}
_BINARY_SUFFIX = ("", *_BINARY)
# Binary amounts saturate at what 64 bits hold.
_BINARY_MAX = ((1 << 63) - 1) * _ONE
# An exponent costs memory in proportion to its size, so a short text must not name an enormous one.
_EXPONENT_MAX = 999

_SPLIT = re.compile(r"([+-]?)([0-9]*)(?:\.([0-9]*))?([eEinumkKMGTP]*[-+]?[0-9]*)", re.ASCII)


class QuantityError(ValueError):
    """The text is no quantity; the message is an API server's."""


def _format_error() -> QuantityError:
    return QuantityError("quantities must match the regular expression '^([+-]?[0-9.]+)([eEinumkKMGTP]*[-+]?[0-9]*)$'")


@dataclass(frozen=True, slots=True, eq=False)
class Quantity:
    """An exact amount: `nanos` billionths, written as `notation` says."""

    nanos: int
    notation: str = DECIMAL_SI
    # The text it was read from, where servers write that back instead of the canonical form (see `_kept_as_written`).
    written: str = field(default="", repr=False)

    @classmethod
    def parse(cls, value: str | int | float | Quantity) -> Quantity:
        """The quantity that a JSON string or number stands for; raises QuantityError."""
        if isinstance(value, Quantity):
            return value
        if isinstance(value, bool):
            raise _format_error()
        if isinstance(value, int):
            return cls(value * _ONE)
        if isinstance(value, float):
            if not math.isfinite(value):
                raise _format_error()
            # A float means the shortest decimal that reads back as it, as in JSON.
            return cls.parse(format(Decimal(repr(value)), "f"))
        if not isinstance(value, str):
            raise _format_error()
        return _parse(value)

    @classmethod
    def of_milli(cls, millis: int) -> Quantity:
        """A quantity of so many thousandths, e.g. millicores."""
        return cls(millis * 10 ** (_NANO - 3))

    def value(self) -> int:
        """The amount in whole units, rounded away from zero."""
        return _divide_up(self.nanos, _ONE)

    def milli_value(self) -> int:
        """The amount in thousandths, rounded away from zero."""
        return _divide_up(self.nanos, 10 ** (_NANO - 3))

    def scaled_value(self, scale: int) -> int:
        """The amount in units of ten to the `scale`, rounded away from zero."""
        shift = scale + _NANO
        return _divide_up(self.nanos, 10**shift) if shift >= 0 else self.nanos * 10**-shift

    def approximate_float(self) -> float:
        """The nearest float, infinite where the amount is out of its range."""
        try:
            return self.nanos / _ONE
        except OverflowError:
            return math.inf if self.nanos > 0 else -math.inf

    @property
    def is_integer(self) -> bool:
        """Whether the amount is a whole number that 64 bits hold."""
        return self.nanos % _ONE == 0 and self.nanos // _ONE in _INT64

    @property
    def sign(self) -> int:
        """-1, 0 or 1."""
        return (self.nanos > 0) - (self.nanos < 0)

    def compare(self, other: Quantity) -> int:
        """-1, 0 or 1: less than, equal to, greater than `other`."""
        return (self.nanos > other.nanos) - (self.nanos < other.nanos)

    def __add__(self, other: Quantity) -> Quantity:
        return Quantity(self.nanos + other.nanos, self.notation if self.nanos else other.notation)

    def __sub__(self, other: Quantity) -> Quantity:
        return Quantity(self.nanos - other.nanos, self.notation if self.nanos else other.notation)

    def __neg__(self) -> Quantity:
        return Quantity(-self.nanos, self.notation)

    def __bool__(self) -> bool:
        return self.nanos != 0

    # Two quantities are equal when their amounts are, however they were written: `1` and `1000m`.
    def __eq__(self, other: object) -> bool:
        return self.nanos == other.nanos if isinstance(other, Quantity) else NotImplemented

    def __hash__(self) -> int:
        return hash(self.nanos)

    def __lt__(self, other: Quantity) -> bool:
        return self.nanos < other.nanos

    def __le__(self, other: Quantity) -> bool:
        return self.nanos <= other.nanos

    def __gt__(self, other: Quantity) -> bool:
        return self.nanos > other.nanos

    def __ge__(self, other: Quantity) -> bool:
        return self.nanos >= other.nanos

    def __str__(self) -> str:
        if self.written:
            return self.written
        if self.nanos == 0:
            return "0"
        if self.notation == BINARY_SI and self.nanos % _ONE == 0 and abs(self.nanos) >= 1024 * _ONE:
            units, step = self.nanos // _ONE, 0
            while units % 1024 == 0 and step < len(_BINARY_SUFFIX) - 1:
                units //= 1024
                step += 1
            return f"{units}{_BINARY_SUFFIX[step]}"
        return self._decimal()

    def _decimal(self) -> str:
        """The whole mantissa with the largest exponent that is a multiple of three."""
        mantissa, exponent = self.nanos, -_NANO
        largest = _EXPONENT_MAX if self.notation == DECIMAL_EXPONENT else max(_DECIMAL_SUFFIX)
        while exponent < largest and mantissa % 1000 == 0:
            mantissa //= 1000
            exponent += 3
        if self.notation == DECIMAL_EXPONENT:
            return f"{mantissa}e{exponent}" if exponent else str(mantissa)
        return f"{mantissa}{_DECIMAL_SUFFIX[exponent]}"


def _divide_up(number: int, divisor: int) -> int:
    """The quotient, rounded away from zero."""
    return -(-number // divisor) if number >= 0 else number // divisor


def _parse(text: str) -> Quantity:
    match = _SPLIT.fullmatch(text)
    if match is None:
        raise _format_error()
    sign, whole, fraction, suffix = match.group(1), match.group(2), match.group(3) or "", match.group(4)
    if not text:
        raise _format_error()
    # The interpreter refuses to convert longer texts, and no amount needs them.
    if len(text) > 4000:
        raise QuantityError("unable to parse numeric part of quantity")
    notation, base, exponent = _suffix(suffix)
    # The amount is `mantissa` of 10**scale, times 2**exponent in binary notation.
    mantissa, scale = int((whole + fraction) or "0"), -len(fraction)
    if base == 2:
        mantissa <<= exponent
    else:
        scale += exponent
    shift = scale + _NANO
    if not mantissa:
        nanos = 0
    elif shift >= 0:
        nanos = mantissa * 10**shift
    elif -shift > len(str(mantissa)):
        nanos = 1
    else:
        nanos = _divide_up(mantissa, 10**-shift)
    if notation == BINARY_SI:
        nanos = min(nanos, _BINARY_MAX)
        if nanos < _ONE:
            notation = DECIMAL_SI
    written = text if _kept_as_written(whole.lstrip("0") or "0", fraction, notation, exponent) else ""
    return Quantity(-nanos if sign == "-" else nanos, notation, written)


def _kept_as_written(whole: str, fraction: str, notation: str, exponent: int) -> bool:
    """Whether a server keeps the text: for short numbers that look canonical already, even if they aren't quite."""
    shifted = whole + fraction
    if notation == BINARY_SI:
        digits = 14 - len(whole) - exponent * 3 // 10
        return not fraction and digits >= 0 and exponent % 10 == 0 and int(shifted) % 8 != 0
    scale = exponent - len(fraction)
    canonical = scale % 3 == 0 and not shifted.endswith("000") and not shifted.startswith("0")
    return len(shifted) <= 18 and scale >= -_NANO and canonical


def _suffix(suffix: str) -> tuple[str, int, int]:
    """Notation, base and exponent of a suffix."""
    if suffix in _DECIMAL:
        return DECIMAL_SI, 10, _DECIMAL[suffix]
    if suffix in _BINARY:
        return BINARY_SI, 2, _BINARY[suffix]
    digits = suffix[1:].lstrip("+-") if suffix[:1] in ("e", "E") else ""
    if not digits.isdigit() or len(suffix) - 1 - len(digits) > 1:
        raise QuantityError("unable to parse quantity's suffix")
    exponent = int(suffix[1:]) if len(digits) < 10 else _EXPONENT_MAX + 1
    if exponent > _EXPONENT_MAX:
        raise QuantityError("unable to parse quantity's suffix")
    return DECIMAL_EXPONENT, 10, exponent
