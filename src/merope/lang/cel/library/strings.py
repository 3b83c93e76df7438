"""String functions: positions count code points, ASCII case only, and a `format` whose output is bounded."""

from __future__ import annotations

import re
from typing import Any

from .. import types as t
from ..errors import EvaluationError, no_such_overload
from ..functions import Library
from ..temporal import format_duration, format_timestamp
from ..values import Duration, Timestamp, Uint, bounded, key_of
from .standard import format_double

STRINGS = Library("strings")
_LOWER = {c: c + 32 for c in range(65, 91)}
_UPPER = {c: c - 32 for c in range(97, 123)}
#: What Unicode calls white space (Python's own notion includes a few separators that are none).
_SPACE = "\t\n\v\f\r \x85\xa0\u1680\u2028\u2029\u202f\u205f\u3000" + "".join(map(chr, range(0x2000, 0x200B)))
_overload = STRINGS.overload


def _out_of_range(index: int) -> EvaluationError:
    return EvaluationError(f"index out of range: {index}")


@_overload("<string>.charAt(int) -> string")
def _char_at(text: str, index: int) -> str:
    if not 0 <= index <= len(text):
        raise _out_of_range(index)
    return text[index : index + 1]


@_overload("<string>.indexOf(string) -> int", cost="string", base_cost=1)
def _index_of(text: str, part: str) -> int:
    return text.find(part)


@_overload("<string>.indexOf(string, int) -> int", cost="string", base_cost=1)
def _index_of_from(text: str, part: str, start: int) -> int:
    if not part:
        return start
    if not 0 <= start <= len(text):
        raise _out_of_range(start)
    return text.find(part, start)


@_overload("<string>.lastIndexOf(string) -> int", cost="string", base_cost=1)
def _last_index_of(text: str, part: str) -> int:
    return text.rfind(part)


@_overload("<string>.lastIndexOf(string, int) -> int", cost="string", base_cost=1)
def _last_index_of_from(text: str, part: str, start: int) -> int:
    if not part:
        return start
    if not 0 <= start <= len(text):
        raise _out_of_range(start)
    return text.rfind(part, 0, start + len(part))


@_overload("<string>.lowerAscii() -> string", cost="string", base_cost=1)
def _lower(text: str) -> str:
    return text.translate(_LOWER)


@_overload("<string>.upperAscii() -> string", cost="string", base_cost=1)
def _upper(text: str) -> str:
    return text.translate(_UPPER)


@_overload("<string>.replace(string, string) -> string", cost="string twice", base_cost=1)
def _replace(text: str, old: str, new: str) -> str:
    return _replace_some(text, old, new, -1)


@_overload("<string>.replace(string, string, int) -> string", cost="string twice", base_cost=1)
def _replace_some(text: str, old: str, new: str, limit: int) -> str:
    count = text.count(old)
    if 0 <= limit < count:
        count = limit
    bounded(len(text) + count * max(len(new) - len(old), 0))
    return text.replace(old, new, count)


@_overload("<string>.split(string) -> list<string>", cost="string twice", base_cost=1)
def _split(text: str, separator: str) -> list[str]:
    return _split_some(text, separator, -1)


@_overload("<string>.split(string, int) -> list<string>", cost="string twice", base_cost=1)
def _split_some(text: str, separator: str, limit: int) -> list[str]:
    if limit == 0:
        return []
    if separator:
        return text.split(separator, limit - 1 if limit > 0 else -1)
    if limit < 0 or limit >= len(text):
        return list(text)
    return [*text[: limit - 1], text[limit - 1 :]]


@_overload("<list<string>>.join() -> string", cost="join", base_cost=1)
def _join(items: list[Any]) -> str:
    return _join_with(items, "")


@_overload("<list<string>>.join(string) -> string", cost="join", base_cost=1)
def _join_with(items: list[Any], separator: str) -> str:
    if not all(item.__class__ is str for item in items):
        raise no_such_overload()
    bounded(sum(map(len, items)) + len(separator) * len(items))
    return separator.join(items)


@_overload("<string>.substring(int) -> string", cost="string", base_cost=1)
def _substring(text: str, start: int) -> str:
    if not 0 <= start <= len(text):
        raise _out_of_range(start)
    return text[start:]


@_overload("<string>.substring(int, int) -> string", cost="string", base_cost=1)
def _substring_to(text: str, start: int, end: int) -> str:
    if start > end:
        raise EvaluationError(f"invalid substring range. start: {start}, end: {end}")
    if not 0 <= start <= len(text):
        raise _out_of_range(start)
    if not 0 <= end <= len(text):
        raise _out_of_range(end)
    return text[start:end]


@_overload("<string>.trim() -> string", cost="string", base_cost=1)
def _trim(text: str) -> str:
    return text.strip(_SPACE)


@_overload("<string>.reverse() -> string", cost="string", base_cost=1)
def _reverse(text: str) -> str:
    return text[::-1]


_QUOTE = {
    "\a": "\\a",
    "\b": "\\b",
    "\f": "\\f",
    "\n": "\\n",
    "\r": "\\r",
    "\t": "\\t",
    "\v": "\\v",
    "\\": "\\\\",
    '"': '\\"',
}
_QUOTE_TABLE = str.maketrans(_QUOTE)


@_overload("strings.quote(string) -> string", cost="string")
def _quote(text: str) -> str:
    return f'"{text.translate(_QUOTE_TABLE)}"'


# ---- format

_CLAUSE = re.compile(r"%(?:\.(\d+))?(.?)", re.DOTALL)
#: Decimals that a clause may ask for; more would make small expressions build large strings.
_MAX_PRECISION = 100


def _shown(value: Any) -> str:
    """Write any value as `%s` does."""
    key = key_of(value)
    if key == "string":
        return str(value)
    if key == "bool":
        return "true" if value else "false"
    if key in ("int", "uint"):
        return str(int(value))
    if key == "double":
        return format_double(float(value)).replace("+Inf", "Infinity").replace("-Inf", "-Infinity")
    if key == "null":
        return "null"
    if key == "bytes":
        return bytes(value).decode("utf-8", "replace")
    if isinstance(value, Timestamp):
        return format_timestamp(value)
    if isinstance(value, Duration):
        return format_duration(value)
    if key == "list":
        return "[" + ", ".join(map(_shown, value)) + "]"
    if key == "map":
        return "{" + ", ".join(sorted(f"{_shown(k)}: {_shown(v)}" for k, v in value.items())) + "}"
    if isinstance(value, t.Type):
        return value.name
    raise EvaluationError(
        "error during formatting: string clause can only be used on strings, bools, bytes, ints, doubles, maps, lists, "
        f"types, durations, and timestamps, was given {key}"
    )


def _number(value: Any, verb: str) -> int:
    if value.__class__ is int or value.__class__ is Uint:
        return int(value)
    names = {"d": "decimal", "x": "hex", "X": "hex", "o": "octal", "b": "binary"}
    raise EvaluationError(
        f"error during formatting: {names[verb]} clause can only be used on integers, was given {key_of(value)}"
    )


def _clause(verb: str, precision: str | None, value: Any) -> str:
    if verb == "s":
        return _shown(value)
    if verb == "d":
        if value.__class__ is float and value in (float("inf"), float("-inf")):
            return _shown(value)
        return str(_number(value, verb))
    if verb in ("f", "e"):
        if key_of(value) not in ("double", "int", "uint"):
            name = "fixed-point" if verb == "f" else "scientific"
            raise EvaluationError(
                f"error during formatting: {name} clause can only be used on doubles, was given {key_of(value)}"
            )
        number = float(value)
        if number != number:
            return "NaN"
        if number in (float("inf"), float("-inf")):
            return "Infinity" if number > 0 else "-Infinity"
        digits = 6 if precision is None else int(precision[:9])
        if digits > _MAX_PRECISION:
            raise EvaluationError(f"error during formatting: precision {digits} exceeds maximum of {_MAX_PRECISION}")
        return f"{number:.{digits}{verb}}"
    if verb == "b":
        return str(int(value)) if value.__class__ is bool else f"{_number(value, verb):b}"
    if verb in ("x", "X"):
        if value.__class__ is str:
            shown = value.encode().hex()
        elif value.__class__ is bytes:
            shown = value.hex()
        else:
            shown = f"{_number(value, verb):x}"
        return shown.upper() if verb == "X" else shown
    if verb == "o":
        return f"{_number(value, verb):o}"
    raise EvaluationError(
        f'error during formatting: could not parse formatting clause: unrecognized formatting clause "{verb}"'
    )


@_overload("<string>.format(list<dyn>) -> string", cost="format")
def _format(text: str, args: list[Any]) -> str:
    pieces: list[str] = []
    position = used = built = 0
    for found in _CLAUSE.finditer(text):
        pieces.append(text[position : found.start()])
        position = found.end()
        verb = found[2]
        if verb == "%" and found[1] is None:
            pieces.append("%")
            continue
        if not verb:
            raise EvaluationError("error during formatting: unexpected end of string")
        if used >= len(args):
            raise EvaluationError(f"error during formatting: index {used} out of range")
        piece = _clause(verb, found[1], args[used])
        used += 1
        built += len(piece)
        bounded(built)
        pieces.append(piece)
    pieces.append(text[position:])
    return "".join(pieces)
