"""Which parts of a document a jq path means."""

from __future__ import annotations

import copy
from typing import Any

import pytest

from merope.lang.jq import JqError, JqTimeout, delete

DOCUMENT: dict[str, Any] = {
    "metadata": {"annotations": {"a/b": "1", "c": "2"}},
    "spec": {
        "replicas": 3,
        "containers": [
            {"name": "app", "image": "i1", "env": [{"name": "A"}, {"name": "B"}]},
            {"name": "sidecar", "image": "i2", "env": []},
            {"name": "app-2", "image": "i3"},
        ],
    },
}


def names(document: Any) -> list[str]:
    return [container["name"] for container in document["spec"]["containers"]]


def images(document: Any) -> list[str | None]:
    return [container.get("image") for container in document["spec"]["containers"]]


@pytest.mark.parametrize(
    "expression",
    [
        ".spec.replicas",
        '.spec["replicas"]',
        '."spec"."replicas"',
        ".spec | .replicas",
        " ( .spec ).replicas ",
        '.spec.["replicas"]',
        ".spec.replicas?",
        ".spec | select(.replicas > 2) | .replicas",
        ".spec.replicas // .spec",
    ],
)
def test_members(expression: str) -> None:
    expected = copy.deepcopy(DOCUMENT)
    del expected["spec"]["replicas"]

    assert delete(expression, DOCUMENT) == expected


@pytest.mark.parametrize(
    ("expression", "left"),
    [
        (".spec.containers[].image", [None, None, None]),
        (".spec.containers[0].image", [None, "i2", "i3"]),
        (".spec.containers[-1].image", ["i1", "i2", None]),
        ('.spec.containers[] | select(.name == "sidecar") | .image', ["i1", None, "i3"]),
        ('.spec.containers[] | select(.name | startswith("app")) | .image', [None, "i2", None]),
        ('.spec.containers[] | select(.name | test("^app$")) | .image', [None, "i2", "i3"]),
        ('.spec.containers[] | select(has("env") and (.env | length > 0)) | .image', [None, "i2", "i3"]),
        ('.spec.containers[] | select(.name == "app" or .name == "sidecar" | not) | .image', ["i1", "i2", None]),
        (".spec.containers[0].image, .spec.containers[1].image", [None, None, "i3"]),
        ("first(.spec.containers[]).image", [None, "i2", "i3"]),
        ('.spec.containers[] | select(any(.env[]?; .name == "B")) | .image', None),
        (".spec.containers[] | select(.env // [] | length == 0) | .image", None),
        (".spec.containers[9].image", ["i1", "i2", "i3"]),
        (".. | .image?", [None, None, None]),
        (".absent.deeply.nested", ["i1", "i2", "i3"]),
    ],
)
def test_items(expression: str, left: list[str | None] | None) -> None:
    if left is None:
        with pytest.raises(JqError):
            delete(expression, DOCUMENT)
        return
    assert images(delete(expression, DOCUMENT)) == left


def test_items_are_deleted_whatever_their_order() -> None:
    assert names(delete(".spec.containers[0,1]", DOCUMENT)) == ["app-2"]
    assert names(delete(".spec.containers[1], .spec.containers[0]", DOCUMENT)) == ["app-2"]
    assert names(delete('.spec.containers[] | select(.name != "app")', DOCUMENT)) == ["app"]
    assert delete(".spec, .spec.replicas", DOCUMENT) == {"metadata": DOCUMENT["metadata"]}
    assert delete('.metadata.annotations["a/b"]', DOCUMENT)["metadata"]["annotations"] == {"c": "2"}


@pytest.mark.parametrize(
    ("expression", "problem"),
    [
        (".spec[", "unexpected"),
        (".spec |", "unexpected EOF"),
        ("", "unexpected EOF"),
        ("frobnicate(.a)", "function not defined: frobnicate/1"),
        (".spec.replicas.x", "expected an object but got: number (3)"),
        (".spec.replicas[]", "cannot iterate over: number"),
        (".spec.containers.x", "expected an object but got: array"),
        ("1", "invalid path expression with result 1"),
        (".spec | length", "invalid path expression with result 2"),
        (".spec.containers[0:1]", "slices"),
        ("%", "unexpected token '%'"),
    ],
)
def test_mistakes_are_explained(expression: str, problem: str) -> None:
    before = copy.deepcopy(DOCUMENT)
    with pytest.raises(JqError) as caught:
        delete(expression, DOCUMENT)

    assert problem in str(caught.value)
    assert before == DOCUMENT


def test_evaluation_has_a_time_limit() -> None:
    with pytest.raises(JqTimeout, match="jq expression execution timed out after 1s"):
        delete(" | ".join(["(.., ..)"] * 30), DOCUMENT, seconds=0.05)
