"""The macros as loops: one closure for each, with the predicate called directly.

The costs of an iteration are those of the folds that the reference expands macros into, so that budgets mean the same.
The budget is checked in every iteration; nothing else could run for long.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any

from . import syntax as s
from . import types as t
from .errors import CostExceeded, EvaluationError, no_such_overload
from .schema import scalar_reader

if TYPE_CHECKING:
    from .compiler import Code, Compiler, Evaluate, Frame

COST, BUDGET = 0, 1
#: Fixed costs of one iteration, for bookkeeping that the reference does in CEL itself.
_ITERATION = {"all": 3, "exists": 4}


def compile_loop(compiler: Compiler, node: s.Comprehension) -> Code:
    """Compile a macro."""
    from .compiler import Code

    range_ = compiler.compile(node.range)
    for local in node.locals:
        local.slot = compiler.slot()
    condition = compiler.compile(node.condition) if node.condition is not None else None
    result = compiler.compile(node.result) if node.result is not None else None
    items = _items(compiler, node, range_.run)
    macro = node.macro
    if len(node.locals) == 1:
        slot = node.locals[0].slot
        if macro in ("all", "exists"):
            assert condition is not None
            cost = condition.cost + _ITERATION[macro]
            return Code(_quantifier(items, slot, condition.run, cost, macro == "exists"), range_.cost + 1)
        if macro == "exists_one":
            assert condition is not None
            return Code(_exists_one(_single(items, slot), condition.run, condition.cost), range_.cost + 2)
        if macro == "filter":
            assert condition is not None
            return Code(_filter(items, slot, condition.run, condition.cost), range_.cost + 11)
        assert result is not None
        if macro == "sortBy":
            return Code(_sort_by(items, slot, result.run, result.cost + 12), range_.cost + 12)
        bind = _single(items, slot)
        return Code(_map(bind, condition, result), range_.cost + 11)
    bind = _pairs(compiler, node, range_.run)
    if macro in ("all", "exists"):
        assert condition is not None
        cost = condition.cost + _ITERATION[macro]
        return Code(_quantifier_bound(bind, condition.run, cost, macro == "exists"), range_.cost + 1)
    if macro == "exists_one":
        assert condition is not None
        return Code(_exists_one(bind, condition.run, condition.cost), range_.cost + 2)
    assert result is not None
    if macro == "transformList":
        return Code(_map(bind, condition, result), range_.cost + 11)
    if macro == "transformMap":
        return Code(_transform_map(bind, node.locals[0].slot, condition, result), range_.cost + 31)
    return Code(_transform_entries(bind, condition, result), range_.cost + 31)


def _items(compiler: Compiler, node: s.Comprehension, range_: Evaluate) -> Callable[[Frame], Iterable[Any]]:
    """Make the function that gives what a macro of one variable runs over: items of a list, keys of a map."""
    type_ = compiler.type(node.range)
    decode = scalar_reader(type_.params[0]) if type_.kind == "list" else None

    def items(fr: Frame) -> Iterable[Any]:
        value = range_(fr)
        if isinstance(value, (list, tuple)):
            if decode is not None:
                return map(decode, value)
            return value
        if isinstance(value, dict):
            return list(value)
        raise no_such_overload()

    return items


def _single(items: Callable[[Frame], Iterable[Any]], slot: int) -> Callable[[Frame], Iterable[None]]:
    def run(fr: Frame) -> Iterable[None]:
        for item in items(fr):
            fr[slot] = item
            yield

    return run


def _pairs(compiler: Compiler, node: s.Comprehension, range_: Evaluate) -> Callable[[Frame], Iterable[None]]:
    """Make the generator that binds both variables: index and item of a list, key and value of a map."""
    type_ = compiler.type(node.range)
    element: t.Type | None = None
    if type_.kind == "list":
        element = type_.params[0]
    elif type_.kind == "map":
        element = type_.params[1]
    decode = scalar_reader(element) if element is not None else None
    first, second = (local.slot for local in node.locals)

    def run(fr: Frame) -> Iterable[None]:
        value = range_(fr)
        pairs: Iterable[tuple[Any, Any]]
        if isinstance(value, (list, tuple)):
            pairs = enumerate(value)
        elif isinstance(value, dict):
            pairs = list(value.items())
        else:
            raise no_such_overload()
        for key, item in pairs:
            fr[first] = key
            fr[second] = item if decode is None else decode(item)
            yield

    return run


def _quantifier(
    items: Callable[[Frame], Iterable[Any]], slot: int, predicate: Evaluate, cost: int, decisive: bool
) -> Evaluate:
    """Make `all` (where false decides) or `exists` (where true does): an error counts only if no item decides."""

    def run(fr: Frame) -> bool:
        failure: EvaluationError | None = None
        budget = fr[BUDGET]
        for item in items(fr):
            fr[slot] = item
            spent = fr[COST] = fr[COST] + cost
            if spent > budget:
                raise CostExceeded
            try:
                value = predicate(fr)
            except EvaluationError as error:
                if failure is None:
                    failure = error
                continue
            if value is decisive:
                return bool(value)
            if value.__class__ is not bool and failure is None:
                failure = no_such_overload()
        if failure is not None:
            raise failure
        return not decisive

    return run


def _quantifier_bound(
    bind: Callable[[Frame], Iterable[None]], predicate: Evaluate, cost: int, decisive: bool
) -> Evaluate:
    def run(fr: Frame) -> bool:
        failure: EvaluationError | None = None
        for _ in bind(fr):
            _spend(fr, cost)
            try:
                value = predicate(fr)
            except EvaluationError as error:
                failure = failure or error
                continue
            if value is decisive:
                return bool(value)
            if value.__class__ is not bool:
                failure = failure or no_such_overload()
        if failure is not None:
            raise failure
        return not decisive

    return run


def _spend(fr: Frame, cost: int) -> None:
    fr[COST] += cost
    if fr[COST] > fr[BUDGET]:
        raise CostExceeded


def _decide(predicate: Evaluate, fr: Frame) -> bool:
    value = predicate(fr)
    if value is True or value is False:
        return value
    raise no_such_overload()


def _exists_one(bind: Callable[[Frame], Iterable[None]], predicate: Evaluate, cost: int) -> Evaluate:
    def run(fr: Frame) -> bool:
        count = 0
        for _ in bind(fr):
            _spend(fr, cost + 1)
            if _decide(predicate, fr):
                fr[COST] += 1
                count += 1
        return count == 1

    return run


def _filter(items: Callable[[Frame], Iterable[Any]], slot: int, predicate: Evaluate, cost: int) -> Evaluate:
    def run(fr: Frame) -> list[Any]:
        kept = []
        for item in items(fr):
            fr[slot] = item
            _spend(fr, cost + 1)
            if _decide(predicate, fr):
                fr[COST] += 12
                kept.append(item)
        return kept

    return run


def _sort_by(items: Callable[[Frame], Iterable[Any]], slot: int, key: Evaluate, cost: int) -> Evaluate:
    from .library.lists import sort_by_keys

    def run(fr: Frame) -> list[Any]:
        sorted_items = list(items(fr))
        keys = []
        for item in sorted_items:
            fr[slot] = item
            _spend(fr, cost)
            keys.append(key(fr))
        return sort_by_keys(sorted_items, keys)

    return run


def _map(bind: Callable[[Frame], Iterable[None]], condition: Code | None, result: Code) -> Evaluate:
    transform, cost = result.run, result.cost + 12
    if condition is None:

        def run(fr: Frame) -> list[Any]:
            built = []
            for _ in bind(fr):
                _spend(fr, cost)
                built.append(transform(fr))
            return built

        return run
    predicate, test_cost = condition.run, condition.cost

    def run_filtered(fr: Frame) -> list[Any]:
        built = []
        for _ in bind(fr):
            _spend(fr, test_cost)
            if _decide(predicate, fr):
                _spend(fr, cost)
                built.append(transform(fr))
            else:
                fr[COST] += 1
        return built

    return run_filtered


def _transform_map(
    bind: Callable[[Frame], Iterable[None]], key_slot: int, condition: Code | None, result: Code
) -> Evaluate:
    transform, cost = result.run, result.cost + 3

    def run(fr: Frame) -> dict[Any, Any]:
        built: dict[Any, Any] = {}
        for _ in bind(fr):
            _spend(fr, cost)
            if condition is not None:
                fr[COST] += condition.cost
                if not _decide(condition.run, fr):
                    continue
            built[fr[key_slot]] = transform(fr)
        return built

    return run


def _transform_entries(bind: Callable[[Frame], Iterable[None]], condition: Code | None, result: Code) -> Evaluate:
    transform, cost = result.run, result.cost + 3

    def run(fr: Frame) -> dict[Any, Any]:
        built: dict[Any, Any] = {}
        for _ in bind(fr):
            _spend(fr, cost)
            if condition is not None:
                fr[COST] += condition.cost
                if not _decide(condition.run, fr):
                    continue
            entries = transform(fr)
            if not isinstance(entries, dict):
                raise no_such_overload()
            for key, value in entries.items():
                if key in built:
                    raise EvaluationError(f"insert failed: key {key} already exists")
                built[key] = value
        return built

    return run
