"""Validating admission policies and their bindings."""

from __future__ import annotations

from typing import Any, Final

from merope.controlplane.errors import FieldError, required
from merope.controlplane.resource import Object, Strategy
from merope.controlplane.scheme.kinds.base import NoStatus, TracksGeneration, check_enum, default_to, items, spec_of


def fill_match(constraints: Any) -> None:
    """The defaults of what a policy or binding matches."""
    if constraints is None:
        return
    default_to(constraints, matchPolicy="Equivalent", namespaceSelector={}, objectSelector={})
    for key in ("resourceRules", "excludeResourceRules"):
        for rule in items(constraints, key):
            default_to(rule, scope="*")


class PolicyStrategy(TracksGeneration):
    def fill(self, obj: Object) -> None:
        spec = spec_of(obj)
        default_to(spec, failurePolicy="Fail")
        fill_match(spec.get("matchConstraints"))

    def check(self, obj: Object) -> list[FieldError]:
        spec = spec_of(obj)
        complaints = []
        if not spec.get("validations") and not spec.get("auditAnnotations"):
            detail = "validations or auditAnnotations must contain at least one item"
            complaints += [required("spec.validations", detail), required("spec.auditAnnotations", detail)]
        if spec.get("matchConstraints") is None:
            complaints.append(required("spec.matchConstraints"))
        for index, validation in enumerate(items(spec, "validations")):
            if not (validation.get("expression") or "").strip():
                complaints.append(required(f"spec.validations[{index}].expression", "expression is not specified"))
        return complaints + check_enum("spec.failurePolicy", spec.get("failurePolicy"), ("Fail", "Ignore"))


class BindingStrategy(NoStatus):
    tracks_generation = True

    def fill(self, obj: Object) -> None:
        fill_match(spec_of(obj).get("matchResources"))

    def check(self, obj: Object) -> list[FieldError]:
        spec = spec_of(obj)
        complaints = [] if spec.get("policyName") else [required("spec.policyName")]
        if not spec.get("validationActions"):
            complaints.append(required("spec.validationActions"))
        for index, action in enumerate(spec.get("validationActions") or ()):
            complaints += check_enum(f"spec.validationActions[{index}]", action, ("Audit", "Deny", "Warn"))
        return complaints


_GROUP: Final = "admissionregistration.k8s.io"

STRATEGIES: Final[dict[tuple[str, str], Strategy]] = {
    (_GROUP, "ValidatingAdmissionPolicy"): PolicyStrategy(),
    (_GROUP, "ValidatingAdmissionPolicyBinding"): BindingStrategy(),
}
