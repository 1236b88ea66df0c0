from __future__ import annotations

from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from apportion.money import INT64_MAX, INT64_MIN, UnknownCurrencyError, currency_digits, format_amount


@pytest.mark.parametrize(("code", "digits"), [("USD", 2), ("EUR", 2), ("JPY", 0), ("KWD", 3), ("CLF", 4)])
def test_digits(code, digits):
    assert currency_digits(code) == digits


@pytest.mark.parametrize("code", ["", "usd", "US", "USDT", "EURO"])
def test_unknown_currency(code):
    with pytest.raises(UnknownCurrencyError):
        currency_digits(code)


def test_what_is_told_wins():
    assert [currency_digits("USDT", 6), currency_digits("JPY", 2), currency_digits("USD", 0)] == [6, 2, 0]
    assert currency_digits("JPY", None) == 0


@given(amount_minor=st.integers(INT64_MIN, INT64_MAX), digits=st.integers(0, 8))
def test_the_text_is_the_exact_amount(amount_minor, digits):
    text = format_amount(amount_minor, digits)
    assert Fraction(text) == Fraction(amount_minor, 10**digits)
    assert len(text.partition(".")[2]) == digits


@pytest.mark.parametrize(
    ("amount_minor", "digits", "text"), [(0, 2, "0.00"), (-5, 2, "-0.05"), (7, 0, "7"), (7, 3, "0.007")]
)
def test_format(amount_minor, digits, text):
    assert format_amount(amount_minor, digits) == text
