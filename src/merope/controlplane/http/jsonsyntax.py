"""Why a body is no JSON, in the words that clients of a Go server know.

Only bodies that the decoder has refused come here, so this may be slow. It reads a body as Go's scanner does, byte by
byte with a stack of what is open, and stops at the first byte that can't be there.
"""

from __future__ import annotations

from typing import Final

_SPACE: Final = frozenset(b" \t\r\n")
_DIGITS: Final = frozenset(b"0123456789")
_HEX: Final = frozenset(b"0123456789abcdefABCDEF")
_ESCAPES: Final = frozenset(b'bfnrt\\/"')
_LITERALS: Final = {ord("t"): b"true", ord("f"): b"false", ord("n"): b"null"}
_BLANK: Final = ord(" ")
_ENDED: Final = "unexpected end of JSON input"
_QUOTED: Final = {ord("'"): r"'\''", ord("\n"): r"'\n'", ord("\r"): r"'\r'", ord("\t"): r"'\t'", ord("\\"): r"'\\'"}


class _Refused(Exception):
    """Carries the complaint."""


class _Scanner:
    def __init__(self, data: bytes) -> None:
        self._data = data
        self._at = 0

    def _peek(self, *, spaces: bool = False) -> int:
        """The next byte, after white space if that may be there."""
        while spaces and self._at < len(self._data) and self._data[self._at] in _SPACE:
            self._at += 1
        if self._at >= len(self._data):
            raise _Refused(_ENDED)
        return self._data[self._at]

    def _next(self) -> int:
        """The next byte inside of a word or a number; at the end Go's scanner sees a space."""
        return self._data[self._at] if self._at < len(self._data) else _BLANK

    def _refuse(self, context: str) -> _Refused:
        byte = self._next()
        shown = _QUOTED.get(byte) or (f"'{chr(byte)}'" if 32 <= byte < 127 else f"'\\x{byte:02x}'")
        if byte >= 160:
            shown = f"'{chr(byte)}'"  # Go takes a byte for a character here
        return _Refused(f"invalid character {shown} {context}")

    def document(self) -> None:
        """Read one value and nothing else."""
        opened: list[int] = []
        while True:
            byte = self._peek(spaces=True)
            if byte in b"{[":
                self._at += 1
                opened.append(byte)
                if self._peek(spaces=True) != byte + 2:  # the closing bracket
                    if byte == ord("{"):
                        self._key()
                    continue
                self._at += 1
                opened.pop()
            else:
                self._scalar(byte)
            if not self._after_value(opened):
                return

    def _after_value(self, opened: list[int]) -> bool:
        """What follows a value; False at the end of the document."""
        while opened:
            inside, byte = opened[-1], self._peek(spaces=True)
            if byte == ord(","):
                self._at += 1
                if inside == ord("{"):
                    self._key()
                return True
            if byte != inside + 2:
                raise self._refuse("after object key:value pair" if inside == ord("{") else "after array element")
            self._at += 1
            opened.pop()
        while self._at < len(self._data):
            if self._data[self._at] not in _SPACE:
                raise self._refuse("after top-level value")
            self._at += 1
        return False

    def _key(self) -> None:
        if self._peek(spaces=True) != ord('"'):
            raise self._refuse("looking for beginning of object key string")
        self._string()
        if self._peek(spaces=True) != ord(":"):
            raise self._refuse("after object key")
        self._at += 1

    def _scalar(self, byte: int) -> None:
        if byte == ord('"'):
            self._string()
        elif byte in _LITERALS:
            self._literal(_LITERALS[byte])
        elif byte == ord("-") or byte in _DIGITS:
            self._number(byte)
        else:
            raise self._refuse("looking for beginning of value")

    def _string(self) -> None:
        self._at += 1
        while (byte := self._peek()) != ord('"'):
            if byte < 32:
                raise self._refuse("in string literal")
            self._at += 1
            if byte == ord("\\"):
                escape = self._next()
                if escape == ord("u"):
                    for _ in range(4):
                        self._at += 1
                        if self._next() not in _HEX:
                            raise self._refuse("in \\u hexadecimal character escape")
                elif escape not in _ESCAPES:
                    raise self._refuse("in string escape code")
                self._at += 1
        self._at += 1

    def _literal(self, text: bytes) -> None:
        for byte in text:
            if self._next() != byte:
                raise self._refuse(f"in literal {text.decode()} (expecting {chr(byte)!r})")
            self._at += 1

    def _number(self, byte: int) -> None:
        if byte == ord("-"):
            self._at += 1
            byte = self._digit("in numeric literal")
        if byte == ord("0"):
            self._at += 1
        else:
            self._digits()
        if self._data[self._at : self._at + 1] == b".":
            self._at += 1
            self._digit("after decimal point in numeric literal")
            self._digits()
        if self._data[self._at : self._at + 1] in (b"e", b"E"):
            self._at += 1
            if self._next() in b"+-":
                self._at += 1
            self._digit("in exponent of numeric literal")
            self._digits()

    def _digit(self, context: str) -> int:
        byte = self._next()
        if byte not in _DIGITS:
            raise self._refuse(context)
        return byte

    def _digits(self) -> None:
        while self._at < len(self._data) and self._data[self._at] in _DIGITS:
            self._at += 1


def complaint(data: bytes) -> str | None:
    """What Go's scanner says of ``data``; None where it has nothing against it."""
    try:
        _Scanner(data).document()
    except _Refused as refused:
        return str(refused)
    return None
