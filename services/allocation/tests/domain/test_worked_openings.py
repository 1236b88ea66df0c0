"""Worked figures of every method: published ones, and others derived by hand in exact arithmetic."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest
from open_twins import lots, make

from apportion.allocation.domain.gates import has_zero_base
from apportion.allocation.domain.grids import SymbolGrid
from apportion.allocation.domain.methods import AllocationMethod, LotMode, RoundingPolicy
from apportion.allocation.domain.open_inputs import UNKNOWN_BASIS
from apportion.allocation.domain.opening import decide_open
from apportion.allocation.domain.reasons import SkipReason
from apportion.money import E8

M = AllocationMethod
NONE = SkipReason.NONE
HALF = Fraction(1, 2)
CENT = SymbolGrid(E8 // 100, E8 // 100, 100 * E8)
EURO = {"contract_size_e8": 100_000 * E8, "conversion_e8": E8}
"""One lot is 100 000 units of the currency of the accounts."""


def volumes(inputs) -> list[Fraction]:
    return [Fraction(int(steps) * inputs.grid.step_e8, E8) for steps in decide_open(inputs).steps]


def reasons(inputs) -> list[SkipReason]:
    return [SkipReason(int(reason)) for reason in decide_open(inputs).reasons]


WORKED = {
    # 2 / 5 × 10 and 3 / 5 × 10.
    "lots 2 and 3": (make(M.DIVIDE_BY_LOT, 10, lots=[2, 3]), "4 6"),
    "percents 30 and 70": (make(M.DIVIDE_BY_PERCENT, 10, percents=[30, 70]), "3 7"),
    # Shares 3, 2.5 and 4.5 nobody's: nothing of it is given to the others.
    "percents below 100": (make(M.DIVIDE_BY_PERCENT, 10, percents=[30, 25]), "3 2.5"),
    # 3.33 and 3.33 steps, 3.34 nobody's: all round down to 3, the shortage of one goes to the largest, nobody.
    "a rest that is nobody's rounds too": (make(M.DIVIDE_BY_PERCENT, 1, percents=["33.3", "33.3"]), "0.3 0.3"),
    "balances 3000 and 1000": (make(M.DIVIDE_BY_BALANCE, 10, bases=[300_000, 100_000]), "7.5 2.5"),
    # 1/3 of 1.0 = 3.33 steps, 2/3 = 6.67: 3 and 7.
    "equities 1 to 2": (make(M.DIVIDE_BY_EQUITY, 1, bases=[100, 200]), "0.3 0.7"),
    # Nobody holds anything: as by equity.
    "equal risk, first trade": (make(M.EQUAL_RISK, 4, bases=[1000, 3000], held=[0, 0]), "1 3"),
    # After the trade 2 + 1 + 1 = 4 lots by equity 1 to 3: 1 and 3. The first has 0.5, the second 1.5: 0.5 and 1.5.
    "equal risk, proportional so far": (make(M.EQUAL_RISK, 2, bases=[1000, 3000], held=["0.5", "1.5"]), "0.5 1.5"),
    # 1.2 + 1.2 held = 2.4 by 1 to 2 to 3: 0.4, 0.8, 1.2. The first has 0.6 already: −0.2, so he gets nothing, and
    # 1.2 + 0.6 held = 1.8 by 2 to 3: 0.72 and 1.08, less 0.2 and 0.4 held: 0.52 and 0.68.
    "equal risk, water filling": (
        make(M.EQUAL_RISK, "1.2", bases=[100, 200, 300], held=["0.6", "0.2", "0.4"], grid=CENT),
        "0 0.52 0.68",
    ),
    # 10 % × 100 × 10 000 / (100 000 × 0.7062) = 100 000 / 70 620 = 1.416; 20 % × 100 × 6 000 / 70 620 = 1.699.
    "equity percent, USDJPY": (
        make(
            M.EQUITY_PERCENT,
            "9.9",
            bases=[1_000_000, 600_000],
            leverages=[100, 100],
            percents=[10, 20],
            contract_size_e8=100_000 * E8,
            conversion_e8=lots("0.7062"),
        ),
        "1.4 1.7",
    ),
    # The same equities in a currency without decimals.
    "equity percent, yen": (
        make(
            M.EQUITY_PERCENT,
            1,
            bases=[10_000, 6_000],
            leverages=[100, 50],
            percents=[10, 20],
            contract_size_e8=100_000 * E8,
            conversion_e8=lots("0.7062"),
            currency_digits=0,
        ),
        # 60 000 / 70 620 = 0.8496.
        "1.4 0.8",
    ),
    # The same on a server that counts yen with two decimals.
    "equity percent, yen with sen": (
        make(
            M.EQUITY_PERCENT,
            1,
            bases=[1_000_000, 600_000],
            leverages=[100, 50],
            percents=[10, 20],
            contract_size_e8=100_000 * E8,
            conversion_e8=lots("0.7062"),
            currency_digits=2,
        ),
        "1.4 0.8",
    ),
    # A lot is 0.01 coins at 50 000, so 500 dollars: 10 % × 100 × 75 / 500 = 1.5.
    "equity percent, a hundredth of a coin": (
        make(
            M.EQUITY_PERCENT,
            1,
            bases=[7_500],
            leverages=[100],
            percents=[10],
            contract_size_e8=E8 // 100,
            conversion_e8=50_000 * E8,
        ),
        "1.5",
    ),
    # 1e-8 coins × 1 000 / (1e-8 × 1e-8) = 1e11 lots, cut to max lot.
    "equity percent, the smallest of everything": (
        make(
            M.EQUITY_PERCENT,
            1,
            bases=[1],
            leverages=[1_000],
            percents=[100],
            contract_size_e8=1,
            conversion_e8=1,
            currency_digits=8,
        ),
        "100",
    ),
    # 1 × 3000 / 2000 × 0.5 = 0.75: half up to 0.8.
    "copy by balance": (make(M.COPY_BY_BALANCE, 1, bases=[3000], ratios=["0.5"], master_basis=2000), "0.8"),
    "copy by equity, ratio 2": (make(M.COPY_BY_EQUITY, "0.5", bases=[2000], ratios=[2], master_basis=1000), "2"),
    "copy by equity, ratio 1": (make(M.COPY_BY_EQUITY, "0.5", bases=[2000], ratios=[1], master_basis=1000), "1"),
    "copy by equity, ratio 1/2": (
        make(M.COPY_BY_EQUITY, "0.5", bases=[2000], ratios=["0.5"], master_basis=1000),
        "0.5",
    ),
    # The ratio is no part of this method: 2 × 700 / 1000 = 1.4.
    "copy by free margin": (make(M.COPY_BY_FREE_MARGIN, 2, bases=[700], ratios=[3], master_basis=1000), "1.4"),
    "fixed lots, whatever the master buys": (make(M.FIXED_LOT, 7, lots=["0.3", "2.5"]), "0.3 2.5"),
    "multipliers": (make(M.RATIO_MULTIPLIER, 1, ratios=["1.3", "2.5"]), "1.3 2.5"),
    # 10 × 500 / 1000 × 20 % = 1.
    "risk": (make(M.RISK, 10, bases=[500], percents=[20], master_basis=1000), "1"),
    # Equity of 12 000.00 × 0.01 % = 1.2 lots.
    "equity share": (make(M.EQUITY_SHARE, 1, bases=[1_200_000], percents=["0.01"]), "1.2"),
    # 2 × 1.5; 0.4; 2 × 500 / 1000 × 30 % = 0.3; 5 000.00 × 0.01 % = 0.5.
    "lot multiplier, four modes": (
        make(
            M.LOT_MULTIPLIER,
            2,
            bases=[500_000] * 4,
            master_basis=1_000_000,
            lots=["1.5", "0.4", 9, 9],
            percents=[9, 9, 30, "0.01"],
            modes=[LotMode.MULTIPLIER, LotMode.FIXED, LotMode.RISK, LotMode.EQUITY],
        ),
        "3 0.4 0.3 0.5",
    ),
    # 5.3, 4.3 and 0.4 steps: nearest 5 + 4 + 0, the shortage to the largest; or the largest remainder, 0.4.
    "nearest, largest": (make(M.DIVIDE_BY_LOT, 1, lots=[53, 43, 4]), "0.6 0.4 0"),
    "largest remainder": (
        make(M.DIVIDE_BY_LOT, 1, lots=[53, 43, 4], rounding=RoundingPolicy.LARGEST_REMAINDER),
        "0.5 0.4 0.1",
    ),
    # 5.3 − 0.4 = 4.9, 4.3 and 0.4 + 0.4 = 0.8 claims: 4 + 4 + 0, two steps to 0.9 and 0.8.
    "carry": (
        make(
            M.DIVIDE_BY_LOT,
            1,
            lots=[53, 43, 4],
            carries=["-0.04", 0, "0.04"],
            rounding=RoundingPolicy.CARRY,
        ),
        "0.5 0.4 0.1",
    ),
    # 0.04 + 0.03 owed = 0.07: up to 0.1; 0.04 − 0.03 = 0.01: down.
    "carry of copies": (
        make(M.FIXED_LOT, 1, lots=["0.04", "0.04"], carries=["0.03", "-0.03"], rounding=RoundingPolicy.CARRY),
        "0.1 0",
    ),
    # A sale is divided as the same purchase.
    "selling": (make(M.DIVIDE_BY_LOT, -10, lots=[2, 3]), "4 6"),
    # Steps that are no decimals: 1.8 is 3.6 steps of a half.
    "step of a half": (
        make(M.RATIO_MULTIPLIER, "1.5", ratios=["1.2"], grid=SymbolGrid(E8 // 2, E8 // 2, 50 * E8)),
        "2",
    ),
}


@pytest.mark.parametrize("name", WORKED)
def test_worked_figures(name):
    inputs, expected = WORKED[name]
    assert volumes(inputs) == [Fraction(volume) for volume in expected.split()]


def test_carries_say_what_is_owed_afterwards():
    # 0.53 − 0.04 owed − 0.5, 0.43 − 0.4, 0.04 + 0.04 owed − 0.1.
    decision = decide_open(WORKED["carry"][0])
    assert decision.carries_e8.tolist() == [lots("-0.01"), lots("0.03"), lots("-0.02")]
    decision = decide_open(WORKED["carry of copies"][0])
    assert decision.carries_e8.tolist() == [lots("-0.03"), lots("0.01")]


def test_small_followers_get_their_part_in_the_end():
    """0.04 lot of each trade of 1.00 in steps of 0.1: 0.4 of ten trades, though no share alone is half a step."""
    carries, got = [0, 0], []
    for _ in range(10):
        inputs = make(M.DIVIDE_BY_LOT, 1, lots=[96, 4], carries=carries, rounding=RoundingPolicy.CARRY)
        decision = decide_open(inputs)
        got.append(int(decision.steps[1]))
        carries = [Fraction(int(carry), E8) for carry in decision.carries_e8]
        assert sum(carries) == 0
    assert (sum(got), max(got)) == (4, 1)


def test_a_child_is_cut_at_its_own_limit_and_the_others_get_the_rest():
    inputs = make(M.DIVIDE_BY_LOT, 10, lots=[5, 3, 2], caps=[4, 9, 9])
    assert volumes(inputs) == [4, Fraction("3.6"), Fraction("2.4")]
    assert reasons(inputs) == [SkipReason.CAPPED, NONE, NONE]


def test_a_limit_below_min_lot_leaves_nothing():
    inputs = make(M.DIVIDE_BY_LOT, 10, lots=[5, 5], caps=["0.05", 99])
    assert volumes(inputs) == [0, 10]
    assert reasons(inputs) == [SkipReason.CAPPED, NONE]
    alone = make(M.FIXED_LOT, 1, lots=[2, 2], caps=["0.05", 1])
    assert volumes(alone) == [0, 1]
    assert reasons(alone) == [SkipReason.CAPPED, SkipReason.CAPPED]


def test_a_subscription_may_choose_how_far_it_is_rounded_up():
    grid = SymbolGrid(lots("0.01"), lots("0.1"), lots(10))
    inputs = make(M.RATIO_MULTIPLIER, 1, ratios=["0.02", "0.02", "0.01"], factors=[4, 5, 10], grid=grid)
    assert volumes(inputs) == [0, Fraction("0.1"), Fraction("0.1")]


def test_settings_keep_single_subscriptions_out():
    gates = [NONE, SkipReason.FILTERED, SkipReason.SYMBOL_UNMAPPED]
    inputs = make(
        M.DIVIDE_BY_LOT, 10, lots=[2, 5, 3], gate_reasons=np.array(gates, dtype=np.int8), active=[True, True, False]
    )
    assert volumes(inputs) == [10, 0, 0]
    assert reasons(inputs) == [NONE, SkipReason.FILTERED, SkipReason.INACTIVE]


class TestMarginGate:
    """Equity of 1 000.00, leverage 100, a lot is 100 000 euro: V lots need a margin of V × 1 000.00."""

    def given(self, volume, percents, **more):
        count = len(percents)
        figures = {"bases": [100_000] * count, "margins": [0] * count, "leverages": [100] * count} | EURO | more
        return make(M.EQUAL_RISK, volume, percents=percents, grid=CENT, **figures)

    def test_a_level_just_reached_is_enough(self):
        # Half a lot each: 1 000 / 500 = 200 %.
        assert volumes(self.given(1, [200, 200])) == [HALF, HALF]

    def test_who_falls_below_is_out_and_the_others_get_his_part(self):
        # 0.51 each: 196 %. The second asks for nothing.
        inputs = self.given("1.02", [200, 0])
        assert volumes(inputs) == [0, Fraction("1.02")]
        assert reasons(inputs) == [SkipReason.MARGIN_GATE, NONE]

    def test_the_part_of_one_may_throw_out_the_next(self):
        # A third of 0.9 each, 0.3: 333 % is too little for the first. Then 0.45: 222 % is too little for the second.
        inputs = self.given("0.9", [400, 300, 100])
        assert volumes(inputs) == [0, 0, Fraction("0.9")]

    def test_a_lot_of_a_hundredth_of_a_coin_needs_little(self):
        # A lot is 500.00, of which 5.00 are needed: 1 000 / (50 × 5) = 400 %.
        coin = {"contract_size_e8": E8 // 100, "conversion_e8": 50_000 * E8}
        assert volumes(self.given(50, [400], **coin)) == [50]
        assert volumes(self.given("50.01", [400], **coin)) == [0]

    @pytest.mark.parametrize("digits", [0, 2, 8])
    def test_digits_only_name_the_units(self, digits):
        figures = {"bases": [1_000 * 10**digits] * 2, "currency_digits": digits}
        assert volumes(self.given(1, [200, 200], **figures)) == [HALF, HALF]
        assert volumes(self.given("1.02", [200, 0], **figures)) == [0, Fraction("1.02")]

    def test_figures_past_63_bits_are_compared_exactly(self):
        # 1 lot at leverage 1 needs 1e10 × 0.09 units of 8 digits: at 100 % just the equity, or a minor unit more.
        price = {"contract_size_e8": 10**10 * E8, "conversion_e8": 9 * E8 // 100, "currency_digits": 8}
        enough = 9 * 10**8 * 10**8
        assert volumes(self.given(1, [100], bases=[enough], leverages=[1], **price)) == [1]
        assert volumes(self.given(1, [100], bases=[enough - 1], leverages=[1], **price)) == [0]

    def test_all_out(self):
        inputs = self.given("1.02", [200, 200])
        assert volumes(inputs) == [0, 0]
        assert reasons(inputs) == [SkipReason.MARGIN_GATE] * 2

    def test_who_is_below_before_is_not_asked(self):
        # 1 000 / 600 = 167 % without the trade.
        inputs = self.given("0.1", [200, 100], margins=[60_000, 0])
        assert volumes(inputs) == [0, Fraction("0.1")]
        assert reasons(inputs) == [SkipReason.MARGIN_GATE, NONE]

    def test_who_cannot_be_judged_is_out_with_his_reason(self):
        more = {"margins": [UNKNOWN_BASIS, 0, 0, UNKNOWN_BASIS], "leverages": [100, 0, 100, 0]}
        inputs = self.given(1, [1, 1, 1, 0], **more)
        assert reasons(inputs) == [SkipReason.STALE_STATE, SkipReason.NO_PRICE, NONE, NONE]
        assert reasons(self.given(1, [1, 0], contract_size_e8=0)) == [SkipReason.NO_PRICE, NONE]


def test_deriving_needs_prices():
    figures = {"bases": [100, 100], "percents": [10, 10], "leverages": [100, 0]}
    assert reasons(make(M.EQUITY_PERCENT, 1, **figures)) == [SkipReason.NO_PRICE] * 2
    assert reasons(make(M.EQUITY_PERCENT, 1, **figures, **EURO))[1] is SkipReason.NO_PRICE


def test_modes_need_only_their_own_figures():
    modes = [LotMode.MULTIPLIER, LotMode.RISK, LotMode.EQUITY]
    inputs = make(
        M.LOT_MULTIPLIER,
        1,
        bases=[UNKNOWN_BASIS, 500, UNKNOWN_BASIS],
        master_basis=UNKNOWN_BASIS,
        lots=[1, 1, 1],
        percents=[1, 1, 1],
        modes=modes,
    )
    assert reasons(inputs) == [NONE, SkipReason.STALE_STATE, SkipReason.STALE_STATE]


@pytest.mark.parametrize(
    ("method", "columns", "zero"),
    [
        (M.DIVIDE_BY_LOT, {"lots": [0, 0]}, True),
        (M.DIVIDE_BY_LOT, {"lots": [0, 1]}, False),
        (M.DIVIDE_BY_PERCENT, {"percents": [0, 0]}, True),
        (M.FIXED_LOT, {"lots": [0, 0]}, False),
        (M.EQUAL_RISK, {"bases": [0, -1]}, True),
        (M.COPY_BY_BALANCE, {"bases": [5, 5], "master_basis": 0}, True),
        (M.LOT_MULTIPLIER, {"bases": [5, 5], "lots": [1, 1], "master_basis": 0}, False),
    ],
)
def test_zero_base(method, columns, zero):
    assert has_zero_base(make(method, 1, **columns)) is zero


def test_who_divides_with_nothing_is_below_min_lot():
    inputs = make(M.DIVIDE_BY_PERCENT, 10, percents=[100, 0])
    assert volumes(inputs) == [10, 0]
    assert reasons(inputs) == [NONE, SkipReason.BELOW_MIN_LOT]


def test_percents_above_100_are_scaled_down():
    """Updates refuse them; a decision made all the same hands out no more than there is."""
    assert volumes(make(M.DIVIDE_BY_PERCENT, 10, percents=[100, 100])) == [5, 5]


def test_who_would_get_more_than_can_be_counted_gets_max_lot_and_the_others_their_share():
    """A lot is 1e-8 units of 0.01: 1e6 × 1 000 / 1e-10 = 1e19 lots, and 0.01 × 1e-10 / 1e-10 = 0.01 lots."""
    figures = {"bases": [100_000_000, 1], "leverages": [1_000, 1], "percents": [100, "0.00000001"]}
    inputs = make(M.EQUITY_PERCENT, 1, grid=CENT, contract_size_e8=1, conversion_e8=E8 // 100, **figures)
    assert volumes(inputs) == [100, Fraction("0.01")]
    assert reasons(inputs) == [SkipReason.CAPPED, NONE]
