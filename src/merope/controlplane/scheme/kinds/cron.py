"""Whether a text is a schedule of a cron job: five fields, or one of the named schedules."""

from __future__ import annotations

import re
from typing import Final

_NAMED: Final = frozenset({"@yearly", "@annually", "@monthly", "@weekly", "@daily", "@midnight", "@hourly"})
_DURATION: Final = re.compile(r"@every ([0-9]+(\.[0-9]+)?(ns|us|ms|s|m|h))+")
_MONTHS: Final = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")
_DAYS: Final = ("sun", "mon", "tue", "wed", "thu", "fri", "sat")
#: The range of each field and the words that stand for its numbers, from the lowest on.
_FIELDS: Final[tuple[tuple[int, int, tuple[str, ...]], ...]] = (
    (0, 59, ()),
    (0, 23, ()),
    (1, 31, ()),
    (1, 12, _MONTHS),
    (0, 6, _DAYS),
)


def schedule_problem(schedule: str) -> str:
    """What is wrong with a schedule, ``""`` when nothing is.

    >>> schedule_problem("*/5 0-6 1,15 * mon-fri"), schedule_problem("@hourly"), schedule_problem("61 * * * *")
    ('', '', 'end of range (61) above maximum (59): 61')
    """
    if schedule.startswith(("TZ=", "CRON_TZ=")):
        schedule = schedule.partition(" ")[2].strip()
    if schedule.startswith("@"):
        known = schedule in _NAMED or _DURATION.fullmatch(schedule)
        return "" if known else f"unrecognized descriptor: {schedule}"
    parts = schedule.split()
    if len(parts) != len(_FIELDS):
        return f"expected exactly 5 fields, found {len(parts)}: [{' '.join(parts)}]"
    for part, (low, high, words) in zip(parts, _FIELDS, strict=True):
        for one in part.split(","):
            problem = _range_problem(one, low, high, words)
            if problem:
                return problem
    return ""


def _range_problem(text: str, low: int, high: int, words: tuple[str, ...]) -> str:
    span, has_step, step = text.partition("/")
    begin, is_range, end = span.partition("-")
    if begin in ("*", "?"):
        first, last = low, high
    else:
        values = [_number(one, low, words) for one in (begin, end) if one or is_range]
        if any(value is None for value in values):
            return f"failed to parse int from {span}: invalid syntax"
        first = values[0] if values and values[0] is not None else low
        last = values[1] if len(values) > 1 and values[1] is not None else (high if has_step else first)
    if has_step and (not step.isdigit() or int(step) == 0):
        return f"step of range should be a positive number: {text}"
    if first < low:
        return f"beginning of range ({first}) below minimum ({low}): {text}"
    if last > high:
        return f"end of range ({last}) above maximum ({high}): {text}"
    if first > last:
        return f"beginning of range ({first}) beyond end of range ({last}): {text}"
    return ""


def _number(text: str, low: int, words: tuple[str, ...]) -> int | None:
    if text.lower() in words:
        return words.index(text.lower()) + low
    return int(text) if text.isdigit() else None
