"""Value validation against a structural schema, with the texts that Kubernetes' clients know.

Most objects are valid, so a compiled gate answers yes or no first (``gate``); only where it says no, or where there is
none, the object is walked here to compose the complaints. The walk follows the order of Kubernetes' validator: every
keyword is judged by the kind of the value, not by the declared type, and a wrong type does not hide other complaints.

An update is ratcheted: what is wrong with a value that was the same before is not held against the request. Old values
are found by field, map key, and the keys of map lists; in other lists and inside anyOf and the like there is no old.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

import re2

from merope.controlplane.crd import formats, gate
from merope.controlplane.crd.listtypes import check_list_types, item_key
from merope.controlplane.crd.values import NOTHING, go_float, same, type_name
from merope.controlplane.errors import (
    INVALID,
    NOT_SUPPORTED,
    REQUIRED,
    TOO_LONG,
    TOO_MANY,
    TYPE_INVALID,
    FieldError,
    render_value,
)
from merope.lang.schema import Node, Schema, build

#: Where a value stands: the place above, and the last piece of the path with its separator.
_Place = tuple[Any, str]
_Check = Callable[[Any, Any, _Place, "list[_Complaint]"], None]
#: Name of the field in the body (None: the complaint has no path), class, value, detail.
_Complaint = tuple["str | None", str, Any, str]

_ROOT: Final[_Place] = (None, "")
#: The formats that Go's types have, by type.
_GO_FORMATS: Final = {"integer": "int64", "number": "float64"}


def validate(node: Node, obj: Any, old: Any = None, path: str = "") -> list[FieldError]:
    """All complaints about ``obj``; ``old`` is the object before an update, None on create.

    ``path`` is put before the fields of the complaints (not into their texts, which name the place in the body).
    The node must be that of the declared schema: metadata is judged only as far as the schema restricts it.
    """
    accepts = gate.of(node)
    before = NOTHING if old is None else old
    errors = [] if accepts is not None and accepts(obj) else _complaints(node, obj, before, path)
    errors.extend(check_list_types(node, obj, before, path))
    return errors


def _complaints(node: Node, obj: Any, old: Any, path: str) -> list[FieldError]:
    found: list[_Complaint] = []
    _check(node)(obj, old, _ROOT, found)
    return [_field_error(path, complaint) for complaint in found]


def _field_error(path: str, complaint: _Complaint) -> FieldError:
    name, kind, value, detail = complaint
    field = path if not name else f"{path}.{name}" if path else name
    return FieldError(field or "<nil>", kind, value, detail)


def _name(place: _Place) -> str:
    pieces = []
    at: _Place | None = place
    while at is not None:
        pieces.append(at[1])
        at = at[0]
    return "".join(reversed(pieces)).removeprefix(".")


def _check(node: Node) -> _Check:
    found: _Check | None = node.compiled.get("validate")
    if found is None:
        found = node.compiled["validate"] = _ratcheted(_compile(node))
    return found


def _ratcheted(check: _Check) -> _Check:
    def ratcheted(value: Any, old: Any, place: _Place, errors: list[_Complaint]) -> None:
        before = len(errors)
        check(value, old, place, errors)
        if len(errors) > before and old is not NOTHING and same(value, old):
            del errors[before:]

    return ratcheted


def _compile(node: Node) -> _Check:
    schema = node.schema
    types = _types(node)
    nullable = node.nullable
    enum = _enum(schema)
    of_string = _string_check(node)
    of_number = _number_check(node)
    of_list = _list_check(node)
    of_object = _object_check(node)
    logic = _logic_check(schema)
    type_text = ",".join(types)
    form = node.format if node.format in formats.KNOWN else ""
    numeric = not {"integer", "number"}.isdisjoint(types)

    def check(value: Any, old: Any, place: _Place, errors: list[_Complaint]) -> None:
        name = type_name(value)
        if types and name not in types and not (name == "null" and nullable) and not _fits(value, name, types):
            field = _name(place)
            if form and name != "null":
                # A declared format speaks in place of the type, and texts and lists are left to its check.
                if numeric or name not in ("string", "array"):
                    shown, wanted = (
                        (name, type_text) if name in ("string", "array") else (_GO_FORMATS.get(name, ""), form)
                    )
                    text = f'{field} in body must be of type {wanted}: "{shown}"'
                    errors.append((field, TYPE_INVALID, shown, text))
            else:
                errors.append((field, TYPE_INVALID, name, f'{field} in body must be of type {type_text}: "{name}"'))
        if name != "null":
            if logic is not None:
                logic(value, place, errors)
            if name == "string":
                if of_string is not None:
                    of_string(value, place, errors)
            elif name == "object":
                if of_object is not None:
                    of_object(value, old, place, errors)
            elif name == "array":
                if of_list is not None:
                    of_list(value, old, place, errors)
            elif name != "boolean" and of_number is not None:
                of_number(value, place, errors)
        if enum is not None and not any(same(value, allowed) for allowed in enum[0]):
            errors.append((_name(place), NOT_SUPPORTED, value, enum[1]))

    return check


def _types(node: Node) -> tuple[str, ...]:
    if node.int_or_string:
        return ("integer", "string")
    declared = node.schema.get("type")
    return (declared,) if declared else ()


def _fits(value: Any, name: str, types: tuple[str, ...]) -> bool:
    """Numbers that count as another type: a whole float is an integer, an integer is a number."""
    if name == "integer":
        return "number" in types
    return name == "number" and "integer" in types and value.is_integer()


def _enum(schema: Schema) -> tuple[list[Any], str] | None:
    allowed = schema.get("enum")
    if not allowed:
        return None
    texts = [value if isinstance(value, str) else render_value(value) for value in allowed]
    return list(allowed), "supported values: " + ", ".join(render_value(text) for text in texts)


def _plural(count: int, noun: str) -> str:
    return f"{count} {noun}" if count == 1 else f"{count} {noun}s"


def _string_check(node: Node) -> Callable[[str, _Place, list[_Complaint]], None] | None:
    schema = node.schema
    longest, shortest, pattern = schema.get("maxLength"), schema.get("minLength"), schema.get("pattern")
    well_formed = formats.CHECKS.get(node.format)
    if longest is None and shortest is None and not pattern and well_formed is None:
        return None
    expression = re2.compile(pattern) if pattern else None
    format_name = node.format

    def check(value: str, place: _Place, errors: list[_Complaint]) -> None:
        if longest is not None and len(value) > longest:
            errors.append((_name(place), TOO_LONG, value, f"may not be more than {_plural(longest, 'byte')}"))
        elif shortest is not None and len(value) < shortest:
            field = _name(place)
            errors.append((field, INVALID, value, f"{field} in body should be at least {shortest} chars long"))
        elif expression is not None and expression.search(value) is None:
            field = _name(place)
            errors.append((field, INVALID, value, f"{field} in body should match '{pattern}'"))
        if well_formed is not None and not well_formed(value):
            field = _name(place)
            text = f"{field} in body must be of type {format_name}: {render_value(value)}"
            errors.append((field, TYPE_INVALID, value, text))

    return check


def _number_check(node: Node) -> Callable[[Any, _Place, list[_Complaint]], None] | None:
    schema = node.schema
    low, high, step = schema.get("minimum"), schema.get("maximum"), schema.get("multipleOf")
    above = bool(schema.get("exclusiveMinimum"))
    below = bool(schema.get("exclusiveMaximum"))
    whole = schema.get("type") == "integer" and not node.int_or_string
    single = schema.get("type") == "number" and node.format == "float"
    if low is None and high is None and step is None and not whole and not single:
        return None
    format_text = f"with format {node.format}" if node.format else "(default format)"
    declared = schema.get("type")
    form = node.format

    def check(value: Any, place: _Place, errors: list[_Complaint]) -> None:
        if (whole and not formats.integer_in_range(value, form)) or (
            single and not formats.number_in_range(value, form)
        ):
            text = f"Checked value must be of type {declared} {format_text} in {_name(place)}"
            errors.append((None, INVALID, "", text))
        if step is not None and not _is_multiple(value, step):
            field = _name(place)
            errors.append((field, INVALID, value, f"{field} in body should be a multiple of {go_float(step)}"))
        top, bottom = _bounds(high, low, value)
        if top is not None and (value >= top if below else value > top):
            field = _name(place)
            relation = "less than" if below else "less than or equal to"
            errors.append((field, INVALID, value, f"{field} in body should be {relation} {_bound(high, value)}"))
        if bottom is not None and (value <= bottom if above else value < bottom):
            field = _name(place)
            relation = "greater than" if above else "greater than or equal to"
            errors.append((field, INVALID, value, f"{field} in body should be {relation} {_bound(low, value)}"))

    return check


def _bounds(high: float | None, low: float | None, value: float) -> tuple[float | None, float | None]:
    """Bounds as they count for a value: those of an integer are integers, cut off."""
    if isinstance(value, int):
        return None if high is None else int(high), None if low is None else int(low)
    return high, low


def _bound(bound: Any, value: float) -> str:
    return str(int(bound)) if isinstance(value, int) else go_float(bound)


def _is_multiple(value: float, step: float) -> bool:
    if isinstance(value, int) and isinstance(step, int):
        return step != 0 and value % step == 0
    quotient = value / step if step else 0.5
    return float(quotient).is_integer()


def _list_check(node: Node) -> Callable[[list[Any], Any, _Place, list[_Complaint]], None] | None:
    fewest, most, items = node.schema.get("minItems"), node.schema.get("maxItems"), node.items
    if fewest is None and most is None and items is None:
        return None
    keys = node.list_map_keys if node.list_type == "map" else ()

    def check(value: list[Any], old: Any, place: _Place, errors: list[_Complaint]) -> None:
        if items is not None:
            of_item = _check(items)
            earlier = {}
            if keys and old.__class__ is list:
                earlier = {item_key(item, keys): item for item in old if item.__class__ is dict}
            for index, item in enumerate(value):
                before = NOTHING
                if earlier and item.__class__ is dict:
                    before = earlier.get(item_key(item, keys), NOTHING)
                of_item(item, before, (place, f"[{index}]"), errors)
        count = len(value)
        if fewest is not None and count < fewest:
            field = _name(place)
            errors.append((field, INVALID, count, f"{field} in body should have at least {fewest} items"))
        if most is not None and count > most:
            errors.append((_name(place), TOO_MANY, count, f"must have at most {_plural(most, 'item')}"))

    return check


def _object_check(node: Node) -> Callable[[dict[str, Any], Any, _Place, list[_Complaint]], None] | None:
    schema = node.schema
    fewest, most = schema.get("minProperties"), schema.get("maxProperties")
    properties, additional, required = node.properties, node.additional, node.required
    if fewest is None and most is None and not properties and additional is None and not required:
        return None

    def check(value: dict[str, Any], old: Any, place: _Place, errors: list[_Complaint]) -> None:
        count = len(value)
        if fewest is not None and count < fewest:
            field = _name(place)
            errors.append((field, INVALID, count, f"{field} in body should have at least {fewest} properties"))
            return
        if most is not None and count > most:
            errors.append((_name(place), TOO_MANY, count, f"must have at most {_plural(most, 'item')}"))
            return
        known = old.__class__ is dict
        for key, inner in value.items():
            child = properties.get(key, additional)
            if child is not None:
                _check(child)(inner, old.get(key, NOTHING) if known else NOTHING, (place, f".{key}"), errors)
        for key in required:
            if key not in value:
                errors.append((_name((place, f".{key}")), REQUIRED, None, ""))

    return check


# --- allOf, anyOf, oneOf, not --------------------------------------------------------------------------------------


def _logic_check(schema: Schema) -> Callable[[Any, _Place, list[_Complaint]], None] | None:
    all_of = [build(branch) for branch in schema.get("allOf") or ()]
    any_of = [build(branch) for branch in schema.get("anyOf") or ()]
    one_of = [build(branch) for branch in schema.get("oneOf") or ()]
    negated = build(schema["not"]) if isinstance(schema.get("not"), dict) else None
    if not all_of and not any_of and not one_of and negated is None:
        return None

    def check(value: Any, place: _Place, errors: list[_Complaint]) -> None:
        if any_of:
            _, best = _alternatives(any_of, value, place, first=True)
            if best is not None:
                errors.append(_junctor(place, "must validate at least one schema (anyOf)"))
                errors.extend(best)
        if one_of:
            valid, best = _alternatives(one_of, value, place, first=False)
            if valid != 1:
                found = "Found none valid" if valid == 0 else f"Found {valid} valid alternatives"
                errors.append(_junctor(place, f"must validate one and only one schema (oneOf). {found}"))
                errors.extend(best or ())
        if all_of:
            results = [_branch(node, value, place) for node in all_of]
            failed = [result for result in results if result]
            if failed:
                none = ". None validated" if len(failed) == len(results) else ""
                errors.append(_junctor(place, f"must validate all the schemas (allOf){none}"))
                errors.extend(complaint for result in failed for complaint in result)
        if negated is not None and not _branch(negated, value, place):
            errors.append(_junctor(place, "must not validate the schema (not)"))

    return check


def _junctor(place: _Place, text: str) -> _Complaint:
    return (None, INVALID, "", f'"{_name(place)}" {text}')


def _branch(node: Node, value: Any, place: _Place) -> list[_Complaint]:
    found: list[_Complaint] = []
    _check(node)(value, NOTHING, place, found)
    return found


def _alternatives(
    branches: list[Node], value: Any, place: _Place, *, first: bool
) -> tuple[int, list[_Complaint] | None]:
    """How many branches hold, and where none does the complaints of the branch that got furthest.

    ``first`` stops at the first one that holds.
    """
    valid = 0
    best: list[_Complaint] | None = None
    furthest = -1
    for node in branches:
        found = _branch(node, value, place)
        if not found:
            valid += 1
            best = None
            if first:
                break
        elif valid == 0:
            depth = _judged(node, value)
            if depth > furthest:
                best, furthest = found, depth
    return valid, best


def _judged(node: Node, value: Any) -> int:
    """How many values a branch has an opinion on: of several failing ones the most specific speaks."""
    count = 1
    if value.__class__ is dict:
        for key, inner in value.items():
            child = node.child(key)
            if child is not None:
                count += _judged(child, inner)
    elif value.__class__ is list and node.items is not None:
        count += sum(_judged(node.items, inner) for inner in value)
    return count
