"""Drawing objects as a tree: a name in angle brackets on each line, with its value or with what is below it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Final, TypeAlias

Tree: TypeAlias = Mapping[str, "str | Tree"]

_RED: Final = "\x1b[31m"
_PLAIN: Final = "\x1b[0m"
#: Values that a person should see at once.
_ALARMING: Final = frozenset({"false", "False", "not-applied"})


def draw(kind: str, tree: Tree, *, colour: bool = False) -> Iterator[str]:
    """The lines of a tree of objects of ``kind``; siblings in the order given. ``colour``: alarming values in red."""
    yield f"<{kind}>"
    yield from _below(tree, "", colour)


def _below(tree: Tree, indent: str, colour: bool) -> Iterator[str]:
    for at, (name, value) in enumerate(tree.items(), start=1):
        last = at == len(tree)
        connector = "└── " if last else "├── "
        if isinstance(value, str):
            shown = f"{_RED}{value}{_PLAIN}" if colour and value in _ALARMING else value
            yield f"{indent}{connector}<{name}> {shown}".rstrip()
        else:
            yield f"{indent}{connector}<{name}>"
            yield from _below(value, indent + ("    " if last else "│   "), colour)
