"""Who claims beyond his bounds when water has one level, also where floats cannot tell."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from open_twins import column, twin_divide

from apportion.allocation.domain.claims import Levels
from apportion.allocation.domain.dividing import divide
from apportion.allocation.domain.grids import SymbolGrid
from apportion.allocation.domain.lot_limits import LotLimits
from apportion.allocation.domain.methods import RoundingPolicy
from apportion.allocation.domain.reasons import SkipReason
from apportion.money import INT64_MAX

P = RoundingPolicy


def divided(weights, had, steps, policy, most):
    """Steps in units of one step, and who was cut."""
    reasons = np.zeros(len(weights), dtype=np.int8)
    limits = LotLimits(SymbolGrid(1, 1, INT64_MAX), column(most) if isinstance(most, list) else most)
    given_steps = divide(Levels(column(weights), column(had), steps, limits), limits, policy, reasons)
    return given_steps.tolist(), set(np.flatnonzero(reasons == SkipReason.CAPPED.value).tolist())


def twin(weights, had, steps, policy, most):
    bounds = most if isinstance(most, list) else [most] * len(weights)
    return twin_divide(steps, weights, [Fraction(h) for h in had], policy, 1, bounds, [Fraction(0)] * len(weights))


@settings(max_examples=200)
@given(
    table=st.lists(st.tuples(st.integers(1, 4), st.integers(0, 6), st.integers(0, 5)), min_size=1, max_size=25),
    steps=st.integers(1, 40),
    scale=st.sampled_from([1, 10**6, 2**40]),
    policy=st.sampled_from([P.NEAREST_LARGEST, P.LARGEST_REMAINDER]),
    has_own_bounds=st.booleans(),
)
def test_many_stand_just_at_their_bounds(table, steps, scale, policy, has_own_bounds):
    """Small figures times one scale: claims of exactly 0 or exactly the bound are frequent."""
    weights, had, most = ([scale * row[place] for row in table] for place in range(3))
    if not has_own_bounds:
        most = 3 * scale
    assert divided(weights, had, steps * scale, policy, most) == twin(weights, had, steps * scale, policy, most)


@settings(max_examples=200)
@given(
    weight=st.integers(2**50, 2**60),
    held=st.integers(2**50, 2**57),
    offsets=st.lists(st.tuples(st.integers(-3, 3), st.integers(-3, 3), st.integers(-3, 3)), min_size=1, max_size=6),
    steps=st.integers(1, 2**58),
    policy=st.sampled_from([P.NEAREST_LARGEST, P.LARGEST_REMAINDER]),
)
def test_bounds_that_floats_cannot_tell_apart(weight, held, offsets, steps, policy):
    weights = [weight + more for more, _, _ in offsets]
    had = [held + more for _, more, _ in offsets]
    most = [max(0, steps // len(offsets) + more) for _, _, more in offsets]
    assert divided(weights, had, steps, policy, most) == twin(weights, had, steps, policy, most)


def test_equals_are_all_cut_or_none():
    """Of 1000 equals each claims exactly his bound: the full level of all is the level."""
    steps, cut = divided([3] * 1000, [5] * 1000, 7000, P.NEAREST_LARGEST, 7)
    assert (set(steps), cut) == ({7}, set())
    steps, cut = divided([3] * 1000, [5] * 1000, 7001, P.NEAREST_LARGEST, 7)
    assert (set(steps), len(cut)) == ({7}, 1000)


@pytest.mark.parametrize(
    ("weights", "had", "steps"),
    [([1, 1], [2**60, 2**60], 1), ([1, 1], [0, 0], 2**61), ([1, 1], [-(2**63), 0], 1), ([INT64_MAX, 1], [0, 0], 1)],
)
def test_what_does_not_fit_is_refused(weights, had, steps):
    with pytest.raises(OverflowError):
        Levels(column(weights), column(had), steps, LotLimits(SymbolGrid(1, 1, INT64_MAX), INT64_MAX))
