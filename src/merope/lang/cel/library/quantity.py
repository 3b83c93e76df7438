"""Kubernetes' resource quantities, by the implementation that the rest of the product uses."""

from __future__ import annotations

from typing import Any

from ...quantity import Quantity, QuantityError
from .. import types as t
from ..errors import EvaluationError
from ..functions import Library
from ..values import register_key

QUANTITIES = Library("quantities")
register_key(Quantity, t.QUANTITY)


def parse_quantity(text: str) -> Quantity:
    """Read a quantity.

    Raises:
        EvaluationError: it is malformed.
    """
    try:
        return Quantity.parse(text)
    except QuantityError as error:
        raise EvaluationError(str(error)) from None


def _is_quantity(text: str) -> bool:
    try:
        Quantity.parse(text)
    except QuantityError:
        return False
    return True


def _as_integer(value: Quantity) -> int:
    if not value.is_integer:
        raise EvaluationError("cannot convert value to integer")
    return value.value()


def _whole(value: int) -> Quantity:
    return Quantity.parse(value)


_declare = QUANTITIES.declare
_declare("quantity(string) -> quantity", parse_quantity, cost="string", base_cost=1)
_declare("isQuantity(string) -> bool", _is_quantity, cost="string", base_cost=1)
_declare("<quantity>.sign() -> int", lambda q: q.sign)
_declare("<quantity>.isInteger() -> bool", lambda q: q.is_integer)
_declare("<quantity>.asInteger() -> int", _as_integer)
_declare("<quantity>.asApproximateFloat() -> double", lambda q: q.approximate_float())
_declare("<quantity>.isGreaterThan(quantity) -> bool", lambda a, b: a.compare(b) > 0)
_declare("<quantity>.isLessThan(quantity) -> bool", lambda a, b: a.compare(b) < 0)
_declare("<quantity>.compareTo(quantity) -> int", lambda a, b: a.compare(b))


def _arithmetic(name: str, sign: int) -> None:
    def combine(a: Quantity, b: Any) -> Quantity:
        other = b if isinstance(b, Quantity) else _whole(b)
        return a + other if sign > 0 else a - other

    _declare(f"<quantity>.{name}(quantity) -> quantity", combine)
    _declare(f"<quantity>.{name}(int) -> quantity", combine)


_arithmetic("add", 1)
_arithmetic("sub", -1)
