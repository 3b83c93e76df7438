"""The form in which Kubernetes prints objects of its built-in kinds.

They are structs there: an empty list, map or string that a client sends is not printed again, and a struct that it
leaves out is printed as ``{}`` (a time as null, a required number as 0). Clients see it in what they read, in
managedFields and in diffs. ``normalize`` brings a decoded object into that form; which fields it concerns is known from
the message table. One plan a type, built on first use.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any, Final, NamedTuple

from merope.controlplane.scheme import messages
from merope.lang.schema import Node, TypeGraph

Object = dict[str, Any]

_META: Final = "io.k8s.apimachinery.pkg.apis.meta.v1."
_TIMES: Final = frozenset({_META + "Time", _META + "MicroTime"})
_QUANTITY: Final = "io.k8s.apimachinery.pkg.api.resource.Quantity"


class _Step(NamedTuple):
    """What happens to one field.

    ``below`` is the type of the value, of its items or of its entries where that is a struct. ``zero`` makes the
    value of a field that is always printed; ``drop`` removes empty values, ``null`` turns them into null: a list that
    was stored empty comes back as none.
    """

    name: str
    below: str
    inside: str
    zero: Callable[[], Any] | None
    drop: bool
    null: bool


class Shapes:
    """The plans of one type graph."""

    def __init__(self, graph: TypeGraph) -> None:
        self._graph = graph
        self._plans: dict[str, tuple[_Step, ...]] = {}

    def normalize(self, definition: str, obj: Object) -> None:
        """Bring an object of the type ``definition`` into printed form, in place. Unknown types are left alone."""
        plan = self._plans.get(definition)
        if plan is None:
            plan = self._plans[definition] = self._plan(definition)
        for step in plan:
            value = obj.get(step.name)
            if value is None:
                if step.zero is not None:
                    obj[step.name] = step.zero()
                else:
                    obj.pop(step.name, None)
                continue
            if step.below:
                self._descend(step, value)
            if not value:
                if step.drop:
                    del obj[step.name]
                elif step.null:
                    obj[step.name] = None

    def _descend(self, step: _Step, value: Any) -> None:
        if step.inside == "list" and isinstance(value, list):
            for item in value:
                if isinstance(item, dict):
                    self.normalize(step.below, item)
        elif step.inside == "map" and isinstance(value, dict):
            for item in value.values():
                if isinstance(item, dict):
                    self.normalize(step.below, item)
        elif not step.inside and isinstance(value, dict):
            self.normalize(step.below, value)

    def zero(self, definition: str) -> Object:
        """The printed form of an empty object of a type."""
        obj: Object = {}
        self.normalize(definition, obj)
        return obj

    def _plan(self, definition: str) -> tuple[_Step, ...]:
        node = self._graph.node(definition)
        steps = []
        for field in messages.json_fields(definition):
            child = node.properties.get(field.name)
            if child is None:
                continue
            step = self._step(field, child)
            if step.below or step.zero is not None or step.drop or step.null:
                steps.append(step)
        return tuple(steps)

    def _step(self, field: messages.Field, node: Node) -> _Step:
        below, inside = _struct_below(node)
        is_struct = bool(below) and not inside
        zero: Callable[[], Any] | None = None
        if field.always:
            zero = self._zero_of(field, node, below if is_struct else "")
        plain = not field.pointer
        several = node.kind == "array" or node.additional is not None
        return _Step(field.name, below, inside, zero, plain and not field.always, plain and field.always and several)

    def _zero_of(self, field: messages.Field, node: Node, struct: str) -> Callable[[], Any]:
        if field.pointer or node.ref in _TIMES:
            return _none
        if struct:
            return functools.partial(self.zero, struct)
        if node.ref == _QUANTITY:
            return lambda: "0"
        if node.int_or_string:
            return int
        match node.kind:
            case "string":
                # Bytes are a list in Go: not printed as "" but as null.
                return _none if node.format == "byte" else str
            case "integer" | "number":
                return int
            case "boolean":
                return bool
        return _none


def _none() -> None:
    return None


def _struct_below(node: Node) -> tuple[str, str]:
    """The struct type that a field holds and whether it does so in a ``list`` or a ``map``."""
    if node.kind == "array" and node.items is not None:
        return (node.items.ref, "list") if messages.fields(node.items.ref) is not None else ("", "list")
    if node.additional is not None:
        return (node.additional.ref, "map") if messages.fields(node.additional.ref) is not None else ("", "map")
    return (node.ref, "") if messages.fields(node.ref) is not None else ("", "")
