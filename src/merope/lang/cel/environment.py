"""The entry points: an `Environment` knows variables and functions, compiles expressions; a `Program` evaluates one."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, ClassVar

from . import types as t
from .checker import Checker
from .compiler import BUDGET, COST, FIRST_SLOT, MISSING, Compiler
from .errors import CelError, CompileError, CostExceeded, EvaluationError
from .estimate import estimate
from .functions import Function, Library, Registry
from .library.format import FORMATS
from .library.lists import LIST_EXTENSIONS, LISTS
from .library.math import MATH
from .library.network import CIDRS, IPS
from .library.optional import OPTIONAL
from .library.quantity import QUANTITIES
from .library.regex import REGEX
from .library.semver import SEMVERS
from .library.sets import SETS
from .library.standard import CROSS_TYPE, STANDARD
from .library.strings import STRINGS
from .library.url import URLS
from .parser import parse
from .schema import reader, schema_type
from .syntax import Node

#: What one evaluation may cost unless the caller says otherwise: the API server's limit for one expression.
DEFAULT_BUDGET = 1_000_000

_LIBRARIES: dict[str, Library] = {
    library.name: library
    for library in (
        CROSS_TYPE,
        OPTIONAL,
        STRINGS,
        LISTS,
        LIST_EXTENSIONS,
        REGEX,
        URLS,
        QUANTITIES,
        IPS,
        CIDRS,
        FORMATS,
        SEMVERS,
        SETS,
        MATH,
    )
}
_SHARED = frozenset(("optional", "strings", "lists", "regex", "urls", "quantities", "ip", "cidr", "format", "semver"))


class Program:
    """A compiled expression. It holds no state of evaluations and may be used by any number of them."""

    __slots__ = (
        "_compiler",
        "_estimated",
        "_frame",
        "_node",
        "_read",
        "_run",
        "_variables",
        "expression",
        "result_type",
        "uses_old_self",
        "variables",
    )

    def __init__(
        self, expression: str, node: Node, checker: Checker, *, library_costs: bool, source_type: t.Type
    ) -> None:
        self.expression = expression
        used = sorted(checker.used)
        slots = {name: FIRST_SLOT + i for i, name in enumerate(used)}
        compiler = Compiler(checker.final, slots, library_costs=library_costs)
        code = compiler.compile(node)
        self._run = code.run
        self._variables = tuple(slots.items())
        self._frame = [code.cost, 0] + [MISSING] * (compiler.size - FIRST_SLOT)
        #: The static type of the result.
        self.result_type = source_type
        self._read = reader(self.result_type)
        #: The declared variables that the expression refers to.
        self.variables = frozenset(used)
        #: Whether the expression compares with the old value (a transition rule).
        self.uses_old_self = "oldSelf" in checker.used
        self._estimated: tuple[int, int] | None = None
        self._compiler: Compiler | None = compiler
        self._node: Node | None = node

    def __repr__(self) -> str:
        return f"Program({self.expression!r})"

    @property
    def estimated_cost(self) -> tuple[int, int]:
        """The (least, most) cost of one evaluation, as the API server estimates it from the limits of the schema."""
        if self._estimated is None:
            assert self._compiler is not None
            assert self._node is not None
            self._estimated = estimate(self._compiler, self._node)
            self._compiler = self._node = None
        return self._estimated

    def evaluate(self, bindings: Mapping[str, Any], *, budget: int = DEFAULT_BUDGET) -> tuple[Any, int]:
        """Evaluate the expression.

        Args:
            bindings: values of the variables, as plain JSON data; nothing of it is changed or copied.
            budget: cost units after which the evaluation is cancelled.

        Returns:
            The value, and what it cost.

        Raises:
            EvaluationError: it failed on these values.
            CostExceeded: it cost more than `budget`.
        """
        frame = self._frame.copy()
        frame[BUDGET] = budget
        for name, slot in self._variables:
            if name in bindings:
                frame[slot] = bindings[name]
        try:
            value = self._run(frame)
            if self._read is not None:
                value = self._read(value)
        except CelError:
            raise
        except RecursionError:
            raise EvaluationError("value is nested too deeply") from None
        except (TypeError, AttributeError, ValueError, OverflowError) as error:
            # The data does not have the types that the schema promises.
            raise EvaluationError("no such overload") from error
        cost = frame[COST]
        if cost > budget:
            raise CostExceeded
        return value, cost


class Environment:
    """What expressions may refer to.

    Args:
        variables: declared variables: their types, or OpenAPI structural schemas (dicts) to derive the types from.
        functions: functions of the caller, besides those of the libraries.
        libraries: names of libraries and language options; see `KUBERNETES` and `OCM`.
    """

    #: Everything that recent API servers offer, with their cost rules, comparisons of numbers across types, and
    #: stricter literals: lists and maps of one type, durations, timestamps and patterns that are well-formed.
    KUBERNETES: ClassVar[frozenset[str]] = _SHARED | {
        "sets",
        "math",
        "list-extensions",
        "two-variable-macros",
        "cross-type-comparisons",
        "homogeneous-literals",
        "library-costs",
    }
    #: What OCM's placement and work agents offer: fewer libraries, and CEL's own cost rules only.
    OCM: ClassVar[frozenset[str]] = _SHARED

    def __init__(
        self,
        variables: Mapping[str, t.Type | Mapping[str, Any]],
        *,
        functions: Iterable[Function] = (),
        libraries: Iterable[str] = KUBERNETES,
    ) -> None:
        self.variables: dict[str, t.Type] = {
            name: declared if isinstance(declared, t.Type) else schema_type(declared) or t.DYN
            for name, declared in variables.items()
        }
        chosen = frozenset(libraries)
        self._registry = _registry(chosen, tuple(functions))
        self._optionals = "optional" in chosen
        self._two_variables = "two-variable-macros" in chosen
        self._homogeneous = "homogeneous-literals" in chosen
        self._library_costs = "library-costs" in chosen

    @classmethod
    def for_schema(
        cls,
        schema: Mapping[str, Any],
        *,
        old_self: bool | str = False,
        root: bool = False,
        functions: Iterable[Function] = (),
        libraries: Iterable[str] = KUBERNETES,
    ) -> Environment:
        """Make the environment of the validation rules at a schema node.

        Args:
            schema: the structural schema of the node; its values are `self`.
            old_self: whether `oldSelf` exists; `"optional"` makes it an optional value.
            root: whether the node is a whole resource: apiVersion, kind and the names in metadata are visible then.
            functions: additional functions.
            libraries: see `Environment`.
        """
        type_ = schema_type(schema, root=root) or t.DYN
        variables: dict[str, t.Type | Mapping[str, Any]] = {"self": type_}
        if old_self:
            variables["oldSelf"] = t.optional_of(type_) if old_self == "optional" else type_
        return cls(variables, functions=functions, libraries=libraries)

    def compile(self, expression: str, *, result: t.Type | tuple[t.Type, ...] | None = None) -> Program:
        """Compile an expression.

        Args:
            expression: the source.
            result: the type, or the types, that the result may have; None admits any.

        Raises:
            CompileError: syntax or type errors; `str()` of it is the report as Kubernetes prints it.
        """
        try:
            node = parse(expression, optionals=self._optionals, two_variables=self._two_variables)
            checker = Checker(self.variables, self._registry, homogeneous=self._homogeneous)
            found = checker.check(node)
            if checker.issues:
                raise CompileError(expression, sorted(set(checker.issues)))
            type_ = checker.final(found)
            if result is not None and type_.kind != "dyn":
                allowed = result if isinstance(result, tuple) else (result,)
                if not any(checker.assignable(wanted, type_) for wanted in allowed):
                    names = " or ".join(t.format_type(wanted) for wanted in allowed)
                    raise ResultTypeError(expression, names, type_)
            return Program(expression, node, checker, library_costs=self._library_costs, source_type=type_)
        except RecursionError:
            raise CompileError(expression, [(0, "expression recursion limit exceeded")]) from None


class ResultTypeError(CompileError):
    """The expression compiles, but its result is of a type that is not wanted here."""

    def __init__(self, source: str, wanted: str, found: t.Type) -> None:
        super().__init__(source, [])
        self.wanted = wanted
        self.found = found
        self.args = (f"must evaluate to a {wanted}",)


_REGISTRIES: dict[frozenset[str], Registry] = {}


def _registry(chosen: frozenset[str], functions: tuple[Function, ...]) -> Registry:
    """Give the functions of a choice of libraries; choices without own functions share their tables."""
    if not functions and chosen in _REGISTRIES:
        return _REGISTRIES[chosen]
    unknown = chosen - _LIBRARIES.keys() - {"two-variable-macros", "homogeneous-literals", "library-costs"}
    if unknown:
        raise ValueError(f"unknown CEL libraries: {', '.join(sorted(unknown))}")
    registry = Registry([STANDARD, *(library for name, library in _LIBRARIES.items() if name in chosen)], functions)
    if not functions:
        _REGISTRIES[chosen] = registry
    return registry
