"""Label and field selectors, in the two forms that Kubernetes has: a text in a query, a struct in an object.

A selector is compiled once (`parse_label_selector`, `label_selector`, `parse_field_selector`) and matched against
many objects, so everything that can be decided at compile time is. Error texts are those of an API server.

Two corner cases decide whether a selector that is left out selects all or nothing: a *missing* struct selector
matches nothing, an *empty* one everything; an empty text matches everything.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NoReturn

from merope.api.meta.v1 import LabelSelector
from merope.lang import names

IN = "in"
NOT_IN = "notin"
EQUALS = "="
DOUBLE_EQUALS = "=="
NOT_EQUALS = "!="
EXISTS = "exists"
DOES_NOT_EXIST = "!"
GREATER_THAN = "gt"
LESS_THAN = "lt"

_BINARY_OPERATORS = (IN, NOT_IN, EQUALS, DOUBLE_EQUALS, NOT_EQUALS, GREATER_THAN, LESS_THAN)
_STRUCT_OPERATORS = {"In": IN, "NotIn": NOT_IN, "Exists": EXISTS, "DoesNotExist": DOES_NOT_EXIST}
_INT64 = range(-(1 << 63), 1 << 63)


class SelectorError(ValueError):
    """The selector cannot be understood; the text is what an API server answers with 400."""


def _quote(text: str) -> str:
    return json.dumps(text, ensure_ascii=False)


def _int64(text: str) -> int | None:
    """What Go's ParseInt(text, 10, 64) accepts: no blanks, no underscores, within 64 bits."""
    digits = text[1:] if text[:1] in ("+", "-") else text
    if not (digits.isascii() and digits.isdigit()) or len(digits) > 64:
        return None
    number = int(text)
    return number if number in _INT64 else None


@dataclass(frozen=True, slots=True)
class Requirement:
    """One condition on one label. `values` are sorted and unique."""

    key: str
    operator: str
    values: tuple[str, ...] = ()

    @classmethod
    def of(cls, key: str, operator: str, values: Iterable[str] = ()) -> Requirement:
        """A checked requirement; raises SelectorError naming every problem it has."""
        unique = tuple(sorted(set(values)))
        problems = _key_problems("key", key)
        if operator in (IN, NOT_IN):
            if not unique:
                problems.append("values: Invalid value: []: for 'in', 'notin' operators, values set can't be empty")
        elif operator in (EQUALS, DOUBLE_EQUALS, NOT_EQUALS):
            if len(unique) != 1:
                problems.append(_values_problem(unique, "exact-match compatibility requires one single value"))
        elif operator in (EXISTS, DOES_NOT_EXIST):
            if unique:
                problems.append(_values_problem(unique, "values set must be empty for exists and does not exist"))
        elif operator in (GREATER_THAN, LESS_THAN):
            if len(unique) != 1:
                problems.append(_values_problem(unique, "for 'Gt', 'Lt' operators, exactly one value is required"))
            problems.extend(
                f"values[{at}]: Invalid value: {_quote(value)}: for 'Gt', 'Lt' operators, the value must be an integer"
                for at, value in enumerate(unique)
                if _int64(value) is None
            )
        else:
            problems.append(f"operator: Unsupported value: {_quote(operator)}")
        for at, value in enumerate(unique):
            wrong = names.is_label_value(value)
            if wrong:
                problems.append(f"values[{at}][{key}]: Invalid value: {_quote(value)}: {'; '.join(wrong)}")
        if problems:
            raise SelectorError(problems[0] if len(problems) == 1 else f"[{', '.join(problems)}]")
        return cls(key, operator, unique)

    def matches(self, labels: Mapping[str, str]) -> bool:
        """Whether these labels satisfy this one condition."""
        return _predicate(self)(labels)

    def __str__(self) -> str:
        if self.operator == EXISTS:
            return self.key
        if self.operator == DOES_NOT_EXIST:
            return f"!{self.key}"
        values = ",".join(self.values)
        if self.operator in (IN, NOT_IN):
            return f"{self.key} {self.operator} ({values})"
        sign = {GREATER_THAN: ">", LESS_THAN: "<"}.get(self.operator, self.operator)
        return f"{self.key}{sign}{values}"


def _key_problems(path: str, key: str) -> list[str]:
    wrong = names.is_qualified_name(key)
    return [f"{path}: Invalid value: {_quote(key)}: {'; '.join(wrong)}"] if wrong else []


def _values_problem(values: Sequence[str], detail: str) -> str:
    shown = ",".join(_quote(value) for value in values)
    return f"values: Invalid value: [{shown}]: {detail}"


Predicate = Callable[[Mapping[str, str]], bool]


def _predicate(requirement: Requirement) -> Predicate:
    key, operator = requirement.key, requirement.operator
    if operator == EXISTS:
        return lambda labels: key in labels
    if operator == DOES_NOT_EXIST:
        return lambda labels: key not in labels
    if operator in (IN, EQUALS, DOUBLE_EQUALS):
        if len(requirement.values) == 1:
            only = requirement.values[0]
            return lambda labels: labels.get(key) == only
        wanted = frozenset(requirement.values)
        return lambda labels: labels.get(key) in wanted
    if operator in (NOT_IN, NOT_EQUALS):
        # A label that is absent differs from every value.
        unwanted = frozenset(requirement.values)
        return lambda labels: labels.get(key) not in unwanted
    bound = int(requirement.values[0])
    above = operator == GREATER_THAN

    def compare(labels: Mapping[str, str]) -> bool:
        text = labels.get(key)
        number = None if text is None else _int64(text)
        return number is not None and (number > bound if above else number < bound)

    return compare


@dataclass(frozen=True, slots=True)
class Selector:
    """A conjunction of requirements, sorted by key; or nothing at all (`nothing`)."""

    requirements: tuple[Requirement, ...] = ()
    nothing: bool = False
    _predicates: tuple[Predicate, ...] = field(init=False, repr=False, compare=False, default=())

    def __post_init__(self) -> None:
        object.__setattr__(self, "_predicates", tuple(_predicate(one) for one in self.requirements))

    @property
    def empty(self) -> bool:
        """Whether every set of labels matches."""
        return not self.requirements and not self.nothing

    def matches(self, labels: Mapping[str, str] | None) -> bool:
        """Whether an object with these labels is selected; None stands for an object without labels."""
        if self.nothing:
            return False
        given = labels or {}
        return all(predicate(given) for predicate in self._predicates)

    def exact(self, key: str) -> str | None:
        """The one value that the label must have, where the selector pins it: lets an index answer."""
        for one in self.requirements:
            if one.key == key and one.operator in (IN, EQUALS, DOUBLE_EQUALS) and len(one.values) == 1:
                return one.values[0]
        return None

    def __str__(self) -> str:
        return ",".join(map(str, self.requirements))


EVERYTHING = Selector()
NOTHING = Selector(nothing=True)


def _selector(requirements: Iterable[Requirement]) -> Selector:
    ordered = tuple(sorted(requirements, key=lambda one: one.key))
    return Selector(ordered) if ordered else EVERYTHING


def label_selector(selector: Mapping[str, Any] | LabelSelector | None) -> Selector:
    """The selector of an object's field (`matchLabels`, `matchExpressions`).

    None matches nothing and an empty one everything. Raises SelectorError.
    """
    if selector is None:
        return NOTHING
    if isinstance(selector, LabelSelector):
        pairs: Mapping[str, str] = selector.match_labels or {}
        expressions = [(one.key, one.operator, one.values or ()) for one in selector.match_expressions or ()]
    else:
        pairs = selector.get("matchLabels") or {}
        expressions = [
            (one.get("key", ""), one.get("operator", ""), one.get("values") or ())
            for one in selector.get("matchExpressions") or ()
        ]
    requirements = [Requirement.of(key, EQUALS, (value,)) for key, value in pairs.items()]
    for key, operator, values in expressions:
        known = _STRUCT_OPERATORS.get(operator)
        if known is None:
            raise SelectorError(f"{_quote(operator)} is not a valid label selector operator")
        requirements.append(Requirement.of(key, known, values))
    return _selector(requirements)


def match_labels(labels: Mapping[str, str]) -> Selector:
    """The selector that asks for each of these labels with exactly this value."""
    return _selector(Requirement.of(key, EQUALS, (value,)) for key, value in labels.items())


def parse_label_selector(text: str) -> Selector:
    """The selector of a `labelSelector` query: `a=b,c in (x,y),!d,e!=f,g>5`.

    Raises SelectorError with the sentence that an API server would answer.
    """
    return _selector(_Parser(text).parse())


_IDENTIFIER = "identifier"
_END = "end"
_ERROR = "error"
_WORDS = {IN, NOT_IN}
_SYMBOLS = {"(", ")", ",", "=", "==", "!=", "!", ">", "<"}
_SPECIAL = frozenset("=!(),><")
_BLANK = frozenset(" \t\r\n")


def _scan(text: str) -> list[tuple[str, str]]:
    """Tokens as (kind, text). A kind is the symbol or word itself, or identifier, error, end."""
    tokens = []
    at, end = 0, len(text)
    while at < end:
        if text[at] in _BLANK:
            at += 1
            continue
        start = at
        if text[at] in _SPECIAL:
            at += 1
            # The longest symbol wins: `!=` before `!`, `==` before `=`.
            while at < end and text[at] in _SPECIAL and text[start : at + 1] in _SYMBOLS:
                at += 1
            tokens.append((text[start:at], text[start:at]))
            continue
        while at < end and text[at] not in _SPECIAL and text[at] not in _BLANK:
            at += 1
        word = text[start:at]
        tokens.append((word if word in _WORDS else _IDENTIFIER, word))
    tokens.append((_END, ""))
    return tokens


class _Parser:
    """Recursive descent over the tokens; a word such as `in` is an identifier wherever a value can stand."""

    def __init__(self, text: str) -> None:
        self.tokens = _scan(text)
        self.at = 0

    def peek(self) -> tuple[str, str]:
        kind, text = self.tokens[self.at]
        return (_IDENTIFIER if kind in _WORDS else kind), text

    def take(self, *, operator: bool = False) -> tuple[str, str]:
        kind, text = self.tokens[self.at]
        if self.at < len(self.tokens) - 1:
            self.at += 1
        return (_IDENTIFIER if kind in _WORDS and not operator else kind), text

    def parse(self) -> list[Requirement]:
        requirements: list[Requirement] = []
        while True:
            kind, text = self.peek()
            if kind == _END:
                return requirements
            if kind not in (_IDENTIFIER, "!"):
                raise SelectorError(f"found '{text}', expected: !, identifier, or 'end of string'")
            try:
                requirements.append(self.requirement())
            except SelectorError as error:
                raise SelectorError(f"unable to parse requirement: {error}") from None
            kind, text = self.take()
            if kind == _END:
                return requirements
            if kind != ",":
                raise SelectorError(f"found '{text}', expected: ',' or 'end of string'")
            kind, text = self.peek()
            if kind not in (_IDENTIFIER, "!"):
                raise SelectorError(f"found '{text}', expected: identifier after ','")

    def requirement(self) -> Requirement:
        kind, key = self.take()
        absent = kind == "!"
        if absent:
            kind, key = self.take()
        if kind != _IDENTIFIER:
            _expected(key, "identifier")
        problems = _key_problems("<nil>", key)
        if problems:
            raise SelectorError(problems[0])
        if absent:
            return Requirement.of(key, DOES_NOT_EXIST)
        if self.peek()[0] in (_END, ","):
            return Requirement.of(key, EXISTS)
        kind, text = self.take(operator=True)
        operator = {">": GREATER_THAN, "<": LESS_THAN}.get(kind, kind)
        if operator not in _BINARY_OPERATORS:
            _expected(text, ", ".join(_BINARY_OPERATORS))
        values = self.values() if operator in (IN, NOT_IN) else [self.exact_value()]
        return Requirement.of(key, operator, values)

    def exact_value(self) -> str:
        if self.peek()[0] in (_END, ","):
            return ""
        kind, text = self.take()
        if kind != _IDENTIFIER:
            _expected(text, "identifier")
        return text

    def values(self) -> list[str]:
        kind, text = self.take()
        if kind != "(":
            raise SelectorError(f"found '{text}' expected: '('")
        kind, text = self.peek()
        if kind == ")":
            self.take()
            return [""]
        if kind not in (_IDENTIFIER, ","):
            _expected(text, "',', ')' or identifier")
        found = self.identifiers()
        kind, _ = self.take()
        if kind != ")":
            _expected(text, "')'")
        return found

    def identifiers(self) -> list[str]:
        """The values between the parentheses; a place left empty beside a comma is the empty value."""
        found: list[str] = []
        while True:
            kind, text = self.take()
            if kind == _IDENTIFIER:
                found.append(text)
                kind, text = self.peek()
                if kind == ")":
                    return found
                if kind != ",":
                    _expected(text, "',' or ')'")
            elif kind == ",":
                if not found:
                    found.append("")
                kind, _ = self.peek()
                if kind == ")":
                    found.append("")
                    return found
                if kind == ",":
                    found.append("")
            else:
                _expected(text, "',', or identifier")


def _expected(found: str, expected: str) -> NoReturn:
    raise SelectorError(f"found '{found}', expected: {expected}")


@dataclass(frozen=True, slots=True, order=True)
class FieldTerm:
    """One condition of a field selector: the field equals `value`, or differs from it where `negated`."""

    path: str
    negated: bool
    value: str

    def __str__(self) -> str:
        escaped = "".join(f"\\{char}" if char in "\\,=" else char for char in self.value)
        return f"{self.path}{'!=' if self.negated else '='}{escaped}"


@dataclass(frozen=True, slots=True)
class FieldSelector:
    """A conjunction of conditions on fields. Which fields a kind supports is for the server to say."""

    terms: tuple[FieldTerm, ...] = ()

    @property
    def empty(self) -> bool:
        """Whether every object matches."""
        return not self.terms

    def matches(self, fields: Mapping[str, str]) -> bool:
        """Whether these fields (path to text; absent counts as empty) satisfy every term."""
        return all((fields.get(term.path, "") == term.value) is not term.negated for term in self.terms)

    def exact(self, path: str) -> str | None:
        """The value that the field must have, where the selector pins it."""
        for term in self.terms:
            if term.path == path and not term.negated:
                return term.value
        return None

    def __str__(self) -> str:
        return ",".join(map(str, self.terms))


def parse_field_selector(text: str) -> FieldSelector:
    r"""The selector of a `fieldSelector` query: `metadata.name=x,status.phase!=y`, with `\` before `,`, `=` and `\`.

    Raises SelectorError with the sentence that an API server would answer.
    """
    terms = []
    for part in sorted(_split_terms(text)):
        if not part:
            continue
        at = next((i for i, char in enumerate(part) if char == "=" or part.startswith("!=", i)), -1)
        if at < 0:
            raise SelectorError(f"invalid selector: '{text}'; can't understand '{part}'")
        operator = next(sign for sign in ("!=", "==", "=") if part.startswith(sign, at))
        term = FieldTerm(part[:at], operator == "!=", _unescape(part[at + len(operator) :]))
        if term.path or term.value:  # a lone sign asks for nothing
            terms.append(term)
    return FieldSelector(tuple(terms))


def _split_terms(text: str) -> list[str]:
    parts, start, escaped = [], 0, False
    for at, char in enumerate(text):
        if escaped:
            escaped = False
        elif char == "\\":
            escaped = True
        elif char == ",":
            parts.append(text[start:at])
            start = at + 1
    parts.append(text[start:])
    return parts


def _unescape(text: str) -> str:
    out, escaped = [], False
    for char in text:
        if escaped:
            if char not in "\\,=":
                raise SelectorError(f"invalid field selector: invalid escape sequence: \\{char}")
            out.append(char)
            escaped = False
        elif char == "\\":
            escaped = True
        elif char in ",=":
            raise SelectorError(f"invalid field selector: unescaped character in value: {ord(char)}")
        else:
            out.append(char)
    if escaped:
        raise SelectorError("invalid field selector: invalid escape sequence: \\")
    return "".join(out)
