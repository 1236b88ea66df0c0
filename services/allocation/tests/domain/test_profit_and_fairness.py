"""Profit distributed to the cent, and who gained from rounding."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from open_twins import column, lots, make

from apportion.allocation.domain.fairness import exact_shares_e8
from apportion.allocation.domain.grids import SymbolGrid
from apportion.allocation.domain.methods import AllocationMethod, RoundingPolicy
from apportion.allocation.domain.opening import decide_open
from apportion.allocation.domain.pl_mode import (
    E9,
    distribute_minor,
    nominal_volume_e8,
    proportions_e9,
    virtual_volumes_e8,
)
from apportion.allocation.domain.reasons import SkipReason
from apportion.money import E8

M, P = AllocationMethod, RoundingPolicy
CENT = SymbolGrid(E8 // 100, E8 // 100, 100 * E8)
NOBODY_OUT = np.zeros(3, dtype=np.int8)


def exact(inputs) -> list[int]:
    return exact_shares_e8(inputs, decide_open(inputs).reasons).tolist()


class TestExactShares:
    def test_a_dividing_methods_shares_add_up_to_the_volume(self):
        # A third of a lot has no end: the missing hundred-millionth goes to the first.
        assert exact(make(M.DIVIDE_BY_EQUITY, 1, bases=[7, 7, 7])) == [33_333_334, 33_333_333, 33_333_333]

    def test_who_takes_no_part_has_no_share_and_who_is_below_min_lot_has(self):
        inputs = make(M.DIVIDE_BY_LOT, 1, lots=[96, 4, 50], active=[True, True, False])
        assert decide_open(inputs).steps.tolist() == [10, 0, 0]
        assert exact(inputs) == [lots("0.96"), lots("0.04"), 0]

    def test_limits_do_not_change_what_was_due(self):
        assert exact(make(M.DIVIDE_BY_LOT, 10, lots=[5, 3, 2], caps=[4, 9, 9])) == [5 * E8, 3 * E8, 2 * E8]

    def test_of_percents_below_100_only_their_part_is_shared(self):
        assert exact(make(M.DIVIDE_BY_PERCENT, 10, percents=[30, 25])) == [3 * E8, lots("2.5")]

    def test_equal_risk_is_shared_by_level(self):
        # As in the worked figures: 0, 0.52 and 0.68.
        inputs = make(M.EQUAL_RISK, "1.2", bases=[100, 200, 300], held=["0.6", "0.2", "0.4"])
        assert exact(inputs) == [0, lots("0.52"), lots("0.68")]

    def test_children_alone_are_due_their_own_share(self):
        inputs = make(M.COPY_BY_EQUITY, 1, bases=[100, 50], ratios=[1, 1], master_basis=300)
        assert exact(inputs) == [33_333_333, 16_666_667]

    def test_who_falls_out_for_his_margin_has_no_share(self):
        price = {"margins": [0, 0], "leverages": [100, 100], "contract_size_e8": 100_000 * E8, "conversion_e8": E8}
        inputs = make(M.EQUAL_RISK, "1.02", bases=[100_000] * 2, percents=[200, 0], grid=CENT, **price)
        assert exact(inputs) == [0, lots("1.02")]

    @settings(max_examples=50)
    @given(
        weights=st.lists(st.integers(1, 10**9), min_size=1, max_size=100),
        volumes=st.lists(st.integers(1, 500), min_size=1, max_size=5),
        policy=st.sampled_from([P.NEAREST_LARGEST, P.LARGEST_REMAINDER]),
    )
    def test_over_many_trades_what_some_gained_others_are_owed(self, weights, volumes, policy):
        owed = np.zeros(len(weights), dtype=np.int64)
        for volume in volumes:
            inputs = make(M.DIVIDE_BY_EQUITY, Fraction(volume, 10), bases=weights, rounding=policy)
            decision = decide_open(inputs)
            owed += exact_shares_e8(inputs, decision.reasons) - decision.steps * inputs.grid.step_e8
        assert int(owed.sum()) == 0


class TestProportions:
    def test_nine_decimals_that_add_up_to_one(self):
        inputs = make(M.DIVIDE_BY_EQUITY, 1, bases=[1, 1, 1])
        assert proportions_e9(inputs, NOBODY_OUT).tolist() == [333_333_334, 333_333_333, 333_333_333]

    def test_of_percents_they_are_the_percents(self):
        inputs = make(M.DIVIDE_BY_PERCENT, 1, percents=["12.5", 40, 0])
        assert proportions_e9(inputs, NOBODY_OUT).tolist() == [125_000_000, 400_000_000, 0]

    def test_the_lot_grid_does_not_matter(self):
        inputs = make(M.DIVIDE_BY_LOT, "0.1", lots=[1, 3], grid=SymbolGrid(E8 // 10, E8, 5 * E8))
        assert proportions_e9(inputs, NOBODY_OUT[:2]).tolist() == [E9 // 4, E9 * 3 // 4]

    def test_equal_risk(self):
        # 0.52 and 0.68 of 1.2.
        inputs = make(M.EQUAL_RISK, "1.2", bases=[100, 200, 300], held=["0.6", "0.2", "0.4"])
        assert proportions_e9(inputs, NOBODY_OUT).tolist() == [0, 433_333_333, 566_666_667]

    def test_nobody_there(self):
        inputs = make(M.DIVIDE_BY_LOT, 1, lots=[1, 1], active=[False, False])
        assert proportions_e9(inputs, NOBODY_OUT[:2]).tolist() == [0, 0]

    def test_copies_have_none(self):
        with pytest.raises(TypeError):
            proportions_e9(make(M.FIXED_LOT, 1, lots=[1]), NOBODY_OUT[:1])

    def test_nominal_volumes_are_cut_down_to_a_hundredth_of_a_lot(self):
        virtual = virtual_volumes_e8(-lots("1.29"), column([E9 // 2, E9 // 3])).tolist()
        assert virtual == [lots("0.645"), 42_999_999]
        assert [nominal_volume_e8(-volume_e8) for volume_e8 in virtual] == [-lots("0.64"), -lots("0.42")]


class TestDistribution:
    def test_worked_figures(self):
        thirds = column([333_333_334, 333_333_333, 333_333_333])
        # 33.33 each, the missing cent to the largest proportion.
        assert distribute_minor(10_000, thirds, P.NEAREST_LARGEST).tolist() == [3334, 3333, 3333]
        assert distribute_minor(-10_000, thirds, P.NEAREST_LARGEST).tolist() == [-3334, -3333, -3333]
        # 0.666… each rounds up to 3 cents of 2: one is taken from the smallest, the lower login of the two.
        assert distribute_minor(2, thirds, P.NEAREST_LARGEST).tolist() == [1, 0, 1]
        assert distribute_minor(2, thirds, P.LARGEST_REMAINDER).tolist() == [1, 1, 0]

    def test_what_belongs_to_nobody_stays(self):
        assert distribute_minor(1_000, column([E9 // 8, E9 // 4]), P.NEAREST_LARGEST).tolist() == [125, 250]

    def test_more_than_all_is_refused(self):
        with pytest.raises(ValueError, match="more than 1"):
            distribute_minor(1, column([E9, 1]), P.NEAREST_LARGEST)

    def test_nobody_gets_nothing(self):
        assert distribute_minor(5, column([0, 0]), P.NEAREST_LARGEST).tolist() == [0, 0]

    @settings(max_examples=100)
    @given(
        total=st.one_of(st.integers(-(10**4), 10**4), st.integers(-(2**62), 2**62)),
        weights=st.lists(st.integers(0, 10**6), min_size=1, max_size=120).filter(any),
        rule=st.sampled_from([P.NEAREST_LARGEST, P.LARGEST_REMAINDER]),
    )
    def test_every_cent_is_somebodys_and_losses_are_shared_as_profits(self, total, weights, rule):
        inputs = make(M.DIVIDE_BY_EQUITY, 1, bases=[weight or -1 for weight in weights])
        proportions = proportions_e9(inputs, np.zeros(len(weights), dtype=np.int8))
        assert int(proportions.sum()) == E9
        parts = distribute_minor(total, proportions, rule)
        assert sum(parts.tolist()) == total
        assert distribute_minor(-total, proportions, rule).tolist() == [-part for part in parts.tolist()]
        reach = Fraction(3, 2) if rule is P.NEAREST_LARGEST else 1
        for part, proportion in zip(parts.tolist(), proportions.tolist(), strict=True):
            assert abs(part - Fraction(total * proportion, E9)) < reach
            assert proportion or part == 0


def test_a_report_of_a_day_has_a_row_for_the_small_one():
    """Ten trades of 1.00 in tenths: 4 % never gets a step, and is owed 0.4 lot that the other has."""
    owed = np.zeros(2, dtype=np.int64)
    for _ in range(10):
        inputs = make(M.DIVIDE_BY_LOT, 1, lots=[96, 4])
        decision = decide_open(inputs)
        assert decision.reasons.tolist() == [SkipReason.NONE, SkipReason.BELOW_MIN_LOT]
        owed += exact_shares_e8(inputs, decision.reasons) - decision.steps * inputs.grid.step_e8
    assert owed.tolist() == [lots("-0.4"), lots("0.4")]
