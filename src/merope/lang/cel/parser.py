"""Tokens to a syntax tree: precedence climbing, macros recognised on the way.

Brackets nest to `MAX_NESTING` levels (a level costs the parser five Python frames), the tree grows to `MAX_DEPTH`, so
that hostile input gets a `CompileError` and never a `RecursionError`.
"""

from __future__ import annotations

from .errors import CompileError
from .lexer import Token, tokenize
from .syntax import (
    Bind,
    Call,
    Comprehension,
    Ident,
    Index,
    ListLiteral,
    Literal,
    Logic,
    MapLiteral,
    Message,
    Node,
    OptionalMap,
    Select,
    Ternary,
)
from .values import INT_MAX, Uint

#: The height of a syntax tree: chains of left-associative operators, selections and conditionals make it grow.
MAX_DEPTH = 250
#: How deep brackets and calls may nest.
MAX_NESTING = 100

_RELATION = 3
_PRECEDENCE = {
    "?": 0,
    "||": 1,
    "&&": 2,
    "==": _RELATION,
    "!=": _RELATION,
    "<": _RELATION,
    "<=": _RELATION,
    ">": _RELATION,
    ">=": _RELATION,
    "in": _RELATION,
    "+": 4,
    "-": 4,
    "*": 5,
    "/": 5,
    "%": 5,
}
#: Words that CEL keeps for other languages; they are legal as field names only.
RESERVED = frozenset(
    (
        *("as", "break", "const", "continue", "else", "for", "function", "if", "import", "let", "loop"),
        *("package", "namespace", "return", "var", "void", "while"),
    )
)
#: What the grammar expects where an operand must stand, for the error message.
_OPERANDS = (
    "'[', '{', '(', '.', '-', '!', 'true', 'false', 'null', NUM_FLOAT, NUM_INT, NUM_UINT, STRING, BYTES, IDENTIFIER"
)
_ONE_VARIABLE = {"all": "all", "exists": "exists", "exists_one": "exists_one", "existsOne": "exists_one"}
_TRANSFORMS = frozenset(("transformList", "transformMap", "transformMapEntry"))


def parse(source: str, *, optionals: bool = True, two_variables: bool = True) -> Node:
    """Parse an expression.

    Args:
        source: the expression.
        optionals: whether `.?`, `[?` and `{?` are part of the language.
        two_variables: whether macros over two variables are.

    Raises:
        CompileError: a syntax error (the first one), or the expression is too long or too deep.
    """
    return _Parser(source, optionals, two_variables).parse()


class _Parser:
    def __init__(self, source: str, optionals: bool, two_variables: bool) -> None:
        self.source = source
        self.tokens: list[Token] = tokenize(source)
        self.position = 0
        self.nesting = 0
        self.optionals = optionals
        self.two_variables = two_variables

    def parse(self) -> Node:
        node = self.expression(0)
        kind, _, offset = self.tokens[self.position]
        if kind != "end":
            raise self.error(offset, f"Syntax error: extraneous input {self.shown()} expecting <EOF>")
        return node

    # ---- tokens

    def error(self, offset: int, message: str) -> CompileError:
        return CompileError(self.source, [(offset, message)])

    def shown(self) -> str:
        kind, _, offset = self.tokens[self.position]
        if kind == "end":
            return "'<EOF>'"
        following = self.tokens[self.position + 1][2]
        return f"'{self.source[offset:following].strip()}'"

    def expect(self, kind: str) -> Token:
        token = self.tokens[self.position]
        if token[0] != kind:
            raise self.error(token[2], f"Syntax error: mismatched input {self.shown()} expecting '{kind}'")
        self.position += 1
        return token

    def accept(self, kind: str) -> bool:
        if self.tokens[self.position][0] == kind:
            self.position += 1
            return True
        return False

    def checked(self, node: Node) -> Node:
        if node.depth > MAX_DEPTH:
            raise self.too_deep(node.offset)
        return node

    def too_deep(self, offset: int, limit: int = MAX_DEPTH) -> CompileError:
        return self.error(offset, f"expression recursion limit exceeded: {limit}")

    def optional_syntax(self, token: Token) -> None:
        if not self.optionals:
            raise self.error(token[2], f"unsupported syntax '{token[0]}'")

    # ---- expressions

    def expression(self, lowest: int) -> Node:
        """Parse an expression whose operators all bind at least as tightly as `lowest`."""
        self.nesting += 1
        if self.nesting > MAX_NESTING:
            raise self.too_deep(self.tokens[self.position][2], MAX_NESTING)
        left = self.checked(self.unary())
        while True:
            kind, _, offset = self.tokens[self.position]
            precedence = _PRECEDENCE.get(kind)
            if precedence is None or precedence < lowest:
                break
            self.position += 1
            if precedence == 0:
                left = self.conditional(offset, left)
            elif precedence <= 2:
                terms = [left, self.expression(precedence + 1)]
                while self.accept(kind):
                    terms.append(self.expression(precedence + 1))
                left = Logic(offset, kind == "&&", terms)
            else:
                right = self.expression(precedence + 1)
                name = "@in" if kind == "in" else f"_{kind}_"
                left = Call(offset, name, None, [left, right])
            self.checked(left)
        self.nesting -= 1
        return left

    def conditional(self, offset: int, condition: Node) -> Node:
        """Parse the rest of `condition ? then : other`, with any further conditionals in `other`."""
        branches: list[tuple[int, Node, Node]] = []
        while True:
            then = self.expression(1)
            self.expect(":")
            branches.append((offset, condition, then))
            other = self.expression(1)
            offset = self.tokens[self.position][2]
            if not self.accept("?"):
                break
            condition = other
        for offset, condition, then in reversed(branches):
            other = self.checked(Ternary(offset, condition, then, other))
        return other

    def unary(self) -> Node:
        kind, _, offset = self.tokens[self.position]
        operators: list[Token] = []
        while kind in ("!", "-"):
            operators.append(self.tokens[self.position])
            self.position += 1
            kind = self.tokens[self.position][0]
        # A minus before a number is part of the literal, so that the smallest int can be written.
        negative = bool(operators) and operators[-1][0] == "-" and kind in ("int", "float")
        if negative:
            operators.pop()
        node = self.operand(negative=negative)
        # Pairs cancel out, as in the reference.
        while operators:
            kind, _, offset = operators.pop()
            if operators and operators[-1][0] == kind:
                operators.pop()
                continue
            node = Call(offset, "!_" if kind == "!" else "-_", None, [node])
        return node

    def operand(self, *, negative: bool) -> Node:
        """Parse a primary expression and the selections, indexes and calls that follow it."""
        token = kind, value, offset = self.tokens[self.position]
        node: Node
        if kind == "ident":
            node = self.name(token)
        elif kind == "string" or kind == "bytes":
            self.position += 1
            node = Literal(offset, value)
        elif kind == "int":
            self.position += 1
            if value > INT_MAX + negative:
                raise self.error(offset, "invalid int literal")
            node = Literal(offset, -value if negative else value)
        elif kind == "float":
            self.position += 1
            node = Literal(offset, -value if negative else value)
        elif kind == "uint":
            self.position += 1
            node = Literal(offset, Uint(value))
        elif kind == "(":
            self.position += 1
            node = self.expression(0)
            self.expect(")")
        elif kind == "[" or kind == "[?":
            node = self.list_literal(token)
        elif kind == "{" or kind == "{?":
            node = self.map_literal(token)
        elif kind == "true" or kind == "false" or kind == "null":
            self.position += 1
            node = Literal(offset, {"true": True, "false": False, "null": None}[kind])
        elif kind == "." and self.tokens[self.position + 1][0] == "ident":
            self.position += 1
            node = self.name(self.tokens[self.position])
        else:
            raise self.error(offset, f"Syntax error: mismatched input {self.shown()} expecting {{{_OPERANDS}}}")
        while True:
            token = kind, _, offset = self.tokens[self.position]
            if kind == "." or kind == ".?":
                self.position += 1
                field_kind, field, field_offset = self.tokens[self.position]
                if field_kind not in ("ident", "quoted"):
                    raise self.error(
                        field_offset, f"Syntax error: mismatched input {self.shown()} expecting IDENTIFIER"
                    )
                self.position += 1
                if kind == ".?":
                    self.optional_syntax(token)
                    node = Select(offset, node, field, optional=True)
                elif field_kind == "ident" and self.tokens[self.position][0] == "(":
                    node = self.method(node, field)
                else:
                    node = Select(offset, node, field)
            elif kind == "[" or kind == "[?":
                if kind == "[?":
                    self.optional_syntax(token)
                self.position += 1
                index = self.expression(0)
                self.expect("]")
                node = Index(offset, node, index, optional=kind == "[?")
            elif kind == "{" and (name := qualified_name(node)) is not None:
                self.position += 1
                node = self.message(offset, name)
            else:
                return node
            if node.depth > MAX_DEPTH:
                raise self.too_deep(offset)

    def name(self, token: Token) -> Node:
        _, name, offset = token
        self.position += 1
        if name in RESERVED:
            raise self.error(offset, f"reserved identifier: {name}")
        opening = self.tokens[self.position]
        if opening[0] != "(":
            return Ident(offset, name)
        args = self.arguments()
        if name == "has":
            return self.has(opening[2], args)
        return Call(opening[2], name, None, args)

    def arguments(self) -> list[Node]:
        self.expect("(")
        args: list[Node] = []
        if self.accept(")"):
            return args
        while True:
            args.append(self.expression(0))
            if not self.accept(","):
                break
        self.expect(")")
        return args

    def list_literal(self, token: Token) -> Node:
        items: list[Node] = []
        optional: set[int] = set()
        self.position += 1
        question = token[0] == "[?"
        while not self.accept("]"):
            mark = self.tokens[self.position]
            if question or self.accept("?"):
                self.optional_syntax(("?", "?", mark[2]))
                optional.add(len(items))
                question = False
            items.append(self.expression(0))
            if not self.accept(","):
                self.expect("]")
                break
        return ListLiteral(token[2], items, frozenset(optional))

    def map_literal(self, token: Token) -> Node:
        entries: list[tuple[Node, Node]] = []
        optional: set[int] = set()
        self.position += 1
        question = token[0] == "{?"
        while not self.accept("}"):
            mark = self.tokens[self.position]
            if question or self.accept("?"):
                self.optional_syntax(("?", "?", mark[2]))
                optional.add(len(entries))
                question = False
            key = self.expression(0)
            self.expect(":")
            entries.append((key, self.expression(0)))
            if not self.accept(","):
                self.expect("}")
                break
        return MapLiteral(token[2], entries, frozenset(optional))

    def message(self, offset: int, name: str) -> Node:
        fields: list[tuple[str, Node]] = []
        while not self.accept("}"):
            self.accept("?")
            field = self.expect("ident")
            self.expect(":")
            fields.append((field[1], self.expression(0)))
            if not self.accept(","):
                self.expect("}")
                break
        return Message(offset, name, fields)

    # ---- macros

    def has(self, offset: int, args: list[Node]) -> Node:
        if len(args) == 1 and isinstance(args[0], Select) and not args[0].optional:
            return Select(offset, args[0].operand, args[0].field, test=True)
        raise self.error(offset, "invalid argument to has() macro")

    def method(self, target: Node, name: str) -> Node:
        offset = self.tokens[self.position][2]
        args = self.arguments()
        count = len(args)
        if count == 2 or (count == 3 and name == "map"):
            if name in _ONE_VARIABLE:
                return Comprehension(offset, _ONE_VARIABLE[name], target, self.variables(args[:1]), args[1], None)
            if name == "map":
                condition = args[1] if count == 3 else None
                return Comprehension(offset, "map", target, self.variables(args[:1]), condition, args[-1])
            if name == "sortBy":
                return Comprehension(offset, "sortBy", target, self.variables(args[:1]), None, args[1])
            if name == "filter":
                return Comprehension(offset, "filter", target, self.variables(args[:1]), args[1], None)
            if self.optionals and name in ("optMap", "optFlatMap"):
                (variable,) = self.variables(args[:1])
                return OptionalMap(offset, target, variable, args[1], flat=name == "optFlatMap")
        if count == 3 and name == "bind" and isinstance(target, Ident) and target.name == "cel":
            (variable,) = self.variables(args[:1])
            return Bind(offset, variable, args[1], args[2])
        if self.two_variables and count in (3, 4):
            if count == 3 and name in _ONE_VARIABLE:
                return Comprehension(offset, _ONE_VARIABLE[name], target, self.variables(args[:2]), args[2], None)
            if name in _TRANSFORMS:
                condition = args[2] if count == 4 else None
                return Comprehension(offset, name, target, self.variables(args[:2]), condition, args[-1])
        return Call(offset, name, target, args)

    def variables(self, nodes: list[Node]) -> list[str]:
        names: list[str] = []
        for node in nodes:
            if not isinstance(node, Ident):
                raise self.error(node.offset, "argument must be a simple name")
            if node.name in names:
                raise self.error(node.offset, f"duplicate variable name: {node.name}")
            names.append(node.name)
        return names


def qualified_name(node: Node) -> str | None:
    """Give the dotted name that the expression spells (`math.greatest`), or None if it is no such chain."""
    names: list[str] = []
    while isinstance(node, Select) and not node.test and not node.optional:
        names.append(node.field)
        node = node.operand
    if not isinstance(node, Ident):
        return None
    names.append(node.name)
    return ".".join(reversed(names))
