from __future__ import annotations

from decimal import ROUND_DOWN, ROUND_HALF_UP, ROUND_UP, Decimal, localcontext
from fractions import Fraction
from math import ceil, floor

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from apportion.money import (
    INT64_MAX,
    INT64_MIN,
    Rounding,
    exact_sum,
    floor_residual,
    mul_div,
    mul_div_floor,
    mul_div_half_up,
    product_div,
)

int64 = st.integers(INT64_MIN, INT64_MAX)
divisor = st.integers(1, INT64_MAX)
moderate = st.integers(-(2**40), 2**40)

DECIMAL_MODES = {Rounding.HALF_UP: ROUND_HALF_UP, Rounding.DOWN: ROUND_DOWN, Rounding.UP: ROUND_UP}


def half_up(value: Fraction) -> int:
    rounded = floor(abs(value) + Fraction(1, 2))
    return rounded if value >= 0 else -rounded


def fits(value: int) -> bool:
    return INT64_MIN <= value <= INT64_MAX


@given(a=int64, b=int64, c=int64.filter(bool), rounding=st.sampled_from(Rounding))
def test_scalar_mul_div_is_decimal_rounding(a, b, c, rounding):
    with localcontext(prec=200):
        expected = int((Decimal(a) * Decimal(b) / Decimal(c)).quantize(Decimal(1), rounding=DECIMAL_MODES[rounding]))
    if abs(Fraction(a * b, c) - expected) == Fraction(1, 2):
        expected = half_up(Fraction(a * b, c)) if rounding is Rounding.HALF_UP else expected
    if fits(expected):
        assert mul_div(a, b, c, rounding) == expected
    else:
        with pytest.raises(OverflowError):
            mul_div(a, b, c, rounding)


@given(a=int64, b=int64, c=divisor)
@example(a=INT64_MIN, b=-1, c=1)
@example(a=INT64_MAX, b=INT64_MAX, c=INT64_MAX)
@example(a=INT64_MIN, b=INT64_MAX, c=INT64_MAX)
@example(a=2**49, b=2**61 - 1, c=2**61 - 1)
@example(a=2**61 - 3, b=2**50 - 1, c=2**61 - 2)
def test_array_forms_equal_exact_fractions_at_every_edge(a, b, c):
    exact = Fraction(a * b, c)
    for function, expected in ((mul_div_floor, floor(exact)), (mul_div_half_up, half_up(exact))):
        if fits(expected) and fits(floor(exact)):
            assert function(np.array([a]), b, c).tolist() == [expected]
        else:
            with pytest.raises(OverflowError):
                function(np.array([a]), b, c)


@given(rows=st.lists(st.tuples(int64, moderate, st.integers(1, 2**61 - 1)), min_size=1, max_size=30))
def test_mixed_rows(rows):
    exact = [Fraction(a * b, c) for a, b, c in rows]
    if not all(fits(floor(value)) for value in exact):
        return
    a, b, c = (np.array(column, dtype=np.int64) for column in zip(*rows, strict=True))
    quotient, residual = floor_residual(a, b, c)
    assert quotient.tolist() == [floor(value) for value in exact]
    assert residual.tolist() == [x * y % z for x, y, z in rows]


def test_products_far_beyond_63_bits_stay_exact_in_the_fast_path():
    random = np.random.default_rng(7)
    a = random.integers(0, 2**60, 5_000)
    total, divisor_sum = 2**49 + 12_345, 2**61 - 1
    expected = [int(x) * total // divisor_sum for x in a]
    assert mul_div_floor(a, total, divisor_sum).tolist() == expected


def test_half_is_rounded_away_from_zero():
    assert mul_div_half_up(np.array([5, -5, 3, -3]), 1, 2).tolist() == [3, -3, 2, -2]


def test_empty_arrays():
    assert mul_div_floor(np.empty(0, dtype=np.int64), 3, 7).tolist() == []


@pytest.mark.parametrize(("divisor_value", "error"), [(0, ZeroDivisionError), (-3, ValueError)])
def test_divisor_must_be_above_zero(divisor_value, error):
    with pytest.raises(error):
        mul_div_floor(np.array([1]), 1, divisor_value)


def test_scalar_zero_division():
    with pytest.raises(ZeroDivisionError):
        mul_div(1, 1, 0, Rounding.DOWN)


@given(values=st.lists(int64, max_size=20))
@example(values=[INT64_MAX, INT64_MAX])
@example(values=[INT64_MIN, INT64_MIN, -1])
def test_sums_never_wrap(values):
    assert exact_sum(np.array(values, dtype=np.int64)) == sum(values)


big = st.one_of(st.integers(0, 1000), st.integers(0, 2**40), st.integers(0, INT64_MAX))


@settings(max_examples=300)
@given(
    rows=st.lists(st.tuples(big, big, big), min_size=1, max_size=8),
    multiplier=st.integers(0, 2**80),
    divisor=st.one_of(st.integers(1, 2**30), st.integers(1, 2**62), st.integers(1, 2**130)),
    rounding=st.sampled_from(Rounding),
)
def test_product_div_equals_python_integers(rows, multiplier, divisor, rounding):
    offset = {Rounding.DOWN: 0, Rounding.HALF_UP: Fraction(1, 2), Rounding.UP: 1}[rounding]
    exact = [Fraction(a * b * c * multiplier, divisor) for a, b, c in rows]
    expected = [ceil(x) if rounding is Rounding.UP else floor(x + offset) for x in exact]
    columns = [np.array(column, dtype=np.int64) for column in zip(*rows, strict=True)]
    if max(expected) > INT64_MAX:
        with pytest.raises(OverflowError):
            product_div(columns, multiplier, divisor, rounding)
    else:
        assert product_div(columns, multiplier, divisor, rounding).tolist() == expected


@settings(max_examples=300)
@given(
    values=st.lists(st.integers(0, 2**20), min_size=1, max_size=5),
    multiplier=st.integers(1, 2**60),
    divisor=st.integers(2**20, 2**61 - 1),
    rounding=st.sampled_from(Rounding),
)
def test_product_div_is_exact_around_whole_quotients(values, multiplier, divisor, rounding):
    """Products that miss a multiple of the divisor, or its half, by one or not at all."""
    column = np.array(values, dtype=np.int64)
    for numerator in (multiplier * divisor - 1, multiplier * divisor, multiplier * divisor + divisor // 2):
        expected = [mul_div(v, numerator, divisor, rounding) if v * numerator // divisor < INT64_MAX else None
                    for v in values]  # fmt: skip
        if None not in expected:
            assert product_div([column], numerator, divisor, rounding).tolist() == expected


def test_product_div_of_nothing():
    empty = np.empty(0, dtype=np.int64)
    assert product_div([empty, empty], 3, 7, Rounding.UP).tolist() == []
    assert product_div([empty], 1, 2**90 + 1, Rounding.DOWN).tolist() == []
