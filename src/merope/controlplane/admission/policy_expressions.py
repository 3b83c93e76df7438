"""The expressions of a validating admission policy: compiled once, evaluated for each request that it concerns."""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from merope.controlplane.admission.authorizer import AUTHORIZER, FUNCTIONS, Record
from merope.lang.cel import (
    BOOL,
    DYN,
    STRING,
    CelError,
    CompileError,
    CostExceeded,
    Environment,
    EvaluationError,
    Program,
    Type,
    list_of,
    map_of,
    schema_type,
)

#: Cost that the validations of one policy may spend on one request, variables included, and its match conditions.
BUDGET: Final = 10_000_000
CONDITIONS_BUDGET: Final = 2_500_000
#: Cost that one expression may spend.
_PER_EXPRESSION: Final = 1_000_000
#: Longer messages of expressions are not shown, in bytes.
_MAX_MESSAGE: Final = 5 * 1024

OUT_OF_BUDGET: Final = "validation failed due to running out of cost budget, no further validation rules will be run"


# --- what expressions may refer to -------------------------------------------------------------------------------


def _record(name: str, /, **fields: Type) -> Record:
    return Record(name, fields)


_GVK: Final = _record("kubernetes.GroupVersionKind", group=STRING, version=STRING, kind=STRING)
_GVR: Final = _record("kubernetes.GroupVersionResource", group=STRING, version=STRING, resource=STRING)
_USER: Final = _record(
    "kubernetes.UserInfo",
    username=STRING,
    uid=STRING,
    groups=list_of(STRING),
    extra=map_of(STRING, list_of(STRING)),
)
_REQUEST: Final = _record(
    "kubernetes.AdmissionRequest",
    kind=_GVK,
    resource=_GVR,
    subResource=STRING,
    requestKind=_GVK,
    requestResource=_GVR,
    requestSubResource=STRING,
    name=STRING,
    namespace=STRING,
    operation=STRING,
    userInfo=_USER,
    dryRun=BOOL,
    options=DYN,
)


@functools.cache
def _namespace() -> Type:
    """The part of a Namespace that expressions see."""
    text, number, time = {"type": "string"}, {"type": "integer"}, {"type": "string", "format": "date-time"}
    texts = {"type": "array", "items": text}
    condition = {"type": text, "status": text, "reason": text, "message": text, "lastTransitionTime": time}
    metadata = {
        "name": text,
        "generateName": text,
        "namespace": text,
        "labels": {"type": "object", "additionalProperties": text},
        "annotations": {"type": "object", "additionalProperties": text},
        "UID": text,
        "creationTimestamp": time,
        "deletionGracePeriodSeconds": number,
        "deletionTimestamp": time,
        "generation": number,
        "resourceVersion": text,
        "finalizers": texts,
    }
    conditions = {"type": "array", "items": {"type": "object", "properties": condition}}
    status = {"phase": text, "conditions": conditions}
    found = schema_type(
        {
            "type": "object",
            "nullable": True,
            "properties": {
                "metadata": {"type": "object", "properties": metadata},
                "spec": {"type": "object", "properties": {"finalizers": texts}},
                "status": {"type": "object", "properties": status},
            },
        }
    )
    assert found is not None
    return found


def environment(*, params: bool = False, authorizer: bool = True, variables: Record | None = None) -> Environment:
    """What expressions about a request may refer to."""
    declared: dict[str, Type | Mapping[str, Any]] = {
        "object": DYN,
        "oldObject": DYN,
        "request": _REQUEST,
        "namespaceObject": _namespace(),
    }
    if params:
        declared["params"] = DYN
    if authorizer:
        declared["authorizer"] = AUTHORIZER
    if variables is not None:
        declared["variables"] = variables
    return Environment(declared, functions=FUNCTIONS)


class WrongResult(CelError):
    """An expression compiles, but to a type that is of no use at its place."""


class Compiler:
    """Compiles the expressions of one policy. Variables first, in their order: each sees those before it."""

    def __init__(self, *, params: bool, variables: bool) -> None:
        self._variables = Record("kubernetes.variables", {}) if variables else None
        self._conditions = environment(params=params, authorizer=True, variables=None)
        self._full = environment(params=params, authorizer=True, variables=self._variables)
        self._messages = environment(params=params, authorizer=False, variables=self._variables)

    def variable(self, name: str, expression: str) -> Program:
        """Raises CompileError; later expressions may use the variable."""
        assert self._variables is not None
        # Where it does not compile, what refers to it shall not be blamed.
        self._variables.declared[name] = DYN
        program = self._full.compile(expression)
        self._variables.declared[name] = program.result_type
        return program

    def condition(self, expression: str) -> Program:
        """Raises CompileError or WrongResult, as the others do."""
        return _of_kind(self._conditions.compile(expression), "bool")

    def validation(self, expression: str) -> Program:
        return _of_kind(self._full.compile(expression), "bool")

    def message(self, expression: str) -> Program:
        return _of_kind(self._messages.compile(expression), "string")

    def annotation(self, expression: str) -> Program:
        return _of_kind(self._full.compile(expression), "string", "null")


def _of_kind(program: Program, *kinds: str) -> Program:
    if program.result_type.kind not in kinds:
        names = ["null_type" if kind == "null" else kind for kind in kinds]
        wanted = names[0] if len(names) == 1 else f"one of [{' '.join(names)}]"
        raise WrongResult(f"must evaluate to {wanted} but got {program.result_type!r}")
    return program


# --- a policy's expressions --------------------------------------------------------------------------------------

#: A program, or why there is none: policies are stored after validation, but rules may have changed since.
Compiled = Program | CelError


@dataclass(frozen=True, slots=True)
class Validation:
    expression: str
    program: Compiled
    message: str
    message_program: Program | None
    reason: str


@dataclass(frozen=True, slots=True)
class Denial:
    """A validation that did not hold, or something that could not be evaluated.

    ``always`` ones refuse the request whatever the actions of the binding are.
    """

    message: str
    reason: str = "Invalid"
    always: bool = False


class EvaluationFailed(Exception):
    """Something could not be evaluated; the policy's failure policy decides what that means."""


@dataclass(frozen=True, slots=True)
class Expressions:
    """All expressions of one policy."""

    conditions: tuple[tuple[str, Compiled], ...]
    variables: Mapping[str, Compiled]
    validations: tuple[Validation, ...]
    annotations: tuple[tuple[str, Compiled], ...]

    @classmethod
    def of(cls, spec: Mapping[str, Any]) -> Expressions:
        compiler = Compiler(params=spec.get("paramKind") is not None, variables=bool(spec.get("variables")))
        variables = {
            variable["name"]: _compiled(functools.partial(compiler.variable, variable["name"]), variable)
            for variable in spec.get("variables") or ()
        }
        validations = []
        for validation in spec.get("validations") or ():
            message = _compiled(compiler.message, validation, "messageExpression")
            validations.append(
                Validation(
                    validation["expression"],
                    _compiled(compiler.validation, validation),
                    (validation.get("message") or "").strip(),
                    message if validation.get("messageExpression") and isinstance(message, Program) else None,
                    validation.get("reason") or "Invalid",
                )
            )
        conditions = [
            (each["expression"], _compiled(compiler.condition, each)) for each in spec.get("matchConditions") or ()
        ]
        annotations = [
            (each["valueExpression"], _compiled(compiler.annotation, each, "valueExpression"))
            for each in spec.get("auditAnnotations") or ()
        ]
        return cls(tuple(conditions), variables, tuple(validations), tuple(annotations))

    def concern(self, bindings: Mapping[str, Any]) -> bool:
        """Whether all match conditions hold. One that is false decides, even beside one that fails.

        Raises:
            EvaluationFailed: some failed and none is false.
        """
        meter = Meter(CONDITIONS_BUDGET, {}, {**bindings, "namespaceObject": None})
        failures: list[str] = []
        for expression, program in self.conditions:
            try:
                if meter.evaluate(expression, program) is False:
                    return False
            except _ExpressionFailed as failure:
                failures.append(str(failure))
        if failures:
            raise EvaluationFailed(failures[0] if len(failures) == 1 else f"[{', '.join(failures)}]")
        return True

    def denials(self, bindings: Mapping[str, Any], *, fails_closed: bool) -> list[Denial]:
        """What the validations have against a request, in their order.

        Args:
            bindings: the variables' values.
            fails_closed: whether an expression that cannot be evaluated is a denial; otherwise it is passed over.
        """
        meter = Meter(BUDGET, self.variables, bindings)
        found: list[Validation | Denial] = []
        try:
            for validation in self.validations:
                try:
                    if meter.evaluate(validation.expression, validation.program) is not True:
                        found.append(validation)
                except _ExpressionFailed as failure:
                    found += [Denial(str(failure))] if fails_closed else []
            # Messages come out of what the validations left, annotations have a budget of their own.
            denials = [each if isinstance(each, Denial) else _denial(each, meter) for each in found]
        except EvaluationFailed as failure:
            # Half a verdict is none: what was found before counts as little as what would have been found after.
            denials = [Denial(str(failure))] if fails_closed else []
        return denials + (self._annotation_failures(bindings) if fails_closed else [])

    def _annotation_failures(self, bindings: Mapping[str, Any]) -> list[Denial]:
        meter = Meter(BUDGET, self.variables, bindings)
        failures: list[Denial] = []
        try:
            for expression, program in self.annotations:
                try:
                    meter.evaluate(expression, program)
                except _ExpressionFailed as failure:
                    failures.append(Denial(str(failure), always=True))
        except EvaluationFailed as failure:
            return [Denial(str(failure), always=True)]
        return failures


def _denial(validation: Validation, meter: Meter) -> Denial:
    """The message that an expression makes, else the given one, else the expression itself."""
    if validation.message_program is not None:
        try:
            message = meter.evaluate(validation.message_program.expression, validation.message_program)
        except _ExpressionFailed:
            message = ""
        if isinstance(message, str):
            message = message.strip()
            if message and len(message.encode()) <= _MAX_MESSAGE and "\n" not in message:
                return Denial(message, validation.reason)
    message = validation.message or f"failed expression: {validation.expression.strip()}"
    return Denial(message, validation.reason)


def _compiled(compile_: Callable[[str], Program], source: Mapping[str, Any], key: str = "expression") -> Compiled:
    try:
        return compile_((source.get(key) or "").strip())
    except (CompileError, WrongResult) as error:
        return error


# --- evaluation --------------------------------------------------------------------------------------------------


class _ExpressionFailed(Exception):
    """One expression failed."""


class Variables(dict[str, Any]):
    """The variables of a policy in one evaluation: each is computed when it is first read, and what it cost is kept."""

    def __init__(self, programs: Mapping[str, Compiled], bindings: Mapping[str, Any]) -> None:
        super().__init__()
        self._programs = programs
        self._bindings = {**bindings, "variables": self}
        self._failures: dict[str, str] = {}
        self.spent = 0

    def __contains__(self, name: object) -> bool:
        return name in self._programs

    def __missing__(self, name: str) -> Any:
        failure = self._failures.get(name)
        if failure is None:
            program = self._programs[name]
            if isinstance(program, Program):
                try:
                    value, cost = program.evaluate(self._bindings, budget=_PER_EXPRESSION)
                except CelError as error:
                    self.spent += _PER_EXPRESSION if isinstance(error, CostExceeded) else 0
                    failure = f'composited variable "{name}" fails to evaluate: {error}'
                else:
                    self.spent += cost
                    self[name] = value
                    return value
            else:
                failure = f'composited variable "{name}" fails to compile: {program}'
            self._failures[name] = failure
        raise EvaluationError(failure)


class Meter:
    """Evaluates the expressions of a policy on one request, within a budget for all of them."""

    def __init__(self, budget: int, variables: Mapping[str, Compiled], bindings: Mapping[str, Any]) -> None:
        self._left = budget
        self._variables = Variables(variables, bindings)
        self._bindings = {**bindings, "variables": self._variables}

    def evaluate(self, expression: str, program: Compiled) -> Any:
        """Raises _ExpressionFailed, or EvaluationFailed when nothing is left to spend."""
        if not isinstance(program, Program):
            raise _ExpressionFailed(f"compilation error: {program}")
        failure: CelError | None = None
        value = None
        try:
            value, cost = program.evaluate(self._bindings, budget=_PER_EXPRESSION)
        except CelError as error:
            failure, cost = error, _PER_EXPRESSION if isinstance(error, CostExceeded) else 0
        self._left -= cost + self._variables.spent
        self._variables.spent = 0
        if self._left < 0:
            raise EvaluationFailed(OUT_OF_BUDGET)
        if failure is not None:
            raise _ExpressionFailed(f"expression '{expression}' resulted in error: {failure}")
        return value
