"""Manifests as ``create work -f`` reads them."""

import io
import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from merope.cli.manifest_files import parse, read
from merope.cli.refusal import Refused


def config_map(name: str) -> dict[str, Any]:
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name}}


def names(manifests: list[dict[str, Any]]) -> list[str]:
    return [each["metadata"]["name"] for each in manifests]


def test_documents_and_lists_become_manifests_in_order() -> None:
    text = "\n---\n".join(
        [
            "# only a comment",
            json.dumps(config_map("a")),
            json.dumps({"apiVersion": "v1", "kind": "List", "items": [config_map("b"), config_map("c")]}),
            "",
            "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: d}",
        ]
    )

    assert names(parse(text.encode(), "file")) == ["a", "b", "c", "d"]
    assert names(parse(json.dumps(config_map("j"), indent=1).encode(), "file.json")) == ["j"]
    assert names(parse(text.replace("\n", "\r\n").encode(), "file")) == ["a", "b", "c", "d"]


def test_times_stay_text_and_words_are_those_of_kubernetes() -> None:
    data = "data: {at: 2026-01-02T03:04:05Z, day: 2026-01-02, on: 1.10}"
    (found,) = parse(f"apiVersion: v1\nkind: ConfigMap\nmetadata: {{name: a}}\n{data}".encode(), "file")

    assert found["data"] == {"at": "2026-01-02T03:04:05Z", "day": "2026-01-02", "true": 1.1}


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("just text", "file: document 1 is no object"),
        ("kind: A", "file: document 1 has no apiVersion or no kind"),
        ("apiVersion: v1\nkind: A", r"file: document 1 \(A\) has no metadata.name"),
        ("apiVersion: v1\nkind: List\nitems: [{}]", "file: document 1, item 0 has no apiVersion or no kind"),
        ("a: [", "file: "),
        ("a: 1\na: 2", 'file: line 2: key "a" already set in map'),
    ],
)
def test_what_is_no_manifest_is_named(text: str, expected: str) -> None:
    with pytest.raises(Refused, match=expected):
        parse(text.encode(), "file")


def test_directories_files_and_standard_input(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "sub").mkdir()
    for path in ("2.json", "1.yaml", "sub/3.yml", "README.md"):
        (tmp_path / path).write_text(json.dumps(config_map(path[:1] if "/" not in path else "3")))
    monkeypatch.setattr("sys.stdin", SimpleNamespace(buffer=io.BytesIO(json.dumps(config_map("in")).encode())))

    assert names(read([str(tmp_path), "-"])) == ["1", "2", "3", "in"]
    assert names(read([str(tmp_path)], recursive=False)) == ["1", "2"]
    with pytest.raises(FileNotFoundError):
        read([str(tmp_path / "none.yaml")])
    (tmp_path / "empty").mkdir()
    with pytest.raises(Refused, match="there are no manifests in "):
        read([str(tmp_path / "empty")])
