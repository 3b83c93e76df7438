"""String formats that a schema may demand, as Kubernetes' validation enforces them.

A format that is not in ``CHECKS`` is ignored. Each check takes a string and tells whether it is one.
"""

from __future__ import annotations

import base64
import binascii
import datetime as dt
import functools
import ipaddress
import re
from collections.abc import Callable
from typing import Any, Final

#: Letters of all alphabets and symbols count as letters of a host name; the last label has letters only.
_CHARACTER: Final = r"[A-Za-z0-9\p{S}\p{L}]"
_INNER: Final = r"[-A-Za-z0-9\p{S}\p{L}]{0,61}"
_ADDRESS: Final = r"[^@\s<>()\[\],;:\\\"]+@[^@\s<>()\[\],;:\\\"]+"
_EMAIL: Final = re.compile(rf"{_ADDRESS}|[^<>@,;:\\\"\[\]()]*<{_ADDRESS}>|\"[^\"]*\"\s*<{_ADDRESS}>")
_MAC: Final = re.compile(
    r"[0-9A-Fa-f]{2}(?P<s>[:-])[0-9A-Fa-f]{2}((?P=s)[0-9A-Fa-f]{2}){4}(((?P=s)[0-9A-Fa-f]{2}){2})?"
    r"|([0-9A-Fa-f]{4}\.){2}[0-9A-Fa-f]{4}(\.[0-9A-Fa-f]{4})?"
)
_DURATION: Final = re.compile(r"[-+]?(0|(([0-9]+(\.[0-9]*)?|\.[0-9]+)(ns|us|\u00b5s|\u03bcs|ms|s|m|h))+)")
#: Beside Go's durations, amounts of units by name: the last name of a unit counts also with an ending (``3 days``).
#: A number is read from its first digit only: reading it again from each digit would take the square of its length.
_AMOUNTS: Final = re.compile(r"(?<!\d)\d+\s*([A-Za-z\u00b5]+)", re.ASCII)
_UNITS: Final = (
    ("ns", "nano"),
    ("us", "\u00b5s", "micro"),
    ("ms", "milli"),
    ("s", "sec"),
    ("m", "min"),
    ("h", "hr", "hour"),
    ("d", "day"),
    ("w", "wk", "week"),
)
_DATE_TIME: Final = re.compile(r"(\d{4}-\d{2}-\d{2})[Tt](\d{2}:\d{2}:\d{2})(\.\d+)?([Zz]|[+-]\d{2}:\d{2})", re.ASCII)
_SCHEME: Final = re.compile(r"([A-Za-z][A-Za-z0-9+.-]*):")
_BAD_ESCAPE: Final = re.compile(r"%(?![0-9A-Fa-f]{2})")
_AUTHORITY: Final = re.compile(r"(?:[^@\s]*@)?(?:\[[0-9A-Fa-f:.%]+\]|[^\s\[\]<>\"\\^`{|}:@]*)(?::\d*)?")
_UUID: Final = re.compile(r"(?i)[0-9a-f]{8}-?[0-9a-f]{4}-?[0-9a-f]{4}-?[0-9a-f]{4}-?[0-9a-f]{12}")
_UUID3: Final = re.compile(r"(?i)[0-9a-f]{8}-?[0-9a-f]{4}-?3[0-9a-f]{3}-?[0-9a-f]{4}-?[0-9a-f]{12}")
_UUID4: Final = re.compile(r"(?i)[0-9a-f]{8}-?[0-9a-f]{4}-?4[0-9a-f]{3}-?[89ab][0-9a-f]{3}-?[0-9a-f]{12}")
_UUID5: Final = re.compile(r"(?i)[0-9a-f]{8}-?[0-9a-f]{4}-?5[0-9a-f]{3}-?[89ab][0-9a-f]{3}-?[0-9a-f]{12}")
_HEX_COLOR: Final = re.compile(r"#?([0-9a-fA-F]{3}|[0-9a-fA-F]{6})")
_RGB_COLOR: Final = re.compile(
    r"rgb\(\s*(0|[1-9]\d?|1\d\d?|2[0-4]\d|25[0-5])\s*,\s*(0|[1-9]\d?|1\d\d?|2[0-4]\d|25[0-5])\s*,"
    r"\s*(0|[1-9]\d?|1\d\d?|2[0-4]\d|25[0-5])\s*\)",
    re.ASCII,
)
_SSN: Final = re.compile(r"\d{3}[- ]?\d{2}[- ]?\d{4}", re.ASCII)
_OBJECT_ID: Final = re.compile(r"[0-9a-fA-F]{24}")
_LABEL: Final = re.compile(r"[a-z0-9]([-a-z0-9]*[a-z0-9])?")
_SUBDOMAIN: Final = re.compile(r"[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*")


@functools.cache
def _hostnames() -> Any:
    """The pattern of host names, compiled when it is first needed: its classes of letters are large."""
    import re2

    return re2.compile(
        rf"{_CHARACTER}(-?{_CHARACTER}{{0,62}})?|({_CHARACTER}({_INNER}{_CHARACTER})?\.)+[A-Za-z\p{{L}}]{{2,63}}"
    )


def _matches(pattern: re.Pattern[str]) -> Callable[[str], bool]:
    return lambda text: pattern.fullmatch(text) is not None


def _date(text: str) -> bool:
    if len(text) != 10 or text[4] != "-" or text[7] != "-":
        return False
    try:
        dt.date.fromisoformat(text)
    except ValueError:
        return False
    return True


def _date_time(text: str) -> bool:
    found = _DATE_TIME.fullmatch(text)
    if found is None or not _date(found[1]):
        return False
    hours, minutes, seconds = (int(part) for part in found[2].split(":"))
    return hours < 24 and minutes < 60 and seconds < 60


def _duration(text: str) -> bool:
    if _DURATION.fullmatch(text) is not None:
        return True
    return any(
        unit in names or unit.startswith(names[-1])
        for unit in (found.lower() for found in _AMOUNTS.findall(text))
        for names in _UNITS
    )


def _ipv4(text: str) -> bool:
    try:
        ipaddress.IPv4Address(text)
    except ValueError:
        return False
    return True


def _ipv6(text: str) -> bool:
    if "%" in text:
        return False
    try:
        ipaddress.IPv6Address(text)
    except ValueError:
        return False
    return True


def _cidr(text: str) -> bool:
    address, slash, length = text.partition("/")
    if not slash or not length.isascii() or not length.isdigit() or (len(length) > 1 and length[0] == "0"):
        return False
    try:
        ipaddress.ip_network(f"{address}/{length}", strict=False)
    except ValueError:
        return False
    return "%" not in address


def _uri(text: str) -> bool:
    """What Go takes as the target of a request: an absolute URI or an absolute path, or ``*``."""
    if not text or any(ord(char) < 32 or ord(char) == 127 for char in text):
        return False
    if text == "*":
        return True
    scheme = _SCHEME.match(text)
    rest = text[scheme.end() :] if scheme is not None else text
    if not rest.startswith("/"):
        return scheme is not None
    rest = rest.partition("?")[0].partition("#")[0]
    if scheme is not None and rest.startswith("//"):
        authority, slash, path = rest[2:].partition("/")
        if _AUTHORITY.fullmatch(authority) is None:
            return False
        rest = slash + path
    return _BAD_ESCAPE.search(rest) is None


def _byte(text: str) -> bool:
    try:
        base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        return False
    return text != ""


def _hostname(text: str) -> bool:
    return len(text) <= 255 and _hostnames().fullmatch(text) is not None


def _isbn10(text: str) -> bool:
    digits = text.replace("-", "").replace(" ", "")
    if len(digits) != 10 or not digits[:9].isdigit() or not (digits[9].isdigit() or digits[9] == "X"):
        return False
    total = sum((index + 1) * int(digit) for index, digit in enumerate(digits[:9]))
    return (total + 10 * (10 if digits[9] == "X" else int(digits[9]))) % 11 == 0


def _isbn13(text: str) -> bool:
    digits = text.replace("-", "").replace(" ", "")
    if len(digits) != 13 or not digits.isdigit():
        return False
    return sum(int(digit) * (3 if index % 2 else 1) for index, digit in enumerate(digits)) % 10 == 0


def _credit_card(text: str) -> bool:
    digits = re.sub(r"[^0-9]+", "", text)
    if not 13 <= len(digits) <= 19:
        return False
    total = 0
    for index, digit in enumerate(reversed(digits)):
        value = int(digit) * (2 if index % 2 else 1)
        total += value - 9 if value > 9 else value
    return total % 10 == 0


def _always(text: str) -> bool:
    return True


CHECKS: Final[dict[str, Callable[[str], bool]]] = {
    "bsonobjectid": _matches(_OBJECT_ID),
    "uri": _uri,
    "email": _matches(_EMAIL),
    "hostname": _hostname,
    "ipv4": _ipv4,
    "ipv6": _ipv6,
    "cidr": _cidr,
    "mac": _matches(_MAC),
    "uuid": _matches(_UUID),
    "uuid3": _matches(_UUID3),
    "uuid4": _matches(_UUID4),
    "uuid5": _matches(_UUID5),
    "isbn": lambda text: _isbn10(text) or _isbn13(text),
    "isbn10": _isbn10,
    "isbn13": _isbn13,
    "creditcard": _credit_card,
    "ssn": _matches(_SSN),
    "hexcolor": _matches(_HEX_COLOR),
    "rgbcolor": _matches(_RGB_COLOR),
    "byte": _byte,
    "password": _always,
    "date": _date,
    "duration": _duration,
    "datetime": _date_time,
    "date-time": _date_time,
    "k8s-short-name": lambda text: len(text) <= 63 and _LABEL.fullmatch(text) is not None,
    "k8s-long-name": lambda text: len(text) <= 253 and _SUBDOMAIN.fullmatch(text) is not None,
}

#: Formats that mean something in a schema; others are as if they were not there.
KNOWN: Final = frozenset(CHECKS) | {"int32", "int64", "float", "double"}

_RANGES: Final = {
    "int32": (-(2**31), 2**31 - 1),
    "int64": (-(2**63), 2**63 - 1),
    "uint32": (0, 2**32 - 1),
    "uint64": (0, 2**64 - 1),
}


#: The largest number that single precision holds.
LARGEST_FLOAT: Final = 3.4028234663852886e38


def integer_range(name: str) -> tuple[int, int]:
    """The smallest and largest value of an integer format; 64 bits with sign where the format says nothing."""
    return _RANGES.get(name, _RANGES["int64"])


def integer_in_range(value: float, name: str) -> bool:
    """Whether ``value`` is a whole number that the integer format can hold."""
    if isinstance(value, float) and not value.is_integer():
        return False
    low, high = integer_range(name)
    return low <= value <= high


def number_in_range(value: Any, name: str) -> bool:
    """Whether a number fits ``float`` (single precision); every other format holds what JSON brings."""
    return name != "float" or bool(abs(value) <= LARGEST_FLOAT)
