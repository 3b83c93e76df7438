"""Sets of field paths.

A path is a sequence of elements, each written as FieldsV1 writes it: ``f:NAME`` a field or map key, ``k:{...}`` a list
item by its keys, ``v:JSON`` an item of a set, ``i:N`` a position. A set is a tree; in each node ``members`` are the
elements that belong to the set themselves, ``children`` those with something below them. An element may be both.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final

import orjson

from merope.lang.schema import Node

Element = str
Path = tuple[Element, ...]

_ORDER: Final = {"f": 0, "k": 1, "v": 2, "i": 3}


class FieldSet:
    """A set of paths. Treat as immutable once shared: operations return new sets and may share subtrees.

    ``json`` is its JSON form where it was made from one.
    """

    __slots__ = ("children", "json", "members")

    def __init__(self, members: set[Element] | None = None, children: dict[Element, FieldSet] | None = None) -> None:
        self.members: set[Element] = members if members is not None else set()
        self.children: dict[Element, FieldSet] = children if children is not None else {}
        self.json = b""

    def __bool__(self) -> bool:
        return bool(self.members) or bool(self.children)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, FieldSet):
            return NotImplemented
        return self.members == other.members and self.children == other.children

    __hash__ = None  # type: ignore[assignment]

    def __repr__(self) -> str:
        return f"FieldSet({sorted(''.join(render(path)) for path in self.paths())})"

    def insert(self, path: Path) -> None:
        """Add one path in place (while the set is being built)."""
        node = self
        for element in path[:-1]:
            node = node.children.setdefault(element, FieldSet())
        node.members.add(path[-1])

    def has(self, path: Path) -> bool:
        node: FieldSet | None = self
        for element in path[:-1]:
            node = node.children.get(element) if node is not None else None
        return node is not None and path[-1] in node.members

    def paths(self, prefix: Path = ()) -> Iterator[Path]:
        """All members, in the order of their JSON form."""
        for element in sorted(self.members | self.children.keys(), key=sort_key):
            if element in self.members:
                yield (*prefix, element)
            child = self.children.get(element)
            if child is not None:
                yield from child.paths((*prefix, element))

    def union(self, other: FieldSet) -> FieldSet:
        if not other:
            return self
        if not self:
            return other
        children = dict(self.children)
        same = other.members <= self.members
        for element, child in other.children.items():
            mine = children.get(element)
            united = children[element] = mine.union(child) if mine is not None else child
            same = same and united is mine
        return self if same else FieldSet(self.members | other.members, children)

    def intersection(self, other: FieldSet) -> FieldSet:
        children: dict[Element, FieldSet] = {}
        for element, child in self.children.items():
            theirs = other.children.get(element)
            if theirs is not None and (both := child.intersection(theirs)):
                children[element] = both
        return FieldSet(self.members & other.members, children)

    def difference(self, other: FieldSet) -> FieldSet:
        """The paths that are not members of ``other``; what lies below a member of ``other`` stays."""
        if not other:
            return self
        children: dict[Element, FieldSet] = {}
        same = self.members.isdisjoint(other.members)
        for element, child in self.children.items():
            theirs = other.children.get(element)
            rest = child.difference(theirs) if theirs is not None else child
            same = same and rest is child
            if rest:
                children[element] = rest
        return self if same else FieldSet(self.members - other.members, children)

    def without_subtrees(self, other: FieldSet) -> FieldSet:
        """The paths that are neither members of ``other`` nor below one."""
        if not other:
            return self
        children: dict[Element, FieldSet] = {}
        for element, child in self.children.items():
            if element in other.members:
                continue
            theirs = other.children.get(element)
            rest = child.without_subtrees(theirs) if theirs is not None else child
            if rest:
                children[element] = rest
        return FieldSet(self.members - other.members, children)

    def with_named_fields(self, node: Node | None) -> FieldSet:
        """The set in which a declared field of a struct is a member as soon as anything below it is."""
        members = set(self.members)
        children: dict[Element, FieldSet] = {}
        for element, child in self.children.items():
            below = descend(node, element)
            if element.startswith("f:") and node is not None and element[2:] in node.properties:
                members.add(element)
            children[element] = child.with_named_fields(below)
        return FieldSet(members, children)

    # --- JSON ----------------------------------------------------------------------------------------------------

    def to_json(self) -> dict[str, Any]:
        """As FieldsV1."""
        out: dict[str, Any] = {}
        for element in sorted(self.members | self.children.keys(), key=sort_key):
            child = self.children.get(element)
            if child is None:
                out[element] = {}
                continue
            below = child.to_json()
            out[element] = {".": {}, **below} if element in self.members else below
        return out

    @classmethod
    def from_json(cls, fields: Mapping[str, Any]) -> FieldSet:
        """From FieldsV1. Raises ValueError for what is none."""
        out = cls()
        for element, below in fields.items():
            if element == ".":
                continue
            if element[:2] not in ("f:", "k:", "v:", "i:") or not isinstance(below, Mapping):
                raise ValueError(f"not a path element: {element!r}")
            if not below or "." in below:
                out.members.add(element)
            child = cls.from_json(below)
            if child:
                out.children[element] = child
        return out


def sort_key(element: Element) -> tuple[int, Any]:
    kind, text = element[0], element[2:]
    return _ORDER[kind], int(text) if kind == "i" else text


def descend(node: Node | None, element: Element) -> Node | None:
    """The schema below a path element; None where it is not known."""
    if node is None:
        return None
    return node.child(element[2:]) if element.startswith("f:") else node.items


def value_json(value: Any) -> str:
    """Compact JSON with sorted keys; a whole float is written as the integer it equals."""
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    return orjson.dumps(value, option=orjson.OPT_SORT_KEYS).decode()


def render(path: Path) -> list[str]:
    """A path as people read it, in pieces: ``.spec``, ``[name="x"]``, ``[="a"]``, ``[0]``."""
    out: list[str] = []
    for element in path:
        kind, text = element[0], element[2:]
        if kind == "f":
            out.append(f".{text}")
        elif kind == "k":
            pairs = orjson.loads(text).items()
            out.append("[" + ",".join(f"{key}={value_json(value)}" for key, value in pairs) + "]")
        elif kind == "v":
            out.append(f"[={text}]")
        else:
            out.append(f"[{text}]")
    return out


def path_text(path: Path) -> str:
    return "".join(render(path))
