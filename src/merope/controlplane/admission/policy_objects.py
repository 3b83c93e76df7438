"""ValidatingAdmissionPolicy and ValidatingAdmissionPolicyBinding as objects: defaults and validation."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final

from merope.controlplane import errors
from merope.controlplane.admission.configurations import GROUP
from merope.controlplane.errors import FieldError
from merope.controlplane.resource import Object, Strategy
from merope.controlplane.scheme.kinds.base import (
    NoStatus,
    TracksGeneration,
    check_label_selector,
    default_to,
    items,
    spec_of,
)
from merope.lang.names import is_dns1035_label, is_dns1123_subdomain, is_qualified_name

if TYPE_CHECKING:
    from merope.controlplane.admission.policy_expressions import Compiler
    from merope.lang.cel import Program

_OPERATIONS: Final = ("*", "CONNECT", "CREATE", "DELETE", "UPDATE")
_REASONS: Final = ("Forbidden", "Invalid", "RequestEntityTooLarge")
_MAX_CONDITIONS: Final = 64
_MAX_ANNOTATIONS: Final = 20
_MAX_ANNOTATION_EXPRESSION: Final = 5 * 1024
_IDENTIFIER: Final = re.compile(r"[_a-zA-Z][_a-zA-Z0-9]*")

Compile = Callable[[str], "Program"]


class PolicyStrategy(TracksGeneration):
    """A policy: what it concerns and its expressions, which must compile."""

    def fill(self, obj: Object) -> None:
        spec = spec_of(obj)
        default_to(spec, failurePolicy="Fail")
        _fill_match(spec.get("matchConstraints"))

    def check(self, obj: Object) -> list[FieldError]:
        from merope.controlplane.admission.policy_expressions import Compiler

        spec = spec_of(obj)
        name = (obj.get("metadata") or {}).get("name") or ""
        problems = _check_choice("spec.failurePolicy", spec.get("failurePolicy"), ("Fail", "Ignore"))
        if spec.get("paramKind") is not None:
            problems += _check_parameter_kind(spec["paramKind"], "spec.paramKind")
        match = spec.get("matchConstraints")
        if match is None:
            problems.append(errors.required("spec.matchConstraints"))
        else:
            problems += _check_match(match, "spec.matchConstraints")
            if not match.get("resourceRules"):
                problems.append(errors.required("spec.matchConstraints.resourceRules"))
        compiler = Compiler(params=spec.get("paramKind") is not None, variables=bool(spec.get("variables")))
        problems += _check_conditions(compiler, items(spec, "matchConditions"), "spec.matchConditions")
        for index, variable in enumerate(items(spec, "variables")):
            problems += _check_variable(compiler, variable, f"spec.variables[{index}]")
        validations, annotations = items(spec, "validations"), items(spec, "auditAnnotations")
        if not validations and not annotations:
            detail = "validations or auditAnnotations must contain at least one item"
            problems += [errors.required(f"spec.{key}", detail) for key in ("validations", "auditAnnotations")]
        for index, validation in enumerate(validations):
            problems += _check_validation(compiler, validation, f"spec.validations[{index}]")
        return problems + _check_annotations(compiler, annotations, name, "spec.auditAnnotations")


class BindingStrategy(NoStatus):
    """A binding: the policy need not exist."""

    tracks_generation = True

    def fill(self, obj: Object) -> None:
        _fill_match(spec_of(obj).get("matchResources"))

    def check(self, obj: Object) -> list[FieldError]:
        spec = spec_of(obj)
        policy = spec.get("policyName") or ""
        problems = [] if policy else [errors.required("spec.policyName")]
        if policy:
            problems += [
                errors.invalid_value("spec.policyName", policy, problem) for problem in is_dns1123_subdomain(policy)
            ]
        if spec.get("paramRef") is not None:
            problems += _check_parameter_reference(spec["paramRef"], "spec.paramRef")
        if spec.get("matchResources") is not None:
            problems += _check_match(spec["matchResources"], "spec.matchResources")
        return problems + _check_actions(spec.get("validationActions") or (), "spec.validationActions")


STRATEGIES: Final[dict[tuple[str, str], Strategy]] = {
    (GROUP, "ValidatingAdmissionPolicy"): PolicyStrategy(),
    (GROUP, "ValidatingAdmissionPolicyBinding"): BindingStrategy(),
}


def _fill_match(match: Any) -> None:
    if match is None:
        return
    default_to(match, matchPolicy="Equivalent", namespaceSelector={}, objectSelector={})
    for key in ("resourceRules", "excludeResourceRules"):
        for rule in items(match, key):
            default_to(rule, scope="*")


def _check_choice(path: str, value: Any, known: Sequence[str]) -> list[FieldError]:
    return [] if value is None or value in known else [errors.not_supported(path, value, known)]


# --- what is matched ---------------------------------------------------------------------------------------------


def _check_match(match: Mapping[str, Any], path: str) -> list[FieldError]:
    problems = _check_choice(f"{path}.matchPolicy", match.get("matchPolicy"), ("Equivalent", "Exact"))
    problems += check_label_selector(f"{path}.namespaceSelector", match.get("namespaceSelector"))
    problems += check_label_selector(f"{path}.objectSelector", match.get("objectSelector"))
    for key in ("resourceRules", "excludeResourceRules"):
        for index, rule in enumerate(items(match, key)):
            problems += _check_rule(rule, f"{path}.{key}[{index}]")
    return problems


def _check_rule(rule: Mapping[str, Any], path: str) -> list[FieldError]:
    problems: list[FieldError] = []
    names: set[str] = set()
    for index, name in enumerate(rule.get("resourceNames") or ()):
        if name in names:
            problems.append(errors.duplicate(f"{path}.resourceNames[{index}]", name))
        names.add(name)
    for key, many in (("operations", "operations"), ("apiGroups", "API groups"), ("apiVersions", "API versions")):
        values: Sequence[str] = rule.get(key) or ()
        if not values:
            problems.append(errors.required(f"{path}.{key}"))
        elif len(values) > 1 and "*" in values:
            detail = f"if '*' is present, must not specify other {many}"
            problems.append(errors.invalid_value(f"{path}.{key}", list(values), detail))
        if key == "operations":
            problems += [
                errors.not_supported(f"{path}.{key}[{index}]", value, _OPERATIONS)
                for index, value in enumerate(values)
                if value not in _OPERATIONS
            ]
        elif key == "apiVersions":
            problems += [errors.required(f"{path}.{key}[{index}]") for index, value in enumerate(values) if not value]
    problems += _check_resources(rule.get("resources") or (), f"{path}.resources")
    return problems + _check_choice(f"{path}.scope", rule.get("scope"), ("*", "Cluster", "Namespaced"))


def _check_resources(resources: Sequence[str], path: str) -> list[FieldError]:
    """No pattern may make another one pointless."""
    if not resources:
        return [errors.required(path)]
    problems: list[FieldError] = []
    all_subresources: set[str] = set()  # the pods of "pods/*"
    subresources: set[str] = set()  # the status of "*/status"
    for index, pattern in enumerate(resources):
        at = f"{path}[{index}]"
        if not pattern:
            problems.append(errors.required(at))
            continue
        resource, slash, subresource = pattern.partition("/")
        if not slash:
            continue
        if resource in all_subresources:
            detail = f"if '{resource}/*' is present, must not specify {pattern}"
            problems.append(errors.invalid_value(at, pattern, detail))
        if subresource in subresources:
            detail = f"if '*/{subresource}' is present, must not specify {pattern}"
            problems.append(errors.invalid_value(at, pattern, detail))
        if subresource == "*":
            all_subresources.add(resource)
        if resource == "*":
            subresources.add(subresource)
    if "*/*" in resources and len(resources) > 1:
        detail = "if '*/*' is present, must not specify other resources"
        problems.append(errors.invalid_value(path, list(resources), detail))
    if "*" in resources and any("/" not in pattern for pattern in resources if pattern != "*"):
        detail = "if '*' is present, must not specify other resources without subresources"
        problems.append(errors.invalid_value(path, list(resources), detail))
    return problems


# --- a binding's parts -------------------------------------------------------------------------------------------


def _check_parameter_kind(kind: Mapping[str, Any], path: str) -> list[FieldError]:
    problems: list[FieldError] = []
    api_version, name = kind.get("apiVersion") or "", kind.get("kind") or ""
    if not api_version:
        problems.append(errors.required(f"{path}.apiVersion"))
    elif api_version.count("/") > 1:
        detail = f"unexpected GroupVersion string: {api_version}"
        problems.append(errors.invalid_value(f"{path}.apiVersion", api_version, detail))
    if not name:
        problems.append(errors.required(f"{path}.kind"))
    else:
        rule = "may have mixed case, but should otherwise match: "
        found = is_dns1035_label(name.lower())
        if found:
            problems.append(errors.invalid_value(f"{path}.kind", name, rule + ", ".join(found)))
    return problems


def _check_parameter_reference(reference: Mapping[str, Any], path: str) -> list[FieldError]:
    problems: list[FieldError] = []
    name, selector = reference.get("name"), reference.get("selector")
    if name and selector is not None:
        detail = "name and selector are mutually exclusive"
        problems += [errors.forbidden_field(f"{path}.{key}", detail) for key in ("name", "selector")]
    elif not name and selector is None:
        problems.append(errors.required(path, "one of name or selector must be specified"))
    elif selector is not None:
        problems += check_label_selector(f"{path}.selector", selector)
    action = reference.get("parameterNotFoundAction")
    if action is None:
        problems.append(errors.required(f"{path}.parameterNotFoundAction"))
    elif action not in ("Deny", "Allow"):
        refusal = FieldError(
            f"{path}.parameterNotFoundAction", errors.NOT_SUPPORTED, action, 'supported values: "Deny", "Allow"'
        )
        problems.append(refusal)
    return problems


def _check_actions(actions: Sequence[str], path: str) -> list[FieldError]:
    problems: list[FieldError] = []
    for index, action in enumerate(actions):
        if action not in ("Audit", "Deny", "Warn"):
            problems.append(errors.not_supported(f"{path}[{index}]", action, ("Audit", "Deny", "Warn")))
        elif action in actions[:index]:
            problems.append(errors.duplicate(f"{path}[{index}]", action))
    if "Deny" in actions and "Warn" in actions:
        detail = (
            "must not contain both Deny and Warn (repeating the same validation failure information in the API "
            "response and headers serves no purpose)"
        )
        problems.append(errors.invalid_value(path, list(actions), detail))
    if not actions:
        problems.append(errors.required(path, "at least one validation action is required"))
    return problems


# --- a policy's expressions --------------------------------------------------------------------------------------


def _check_expression(path: str, source: Any, compile_: Compile, missing: str = "") -> list[FieldError]:
    from merope.lang.cel import CelError, CompileError

    expression = (source or "").strip()
    if not expression:
        return [errors.required(path, missing)]
    try:
        compile_(expression)
    except CompileError as error:
        return [errors.invalid_value(path, source, f"compilation failed: {error}")]
    except CelError as error:
        return [errors.invalid_value(path, source, str(error))]
    return []


def _check_conditions(compiler: Compiler, conditions: Sequence[Mapping[str, Any]], path: str) -> list[FieldError]:
    problems: list[FieldError] = []
    if len(conditions) > _MAX_CONDITIONS:
        detail = f"must have at most {_MAX_CONDITIONS} items"
        problems.append(FieldError(path, errors.TOO_MANY, len(conditions), detail))
    names: set[str] = set()
    for index, condition in enumerate(conditions):
        at, name = f"{path}[{index}]", condition.get("name") or ""
        problems += _check_expression(f"{at}.expression", condition.get("expression"), compiler.condition)
        if not name:
            problems.append(errors.required(f"{at}.name"))
            continue
        problems += [errors.invalid_value(f"{at}.name", name, problem) for problem in is_qualified_name(name)]
        if name in names:
            problems.append(errors.duplicate(f"{at}.name", name))
        names.add(name)
    return problems


def _check_variable(compiler: Compiler, variable: Mapping[str, Any], path: str) -> list[FieldError]:
    from merope.lang.cel import escape

    name = variable.get("name") or ""
    if not name:
        problems = [errors.required(f"{path}.name", "name is not specified")]
    elif not _IDENTIFIER.fullmatch(name) or escape(name) == f"__{name}__":
        problems = [errors.invalid_value(f"{path}.name", name, "must be a valid CEL identifier")]
    else:
        problems = []

    def compile_(expression: str) -> Program:
        return compiler.variable(name, expression)

    missing = "expression is not specified"
    return problems + _check_expression(f"{path}.expression", variable.get("expression"), compile_, missing)


def _check_validation(compiler: Compiler, validation: Mapping[str, Any], path: str) -> list[FieldError]:
    expression, at = validation.get("expression"), f"{path}.expression"
    problems = _check_expression(at, expression, compiler.validation, "expression is not specified")
    message, message_expression = validation.get("message"), validation.get("messageExpression")
    if message_expression:
        at = f"{path}.messageExpression"
        if message_expression.strip():
            problems += _check_expression(at, message_expression, compiler.message)
        else:
            problems.append(errors.invalid_value(at, message_expression, "must be non-empty if specified"))
    trimmed, at = (message or "").strip(), f"{path}.message"
    if message and not trimmed:
        problems.append(errors.invalid_value(at, message, "must be non-empty if specified"))
    elif "\n" in trimmed:
        problems.append(errors.invalid_value(at, message, "must not contain line breaks"))
    return problems + _check_choice(f"{path}.reason", validation.get("reason"), _REASONS)


def _check_annotations(
    compiler: Compiler, annotations: Sequence[Mapping[str, Any]], policy: str, path: str
) -> list[FieldError]:
    problems: list[FieldError] = []
    if len(annotations) > _MAX_ANNOTATIONS:
        detail = f"must not have more than {_MAX_ANNOTATIONS} auditAnnotations"
        problems.append(errors.invalid_value(path, list(annotations), detail))
    keys: set[str] = set()
    for index, annotation in enumerate(annotations):
        at, key = f"{path}[{index}]", annotation.get("key") or ""
        # In the audit log the key gets the policy's name for a prefix.
        full = f"{policy}/{key}"
        problems += [errors.invalid_value(f"{at}.key", full, problem) for problem in is_qualified_name(full)]
        source, place = annotation.get("valueExpression"), f"{at}.valueExpression"
        if len((source or "").strip()) > _MAX_ANNOTATION_EXPRESSION:
            detail = f"must not exceed {_MAX_ANNOTATION_EXPRESSION} bytes in length"
            problems.append(errors.invalid_value(place, source, detail))
        else:
            missing = "valueExpression is not specified"
            problems += _check_expression(place, source, compiler.annotation, missing)
        if key in keys:
            problems.append(errors.duplicate(f"{at}.key", key))
        keys.add(key)
    return problems
