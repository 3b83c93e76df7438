"""Validation rules in CEL (``x-kubernetes-validations``): run on objects that the rest of the schema accepts.

The rules of a schema form a tree beside it, with only the nodes that lead to a rule; expressions are compiled when a
value first reaches them. Each write has one cost budget for all its rules.

A rule that compares with ``oldSelf`` runs on updates where the old value can be found: by field, by map key, by the
keys of map lists, but not in other lists. Other rules only warn of a value that is as it was.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from merope.controlplane.crd.listtypes import item_key
from merope.controlplane.crd.schemas import CompiledSchema
from merope.controlplane.crd.values import NOTHING, same
from merope.controlplane.errors import (
    DUPLICATE,
    FORBIDDEN,
    INVALID,
    NOT_SUPPORTED,
    REQUIRED,
    TOO_LONG,
    TOO_MANY,
    TYPE_INVALID,
    FieldError,
)
from merope.lang import cel
from merope.lang.schema import Schema

#: What all rules together may cost for one object, and one expression alone, in the API server's units.
OBJECT_BUDGET: Final = 10_000_000
EXPRESSION_BUDGET: Final = 1_000_000
_LONGEST_MESSAGE: Final = 5120

#: Complaints after which no rule runs: they could not rely on what the schema promises.
_BLOCKING: Final = frozenset({NOT_SUPPORTED, REQUIRED, TOO_LONG, TOO_MANY, TYPE_INVALID})
_NOT_CHECKED: Final = (
    "some validation rules were not checked because the object was invalid; correct the existing errors to complete "
    "validation"
)
_REASONS: Final = {
    "FieldValueForbidden": FORBIDDEN,
    "FieldValueRequired": REQUIRED,
    "FieldValueDuplicate": DUPLICATE,
}
_PATH_STEP: Final = re.compile(r"\.([^.\['\]]+)|\['((?:[^'\\]|\\.)*)'\]")


@dataclass(slots=True)
class Rule:
    """One declared rule with its programs, compiled on first use."""

    declared: Mapping[str, Any]
    schema: Schema
    root: bool
    _program: cel.Program | cel.CompileError | None = None
    _message: cel.Program | None = None
    _message_compiled: bool = False

    @property
    def optional_old(self) -> bool:
        return bool(self.declared.get("optionalOldSelf"))

    @property
    def path(self) -> str:
        """Where a failure is reported, relative to the node, with its leading separator."""
        return rule_path(self.declared.get("fieldPath") or "")

    @property
    def text(self) -> str:
        """How failures to evaluate name the rule."""
        return str(self.declared.get("message") or self.declared["rule"]).strip()

    @property
    def detail(self) -> str:
        """What a person reads when the rule does not hold."""
        message = self.declared.get("message")
        return str(message).strip() if message else f"failed rule: {str(self.declared['rule']).strip()}"

    def environment(self) -> cel.Environment:
        """What the rule's expressions may refer to."""
        return cel.Environment.for_schema(
            self.schema, old_self="optional" if self.optional_old else True, root=self.root
        )

    def program(self) -> cel.Program | cel.CompileError:
        """The rule, or why it does not compile (it was accepted by an older release)."""
        if self._program is None:
            try:
                self._program = self.environment().compile(self.declared["rule"], result=cel.BOOL)
            except cel.CompileError as error:
                self._program = error
        return self._program

    def message_program(self) -> cel.Program | None:
        """The expression that words the complaint, if there is a usable one."""
        if not self._message_compiled:
            self._message_compiled = True
            expression = self.declared.get("messageExpression")
            if expression:
                try:
                    self._message = self.environment().compile(expression, result=cel.STRING)
                except cel.CompileError:
                    self._message = None
        return self._message


def rule_path(declared: str) -> str:
    """A rule's ``fieldPath`` as complaints show it: ``.a['b-c']`` becomes ``.a.b-c``."""
    return "".join(f".{step}" for step in path_steps(declared))


def path_steps(path: str) -> list[str]:
    """The field names and map keys that a simple path goes through; empty where it is no such path."""
    steps = []
    at = 0
    while at < len(path):
        found = _PATH_STEP.match(path, at)
        if found is None:
            return []
        steps.append(found[1] or found[2].replace("\\'", "'").replace("\\\\", "\\"))
        at = found.end()
    return steps


@dataclass(slots=True)
class _Rules:
    """The rules at a node, and the nodes below that have any."""

    rules: tuple[Rule, ...]
    fields: dict[str, _Rules]
    values: _Rules | None
    items: _Rules | None
    keys: tuple[str, ...]
    declared: frozenset[str]
    kind: str


@dataclass(slots=True)
class _Run:
    budget: int
    warn: Callable[[str], None]
    errors: list[FieldError] = field(default_factory=list)


def check_rules(
    schema: CompiledSchema,
    obj: Mapping[str, Any],
    old: Mapping[str, Any] | None,
    errors: Sequence[FieldError],
    warn: Callable[[str], None] = lambda text: None,
) -> list[FieldError]:
    """Complaints of the schema's rules about an object, given what else was found wrong with it.

    ``warn`` gets those about values that an update leaves as they are.
    """
    rules = _rules_of(schema)
    if rules is None:
        return []
    if any(error.type in _BLOCKING for error in errors):
        return [FieldError("<nil>", INVALID, None, _NOT_CHECKED)]
    run = _Run(OBJECT_BUDGET, warn)
    _walk(rules, obj, NOTHING if old is None else old, "", run)
    return run.errors


def _rules_of(schema: CompiledSchema) -> _Rules | None:
    compiled = schema.declared.compiled
    if "rules" not in compiled:
        compiled["rules"] = _compile(schema.schema, root=True)
    found: _Rules | None = compiled["rules"]
    return found


def rules_at(schema: Schema) -> list[Mapping[str, Any]]:
    """The rules that hold for a node: its own and those of its allOf branches."""
    found = list(schema.get("x-kubernetes-validations") or ())
    for branch in schema.get("allOf") or ():
        found += branch.get("x-kubernetes-validations") or ()
    return found


def _compile(schema: Schema, *, root: bool = False) -> _Rules | None:
    rules = tuple(Rule(declared, schema, root) for declared in rules_at(schema) if declared.get("rule"))
    fields = {
        name: below
        for name, child in (schema.get("properties") or {}).items()
        if (below := _compile(child)) is not None
    }
    additional, items = schema.get("additionalProperties"), schema.get("items")
    values = _compile(additional) if isinstance(additional, Mapping) else None
    of_items = _compile(items) if isinstance(items, Mapping) else None
    if not rules and not fields and values is None and of_items is None:
        return None
    keys = (
        tuple(schema.get("x-kubernetes-list-map-keys") or ()) if schema.get("x-kubernetes-list-type") == "map" else ()
    )
    return _Rules(
        rules,
        fields,
        values,
        of_items,
        keys,
        frozenset(schema.get("properties") or ()),
        schema.get("type") or "",
    )


def _walk(rules: _Rules, value: Any, old: Any, path: str, run: _Run) -> None:
    if value is None or run.budget < 0:
        return
    if rules.rules:
        _evaluate(rules, value, NOTHING if old is None else old, path, run)
    if value.__class__ is dict:
        known = old.__class__ is dict
        for key, inner in value.items():
            below = rules.fields.get(key)
            place = f"{path}.{key}" if path else key
            if below is None:
                if rules.values is None or key in rules.declared:
                    continue
                below, place = rules.values, f"{path}[{key}]"
            _walk(below, inner, old.get(key, NOTHING) if known else NOTHING, place, run)
    elif value.__class__ is list and rules.items is not None:
        earlier: dict[bytes, Any] = {}
        if rules.keys and old.__class__ is list:
            earlier = {item_key(item, rules.keys): item for item in old if item.__class__ is dict}
        for index, item in enumerate(value):
            before = NOTHING
            if earlier and item.__class__ is dict:
                before = earlier.get(item_key(item, rules.keys), NOTHING)
            _walk(rules.items, item, before, f"{path}[{index}]", run)


def _evaluate(rules: _Rules, value: Any, old: Any, path: str, run: _Run) -> None:
    shown = path or "<nil>"
    unchanged: bool | None = None
    for rule in rules.rules:
        program = rule.program()
        if isinstance(program, cel.CompileError):
            run.errors.append(FieldError(shown, INVALID, rules.kind, f"rule compile error: {program}"))
            continue
        if program.uses_old_self and old is NOTHING and not rule.optional_old:
            continue
        bindings = _bindings(rule, value, old)
        budget = min(run.budget, EXPRESSION_BUDGET)
        try:
            verdict, cost = program.evaluate(bindings, budget=budget)
        except cel.CostExceeded as error:
            if budget < EXPRESSION_BUDGET:
                text = "validation failed due to running out of cost budget, no further validation rules will be run"
            else:
                text = f"'{error}': no further validation rules will be run due to call cost exceeds limit for rule: "
                text += rule.text
            run.errors.append(FieldError(shown, INVALID, rules.kind, text))
            run.budget = -1
            return
        except cel.EvaluationError as error:
            complaint = FieldError(shown, INVALID, rules.kind, _failure(error, rule))
        else:
            run.budget -= cost
            if verdict is True:
                continue
            complaint = _complaint(rules, rule, value, bindings, path, run)
        if old is not NOTHING and not program.uses_old_self:
            if unchanged is None:
                unchanged = same(value, old)
            if unchanged:
                run.warn(str(complaint))
                continue
        run.errors.append(complaint)


def _bindings(rule: Rule, value: Any, old: Any) -> dict[str, Any]:
    if rule.optional_old:
        return {"self": value, "oldSelf": cel.OptionalValue(False) if old is NOTHING else cel.OptionalValue(True, old)}
    return {"self": value} if old is NOTHING else {"self": value, "oldSelf": old}


def _failure(error: cel.EvaluationError, rule: Rule) -> str:
    text = str(error)
    if text.startswith("no such overload"):
        # Only values without a static type (int-or-string) can come this far with a wrong one.
        return (
            f"'{text}': call arguments did not match a supported operator, function or macro signature for rule: "
            f"{rule.text}"
        )
    return f"{text} evaluating rule: {rule.text}"


def _complaint(rules: _Rules, rule: Rule, value: Any, bindings: dict[str, Any], path: str, run: _Run) -> FieldError:
    detail = _worded(rule, bindings, run) or rule.detail
    kind = _REASONS.get(rule.declared.get("reason") or "", INVALID)
    if kind == DUPLICATE:
        detail = ""
    place = (path + rule.path).removeprefix(".") or "<nil>"
    return FieldError(place, kind, value, detail, omit_value=rules.kind in ("object", "array"))


def _worded(rule: Rule, bindings: dict[str, Any], run: _Run) -> str:
    """The complaint in the words of the rule's messageExpression; empty where it gives nothing usable."""
    program = rule.message_program()
    if program is None:
        return ""
    try:
        text, cost = program.evaluate(bindings, budget=max(0, min(run.budget, EXPRESSION_BUDGET)))
    except (cel.EvaluationError, cel.CostExceeded):
        return ""
    run.budget -= cost
    text = str(text).strip()
    return "" if "\n" in text or len(text.encode()) > _LONGEST_MESSAGE else text
