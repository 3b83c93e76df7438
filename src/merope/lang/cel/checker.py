"""The type checker: annotates the tree with types, resolves names and overloads, and reports every mistake at once.

Types of parameters are found by unification, as in CEL's definition: `[]` is a list of an unknown type until its use
says which. An argument of type `dyn` fits everywhere; then more than one overload may remain, and the runtime decides.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from . import syntax as s
from . import types as t
from .errors import EvaluationError
from .functions import Function, Registry
from .library.regex import matcher
from .parser import qualified_name
from .schema import ObjectType
from .temporal import parse_duration, parse_timestamp
from .values import Uint

_LITERALS: dict[type, t.Type] = {
    bool: t.BOOL,
    int: t.INT,
    Uint: t.UINT,
    float: t.DOUBLE,
    str: t.STRING,
    bytes: t.BYTES,
    type(None): t.NULL,
}
#: Types that are values: what `type(x) == int` compares with.
TYPE_NAMES: dict[str, t.Type] = {
    "bool": t.BOOL,
    "int": t.INT,
    "uint": t.UINT,
    "double": t.DOUBLE,
    "string": t.STRING,
    "bytes": t.BYTES,
    "list": t.LIST,
    "map": t.MAP,
    "null_type": t.NULL,
    "type": t.TYPE,
    "optional_type": t.OPTIONAL,
    "google.protobuf.Timestamp": t.TIMESTAMP,
    "google.protobuf.Duration": t.DURATION,
    "kubernetes.Quantity": t.QUANTITY,
    "kubernetes.URL": t.URL,
    "net.IP": t.IP,
    "net.CIDR": t.CIDR,
    "kubernetes.Semver": t.SEMVER,
    "kubernetes.NamedFormat": t.FORMAT,
}
_KEY_KINDS = frozenset(("bool", "int", "uint", "string", "dyn", "error", "var"))
_ORDERED = frozenset(
    ("bool", "int", "uint", "double", "string", "bytes", "timestamp", "duration", "dyn", "error", "var")
)
#: Functions that take any number of arguments, which are one list then.
_VARIADIC = frozenset(("math.greatest", "math.least"))
_LITERAL_ARGUMENTS: dict[str, Callable[[str], object]] = {
    "duration": parse_duration,
    "timestamp": parse_timestamp,
    "matches": matcher,
}
Substitution = dict[str, t.Type]


class Checker:
    """Checks one tree; `issues` collects (offset, message)."""

    def __init__(self, variables: Mapping[str, t.Type], registry: Registry, *, homogeneous: bool) -> None:
        self.variables = variables
        self.registry = registry
        #: Whether literals must be of one type, and valid where a function parses them (Kubernetes' additional checks).
        self.homogeneous = homogeneous
        self.issues: list[tuple[int, str]] = []
        self.substitution: Substitution = {}
        self.scopes: list[s.Local] = []
        #: Names of the declared variables that the expression uses.
        self.used: set[str] = set()
        self._fresh = 0

    def check(self, node: s.Node) -> t.Type:
        """Find the type of an expression; note it in the tree."""
        type_ = _CHECKS[node.__class__](self, node)
        node.type = type_
        return type_

    # ---- types

    def report(self, offset: int, message: str) -> t.Type:
        self.issues.append((offset, message))
        return t.ERROR

    def fresh(self) -> t.Type:
        self._fresh += 1
        return t.variable(f"_{self._fresh}")

    def resolve(self, type_: t.Type) -> t.Type:
        """Follow a type parameter to what it is bound to."""
        while type_.kind == "var":
            bound = self.substitution.get(type_.name)
            if bound is None:
                break
            type_ = bound
        return type_

    def final(self, type_: t.Type) -> t.Type:
        """Replace all type parameters; those that stayed unbound are dyn."""
        type_ = self.resolve(type_)
        if type_.kind == "var":
            return t.DYN
        if not type_.params:
            return type_
        params = tuple(self.final(param) for param in type_.params)
        if all(a is b for a, b in zip(params, type_.params, strict=True)):
            return type_
        return t.Type(type_.kind, params, name=type_.name, nullable=type_.nullable, max_size=type_.max_size)

    def shown(self, type_: t.Type) -> str:
        return t.format_type(self.final(type_))

    def assignable(self, target: t.Type, source: t.Type) -> bool:
        """Tell whether a value of type `source` may stand where `target` is expected; binds type parameters."""
        target = self.resolve(target)
        source = self.resolve(source)
        if target is source:
            return True
        if target.kind == "var":
            return self._bind(target, source)
        if source.kind == "var":
            return self._bind(source, target)
        if target.kind in ("dyn", "error") or source.kind in ("dyn", "error"):
            return True
        if source.kind == "null":
            return target.nullable or target.kind in ("object", "opaque", "optional", "null")
        if target.kind == "null":
            return source.nullable or source.kind in ("object", "opaque", "optional")
        if target.kind != source.kind:
            return False
        if target.kind == "opaque":
            return target.name == source.name
        if target.kind == "object":
            return False
        if target.kind == "type":
            return True
        return all(map(self.assignable, target.params, source.params))

    def _bind(self, variable: t.Type, type_: t.Type) -> bool:
        if self._occurs(variable.name, type_):
            return False
        self.substitution[variable.name] = type_
        return True

    def _occurs(self, name: str, type_: t.Type) -> bool:
        type_ = self.resolve(type_)
        if type_.kind == "var":
            return type_.name == name
        return any(self._occurs(name, param) for param in type_.params)

    def is_dyn(self, type_: t.Type) -> bool:
        return self.resolve(type_).kind in ("dyn", "error")

    def join(self, a: t.Type, b: t.Type) -> t.Type:
        """Give the type of a value that is an `a` or a `b`."""
        a, b = self.resolve(a), self.resolve(b)
        if a is b:
            return a
        if a.kind in ("dyn", "error"):
            return a
        if b.kind in ("dyn", "error"):
            return b
        if self.assignable(a, b):
            return b if a.kind == "null" else a
        return t.DYN

    def expect(self, node: s.Node, expected: t.Type) -> None:
        """Check an expression and that it is of the expected type."""
        found = self.check(node)
        if not self.assignable(expected, found):
            self.report(node.offset, f"expected type '{self.shown(expected)}' but found '{self.shown(found)}'")

    # ---- names

    def literal(self, node: s.Literal) -> t.Type:
        return _LITERALS[node.value.__class__]

    def local(self, name: str) -> s.Local | None:
        for declared in reversed(self.scopes):
            if declared.name == name:
                return declared
        return None

    def ident(self, node: s.Ident) -> t.Type:
        found = self.local(node.name)
        if found is not None:
            node.local = found
            return found.type
        declared = self.variables.get(node.name)
        if declared is not None:
            self.used.add(node.name)
            return declared
        constant = TYPE_NAMES.get(node.name)
        if constant is not None:
            node.constant = constant
            return t.type_of_type(constant)
        return self.report(node.offset, f"undeclared reference to '{node.name}' (in container '')")

    def _type_name(self, node: s.Select) -> t.Type | None:
        name = qualified_name(node)
        if name is None or name not in TYPE_NAMES:
            return None
        root = name.partition(".")[0]
        if self.local(root) is not None or root in self.variables:
            return None
        return TYPE_NAMES[name]

    # ---- selection

    def select(self, node: s.Select) -> t.Type:
        if not node.test and not node.optional and (constant := self._type_name(node)) is not None:
            node.constant = constant
            return t.type_of_type(constant)
        operand = self.resolve(self.check(node.operand))
        wrapped = operand.kind == "optional"
        if wrapped:
            operand = self.resolve(operand.params[0])
        kind = operand.kind
        if kind == "object":
            field = operand.field(node.field) if isinstance(operand, ObjectType) else None
            if field is None:
                return self.report(node.offset, f"undefined field '{node.field}'")
            result, node.key = field
        elif kind == "map":
            if not self.assignable(operand.params[0], t.STRING):
                return self.report(node.offset, f"expected type '{self.shown(operand.params[0])}' but found 'string'")
            result = operand.params[1]
        elif kind in ("dyn", "error", "var"):
            result = t.DYN if kind != "error" else t.ERROR
        else:
            return self.report(node.offset, f"type '{self.shown(operand)}' does not support field selection")
        if node.test:
            return t.BOOL
        if (node.optional or wrapped) and self.resolve(result).kind != "optional":
            return t.optional_of(result)
        return result

    def index(self, node: s.Index) -> t.Type:
        operand = self.resolve(self.check(node.operand))
        index = self.resolve(self.check(node.index))
        wrapped = operand.kind == "optional"
        container = self.resolve(operand.params[0]) if wrapped else operand
        kind = container.kind
        result: t.Type | None = None
        if kind == "list":
            # A double index is allowed where it is dyn only.
            if self.assignable(t.INT, index) or (index.kind == "uint" and self.is_dyn(index)):
                result = container.params[0]
        elif kind == "map":
            if self.assignable(container.params[0], index):
                result = container.params[1]
        elif kind in ("dyn", "var"):
            result = t.DYN
        elif kind == "error":
            return t.ERROR
        if result is None:
            name = "_[?_]" if node.optional else "_[_]"
            return self._no_overload(node.offset, name, [operand, index], member=False)
        if (node.optional or wrapped) and self.resolve(result).kind != "optional":
            return t.optional_of(result)
        return result

    # ---- calls

    def _no_overload(self, offset: int, name: str, args: list[t.Type], *, member: bool) -> t.Type:
        shown = [self.shown(arg) for arg in args]
        signature = f"{shown[0]}.({', '.join(shown[1:])})" if member else f"({', '.join(shown)})"
        return self.report(offset, f"found no matching overload for '{name}' applied to '{signature}'")

    def call(self, node: s.Call) -> t.Type:
        target = node.target
        if target is not None:
            prefix = qualified_name(target)
            if prefix is not None:
                functions = self.registry.find(f"{prefix}.{node.name}", member=False)
                if functions:
                    node.name = f"{prefix}.{node.name}"
                    node.target = None
                    if node.name in _VARIADIC and len(node.args) > 2:
                        node.args = [s.ListLiteral(node.offset, node.args, frozenset())]
                    return self._overloads(node, functions, [self.check(arg) for arg in node.args], member=False)
            before = len(self.issues)
            receiver = self.check(target)
            # The arguments of a format string are of any types.
            strict, self.homogeneous = self.homogeneous, self.homogeneous and node.name != "format"
            args = [receiver, *(self.check(arg) for arg in node.args)]
            self.homogeneous = strict
            functions = self.registry.find(node.name, member=True)
            if not functions:
                return self.report(node.offset, f"undeclared reference to '{node.name}' (in container '')")
            if len(self.issues) > before and receiver.kind == "error":
                return t.ERROR
            return self._overloads(node, functions, args, member=True)
        args = [self.check(arg) for arg in node.args]
        functions = self.registry.find(node.name, member=False)
        if not functions:
            return self.report(node.offset, f"undeclared reference to '{node.name}' (in container '')")
        return self._overloads(node, functions, args, member=False)

    def _overloads(self, node: s.Call, functions: tuple[Function, ...], args: list[t.Type], *, member: bool) -> t.Type:
        matches: list[Function] = []
        result: t.Type | None = None
        kept: Substitution | None = None
        before = self.substitution
        for function in functions:
            if len(function.params) != len(args):
                continue
            self.substitution = dict(before)
            renamed: dict[str, t.Type] = {}
            params = [self._instance(param, renamed) for param in function.params]
            if all(map(self.assignable, params, args)):
                found = self._instance(function.result, renamed)
                matches.append(function)
                if result is None:
                    result, kept = found, self.substitution
                elif not t.same(self.final(result), self.final(found)):
                    result = t.DYN
        if result is None or kept is None:
            self.substitution = before
            if any(arg.kind == "error" for arg in args):
                return t.ERROR
            return self._no_overload(node.offset, node.name, args, member=member)
        self.substitution = kept
        node.overloads = matches
        if self.homogeneous:
            self._literal_argument(node)
        return result

    def _literal_argument(self, node: s.Call) -> None:
        """Refuse a literal that the function can only fail on: a malformed duration, timestamp or pattern."""
        validate = _LITERAL_ARGUMENTS.get(node.name)
        if validate is None or not node.args:
            return
        argument = node.args[-1]
        if isinstance(argument, s.Literal) and isinstance(argument.value, str):
            try:
                validate(argument.value)
            except EvaluationError:
                self.report(argument.offset, f"invalid {node.name} argument")

    def _instance(self, type_: t.Type, renamed: dict[str, t.Type]) -> t.Type:
        if type_.kind == "var":
            if type_.name not in renamed:
                renamed[type_.name] = self.fresh()
            return renamed[type_.name]
        if not type_.params or type_.kind == "object":
            return type_
        params = tuple(self._instance(param, renamed) for param in type_.params)
        if all(a is b for a, b in zip(params, type_.params, strict=True)):
            return type_
        return t.Type(type_.kind, params, name=type_.name, nullable=type_.nullable)

    def logic(self, node: s.Logic) -> t.Type:
        name = "_&&_" if node.conjunction else "_||_"
        for term in node.terms:
            found = self.check(term)
            if not self.assignable(t.BOOL, found):
                shown = [self.shown(other.type if other.type is not t.DYN else found) for other in node.terms[:2]]
                if term is node.terms[0]:
                    shown = [self.shown(found), self.shown(self.check(node.terms[1]))]
                return self.report(
                    node.offset, f"found no matching overload for '{name}' applied to '({', '.join(shown)})'"
                )
        return t.BOOL

    def ternary(self, node: s.Ternary) -> t.Type:
        condition = self.check(node.condition)
        then = self.check(node.then)
        other = self.check(node.other)
        if not self.assignable(t.BOOL, condition) or not self.assignable(then, other):
            if "error" in (condition.kind, then.kind, other.kind):
                return t.ERROR
            return self._no_overload(node.offset, "_?_:_", [condition, then, other], member=False)
        return self.join(then, other)

    # ---- literals

    def _element(self, node: s.Node, optional: bool) -> t.Type:
        found = self.resolve(self.check(node))
        if not optional:
            return found
        if found.kind == "optional":
            return found.params[0]
        if found.kind not in ("dyn", "error"):
            self.report(node.offset, f"expected type 'optional_type(dyn)' but found '{self.shown(found)}'")
        return t.DYN

    def _join_literal(self, known: t.Type | None, found: t.Type, offset: int) -> t.Type:
        if known is None:
            return found
        if self.homogeneous and not self.is_dyn(known) and not self.is_dyn(found):
            if not self.assignable(known, found):
                return self.report(offset, f"expected type '{self.shown(known)}' but found '{self.shown(found)}'")
            return known
        return self.join(known, found)

    def list_literal(self, node: s.ListLiteral) -> t.Type:
        element: t.Type | None = None
        for i, item in enumerate(node.items):
            element = self._join_literal(element, self._element(item, i in node.optional), item.offset)
        return t.list_of(self.fresh() if element is None else element)

    def map_literal(self, node: s.MapLiteral) -> t.Type:
        key: t.Type | None = None
        value: t.Type | None = None
        for i, (key_node, value_node) in enumerate(node.entries):
            found = self.resolve(self.check(key_node))
            if found.kind not in _KEY_KINDS:
                self.report(key_node.offset, f"unsupported key type: {self.shown(found)}")
                found = t.ERROR
            key = self._join_literal(key, found, key_node.offset)
            value = self._join_literal(value, self._element(value_node, i in node.optional), value_node.offset)
        return t.map_of(self.fresh() if key is None else key, self.fresh() if value is None else value)

    def message(self, node: s.Message) -> t.Type:
        for _, value in node.fields:
            self.check(value)
        return self.report(node.offset, f"undeclared reference to '{node.name}' (in container '')")

    # ---- macros

    def comprehension(self, node: s.Comprehension) -> t.Type:
        range_ = self.resolve(self.check(node.range))
        kind = range_.kind
        key: t.Type
        value: t.Type
        if kind == "list":
            key, value = t.INT, range_.params[0]
        elif kind == "map":
            key, value = range_.params
        elif kind in ("dyn", "error", "var"):
            key = value = t.DYN
        else:
            self.report(
                node.range.offset,
                f"expression of type '{self.shown(range_)}' cannot be range of a comprehension "
                "(must be list, map, or dynamic)",
            )
            key = value = t.ERROR
        types = [key, value] if len(node.names) == 2 else [value if kind == "list" else key]
        node.locals = [s.Local(name, type_) for name, type_ in zip(node.names, types, strict=True)]
        self.scopes += node.locals
        if node.condition is not None:
            self.expect(node.condition, t.BOOL)
        result = self.check(node.result) if node.result is not None else t.BOOL
        del self.scopes[-len(node.locals) :]
        macro = node.macro
        if macro in ("map", "transformList"):
            return t.list_of(result)
        if macro == "filter":
            return t.list_of(types[0])
        if macro == "sortBy":
            ordered = self.resolve(result)
            if kind not in ("list", "dyn", "error", "var") or ordered.kind not in _ORDERED:
                return self._no_overload(node.offset, "sortBy", [range_, ordered], member=True)
            return t.list_of(types[0])
        if macro == "transformMap":
            return t.map_of(key, result)
        if macro == "transformMapEntry":
            entry = self.resolve(result)
            if entry.kind in ("dyn", "error"):
                return t.MAP
            if entry.kind != "map":
                assert node.result is not None
                return self.report(node.result.offset, f"expected type 'map(dyn, dyn)' but found '{self.shown(entry)}'")
            return entry
        return t.BOOL

    def _scoped(self, local: s.Local, body: s.Node) -> t.Type:
        self.scopes.append(local)
        result = self.check(body)
        self.scopes.pop()
        return result

    def bind(self, node: s.Bind) -> t.Type:
        node.local = s.Local(node.name, self.check(node.value))
        return self._scoped(node.local, node.body)

    def optional_map(self, node: s.OptionalMap) -> t.Type:
        target = self.resolve(self.check(node.target))
        if target.kind == "optional":
            value = target.params[0]
        elif target.kind in ("dyn", "error"):
            value = t.DYN
        else:
            name = "optFlatMap" if node.flat else "optMap"
            return self._no_overload(node.offset, name, [target], member=True)
        node.local = s.Local(node.name, value)
        result = self._scoped(node.local, node.body)
        if not node.flat:
            return t.optional_of(result)
        if not self.assignable(t.optional_of(self.fresh()), result):
            return self.report(node.body.offset, f"expected type 'optional_type(dyn)' but found '{self.shown(result)}'")
        return result


_CHECKS: dict[type, Callable[[Checker, Any], t.Type]] = {
    s.Literal: Checker.literal,
    s.Ident: Checker.ident,
    s.Select: Checker.select,
    s.Index: Checker.index,
    s.Call: Checker.call,
    s.Logic: Checker.logic,
    s.Ternary: Checker.ternary,
    s.ListLiteral: Checker.list_literal,
    s.MapLiteral: Checker.map_literal,
    s.Message: Checker.message,
    s.Comprehension: Checker.comprehension,
    s.Bind: Checker.bind,
    s.OptionalMap: Checker.optional_map,
}
