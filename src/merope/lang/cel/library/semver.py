"""Semantic versions, strictly by their definition; `normalize` forgives a leading v, missing parts, leading zeros."""

from __future__ import annotations

import re
from functools import total_ordering

from .. import types as t
from ..errors import EvaluationError
from ..functions import Library
from ..values import register_key

SEMVERS = Library("semver")

_NUMBER = re.compile(r"0|[1-9][0-9]*")
_PART = re.compile(r"[0-9A-Za-z-]+")


@total_ordering
class Semver:
    """A version; build metadata takes no part in comparisons."""

    __slots__ = ("build", "core", "prerelease")

    def __init__(self, core: tuple[int, int, int], prerelease: tuple[str, ...], build: tuple[str, ...]) -> None:
        self.core = core
        self.prerelease = prerelease
        self.build = build

    def _key(self) -> tuple[object, ...]:
        parts = tuple((0, int(part), "") if part.isdigit() else (1, 0, part) for part in self.prerelease)
        return (self.core, not self.prerelease, parts)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Semver) and self._key() == other._key()

    def __lt__(self, other: Semver) -> bool:
        return self._key() < other._key()

    def __hash__(self) -> int:
        return hash(self._key())


register_key(Semver, t.SEMVER)


def _normalized(text: str) -> str:
    text = text.removeprefix("v")
    core, mark, rest = text, "", ""
    for i, char in enumerate(text):
        if char in "-+":
            core, mark, rest = text[:i], char, text[i + 1 :]
            break
    parts = core.split(".")
    if len(parts) < 3:
        if mark:
            raise EvaluationError("short version cannot contain PreRelease/Build meta data")
        parts += ["0"] * (3 - len(parts))
    return ".".join(part.lstrip("0") or "0" if part else part for part in parts) + mark + rest


def parse_semver(text: str, normalize: bool = False) -> Semver:
    """Read a version.

    Raises:
        EvaluationError: it is malformed.
    """
    if normalize:
        text = _normalized(text)
    if not text:
        raise EvaluationError("Version string empty")
    rest, plus, build_text = text.partition("+")
    core_text, dash, prerelease_text = rest.partition("-")
    numbers = core_text.split(".")
    if len(numbers) != 3:
        raise EvaluationError("No Major.Minor.Patch elements found")
    for name, number in zip(("major", "minor", "patch"), numbers, strict=True):
        if not (number.isascii() and number.isdigit()):
            raise EvaluationError(f'Invalid character(s) found in {name} number "{number}"')
        if not _NUMBER.fullmatch(number):
            raise EvaluationError(f'{name.capitalize()} number must not contain leading zeroes "{number}"')
        if len(number) > 19 or int(number) >= 1 << 64:
            raise EvaluationError(f'strconv.ParseUint: parsing "{number}": value out of range')
    prerelease = tuple(prerelease_text.split(".")) if dash else ()
    for part in prerelease:
        if not part:
            raise EvaluationError("Prerelease is empty")
        if not _PART.fullmatch(part):
            raise EvaluationError(f'Invalid character(s) found in prerelease "{part}"')
        if part.isdigit() and not _NUMBER.fullmatch(part):
            raise EvaluationError(f'Numeric PreRelease version must not contain leading zeroes "{part}"')
    build = tuple(build_text.split(".")) if plus else ()
    for part in build:
        if not part:
            raise EvaluationError("Build meta data is empty")
        if not _PART.fullmatch(part):
            raise EvaluationError(f'Invalid character(s) found in build meta data "{part}"')
    major, minor, patch = map(int, numbers)
    return Semver((major, minor, patch), prerelease, build)


def _is_semver(text: str, normalize: bool = False) -> bool:
    try:
        parse_semver(text, normalize)
    except EvaluationError:
        return False
    return True


_declare = SEMVERS.declare
for _arguments in ("string", "string, bool"):
    _declare(f"semver({_arguments}) -> semver", parse_semver, cost="string", base_cost=1)
    _declare(f"isSemver({_arguments}) -> bool", _is_semver, cost="string", base_cost=1)
_declare("<semver>.major() -> int", lambda v: v.core[0])
_declare("<semver>.minor() -> int", lambda v: v.core[1])
_declare("<semver>.patch() -> int", lambda v: v.core[2])
_declare("<semver>.isGreaterThan(semver) -> bool", lambda a, b: a > b)
_declare("<semver>.isLessThan(semver) -> bool", lambda a, b: a < b)
_declare("<semver>.compareTo(semver) -> int", lambda a, b: (a > b) - (a < b))
