"""Optional values. `or` and `orValue` are compiled specially: their argument is evaluated only when it is needed."""

from __future__ import annotations

from typing import Any

from ..errors import EvaluationError
from ..functions import Library
from ..values import NONE, Duration, OptionalValue, Timestamp

OPTIONAL = Library("optional")


@OPTIONAL.overload("optional.of(T) -> optional<T>")
def _of(value: Any) -> OptionalValue:
    return OptionalValue(True, value)


@OPTIONAL.overload("optional.none() -> optional<T>")
def _none() -> OptionalValue:
    return NONE


@OPTIONAL.overload("optional.ofNonZeroValue(T) -> optional<T>")
def _of_non_zero(value: Any) -> OptionalValue:
    if isinstance(value, (Timestamp, Duration)):
        return OptionalValue(True, value) if value.ns else NONE
    return OptionalValue(True, value) if value or value != value else NONE


@OPTIONAL.overload("<optional<T>>.hasValue() -> bool")
def _has_value(value: OptionalValue) -> bool:
    return value.has


@OPTIONAL.overload("<optional<T>>.value() -> T")
def _value(value: OptionalValue) -> Any:
    if not value.has:
        raise EvaluationError("optional.none() dereference")
    return value.value


@OPTIONAL.overload("<optional<T>>.or(optional<T>) -> optional<T>")
def _or(value: OptionalValue, other: OptionalValue) -> OptionalValue:
    return value if value.has else other


@OPTIONAL.overload("<optional<T>>.orValue(T) -> T")
def _or_value(value: OptionalValue, other: Any) -> Any:
    return value.value if value.has else other


@OPTIONAL.overload("optional.unwrap(list<optional<T>>) -> list<T>", "<list<optional<T>>>.unwrapOpt() -> list<T>")
def _unwrap(items: list[OptionalValue]) -> list[Any]:
    return [item.value for item in items if item.has]
