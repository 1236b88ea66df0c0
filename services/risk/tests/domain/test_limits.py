from __future__ import annotations

import math
from dataclasses import replace
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st
from risk_world import LABEL, MASTER, NOW, PERCENT, columns

from apportion.risk.domain.limits import (
    HUNDRED_PERCENT_E8,
    Alarm,
    Basis,
    DailyLimit,
    LimitState,
    check_limit,
    check_not_latched,
    server_day_of,
    signals,
)
from apportion.risk.errors import BasisNotAvailable, LimitLatched, LimitRange

LIMIT = DailyLimit(
    LABEL, MASTER, 43, 1, "USD", 10 * PERCENT, Basis.EQUITY_AT_DAY_START, LimitState.ARMED, 5, 10_000, 10_000, 0, 1, 0,
    0, 0, Alarm.NONE, 1, NOW,
)  # fmt: skip


@pytest.mark.parametrize(
    ("base", "percent_e8", "signal"),
    [
        (10_000, 10 * PERCENT, 9_000),
        (10_000, 100 * PERCENT, 0),
        (10_001, 10 * PERCENT, 9_001),  # 9000.9: 9000 is below it, 9001 is not
        (0, 10 * PERCENT, 0),
        (-500, 10 * PERCENT, -500),
        (10_000, 1, 10_000),
        (2**62, 100 * PERCENT, 0),
    ],
)
def test_signals(base, percent_e8, signal):
    assert signals(columns(base), columns(percent_e8)).tolist() == [signal]


@given(st.integers(1, 2**62), st.integers(1, HUNDRED_PERCENT_E8), st.integers(-1, 1))
def test_an_equity_is_below_the_signal_exactly_when_it_is_below_the_formula(base, percent_e8, off):
    exact = Fraction(base) * (1 - Fraction(percent_e8, HUNDRED_PERCENT_E8))
    equity = math.floor(exact) + off
    assert (equity < signals(columns(base), columns(percent_e8))[0]) == (equity < exact)


def test_flows_move_the_signal():
    assert LIMIT.signal_equity_minor == 9_000
    assert replace(LIMIT, day_flow_minor=-5_000).signal_equity_minor == 4_500


@pytest.mark.parametrize("percent_e8", [0, -1, HUNDRED_PERCENT_E8 + 1])
def test_percents_out_of_range_are_refused(percent_e8):
    with pytest.raises(LimitRange):
        check_limit(percent_e8, Basis.EQUITY_AT_DAY_START)


@pytest.mark.parametrize("basis", set(Basis) - {Basis.EQUITY_AT_DAY_START})
def test_other_bases_are_refused(basis):
    check_limit(1, Basis.EQUITY_AT_DAY_START)
    with pytest.raises(BasisNotAvailable):
        check_limit(1, basis)


def test_a_tripped_limit_is_latched():
    check_not_latched(LIMIT)
    with pytest.raises(LimitLatched):
        check_not_latched(replace(LIMIT, trip_id=9, state=LimitState.CLOSED))


@pytest.mark.parametrize(("time_ms", "day"), [(0, 0), (86_399_999, 0), (86_400_000, 1)])
def test_server_days_begin_at_the_servers_midnight(time_ms, day):
    assert server_day_of(time_ms) == day
