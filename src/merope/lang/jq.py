"""The path language of jq, as far as ``del(...)`` needs it: which parts of a document an expression means.

An expression is compiled to a filter: a function from a value, and the path that leads to it, to any number of values
and their paths. Values that are computed have no path; naming one for deletion is an error, as in jq.

Known: ``.``, ``.a``, ``."a"``, ``.["a"]``, ``.[0]``, ``.[-1]``, ``.[]``, ``..``, ``?``, pipes, commas, ``//``,
parentheses, literals, comparisons, ``and``, ``or``, ``not``, and the functions in ``_FUNCTIONS``. Definitions,
arithmetic, variables, reductions and formats are not.
"""

from __future__ import annotations

import copy
import json
import re
from collections.abc import Callable, Iterable, Iterator
from functools import lru_cache
from time import monotonic
from typing import Any, Final

Path = tuple[str | int, ...]
Item = tuple[Path | None, Any]
Filter = Callable[[Path | None, Any, float], Iterator[Item]]


class JqError(ValueError):
    """An expression that can't be compiled, or fails on a document."""


class JqTimeout(JqError):
    """An evaluation that took longer than it may."""


def delete(expression: str, document: Any, *, seconds: float = 1.0) -> Any:
    """A copy of the document without the parts that the expression means. Raises JqError, JqTimeout."""
    paths: list[Path] = []
    for path, value in compile_jq(expression)((), document, monotonic() + seconds):
        if path is None:
            raise JqError(f"invalid path expression with result {_shown(value)}")
        paths.append(path)
    result = copy.deepcopy(document)
    for path in sorted(set(paths), key=_deletion_order):
        if not path:
            return None
        _remove(result, path)
    return result


def _deletion_order(path: Path) -> list[tuple[int, int, str]]:
    """Later items of a list first, so that the places of earlier ones hold."""
    return [(0, -part, "") if isinstance(part, int) else (1, 0, part) for part in path]


def _remove(document: Any, path: Path) -> None:
    *parents, last = path
    for part in parents:
        if isinstance(document, dict) and isinstance(part, str):
            document = document.get(part)
        elif isinstance(document, list) and isinstance(part, int) and -len(document) <= part < len(document):
            document = document[part]
        else:
            return
    if isinstance(document, dict) and isinstance(last, str):
        document.pop(last, None)
    elif isinstance(document, list) and isinstance(last, int) and -len(document) <= last < len(document):
        del document[last]


# --- the language ----------------------------------------------------------------------------------------------------

_TOKEN: Final = re.compile(
    r"""\s*(?:(?P<string>"(?:[^"\\]|\\.)*")
    |(?P<number>\d+(?:\.\d+)?(?:[eE][+-]?\d+)?)
    |(?P<field>\.[A-Za-z_][A-Za-z0-9_]*)
    |(?P<name>[A-Za-z_][A-Za-z0-9_]*)
    |(?P<mark>\.\.|//|==|!=|<=|>=|[.\[\]()|,?<>;:\-]))""",
    re.VERBOSE,
)


@lru_cache(maxsize=256)
def compile_jq(expression: str) -> Filter:
    """The filter of an expression. Raises JqError."""
    parser = _Parser(expression)
    result = parser.pipe()
    parser.end()
    return result


class _Parser:
    def __init__(self, text: str) -> None:
        self._tokens: list[tuple[str, str]] = []
        at, end = 0, len(text.rstrip())
        while at < end:
            match = _TOKEN.match(text, at)
            if match is None:
                raise JqError(f"unexpected token {text[at:].strip()[:1]!r}")
            kind = match.lastgroup
            assert kind is not None
            self._tokens.append((kind, match.group(kind)))
            at = match.end()
        self._at = 0
        self._depth = 0

    def _peek(self) -> tuple[str, str]:
        return self._tokens[self._at] if self._at < len(self._tokens) else ("end", "")

    def _next(self) -> tuple[str, str]:
        token = self._peek()
        self._at += 1
        return token

    def _accept(self, *texts: str) -> str:
        kind, text = self._peek()
        if kind in ("mark", "name") and text in texts:
            self._at += 1
            return text
        return ""

    def _expect(self, text: str) -> None:
        if not self._accept(text):
            raise JqError(f"unexpected token {self._peek()[1]!r}, expected {text!r}")

    def end(self) -> None:
        if self._peek()[0] != "end":
            raise JqError(f"unexpected token {self._peek()[1]!r}")

    def pipe(self) -> Filter:
        self._depth += 1
        if self._depth > 50:
            raise JqError("expression is nested too deeply")
        left = self._comma()
        while self._accept("|"):
            left = _pipe(left, self._comma())
        self._depth -= 1
        return left

    def _comma(self) -> Filter:
        left = self._alternative()
        while self._accept(","):
            left = _comma(left, self._alternative())
        return left

    def _alternative(self) -> Filter:
        left = self._or()
        return _alternative(left, self._alternative()) if self._accept("//") else left

    def _or(self) -> Filter:
        left = self._and()
        while self._accept("or"):
            left = _logic(left, self._and(), decisive=True)
        return left

    def _and(self) -> Filter:
        left = self._comparison()
        while self._accept("and"):
            left = _logic(left, self._comparison(), decisive=False)
        return left

    def _comparison(self) -> Filter:
        left = self._postfix()
        operator = self._accept("==", "!=", "<=", ">=", "<", ">")
        return _comparison(left, self._postfix(), operator) if operator else left

    def _postfix(self) -> Filter:
        term = self._term()
        while True:
            kind, text = self._peek()
            if kind == "field":
                self._at += 1
                term = _pipe(term, _index(text[1:]))
            elif (
                text == "." and self._tokens[self._at + 1 : self._at + 2] and self._tokens[self._at + 1][0] == "string"
            ):
                self._at += 1
                term = _pipe(term, _index(_text(self._next()[1])))
            elif text == "." and self._tokens[self._at + 1 : self._at + 2] == [("mark", "[")]:
                self._at += 1
            elif text == "[":
                term = self._brackets(term)
            elif text == "?":
                self._at += 1
                term = _try(term)
            else:
                return term

    def _brackets(self, term: Filter) -> Filter:
        self._expect("[")
        if self._accept("]"):
            return _pipe(term, _each)
        key = self.pipe()
        if self._peek()[1] == ":":
            raise JqError("slices are not supported")
        self._expect("]")
        return _dynamic_index(term, key)

    def _term(self) -> Filter:
        kind, text = self._next()
        if kind == "field":
            return _index(text[1:])
        if kind == "string":
            return _literal(_text(text))
        if kind == "number":
            return _literal(json.loads(text))
        if text == "-" and self._peek()[0] == "number":
            return _literal(-json.loads(self._next()[1]))
        if text == "..":
            return _recurse
        if text == ".":
            following, value = self._peek()
            if following == "string":
                self._at += 1
                return _index(_text(value))
            return _identity
        if text == "(":
            inner = self.pipe()
            self._expect(")")
            return inner
        if kind == "name":
            return self._call(text)
        raise JqError(f"unexpected token {text!r}" if text else "unexpected EOF")

    def _call(self, name: str) -> Filter:
        arguments: list[Filter] = []
        if self._accept("("):
            arguments.append(self.pipe())
            while self._accept(";"):
                arguments.append(self.pipe())
            self._expect(")")
        function = _FUNCTIONS.get((name, len(arguments)))
        if function is None:
            raise JqError(f"function not defined: {name}/{len(arguments)}")
        return function(*arguments)


def _text(token: str) -> str:
    if "\\(" in token:
        raise JqError("string interpolation is not supported")
    try:
        return str(json.loads(token))
    except ValueError as error:
        raise JqError(f"invalid string literal {token}") from error


# --- filters ---------------------------------------------------------------------------------------------------------


def _check(deadline: float) -> None:
    if monotonic() > deadline:
        raise JqTimeout("jq expression execution timed out after 1s")


def _identity(path: Path | None, value: Any, deadline: float) -> Iterator[Item]:
    yield path, value


def _literal(value: Any) -> Filter:
    def literal(_path: Path | None, _value: Any, deadline: float) -> Iterator[Item]:
        yield None, value

    return literal


def _pipe(left: Filter, right: Filter) -> Filter:
    def pipe(path: Path | None, value: Any, deadline: float) -> Iterator[Item]:
        for found, inner in left(path, value, deadline):
            _check(deadline)
            yield from right(found, inner, deadline)

    return pipe


def _comma(left: Filter, right: Filter) -> Filter:
    def comma(path: Path | None, value: Any, deadline: float) -> Iterator[Item]:
        yield from left(path, value, deadline)
        yield from right(path, value, deadline)

    return comma


def _alternative(left: Filter, right: Filter) -> Filter:
    def alternative(path: Path | None, value: Any, deadline: float) -> Iterator[Item]:
        found = False
        try:
            for item in left(path, value, deadline):
                if _true(item[1]):
                    found = True
                    yield item
        except JqTimeout:
            raise
        except JqError:
            pass
        if not found:
            yield from right(path, value, deadline)

    return alternative


def _try(inner: Filter) -> Filter:
    def attempt(path: Path | None, value: Any, deadline: float) -> Iterator[Item]:
        try:
            yield from inner(path, value, deadline)
        except JqTimeout:
            raise
        except JqError:
            return

    return attempt


def _logic(left: Filter, right: Filter, *, decisive: bool) -> Filter:
    def logic(_path: Path | None, value: Any, deadline: float) -> Iterator[Item]:
        for _, one in left(None, value, deadline):
            if _true(one) is decisive:
                yield None, decisive
                continue
            for _, other in right(None, value, deadline):
                yield None, _true(other)

    return logic


def _comparison(left: Filter, right: Filter, operator: str) -> Filter:
    compare = _COMPARISONS[operator]

    def comparison(_path: Path | None, value: Any, deadline: float) -> Iterator[Item]:
        for _, other in right(None, value, deadline):
            for _, one in left(None, value, deadline):
                yield None, compare(_order(one), _order(other))

    return comparison


_COMPARISONS: Final[dict[str, Callable[[Any, Any], bool]]] = {
    "==": lambda one, other: bool(one == other),
    "!=": lambda one, other: bool(one != other),
    "<": lambda one, other: bool(one < other),
    "<=": lambda one, other: bool(one <= other),
    ">": lambda one, other: bool(one > other),
    ">=": lambda one, other: bool(one >= other),
}


def _order(value: Any) -> tuple[Any, ...]:
    """Values of all types in jq's order: null, false, true, numbers, strings, arrays, objects."""
    if value is None:
        return (0,)
    if isinstance(value, bool):
        return (2,) if value else (1,)
    if isinstance(value, (int, float)):
        return (3, value)
    if isinstance(value, str):
        return (4, value)
    if isinstance(value, list):
        return (5, [_order(item) for item in value])
    keys = sorted(value)
    return (6, keys, [_order(value[key]) for key in keys])


def _true(value: Any) -> bool:
    return value is not None and value is not False


def _type(value: Any) -> str:
    return _TYPES[_order(value)[0]]


_TYPES: Final = ("null", "boolean", "boolean", "number", "string", "array", "object")


def _shown(value: Any) -> str:
    return json.dumps(value, separators=(",", ":"), ensure_ascii=False)[:60]


def _index(key: str | int) -> Filter:
    def index(path: Path | None, value: Any, deadline: float) -> Iterator[Item]:
        yield _at(path, value, key)

    return index


def _dynamic_index(term: Filter, key: Filter) -> Filter:
    def index(path: Path | None, value: Any, deadline: float) -> Iterator[Item]:
        for found, inner in term(path, value, deadline):
            for _, wanted in key(None, value, deadline):
                yield _at(found, inner, wanted)

    return index


def _at(path: Path | None, value: Any, key: Any) -> Item:
    """The member or item of a value; null where there is none."""
    if isinstance(key, bool) or not isinstance(key, (str, int)):
        raise JqError(f"{_type(key)} ({_shown(key)}) can't be an index")
    inside = None if path is None else (*path, key)
    if value is None:
        return inside, None
    if isinstance(key, str) and isinstance(value, dict):
        return inside, value.get(key)
    if isinstance(key, int) and isinstance(value, list):
        if not -len(value) <= key < len(value):
            return inside, None
        place = key % len(value)
        return (None if path is None else (*path, place)), value[place]
    wanted = "an object" if isinstance(key, str) else "an array"
    raise JqError(f"expected {wanted} but got: {_type(value)} ({_shown(value)})")


def _each(path: Path | None, value: Any, deadline: float) -> Iterator[Item]:
    items: Iterable[tuple[str | int, Any]]
    if isinstance(value, dict):
        items = sorted(value.items())
    elif isinstance(value, list):
        items = enumerate(value)
    else:
        raise JqError(f"cannot iterate over: {_type(value)}")
    for key, inner in items:
        yield (None if path is None else (*path, key)), inner


def _recurse(path: Path | None, value: Any, deadline: float) -> Iterator[Item]:
    _check(deadline)
    yield path, value
    if isinstance(value, (dict, list)):
        for inside, inner in _each(path, value, deadline):
            yield from _recurse(inside, inner, deadline)


# --- functions -------------------------------------------------------------------------------------------------------


def _select(condition: Filter) -> Filter:
    def select(path: Path | None, value: Any, deadline: float) -> Iterator[Item]:
        for _, result in condition(None, value, deadline):
            if _true(result):
                yield path, value

    return select


def _first(inner: Filter) -> Filter:
    def first(path: Path | None, value: Any, deadline: float) -> Iterator[Item]:
        for item in inner(path, value, deadline):
            yield item
            return

    return first


def _empty() -> Filter:
    def empty(path: Path | None, value: Any, deadline: float) -> Iterator[Item]:
        return iter(())

    return empty


def _computed(function: Callable[[Any], Any]) -> Callable[[], Filter]:
    """A function of the input alone."""

    def make() -> Filter:
        def computed(_path: Path | None, value: Any, deadline: float) -> Iterator[Item]:
            yield None, function(value)

        return computed

    return make


def _computed_with(function: Callable[[Any, Any], Any]) -> Callable[[Filter], Filter]:
    """A function of the input and one argument."""

    def make(argument: Filter) -> Filter:
        def computed(_path: Path | None, value: Any, deadline: float) -> Iterator[Item]:
            for _, given in argument(None, value, deadline):
                yield None, function(value, given)

        return computed

    return make


def _quantified(wanted: bool) -> Callable[[Filter], Filter]:
    def make(condition: Filter) -> Filter:
        def quantified(_path: Path | None, value: Any, deadline: float) -> Iterator[Item]:
            for _, inner in _each(None, value, deadline):
                for _, result in condition(None, inner, deadline):
                    if _true(result) is wanted:
                        yield None, wanted
                        return
            yield None, not wanted

        return quantified

    return make


def _length(value: Any) -> Any:
    if value is None:
        return 0
    if isinstance(value, bool):
        raise JqError("boolean has no length")
    return abs(value) if isinstance(value, (int, float)) else len(value)


def _keys(value: Any) -> list[Any]:
    if isinstance(value, dict):
        return sorted(value)
    if isinstance(value, list):
        return list(range(len(value)))
    raise JqError(f"{_type(value)} has no keys")


def _has(value: Any, key: Any) -> bool:
    if isinstance(value, dict) and isinstance(key, str):
        return key in value
    if isinstance(value, list) and isinstance(key, int):
        return 0 <= key < len(value)
    raise JqError(f"cannot check whether {_type(value)} has a key of type {_type(key)}")


def _strings(name: str, function: Callable[[str, str], bool]) -> Callable[[Any, Any], bool]:
    def check(value: Any, given: Any) -> bool:
        if not isinstance(value, str) or not isinstance(given, str):
            raise JqError(f"{name} cannot be applied to: {_type(value)} ({_shown(value)}), {_type(given)}")
        return function(value, given)

    return check


def _matches(value: str, pattern: str) -> bool:
    if len(pattern) > 200 or re.search(r"[*+}][^()]*\)[*+{]", pattern):
        raise JqError(f"the pattern {_shown(pattern)} may take too long")
    try:
        return re.search(pattern, value) is not None
    except re.error as error:
        raise JqError(f"invalid regular expression {_shown(pattern)}: {error}") from error


def _contains(value: Any, given: Any) -> bool:
    if isinstance(value, dict) and isinstance(given, dict):
        return all(key in value and _contains(value[key], inner) for key, inner in given.items())
    if isinstance(value, list) and isinstance(given, list):
        return all(any(_type(one) == _type(inner) and _contains(one, inner) for one in value) for inner in given)
    if isinstance(value, str) and isinstance(given, str):
        return given in value
    if _type(value) != _type(given):
        raise JqError(f"{_type(value)} and {_type(given)} cannot have their containment checked")
    return _order(value) == _order(given)


_FUNCTIONS: Final[dict[tuple[str, int], Callable[..., Filter]]] = {
    ("select", 1): _select,
    ("recurse", 0): lambda: _recurse,
    ("first", 1): _first,
    ("empty", 0): _empty,
    ("null", 0): lambda: _literal(None),
    ("true", 0): lambda: _literal(True),
    ("false", 0): lambda: _literal(False),
    ("not", 0): _computed(lambda value: not _true(value)),
    ("type", 0): _computed(_type),
    ("length", 0): _computed(_length),
    ("keys", 0): _computed(_keys),
    ("has", 1): _computed_with(_has),
    ("contains", 1): _computed_with(_contains),
    ("startswith", 1): _computed_with(_strings("startswith", str.startswith)),
    ("endswith", 1): _computed_with(_strings("endswith", str.endswith)),
    ("test", 1): _computed_with(_strings("test", _matches)),
    ("any", 1): _quantified(True),
    ("all", 1): _quantified(False),
}
