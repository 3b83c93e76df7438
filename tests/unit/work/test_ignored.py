"""Fields that server-side apply leaves to others."""

from __future__ import annotations

import copy
import hashlib
from typing import Any

import pytest

from merope.work.ignored import IgnoreFieldError, config_hash, strip, with_hash, without_null_creation_times

MANIFEST: dict[str, Any] = {
    "metadata": {"name": "x", "annotations": {"a/b": "1"}},
    "spec": {"replicas": 3, "list": [{"image": "i", "name": "n"}, {"image": "j"}], "a~b": 1},
}


def stripped(**fields: Any) -> dict[str, Any]:
    before = copy.deepcopy(MANIFEST)
    result = strip(MANIFEST, [{"condition": "OnSpokePresent", **fields}])
    assert before == MANIFEST
    return result


def test_paths_remove_keys_of_maps() -> None:
    assert "replicas" not in stripped(jsonPaths=[".spec.replicas"])["spec"]
    assert [sorted(item) for item in stripped(jsonPaths=[".spec.list[*].image"])["spec"]["list"]] == [["name"], []]
    assert stripped(jsonPaths=[".absent.key", ".spec[", ".spec.list.image"]) == MANIFEST
    assert "spec" not in stripped(jsonPaths=[".spec"])


def test_pointers_remove_members_and_items() -> None:
    assert "replicas" not in stripped(jsonPointers=["/spec/replicas"])["spec"]
    assert len(stripped(jsonPointers=["/spec/list/0"])["spec"]["list"]) == 1
    assert stripped(jsonPointers=["/metadata/annotations/a~1b"])["metadata"]["annotations"] == {}
    assert "a~b" not in stripped(jsonPointers=["/spec/a~0b"])["spec"]
    assert stripped(jsonPointers=["/no/such/member", "no-slash", "/spec/list/9"]) == MANIFEST
    with pytest.raises(IgnoreFieldError, match="JSON Pointer error in '/spec/list/x': "):
        stripped(jsonPointers=["/spec/list/x"])


def test_fields_ignored_on_change_stay_in_the_manifest() -> None:
    entry = {"condition": "OnSpokeChange", "jsonPaths": [".spec"]}
    assert strip(MANIFEST, [entry]) == MANIFEST


def test_the_hash_is_that_of_gos_rendering() -> None:
    obj = {"b": 1, "a": {"l": [], "e": {}, "z": ["x", "y", None, True, 1.5]}, "f": 1e6, "s": ""}
    text = "&{map[a:map[e:map[] l:[] z:[x y <nil> true 1.5]] b:1 f:1e+06 s:]}"

    assert config_hash(obj) == hashlib.md5(text.encode()).hexdigest()
    # As another implementation computed it (scenario 07 of the recorded requests).
    recorded = {"apiVersion": "v1", "data": {"b": "3"}, "kind": "ConfigMap"}
    recorded["metadata"] = {"name": "ssa", "namespace": "default"}
    assert config_hash(recorded) == "e6ef692ff5f8b0537d539f713b5fb6e5"
    assert with_hash({"metadata": {"annotations": {"a": "b"}}}, "h")["metadata"]["annotations"] == {
        "a": "b",
        "open-cluster-management.io/config-spec-hash": "h",
    }


def test_null_creation_times_are_dropped_at_any_depth() -> None:
    template = {"metadata": {"creationTimestamp": None, "labels": {}}}
    obj = {"metadata": {"creationTimestamp": None, "name": "x"}, "spec": {"items": [{"template": template}]}}

    assert without_null_creation_times(obj) == {
        "metadata": {"name": "x"},
        "spec": {"items": [{"template": {"metadata": {"labels": {}}}}]},
    }
    assert without_null_creation_times({"creationTimestamp": None}) == {"creationTimestamp": None}


def test_jq_paths_remove_what_del_would() -> None:
    found = stripped(jqPathExpressions=['.spec.list[] | select(.name == "n") | .image', ".spec.replicas"])

    assert found["spec"] == {"list": [{"name": "n"}, {"image": "j"}], "a~b": 1}
    for expression in (".spec[", ".metadata.name.x", "."):
        with pytest.raises(IgnoreFieldError) as caught:
            stripped(jqPathExpressions=[expression])
        assert str(caught.value).startswith(f"JQ expression error in '{expression}': ")
