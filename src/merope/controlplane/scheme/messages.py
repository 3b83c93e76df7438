"""The messages of the built-in API types: field numbers, and which zero values are kept.

Kubernetes' own types are structs. What a client sees of them follows from three facts of each field, none of which is
in the OpenAPI definitions: its number on the wire (for protobuf bodies), whether it is a pointer (then an explicit
zero is kept), and whether it is printed when it is zero. ``data/messages.txt`` lists them; it is read on first use and
a message is parsed when it is first asked for.
"""

from __future__ import annotations

import functools
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Final, NamedTuple

_DATA: Final = Path(__file__).parent / "data" / "messages.txt"


class Field(NamedTuple):
    """One field: number on the wire, JSON name, and what happens to zero values.

    ``embedded`` is the definition of a message whose fields belong to the parent's JSON object (then there is no name).
    """

    number: int
    name: str
    pointer: bool
    always: bool
    embedded: str


@functools.cache
def _lines() -> Mapping[str, str]:
    """The text after the colon by definition name."""
    found: dict[str, str] = {}
    package = ""
    for line in _DATA.read_text(encoding="ascii").splitlines():
        if line.startswith("["):
            package = line[1:-1]
        elif not line.startswith("#"):
            name, _, fields = line.partition(":")
            found[f"{package}.{name}"] = fields
    return found


@functools.cache
def fields(definition: str) -> tuple[Field, ...] | None:
    """The fields of a message in the order of their numbers; None when it is not a known message.

    ``definition`` is an OpenAPI name; embedded messages have names of the same form although OpenAPI has none of them.
    """
    text = _lines().get(definition)
    if text is None:
        return None
    return tuple(_parse(text, definition.rpartition(".")[0]))


def _parse(text: str, package: str) -> Iterator[Field]:
    number = 1
    for token in text.split():
        if token.startswith("@"):
            number = int(token[1:])
            continue
        if token.startswith("="):
            yield Field(number, "", False, False, f"{package}.{token[1:]}")
        else:
            name = token.rstrip("*!")
            flags = token[len(name) :]
            yield Field(number, name, "*" in flags, "!" in flags, "")
        number += 1


def json_fields(definition: str) -> Iterator[Field]:
    """The fields of the JSON object of a message, those of embedded messages included."""
    for field in fields(definition) or ():
        if field.embedded:
            yield from json_fields(field.embedded)
        else:
            yield field
