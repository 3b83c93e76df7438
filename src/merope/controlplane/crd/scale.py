"""The scale of a custom resource: where in an object its replicas are."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from merope.controlplane.crd.values import NOTHING
from merope.controlplane.errors import FieldError, invalid_value

_MOST: Final = 2**31 - 1


@dataclass(frozen=True, slots=True)
class ScalePaths:
    """The keys that lead to each number; ``label_selector`` is empty where the kind has none."""

    spec_replicas: tuple[str, ...]
    status_replicas: tuple[str, ...]
    label_selector: tuple[str, ...] = ()

    @classmethod
    def of(cls, declared: Mapping[str, Any]) -> ScalePaths:
        """From the ``scale`` subresource of a version."""
        return cls(
            _keys(declared["specReplicasPath"]),
            _keys(declared["statusReplicasPath"]),
            _keys(declared.get("labelSelectorPath") or ""),
        )

    def validate(self, obj: Mapping[str, Any]) -> list[FieldError]:
        """Complaints about an object whose scale could not be read."""
        errors = _replicas(self.spec_replicas, obj) + _replicas(self.status_replicas, obj)
        if self.label_selector:
            path = "." + ".".join(self.label_selector)
            found = find(obj, self.label_selector)
            if found is not NOTHING and not isinstance(found, str):
                errors.append(invalid_value(path, "", f"{path} accessor error: {_go_value(found)}, expected string"))
        return errors


def _keys(path: str) -> tuple[str, ...]:
    return tuple(path.removeprefix(".").split(".")) if path else ()


def find(obj: Mapping[str, Any], keys: tuple[str, ...]) -> Any:
    """The value at a path of keys, NOTHING where there is none."""
    value: Any = obj
    for key in keys:
        if not isinstance(value, Mapping) or key not in value:
            return NOTHING
        value = value[key]
    return value


def _replicas(keys: tuple[str, ...], obj: Mapping[str, Any]) -> list[FieldError]:
    path = "." + ".".join(keys)
    found = find(obj, keys)
    if found is NOTHING:
        return []
    if isinstance(found, bool) or not isinstance(found, int):
        return [invalid_value(path, 0, f"{path} accessor error: {_go_value(found)}, expected int64")]
    if found < 0:
        return [invalid_value(path, found, "should be a non-negative integer")]
    if found > _MOST:
        return [invalid_value(path, found, f"should be less than or equal to {_MOST}")]
    return []


def _go_value(value: Any) -> str:
    names = {str: "string", bool: "bool", float: "float64", int: "int64", dict: "map[string]interface {}"}
    kind = names.get(value.__class__, "[]interface {}")
    shown = (
        {None: "<nil>", True: "true", False: "false"}.get(value, value) if not isinstance(value, list | dict) else ""
    )
    return f"{shown} is of the type {kind if value is not None else '<nil>'}"
