"""What can go wrong with an expression: it does not compile, it fails on a value, or it costs too much.

The texts are those of the CEL implementation that Kubernetes embeds, because they end up in API responses and in
conditions, where people (and scripts) look for them.
"""

from __future__ import annotations


class CelError(Exception):
    """Base of every error that an expression can cause."""


class CompileError(CelError):
    """The expression has syntax or type errors.

    ``str(error)`` is the whole report: for each problem its position and the source line with a mark under it.
    ``issues`` holds (offset, message) pairs, offsets counted in code points.
    """

    def __init__(self, source: str, issues: list[tuple[int, str]]) -> None:
        self.source = source
        self.issues = issues
        super().__init__("\n".join(render_issue(source, offset, message) for offset, message in issues))


class EvaluationError(CelError):
    """Evaluation failed on these values, for example `no such key: x`."""


class CostExceeded(CelError):
    """The evaluation was cancelled because it used up its cost budget.

    It is deliberately not an `EvaluationError`: `&&` and `||` absorb evaluation errors, but never this one.
    """

    def __init__(self, message: str = "operation cancelled: actual cost limit exceeded") -> None:
        super().__init__(message)


def render_issue(source: str, offset: int, message: str) -> str:
    """Show one problem with its line, as `ERROR: <input>:LINE:COLUMN: MESSAGE` and a mark under the column."""
    offset = min(max(offset, 0), len(source))
    line_start = source.rfind("\n", 0, offset) + 1
    line_end = source.find("\n", offset)
    line = source[line_start : line_end if line_end >= 0 else len(source)]
    number = source.count("\n", 0, offset) + 1
    column = offset - line_start
    shown = line.replace("\t", " ")
    return f"ERROR: <input>:{number}:{column + 1}: {message}\n | {shown}\n | {'.' * column}^"


def no_such_overload() -> EvaluationError:
    """Make the error for an operation that is not defined for the types of its operands."""
    return EvaluationError("no such overload")


def no_such_key(key: object) -> EvaluationError:
    """Make the error for a missing map key or object field."""
    if key is True or key is False:
        key = str(key).lower()
    return EvaluationError(f"no such key: {key}")
