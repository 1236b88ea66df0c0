"""Reasons, limits and refusals of opening decisions."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest
from allocation_sets import subscription_set

from apportion.allocation.domain.gates import has_zero_base
from apportion.allocation.domain.grids import SymbolGrid
from apportion.allocation.domain.methods import AllocationMethod, RoundingPolicy
from apportion.allocation.domain.open_inputs import UNKNOWN_BASIS, OpenInputs
from apportion.allocation.domain.opening import decide_open
from apportion.allocation.domain.reasons import SkipReason
from apportion.money import E8

COPY = AllocationMethod.COPY_BY_EQUITY
MULTIPLY = AllocationMethod.RATIO_MULTIPLIER
DIVIDE = AllocationMethod.DIVIDE_BY_EQUITY
NEAREST, DOWN = RoundingPolicy.NEAREST, RoundingPolicy.DOWN
NEAREST_LARGEST, LARGEST_REMAINDER = RoundingPolicy.NEAREST_LARGEST, RoundingPolicy.LARGEST_REMAINDER
TENTH = SymbolGrid(E8 // 10, E8 // 10, 100 * E8)


def lots(text: str) -> int:
    return int(Fraction(text) * E8)


def inputs(method, master_volume, *, bases=(), ratios=None, master_basis=0, grid=TENTH, rounding=None, **more):
    count = len(bases) or len(ratios)
    active = more.pop("active", [True] * count)
    round_up = more.pop("round_up", [False] * count)
    return OpenInputs(
        method=method,
        rounding=rounding or (NEAREST_LARGEST if method is DIVIDE else NEAREST),
        grid=grid,
        master_volume_e8=lots(master_volume),
        master_basis=master_basis,
        subscriptions=subscription_set(
            count, active=active, round_up=round_up, ratios_e8=[lots(r) for r in ratios or ["1"] * count]
        ),
        bases=np.array(bases, dtype=np.int64),
        **more,
    )


def volumes(given_inputs) -> list[Fraction]:
    return [Fraction(int(s) * given_inputs.grid.step_e8, E8) for s in decide_open(given_inputs).steps]


def reasons(given_inputs) -> list[SkipReason]:
    return [SkipReason(int(r)) for r in decide_open(given_inputs).reasons]


def test_every_subscription_that_gets_nothing_has_its_reason():
    given_inputs = inputs(
        COPY,
        "1",
        bases=[1000, 1000, 0, -5, UNKNOWN_BASIS, 40, 1_000_000],
        active=[True, False, True, True, True, True, True],
        master_basis=1000,
    )
    assert reasons(given_inputs) == [
        SkipReason.NONE,
        SkipReason.INACTIVE,
        SkipReason.NO_EQUITY,
        SkipReason.NO_EQUITY,
        SkipReason.STALE_STATE,
        SkipReason.BELOW_MIN_LOT,
        SkipReason.CAPPED,
    ]
    assert volumes(given_inputs) == [1, 0, 0, 0, 0, 0, 100]


@pytest.mark.parametrize(
    ("master_basis", "reason"), [(UNKNOWN_BASIS, SkipReason.STALE_STATE), (0, SkipReason.NO_EQUITY)]
)
def test_a_master_without_figures_is_copied_by_nobody(master_basis, reason):
    assert reasons(inputs(COPY, "1", bases=[10, 20], master_basis=master_basis)) == [reason, reason]


@pytest.mark.parametrize("blanket", [SkipReason.PAUSED_BY_RISK, SkipReason.TOO_LATE, SkipReason.SYMBOL_UNMAPPED])
def test_a_blanket_reason_keeps_everybody_out(blanket):
    given_inputs = inputs(MULTIPLY, "1", ratios=["1", "1"], active=[True, False], blanket_reason=blanket)
    assert reasons(given_inputs) == [blanket, SkipReason.INACTIVE]
    assert volumes(given_inputs) == [0, 0]


def test_nobody_there():
    assert volumes(inputs(DIVIDE, "1", bases=[1], active=[False])) == [0]
    assert decide_open(inputs(DIVIDE, "1", bases=[5, 5], active=[False, False])).steps.tolist() == [0, 0]


def test_round_up_to_min_only_up_to_five_times_the_share():
    grid = SymbolGrid(lots("0.01"), lots("0.1"), lots("10"))
    given_inputs = inputs(MULTIPLY, "1", ratios=["0.05", "0.02", "0.019", "0.05"], grid=grid, round_up=[1, 1, 1, 0])
    assert volumes(given_inputs) == [Fraction("0.1"), Fraction("0.1"), 0, 0]
    assert reasons(given_inputs) == [0, 0, SkipReason.BELOW_MIN_LOT, SkipReason.BELOW_MIN_LOT]


class TestLimitsOfDividing:
    def test_the_excess_over_max_lot_goes_to_the_others(self):
        grid = SymbolGrid(lots("0.1"), lots("0.1"), lots("5"))
        given_inputs = inputs(DIVIDE, "10", bases=[80, 10, 10], grid=grid)
        assert volumes(given_inputs) == [5, Fraction("2.5"), Fraction("2.5")]
        assert reasons(given_inputs) == [SkipReason.CAPPED, 0, 0]

    def test_what_nobody_can_take_stays_unallocated(self):
        grid = SymbolGrid(lots("0.1"), lots("0.1"), lots("3"))
        given_inputs = inputs(DIVIDE, "10", bases=[80, 10, 10], grid=grid)
        assert volumes(given_inputs) == [3, 3, 3]
        assert reasons(given_inputs) == [SkipReason.CAPPED] * 3

    def test_the_volume_of_those_below_min_lot_goes_to_the_others(self):
        grid = SymbolGrid(lots("0.1"), lots("1"), lots("50"))
        given_inputs = inputs(DIVIDE, "10", bases=[50, 45, 5], grid=grid)
        assert sum(volumes(given_inputs)) == 10
        assert volumes(given_inputs)[2] == 0
        assert reasons(given_inputs) == [0, 0, SkipReason.BELOW_MIN_LOT]

    def test_all_below_min_lot(self):
        grid = SymbolGrid(lots("0.1"), lots("5"), lots("50"))
        assert volumes(inputs(DIVIDE, "6", bases=[1, 1, 1], grid=grid)) == [0, 0, 0]

    def test_rounding_up_is_paid_by_the_others(self):
        grid = SymbolGrid(lots("0.1"), lots("1"), lots("50"))
        given_inputs = inputs(DIVIDE, "10", bases=[50, 45, 5], grid=grid, round_up=[False, False, True])
        assert volumes(given_inputs)[2] == 1
        assert sum(volumes(given_inputs)) == 10

    def test_rounding_up_never_hands_out_more_than_there_is(self):
        grid = SymbolGrid(lots("0.1"), lots("1"), lots("50"))
        given_inputs = inputs(DIVIDE, "2", bases=[6, 5, 5, 4], grid=grid, round_up=[True] * 4)
        assert volumes(given_inputs) == [1, 1, 0, 0]


def test_zero_base():
    assert has_zero_base(inputs(COPY, "1", bases=[10], master_basis=0))
    assert has_zero_base(inputs(COPY, "1", bases=[10], master_basis=-1))
    assert not has_zero_base(inputs(COPY, "1", bases=[10], master_basis=UNKNOWN_BASIS))
    assert not has_zero_base(inputs(COPY, "1", bases=[0], master_basis=10))
    assert has_zero_base(inputs(DIVIDE, "1", bases=[0, -4]))
    assert not has_zero_base(inputs(DIVIDE, "1", bases=[0, UNKNOWN_BASIS]))
    assert not has_zero_base(inputs(DIVIDE, "1", bases=[0, 4]))
    assert not has_zero_base(inputs(DIVIDE, "1", bases=[0], active=[False]))
    assert not has_zero_base(inputs(MULTIPLY, "1", ratios=["1"]))
