"""The yes/no gate in front of validation: a schema compiled by jsonschema-rs.

Ten times faster than a walk in Python, but its messages are not Kubernetes', so it only answers whether the object is
valid. A wrong no costs a walk, a wrong yes lets an invalid object in: where a rule can't be said exactly in JSON
Schema, the translation is the stricter one, and where not even that is possible there is no gate.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any, Final

import re2

from merope.controlplane.crd import formats
from merope.lang.schema import Node, Schema

Gate = Callable[[Any], bool]
_Formats = dict[str, Callable[[str], bool]]

#: Patterns that mean the same to RE2 and to the gate's own engine: no classes by letter, flags, or set operations.
_PLAIN: Final = re.compile(
    r"(?:[^\\(\[]|\\[.\-/+*?()\[\]{}|^$]|\((?:\?:)?(?!\?)|\[(?:[^\[\]\\&~]|\\[.\-/+*?\]])+\])*", re.ASCII
)
#: RFC 3339 as the date-time check knows it, without 29 February and other rarities: those are left to the walk.
_DATE_TIME: Final = (
    r"^[0-9]{4}-((0[1-9]|1[0-2])-(0[1-9]|1[0-9]|2[0-8])|(0[13-9]|1[0-2])-(29|30)|(0[13578]|1[02])-31)"
    r"T([01][0-9]|2[0-3]):[0-5][0-9]:[0-5][0-9](\.[0-9]+)?(Z|[+-][0-9]{2}:[0-9]{2})$"
)

_COPIED: Final = ("minimum", "maximum", "multipleOf", "enum", "required")
_SIZES: Final = (
    ("minLength", "maxLength"),
    ("minItems", "maxItems"),
    ("minProperties", "maxProperties"),
)


class _Untranslatable(Exception):
    pass


def of(node: Node) -> Gate | None:
    """The gate of a node, compiled on first use; None where there can't be one or jsonschema-rs is not installed."""
    if "gate" not in node.compiled:
        node.compiled["gate"] = _compile(node)
    found: Gate | None = node.compiled["gate"]
    return found


def _compile(node: Node) -> Gate | None:
    if node.ref:
        return None
    try:
        import jsonschema_rs
    except ImportError:
        return None
    for native in (True, False):
        used: _Formats = {}
        try:
            schema = _translate(node.schema, used, native)
            validator = jsonschema_rs.Draft202012Validator(
                schema, formats=used, validate_formats=True, pattern_options=jsonschema_rs.RegexOptions()
            )
        except _Untranslatable:
            return None
        except ValueError:
            continue  # a pattern that only RE2 takes
        gate: Gate = validator.is_valid
        return gate
    return None


def _translate(schema: Schema, used: _Formats, native: bool) -> dict[str, Any]:
    """``native``: simple patterns may be judged by the gate's engine, without a call back to Python each time.

    Below oneOf and not, where stricter is not safe, that is off.
    """
    if "$ref" in schema:
        raise _Untranslatable
    out: dict[str, Any] = {}
    clauses: list[dict[str, Any]] = []
    nullable = ["null"] if schema.get("nullable") else []
    declared = schema.get("type")
    if schema.get("x-kubernetes-int-or-string"):
        out["type"] = ["integer", "string", *nullable]
    elif declared:
        out["type"] = [declared, *nullable]
    for keyword in _COPIED:
        if keyword in schema:
            out[keyword] = schema[keyword]
    for bound, exclusive in (("minimum", "exclusiveMinimum"), ("maximum", "exclusiveMaximum")):
        if schema.get(exclusive) and bound in schema:
            out[exclusive] = out.pop(bound)
    for low, high in _SIZES:
        if schema.get(low, 0) > 0:
            out[low] = schema[low]
        if high in schema:
            if schema[high] < 0:
                raise _Untranslatable
            out[high] = schema[high]
    _numbers(schema, out, clauses)
    _strings(schema, clauses, used, native)
    if "properties" in schema:
        out["properties"] = {name: _translate(child, used, native) for name, child in schema["properties"].items()}
    if isinstance(schema.get("additionalProperties"), dict):
        out["additionalProperties"] = _translate(schema["additionalProperties"], used, native)
    if isinstance(schema.get("items"), dict):
        out["items"] = _translate(schema["items"], used, native)
    for junctor in ("anyOf", "oneOf"):
        if schema.get(junctor):
            out[junctor] = [_translate(branch, used, False) for branch in schema[junctor]]
    clauses.extend(_translate(branch, used, native) for branch in schema.get("allOf") or ())
    if isinstance(schema.get("not"), dict):
        out["not"] = _translate(schema["not"], used, False)
    if clauses:
        out["allOf"] = clauses
    return out


def _numbers(schema: Schema, out: dict[str, Any], clauses: list[dict[str, Any]]) -> None:
    if schema.get("multipleOf") == 0:
        raise _Untranslatable
    if schema.get("type") == "integer" and not schema.get("x-kubernetes-int-or-string"):
        low, high = formats.integer_range(schema.get("format", ""))
        clauses.append({"minimum": low, "maximum": high})
    elif schema.get("type") == "number" and schema.get("format") == "float":
        clauses.append({"minimum": -formats.LARGEST_FLOAT, "maximum": formats.LARGEST_FLOAT})


def _strings(schema: Schema, clauses: list[dict[str, Any]], used: _Formats, native: bool) -> None:
    """Patterns and formats become formats of our own, so that both engines judge with the same code."""
    pattern = schema.get("pattern")
    if pattern:
        if native and _PLAIN.fullmatch(pattern) and not any(text in pattern for text in ("&&", "--", "~~", "[:")):
            clauses.append({"pattern": pattern})
        else:
            name = f"pattern:{pattern}"
            if name not in used:
                search = re2.compile(pattern).search
                used[name] = lambda text: search(text) is not None
            clauses.append({"format": name})
    form = schema.get("format", "")
    if native and form in ("date-time", "datetime"):
        clauses.append({"pattern": _DATE_TIME})
    elif form in formats.CHECKS:
        used[f"string:{form}"] = formats.CHECKS[form]
        clauses.append({"format": f"string:{form}"})
