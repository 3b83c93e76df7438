"""Selectors decide what is watched, placed and deleted: what is left out must not select by accident."""

import pytest

from merope.api.meta.v1 import LabelSelector, LabelSelectorRequirement
from merope.lang.selectors import (
    EVERYTHING,
    NOTHING,
    SelectorError,
    label_selector,
    match_labels,
    parse_field_selector,
    parse_label_selector,
)

LABELS = {"env": "prod", "tier": "web", "size": "5"}


def test_a_missing_struct_selector_matches_nothing_and_an_empty_one_everything() -> None:
    assert not label_selector(None).matches({})
    assert not label_selector(None).matches(LABELS)
    assert not label_selector(None).empty
    assert label_selector({}).matches({})
    assert label_selector(LabelSelector()).matches(LABELS)
    assert label_selector({}).empty


def test_an_empty_text_matches_everything() -> None:
    assert parse_label_selector("") == EVERYTHING
    assert parse_label_selector("  ").empty
    assert parse_field_selector("").empty


@pytest.mark.parametrize(
    ("text", "matches"),
    [
        ("env=prod", True),
        ("env==prod", True),
        ("env!=prod", False),
        ("missing!=x", True),
        ("env", True),
        ("!env", False),
        ("!missing", True),
        ("env in (dev,prod)", True),
        ("env in (dev)", False),
        ("env notin (dev)", True),
        ("missing notin (dev)", True),
        ("missing in (dev)", False),
        ("size>4", True),
        ("size>5", False),
        ("size<6", True),
        ("tier>4", False),
        ("missing>4", False),
        ("env=prod,tier=db", False),
        ("env=prod , tier=web", True),
        ("missing=", False),
        ("env in ()", False),
    ],
)
def test_every_requirement_must_hold(text: str, matches: bool) -> None:
    assert parse_label_selector(text).matches(LABELS) is matches


@pytest.mark.parametrize(
    ("selector", "matches"),
    [
        ({"matchLabels": {"env": "prod"}}, True),
        ({"matchLabels": {"env": "dev"}}, False),
        ({"matchLabels": {"env": "prod"}, "matchExpressions": [{"key": "tier", "operator": "DoesNotExist"}]}, False),
        ({"matchExpressions": [{"key": "tier", "operator": "In", "values": ["db", "web"]}]}, True),
        ({"matchExpressions": [{"key": "other", "operator": "NotIn", "values": ["db"]}]}, True),
        ({"matchExpressions": [{"key": "tier", "operator": "Exists"}]}, True),
        ({"matchLabels": None, "matchExpressions": None}, True),
    ],
)
def test_struct_selectors_match_raw_and_typed_alike(selector: dict, matches: bool) -> None:  # type: ignore[type-arg]
    typed = LabelSelector(
        match_labels=selector.get("matchLabels") or {},
        match_expressions=[
            LabelSelectorRequirement(key=one["key"], operator=one["operator"], values=one.get("values", []))
            for one in selector.get("matchExpressions") or ()
        ],
    )
    assert label_selector(selector).matches(LABELS) is matches
    assert label_selector(typed) == label_selector(selector)


@pytest.mark.parametrize(
    ("selector", "message"),
    [
        ({"matchExpressions": [{"key": "a", "operator": "Near"}]}, '"Near" is not a valid label selector operator'),
        (
            {"matchExpressions": [{"key": "a", "operator": "In", "values": []}]},
            "values: Invalid value: []: for 'in', 'notin' operators, values set can't be empty",
        ),
        (
            {"matchExpressions": [{"key": "a", "operator": "Exists", "values": ["x"]}]},
            'values: Invalid value: ["x"]: values set must be empty for exists and does not exist',
        ),
    ],
)
def test_wrong_struct_selectors_are_refused(selector: dict, message: str) -> None:  # type: ignore[type-arg]
    with pytest.raises(SelectorError) as error:
        label_selector(selector)
    assert str(error.value) == message


def test_a_selector_prints_sorted_by_key_and_reads_back_as_itself() -> None:
    selector = parse_label_selector("z=1,!b,a in (y,x),c!=d,e")
    assert str(selector) == "a in (x,y),!b,c!=d,e,z=1"
    assert parse_label_selector(str(selector)) == selector


def test_a_pinned_value_is_known_without_matching() -> None:
    assert parse_label_selector("a=b,c").exact("a") == "b"
    assert parse_label_selector("a in (b)").exact("a") == "b"
    assert parse_label_selector("a!=b,c").exact("a") is None
    assert match_labels({"x": "1", "y": "2"}).exact("y") == "2"


def test_objects_without_labels_can_be_matched() -> None:
    assert parse_label_selector("!a").matches(None)
    assert not NOTHING.matches(None)


def test_field_selectors_unescape_values_and_keep_negation() -> None:
    selector = parse_field_selector(r"metadata.name=a\,b,status.phase!=c\=d")
    assert [(term.path, term.negated, term.value) for term in selector.terms] == [
        ("metadata.name", False, "a,b"),
        ("status.phase", True, "c=d"),
    ]
    assert str(selector) == r"metadata.name=a\,b,status.phase!=c\=d"
    assert selector.exact("metadata.name") == "a,b"
    assert selector.exact("status.phase") is None


def test_a_field_that_is_absent_counts_as_empty() -> None:
    assert parse_field_selector("spec.nodeName=").matches({})
    assert not parse_field_selector("spec.nodeName!=").matches({})


def test_a_malformed_field_selector_names_the_part() -> None:
    with pytest.raises(SelectorError, match="invalid selector: 'a b'; can't understand 'a b'"):
        parse_field_selector("a b")
