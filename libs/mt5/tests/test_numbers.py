"""Decimal texts to integers and back."""

from __future__ import annotations

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from apportion.mt5.numbers import fixed, to_fixed, volume_e8
from apportion.mt5.retcodes import parse_retcode, retcode_name


@pytest.mark.parametrize(
    ("text", "digits", "value"),
    [
        ("26000.00", 2, 2_600_000),
        ("-0.50", 2, -50),
        ("1.10868", 8, 110_868_000),
        ("1.10000000000", 8, 110_000_000),
        ("7", 2, 700),
        ("0", 0, 0),
        ("100000.00000000", 0, 100_000),
    ],
)
def test_fixed(text: str, digits: int, value: int) -> None:
    assert fixed(text, digits) == value


@pytest.mark.parametrize("text", ["1.005", "abc", "", "1e3", "NaN", "--1"])
def test_fixed_refuses_what_would_lose_a_digit_or_is_no_number(text: str) -> None:
    with pytest.raises(ValueError, match=r"decimals|invalid literal|number"):
        fixed(text, 2)


@given(st.integers(-(10**15), 10**15), st.integers(0, 8))
def test_there_and_back(value: int, digits: int) -> None:
    text = to_fixed(value, digits)
    assert Decimal(text).scaleb(digits) == value
    assert fixed(text, digits) == value


def test_volumes() -> None:
    assert volume_e8(123, 9) == 123, "the extended volume wins"
    assert volume_e8(0, 100) == 1_000_000, "0.01 lot"


def test_retcodes() -> None:
    assert [parse_retcode(value) for value in ("10009", "10009 Done", "0 Done", 13)] == [10009, 10009, 0, 13]
    assert retcode_name(10019) == "NO_MONEY"
    assert retcode_name(99_999) == "RETCODE_99999"
