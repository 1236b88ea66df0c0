from __future__ import annotations

from decimal import ROUND_HALF_UP, Decimal, localcontext

import pytest
from hypothesis import given
from hypothesis import strategies as st

from apportion.mt5_simulator.domain.figures import E8, divide_half_up, format_scaled, parse_scaled, profit_minor


def test_the_published_example_of_a_profit() -> None:
    """0.1 lot EURUSD from 1.11500 to 1.12500 at 0.777508 gives 77.75."""
    assert profit_minor(100_000 * E8, 10_000_000, 112_500_000 - 111_500_000, 77_750_800, 2) == 7775


@given(st.integers(-(10**30), 10**30), st.integers(1, 10**20))
def test_division_rounds_halves_away_from_zero(numerator: int, denominator: int) -> None:
    exact = Decimal(numerator)
    with localcontext(prec=120):
        expected = (exact / denominator).to_integral_value(ROUND_HALF_UP)
        assert divide_half_up(numerator, denominator) == int(expected)


@given(st.integers(-(10**15), 10**15), st.integers(0, 8))
def test_figures_survive_printing(value: int, digits: int) -> None:
    assert parse_scaled(format_scaled(value, digits), digits) == value


@pytest.mark.parametrize("text", ["", "one", "nan", "inf", "0.001", "1,5"])
def test_other_texts_are_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"not a number|more than"):
        parse_scaled(text, 2)
