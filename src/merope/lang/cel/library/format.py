"""Named formats: what Kubernetes accepts as a name, label value, UUID and so on, with its wording of the problems."""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Callable
from functools import cache

from ... import names
from .. import types as t
from ..errors import EvaluationError
from ..functions import Library
from ..temporal import parse_timestamp
from ..values import NONE, OptionalValue, register_key

FORMATS = Library("format")

Validate = Callable[[str], list[str]]


class Format:
    """A named format."""

    __slots__ = ("name", "validate")

    def __init__(self, name: str, validate: Validate) -> None:
        self.name = name
        #: Gives the problems of a string, none if it is valid.
        self.validate = validate

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Format) and self.name == other.name

    def __hash__(self) -> int:
        return hash(self.name)


register_key(Format, t.FORMAT)


def _prefix(validate: Validate) -> Validate:
    """Accept what may be the beginning of a valid name: a trailing dash will be followed by something."""

    def check(text: str) -> list[str]:
        return validate(text[:-2] + "a" if len(text) > 1 and text.endswith("-") else text)

    return check


def _uri(text: str) -> list[str]:
    from .url import parse_url

    try:
        parse_url(text)
    except EvaluationError as error:
        return [str(error).removeprefix("URL parse error during conversion from string: ")]
    return []


def _uuid(text: str) -> list[str]:
    pattern = r"[0-9a-fA-F]{8}-?[0-9a-fA-F]{4}-?[0-9a-fA-F]{4}-?[0-9a-fA-F]{4}-?[0-9a-fA-F]{12}"
    return [] if re.fullmatch(pattern, text) else ["does not match the UUID format"]


def _byte(text: str) -> list[str]:
    try:
        base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        return ["invalid base64"]
    return []


def _date(text: str) -> list[str]:
    try:
        if not re.fullmatch(r"\d{4}-\d\d-\d\d", text, re.ASCII):
            raise EvaluationError("malformed")
        parse_timestamp(f"{text}T00:00:00Z")
    except EvaluationError:
        return ["invalid date"]
    return []


def _datetime(text: str) -> list[str]:
    try:
        parse_timestamp(text)
    except EvaluationError:
        return ["invalid datetime"]
    return []


_VALIDATORS: dict[str, Validate] = {
    "dns1123Label": names.is_dns1123_label,
    "dns1123Subdomain": names.is_dns1123_subdomain,
    "dns1035Label": names.is_dns1035_label,
    "qualifiedName": names.is_qualified_name,
    "dns1123LabelPrefix": _prefix(names.is_dns1123_label),
    "dns1123SubdomainPrefix": _prefix(names.is_dns1123_subdomain),
    "dns1035LabelPrefix": _prefix(names.is_dns1035_label),
    "labelValue": names.is_label_value,
    "uri": _uri,
    "uuid": _uuid,
    "byte": _byte,
    "date": _date,
    "datetime": _datetime,
}


@cache
def _format(name: str) -> Format:
    return Format(name, _VALIDATORS[name])


def _constructor(name: str) -> Callable[[], Format]:
    return lambda: _format(name)


for _name in _VALIDATORS:
    FORMATS.declare(f"format.{_name}() -> format", _constructor(_name))


@FORMATS.overload("format.named(string) -> optional<format>")
def _named(name: str) -> OptionalValue:
    return OptionalValue(True, _format(name)) if name in _VALIDATORS else NONE


@FORMATS.overload("<format>.validate(string) -> optional<list<string>>", cost="validate", base_cost=1)
def _validate(form: Format, text: str) -> OptionalValue:
    problems = form.validate(text)
    return OptionalValue(True, problems) if problems else NONE
