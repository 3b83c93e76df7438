"""Whatever text comes from outside, the small languages understand it or refuse it with their own error."""

from contextlib import suppress
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from merope.lang import jsonpatch, mergepatch, names
from merope.lang.jsonpath import JSONPathError, compile_jsonpath, relaxed
from merope.lang.quantity import Quantity, QuantityError
from merope.lang.selectors import SelectorError, label_selector, parse_field_selector, parse_label_selector

letters = st.text(st.sampled_from("abx01²٣.-+eEKMi()[]{}<>=!,:;'\"\\/@$?*# \n\té\ud800"), max_size=24)
texts = letters | st.text(max_size=20)
values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=3),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(["a", "b", "op", "path", ""]), inner),
    max_leaves=8,
)


@given(texts, values)
def test_a_json_path(text: str, value: Any) -> None:
    for expression in (text, f"{{{text}}}", f"{{.a{text}}}"):
        with suppress(JSONPathError):
            compile_jsonpath(expression).render(value)
    with suppress(JSONPathError):
        relaxed(text)


@given(texts)
def test_a_selector(text: str) -> None:
    with suppress(SelectorError):
        selector = parse_label_selector(text)
        assert parse_label_selector(str(selector)) == selector
        selector.matches({"a": "b"})
    with suppress(SelectorError):
        terms = parse_field_selector(text)
        assert set(parse_field_selector(str(terms)).terms) == set(terms.terms)
    with suppress(SelectorError):
        label_selector({"matchLabels": {text: text}})


@given(texts)
def test_a_quantity(text: str) -> None:
    with suppress(QuantityError):
        quantity = Quantity.parse(text)
        assert Quantity.parse(str(quantity)) == quantity


@given(texts)
def test_a_name(text: str) -> None:
    for problems_of in (
        names.is_dns1123_label,
        names.is_dns1123_subdomain,
        names.is_dns1035_label,
        names.is_qualified_name,
        names.is_label_value,
        names.is_config_map_key,
        names.is_path_segment_name,
    ):
        assert all(isinstance(problem, str) for problem in problems_of(text))


@given(values, st.lists(values, max_size=3) | values)
def test_a_patch(doc: Any, patch: Any) -> None:
    with suppress(jsonpatch.JSONPatchError):
        jsonpatch.apply(doc, patch)
    mergepatch.apply(doc, patch)


@given(
    values,
    st.lists(
        st.fixed_dictionaries(
            {
                "op": st.sampled_from(["add", "remove", "replace", "move", "copy", "test"]),
                "path": st.sampled_from(["", "/a", "/b", "/a/0", "/a/-", "/a/-1", "/a/b", "/0", "/-", "/a/+1"]),
                "from": st.sampled_from(["", "/a", "/b", "/a/0"]),
                "value": values,
            }
        ),
        max_size=5,
    ),
)
def test_a_patch_that_is_nearly_right(doc: Any, patch: list[Any]) -> None:
    with suppress(jsonpatch.JSONPatchError):
        jsonpatch.apply(doc, patch)
