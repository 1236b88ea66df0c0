from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from apportion.money import INT64_MAX, INT64_MIN, UnknownCurrencyError, currency_digits, format_amount, parse_amount


@pytest.mark.parametrize(("code", "digits"), [("USD", 2), ("EUR", 2), ("JPY", 0), ("KWD", 3), ("CLF", 4)])
def test_digits(code, digits):
    assert currency_digits(code) == digits


@pytest.mark.parametrize("code", ["", "usd", "US", "USDT", "EURO"])
def test_unknown_currency(code):
    with pytest.raises(UnknownCurrencyError):
        currency_digits(code)


def test_overrides_add_and_replace():
    assert currency_digits("USDT", {"USDT": 6}) == 6
    assert currency_digits("JPY", {"JPY": 2}) == 2


@given(amount_minor=st.integers(INT64_MIN, INT64_MAX), digits=st.integers(0, 8))
def test_format_and_parse_are_inverse(amount_minor, digits):
    assert parse_amount(format_amount(amount_minor, digits), digits) == amount_minor


@pytest.mark.parametrize(
    ("text", "digits", "amount_minor"),
    [("12.34", 2, 1234), ("12", 2, 1200), ("12.3", 2, 1230), ("-0.01", 2, -1), ("007", 0, 7), ("-0", 2, 0)],
)
def test_parse(text, digits, amount_minor):
    assert parse_amount(text, digits) == amount_minor


BAD = ["", " 1", "1 ", "+1", "1e3", "NaN", "Infinity", "1,000", "1.", ".5", "0.001", "--1", "٣", "1_0", "9" * 30]


@pytest.mark.parametrize("text", BAD)
def test_anything_else_is_refused(text):
    with pytest.raises(ValueError):  # noqa: PT011  (the message differs by cause)
        parse_amount(text, 2)


@pytest.mark.parametrize(
    ("amount_minor", "digits", "text"), [(0, 2, "0.00"), (-5, 2, "-0.05"), (7, 0, "7"), (7, 3, "0.007")]
)
def test_format(amount_minor, digits, text):
    assert format_amount(amount_minor, digits) == text
