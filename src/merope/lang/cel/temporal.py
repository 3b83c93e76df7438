"""Timestamps and durations: their text forms and their calendar fields.

Nanoseconds are kept, which `datetime` cannot; it is used for the calendar only, and `zoneinfo` is imported at the first
named time zone.
"""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta, timezone, tzinfo
from functools import lru_cache

from .errors import EvaluationError
from .values import INT_MAX, INT_MIN, Duration, Timestamp, check_timestamp

SECOND = 1_000_000_000
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_TIMESTAMP = re.compile(
    r"(\d{4})-(\d\d)-(\d\d)[Tt](\d\d):(\d\d):(\d\d)(?:[.,](\d+))?(?:([Zz])|([+-])(\d\d):(\d\d))", re.ASCII
)
_UNITS = {
    "ns": 1,
    "us": 1_000,
    "µs": 1_000,
    "μs": 1_000,
    "ms": 1_000_000,
    "s": SECOND,
    "m": 60 * SECOND,
    "h": 3600 * SECOND,
}
_PART = re.compile(r"(\d+)(?:\.(\d*))?(ns|us|µs|μs|ms|s|m|h)|\.(\d+)(ns|us|µs|μs|ms|s|m|h)", re.ASCII)
_LONG_UNITS = {
    "w": 604_800 * SECOND,
    "week": 604_800 * SECOND,
    "d": 86_400 * SECOND,
    "day": 86_400 * SECOND,
    "h": 3600 * SECOND,
    "hr": 3600 * SECOND,
    "hour": 3600 * SECOND,
    "m": 60 * SECOND,
    "min": 60 * SECOND,
    "minute": 60 * SECOND,
    "s": SECOND,
    "sec": SECOND,
    "second": SECOND,
    "ms": 1_000_000,
    "milli": 1_000_000,
    "us": 1_000,
    "micro": 1_000,
    "ns": 1,
    "nano": 1,
}


def parse_timestamp(text: str) -> Timestamp:
    """Read an RFC 3339 timestamp.

    Raises:
        EvaluationError: it is malformed or out of range.
    """
    found = _TIMESTAMP.fullmatch(text)
    if found is None:
        raise EvaluationError(f'invalid timestamp "{text}"')
    year, month, day, hour, minute, second, fraction, _, sign, offset_hours, offset_minutes = found.groups()
    try:
        moment = datetime(int(year), int(month), int(day), int(hour), int(minute), int(second), tzinfo=UTC)
    except ValueError as error:
        raise EvaluationError(f'invalid timestamp "{text}": {error}') from None
    delta = moment - _EPOCH
    seconds = delta.days * 86_400 + delta.seconds
    if sign:
        shift = int(offset_hours) * 3600 + int(offset_minutes) * 60
        if int(offset_hours) > 24 or int(offset_minutes) > 59:
            raise EvaluationError(f'invalid timestamp "{text}"')
        seconds += shift if sign == "-" else -shift
    nanoseconds = int(fraction[:9].ljust(9, "0")) if fraction else 0
    return check_timestamp(seconds * SECOND + nanoseconds)


def format_timestamp(value: Timestamp) -> str:
    """Write a timestamp as RFC 3339 in UTC, with as many decimals as it needs."""
    seconds, nanoseconds = divmod(value.ns, SECOND)
    moment = _EPOCH + timedelta(seconds=seconds)
    text = f"{moment.year:04}-{moment.month:02}-{moment.day:02}T{moment.hour:02}:{moment.minute:02}:{moment.second:02}"
    if nanoseconds:
        text += "." + f"{nanoseconds:09}".rstrip("0")
    return text + "Z"


def parse_duration(text: str) -> Duration:
    """Read a duration as Go writes it: `1h30m`, `1.5s`, `-10ms`, `0`.

    Raises:
        EvaluationError: it is malformed or does not fit 64 bits of nanoseconds.
    """
    rest = text
    negative = rest[:1] == "-"
    if rest[:1] in ("+", "-"):
        rest = rest[1:]
    if rest == "0":
        return Duration(0)
    total = position = 0
    while position < len(rest):
        found = _PART.match(rest, position)
        if found is None:
            break
        position = found.end()
        whole, fraction, unit, bare, bare_unit = found.groups()
        size = _UNITS[unit or bare_unit]
        total += int((whole or "0")[:40]) * size
        decimals = (fraction or bare or "")[:30]
        if decimals:
            total += int(decimals) * size // 10 ** len(decimals)
    if not rest or position < len(rest):
        raise EvaluationError(f'time: invalid duration "{text}"')
    value = -total if negative else total
    if not INT_MIN <= value <= INT_MAX:
        raise EvaluationError(f'time: invalid duration "{text}"')
    return Duration(value)


def parse_format_duration(text: str) -> Duration:
    """Read what the schema format `duration` admits beyond Go's notation: one number with a unit up to weeks, `2 days`.

    Raises:
        EvaluationError: it is malformed.
    """
    found = re.fullmatch(r"\s*(\d+(?:\.\d+)?)\s*([A-Za-zµμ]+)\s*", text, re.ASCII)
    unit = found[2].lower() if found else ""
    for candidate in (unit, unit.removesuffix("s"), unit.removesuffix("onds"), unit.removesuffix("secs")):
        if found and candidate in _LONG_UNITS:
            return Duration(int(float(found[1]) * _LONG_UNITS[candidate]))
    raise EvaluationError(f'unable to parse "{text}" as a duration')


def format_duration(value: Duration) -> str:
    """Write a duration in seconds with as many decimals as it needs, as in `1.5s`."""
    seconds, nanoseconds = divmod(abs(value.ns), SECOND)
    text = str(seconds)
    if nanoseconds:
        text += "." + f"{nanoseconds:09}".rstrip("0")
    return ("-" if value.ns < 0 else "") + text + "s"


@lru_cache(maxsize=64)
def time_zone(name: str) -> tzinfo:
    """Give a time zone by its name in the database or by its offset (`+02:00`).

    Raises:
        EvaluationError: there is no such zone.
    """
    found = re.fullmatch(r"([+-]?)(\d\d):(\d\d)", name, re.ASCII)
    if found is not None:
        minutes = int(found[2]) * 60 + int(found[3])
        if minutes >= 1440:
            raise EvaluationError(f"unknown time zone {name}")
        return timezone(timedelta(minutes=-minutes if found[1] == "-" else minutes))
    if name in ("UTC", ""):
        return UTC
    from zoneinfo import ZoneInfo

    try:
        return ZoneInfo(name)
    except (OSError, ValueError, KeyError):
        raise EvaluationError(f"unknown time zone {name}") from None


def calendar(value: Timestamp, zone: str = "UTC") -> datetime:
    """Give the calendar date and time of day in a time zone; fractions of a second are dropped."""
    moment = _EPOCH + timedelta(seconds=value.ns // SECOND)
    if zone == "UTC":
        return moment
    try:
        return moment.astimezone(time_zone(zone))
    except OverflowError:
        raise EvaluationError("timestamp overflow") from None
