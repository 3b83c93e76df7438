"""What makes a CustomResourceDefinition valid."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from merope.controlplane.crd.approval import approval_complaints
from merope.controlplane.errors import FieldError
from merope.lang.schema import TypeGraph


def definition_complaints(
    definition: Mapping[str, Any], old: Mapping[str, Any] | None, graph: TypeGraph
) -> list[FieldError]:
    """All complaints about a definition; ``old`` is the stored one on update."""
    return approval_complaints(definition, old)
