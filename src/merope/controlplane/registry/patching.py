"""The patch types: from a live object and a patch to the object that the client wants."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Final

import orjson

from merope.controlplane.errors import ApiError, bad_request, invalid, invalid_value
from merope.controlplane.http import bodies
from merope.controlplane.http.negotiation import APPLY_PATCH, JSON_PATCH, MERGE_PATCH
from merope.controlplane.resource import Object, Request
from merope.lang import jsonpatch, mergepatch
from merope.lang.schema import Node

_OPERATIONS_LIMIT: Final = 10_000
_GO_NAMES: Final = {dict: "object", list: "array", str: "string", bool: "bool", int: "number", float: "number"}


@dataclass(slots=True)
class Patch:
    """A decoded patch. ``value`` is the list of operations, the partial object, or the applied configuration."""

    media: str
    value: Any
    duplicates: list[str] = field(default_factory=list)

    @property
    def is_apply(self) -> bool:
        return self.media == APPLY_PATCH

    def fixes_version(self) -> bool:
        """Whether the patch itself demands a resourceVersion, so that a lost race is the client's to resolve."""
        if self.media == JSON_PATCH:
            return any(
                isinstance(operation, dict) and operation.get("path") == "/metadata/resourceVersion"
                for operation in self.value
            )
        metadata = self.value.get("metadata")
        return isinstance(metadata, dict) and bool(metadata.get("resourceVersion"))


def decode(media: str, data: bytes, *, strict: bool, look_for_duplicates: bool) -> Patch:
    """The patch in a body; 400 where it is none."""
    if media == APPLY_PATCH:
        return _decode_apply(data, strict=strict)
    strategic = media not in (JSON_PATCH, MERGE_PATCH)
    prefix = "" if strategic else "error decoding patch: "
    try:
        value = bodies.parse_json(data)
    except ValueError as error:
        raise bad_request(f"{prefix}{error}") from None
    if media == JSON_PATCH:
        if not isinstance(value, list):
            found = _GO_NAMES.get(type(value), "null")
            problem = f"json: cannot unmarshal {found} into Go value of type []handlers.jsonPatchOp"
            raise bad_request(prefix + problem)
        if len(value) > _OPERATIONS_LIMIT:
            raise ApiError(
                413,
                "RequestEntityTooLarge",
                f"The allowed maximum operations in a JSON patch is {_OPERATIONS_LIMIT}, got {len(value)}",
            )
    elif value is None and media == MERGE_PATCH:
        raise bad_request("Invalid JSON Patch")
    elif not isinstance(value, dict):
        found = _GO_NAMES.get(type(value), "null")
        problem = f"json: cannot unmarshal {found} into Go value of type map[string]interface {{}}"
        raise bad_request(prefix + problem)
    duplicates: list[str] = []
    if look_for_duplicates:
        label = "json patch duplicate field" if media == JSON_PATCH else "duplicate field"
        duplicates = [f'{label} "{path}"' for path in bodies.duplicate_paths(data, value)]
    return Patch(media, value, duplicates)


def _decode_apply(data: bytes, *, strict: bool) -> Patch:
    from merope.controlplane.http import yamlbody

    duplicates: list[str]
    try:
        if data.lstrip().startswith(b"{"):
            value = bodies.parse_json(data)
            paths = bodies.duplicate_paths(data, value)
            if paths and strict:
                # the reference reads JSON as YAML here, and YAML tells the line
                _, duplicates = yamlbody.load(data)
            else:
                duplicates = []
        else:
            value, duplicates = yamlbody.load(data)
            value = bodies.normalize_numbers(value)
    except ValueError as error:
        raise bad_request(f"error decoding YAML: error converting YAML to JSON: {error}") from None
    if duplicates and strict:
        listed = "\n".join(f"  {text}" for text in duplicates)
        raise bad_request(
            f"error strict decoding YAML: error converting YAML to JSON: yaml: unmarshal errors:\n{listed}"
        )
    if not isinstance(value, dict):
        found = _GO_NAMES.get(type(value), "null")
        raise bad_request(
            "error decoding YAML: error unmarshaling JSON: while decoding JSON: "
            f"json: cannot unmarshal {found} into Go value of type map[string]interface {{}}"
        )
    return Patch(APPLY_PATCH, value)


def apply(patch: Patch, live: Object, node: Node) -> Object:
    """``live`` with the patch applied, which may share with the patch but not with ``live``.

    Raises ApiError 422 for operations that cannot be carried out.
    """
    if patch.media == JSON_PATCH:
        try:
            result = jsonpatch.apply(live, patch.value)
        except jsonpatch.JSONPatchError:
            # Which operation failed, and why, stays untold: clients show causes in place of the message.
            text = "the server rejected our request due to an error in our request"
            raise ApiError(422, "Invalid", text, {}) from None
        # Operations can add what is deep to what is deep.
        if problem := bodies.unencodable(result):
            raise bad_request(problem)
    elif patch.media == MERGE_PATCH:
        result = mergepatch.apply(live, patch.value)
    else:
        from merope.lang import strategicmerge

        try:
            result = strategicmerge.apply(live, patch.value, node)
        except strategicmerge.StrategicMergeError as error:
            raise ApiError(500, "", str(error)) from None
    if not isinstance(result, dict):
        raise bad_request("the patch leaves no object")
    return result


def undecodable(patch: Patch, result: Object, problem: str, *, builtin: bool = True) -> ApiError:
    """422 for a patch whose result is not an object of the kind."""
    shown = _shown(result, builtin=builtin) if patch.media in (JSON_PATCH, MERGE_PATCH) else go_syntax(patch.value)
    return invalid("", "", "", [invalid_value("patch", shown, problem)])


def _shown(result: Object, *, builtin: bool) -> str:
    """A patched object as the reference quotes it: sorted but for the metadata of built-in kinds."""
    parts = []
    for key in sorted(result):
        option = 0 if builtin and key == "metadata" else orjson.OPT_SORT_KEYS
        parts.append(orjson.dumps(key) + b":" + orjson.dumps(result[key], option=option))
    text = "{" + b",".join(parts).decode() + "}"
    for char in "<>&":
        text = text.replace(char, f"\\u{ord(char):04x}")
    return text


def go_syntax(value: Any) -> str:
    """A value as Go prints maps, in which the reference shows strategic patches."""
    if isinstance(value, dict):
        return "map[" + " ".join(f"{key}:{go_syntax(value[key])}" for key in sorted(value)) + "]"
    if isinstance(value, list):
        return "[" + " ".join(go_syntax(item) for item in value) + "]"
    if value is None:
        return "<nil>"
    if isinstance(value, bool):
        return "true" if value else "false"
    return str(value)


def check_complaints(request: Request, patch: Patch, result: Object, complaints: list[str]) -> None:
    """Handle field-validation complaints about the result of a patch as the client asked."""
    found = [*patch.duplicates, *complaints]
    if not found or request.options.field_validation == "Ignore":
        return
    if request.options.field_validation == "Strict":
        raise undecodable(patch, result, f"strict decoding error: {', '.join(found)}", builtin=request.resource.builtin)
    for complaint in found:
        request.warn(complaint)


def check_configuration(request: Request, config: Object) -> None:
    """Refuse an applied configuration that is for another type, names another object or brings managedFields."""
    expected = request.resource.gvk
    if request.subresource in request.resource.subresources and request.subresource != "status":
        expected = request.resource.subresources[request.subresource].kind
    api_version, kind = config.get("apiVersion") or "", config.get("kind") or ""
    if not isinstance(api_version, str) or not isinstance(kind, str):
        raise bad_request("error decoding YAML: apiVersion and kind must be text")
    group, _, version = api_version.rpartition("/")
    if (group, kind) != (expected.group, expected.kind) or version != expected.version:
        raise bad_request(f"invalid object type: {group}/{version}, Kind={kind}")
    metadata = config.get("metadata")
    if metadata is None:
        metadata = {}
    if not isinstance(metadata, dict):
        raise ApiError(500, "", "metadata of the applied configuration is no object")
    if metadata.get("managedFields"):
        raise bad_request("metadata.managedFields must be nil")
