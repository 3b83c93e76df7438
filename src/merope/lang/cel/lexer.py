"""Source text to tokens, by one regular expression.

A token is a tuple (kind, value, offset): kinds are `ident`, `int`, `uint`, `float`, `string`, `bytes`, `end`, and for
operators and the keywords `in true false null` the text itself. Offsets count code points.
"""

from __future__ import annotations

import re
from functools import cache
from typing import Any

from .errors import CompileError

Token = tuple[str, Any, int]

#: Expressions longer than this, in code points, are refused.
MAX_LENGTH = 100_000

_SYNTAX = r"""(?P<skip>(?:[\t\n\f\r ]+|//[^\n]*)+)
  | (?P<float>[0-9]+\.[0-9]+(?:[eE][+-]?[0-9]+)?|[0-9]+[eE][+-]?[0-9]+|\.[0-9]+(?:[eE][+-]?[0-9]+)?)
  | (?P<number>0x[0-9a-fA-F]+[uU]?|[0-9]+[uU]?)
  | (?P<raw>(?:[rR][bB]?|[bB][rR])
      (?:\"\"\"(?:.|\n)*?\"\"\"|'''(?:.|\n)*?'''|"[^"\n\r]*"|'[^'\n\r]*'))
  | (?P<text>[bB]?
      (?:\"\"\"(?:[^\\]|\\(?:.|\n))*?\"\"\"|'''(?:[^\\]|\\(?:.|\n))*?'''
        |"(?:[^"\\\n\r]|\\.)*"|'(?:[^'\\\n\r]|\\.)*'))
  | (?P<ident>[A-Za-z_][A-Za-z0-9_]*)
  | (?P<quoted>`[A-Za-z0-9_.\-/ ]+`)
  | (?P<op>==|!=|<=|>=|&&|\|\||\.\?|\[\?|\{\?|[-+*/%<>!?:.,()\[\]{}])
"""
_KEYWORDS = frozenset(("in", "true", "false", "null"))
_ESCAPE = re.compile(
    r"\\(?:([abfnrtv\\?\"'`])|[xX]([0-9a-fA-F]{2})|([0-3][0-7]{2})|u([0-9a-fA-F]{4})|U([0-9a-fA-F]{8})|(.|\n|$))"
)
_SIMPLE = {
    "a": "\a",
    "b": "\b",
    "f": "\f",
    "n": "\n",
    "r": "\r",
    "t": "\t",
    "v": "\v",
    "\\": "\\",
    "?": "?",
    '"': '"',
    "'": "'",
    "`": "`",
}


@cache
def _token_pattern() -> re.Pattern[str]:
    """Compile the token pattern: at the first expression, because it takes milliseconds."""
    return re.compile(_SYNTAX, re.VERBOSE)


def tokenize(source: str) -> list[Token]:
    """Split the source.

    Raises:
        CompileError: it is too long, has a character that starts no token, or a malformed literal.
    """
    if len(source) > MAX_LENGTH:
        message = f"expression code point size exceeds limit: size: {len(source)}, limit {MAX_LENGTH}"
        raise CompileError(source[:80], [(0, message)])
    tokens: list[Token] = []
    append = tokens.append
    match = _token_pattern().match
    position, end = 0, len(source)
    while position < end:
        found = match(source, position)
        if found is None:
            shown = source[position : position + 1]
            raise CompileError(source, [(position, f"Syntax error: token recognition error at: '{shown}'")])
        kind = found.lastgroup
        text = found.group()
        if kind == "ident":
            append((text if text in _KEYWORDS else "ident", text, position))
        elif kind == "op":
            append((text, text, position))
        elif kind == "number":
            append(_number(source, text, position))
        elif kind == "float":
            append(("float", float(text), position))
        elif kind == "text":
            append(_string(source, text, position))
        elif kind == "raw":
            append(_raw(text, position))
        elif kind == "quoted":
            append(("quoted", text[1:-1], position))
        position = found.end()
    append(("end", "<EOF>", end))
    return tokens


def _number(source: str, text: str, offset: int) -> Token:
    unsigned = text[-1] in "uU"
    digits = text[:-1] if unsigned else text
    # The range of an int depends on a minus before it, so the parser checks that; 25 digits are out of every range.
    try:
        value = int(digits, 16) if digits[:2] == "0x" else int(digits[:400])
    except ValueError:
        raise CompileError(source, [(offset, f"invalid {'uint' if unsigned else 'int'} literal")]) from None
    if unsigned and value >= 1 << 64:
        raise CompileError(source, [(offset, "invalid uint literal")])
    return ("uint" if unsigned else "int", value, offset)


def _unquote(text: str) -> str:
    return text[3:-3] if len(text) >= 6 and text[0] == text[1] == text[2] else text[1:-1]


def _raw(text: str, offset: int) -> Token:
    start = next(i for i, c in enumerate(text) if c in "\"'")
    body = _unquote(text[start:])
    if "b" in text[:start].lower():
        return ("bytes", body.encode(), offset)
    return ("string", body, offset)


def _string(source: str, text: str, offset: int) -> Token:
    is_bytes = text[0] in "bB"
    body = _unquote(text[1:] if is_bytes else text)
    if "\\" not in body:
        return ("bytes", body.encode(), offset) if is_bytes else ("string", body, offset)

    def fail(message: str) -> CompileError:
        return CompileError(source, [(offset, message)])

    pieces: list[bytes] = []
    texts: list[str] = []
    position = 0
    for found in _ESCAPE.finditer(body):
        plain = body[position : found.start()]
        position = found.end()
        simple, hexa, octal, short, long, bad = found.groups()
        if bad is not None:
            raise fail(f"Syntax error: token recognition error at: '{text[0]}'")
        if is_bytes and (hexa or octal):
            code = int(hexa, 16) if hexa else int(octal, 8)
            pieces += (plain.encode(), bytes((code,)))
            continue
        if simple:
            char = _SIMPLE[simple]
        else:
            code = int(octal, 8) if octal else int(hexa or short or long, 16)
            if code > 0x10FFFF or 0xD800 <= code < 0xE000:
                raise fail("invalid unicode code point")
            char = chr(code)
        if is_bytes:
            pieces += (plain.encode(), char.encode())
        else:
            texts += (plain, char)
    if is_bytes:
        return ("bytes", b"".join(pieces) + body[position:].encode(), offset)
    return ("string", "".join(texts) + body[position:], offset)
