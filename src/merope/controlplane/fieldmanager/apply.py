"""Server-side apply: what a manager wants, laid over what is there."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

import orjson

from merope.controlplane.errors import ApiError
from merope.controlplane.fieldmanager import managed, typed
from merope.controlplane.fieldmanager.fieldset import FieldSet, path_text
from merope.controlplane.fieldmanager.managed import Convert, Owned, Owner, Record
from merope.controlplane.fieldmanager.update import comparison_at
from merope.controlplane.resource import GroupVersionKind
from merope.lang import gojson
from merope.lang.schema import Node

KUBECTL: Final = "kubectl"
LAST_APPLIED: Final = "kubectl.kubernetes.io/last-applied-configuration"


class Conflicts(Exception):
    """Fields of others that the apply would change, by owner."""

    def __init__(self, fields: Mapping[Owner, FieldSet]) -> None:
        super().__init__("conflict")
        self.fields = dict(fields)


def apply(
    node: Node,
    live: Mapping[str, Any] | None,
    config: Mapping[str, Any],
    *,
    manager: str,
    api_version: str,
    subresource: str = "",
    force: bool = False,
    reset: Sequence[Sequence[str]] = (),
    now: str,
    kind: GroupVersionKind,
    convert: Convert | None = None,
    blank: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    """The object that results, with its record of owners; ``live`` None creates.

    ``blank`` is what an object of the kind holds before anybody sets anything (structs that are always printed).

    Raises ApiError: 409 with one cause a field where others own what would change and ``force`` is not given, 500
    where ``config`` does not fit the schema.
    """
    _check(node, config, kind)
    run = _Apply(
        node, live, config, manager, api_version, subresource, managed.reset_fields(reset), now, convert, blank
    )
    try:
        result = run.attempt(force=force)
    except Conflicts as conflicts:
        remaining = conflicts.fields
        if manager == KUBECTL:
            allowed = run.allowed_by_last_applied()
            remaining = {owner: left for owner, found in remaining.items() if (left := found.difference(allowed))}
        if remaining:
            raise _conflict_error(remaining) from conflicts
        result = run.attempt(force=True)
    if manager == KUBECTL and LAST_APPLIED in _annotations(live):
        result["metadata"]["annotations"] = {**_annotations(result), LAST_APPLIED: _last_applied(config)}
    return result


class _Apply:
    """One apply; it may be tried twice, the second time with force."""

    def __init__(
        self,
        node: Node,
        live: Mapping[str, Any] | None,
        config: Mapping[str, Any],
        manager: str,
        api_version: str,
        subresource: str,
        ignored: FieldSet,
        now: str,
        convert: Convert | None,
        blank: Mapping[str, Any] | None,
    ) -> None:
        self.node = node
        self.config = config
        self.api_version = api_version
        self.ignored = ignored
        self.now = now
        self.convert = convert
        self.blank = blank or {}
        self.owner = managed.owner_of("Apply", manager, api_version, subresource)
        self.stored = dict(live or {})
        self.entries = (live or {}).get("metadata", {}).get("managedFields")
        if "metadata" in self.stored:
            self.stored["metadata"] = {k: v for k, v in self.stored["metadata"].items() if k != "managedFields"}

    def record(self) -> Record:
        """The owners before this apply; an object that never had any gets one for all that it holds."""
        record = managed.decode_or_empty(self.entries)
        if not record and self.stored:
            held = managed.strip_meta(typed.compare(self.node, self.blank, self.stored).added)
            held = held.without_subtrees(self.ignored)
            if held:
                version = self.stored.get("apiVersion", self.api_version)
                owner = Owner("Update", managed.BEFORE_FIRST_APPLY, version, "")
                record[owner] = Owned(held, version, self.now)
        managed.reconcile(self.node, record, self.api_version)
        return record

    def attempt(self, *, force: bool) -> dict[str, Any]:
        try:
            return self._attempt(force=force)
        except typed.TypedError as error:
            raise ApiError(500, "", f"failed to create typed live object: {error}") from error

    def _attempt(self, *, force: bool) -> dict[str, Any]:
        record = self.record()
        last = record.get(self.owner)
        wanted = managed.strip_meta(typed.field_set(self.node, self.config).without_subtrees(self.ignored))
        mine = record[self.owner] = Owned(wanted, self.api_version, last.time if last is not None else "")
        merged = typed.merge(self.node, self.stored, self.config)
        if last is not None:
            merged = self._prune(merged, record, last)
        difference = typed.compare(self.node, self.stored, merged).without(self.ignored)
        self._take(record, merged, difference, force=force)
        # The order of lists counts here, though nobody owns it. Who only joins owners of what is there gets no time.
        changed = not typed.equal(self.stored, merged)
        if changed:
            mine.time = self.now
        if not wanted:
            record.pop(self.owner, None)
        result = merged if changed else dict(self.stored)
        metadata = dict(result.get("metadata") or {})
        metadata.pop("managedFields", None)
        entries = managed.encode(record)
        if entries:
            metadata["managedFields"] = entries
        result["metadata"] = metadata
        return result

    def _take(self, record: Record, merged: Mapping[str, Any], difference: typed.Comparison, *, force: bool) -> None:
        """Find what others own of the change; take it over (force) or raise Conflicts. Removed fields leave all."""
        comparisons: dict[str, typed.Comparison | None] = {self.api_version: difference}
        conflicts: dict[Owner, FieldSet] = {}
        for other, owned in list(record.items()):
            if other == self.owner:
                continue
            seen = comparison_at(owned.api_version, comparisons, self.stored, merged, self.ignored, self.convert)
            if seen is None:
                del record[other]
                continue
            found = owned.fields.intersection(seen.modified.union(seen.added))
            if found:
                conflicts[other] = found
            owned.fields = owned.fields.difference(found).difference(seen.removed)
            if not owned.fields:
                del record[other]
        if conflicts and not force:
            raise Conflicts(conflicts)

    def _prune(self, merged: dict[str, Any], record: Record, last: Owned) -> dict[str, Any]:
        """Take away what this manager applied before, omits now, and nobody owns."""
        node, shown = self._at(merged, last.api_version)
        if node is None or shown is None:
            return merged
        before = last.fields.with_named_fields(node)
        pruned = typed.remove(node, shown, before)
        claims: dict[str, FieldSet] = {}
        for owned in record.values():
            claims[owned.api_version] = claims.get(owned.api_version, FieldSet()).union(owned.fields)
        for version in sorted(claims, key=lambda version: version != last.api_version):
            pruned = self._add_back(node, shown, pruned, version, claims[version], last.api_version)
        everything = typed.field_set(node, shown).with_named_fields(node)
        kept = typed.field_set(node, pruned).with_named_fields(node)
        pruned = typed.remove(node, shown, everything.difference(kept).intersection(before))
        if last.api_version == self.api_version:
            return pruned
        back = self._at(pruned, self.api_version)[1]
        return dict(back) if back is not None else merged

    def _add_back(
        self,
        node: Node,
        merged: Mapping[str, Any],
        pruned: dict[str, Any],
        version: str,
        claimed: FieldSet,
        pruned_version: str,
    ) -> dict[str, Any]:
        """Of what pruning took away, give back what owners in ``version`` claim."""
        if version != pruned_version and self.convert is not None:
            whole, rest = self.convert(merged, version), self.convert(pruned, version)
            if whole is None or rest is None:
                return pruned
            given = self._restore(whole[0], whole[1], rest[1], claimed)
            back = self.convert(given, pruned_version)
            return dict(back[1]) if back is not None else pruned
        return self._restore(node, merged, pruned, claimed)

    @staticmethod
    def _restore(node: Node, merged: Mapping[str, Any], pruned: Mapping[str, Any], claimed: FieldSet) -> dict[str, Any]:
        everything = typed.field_set(node, merged).with_named_fields(node)
        kept = typed.field_set(node, pruned).with_named_fields(node).union(claimed.with_named_fields(node))
        return typed.remove(node, merged, everything.difference(kept))

    def _at(self, obj: Mapping[str, Any], version: str) -> tuple[Node | None, Mapping[str, Any] | None]:
        if version == self.api_version or self.convert is None:
            return self.node, obj
        converted = self.convert(obj, version)
        return converted if converted is not None else (None, None)

    def allowed_by_last_applied(self) -> FieldSet:
        """Fields that kubectl's own annotation shows to be its, unchanged since: it may take them without force."""
        try:
            applied = orjson.loads(_annotations(self.stored).get(LAST_APPLIED, "null"))
        except orjson.JSONDecodeError:
            return FieldSet()
        if not isinstance(applied, dict) or applied.get("apiVersion") != self.api_version:
            return FieldSet()
        try:
            difference = typed.compare(self.node, applied, self.stored)
            own = typed.field_set(self.node, applied)
        except typed.TypedError:
            return FieldSet()
        return own.difference(difference.modified).difference(difference.added).difference(difference.removed)


def _annotations(obj: Mapping[str, Any] | None) -> Mapping[str, str]:
    return ((obj or {}).get("metadata") or {}).get("annotations") or {}


def _last_applied(config: Mapping[str, Any]) -> str:
    copy = orjson.loads(orjson.dumps(config))
    metadata = copy.get("metadata") or {}
    metadata.pop("managedFields", None)
    if (metadata.get("annotations") or {}).pop(LAST_APPLIED, None) is not None and not metadata["annotations"]:
        del metadata["annotations"]
    return gojson.dumps(copy).decode() + "\n"


def _check(node: Node, config: Mapping[str, Any], kind: GroupVersionKind) -> None:
    found = list(typed.problems(node, config))
    if not found:
        return
    text = found[0] if len(found) == 1 else "\n".join(["errors:", *(f"  {problem}" for problem in found)])
    metadata = config.get("metadata") or {}
    about = f"{metadata.get('namespace', '')}/{metadata.get('name', '')}"
    described = f"{kind.group}/{kind.version}, Kind={kind.kind}"
    raise ApiError(500, "", f"failed to create typed patch object ({about}; {described}): {text}")


def _conflict_error(conflicts: Mapping[Owner, FieldSet]) -> ApiError:
    described = sorted((_described(owner), fields) for owner, fields in conflicts.items())
    found = [(who, path_text(path)) for who, fields in described for path in fields.paths()]
    causes = [
        {"reason": "FieldManagerConflict", "message": f"conflict with {who}", "field": path} for who, path in found
    ]
    if len(found) == 1:
        message = f"Apply failed with 1 conflict: conflict with {found[0][0]}: {found[0][1]}"
    else:
        lines: list[str] = []
        for index, (who, path) in enumerate(found):
            if index == 0 or found[index - 1][0] != who:
                lines.append(f"conflicts with {who}:")
            lines.append(f"- {path}")
        message = f"Apply failed with {len(found)} conflicts: " + "\n".join(lines)
    return ApiError(409, "Conflict", message, {"causes": causes})


def _described(owner: Owner) -> str:
    text = f'"{owner.manager}"'
    if owner.subresource:
        text += f' with subresource "{owner.subresource}"'
    if owner.operation == "Update":
        text += f" using {owner.api_version}"
    return text
