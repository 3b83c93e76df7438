"""Groups that belong to Kubernetes: definitions in them need a word of approval in an annotation."""

from __future__ import annotations

import urllib.parse
from collections.abc import Mapping
from typing import Any, Final

from merope.controlplane.errors import FieldError, invalid_value, required

ANNOTATION: Final = "api-approved.kubernetes.io"
CONDITION: Final = "KubernetesAPIApprovalPolicyConformant"
_FIELD: Final = f"metadata.annotations[{ANNOTATION}]"
_SEE: Final = "see https://github.com/kubernetes/enhancements/pull/1111"
_MISSING: Final = f'protected groups must have approval annotation "{ANNOTATION}", {_SEE}'
_WRONG: Final = (
    f'protected groups must have approval annotation "{ANNOTATION}" with either a URL or a reason starting with '
    f'"unapproved", {_SEE}'
)


def is_protected(group: str) -> bool:
    """Whether a group is one of Kubernetes' own (``k8s.io``, ``kubernetes.io`` and below)."""
    return group in ("k8s.io", "kubernetes.io") or group.endswith((".k8s.io", ".kubernetes.io"))


def _annotation(definition: Mapping[str, Any]) -> str:
    return str((definition.get("metadata") or {}).get("annotations", {}).get(ANNOTATION, ""))


def _verdict(annotation: str) -> tuple[str, str, str]:
    """Status, reason and message of the condition."""
    if not annotation:
        return "False", "MissingAnnotation", _MISSING
    if annotation.startswith("unapproved"):
        return "False", "UnapprovedAnnotation", f'not approved: "{annotation}"'
    try:
        url = urllib.parse.urlsplit(annotation)
    except ValueError:
        return "False", "InvalidAnnotation", _WRONG
    if url.scheme and url.netloc and " " not in annotation:
        return "True", "ApprovedAnnotation", f"approved in {annotation}"
    return "False", "InvalidAnnotation", _WRONG


def approval_complaints(definition: Mapping[str, Any], old: Mapping[str, Any] | None) -> list[FieldError]:
    """What is wrong with the annotation; an update may keep what the stored definition has."""
    if not is_protected(definition["spec"].get("group", "")):
        return []
    annotation = _annotation(definition)
    if old is not None and _annotation(old) == annotation:
        return []
    _, reason, message = _verdict(annotation)
    if reason == "MissingAnnotation":
        return [required(_FIELD, message)]
    if reason == "InvalidAnnotation":
        return [invalid_value(_FIELD, annotation, message)]
    return []


def approval_condition(definition: Mapping[str, Any]) -> dict[str, Any] | None:
    """The condition of a definition in a protected group; None in any other."""
    if not is_protected(definition["spec"].get("group", "")):
        return None
    status, reason, message = _verdict(_annotation(definition))
    return {"type": CONDITION, "status": status, "reason": reason, "message": message}
