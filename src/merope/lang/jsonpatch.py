"""JSON Patch (RFC 6902), as API servers apply it and admission webhooks answer it.

Kubernetes' library is more lenient than the RFC, and clients rely on it: negative indices count from the end,
`replace` of a missing member adds it, and `test` takes a missing member for null.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import orjson

from merope.api.diff import same

COPY_LIMIT = 3 * 1024 * 1024
"""How many bytes of JSON the `copy` operations of one patch may add, unless told otherwise."""

_MISSING: Any = object()


class JSONPatchError(ValueError):
    """The patch is malformed, or one of its operations does not apply to the document."""


def apply(doc: Any, ops: Sequence[Any], *, copy_limit: int = COPY_LIMIT) -> Any:
    """The patched document. Neither argument is changed; untouched parts are shared with `doc`.

    All operations apply or none does. `copy_limit` bounds in bytes what copying may add: a few dozen operations that
    copy a document into itself would otherwise make one larger than any memory. Raises JSONPatchError that names the
    operation.
    """
    if not isinstance(ops, (list, tuple)):
        raise JSONPatchError("a JSON patch is a list of operations")
    target = _Target(doc, copy_limit)
    for number, operation in enumerate(ops):
        try:
            _apply_one(target, operation)
        except JSONPatchError as error:
            raise JSONPatchError(f"operation {number}: {error}") from None
    return target.root


def _apply_one(target: _Target, operation: Any) -> None:
    if not isinstance(operation, dict):
        raise JSONPatchError("an operation is an object")
    op = operation.get("op")
    path = _pointer(operation, "path")
    if op == "add":
        target.add(path, operation.get("value"))
    elif op == "remove":
        target.remove(path)
    elif op == "replace":
        target.replace(path, operation.get("value"))
    elif op == "move":
        source = _pointer(operation, "from")
        if path[: len(source)] == source and len(path) > len(source):
            raise JSONPatchError("a value cannot be moved into itself")
        value = target.get(source)
        target.remove(source)
        target.add(path, value)
    elif op == "copy":
        value = target.shared(target.get(_pointer(operation, "from"), member_missing=None))
        target.count_copy(value)
        target.add(path, value)
    elif op == "test":
        found, wanted = target.get(path, member_missing=None), operation.get("value")
        if not same(found, wanted):
            raise JSONPatchError(f"testing value {operation['path']} failed")
    else:
        raise JSONPatchError(f"unexpected kind: {op}")


def _pointer(operation: dict[str, Any], member: str) -> list[str]:
    text = operation.get(member)
    if not isinstance(text, str):
        raise JSONPatchError(f"missing {member}")
    if not text:
        return []
    if not text.startswith("/"):
        raise JSONPatchError(f"{member} {text!r} does not start with '/'")
    return [part.replace("~1", "/").replace("~0", "~") for part in text[1:].split("/")]


def _index(key: str, length: int) -> int:
    """The place in a list of this length that a path segment names; -1 is the last one."""
    digits = key[1:] if key[:1] in ("-", "+") else key
    if not (digits.isascii() and digits.isdigit()) or len(digits) > 18:
        raise JSONPatchError(f"{key!r} is not an index")
    index = int(key)
    if not -length <= index < length:
        raise JSONPatchError(f"index {key} is out of bounds")
    return index + length if index < 0 else index


class _Target:
    """The document being patched. Containers are copied the first time that they change, and only those."""

    def __init__(self, root: Any, copy_limit: int) -> None:
        self.root = root
        self.copy_limit = copy_limit
        self.copied = 0
        # The ids of the containers that belong to this patch; they are kept alive by `copies`, so ids stay unique.
        self.owned: set[int] = set()
        self.copies: list[Any] = []

    def count_copy(self, value: Any) -> None:
        try:
            self.copied += len(orjson.dumps(value))
        except orjson.JSONEncodeError as error:
            raise JSONPatchError(f"the value cannot be copied: {error}") from None
        if self.copied > self.copy_limit:
            raise JSONPatchError(
                f"copying adds {self.copied} bytes, which exceeds the limit of {self.copy_limit} bytes"
            )

    def own(self, container: Any) -> Any:
        if id(container) in self.owned:
            return container
        copied = container.copy()
        self.owned.add(id(copied))
        self.copies.append(copied)
        return copied

    def parent(self, path: list[str]) -> Any:
        """The container of the last segment, copied and ready to be changed."""
        if not isinstance(self.root, (dict, list)):
            raise JSONPatchError("the document has no members")
        at = self.root = self.own(self.root)
        for part in path[:-1]:
            key: Any = part if isinstance(at, dict) else _index(part, len(at))
            child = at.get(part) if isinstance(at, dict) else at[key]
            if not isinstance(child, (dict, list)):
                raise JSONPatchError(f"nothing to descend into at {part!r}")
            child = at[key] = self.own(child)
            at = child
        return at

    def get(self, path: list[str], *, member_missing: Any = _MISSING) -> Any:
        at = self.root
        for depth, part in enumerate(path):
            if isinstance(at, dict):
                at = at.get(part, _MISSING)
                if at is _MISSING:
                    if depth == len(path) - 1 and member_missing is not _MISSING:
                        return member_missing
                    raise JSONPatchError(f"{part!r} does not exist")
            elif isinstance(at, list):
                at = at[_index(part, len(at))]
            else:
                raise JSONPatchError(f"nothing to descend into at {part!r}")
        return at

    def shared(self, value: Any) -> Any:
        """A value that now stands in two places must no longer be changed in one of them."""
        if isinstance(value, (dict, list)):
            self.owned.discard(id(value))
            for child in value.values() if isinstance(value, dict) else value:
                if id(child) in self.owned:
                    self.shared(child)
        return value

    def add(self, path: list[str], value: Any) -> None:
        if not path:
            self.root = value
            return
        parent, key = self.parent(path), path[-1]
        if isinstance(parent, dict):
            parent[key] = value
        elif key == "-":
            parent.append(value)
        else:
            parent.insert(_index(key, len(parent) + 1), value)

    def remove(self, path: list[str]) -> None:
        if not path:
            raise JSONPatchError("the whole document cannot be removed")
        parent, key = self.parent(path), path[-1]
        if isinstance(parent, list):
            del parent[_index(key, len(parent))]
        elif key in parent:
            del parent[key]
        else:
            raise JSONPatchError(f"{key!r} does not exist")

    def replace(self, path: list[str], value: Any) -> None:
        if not path:
            self.root = value
            return
        parent, key = self.parent(path), path[-1]
        if isinstance(parent, list):
            parent[_index(key, len(parent))] = value
        else:
            parent[key] = value


def create_patch(before: Any, after: Any) -> list[dict[str, Any]]:
    """The operations that turn `before` into `after`; empty where they are the same.

    Members are compared one by one, list items by position: short patches for what a mutating webhook does
    (setting defaults, adding labels), and always correct ones.
    """
    ops: list[dict[str, Any]] = []
    _diff(before, after, "", ops)
    return ops


def _diff(before: Any, after: Any, path: str, ops: list[dict[str, Any]]) -> None:
    if isinstance(before, dict) and isinstance(after, dict):
        ops.extend({"op": "remove", "path": f"{path}/{_escape(key)}"} for key in before if key not in after)
        for key, value in after.items():
            if key not in before:
                ops.append({"op": "add", "path": f"{path}/{_escape(key)}", "value": value})
            else:
                _diff(before[key], value, f"{path}/{_escape(key)}", ops)
    elif isinstance(before, list) and isinstance(after, list):
        shared = min(len(before), len(after))
        for at in range(shared):
            _diff(before[at], after[at], f"{path}/{at}", ops)
        ops.extend({"op": "remove", "path": f"{path}/{at}"} for at in range(len(before) - 1, shared - 1, -1))
        ops.extend({"op": "add", "path": f"{path}/-", "value": value} for value in after[shared:])
    elif not same(before, after):
        ops.append({"op": "replace", "path": path, "value": after})


def _escape(key: str) -> str:
    return key.replace("~", "~0").replace("/", "~1")
