"""The small languages give what Kubernetes' Go libraries (apimachinery and client-go v0.36) gave for random inputs.

`recorded.json` holds the inputs and what the libraries answered: the canonical text or the error, word for word.
"""

import json
from pathlib import Path
from typing import Any

import pytest

from merope.lang import gojson, jsonpatch, mergepatch, names
from merope.lang.goformat import format_value
from merope.lang.jsonpath import JSONPathError, compile_jsonpath
from merope.lang.quantity import Quantity, QuantityError
from merope.lang.selectors import SelectorError, parse_field_selector, parse_label_selector

RECORDED: dict[str, Any] = json.loads(Path(__file__).with_name("recorded.json").read_text())


def cases(kind: str) -> Any:
    return pytest.mark.parametrize("case", RECORDED[kind], ids=lambda case: case.get("text") or None)


@cases("selector")
def test_label_selectors_parse_print_match_and_fail_like_the_go_library(case: dict[str, Any]) -> None:
    if "error" in case:
        with pytest.raises(SelectorError) as error:
            parse_label_selector(case["text"])
        assert str(error.value) == case["error"]
        return
    selector = parse_label_selector(case["text"])
    assert str(selector) == case["out"]
    assert selector.matches(case["labels"]) is (case["extra"] == ["true"])


@cases("fields")
def test_field_selectors_parse_print_match_and_fail_like_the_go_library(case: dict[str, Any]) -> None:
    if "error" in case:
        with pytest.raises(SelectorError) as error:
            parse_field_selector(case["text"])
        assert str(error.value) == case["error"]
        return
    selector = parse_field_selector(case["text"])
    assert str(selector) == case["out"]
    assert selector.matches(case["labels"]) is (case["extra"] == ["true"])


@cases("quantity")
def test_quantities_are_read_and_written_like_the_go_library(case: dict[str, Any]) -> None:
    if "error" in case:
        with pytest.raises(QuantityError) as error:
            Quantity.parse(case["text"])
        assert str(error.value) == case["error"]
        return
    quantity = Quantity.parse(case["text"])
    value, milli, notation = case["extra"]
    assert str(quantity) == case["out"]
    assert quantity.notation == notation
    if abs(quantity.milli_value()) < 1 << 63:
        assert [str(quantity.value()), str(quantity.milli_value())] == [value, milli]


@cases("json")
def test_json_and_percent_v_come_out_like_gos(case: dict[str, Any]) -> None:
    doc = json.loads(json.dumps(case.get("doc")))
    assert gojson.dumps(doc).decode() == case["out"]
    assert format_value(doc) == case["extra"][0]


@cases("names")
def test_names_have_the_problems_that_the_go_library_finds(case: dict[str, Any]) -> None:
    text = case["text"]
    problems = names.is_dns1123_label(text) + names.is_qualified_name(text)
    problems += names.is_label_value(text) + names.is_dns1035_label(text)
    assert problems == case.get("extra", [])


@cases("jsonpath")
def test_json_paths_find_print_and_fail_like_the_go_library(case: dict[str, Any]) -> None:
    def render() -> str:
        return compile_jsonpath(case["text"], allow_missing=case["missing"]).render(RECORDED["document"])

    if "error" in case:
        with pytest.raises(JSONPathError) as error:
            render()
        assert str(error.value) == case["error"]
    else:
        assert render() == case["out"]


@cases("jsonpatch")
def test_json_patches_apply_or_fail_like_the_go_library(case: dict[str, Any]) -> None:
    if "error" in case:
        with pytest.raises(jsonpatch.JSONPatchError):
            jsonpatch.apply(case["doc"], case["patch"])
    else:
        assert jsonpatch.apply(case["doc"], case["patch"]) == json.loads(case["out"])


@cases("mergepatch")
def test_merge_patches_apply_like_the_go_library(case: dict[str, Any]) -> None:
    assert mergepatch.apply(case["doc"], case["patch"]) == json.loads(case["out"])
