"""Tree to closures: each node becomes one Python function of the frame, specialised for the static types at hand.

The frame is a list: slot 0 is the cost so far, slot 1 the budget, then the variables. A node also has a fixed cost,
which its parents add up and charge once where evaluation becomes conditional (the program, a branch, an iteration);
costs that depend on sizes are charged by the node itself. The budget is checked in loops and wherever size is charged,
so that work stays bounded.

Errors are Python exceptions. `&&` and `||` catch `EvaluationError` and forget it when another term decides.

A value that an expression reads from the data is "raw" as long as its static type says how to go on; `Compiler.value`
compiles a node so that it yields a finished value (see `schema.reader`).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from . import syntax as s
from . import types as t
from .cost import RULES, traversal
from .errors import CelError, CostExceeded, EvaluationError, no_such_key, no_such_overload
from .functions import Function
from .library.regex import matcher
from .operators import ARITHMETIC, DYNAMIC, index_value, negate, select_optional, select_value
from .schema import is_exact, reader, scalar_reader
from .values import (
    NONE,
    OptionalValue,
    comparable,
    contains,
    equals,
    key_of,
    size_of,
)

Frame = list[Any]
Evaluate = Callable[[Frame], Any]

COST, BUDGET, FIRST_SLOT = 0, 1, 2
#: What an unbound variable's slot holds.
MISSING: Any = type("Missing", (), {"__repr__": lambda self: "<missing>", "__slots__": ()})()
_NOT_CONSTANT: Any = object()
_SIZED = frozenset(("string", "bytes", "list", "map", "object"))
_PLAIN_ORDER = frozenset(("int", "uint", "string", "bytes", "bool", "timestamp", "duration"))


class Code:
    """A compiled node: the closure, its fixed cost, and its value if that is already known."""

    __slots__ = ("constant", "cost", "run")

    def __init__(self, run: Evaluate, cost: int = 0, constant: Any = _NOT_CONSTANT) -> None:
        self.run = run
        self.cost = cost
        self.constant = constant

    @property
    def is_constant(self) -> bool:
        """Whether the value is known."""
        return self.constant is not _NOT_CONSTANT


def _constant(value: Any, cost: int = 0) -> Code:
    return Code(lambda fr: value, cost, value)


class Compiler:
    """Compiles one checked tree."""

    def __init__(self, final: Callable[[t.Type], t.Type], slots: dict[str, int], *, library_costs: bool) -> None:
        self.final = final
        #: Slots of declared variables by name.
        self.slots = slots
        self.size = FIRST_SLOT + len(slots)
        self.library_costs = library_costs

    def compile(self, node: s.Node) -> Code:
        """Compile a node; what it yields may still be raw data of its static type."""
        return _COMPILERS[node.__class__](self, node)

    def value(self, node: s.Node) -> Code:
        """Compile a node so that it yields a finished value."""
        code = self.compile(node)
        read = reader(self.type(node))
        if read is None or code.is_constant:
            return code
        run = code.run
        decode = read
        return Code(lambda fr: decode(run(fr)), code.cost)

    def type(self, node: s.Node) -> t.Type:
        """Give the static type of a node, with all type parameters replaced."""
        found = node.type
        if found.params or found.kind == "var":
            found = node.type = self.final(found)
        return found

    def slot(self) -> int:
        """Reserve a frame slot."""
        self.size += 1
        return self.size - 1

    # ---- names and selection

    def literal(self, node: s.Literal) -> Code:
        return _constant(node.value)

    def ident(self, node: s.Ident) -> Code:
        if node.constant is not None:
            return _constant(node.constant, 1)
        local = node.local
        if local is not None:
            slot = local.slot
            if local.lazy is not None:
                return Code(_lazy(slot, local.lazy), 1)
            return Code(lambda fr: fr[slot], 1)
        slot = self.slots[node.name]
        name = node.name
        decode = scalar_reader(self.type(node))

        def variable(fr: Frame) -> Any:
            value = fr[slot]
            if value is MISSING:
                raise EvaluationError(f"no such attribute(s): {name}")
            return value

        if decode is None:
            return Code(variable, 1)
        read = decode
        return Code(lambda fr: read(variable(fr)), 1)

    def _path(self, node: s.Select) -> tuple[int, str, tuple[str, ...]] | None:
        """Recognise a plain chain of fields from a variable: (slot, variable name, keys)."""
        keys: list[str] = []
        current: s.Node = node
        while isinstance(current, s.Select):
            if current.test and current is not node:
                return None
            if (
                current.optional
                or current.constant is not None
                or self.type(current.operand).kind
                not in (
                    "object",
                    "map",
                    "dyn",
                )
            ):
                return None
            keys.append(current.key)
            current = current.operand
        if not isinstance(current, s.Ident) or current.constant is not None:
            return None
        keys.reverse()
        if current.local is not None:
            if current.local.lazy is not None:
                return None
            return current.local.slot, current.name, tuple(keys)
        return self.slots[current.name], current.name, tuple(keys)

    def select(self, node: s.Select) -> Code:
        if node.constant is not None:
            return _constant(node.constant, 1)
        if node.test:
            return self._has(node)
        decode = scalar_reader(self.type(node))
        path = self._path(node)
        if path is not None:
            run = _select_path(*path)
            cost = 1 + len(path[2])
        else:
            operand = self.compile(node.operand)
            inner, key, cost = operand.run, node.key, operand.cost + 1
            if node.optional or self.type(node.operand).kind == "optional":
                result = self.type(node)
                decode = scalar_reader(result.params[0]) if result.kind == "optional" else None
                return Code(_select_optional(inner, key, decode), cost)

            def run(fr: Frame) -> Any:
                value = inner(fr)
                if value.__class__ is dict:
                    try:
                        return value[key]
                    except KeyError:
                        raise no_such_key(key) from None
                return select_value(value, key)

        if decode is None:
            return Code(run, cost)
        read = decode
        return Code(lambda fr: read(run(fr)), cost)

    def _has(self, node: s.Select) -> Code:
        key = node.key
        path = self._path(node)
        cost = 0 if self.library_costs else 1
        if path is not None and len(path[2]) == 1:
            slot, name, _ = path

            def has_in_variable(fr: Frame) -> bool:
                value = fr[slot]
                if value.__class__ is dict:
                    return key in value
                if value is MISSING:
                    raise EvaluationError(f"no such attribute(s): {name}")
                return _test(value, key)

            return Code(has_in_variable, cost + 1)
        operand = self.compile(node.operand)
        inner = operand.run

        def has(fr: Frame) -> bool:
            value = inner(fr)
            if value.__class__ is dict:
                return key in value
            return _test(value, key)

        return Code(has, cost + operand.cost)

    def index(self, node: s.Index) -> Code:
        operand, index = self.compile(node.operand), self.value(node.index)
        container, key = operand.run, index.run
        cost = operand.cost + index.cost + 1
        container_type = self.type(node.operand)
        result = self.type(node)
        if node.optional or container_type.kind == "optional":
            read = scalar_reader(result.params[0]) if result.kind == "optional" else None
            return Code(_index_optional(container, key, read), cost)
        decode = scalar_reader(result)
        run: Evaluate
        if container_type.kind == "map" and self.type(node.index).kind == "string":

            def run(fr: Frame) -> Any:
                value = container(fr)
                wanted = key(fr)
                if value.__class__ is dict:
                    try:
                        return value[wanted]
                    except KeyError:
                        raise no_such_key(wanted) from None
                return index_value(value, wanted)

        else:

            def run(fr: Frame) -> Any:
                return index_value(container(fr), key(fr))

        if decode is None:
            return Code(run, cost)
        read_scalar = decode
        return Code(lambda fr: read_scalar(run(fr)), cost)

    # ---- calls

    def call(self, node: s.Call) -> Code:
        name = node.name
        if name in ("_==_", "_!=_"):
            return self._equality(node, name == "_==_")
        if name in _ORDER:
            return self._order(node)
        if name in ARITHMETIC:
            return self._arithmetic(node)
        if name == "@in":
            return self._membership(node)
        if name == "!_":
            return self._not(node)
        if name == "-_":
            return self._negation(node)
        if name in ("or", "orValue") and node.target is not None and len(node.args) == 1:
            return self._alternative(node.target, node.args[0], unwrap=name == "orValue")
        return self._function(node)

    def _alternative(self, target: s.Node, other: s.Node, *, unwrap: bool) -> Code:
        """Compile `or` and `orValue`, which evaluate their argument only where there is no value."""
        first, second = self.compile(target), self.value(other)
        optional, alternative, cost = first.run, second.run, second.cost

        def run(fr: Frame) -> Any:
            value = optional(fr)
            if not isinstance(value, OptionalValue):
                raise no_such_overload()
            if value.has:
                return value.value if unwrap else value
            fr[COST] += cost
            return alternative(fr)

        return Code(run, first.cost + 1)

    def _equality(self, node: s.Call, positive: bool) -> Code:
        left, right = self.value(node.args[0]), self.value(node.args[1])
        if left.is_constant and not right.is_constant:
            left, right = right, left
            left_type, right_type = self.type(node.args[1]), self.type(node.args[0])
        else:
            left_type, right_type = self.type(node.args[0]), self.type(node.args[1])
        a, b = left.run, right.run
        cost = left.cost + right.cost
        kinds = {left_type.kind, right_type.kind}
        run: Evaluate
        if kinds == {"string"}:
            if right.is_constant:
                constant = right.constant
                # Short constants cost one unit, whatever the other side (an empty string would cost nothing).
                size = len(constant)
                if size <= 10:
                    if positive:
                        return Code(lambda fr: a(fr) == constant, cost + 1)
                    return Code(lambda fr: a(fr) != constant, cost + 1)

            def run(fr: Frame) -> bool:
                x, y = a(fr), b(fr)
                fr[COST] += (min(size_of(x), size_of(y)) + 9) // 10
                return (x == y) is positive

            return Code(run, cost)
        if len(kinds) == 1 and kinds <= {"int", "uint", "bool"}:
            if positive:
                return Code(lambda fr: a(fr) == b(fr), cost + 1)
            return Code(lambda fr: a(fr) != b(fr), cost + 1)
        if len(kinds) == 1 and is_exact(left_type) and is_exact(right_type):
            # No boolean can hide behind a number, so Python's comparison is right as it is.
            def run_exact(fr: Frame) -> bool:
                x, y = a(fr), b(fr)
                fr[COST] += (min(size_of(x), size_of(y)) + 9) // 10
                return (x == y) is positive

            return Code(run_exact, cost)
        if not kinds & _SIZED and "dyn" not in kinds and "optional" not in kinds:
            return Code(lambda fr: equals(a(fr), b(fr)) is positive, cost + 1)

        def run_sized(fr: Frame) -> bool:
            x, y = a(fr), b(fr)
            fr[COST] += (min(size_of(x), size_of(y)) + 9) // 10
            return equals(x, y) is positive

        return Code(run_sized, cost)

    def _order(self, node: s.Call) -> Code:
        left, right = self.value(node.args[0]), self.value(node.args[1])
        left_kind, right_kind = self.type(node.args[0]).kind, self.type(node.args[1]).kind
        cost = left.cost + right.cost
        a, b = left.run, right.run
        null_possible = self.type(node.args[0]).nullable or self.type(node.args[1]).nullable
        if left_kind == right_kind and left_kind in _PLAIN_ORDER and not null_possible:
            if left_kind in ("string", "bytes"):
                return Code(_ORDER_SIZED[node.name](a, b), cost)
            if right.is_constant:
                return Code(_ORDER_CONSTANT[node.name](a, right.constant), cost + 1)
            return Code(_ORDER[node.name](a, b), cost + 1)
        return Code(_ORDER_CHECKED[node.name](a, b), cost + 1)

    def _arithmetic(self, node: s.Call) -> Code:
        left, right = self.value(node.args[0]), self.value(node.args[1])
        left_kind, right_kind = self.type(node.args[0]).kind, self.type(node.args[1]).kind
        cost = left.cost + right.cost
        a, b = left.run, right.run
        table = ARITHMETIC[node.name]
        operation = table.get((left_kind, right_kind))
        if operation is None or self.type(node.args[0]).nullable or self.type(node.args[1]).nullable:
            operation = DYNAMIC[node.name]
        if left_kind in ("int", "uint", "double") and left_kind == right_kind:
            compute = operation
            code = Code(lambda fr: compute(a(fr), b(fr)), cost + 1)
            if left.is_constant and right.is_constant:
                return self._folded(code, cost + 1)
            return code
        return Code(_charged_binary(operation, a, b), cost)

    def _folded(self, code: Code, cost: int) -> Code:
        """Evaluate a constant expression now; an error stays an error of the evaluation."""
        try:
            return _constant(code.run([0, 0]), cost)
        except CelError:
            return code

    def _membership(self, node: s.Call) -> Code:
        item, container = self.value(node.args[0]), self.value(node.args[1])
        a, b = item.run, container.run
        cost = item.cost + container.cost
        kind = self.type(node.args[1]).kind
        if kind == "list":
            if container.is_constant and self.type(node.args[0]).kind == "string":
                members = container.constant
                if all(member.__class__ is str for member in members):
                    found = frozenset(members)
                    return Code(lambda fr: a(fr) in found, cost + len(members))

            def in_list(fr: Frame) -> bool:
                wanted, items = a(fr), b(fr)
                if not isinstance(items, (list, tuple)):
                    raise no_such_overload()
                fr[COST] += len(items)
                return contains(items, wanted)

            return Code(in_list, cost)

        def in_any(fr: Frame) -> bool:
            wanted, items = a(fr), b(fr)
            if isinstance(items, dict):
                return _has_key(items, wanted)
            if isinstance(items, (list, tuple)):
                fr[COST] += len(items) // 10
                return contains(items, wanted)
            raise no_such_overload()

        return Code(in_any, cost + 1)

    def _not(self, node: s.Call) -> Code:
        operand = self.value(node.args[0])
        a = operand.run

        def run(fr: Frame) -> bool:
            value = a(fr)
            if value is True:
                return False
            if value is False:
                return True
            raise no_such_overload()

        return Code(run, operand.cost + 1)

    def _negation(self, node: s.Call) -> Code:
        operand = self.value(node.args[0])
        a = operand.run
        return Code(lambda fr: negate(a(fr)), operand.cost + 1)

    def _cost_of(self, function: Function) -> int | Callable[[list[Any]], int]:
        cost = function.cost if self.library_costs else function.base_cost
        return RULES[cost] if isinstance(cost, str) else cost

    def _function(self, node: s.Call) -> Code:
        nodes = ([node.target] if node.target is not None else []) + node.args
        args = [self.value(arg) for arg in nodes]
        fixed = sum(arg.cost for arg in args)
        types = [self.type(arg) for arg in nodes]
        overloads = node.overloads
        code: Code
        if len(overloads) == 1:
            function = overloads[0]
            implementation = function.implementation
            assert implementation is not None
            guards = tuple(
                (i, t.runtime_key(param))
                for i, (param, type_) in enumerate(zip(function.params, types, strict=True))
                if param.kind not in ("var", "dyn") and _unsure(type_)
            )
            cost = self._cost_of(function)
            runs = [arg.run for arg in args]
            if function.name == "matches" and args[-1].is_constant and not guards:
                return Code(_matching(runs[0], args[-1].constant), fixed)
            if isinstance(cost, int) and not guards:
                code = Code(_direct(implementation, runs), fixed + cost)
            else:
                code = Code(_guarded(implementation, runs, guards, cost), fixed)
        else:
            candidates = [
                (
                    tuple(
                        (i, t.runtime_key(param))
                        for i, param in enumerate(function.params)
                        if param.kind not in ("var", "dyn")
                    ),
                    function.implementation,
                    self._cost_of(function),
                )
                for function in overloads
            ]
            code = Code(_dispatching([arg.run for arg in args], candidates), fixed)
        if all(arg.is_constant for arg in args) and all(_foldable(function) for function in overloads):
            return self._fold_call(code)
        return code

    def _fold_call(self, code: Code) -> Code:
        frame: Frame = [0, 100_000]
        try:
            value = code.run(frame)
        except CelError:
            return code
        return _constant(value, code.cost + frame[COST])

    # ---- logic

    def logic(self, node: s.Logic) -> Code:
        codes = [self.compile(term) for term in node.terms]
        first, rest = codes[0], codes[1:]
        if len(rest) == 1:
            make = _and if node.conjunction else _or
            return Code(make(first.run, rest[0].run, rest[0].cost), first.cost)
        terms = tuple((code.run, code.cost) for code in rest)
        return Code(_chain(first.run, terms, decisive=not node.conjunction), first.cost)

    def ternary(self, node: s.Ternary) -> Code:
        condition = self.compile(node.condition)
        type_ = self.type(node)
        branches = []
        for branch in (node.then, node.other):
            kept = self.type(branch) is type_
            branches.append(self.compile(branch) if kept else self.value(branch))
        test, then, other = condition.run, branches[0].run, branches[1].run
        then_cost, other_cost = branches[0].cost, branches[1].cost

        def run(fr: Frame) -> Any:
            decided = test(fr)
            if decided is True:
                fr[COST] += then_cost
                return then(fr)
            if decided is False:
                fr[COST] += other_cost
                return other(fr)
            raise no_such_overload()

        return Code(run, condition.cost)

    # ---- literals

    def list_literal(self, node: s.ListLiteral) -> Code:
        codes = [self.value(item) for item in node.items]
        cost = 10 + sum(code.cost for code in codes)
        if not node.optional and all(code.is_constant for code in codes):
            return _constant([code.constant for code in codes], cost)
        runs = [code.run for code in codes]
        if not node.optional:
            return Code(lambda fr: [run(fr) for run in runs], cost)
        marked = [(run, i in node.optional) for i, run in enumerate(runs)]

        def build(fr: Frame) -> list[Any]:
            items = []
            for run, optional in marked:
                value = run(fr)
                if optional:
                    if not isinstance(value, OptionalValue):
                        raise no_such_overload()
                    if not value.has:
                        continue
                    value = value.value
                items.append(value)
            return items

        return Code(build, cost)

    def map_literal(self, node: s.MapLiteral) -> Code:
        codes = [(self.value(key), self.value(value)) for key, value in node.entries]
        cost = 30 + sum(key.cost + value.cost for key, value in codes)
        entries = [(key.run, value.run, i in node.optional) for i, (key, value) in enumerate(codes)]

        def build(fr: Frame) -> dict[Any, Any]:
            built: dict[Any, Any] = {}
            for key_of_entry, value_of_entry, optional in entries:
                key = key_of_entry(fr)
                if key_of(key) not in ("string", "int", "uint", "bool"):
                    raise EvaluationError(f"unsupported key type: {key_of(key)}")
                if key in built:
                    raise EvaluationError(f"insert failed: key {key} already exists")
                value = value_of_entry(fr)
                if optional:
                    if not isinstance(value, OptionalValue):
                        raise no_such_overload()
                    if not value.has:
                        continue
                    value = value.value
                built[key] = value
            return built

        return Code(build, cost)

    def message(self, node: s.Message) -> Code:
        raise AssertionError("the checker admits no message literals")

    # ---- macros

    def comprehension(self, node: s.Comprehension) -> Code:
        from .loops import compile_loop

        return compile_loop(self, node)

    def bind(self, node: s.Bind) -> Code:
        local = node.local
        assert local is not None
        local.slot = slot = self.slot()
        local.lazy = _charge_once(self.compile(node.value))
        body = self.compile(node.body)
        inner = body.run

        def run(fr: Frame) -> Any:
            fr[slot] = MISSING
            return inner(fr)

        return Code(run, body.cost)

    def optional_map(self, node: s.OptionalMap) -> Code:
        local = node.local
        assert local is not None
        local.slot = slot = self.slot()
        target = self.compile(node.target)
        body = self.compile(node.body) if node.flat else self.value(node.body)
        source, transform, cost, flat = target.run, body.run, body.cost, node.flat

        def run(fr: Frame) -> Any:
            value = source(fr)
            if not isinstance(value, OptionalValue):
                raise no_such_overload()
            if not value.has:
                return NONE
            fr[slot] = value.value
            fr[COST] += cost
            result = transform(fr)
            return result if flat else OptionalValue(True, result)

        return Code(run, target.cost + 1)


_COMPILERS: dict[type, Callable[[Compiler, Any], Code]] = {
    s.Literal: Compiler.literal,
    s.Ident: Compiler.ident,
    s.Select: Compiler.select,
    s.Index: Compiler.index,
    s.Call: Compiler.call,
    s.Logic: Compiler.logic,
    s.Ternary: Compiler.ternary,
    s.ListLiteral: Compiler.list_literal,
    s.MapLiteral: Compiler.map_literal,
    s.Message: Compiler.message,
    s.Comprehension: Compiler.comprehension,
    s.Bind: Compiler.bind,
    s.OptionalMap: Compiler.optional_map,
}


def _unsure(type_: t.Type) -> bool:
    """Tell whether values of the static type may be of another type at run time."""
    return type_.kind in ("dyn", "error", "var") or type_.nullable or type_.kind == "object"


def _foldable(function: Function) -> bool:
    return function.implementation is not None and function.implementation.__module__.startswith(
        ("merope.lang.cel", "builtins", "_operator")
    )


# ---- selection


def _test(value: Any, key: Any) -> bool:
    if isinstance(value, OptionalValue):
        return value.has and _test(value.value, key)
    if isinstance(value, dict):
        return key in value
    if value is None or isinstance(value, (str, int, float, bool, bytes, list)):
        raise no_such_overload()
    raise no_such_overload()


def _has_key(items: dict[Any, Any], wanted: Any) -> bool:
    try:
        found = wanted in items
    except TypeError:
        return False
    if found and wanted.__class__ is not str:
        return any(equals(key, wanted) for key in items)
    return found


def _unfold(value: Any, name: str, keys: tuple[str, ...]) -> Any:
    """Follow a path the slow way, to find out what is wrong with it (or that an optional is on it)."""
    if value is MISSING:
        raise EvaluationError(f"no such attribute(s): {name}")
    for key in keys:
        value = select_value(value, key)
    return value


def _select_path(slot: int, name: str, keys: tuple[str, ...]) -> Evaluate:
    if len(keys) == 1:
        (key,) = keys

        def one(fr: Frame) -> Any:
            try:
                return fr[slot][key]
            except (KeyError, TypeError, IndexError):
                return _unfold(fr[slot], name, keys)

        return one
    if len(keys) == 2:
        first, second = keys

        def two(fr: Frame) -> Any:
            try:
                return fr[slot][first][second]
            except (KeyError, TypeError, IndexError):
                return _unfold(fr[slot], name, keys)

        return two

    def many(fr: Frame) -> Any:
        value = fr[slot]
        try:
            for key in keys:
                value = value[key]
        except (KeyError, TypeError, IndexError):
            return _unfold(fr[slot], name, keys)
        return value

    return many


def _select_optional(inner: Evaluate, key: str, decode: Callable[[Any], Any] | None) -> Evaluate:
    def run(fr: Frame) -> Any:
        found = select_optional(inner(fr), key)
        if decode is not None and found.has:
            return OptionalValue(True, decode(found.value))
        return found

    return run


def _index_optional(container: Evaluate, key: Evaluate, decode: Callable[[Any], Any] | None) -> Evaluate:
    def run(fr: Frame) -> Any:
        found = select_optional(container(fr), key(fr))
        if decode is not None and found.has:
            return OptionalValue(True, decode(found.value))
        return found

    return run


def _charge_once(code: Code) -> Evaluate:
    run, cost = code.run, code.cost

    def initialise(fr: Frame) -> Any:
        fr[COST] += cost
        return run(fr)

    return initialise


def _lazy(slot: int, initialise: Evaluate) -> Evaluate:
    def run(fr: Frame) -> Any:
        value = fr[slot]
        if value is MISSING:
            value = fr[slot] = initialise(fr)
        return value

    return run


# ---- calls


def _matching(text_of: Evaluate, pattern: str) -> Evaluate:
    """Match a pattern that is known before; a malformed one stays an error of the evaluation."""
    factor = (len(pattern) + 3) // 4

    def run(fr: Frame) -> bool:
        text = text_of(fr)
        fr[COST] += traversal(len(text) + 1) * factor
        if fr[COST] > fr[BUDGET]:
            raise CostExceeded
        return matcher(pattern)(text)

    return run


def _direct(implementation: Callable[..., Any], runs: list[Evaluate]) -> Evaluate:
    if len(runs) == 1:
        (a,) = runs
        return lambda fr: implementation(a(fr))
    if len(runs) == 2:
        a, b = runs
        return lambda fr: implementation(a(fr), b(fr))
    return lambda fr: implementation(*[run(fr) for run in runs])


def _charge(fr: Frame, cost: int | Callable[[list[Any]], int], args: list[Any]) -> None:
    fr[COST] += cost if isinstance(cost, int) else cost(args)
    if fr[COST] > fr[BUDGET]:
        raise CostExceeded


def _guarded(
    implementation: Callable[..., Any],
    runs: list[Evaluate],
    guards: tuple[tuple[int, str], ...],
    cost: int | Callable[[list[Any]], int],
) -> Evaluate:
    def run(fr: Frame) -> Any:
        args = [argument(fr) for argument in runs]
        for i, key in guards:
            if key_of(args[i]) != key:
                raise no_such_overload()
        _charge(fr, cost, args)
        return implementation(*args)

    return run


def _dispatching(runs: list[Evaluate], candidates: list[Any]) -> Evaluate:
    def run(fr: Frame) -> Any:
        args = [argument(fr) for argument in runs]
        keys = [key_of(arg) for arg in args]
        for guards, implementation, cost in candidates:
            if all(keys[i] == key for i, key in guards):
                _charge(fr, cost, args)
                return implementation(*args)
        raise no_such_overload()

    return run


def _charged_binary(operation: Callable[[Any, Any], Any], a: Evaluate, b: Evaluate) -> Evaluate:
    def run(fr: Frame) -> Any:
        x, y = a(fr), b(fr)
        cls = x.__class__
        if cls is str or cls is bytes:
            fr[COST] += traversal(len(x) + size_of(y))
        elif isinstance(x, list):
            fr[COST] += 1 + (len(x) + size_of(y)) // 100
        else:
            fr[COST] += 1
        if fr[COST] > fr[BUDGET]:
            raise CostExceeded
        return operation(x, y)

    return run


# ---- logic


def _and(a: Evaluate, b: Evaluate, cost: int) -> Evaluate:
    def run(fr: Frame) -> bool:
        try:
            left = a(fr)
            if left is False:
                return False
            failure = None if left is True else no_such_overload()
        except EvaluationError as error:
            failure = error
        fr[COST] += cost
        right = b(fr)
        if right is False:
            return False
        if failure is not None:
            raise failure
        if right is True:
            return True
        raise no_such_overload()

    return run


def _or(a: Evaluate, b: Evaluate, cost: int) -> Evaluate:
    def run(fr: Frame) -> bool:
        try:
            left = a(fr)
            if left is True:
                return True
            failure = None if left is False else no_such_overload()
        except EvaluationError as error:
            failure = error
        fr[COST] += cost
        right = b(fr)
        if right is True:
            return True
        if failure is not None:
            raise failure
        if right is False:
            return False
        raise no_such_overload()

    return run


def _chain(first: Evaluate, rest: tuple[tuple[Evaluate, int], ...], *, decisive: bool) -> Evaluate:
    """Evaluate terms until one is `decisive`; the first error stands if none is."""
    terms = ((first, 0), *rest)

    def run(fr: Frame) -> bool:
        failure: EvaluationError | None = None
        for term, cost in terms:
            fr[COST] += cost
            try:
                value = term(fr)
                if value is decisive:
                    return bool(value)
                if value is not (not decisive) and failure is None:
                    failure = no_such_overload()
            except EvaluationError as error:
                if failure is None:
                    failure = error
        if failure is not None:
            raise failure
        return not decisive

    return run


# ---- order

_ORDER: dict[str, Callable[[Evaluate, Evaluate], Evaluate]] = {
    "_<_": lambda a, b: lambda fr: a(fr) < b(fr),
    "_<=_": lambda a, b: lambda fr: a(fr) <= b(fr),
    "_>_": lambda a, b: lambda fr: a(fr) > b(fr),
    "_>=_": lambda a, b: lambda fr: a(fr) >= b(fr),
}
_ORDER_CONSTANT: dict[str, Callable[[Evaluate, Any], Evaluate]] = {
    "_<_": lambda a, k: lambda fr: a(fr) < k,
    "_<=_": lambda a, k: lambda fr: a(fr) <= k,
    "_>_": lambda a, k: lambda fr: a(fr) > k,
    "_>=_": lambda a, k: lambda fr: a(fr) >= k,
}


def _checked_order(compare: Callable[[Any, Any], bool], *, sized: bool) -> Callable[[Evaluate, Evaluate], Evaluate]:
    def make(a: Evaluate, b: Evaluate) -> Evaluate:
        if sized:

            def run_sized(fr: Frame) -> bool:
                x, y = a(fr), b(fr)
                fr[COST] += (min(len(x), len(y)) + 9) // 10
                return compare(x, y)

            return run_sized

        def run(fr: Frame) -> bool:
            x, y = a(fr), b(fr)
            comparable(x, y)
            return compare(x, y)

        return run

    return make


_COMPARE: dict[str, Callable[[Any, Any], bool]] = {
    "_<_": lambda x, y: bool(x < y),
    "_<=_": lambda x, y: bool(x <= y),
    "_>_": lambda x, y: bool(x > y),
    "_>=_": lambda x, y: bool(x >= y),
}
_ORDER_SIZED = {name: _checked_order(compare, sized=True) for name, compare in _COMPARE.items()}
_ORDER_CHECKED = {name: _checked_order(compare, sized=False) for name, compare in _COMPARE.items()}
