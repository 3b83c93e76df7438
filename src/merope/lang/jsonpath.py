r"""Kubernetes' JSONPath: what `kubectl -o jsonpath`, printer columns and feedback rules speak.

A template is text with actions in braces: `{.metadata.name}`, `{range .items[*]}{.name}{"\n"}{end}`. It is not the
JSONPath of the RFC: dots in keys are escaped (`\.`), an index that is out of range is an error, filters compare one
pair and know no `&&`, and a missing key is an error unless it is allowed to be missing.

A text is compiled once into a tree of small nodes, each of which turns a list of values into a list of values. The tree
is immutable: one compiled path can be used from anywhere. Error texts are those of Kubernetes' Go client.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from merope.lang import gojson
from merope.lang.goformat import format_value, type_name

Values = list[Any]


class JSONPathError(ValueError):
    """The path cannot be parsed, or doesn't fit the object."""


class JSONPath:
    """A compiled template."""

    __slots__ = ("_allow_missing", "_nodes", "text")

    def __init__(self, text: str, nodes: Sequence[_Action], *, allow_missing: bool) -> None:
        self.text = text
        self._nodes = tuple(nodes)
        self._allow_missing = allow_missing

    def __repr__(self) -> str:
        return f"JSONPath({self.text!r})"

    def find(self, obj: Any) -> Values:
        """The values of the first action: all there is, where the template is a single path.

        Raises JSONPathError, also for a missing key unless the path was compiled to allow that.
        """
        groups = self.find_groups(obj)
        return groups[0] if groups else []

    def find_groups(self, obj: Any) -> list[Values]:
        """The values of every action in order, text between them included; a range gives those of each turn."""
        groups: list[Values] = []
        _Run(self._nodes, self._allow_missing).block(0, obj, groups)
        return groups

    def render(self, obj: Any) -> str:
        """The template filled in: several values of one action with blanks between, maps and lists as JSON."""
        return "".join(" ".join(map(_printed, group)) for group in self.find_groups(obj))


class _Run:
    """One evaluation: walks the actions, in and out of ranges."""

    def __init__(self, actions: tuple[_Action, ...], allow_missing: bool) -> None:
        self.actions = actions
        self.allow_missing = allow_missing
        self.depth = 0
        self.last_end = -1

    def block(self, at: int, obj: Any, groups: list[Values]) -> None:
        """Run the actions from `at` on one value, until the range that they are in ends, or the template."""
        while at < len(self.actions):
            action = self.actions[at]
            found = action.evaluate([obj], self.allow_missing)
            if action.keyword == "end":
                if self.depth == 0:
                    raise JSONPathError("not in range, nothing to end")
                self.last_end = at
                return
            if action.keyword == "range":
                self.depth += 1
                for turn in found:
                    self.block(at + 1, turn, groups)
                if not found:
                    # Nothing to print, but where the range ends must still be found.
                    self.block(at + 1, None, [])
                self.depth -= 1
                # A range that is never ended is followed by its own body once more, as in the Go client.
                at = max(at, self.last_end) + 1
                continue
            groups.append(found)
            at += 1


def compile_jsonpath(expr: str, *, allow_missing: bool = True) -> JSONPath:
    """Compile a template, or a bare path (no braces in it) as if it stood in braces.

    `allow_missing`: a key that isn't there gives no value instead of an error. Raises JSONPathError.
    """
    template = expr if "{" in expr else f"{{{expr}}}"
    return JSONPath(expr, _parse(template), allow_missing=allow_missing)


_RELAXED = re.compile(r"\{\.?([^{}]+)\}|\.?([^{}]+)")


def relaxed(expr: str) -> str:
    """The template for what people type: `x.y`, `.x.y`, `{x.y}` and `{.x.y}` all mean `{.x.y}`.

    Raises JSONPathError where it is none of these.
    """
    if not expr:
        return expr
    match = _RELAXED.fullmatch(expr)
    if match is None:
        raise JSONPathError(
            f"unexpected path string, expected a 'name1.name2' or '.name1.name2' or '{{name1.name2}}' or "
            f"'{{.name1.name2}}': {expr}"
        )
    path = match.group(1) or match.group(2)
    return f"{{.{path}}}"


def _printed(value: Any) -> str:
    if value is None:
        return "null"
    if isinstance(value, (dict, list)):
        return gojson.dumps(value).decode()
    return format_value(value)


class _Node:
    """One step: values in, values out."""

    __slots__ = ()

    def evaluate(self, values: Values, allow_missing: bool) -> Values:
        raise NotImplementedError


@dataclass(frozen=True, slots=True)
class _Action(_Node):
    """What stands between two braces (or text outside of them): its steps one after the other.

    `keyword` is `range` or `end`, where the action is one of these.
    """

    steps: tuple[_Node, ...]
    keyword: str = ""

    def evaluate(self, values: Values, allow_missing: bool) -> Values:
        for step in self.steps:
            values = step.evaluate(values, allow_missing)
        return values


@dataclass(frozen=True, slots=True)
class _Text(_Node):
    """Literal text, once."""

    text: str

    def evaluate(self, values: Values, allow_missing: bool) -> Values:
        return [self.text]


@dataclass(frozen=True, slots=True)
class _Literal(_Node):
    """A number or a boolean, once for each value."""

    value: int | float | bool

    def evaluate(self, values: Values, allow_missing: bool) -> Values:
        return [self.value] * len(values)


@dataclass(frozen=True, slots=True)
class _Identifier(_Node):
    """A bare word. Only `range` and `end` mean anything, and the template takes care of these."""

    name: str

    def evaluate(self, values: Values, allow_missing: bool) -> Values:
        if self.name == "range":
            return values
        if self.name == "end":
            return []
        raise JSONPathError(f"unrecognized identifier {self.name}")


@dataclass(frozen=True, slots=True)
class _Field(_Node):
    """`.name`"""

    name: str

    def evaluate(self, values: Values, allow_missing: bool) -> Values:
        name = self.name
        found = [value[name] for value in values if isinstance(value, dict) and name in value]
        if not found and values and not allow_missing:
            raise JSONPathError(f"{name} is not found")
        return found


@dataclass(frozen=True, slots=True)
class _Slice(_Node):
    """`[i]`, `[a:b]`, `[a:b:step]`, `[*]`; None stands for a part that was left out."""

    start: int | None
    stop: int | None
    step: int | None
    single: bool

    def evaluate(self, values: Values, allow_missing: bool) -> Values:
        found: Values = []
        for value in values:
            if value is None:
                continue
            if not isinstance(value, list):
                raise JSONPathError(f"{type_name(value)} is not array or slice")
            length = len(value)
            start = self.start or 0
            if start < 0:
                start += length
            stop = length if self.stop is None else self.stop
            # `[-1]` asks for the items from -1 to 0, and that 0 is the end.
            if stop < 0 or (stop == 0 and self.single):
                stop += length
            if start == stop:
                # The Go client leaves the remaining lists out here, and its users see that.
                return found
            for index, outside in ((start, start >= length or start < 0), (stop - 1, stop > length or stop < 0)):
                if outside:
                    raise JSONPathError(f"array index out of bounds: index {index}, length {length}")
            if start > stop:
                raise JSONPathError(f"starting index {start} is greater than ending index {stop}")
            if self.step is not None and self.step <= 0:
                raise JSONPathError("step must be > 0")
            found.extend(value[start : stop : self.step or 1])
        return found


def _children(value: Any) -> Iterable[Any]:
    if isinstance(value, dict):
        return value.values()
    if isinstance(value, list):
        return value
    if isinstance(value, str):
        return value.encode("utf-8", "replace")
    return ()


@dataclass(frozen=True, slots=True)
class _Wildcard(_Node):
    """`.*`: every member or item."""

    def evaluate(self, values: Values, allow_missing: bool) -> Values:
        return [child for value in values for child in _children(value)]


@dataclass(frozen=True, slots=True)
class _Recursive(_Node):
    """`..`: the value and everything below it that has something in it, parents first."""

    def evaluate(self, values: Values, allow_missing: bool) -> Values:
        found: Values = []
        # A stack instead of recursion: a document may be nested deeper than the interpreter's own stack.
        pending = list(reversed(values))
        while pending:
            value = pending.pop()
            if isinstance(value, str):
                if value:
                    found.append(value)
                continue
            children = list(_children(value))
            if children:
                found.append(value)
                pending.extend(reversed(children))
        return found


@dataclass(frozen=True, slots=True)
class _Union(_Node):
    """`['a','b']`, `[0,2]`: the results of each, one after the other."""

    branches: tuple[_Action, ...]

    def evaluate(self, values: Values, allow_missing: bool) -> Values:
        return [found for branch in self.branches for found in branch.evaluate(values, allow_missing)]


@dataclass(frozen=True, slots=True)
class _Filter(_Node):
    """`[?(@.a == "b")]`, `[?(@.a)]`: the items of lists that pass."""

    left: _Action
    operator: str
    right: _Action

    def evaluate(self, values: Values, allow_missing: bool) -> Values:
        passed: Values = []
        for value in values:
            if not isinstance(value, list):
                raise JSONPathError(f"{format_value(value)} is not array or slice and cannot be filtered")
            passed.extend(item for item in value if self._passes(item, allow_missing))
        return passed

    def _passes(self, item: Any, allow_missing: bool) -> bool:
        if self.operator == "exists":
            try:
                return bool(self.left.evaluate([item], allow_missing))
            except JSONPathError:
                return False
        sides = []
        for side in (self.left, self.right):
            found = side.evaluate([item], allow_missing)
            if not found:
                return False
            if len(found) > 1:
                raise JSONPathError("can only compare one element at a time")
            sides.append(found[0])
        return _compare(sides[0], self.operator, sides[1])


def _kind(value: Any) -> str:
    if isinstance(value, bool):
        return "bool"
    if isinstance(value, (int, float, str)):
        return type(value).__name__
    raise JSONPathError("invalid type for comparison")


def _compare(left: Any, operator: str, right: Any) -> bool:
    if operator not in ("==", "!=", "<", "<=", ">", ">="):
        raise JSONPathError(f"unrecognized filter operator {operator}")
    kind = _kind(left)
    if kind != _kind(right):
        raise JSONPathError("incompatible types for comparison")
    if operator == "==":
        return bool(left == right)
    if operator == "!=":
        return bool(left != right)
    if kind == "bool":
        raise JSONPathError("invalid type for comparison")
    if operator == "<":
        return bool(left < right)
    if operator == "<=":
        return bool(left <= right)
    if operator == ">":
        return bool(left > right)
    return bool(left >= right)


def _parse(template: str) -> list[_Action]:
    """The actions of a template, the text between them included."""
    actions: list[_Action] = []
    at = 0
    while at < len(template):
        brace = template.find("{", at)
        if brace < 0:
            brace = len(template)
        if brace > at:
            actions.append(_Action((_Text(template[at:brace]),)))
        if brace == len(template):
            break
        parser = _ActionParser(template, brace + 1)
        actions.append(parser.parse())
        at = parser.at
    return actions


def _parse_action(text: str) -> _Action:
    """The first action of `{text}`: how the parts of filters and unions are read."""
    return _ActionParser(f"{text}}}", 0).parse()


_TERMINATORS = frozenset(".,[]$@{} \t\r\n")
_DICT_KEY = re.compile(r"'([^']*)'")
_SLICE = re.compile(r"(-?\d*)(:-?\d*)?(:-?\d*)?", re.ASCII)
_COMPARISON = re.compile(r"([^!<>=]+)([!<>=]+)(.+)", re.DOTALL)


class _ActionParser:
    """Reads one action, from behind its opening brace to behind its closing one."""

    def __init__(self, text: str, at: int) -> None:
        self.text = text
        self.at = at
        self.steps: list[_Node] = []

    def parse(self) -> _Action:
        text = self.text
        while True:
            if text.startswith("}", self.at):
                self.at += 1
                words = (step.name for step in self.steps if isinstance(step, _Identifier))
                return _Action(tuple(self.steps), next(words, ""))
            if text.startswith("[?(", self.at):
                self.filter()
                continue
            if text.startswith("..", self.at):
                self.recursive()
                continue
            char = text[self.at : self.at + 1]
            if not char or char in "\r\n":
                raise JSONPathError("unclosed action")
            if char in " @$":
                self.at += 1
            elif char == "[":
                self.array()
            elif char in "\"'":
                self.quote(char)
            elif char == ".":
                self.at += 1
                self.field()
            elif char in "+-" or char.isdigit():
                self.number()
            elif char == "_" or char.isalpha():
                self.identifier()
            else:
                raise JSONPathError(f"unrecognized character in action: U+{ord(char):04X} '{char}'")

    def field(self) -> None:
        start = self.at
        while self.at < len(self.text) and self.text[self.at] not in _TERMINATORS:
            self.at += 2 if self.text[self.at] == "\\" else 1
        name = self.text[start : self.at]
        self.steps.append(_Wildcard() if name == "*" else _Field(name.replace("\\", "")))

    def recursive(self) -> None:
        if self.steps and isinstance(self.steps[-1], _Recursive):
            raise JSONPathError("invalid multiple recursive descent")
        self.at += 2
        self.steps.append(_Recursive())
        following = self.text[self.at : self.at + 1]
        if following == "_" or following.isalpha() or following.isdigit():
            self.field()

    def number(self) -> None:
        start = self.at
        if self.text[self.at] in "+-":
            self.at += 1
        while self.at < len(self.text) and (self.text[self.at] == "." or self.text[self.at].isdigit()):
            self.at += 1
        word = self.text[start : self.at]
        try:
            number = float(word) if "." in word else int(word)
        except ValueError:
            raise JSONPathError(f"cannot parse number {word}") from None
        self.steps.append(_Literal(number))

    def identifier(self) -> None:
        start = self.at
        while self.at < len(self.text) and self.text[self.at] not in _TERMINATORS:
            self.at += 1
        word = self.text[start : self.at]
        self.steps.append(_Literal(word == "true") if word in ("true", "false") else _Identifier(word))

    def quote(self, mark: str) -> None:
        start = self.at
        while True:
            self.at += 1
            char = self.text[self.at : self.at + 1]
            if not char or char == "\n":
                raise JSONPathError("unterminated quoted string")
            if char == mark and self.text[self.at - 1] != "\\":
                break
        self.at += 1
        quoted = self.text[start : self.at]
        try:
            self.steps.append(_Text(_unquote(quoted[1:-1], mark)))
        except ValueError:
            raise JSONPathError(f"unquote string {quoted} error invalid syntax") from None

    def array(self) -> None:
        start = self.at + 1
        while True:
            self.at += 1
            char = self.text[self.at : self.at + 1]
            if not char or char == "\n":
                raise JSONPathError("unterminated array")
            if char == "]":
                break
        inner = self.text[start : self.at]
        self.at += 1
        if inner == "*":
            inner = ":"
        parts = inner.split(",")
        if len(parts) > 1:
            self.steps.append(_Union(tuple(_parse_action(f"[{part.strip(' ')}]") for part in parts)))
            return
        key = _DICT_KEY.fullmatch(inner)
        if key is not None:
            self.steps.extend(_parse_action(f".{key.group(1)}").steps)
            return
        match = _SLICE.fullmatch(inner)
        if match is None:
            raise JSONPathError(f"invalid array index {inner}")
        start_text, *others = match.groups()
        first = _index(start_text)
        if others[0] is None:
            self.steps.append(_Slice(first, (first or 0) + 1, None, single=True))
            return
        stop, step = (None if part is None else _index(part[1:]) for part in others)
        self.steps.append(_Slice(first, stop, step, single=False))

    def filter(self) -> None:
        self.at += 3
        start = self.at
        mark, closed = "", False
        while True:
            char = self.text[self.at : self.at + 1]
            self.at += 1
            if not char or char == "\n":
                raise JSONPathError("unterminated filter")
            if char in "\"'":
                if not mark:
                    mark = char
                elif char == mark and self.text[self.at - 2] != "\\":
                    closed = True
            elif char == ")" and bool(mark) == closed:
                break
        if self.text[self.at : self.at + 1] != "]":
            raise JSONPathError("unclosed array expect ]")
        inner = self.text[start : self.at - 1]
        self.at += 1
        match = _COMPARISON.fullmatch(inner)
        if match is None:
            self.steps.append(_Filter(_parse_action(inner), "exists", _Action(())))
        else:
            left, operator, right = match.groups()
            self.steps.append(_Filter(_parse_action(left), operator, _parse_action(right)))


def _index(text: str) -> int | None:
    if not text:
        return None
    try:
        return int(text)
    except ValueError:
        raise JSONPathError(f"array index {text} is not a number") from None


_ESCAPE = re.compile(
    r"\\(?:(?P<short>[abfnrtv\\])|(?P<quote>['\"])|x(?P<x>[0-9a-fA-F]{2})|u(?P<u>[0-9a-fA-F]{4})"
    r"|U(?P<U>[0-9a-fA-F]{8})|(?P<octal>[0-7]{3}))|(?P<wrong>\\)",
    re.DOTALL,
)
_SHORT = dict(zip("abfnrtv\\", "\a\b\f\n\r\t\v\\", strict=True))


def _unquote(text: str, mark: str) -> str:
    """Go's escapes in a quoted text; raises ValueError on a wrong one."""

    def replace(match: re.Match[str]) -> str:
        if match["short"]:
            return _SHORT[match["short"]]
        if match["quote"]:
            if match["quote"] != mark:
                raise ValueError(match.group())
            return mark
        if match["wrong"]:
            raise ValueError(match.group())
        code = match["x"] or match["u"] or match["U"]
        return chr(int(code, 16) if code else int(match["octal"], 8))

    return _ESCAPE.sub(replace, text)
