"""The static cost of an expression: what an evaluation may cost at most, given the size limits of the schema.

The API server refuses CRDs whose rules could cost too much, so the estimate follows its arithmetic: the sizes of
strings, lists and maps come from maxLength, maxItems and maxProperties, or from the largest request where those are
absent, and loops multiply.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from . import syntax as s
from . import types as t
from .functions import Function
from .schema import MAX_REQUEST_BYTES, min_serialized
from .types import UNBOUNDED

if TYPE_CHECKING:
    from .compiler import Compiler

Range = tuple[int, int]

#: What the rules of one node may cost at most in the API server's estimate (times how often the node may occur).
RULE_LIMIT = 10_000_000
#: What all rules of a CRD version may cost together.
CRD_LIMIT = 100_000_000

_ZERO: Range = (0, 0)
_ONE: Range = (1, 1)
_UNKNOWN: Range = (0, UNBOUNDED)
_SCALARS = frozenset(("bool", "int", "uint", "double", "timestamp", "duration", "null", "type"))


def _cap(value: int) -> int:
    return value if value < UNBOUNDED else UNBOUNDED


def _add(a: Range, b: Range) -> Range:
    return _cap(a[0] + b[0]), _cap(a[1] + b[1])


def _multiply(a: Range, b: Range) -> Range:
    return _cap(a[0] * b[0]), _cap(a[1] * b[1])


def _union(a: Range, b: Range) -> Range:
    return min(a[0], b[0]), max(a[1], b[1])


def _tenths(size: Range, factor: int = 1) -> Range:
    """Give the cost of walking through a string of that size."""
    low, high = size
    return (low * factor + 9) // 10, UNBOUNDED if high >= UNBOUNDED else (high * factor + 9) // 10


def _quarters(size: Range) -> Range:
    return (size[0] + 3) // 4, UNBOUNDED if size[1] >= UNBOUNDED else (size[1] + 3) // 4


def most_in_request(schema: Mapping[str, Any]) -> int:
    """Give how many values of this schema, each with a comma, fit into a request: how often a rule on it may run where
    no limit of a list or map around it says.
    """
    return MAX_REQUEST_BYTES // (min_serialized(schema) + 1)


def estimate(compiler: Compiler, node: s.Node) -> Range:
    """Estimate the (least, most) cost of evaluating a checked tree."""
    return _Estimator(compiler).visit(node)[0]


class _Estimator:
    def __init__(self, compiler: Compiler) -> None:
        self.type = compiler.type
        self.library_costs = compiler.library_costs

    def visit(self, node: s.Node) -> tuple[Range, Range]:
        """Estimate (cost, size of the value) of a node."""
        return _ESTIMATES[node.__class__](self, node)

    def size(self, type_: t.Type) -> Range:
        """Give the sizes that values of a type can have; a scalar counts as one."""
        if type_.max_size is not None:
            return 0, type_.max_size
        if type_.kind in _SCALARS:
            return _ONE
        if type_.kind == "optional":
            return self.size(type_.params[0])
        return _UNKNOWN

    def literal(self, node: s.Literal) -> tuple[Range, Range]:
        value = node.value
        size = len(value) if isinstance(value, (str, bytes)) else 1
        return _ZERO, (size, size)

    def ident(self, node: s.Ident) -> tuple[Range, Range]:
        if node.local is not None and node.local.size is not None:
            return _ONE, node.local.size
        return _ONE, self.size(self.type(node))

    def select(self, node: s.Select) -> tuple[Range, Range]:
        if node.constant is not None:
            return _ONE, _ONE
        cost, _ = self.visit(node.operand)
        if node.test:
            return (cost if self.library_costs else _add(cost, _ONE)), _ONE
        if self.type(node.operand).kind in ("map", "object", "optional"):
            cost = _add(cost, _ONE)
        return cost, self.size(self.type(node))

    def index(self, node: s.Index) -> tuple[Range, Range]:
        cost = _add(self.visit(node.operand)[0], self.visit(node.index)[0])
        return _add(cost, _ONE), self.size(self.type(node))

    def call(self, node: s.Call) -> tuple[Range, Range]:
        nodes = ([node.target] if node.target is not None else []) + node.args
        visited = [self.visit(arg) for arg in nodes]
        total = _ZERO
        for cost, _ in visited:
            total = _add(total, cost)
        sizes = [size for _, size in visited]
        own: Range | None = None
        size = self.size(self.type(node))
        for overload in node.overloads:
            estimated, result = self.function(overload, nodes, sizes)
            own = estimated if own is None else _union(own, estimated)
            if result is not None:
                size = result
        if node.name == "dyn":
            size = sizes[0]
        return _add(total, own if own is not None else _ONE), size

    def function(self, function: Function, nodes: list[s.Node], sizes: list[Range]) -> tuple[Range, Range | None]:
        """Estimate (cost, size of the result if it is known) of calling one overload."""
        name = function.name
        first = function.params[0].kind if function.params else ""
        if name in ("_==_", "_!=_") or (name in ("_<_", "_<=_", "_>_", "_>=_") and first in ("string", "bytes")):
            smallest = min(sizes[0][1], sizes[1][1])
            return _tenths((1 if smallest else 0, smallest)), None
        if name == "_+_" and first in ("string", "bytes", "list"):
            both = _add(sizes[0], sizes[1])
            return (_ONE if first == "list" else _tenths(both)), both
        if name == "@in" and len(sizes) == 2 and function.params[1].kind == "list":
            return sizes[1], None
        cost = function.cost if self.library_costs else function.base_cost
        if isinstance(cost, int):
            return (cost, cost), None
        if isinstance(cost, str):
            rule = _RULES.get(cost)
            if rule is not None:
                return rule(self, nodes, sizes)
        return _ONE, None

    def logic(self, node: s.Logic) -> tuple[Range, Range]:
        total: Range | None = None
        for term in node.terms:
            cost, _ = self.visit(term)
            total = cost if total is None else (total[0], _cap(total[1] + cost[1]))
        assert total is not None
        return total, _ONE

    def ternary(self, node: s.Ternary) -> tuple[Range, Range]:
        cost, _ = self.visit(node.condition)
        then_cost, then_size = self.visit(node.then)
        other_cost, other_size = self.visit(node.other)
        return _add(cost, _union(then_cost, other_cost)), _union(then_size, other_size)

    def list_literal(self, node: s.ListLiteral) -> tuple[Range, Range]:
        total: Range = (10, 10)
        for item in node.items:
            total = _add(total, self.visit(item)[0])
        return total, (len(node.items), len(node.items))

    def map_literal(self, node: s.MapLiteral) -> tuple[Range, Range]:
        total: Range = (30, 30)
        for key, value in node.entries:
            total = _add(total, _add(self.visit(key)[0], self.visit(value)[0]))
        return total, (len(node.entries), len(node.entries))

    def comprehension(self, node: s.Comprehension) -> tuple[Range, Range]:
        range_cost, count = self.visit(node.range)
        condition = self.visit(node.condition)[0] if node.condition is not None else _ZERO
        result = self.visit(node.result)[0] if node.result is not None else _ZERO
        macro = node.macro
        size: Range = _ONE
        if macro in ("all", "exists"):
            fixed = 3 if macro == "all" else 4
            # The accumulator decides first, so the predicate itself may not run at all.
            step, base = (fixed, _cap(fixed + condition[1])), 1
        elif macro == "exists_one":
            step, base = _add(condition, (1, 2)), 2
        elif macro == "filter":
            step, base, size = _add(condition, (1, 13)), 11, count
        elif macro in ("map", "transformList", "sortBy"):
            made = _add(result, (12, 12))
            step = made if node.condition is None else _add(condition, _union(_ONE, made))
            base, size = 11, count
        else:
            made = _add(result, (3, 3))
            step = made if node.condition is None else _add(condition, _union(_ONE, made))
            base, size = 31, count
        return _add(_add(range_cost, (base, base)), _multiply(count, step)), size

    def bind(self, node: s.Bind) -> tuple[Range, Range]:
        cost, size = self.visit(node.value)
        assert node.local is not None
        node.local.size = size
        body_cost, body_size = self.visit(node.body)
        return _add(_add(cost, body_cost), (0, 10)), body_size

    def optional_map(self, node: s.OptionalMap) -> tuple[Range, Range]:
        cost, _ = self.visit(node.target)
        body_cost, body_size = self.visit(node.body)
        return _add(cost, (1, _cap(body_cost[1] + 1))), body_size


_ESTIMATES: dict[type, Callable[[_Estimator, Any], tuple[Range, Range]]] = {
    s.Literal: _Estimator.literal,
    s.Ident: _Estimator.ident,
    s.Select: _Estimator.select,
    s.Index: _Estimator.index,
    s.Call: _Estimator.call,
    s.Logic: _Estimator.logic,
    s.Ternary: _Estimator.ternary,
    s.ListLiteral: _Estimator.list_literal,
    s.MapLiteral: _Estimator.map_literal,
    s.Comprehension: _Estimator.comprehension,
    s.Bind: _Estimator.bind,
    s.OptionalMap: _Estimator.optional_map,
}

Estimated = tuple[Range, Range | None]


def _of_argument(index: int, factor: int = 1) -> Callable[[_Estimator, list[s.Node], list[Range]], Estimated]:
    return lambda estimator, nodes, sizes: (_tenths(sizes[index], factor), None)


def _string(estimator: _Estimator, nodes: list[s.Node], sizes: list[Range]) -> Estimated:
    result = sizes[0] if estimator.type(nodes[0]).kind == "string" else None
    return _tenths(sizes[0]), result


def _string_twice(estimator: _Estimator, nodes: list[s.Node], sizes: list[Range]) -> Estimated:
    cost = _tenths(sizes[0], 2)
    if len(sizes) >= 3 and estimator.type(nodes[2]).kind == "string":
        return cost, _replaced(*sizes[:3])
    return cost, (0, sizes[0][1])


def _replaced(size: Range, old: Range, new: Range) -> Range:
    """Give the size of a string after a replacement of strings of these sizes."""
    if old[0] == 0:
        most = _cap((size[1] + 1) * new[1] + size[1])
    elif new[1] <= old[0]:
        most = size[1]
    else:
        most = _cap(-(-size[1] // old[0]) * new[1])
    if old[1] == 0:
        least = (size[0] + 1) * new[0] + size[0]
    elif old[1] <= new[0]:
        least = size[0]
    else:
        least = -(-size[0] // old[1]) * new[0]
    return _cap(least), most


def _regex(estimator: _Estimator, nodes: list[s.Node], sizes: list[Range]) -> Estimated:
    cost = _multiply(_tenths(_add(sizes[0], _ONE)), _quarters(sizes[1]))
    return cost, (0, sizes[0][1])


def _contains(estimator: _Estimator, nodes: list[s.Node], sizes: list[Range]) -> Estimated:
    return _multiply(_tenths(sizes[0]), _tenths(sizes[1])), None


def _walk(estimator: _Estimator, nodes: list[s.Node], sizes: list[Range]) -> Estimated:
    type_ = estimator.type(nodes[0])
    each = _ONE
    if type_.kind == "list" and type_.params[0].kind in ("string", "bytes"):
        each = _add(each, _tenths(estimator.size(type_.params[0])))
    return _multiply(sizes[0], each), None


def _join(estimator: _Estimator, nodes: list[s.Node], sizes: list[Range]) -> Estimated:
    type_ = estimator.type(nodes[0])
    size = _multiply(sizes[0], estimator.size(type_.params[0])) if type_.params else _UNKNOWN
    if len(sizes) > 1:
        size = _add(size, _multiply(sizes[1], (max(sizes[0][0] - 1, 0), max(sizes[0][1] - 1, 0))))
    return _tenths(size), size


def _sets(estimator: _Estimator, nodes: list[s.Node], sizes: list[Range]) -> Estimated:
    return _add(_ONE, _multiply(sizes[0], sizes[1])), None


def _size(estimator: _Estimator, nodes: list[s.Node], sizes: list[Range]) -> Estimated:
    return _add(_ONE, sizes[0]), sizes[0]


def _format(estimator: _Estimator, nodes: list[s.Node], sizes: list[Range]) -> Estimated:
    return _tenths(sizes[0]), None


def _contains_ip(extra: int) -> Callable[[_Estimator, list[s.Node], list[Range]], Estimated]:
    def rule(estimator: _Estimator, nodes: list[s.Node], sizes: list[Range]) -> Estimated:
        cost: Range = (1 + extra, 4 + extra)
        if estimator.type(nodes[1]).kind == "string":
            cost = _add(cost, _tenths(sizes[1]))
        return cost, None

    return rule


def _validate(estimator: _Estimator, nodes: list[s.Node], sizes: list[Range]) -> Estimated:
    return _add(_ONE, _multiply(_tenths(sizes[1]), (16, 16))), None


_RULES: dict[str, Callable[[_Estimator, list[s.Node], list[Range]], Estimated]] = {
    "argument": _of_argument(1),
    "argument0": _of_argument(0),
    "string": _string,
    "string twice": _string_twice,
    "regex": _regex,
    "contains": _contains,
    "walk": _walk,
    "sets": _sets,
    "join": _join,
    "format": _format,
    "contains ip": _contains_ip(0),
    "contains cidr": _contains_ip(3),
    "validate": _validate,
    "size": _size,
}
