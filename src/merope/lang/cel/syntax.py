"""The syntax tree: what the parser makes, the checker annotates with types, and the compiler turns into closures.

Macros are nodes of their own rather than expanded into folds: they check faster, read better in errors, and compile
to plain loops. Chains of `&&` and `||` are one node, however long, so that depth measures nesting and nothing else.
"""

from __future__ import annotations

from typing import Any

from .functions import Function
from .types import DYN, Type


class Node:
    """One expression; `offset` is where errors about it point, `depth` the height of its tree."""

    __slots__ = ("depth", "offset", "type")

    def __init__(self, offset: int, *children: Node | None) -> None:
        self.offset = offset
        self.type: Type = DYN
        self.depth: int = 1 + max((child.depth for child in children if child is not None), default=0)


class Literal(Node):
    """A constant."""

    __slots__ = ("value",)

    def __init__(self, offset: int, value: Any) -> None:
        super().__init__(offset)
        self.value = value


class Ident(Node):
    """A name. The checker decides whether it is a variable or a type, and notes a declaration shared by all uses."""

    __slots__ = ("constant", "local", "name")

    def __init__(self, offset: int, name: str) -> None:
        super().__init__(offset)
        self.name = name
        self.local: Local | None = None
        self.constant: Type | None = None


class Local:
    """A variable that a macro declares."""

    __slots__ = ("lazy", "name", "size", "slot", "type")

    def __init__(self, name: str, type_: Type) -> None:
        self.name = name
        self.type = type_
        self.slot = -1
        #: The compiled initialiser of `cel.bind`, which runs at the first use.
        self.lazy: Any = None
        #: (min, max) size as estimated, for the static cost.
        self.size: tuple[int, int] | None = None


class Select(Node):
    """`operand.field`, `operand.?field`, or `has(operand.field)`."""

    __slots__ = ("constant", "field", "key", "operand", "optional", "test")

    def __init__(self, offset: int, operand: Node, field: str, *, test: bool = False, optional: bool = False) -> None:
        super().__init__(offset, operand)
        self.operand = operand
        self.field = field
        #: The name in the data, which differs from `field` where the schema's name had to be escaped.
        self.key = field
        self.test = test
        self.optional = optional
        self.constant: Type | None = None


class Index(Node):
    """`operand[index]` or `operand[?index]`."""

    __slots__ = ("index", "operand", "optional")

    def __init__(self, offset: int, operand: Node, index: Node, *, optional: bool = False) -> None:
        super().__init__(offset, operand, index)
        self.operand = operand
        self.index = index
        self.optional = optional


class Call(Node):
    """A function, method or operator; operators have names like `_+_`."""

    __slots__ = ("args", "name", "overloads", "target")

    def __init__(self, offset: int, name: str, target: Node | None, args: list[Node]) -> None:
        super().__init__(offset, target, *args)
        self.name = name
        self.target = target
        self.args = args
        self.overloads: list[Function] = []


class Logic(Node):
    """A chain of `&&` (``all`` is true) or of `||`."""

    __slots__ = ("conjunction", "terms")

    def __init__(self, offset: int, conjunction: bool, terms: list[Node]) -> None:
        super().__init__(offset, *terms)
        self.conjunction = conjunction
        self.terms = terms


class Ternary(Node):
    """`condition ? then : other`."""

    __slots__ = ("condition", "other", "then")

    def __init__(self, offset: int, condition: Node, then: Node, other: Node) -> None:
        super().__init__(offset, condition, then, other)
        self.condition = condition
        self.then = then
        self.other = other


class ListLiteral(Node):
    """`[a, ?b]`; `optional` holds the positions written with a question mark."""

    __slots__ = ("items", "optional")

    def __init__(self, offset: int, items: list[Node], optional: frozenset[int]) -> None:
        super().__init__(offset, *items)
        self.items = items
        self.optional = optional


class MapLiteral(Node):
    """`{key: value, ?key: value}`."""

    __slots__ = ("entries", "optional")

    def __init__(self, offset: int, entries: list[tuple[Node, Node]], optional: frozenset[int]) -> None:
        super().__init__(offset, *(node for entry in entries for node in entry))
        self.entries = entries
        self.optional = optional


class Message(Node):
    """`Name{field: value}`; no message types exist here, so the checker always refuses it."""

    __slots__ = ("fields", "name")

    def __init__(self, offset: int, name: str, fields: list[tuple[str, Node]]) -> None:
        super().__init__(offset, *(value for _, value in fields))
        self.name = name
        self.fields = fields


class Comprehension(Node):
    """A macro over a list or map.

    `macro` is one of all, exists, exists_one, map, filter, sortBy, transformList, transformMap, transformMapEntry;
    `names` has one or two variables; `condition` is the predicate (or a filter), `result` the transformation.
    """

    __slots__ = ("condition", "locals", "macro", "names", "range", "result")

    def __init__(
        self, offset: int, macro: str, range_: Node, names: list[str], condition: Node | None, result: Node | None
    ) -> None:
        super().__init__(offset, range_, condition, result)
        self.macro = macro
        self.range = range_
        self.names = names
        self.condition = condition
        self.result = result
        self.locals: list[Local] = []


class Bind(Node):
    """`cel.bind(name, value, body)`."""

    __slots__ = ("body", "local", "name", "value")

    def __init__(self, offset: int, name: str, value: Node, body: Node) -> None:
        super().__init__(offset, value, body)
        self.name = name
        self.value = value
        self.body = body
        self.local: Local | None = None


class OptionalMap(Node):
    """`target.optMap(name, body)` or, when `flat`, `target.optFlatMap(name, body)`."""

    __slots__ = ("body", "flat", "local", "name", "target")

    def __init__(self, offset: int, target: Node, name: str, body: Node, *, flat: bool) -> None:
        super().__init__(offset, target, body)
        self.target = target
        self.name = name
        self.body = body
        self.flat = flat
        self.local: Local | None = None
