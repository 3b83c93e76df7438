"""Namespaces: their phase, the finalizer that holds them while content is removed, the label of their name."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from merope.controlplane.errors import FieldError, invalid_value
from merope.controlplane.resource import Object, Request, Strategy
from merope.controlplane.scheme.kinds.base import BuiltinStrategy, Paths, keep, spec_of
from merope.lang import names

if TYPE_CHECKING:
    from merope.controlplane.server import Server

#: The finalizer that the namespace controller removes when nothing is left in the namespace.
KUBERNETES: Final = "kubernetes"
#: The label that selectors of namespaces by name rely on.
NAME_LABEL: Final = "kubernetes.io/metadata.name"

_NOT_A_FINALIZER: Final = "name is neither a standard finalizer name nor is it fully qualified"


class NamespaceStrategy(BuiltinStrategy):
    """Finalizers in the spec are written through ``finalize`` only."""

    delete_returns_object = True
    name_rule = "label"

    def fill(self, obj: Object) -> None:
        _label(obj)

    def prepare_create(self, server: Server, request: Request, obj: Object) -> None:
        obj["status"] = {"phase": "Active"}
        finalizers = spec_of(obj).setdefault("finalizers", [])
        if KUBERNETES not in finalizers:
            finalizers.append(KUBERNETES)
        # Again: a generated name is known only now.
        _label(obj)

    def prepare_update(self, server: Server, request: Request, obj: Object, old: Object) -> None:
        match request.subresource:
            case "status":
                keep(obj, old, "spec")
            case "finalize":
                keep(obj, old, "status")
            case _:
                keep(obj, old, "spec", "status")
        _label(obj)

    def check(self, obj: Object) -> list[FieldError]:
        complaints = []
        for index, finalizer in enumerate(spec_of(obj).get("finalizers") or ()):
            path = f"spec.finalizers[{index}]"
            problems = names.is_qualified_name(finalizer)
            complaints += [invalid_value(path, finalizer, problem) for problem in problems]
            if not problems and "/" not in finalizer and finalizer != KUBERNETES:
                complaints.append(invalid_value(path, finalizer, _NOT_A_FINALIZER))
        return complaints

    def reset_paths(self, subresource: str) -> Paths:
        return (("spec",),) if subresource == "status" else (("status",),)


def _label(obj: Object) -> None:
    metadata = obj["metadata"]
    name = metadata.get("name")
    if not name:
        return
    labels = metadata.get("labels")
    if labels is None:
        labels = metadata["labels"] = {}
    labels[NAME_LABEL] = name


STRATEGIES: Final[dict[tuple[str, str], Strategy]] = {("", "Namespace"): NamespaceStrategy()}
