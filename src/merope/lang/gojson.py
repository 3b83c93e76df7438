"""JSON exactly as Go's encoder writes it: hashes and signatures over it must come out the same.

What differs from any other compact JSON: members are sorted, `<`, `>` and `&` are escaped (so that the text can stand
in HTML), U+2028 and U+2029 always are, and a float has no exponent unless it is below 1e-6 or at least 1e21.
"""

from __future__ import annotations

import math
import re
from typing import Any

import orjson

_OPTIONS = (
    orjson.OPT_SORT_KEYS
    | orjson.OPT_PASSTHROUGH_SUBCLASS
    | orjson.OPT_PASSTHROUGH_DATETIME
    | orjson.OPT_PASSTHROUGH_DATACLASS
)
_ESCAPES = (
    (b"<", b"\\u003c"),
    (b">", b"\\u003e"),
    (b"&", b"\\u0026"),
)
_SEPARATORS = (
    ("\u2028".encode(), b"\\u2028"),
    ("\u2029".encode(), b"\\u2029"),
)
_UNSAFE = re.compile('[\x00-\x1f"\\\\\ud800-\udfff]')
_SHORT = {'"': '\\"', "\\": "\\\\", "\n": "\\n", "\r": "\\r", "\t": "\\t", "\b": "\\b", "\f": "\\f"}


def dumps(obj: Any, *, escape_html: bool = True) -> bytes:
    """The JSON of a value made of dicts with text keys, lists, texts, numbers, booleans and None.

    Raises TypeError on anything else and ValueError on NaN and infinities, as Go's encoder does.
    """
    data = None if _holds_floats(obj) else _fast(obj)
    if data is None:
        out: list[str] = []
        _write(obj, out)
        data = "".join(out).encode()
    if escape_html:
        for char, escape in _ESCAPES:
            data = data.replace(char, escape)
    for char, escape in _SEPARATORS:
        data = data.replace(char, escape)
    return data


def _holds_floats(obj: Any) -> bool:
    pending = [obj]
    while pending:
        value = pending.pop()
        kind = type(value)
        if kind is dict:
            pending.extend(value.values())
        elif kind is list or kind is tuple:
            pending.extend(value)
        elif kind is float:
            return True
    return False


def _fast(obj: Any) -> bytes | None:
    """The same by a fast encoder, which agrees with Go's on everything but floats; None where it gives up."""
    try:
        return orjson.dumps(obj, option=_OPTIONS)
    except orjson.JSONEncodeError:  # integers beyond 64 bits, lone surrogates, types that are no JSON
        return None


def _write(obj: Any, out: list[str]) -> None:
    if obj is None:
        out.append("null")
    elif obj is True:
        out.append("true")
    elif obj is False:
        out.append("false")
    elif isinstance(obj, str):
        out.append(_text(obj))
    elif isinstance(obj, int):
        out.append(int.__repr__(obj))
    elif isinstance(obj, float):
        out.append(number(obj))
    elif isinstance(obj, dict):
        out.append("{")
        separator = ""
        for key in sorted(obj):
            if not isinstance(key, str):
                raise TypeError(f"a JSON member's name must be a text, not {type(key).__name__}")
            out.append(f"{separator}{_text(key)}:")
            separator = ","
            _write(obj[key], out)
        out.append("}")
    elif isinstance(obj, (list, tuple)):
        out.append("[")
        for at, item in enumerate(obj):
            if at:
                out.append(",")
            _write(item, out)
        out.append("]")
    else:
        raise TypeError(f"{type(obj).__name__} has no JSON")


def _text(text: str) -> str:
    return f'"{_UNSAFE.sub(_escape, text)}"'


def _escape(match: re.Match[str]) -> str:
    char = match.group()
    if "\ud800" <= char <= "\udfff":
        return "\\ufffd"  # what Go writes for bytes that are no UTF-8
    return _SHORT.get(char) or f"\\u{ord(char):04x}"


def number(value: float) -> str:
    """A float as Go's encoder writes it: the shortest digits that read back as the same float."""
    if not math.isfinite(value):
        raise ValueError(f"unsupported value: {value}")
    if value == 0:
        return "-0" if math.copysign(1, value) < 0 else "0"
    sign, digits, point = decimal_digits(value)
    size = abs(value)
    if 1e-6 <= size < 1e21:
        if point <= 0:
            text = f"0.{'0' * -point}{digits}"
        elif point >= len(digits):
            text = digits + "0" * (point - len(digits))
        else:
            text = f"{digits[:point]}.{digits[point:]}"
        return sign + text
    exponent = point - 1
    fraction = f".{digits[1:]}" if len(digits) > 1 else ""
    # Two digits for a positive exponent only: Go's JSON cleans e-09 up to e-9, and e+21 has two anyway.
    return f"{sign}{digits[0]}{fraction}e{'-' if exponent < 0 else '+'}{abs(exponent)}"


def decimal_digits(value: float) -> tuple[str, str, int]:
    """Sign, shortest significant digits, and where the point stands: 0.d1d2... times ten to it."""
    mantissa, _, exponent = repr(abs(value)).partition("e")
    whole, _, fraction = mantissa.partition(".")
    digits = (whole + fraction).lstrip("0")
    point = len(whole) + int(exponent or 0)
    point -= len(whole + fraction) - len(digits)
    return ("-" if value < 0 else ""), digits.rstrip("0"), point
