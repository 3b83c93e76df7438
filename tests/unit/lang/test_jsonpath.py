"""Kubernetes' JSONPath, as printer columns, feedback rules and kubectl use it."""

from typing import Any

import pytest

from merope.lang.jsonpath import JSONPathError, compile_jsonpath, relaxed

DOC: dict[str, Any] = {
    "metadata": {"name": "x", "annotations": {"example.com/a": "b"}},
    "spec": {"replicas": 3, "paused": False, "weight": 1000000.0, "empty": [], "nothing": None},
    "status": {
        "conditions": [
            {"type": "Ready", "status": "True", "n": 1},
            {"type": "Available", "status": "False", "n": 2},
        ]
    },
}


@pytest.mark.parametrize(
    ("path", "found"),
    [
        (".metadata.name", ["x"]),
        ("$.metadata.name", ["x"]),
        ("@.metadata.name", ["x"]),
        ("{.metadata.name}", ["x"]),
        ("['metadata']['name']", ["x"]),
        (r".metadata.annotations.example\.com/a", ["b"]),
        (r".metadata.annotations['example\.com/a']", ["b"]),
        (".spec.replicas", [3]),
        (".spec.paused", [False]),
        (".spec.nothing", [None]),
        (".spec.nothing.more", []),
        (".spec.missing", []),
        (".spec.empty", [[]]),
        (".spec.empty[*]", []),
        (".status.conditions[*].type", ["Ready", "Available"]),
        (".status.conditions[-1].type", ["Available"]),
        (".status.conditions[0:1].type", ["Ready"]),
        ('.status.conditions[?(@.type=="Available")].status', ["False"]),
        ('.status.conditions[?(@.type == "Available")].status', ["False"]),
        (".status.conditions[?(@.n>=2)].type", ["Available"]),
        (".status.conditions[?(@.missing)].type", []),
        ('.status.conditions[?(@.missing=="x")].type', []),
        (".metadata['name','missing']", ["x"]),
        ("..n", [1, 2]),
    ],
)
def test_a_path_finds_the_values(path: str, found: list[Any]) -> None:
    assert compile_jsonpath(path).find(DOC) == found


@pytest.mark.parametrize(
    ("path", "message"),
    [
        (".status.conditions[2]", "array index out of bounds: index 2, length 2"),
        (".spec.empty[0]", "array index out of bounds: index 0, length 0"),
        (".metadata[0]", "map[string]interface {} is not array or slice"),
        (".spec.replicas[?(@.x)]", "3 is not array or slice and cannot be filtered"),
        ('.status.conditions[?(@.n=="x")]', "incompatible types for comparison"),
        ("status.phase", "unrecognized identifier status"),
        ("end", "not in range, nothing to end"),
    ],
)
def test_a_path_that_does_not_fit_says_why(path: str, message: str) -> None:
    with pytest.raises(JSONPathError) as error:
        compile_jsonpath(path).find(DOC)
    assert str(error.value) == message


@pytest.mark.parametrize(
    ("path", "message"),
    [
        ("{.a", "unclosed action"),
        (".a[", "unterminated array"),
        (".a[x]", "invalid array index x"),
        ("....a", "invalid multiple recursive descent"),
        ("#", "unrecognized character in action: U+0023 '#'"),
        ('.a[?(@.b=="c"]', "unterminated filter"),
        ('{"a}', "unterminated quoted string"),
    ],
)
def test_a_malformed_path_is_refused_when_it_is_compiled(path: str, message: str) -> None:
    with pytest.raises(JSONPathError) as error:
        compile_jsonpath(path)
    assert str(error.value) == message


def test_a_missing_key_is_an_error_where_it_is_not_allowed() -> None:
    with pytest.raises(JSONPathError, match="missing is not found"):
        compile_jsonpath(".spec.missing", allow_missing=False).find(DOC)


def test_a_template_renders_text_ranges_and_structures() -> None:
    template = '{range .status.conditions[*]}{.type}={.status}{"\\n"}{end}{.spec.weight} {.metadata.annotations}'
    assert compile_jsonpath(template).render(DOC) == 'Ready=True\nAvailable=False\n1e+06 {"example.com/a":"b"}'


def test_a_range_over_nothing_prints_nothing_and_goes_on_behind_it() -> None:
    assert compile_jsonpath("{range .spec.empty[*]}{.x}-{end}done").render(DOC) == "done"


def test_only_the_first_group_is_found_and_all_are_listed() -> None:
    path = compile_jsonpath("{.metadata.name}{.spec.replicas}")
    assert path.find(DOC) == ["x"]
    assert path.find_groups(DOC) == [["x"], [3]]


def test_a_compiled_path_can_be_used_again() -> None:
    path = compile_jsonpath("{range .a[*]}{@}{end}")
    assert [path.render({"a": [1, 2]}), path.render({"a": []}), path.render({"a": [3]})] == ["12", "", "3"]


def test_descending_does_not_depend_on_the_depth_of_the_document() -> None:
    deep: Any = {"x": 1}
    for _ in range(5000):
        deep = {"y": deep}
    assert compile_jsonpath("..x").find(deep) == [1]


@pytest.mark.parametrize("text", ["x.y", ".x.y", "{x.y}", "{.x.y}"])
def test_relaxed_paths_all_mean_the_same(text: str) -> None:
    assert relaxed(text) == "{.x.y}"


def test_a_text_that_is_no_relaxed_path_is_refused() -> None:
    with pytest.raises(JSONPathError, match="unexpected path string"):
        relaxed("{.x}{.y}")
