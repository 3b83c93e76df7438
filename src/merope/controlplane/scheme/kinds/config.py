"""ConfigMaps and Secrets: keys, sizes, types of secrets, and data that may not change any more."""

from __future__ import annotations

import base64
from typing import TYPE_CHECKING, Any, Final

import orjson

from merope.controlplane.errors import TOO_LONG, FieldError, forbidden_field, invalid_value, required
from merope.controlplane.resource import Object, Request, Strategy
from merope.controlplane.scheme.kinds.base import NoStatus, check_immutable
from merope.lang import names

if TYPE_CHECKING:
    from merope.controlplane.server import Server

_LIMIT: Final = 1024 * 1024
_WHEN_IMMUTABLE: Final = "field is immutable when `immutable` is set"
_REDACTED: Final = "<secret contents redacted>"

OPAQUE: Final = "Opaque"
SERVICE_ACCOUNT_TOKEN: Final = "kubernetes.io/service-account-token"  # noqa: S105 - the name of a type
_SERVICE_ACCOUNT_NAME: Final = "kubernetes.io/service-account.name"

#: Keys that the data of a type of secret has to have.
_KEYS: Final = {
    "kubernetes.io/dockerconfigjson": (".dockerconfigjson",),
    "kubernetes.io/dockercfg": (".dockercfg",),
    "kubernetes.io/ssh-auth": ("ssh-privatekey",),
    "kubernetes.io/tls": ("tls.crt", "tls.key"),
}
#: Keys of which one is enough.
_BASIC_AUTH: Final = ("username", "password")
#: Types whose one value is JSON.
_JSON_TYPES: Final = frozenset({"kubernetes.io/dockerconfigjson", "kubernetes.io/dockercfg"})


def _check_keys(path: str, data: Object) -> list[FieldError]:
    return [invalid_value(f"{path}[{key}]", key, problem) for key in data for problem in names.is_config_map_key(key)]


def _check_frozen(obj: Object, old: Object, *fields: str) -> list[FieldError]:
    """What an immutable object may not change."""
    if not old.get("immutable"):
        return []
    complaints = []
    if not obj.get("immutable"):
        complaints.append(forbidden_field("immutable", _WHEN_IMMUTABLE))
    complaints += [
        forbidden_field(field, _WHEN_IMMUTABLE) for field in fields if (obj.get(field) or {}) != (old.get(field) or {})
    ]
    return complaints


def _too_long(path: str) -> FieldError:
    return FieldError(path, TOO_LONG, detail=f"may not be more than {_LIMIT} bytes")


def _decoded(value: str) -> bytes:
    return base64.b64decode(value)


class ConfigMapStrategy(NoStatus):
    """Text and binary data share one space of keys."""

    def check(self, obj: Object) -> list[FieldError]:
        data, binary = obj.get("data") or {}, obj.get("binaryData") or {}
        complaints = _check_keys("data", data) + _check_keys("binaryData", binary)
        complaints += [
            invalid_value(f"data[{key}]", key, "duplicate of key present in binaryData")
            for key in data
            if key in binary
        ]
        size = sum(len(value.encode()) for value in data.values()) + sum(len(_decoded(one)) for one in binary.values())
        return [*complaints, _too_long("")] if size > _LIMIT else complaints

    def check_update(self, obj: Object, old: Object) -> list[FieldError]:
        return _check_frozen(obj, old, "data", "binaryData")


class SecretStrategy(NoStatus):
    """``stringData`` is a way of writing ``data``: it is merged and never read back."""

    def fill(self, obj: Object) -> None:
        obj.setdefault("type", OPAQUE)
        text = obj.pop("stringData", None)
        if text:
            data = obj.setdefault("data", {})
            for key, value in text.items():
                data[key] = base64.b64encode(value.encode()).decode()

    def prepare_update(self, server: Server, request: Request, obj: Object, old: Object) -> None:
        # A PUT that leaves the type out keeps it, whatever defaulting made of it.
        if obj.get("type") == OPAQUE and old.get("type") != OPAQUE:
            obj["type"] = old.get("type", OPAQUE)

    def check(self, obj: Object) -> list[FieldError]:
        data: dict[str, str] = obj.get("data") or {}
        complaints = _check_keys("data", data)
        if sum(len(_decoded(value)) for value in data.values()) > _LIMIT:
            complaints.append(_too_long("data"))
        return complaints + self._check_type(obj, data)

    def _check_type(self, obj: Object, data: dict[str, str]) -> list[FieldError]:
        kind = obj.get("type", OPAQUE)
        if kind == SERVICE_ACCOUNT_TOKEN:
            annotations = obj["metadata"].get("annotations") or {}
            path = f"metadata.annotations[{_SERVICE_ACCOUNT_NAME}]"
            return [] if annotations.get(_SERVICE_ACCOUNT_NAME) else [required(path)]
        if kind == "kubernetes.io/basic-auth":
            return [] if any(key in data for key in _BASIC_AUTH) else [required(f"data[{key}]") for key in _BASIC_AUTH]
        missing = [key for key in _KEYS.get(kind, ()) if key not in data]
        complaints = [required(f"data[{key}]") for key in missing]
        if kind in _JSON_TYPES and not missing:
            (key,) = _KEYS[kind]
            complaints += _check_json(f"data[{key}]", data[key])
        return complaints

    def check_update(self, obj: Object, old: Object) -> list[FieldError]:
        return [
            *check_immutable("type", obj.get("type"), old.get("type")),
            *_check_frozen(obj, old, "data"),
        ]


def _check_json(path: str, encoded: str) -> list[FieldError]:
    value = _decoded(encoded)
    try:
        orjson.loads(value)
    except orjson.JSONDecodeError as error:
        return [invalid_value(path, _REDACTED, _json_problem(value, str(error)))]
    return []


def _json_problem(value: bytes, otherwise: str) -> str:
    """Where the text cannot even begin a JSON value, the sentence that users know."""
    first: Any = value.lstrip()[:1].decode(errors="replace")
    if not first:
        return "unexpected end of JSON input"
    return (
        f"invalid character '{first}' looking for beginning of value" if first not in '{["-0123456789tfn' else otherwise
    )


STRATEGIES: Final[dict[tuple[str, str], Strategy]] = {
    ("", "ConfigMap"): ConfigMapStrategy(),
    ("", "Secret"): SecretStrategy(),
}
