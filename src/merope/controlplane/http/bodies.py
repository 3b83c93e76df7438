"""Decoding of request bodies: JSON, YAML, protobuf; and the complaints of field validation that only bytes show."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, field
from typing import Any, Final

import orjson

from merope.controlplane.errors import ApiError, bad_request, invalid, invalid_value
from merope.controlplane.http.negotiation import JSON, PROTOBUF, YAML, content_type, unknown_format
from merope.controlplane.resource import GroupVersionKind, Object
from merope.controlplane.scheme.catalogue import Catalogue

_SHOWN_BYTES: Final = 30
#: How deep objects may be nested. Whatever is stored must fit into lists, tables and reviews, which nest it further.
DEPTH_LIMIT: Final = 200
#: How deep values may be nested that the encoder takes.
_ENCODER_DEPTH: Final = 254
#: What may be a number that Go writes in another way than it came: a fraction or an exponent after a digit.
_FLOAT: Final = re.compile(rb"[0-9](?:\.[0-9]|[eE][+\-0-9])")


@dataclass(slots=True)
class Body:
    """A decoded body. ``duplicates`` are complaints about repeated keys, as field validation words them."""

    obj: Object
    duplicates: list[str] = field(default_factory=list)


def decode(
    data: bytes,
    header: str,
    expected: GroupVersionKind,
    *,
    builtin: bool,
    catalogue: Catalogue,
    look_for_duplicates: bool,
) -> Body:
    """The object in a body of a POST or PUT, with its type checked against ``expected``.

    ``header`` is the Content-Type. Built-in kinds may leave apiVersion and kind out; custom resources may not.
    """
    media = content_type(header)
    if media == PROTOBUF and builtin:
        body = Body(_protobuf(data, expected, catalogue))
    elif media == JSON:
        body = _json(data, expected, look_for_duplicates)
    elif media == YAML:
        body = _yaml(data, expected)
    else:
        raise unknown_format()
    check_type(body.obj, expected, builtin=builtin, catalogue=catalogue, data=data)
    return body


def unencodable(value: Any) -> str:
    """Why a decoded value could not be stored and shown as JSON; empty where it could."""
    for _ in range(_ENCODER_DEPTH - DEPTH_LIMIT):
        value = [value]
    try:
        orjson.dumps(value)
    except TypeError as error:
        return "exceeded max depth" if "ecursion" in str(error) else f"json: unsupported value: {error}"
    return ""


def parse_json(data: bytes) -> Any:
    """JSON as Go's decoder takes it; raises ValueError with the text of Go's."""
    try:
        value = orjson.loads(data)
    except orjson.JSONDecodeError as error:
        from merope.controlplane.http import jsonsyntax

        raise ValueError(jsonsyntax.complaint(data) or str(error)) from None
    # Most bodies have fewer brackets than may be nested.
    if data.count(b"{") + data.count(b"[") > DEPTH_LIMIT and (problem := unencodable(value)):
        raise ValueError(problem)
    return normalize_numbers(value) if _FLOAT.search(data) else value


def normalize_numbers(value: Any) -> Any:
    """Floats without a fraction become integers, as Go prints them."""
    if isinstance(value, float):
        return int(value) if value.is_integer() and abs(value) < 1e21 and abs(value) < 2**63 else value
    if isinstance(value, dict):
        for key, child in value.items():
            if isinstance(child, dict | list | float):
                value[key] = normalize_numbers(child)
    elif isinstance(value, list):
        for index, child in enumerate(value):
            if isinstance(child, dict | list | float):
                value[index] = normalize_numbers(child)
    return value


def _unrecognized(expected: GroupVersionKind, problem: str, data: bytes) -> ApiError:
    return bad_request(
        f"the object provided is unrecognized (must be of type {expected.kind}): {problem} ({excerpt(data)})"
    )


def excerpt(data: bytes) -> str:
    """A body as complaints show it: short JSON as it is, else hexadecimal."""
    if not data:
        return "<empty>"
    if data.startswith(b"{") and len(data) <= 1024 and data.isascii() and data.decode().isprintable():
        return data.decode()
    if len(data) > _SHOWN_BYTES:
        return data[:_SHOWN_BYTES].hex() + " ..."
    return data.hex()


_JSON_TYPES: Final = {list: "array", str: "string", bool: "bool", int: "number", float: "number", type(None): "null"}


_GO_TYPE_META: Final = (
    r'struct { APIVersion string "json:\"apiVersion,omitempty\""; Kind string "json:\"kind,omitempty\"" }'
)


def _json(data: bytes, expected: GroupVersionKind, look_for_duplicates: bool) -> Body:
    try:
        value = parse_json(data)
    except ValueError as error:
        raise _unrecognized(expected, f"couldn't get version/kind; json parse error: {error}", data) from None
    if not isinstance(value, dict):
        problem = f"json: cannot unmarshal {_JSON_TYPES[type(value)]} into Go value of type {_GO_TYPE_META}"
        raise _unrecognized(expected, f"couldn't get version/kind; json parse error: {problem}", data)
    return Body(value, duplicate_fields(data, value) if look_for_duplicates else [])


def _yaml(data: bytes, expected: GroupVersionKind) -> Body:
    from merope.controlplane.http import yamlbody

    try:
        value, duplicates = yamlbody.load(data)
    except yamlbody.YamlError as error:
        raise _unrecognized(expected, str(error), data) from None
    if not isinstance(value, dict):
        problem = f"json: cannot unmarshal {_JSON_TYPES[type(value)]} into Go value of type {_GO_TYPE_META}"
        raise _unrecognized(expected, f"couldn't get version/kind; json parse error: {problem}", data)
    complaints = ["yaml: unmarshal errors:\n" + "\n".join(f"  {text}" for text in duplicates)] if duplicates else []
    return Body(normalize_numbers(value), complaints)


def _protobuf(data: bytes, expected: GroupVersionKind, catalogue: Catalogue) -> Object:
    from merope.controlplane.scheme import protobuf

    if not data.startswith(b"k8s\x00"):
        problem = "provided data does not appear to be a protobuf message, expected prefix [107 56 115 0]"
        raise _unrecognized(expected, problem, data)
    api_version, kind, obj = protobuf.decode(data, None, catalogue)
    if problem := unencodable(obj):
        raise _unrecognized(expected, problem, data)
    return {"apiVersion": api_version, "kind": kind, **obj}


def check_type(
    obj: Object, expected: GroupVersionKind, *, builtin: bool, catalogue: Catalogue, data: bytes = b""
) -> None:
    """Refuse a body of another type; fill in the type of a built-in kind that names none."""
    api_version, kind = obj.get("apiVersion"), obj.get("kind")
    for key, value in (("apiVersion", api_version), ("kind", kind)):
        if value is not None and not isinstance(value, str):
            found = _JSON_TYPES.get(type(value), "object")
            problem = f"json: cannot unmarshal {found} into Go struct field .{key} of type string"
            raise _unrecognized(expected, f"couldn't get version/kind; json parse error: {problem}", data)
    if not builtin:
        _check_custom_type(obj, expected, data)
        return
    api_version = api_version or expected.api_version
    kind = kind or expected.kind
    if api_version == expected.api_version and kind == expected.kind:
        obj["apiVersion"], obj["kind"] = api_version, kind
        return
    version = api_version.rpartition("/")[2]
    if any(known.kind == kind and known.api_version == api_version for known in catalogue.resources.values()):
        internal = expected.group.partition(".")[0] or "core"
        cause = f"converting ({version}.{kind}) to ({internal}.{expected.kind}): unknown conversion"
    else:
        cause = (
            f'no kind "{kind}" is registered for version "{api_version}" in scheme '
            '"k8s.io/kubernetes/pkg/api/legacyscheme/scheme.go:30"'
        )
    raise bad_request(f'{kind} in version "{version}" cannot be handled as a {expected.kind}: {cause}')


def _check_custom_type(obj: Object, expected: GroupVersionKind, data: bytes) -> None:
    api_version, kind = obj.get("apiVersion") or "", obj.get("kind") or ""
    if not kind:
        text = data.decode(errors="replace")
        raise _unrecognized(expected, f"Object 'Kind' is missing in '{text}'", data)
    if api_version != expected.api_version:
        raise bad_request(
            f"the API version in the data ({api_version}) does not match the expected API version "
            f"({expected.api_version})"
        )
    if kind != expected.kind:
        metadata = obj.get("metadata")
        name = metadata.get("name", "") if isinstance(metadata, dict) else ""
        raise invalid(expected.group, kind, name, [invalid_value("kind", kind, f"must be {expected.kind}")])


# --- duplicate keys ----------------------------------------------------------------------------------------------


class _Pairs(dict[str, Any]):
    """A JSON object that remembers which of its keys came twice."""

    __slots__ = ("repeated",)

    def __init__(self, pairs: list[tuple[str, Any]]) -> None:
        super().__init__(pairs)
        # In the order in which they come again.
        self.repeated: dict[str, None] = {}
        if len(self) != len(pairs):
            seen: set[str] = set()
            for key, _ in pairs:
                if key in seen:
                    self.repeated[key] = None
                seen.add(key)


def duplicate_paths(data: bytes, decoded: Any) -> list[str]:
    """The paths of keys that occur twice in the JSON text ``data``, of which ``decoded`` is the value.

    Most bodies are compact and encode to their own length again, which proves that no key was dropped; only others
    are read a second time, slowly.
    """
    if len(orjson.dumps(decoded)) == len(data.rstrip()):
        return []
    found: list[str] = []
    try:
        _collect(json.loads(data, object_pairs_hook=_Pairs), "", found)
    except (ValueError, RecursionError):
        return []
    return found


def duplicate_fields(data: bytes, decoded: Any) -> list[str]:
    """``duplicate_paths`` as field validation words them."""
    return [f'duplicate field "{path}"' for path in duplicate_paths(data, decoded)]


def _collect(value: Any, path: str, found: list[str]) -> None:
    if isinstance(value, _Pairs):
        for key in value.repeated:
            found.append(f"{path}.{key}" if path else key)
        for key, child in value.items():
            if isinstance(child, dict | list):
                _collect(child, f"{path}.{key}" if path else key, found)
    elif isinstance(value, list):
        for index, child in enumerate(value):
            _collect(child, f"{path}[{index}]", found)


# --- delete options ----------------------------------------------------------------------------------------------


def decode_delete_options(data: bytes, header: str) -> Object | None:
    """The DeleteOptions in the body of a DELETE, None where the body is empty."""
    if not data:
        return None
    media = content_type(header)
    if media == PROTOBUF:
        from merope.controlplane.scheme import protobuf

        return protobuf.decode_delete_options(data)
    if media not in (JSON, YAML):
        raise unknown_format()
    try:
        if media == JSON:
            value = parse_json(data)
        else:
            from merope.controlplane.http import yamlbody

            value = yamlbody.load(data)[0]
    except ValueError as error:
        raise bad_request(f"couldn't get version/kind; json parse error: {error}") from None
    if not isinstance(value, dict):
        raise bad_request("couldn't get version/kind; json parse error: the body is no object")
    kind = value.get("kind") or "DeleteOptions"
    if kind != "DeleteOptions":
        raise bad_request(
            f'no kind "{kind}" is registered for version "{value.get("apiVersion", "")}" in scheme '
            '"k8s.io/apimachinery/pkg/apis/meta/internalversion/scheme/register.go:27"'
        )
    return value
