"""Whose margin level would fall too low, against fractions."""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from open_twins import column, make

from apportion.allocation.domain.margins import falling_out
from apportion.allocation.domain.methods import AllocationMethod
from apportion.money import E8


@settings(max_examples=200)
@given(
    rows=st.lists(
        st.tuples(st.integers(0, 3), st.integers(1, 3), st.integers(0, 3), st.integers(0, 3), st.integers(-1, 1)),
        min_size=1,
        max_size=20,
    ),
    margin_unit=st.sampled_from([1, 10**12, 10**17]),
    has_volume=st.booleans(),
)
def test_margin_levels_are_compared_exactly(rows, margin_unit, has_volume):
    """Equities just at what is needed, and one cent beside it."""
    percents, leverages, margins, volumes, beside = (list(figures) for figures in zip(*rows, strict=True))
    volumes = [volume * E8 * has_volume for volume in volumes]
    margins = [margin * margin_unit for margin in margins]
    price = 10**4  # Minor units of margin that a lot takes without leverage.
    needed = [
        Fraction(percent, 100) * (margin + Fraction(volume * price, E8 * leverage))
        for percent, margin, volume, leverage in zip(percents, margins, volumes, leverages, strict=True)
    ]
    equities = [max(1, int(need) + cents) for need, cents in zip(needed, beside, strict=True)]
    inputs = make(
        AllocationMethod.EQUAL_RISK, 1, bases=equities, margins=margins, leverages=leverages, percents=percents
    )
    inputs = replace(inputs, contract_size_e8=100 * E8, conversion_e8=E8)
    falling = falling_out(inputs, np.ones(len(rows), dtype=np.bool_), column(volumes))
    expected = [
        row
        for row, (percent, equity_minor, need) in enumerate(zip(percents, equities, needed, strict=True))
        if percent and equity_minor < need
    ]
    assert sorted(falling.tolist()) == expected
