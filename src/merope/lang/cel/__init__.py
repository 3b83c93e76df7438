"""The Common Expression Language, with the types, functions and costs that Kubernetes gives it.

In comes an expression and what it may refer to: variables with their types (often an OpenAPI schema) and functions.
Out comes a `Program` that evaluates plain JSON data, as decoded, without converting it, and that cannot run away: every
evaluation has a cost budget.

    environment = Environment.for_schema({"type": "object", "properties": {"replicas": {"type": "integer"}}})
    program = environment.compile("self.replicas <= 5", result=BOOL)
    allowed, cost = program.evaluate({"self": {"replicas": 3}})

The stages are modules: `lexer`, `parser` (to the tree of `syntax`), `checker` (types), `compiler` and `loops` (to
closures), `estimate` (static cost). Values that JSON does not have are in `values`; schemas become types in `schema`;
functions are in `library`.
"""

from .environment import DEFAULT_BUDGET, Environment, Program, ResultTypeError
from .errors import CelError, CompileError, CostExceeded, EvaluationError
from .estimate import CRD_LIMIT, RULE_LIMIT, most_in_request
from .functions import Function, parse_type
from .schema import escape, schema_type, unescape
from .types import (
    BOOL,
    BYTES,
    CIDR,
    DOUBLE,
    DURATION,
    DYN,
    FORMAT,
    INT,
    IP,
    LIST,
    MAP,
    NULL,
    OPTIONAL,
    QUANTITY,
    SEMVER,
    STRING,
    TIMESTAMP,
    TYPE,
    UINT,
    URL,
    Type,
    list_of,
    map_of,
    opaque,
    optional_of,
)
from .values import Duration, OptionalValue, Timestamp, Uint

__all__ = [
    "BOOL",
    "BYTES",
    "CIDR",
    "CRD_LIMIT",
    "DEFAULT_BUDGET",
    "DOUBLE",
    "DURATION",
    "DYN",
    "FORMAT",
    "INT",
    "IP",
    "LIST",
    "MAP",
    "NULL",
    "OPTIONAL",
    "QUANTITY",
    "RULE_LIMIT",
    "SEMVER",
    "STRING",
    "TIMESTAMP",
    "TYPE",
    "UINT",
    "URL",
    "CelError",
    "CompileError",
    "CostExceeded",
    "Duration",
    "Environment",
    "EvaluationError",
    "Function",
    "OptionalValue",
    "Program",
    "ResultTypeError",
    "Timestamp",
    "Type",
    "Uint",
    "escape",
    "list_of",
    "map_of",
    "most_in_request",
    "opaque",
    "optional_of",
    "parse_type",
    "schema_type",
    "unescape",
]
