"""What all built-in kinds have in common, and the checks that many of them share.

A built-in kind is decoded like Kubernetes' own struct of it (``scheme.shape``), then its defaults are filled in. Status
belongs to the endpoint of that name: a write to the object leaves it as it was and a write to the status leaves the
spec. Checks return complaints in the words that Kubernetes uses for them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final

from merope.controlplane.errors import (
    FieldError,
    duplicate,
    forbidden_field,
    invalid_value,
    not_supported,
    required,
)
from merope.controlplane.resource import Object, Request, Strategy, restore
from merope.lang import names
from merope.lang.quantity import Quantity, QuantityError

if TYPE_CHECKING:
    from merope.controlplane.server import Server

IMMUTABLE: Final = "field is immutable"
NOT_NEGATIVE: Final = "must be greater than or equal to 0"
PORT_RANGE: Final = "must be between 1 and 65535, inclusive"
PROTOCOLS: Final = ("SCTP", "TCP", "UDP")

Paths = tuple[tuple[str, ...], ...]


class BuiltinStrategy(Strategy):
    """A built-in kind without rules of its own. ``fill``, ``check`` and ``check_update`` are for its defaults and
    validation; both see the object only."""

    def default(self, server: Server, request: Request, obj: Object) -> None:
        server.catalogue.shapes.normalize(request.resource.schema_name, obj)
        self.fill(obj)

    def fill(self, obj: Object) -> None:
        """Fill in the kind's defaults in place."""

    def prepare_create(self, server: Server, request: Request, obj: Object) -> None:
        if "status" in request.resource.subresources:
            obj["status"] = self.initial_status(server, request, obj)

    def initial_status(self, server: Server, request: Request, obj: Object) -> Object:
        """The status of a new object."""
        status = request.resource.node.properties.get("status")
        return server.catalogue.shapes.zero(status.ref) if status is not None else {}

    def validate(self, server: Server, request: Request, obj: Object, old: Object | None) -> list[FieldError]:
        complaints = self.check(obj)
        if old is not None:
            complaints += self.check_update(obj, old)
        return complaints

    def check(self, obj: Object) -> list[FieldError]:
        """Complaints about an object, new or changed."""
        return []

    def check_update(self, obj: Object, old: Object) -> list[FieldError]:
        """Complaints about a change."""
        return []

    def reset_paths(self, subresource: str) -> Paths:
        return (("spec",),) if subresource == "status" else (("status",),)


class TracksGeneration(BuiltinStrategy):
    """A kind that counts the changes of its spec in ``metadata.generation``."""

    tracks_generation = True


class TracksContent(BuiltinStrategy):
    """A kind without spec and status that counts the changes of all but its metadata."""

    tracks_generation = True

    def spec_changed(self, obj: Object, old: Object) -> bool:
        return content(obj) != content(old)

    def reset_paths(self, subresource: str) -> Paths:
        return ()


class NoStatus(BuiltinStrategy):
    """A kind without status: no write resets anything."""

    def reset_paths(self, subresource: str) -> Paths:
        return ()


def content(obj: Object) -> Object:
    """An object without its metadata."""
    return {key: value for key, value in obj.items() if key != "metadata"}


# --- reading -----------------------------------------------------------------------------------------------------


def at(obj: Any, *keys: str) -> Any:
    """The value at a path of fields, None where one is missing."""
    for key in keys:
        obj = obj.get(key) if isinstance(obj, dict) else None
    return obj


def spec_of(obj: Object) -> Object:
    """The spec, made where it is missing."""
    spec = obj.get("spec")
    if spec is None:
        spec = obj["spec"] = {}
    return spec


def items(parent: Mapping[str, Any], key: str) -> Sequence[Object]:
    """A list of objects that may be missing."""
    return parent.get(key) or ()


def default_to(target: Object, **values: Any) -> None:
    """Set what is missing. Values that a struct of Go cannot tell from missing were dropped before."""
    for key, value in values.items():
        if target.get(key) is None:
            target[key] = value


def keep(new: Object, old: Object, *keys: str) -> None:
    """Put back ``keys`` as they were."""
    for key in keys:
        restore(new, old, key)


# --- checks ------------------------------------------------------------------------------------------------------


def check_required(path: str, value: Any, detail: str = "") -> list[FieldError]:
    return [] if value else [required(path, detail)]


def check_enum(path: str, value: Any, supported: Iterable[str], *, optional: bool = False) -> list[FieldError]:
    """One of a few words. A missing one is required, unless ``optional``."""
    if not value:
        return [] if optional else [required(path)]
    return [] if value in supported else [not_supported(path, value, supported)]


def check_not_negative(path: str, value: Any) -> list[FieldError]:
    return [invalid_value(path, value, NOT_NEGATIVE)] if isinstance(value, int) and value < 0 else []


def check_all_not_negative(path: str, obj: Object, *keys: str) -> list[FieldError]:
    return [error for key in keys for error in check_not_negative(f"{path}.{key}", obj.get(key))]


def check_port(path: str, value: Any) -> list[FieldError]:
    valid = isinstance(value, int) and 1 <= value <= 65535
    return [] if valid else [invalid_value(path, value if value is not None else 0, PORT_RANGE)]


def check_name(
    path: str, value: Any, problems: Callable[[str], list[str]], *, optional: bool = False
) -> list[FieldError]:
    """A name by one of the rules of ``merope.lang.names``."""
    if not value:
        return [] if optional else [required(path)]
    return [invalid_value(path, value, problem) for problem in problems(value)]


def check_unique(path: str, key: str, objects: Iterable[Object]) -> list[FieldError]:
    """No two objects of a list have the same ``key``."""
    seen: set[str] = set()
    complaints = []
    for index, obj in enumerate(objects):
        value = obj.get(key)
        if not value:
            continue
        if value in seen:
            complaints.append(duplicate(f"{path}[{index}].{key}", value))
        seen.add(value)
    return complaints


def check_immutable(path: str, new: Any, old: Any, detail: str = IMMUTABLE) -> list[FieldError]:
    return [] if new == old else [invalid_value(path, new, detail)]


def check_unchanged(path: str, new: Any, old: Any, detail: str) -> list[FieldError]:
    """As ``check_immutable`` for rules that are worded as prohibitions."""
    return [] if new == old else [forbidden_field(path, detail)]


_OPERATORS: Final = ("In", "NotIn", "Exists", "DoesNotExist")


def check_label_selector(path: str, selector: Mapping[str, Any] | None) -> list[FieldError]:
    """A label selector: known operators, values where they are due, names and values of labels."""
    complaints: list[FieldError] = []
    if not selector:
        return complaints
    complaints += check_labels(f"{path}.matchLabels", selector.get("matchLabels") or {})
    for index, expression in enumerate(selector.get("matchExpressions") or ()):
        place = f"{path}.matchExpressions[{index}]"
        operator, values = expression.get("operator", ""), expression.get("values") or []
        if operator in ("In", "NotIn") and not values:
            complaints.append(required(f"{place}.values", "must be specified when `operator` is 'In' or 'NotIn'"))
        elif operator in ("Exists", "DoesNotExist") and values:
            detail = "may not be specified when `operator` is 'Exists' or 'DoesNotExist'"
            complaints.append(forbidden_field(f"{place}.values", detail))
        elif operator not in _OPERATORS:
            complaints.append(invalid_value(f"{place}.operator", operator, "not a valid selector operator"))
        key = expression.get("key", "")
        complaints += [invalid_value(f"{place}.key", key, problem) for problem in names.is_qualified_name(key)]
        complaints += [
            invalid_value(f"{place}.values[{number}]", value, problem)
            for number, value in enumerate(values)
            for problem in names.is_label_value(value)
        ]
    return complaints


def check_labels(path: str, labels: Mapping[str, str]) -> list[FieldError]:
    complaints = []
    for key, value in labels.items():
        complaints += [invalid_value(path, key, problem) for problem in names.is_qualified_name(key)]
        complaints += [invalid_value(path, value, problem) for problem in names.is_label_value(value)]
    return complaints


def quantity(value: Any) -> Quantity | None:
    """A quantity of an object; None where there is none or it is none."""
    if value is None:
        return None
    try:
        return Quantity.parse(value)
    except QuantityError:
        return None
