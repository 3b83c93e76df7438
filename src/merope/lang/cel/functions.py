"""How functions are declared: one `Function` is one overload, with its types, its implementation and its cost.

Libraries declare overloads by signature, as people write them down: ``<string>.charAt(int) -> string``,
``math.abs(int) -> int``, ``<list<T>>.indexOf(T) -> int``. Capital letters are type parameters. Signatures are parsed
when a name is first used.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from typing import Any, TypeVar

from . import types as t

F = TypeVar("F", bound=Callable[..., Any])

#: A cost: units, or the name of one of the rules in `cost`.
Cost = int | str


class Function:
    """One overload of a function or method.

    Args:
        name: as written in expressions; may be qualified (`sets.contains`).
        params: parameter types; of a method, the receiver comes first.
        result: result type.
        implementation: called with the argument values. It may raise `EvaluationError`. None for what the compiler does
            itself.
        member: whether it is called as a method of its first parameter.
        cost: units of the runtime budget for each call, or the name of a cost rule.
        base_cost: cost where the Kubernetes library rules are not in force (as in OCM's own environments).
    """

    __slots__ = ("base_cost", "cost", "implementation", "member", "name", "params", "result")

    def __init__(
        self,
        name: str,
        params: Iterable[t.Type],
        result: t.Type,
        implementation: Callable[..., Any] | None,
        *,
        member: bool = False,
        cost: Cost | Callable[[list[Any]], int] = 1,
        base_cost: Cost | Callable[[list[Any]], int] | None = None,
    ) -> None:
        self.name = name
        self.params = tuple(params)
        self.result = result
        self.implementation = implementation
        self.member = member
        self.cost = cost
        self.base_cost = cost if base_cost is None else base_cost

    def __repr__(self) -> str:
        params = [t.format_type(p) for p in self.params]
        if self.member:
            return f"{params[0]}.{self.name}({', '.join(params[1:])}) -> {self.result!r}"
        return f"{self.name}({', '.join(params)}) -> {self.result!r}"


_NAMES: dict[str, t.Type] = {
    "bool": t.BOOL,
    "int": t.INT,
    "uint": t.UINT,
    "double": t.DOUBLE,
    "string": t.STRING,
    "bytes": t.BYTES,
    "null": t.NULL,
    "dyn": t.DYN,
    "type": t.TYPE,
    "timestamp": t.TIMESTAMP,
    "duration": t.DURATION,
    "quantity": t.QUANTITY,
    "url": t.URL,
    "ip": t.IP,
    "cidr": t.CIDR,
    "semver": t.SEMVER,
    "format": t.FORMAT,
}
_PARAMETERS = {name: t.variable(name) for name in "TKV"}
_WORD = re.compile(r"\s*([A-Za-z]+|[<>,])")


def _split(text: str) -> list[str]:
    parts, depth, start = [], 0, 0
    for i, char in enumerate(text):
        if char == "<":
            depth += 1
        elif char == ">":
            depth -= 1
        elif char == "," and not depth:
            parts.append(text[start:i])
            start = i + 1
    parts.append(text[start:])
    return [part.strip() for part in parts if part.strip()]


def parse_type(text: str) -> t.Type:
    """Read a type as signatures spell it: `list<T>`, `map<string, dyn>`, `optional<int>`, `type<T>`."""
    text = text.strip()
    if "<" not in text:
        found = _NAMES.get(text)
        return found if found is not None else _PARAMETERS[text]
    head, _, rest = text.partition("<")
    params = tuple(parse_type(part) for part in _split(rest[: rest.rindex(">")]))
    return t.Type(head, params, name="optional_type" if head == "optional" else "")


_SIGNATURE = re.compile(
    r"\s*(?:<(?P<receiver>.+?)>\.)?(?P<name>[\w.@!?:\[\]&|=<>+*/%-]+?)\((?P<params>.*)\)\s*->\s*(?P<result>.+)"
)


def parse_signature(signature: str) -> tuple[str, bool, tuple[t.Type, ...], t.Type]:
    """Read a signature into (name, is a method, parameter types, result type)."""
    found = _SIGNATURE.fullmatch(signature)
    if found is None:
        raise ValueError(f"malformed signature: {signature}")
    receiver = found["receiver"]
    params = [parse_type(part) for part in _split(found["params"])]
    if receiver is not None:
        params.insert(0, parse_type(receiver))
    return found["name"], receiver is not None, tuple(params), parse_type(found["result"])


class Library:
    """A named set of functions, filled by the decorator `overload`.

    The table is written at import but its signatures are parsed one name at a time, when an expression first uses it.
    """

    def __init__(self, name: str) -> None:
        self.name = name
        self._declared: dict[str, list[tuple[str, Callable[..., Any] | None, Any, Any]]] = {}
        self._parsed: dict[str, tuple[Function, ...]] = {}

    def overload(self, *signatures: str, cost: Any = 1, base_cost: Any = None) -> Callable[[F], F]:
        """Declare the decorated function as the implementation of these signatures."""

        def declare(implementation: F) -> F:
            for signature in signatures:
                self.declare(signature, implementation, cost=cost, base_cost=base_cost)
            return implementation

        return declare

    def declare(
        self, signature: str, implementation: Callable[..., Any] | None, *, cost: Any = 1, base_cost: Any = None
    ) -> None:
        """Declare one overload."""
        head = signature[: signature.index("(", 1)]
        name = head[head.rindex(">.") + 2 :] if head.startswith("<") and ">." in head else head
        self._declared.setdefault(name, []).append((signature, implementation, cost, base_cost))

    def names(self) -> Iterable[str]:
        """List the names of all functions and methods."""
        return self._declared.keys()

    def find(self, name: str) -> tuple[Function, ...]:
        """Give the overloads of a name, none if it is not in this library."""
        parsed = self._parsed.get(name)
        if parsed is None:
            declared = self._declared.get(name)
            if declared is None:
                return ()
            functions = []
            for signature, implementation, cost, base_cost in declared:
                parsed_name, member, params, result = parse_signature(signature)
                functions.append(
                    Function(parsed_name, params, result, implementation, member=member, cost=cost, base_cost=base_cost)
                )
            parsed = self._parsed[name] = tuple(functions)
        return parsed


class Registry:
    """The functions of one environment: libraries in order, then the caller's own."""

    def __init__(self, libraries: Iterable[Library], functions: Iterable[Function]) -> None:
        self._libraries = tuple(libraries)
        own: dict[str, list[Function]] = {}
        for function in functions:
            own.setdefault(function.name, []).append(function)
        self._own: Mapping[str, list[Function]] = own
        self._found: dict[tuple[str, bool], tuple[Function, ...]] = {}

    def find(self, name: str, *, member: bool) -> tuple[Function, ...]:
        """Give all overloads of a function (or of a method, with `member`)."""
        key = (name, member)
        found = self._found.get(key)
        if found is None:
            every = [function for library in self._libraries for function in library.find(name)]
            every += self._own.get(name, ())
            found = self._found[key] = tuple(function for function in every if function.member is member)
        return found
