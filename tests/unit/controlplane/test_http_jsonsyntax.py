"""The texts about bodies that are no JSON are those of Go's encoding/json."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from merope.controlplane.http.jsonsyntax import complaint

# What json.Unmarshal of Go 1.26 said.
TEXTS = {
    "": "unexpected end of JSON input",
    " \n": "unexpected end of JSON input",
    "no": "invalid character 'o' in literal null (expecting 'u')",
    "tru": "invalid character ' ' in literal true (expecting 'e')",
    "-": "invalid character ' ' in numeric literal",
    '"\\': "invalid character ' ' in string escape code",
    "trux": "invalid character 'x' in literal true (expecting 'e')",
    "apiVersion: v1": "invalid character 'a' looking for beginning of value",
    "[1,]": "invalid character ']' looking for beginning of value",
    "[1 2]": "invalid character '2' after array element",
    "[": "unexpected end of JSON input",
    "{": "unexpected end of JSON input",
    "{a": "invalid character 'a' looking for beginning of object key string",
    '{"a" 1}': "invalid character '1' after object key",
    '{"a":1 "b"}': "invalid character '\"' after object key:value pair",
    '{"a":1,}': "invalid character '}' looking for beginning of object key string",
    '{"a":1}}': "invalid character '}' after top-level value",
    '"a\nb"': "invalid character '\\n' in string literal",
    '"\\x"': "invalid character 'x' in string escape code",
    '"\\u12g4"': "invalid character 'g' in \\u hexadecimal character escape",
    "-x": "invalid character 'x' in numeric literal",
    "01": "invalid character '1' after top-level value",
    "1.x": "invalid character 'x' after decimal point in numeric literal",
    "1e+x": "invalid character 'x' in exponent of numeric literal",
    "'a'": "invalid character '\\'' looking for beginning of value",
}


@pytest.mark.parametrize(("body", "text"), TEXTS.items())
def test_the_first_byte_that_cannot_be_there_is_named(body: str, text: str) -> None:
    assert complaint(body.encode()) == text


@given(
    st.recursive(
        st.none() | st.booleans() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
        lambda c: st.lists(c) | st.dictionaries(st.text(), c),
    ),
    st.booleans(),
)
def test_json_has_no_complaint(value: object, spread: bool) -> None:
    assert complaint(json.dumps(value, indent=2 if spread else None).encode()) is None
