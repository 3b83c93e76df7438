"""Quantities are exact: they are compared, added up and written back."""

from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from merope.lang.quantity import BINARY_SI, DECIMAL_SI, Quantity, QuantityError

quantities = st.builds(
    Quantity,
    st.integers(min_value=-(10**25), max_value=10**25),
    st.sampled_from(["DecimalSI", "BinarySI", "DecimalExponent"]),
)


@pytest.mark.parametrize(
    ("text", "canonical"),
    [
        ("0", "0"),
        ("0.5", "500m"),
        (".5", "500m"),
        ("1000m", "1"),
        ("1500m", "1500m"),
        ("1024Ki", "1Mi"),
        ("1.5Gi", "1536Mi"),
        ("0.5Ki", "512"),
        ("1000000", "1M"),
        ("12e6", "12e6"),
        ("1000e3", "1e6"),
        ("0.1n", "1n"),
        ("-0.1n", "-1n"),
        ("1E", "1E"),
        ("100000000Ei", "9223372036854775807"),
    ],
)
def test_a_quantity_is_written_in_canonical_form(text: str, canonical: str) -> None:
    assert str(Quantity.parse(text)) == canonical


@pytest.mark.parametrize(
    "text",
    ["", "1.1.M", "1+1.0M", "0.1mi", "aoeu", ".5i", "1i", "-3.01i", " 1", "1 ", "1e1000000000", "--1", "1_000", "١"],
)
def test_what_is_no_quantity_is_refused(text: str) -> None:
    with pytest.raises(QuantityError):
        Quantity.parse(text)


@pytest.mark.parametrize("value", [True, None, float("nan"), float("inf"), [], {}])
def test_only_texts_and_finite_numbers_are_quantities(value: object) -> None:
    with pytest.raises(QuantityError):
        Quantity.parse(value)  # type: ignore[arg-type]


def test_numbers_mean_what_they_say() -> None:
    assert Quantity.parse(3) == Quantity.parse("3")
    assert Quantity.parse(0.1) == Quantity.parse("100m")
    assert Quantity.parse(1e21) == Quantity.parse("1e21")


def test_values_round_away_from_zero() -> None:
    assert Quantity.parse("1100m").value() == 2
    assert Quantity.parse("-1100m").value() == -2
    assert Quantity.parse("1u").milli_value() == 1
    assert Quantity.parse("2Gi").value() == 2 * 1024**3
    assert Quantity.parse("1500").scaled_value(3) == 2


def test_equal_amounts_are_equal_however_they_are_written() -> None:
    assert Quantity.parse("1") == Quantity.parse("1000m") == Quantity.parse("1e0")
    assert len({Quantity.parse("1Ki"), Quantity.parse("1024")}) == 1
    assert Quantity.parse("1Ki") > Quantity.parse("1k")


def test_a_sum_keeps_the_notation_of_what_is_not_zero() -> None:
    total = Quantity.parse("0") + Quantity.parse("1Gi")
    assert (str(total), total.notation) == ("1Gi", BINARY_SI)
    assert (Quantity.parse("1") + Quantity.parse("1Gi")).notation == DECIMAL_SI


@given(quantities)
def test_what_is_written_reads_back_as_the_same_amount(quantity: Quantity) -> None:
    again = Quantity.parse(str(quantity))
    assert again == quantity or abs(quantity.nanos) > (1 << 63) * 10**9
    assert str(again) == str(Quantity(again.nanos, again.notation)) or again.written


@given(quantities, quantities)
def test_arithmetic_and_order_are_those_of_the_amounts(one: Quantity, other: Quantity) -> None:
    a, b = Fraction(one.nanos, 10**9), Fraction(other.nanos, 10**9)
    assert Fraction((one + other).nanos, 10**9) == a + b
    assert Fraction((one - other).nanos, 10**9) == a - b
    assert one.compare(other) == (a > b) - (a < b)
    assert (one < other, one <= other, one == other) == (a < b, a <= b, a == b)
