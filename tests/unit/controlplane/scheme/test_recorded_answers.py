"""Objects and complaints as a real API server answered them, where its records are at hand."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from merope.controlplane.errors import invalid
from merope.controlplane.registry.typed import TypeMismatch
from unit.controlplane.scheme.pipeline import create, resource

RECORDS = Path(__file__).parents[5] / "shared" / "reference" / "golden" / "builtins.jsonl"
#: Kinds whose strategies belong to other parts, and a case that needs a whole server.
OTHERS = ("webhook", "event-new")
#: Addresses, names, uids and what only the recorded cluster adds to pods.
VOLATILE = re.compile(r"^<(ip|nodeport|suffix|uid.*|time)>$")

pytestmark = pytest.mark.skipif(not RECORDS.exists(), reason="the records of a real API server are not here")


def steps() -> Iterator[Any]:
    if not RECORDS.exists():
        return
    for line in RECORDS.read_text().splitlines():
        case = json.loads(line)
        name = case.get("case", "")
        if not name or any(other in name for other in OTHERS):
            continue
        for number, step in enumerate(case["steps"]):
            if step["method"] == "POST" and not step.get("quiet") and "body" in step["response"]:
                yield pytest.param(step, id=f"{name.partition('/')[2]}-{number}")


def resource_of(path: str) -> Any:
    segments = path.partition("?")[0].strip("/").split("/")
    group, version, rest = (
        ("", segments[1], segments[2:]) if segments[0] == "api" else (segments[1], segments[2], segments[3:])
    )
    plural = rest[2] if rest[0] == "namespaces" and len(rest) > 2 else rest[0]
    return resource(plural, group, version)


def without_metadata(obj: Any) -> Any:
    return {key: value for key, value in obj.items() if key not in ("metadata", "apiVersion", "kind")}


def assert_like(found: Any, recorded: Any, path: str = "") -> None:
    """``found`` equals ``recorded`` but for what differs from server to server."""
    if isinstance(recorded, dict):
        assert isinstance(found, dict), path
        keys = set(recorded)
        assert set(found) == keys, f"{path}: {sorted(set(found) ^ keys)}"
        for key in keys:
            assert_like(found[key], recorded[key], f"{path}.{key}")
    elif isinstance(recorded, list):
        if path.endswith("projected.sources"):
            return
        assert isinstance(found, list), path
        assert len(found) == len(recorded), path
        for index, (one, other) in enumerate(zip(found, recorded, strict=True)):
            assert_like(one, other, f"{path}[{index}]")
    elif not (isinstance(recorded, str) and (VOLATILE.match(recorded) or "<suffix>" in recorded)):
        assert found == recorded, path


def pick(obj: Any, path: str) -> Any:
    """The value at ``a.b[0].c[*].d``; what is not there is None."""
    values, many = [obj], False
    for token in re.findall(r"[^.\[\]]+|\[\d+\]|\[\*\]", path):
        if token == "[*]":
            many = True
            values = [item for value in values for item in value or ()]
        elif token.startswith("["):
            values = [value[int(token[1:-1])] for value in values]
        else:
            values = [value.get(token) if isinstance(value, dict) else None for value in values]
    return values if many else values[0]


def fill(value: Any) -> Any:
    return json.loads(json.dumps(value).replace("${ns}", "ns").replace("${group}", "ns.example.com"))


def causes_of(details: dict[str, Any]) -> list[tuple[str, ...]]:
    """The causes of a failure in an order of their own: the API promises none."""
    uid = re.compile(r"<uid[^>]*>|00000000-0000-0000-0000-000000000001")
    return sorted((c["reason"], c["field"], uid.sub("UID", c["message"])) for c in details["causes"])


@pytest.mark.parametrize("step", list(steps()))
def test_a_new_object_comes_out_as_recorded(step: dict[str, Any]) -> None:
    of = resource_of(step["path"])
    answer = fill(step["response"]["body"])

    if step["response"]["code"] == 400:
        with pytest.raises(TypeMismatch) as mismatch:
            create(of, fill(step["body"]))
        assert str(mismatch.value) in answer["message"]
        return

    obj, complaints = create(of, fill(step["body"]))
    if step["response"]["code"] == 422:
        if "metadata.name" in answer["message"]:
            return
        name = obj["metadata"].get("name", "")
        failure = invalid(of.group, of.kind, name, complaints)
        assert failure.details is not None
        assert causes_of(failure.details) == causes_of(answer["details"])
        return
    assert not complaints
    if step.get("pick"):
        for path, recorded in answer.items():
            if path.startswith("metadata.generation"):
                continue
            assert_like(pick(obj, path), recorded, path)
    else:
        assert_like(without_metadata(obj), without_metadata(answer))
