"""Names are judged in the words of an API server."""

import pytest

from merope.lang import names


@pytest.mark.parametrize("text", ["a", "a-b", "1", "x" * 63])
def test_labels_of_dns_are_accepted(text: str) -> None:
    assert names.is_dns1123_label(text) == []


def test_a_label_says_what_is_wrong_with_it() -> None:
    assert names.is_dns1123_label("a.b") == ["must not contain dots"]
    assert names.is_dns1123_label("x" * 64) == ["must be no more than 63 characters"]
    assert names.is_dns1123_label("A") == [
        "a lowercase RFC 1123 label must consist of lower case alphanumeric characters or '-', and must start and end "
        "with an alphanumeric character (e.g. 'my-name',  or '123-abc', regex used for validation is "
        "'[a-z0-9]([-a-z0-9]*[a-z0-9])?')"
    ]


def test_a_trailing_newline_is_no_part_of_a_name() -> None:
    assert names.is_dns1123_label("a\n")
    assert names.is_label_value("a\n")
    assert names.is_qualified_name("a\n")


def test_lengths_are_counted_in_bytes() -> None:
    assert "must be no more than 63 bytes" in names.is_label_value("é" * 32)


@pytest.mark.parametrize(
    ("text", "valid"),
    [
        ("name", True),
        ("example.com/Name_1.x", True),
        ("/name", False),
        ("a/b/c", False),
        ("example.com/", False),
        ("Example.com/name", False),
        ("-name", False),
    ],
)
def test_qualified_names_have_at_most_one_prefix(text: str, valid: bool) -> None:
    assert (names.is_qualified_name(text) == []) is valid


@pytest.mark.parametrize(("text", "valid"), [("a.b", True), ("..a", False), (".", False), ("a/b", False), ("", False)])
def test_config_map_keys_are_file_names(text: str, valid: bool) -> None:
    assert (names.is_config_map_key(text) == []) is valid


@pytest.mark.parametrize(
    ("text", "problems"),
    [
        ("system:node:a", []),
        (".", ["may not be '.'"]),
        ("a/b%", ["may not contain '/'", "may not contain '%'"]),
    ],
)
def test_names_of_roles_only_have_to_stand_in_a_path(text: str, problems: list[str]) -> None:
    assert names.is_path_segment_name(text) == problems
