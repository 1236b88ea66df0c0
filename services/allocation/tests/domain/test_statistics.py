"""Figures against examples computed by hand."""

from __future__ import annotations

import math

import numpy as np
import pytest

from apportion.allocation.domain.closed_trades import ClosedTrades, TradeLedger
from apportion.allocation.domain.equity_days import EquityDays, Looks, equity_days
from apportion.allocation.domain.history import DAY_MS
from apportion.allocation.domain.statistics import (
    daily_returns,
    e8,
    indexes_e8,
    sharpe,
    statistics_of,
)
from apportion.money import E8, INT64_MAX

MONDAY = 20_458  # 2026-01-05


def ints(*values: int) -> np.ndarray:
    return np.array(values, dtype=np.int64)


def days(opening: int, *ends: tuple[int, int], first: int = MONDAY, numbers: tuple[int, ...] | None = None):
    """(equity at the end, flow) of consecutive days."""
    flows = ints(*(flow for _, flow in ends))
    equities = ints(*(end for end, _ in ends))
    numbers_of = ints(*(numbers or range(first, first + len(ends))))
    return EquityDays(opening, numbers_of, equities, equities, np.maximum(flows, 0), np.maximum(-flows, 0))


NO_TRADES: ClosedTrades = TradeLedger().closed_trades()
# +10 %, then 500 paid in and −5 % of 1600, then +5 % of 1520 and 520 paid out.
THREE = days(100_000, (110_000, 0), (152_000, 50_000), (107_600, -52_000))


def test_the_days_returns_leave_flows_out():
    assert daily_returns(THREE) == pytest.approx([0.1, -0.05, 0.05])


def test_a_span_of_three_days():
    found = statistics_of(THREE, NO_TRADES)
    assert (found.first_server_day, found.last_server_day, found.equity_minor) == (MONDAY, MONDAY + 2, 107_600)
    assert found.time_weighted_return_e8 == 9_725_000  # 1.1 × 0.95 × 1.05 − 1
    assert found.money_weighted_return_e8 == 7_200_000  # 9 600 ÷ (100 000 + 50 000 × 2 ÷ 3)
    assert found.max_drawdown_e8 == 5_000_000
    assert found.sharpe_e8 == 692_820_323  # mean 1/30, variance 7/1200: √(4/21 × 252) = √48
    assert found.sortino_e8 == 1_833_030_278  # mean square of losses 1/1200: √(4/3 × 252) = √336
    assert found.volatility_e8 == e8(math.sqrt(7 / 1_200 * 252))
    # Earned 10 000, −8 000 and 7 600; from the peak of 10 000 it fell to 2 000.
    assert (found.gain_minor, found.max_drawdown_minor, found.recovery_factor_e8) == (9_600, 8_000, 120_000_000)
    assert (found.deposit_sum_minor, found.withdrawal_sum_minor) == (50_000, 52_000)
    assert [(m.year, m.month, m.return_e8) for m in found.monthly_returns] == [(2026, 1, 9_725_000)]
    assert indexes_e8(THREE).tolist() == [110_000_000, 104_500_000, 109_725_000]


@pytest.mark.parametrize("flow", [0, 30_000, -30_000])
def test_over_one_day_both_returns_are_equal_and_ratios_do_not_exist(flow):
    found = statistics_of(days(100_000, (100_000 + flow + 2_600, flow)), NO_TRADES)
    expected = 2_000_000 if flow > 0 else 2_600_000
    assert (found.time_weighted_return_e8, found.money_weighted_return_e8) == (expected, expected)
    assert (found.sharpe_e8, found.sortino_e8, found.max_drawdown_e8) == (None, None, 0)


def test_without_a_day_there_is_nothing():
    found = statistics_of(days(0), NO_TRADES)
    assert found.monthly_returns == ()
    assert (found.time_weighted_return_e8, found.money_weighted_return_e8, found.equity_minor) == (0, 0, 0)
    assert (found.sharpe_e8, found.sortino_e8, found.volatility_e8, found.recovery_factor_e8) == (None,) * 4
    assert (found.gain_minor, found.max_drawdown_minor) == (0, 0)


def test_equal_returns_have_no_sharpe_ratio_and_no_loss_no_sortino_ratio():
    found = statistics_of(days(1_000_000, (1_100_000, 0), (1_210_000, 0), (1_331_000, 0)), NO_TRADES)
    assert (found.sharpe_e8, found.sortino_e8) == (None, None)
    assert found.time_weighted_return_e8 == 33_100_000


@pytest.mark.parametrize("end", [0, -500])
def test_who_lost_everything_lost_one_hundred_percent_for_ever(end):
    found = statistics_of(days(100_000, (end, 0), (50_000, 50_000 - end), (60_000, 0)), NO_TRADES)
    assert found.time_weighted_return_e8 == -E8
    assert found.max_drawdown_e8 == E8
    assert indexes_e8(days(100_000, (end, 0), (50_000, 50_000))).tolist() == [0, 0]


def test_an_empty_account_earns_nothing_and_its_first_deposit_is_no_return():
    found = statistics_of(days(0, (0, 0), (100_000, 100_000), (103_000, 0)), NO_TRADES)
    assert found.time_weighted_return_e8 == 3_000_000
    assert found.money_weighted_return_e8 == 4_500_000  # 3 000 on 100 000 that were there for two days of three


def test_a_withdrawal_of_everything_is_no_loss():
    found = statistics_of(days(100_000, (0, -100_000), (0, 0)), NO_TRADES)
    assert (found.time_weighted_return_e8, found.money_weighted_return_e8, found.max_drawdown_e8) == (0, 0, 0)


def test_weekends_without_a_return_are_no_trading_days():
    week = days(100_000, *((end, 0) for end in (101_000, 100_000, 102_000, 101_000, 103_000, 103_000, 103_000)))
    assert statistics_of(week, NO_TRADES).sharpe_e8 == e8(sharpe(daily_returns(week)[:5]))
    moved = days(100_000, *((end, 0) for end in (101_000, 100_000, 102_000, 101_000, 103_000, 104_000, 103_000)))
    assert statistics_of(moved, NO_TRADES).sharpe_e8 == e8(sharpe(daily_returns(moved)))


def test_months_have_the_products_of_their_days():
    found = statistics_of(days(100, (110, 0), (121, 0), (242, 0), numbers=(20_483, 20_484, 20_486)), NO_TRADES)
    assert [(m.year, m.month, m.return_e8) for m in found.monthly_returns] == [
        (2026, 1, 21_000_000),
        (2026, 2, 100_000_000),
    ]


def test_a_span_opens_with_the_equity_of_the_day_before():
    part = THREE.between(MONDAY + 1, MONDAY + 1)
    assert (part.opening_equity_minor, part.equities_minor.tolist(), part.flows_minor.tolist()) == (
        110_000,
        [152_000],
        [50_000],
    )
    assert THREE.between(MONDAY + 9, MONDAY + 10).server_days.size == 0


def test_a_flow_belongs_to_the_day_whose_last_look_contains_it():
    first, second = (MONDAY + 1) * DAY_MS - 60_000, (MONDAY + 2) * DAY_MS - 60_000
    looks = Looks(MONDAY * DAY_MS + 1_000, 100, ints(first, second), ints(1, 2), ints(3, 4))
    # before the first look; at the last look of the first day; after it; on the second day; after its last look
    times = ints(MONDAY * DAY_MS + 1_000, first, first + 1, second - 1, second + 1)
    found = equity_days(looks, times, ints(1, 10, 100, -30, 1_000))
    assert (found.deposits_minor.tolist(), found.withdrawals_minor.tolist()) == ([10, 100], [0, 30])
    assert (found.opening_equity_minor, found.server_days.tolist()) == (100, [MONDAY, MONDAY + 1])


def test_what_passes_int64_becomes_its_end():
    assert (e8(1e300), e8(-math.inf), e8(0.123456785)) == (INT64_MAX, -INT64_MAX, 12_345_678)
