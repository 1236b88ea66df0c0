"""Figures against a slow computation of the same definitions in fractions and the standard library's statistics."""

from __future__ import annotations

import math
import statistics
from datetime import date, timedelta
from fractions import Fraction
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from apportion.allocation.domain.closed_trades import TradeLedger
from apportion.allocation.domain.equity_days import EquityDays
from apportion.allocation.domain.statistics import Statistics, indexes_e8, statistics_of
from apportion.money import E8, INT64_MAX

NO_TRADES = TradeLedger().closed_trades()
MONDAY = 20_458
YEAR = math.sqrt(252)
TOO_SMALL = 1e-9
"""A deviation below is rounding."""

Row = tuple[int, int, int, int]
"""(server day, equity at the end, deposits, withdrawals)."""


@st.composite
def histories(draw: st.DrawFn) -> tuple[int, list[Row]]:
    money = st.integers(0, 10**9)
    ends = st.integers(-(10**6), 10**9) | st.just(0)
    flows = st.just(0) | st.integers(1, 10**8)
    steps = draw(st.lists(st.integers(1, 4), min_size=1, max_size=20))
    days, rows = MONDAY - 1, []
    for step in steps:
        days += step
        rows.append((days, draw(ends), draw(flows), draw(flows)))
    return draw(money), rows


def columns(opening: int, rows: list[Row]) -> EquityDays:
    days, ends, paid_in, paid_out = (np.array(column, dtype=np.int64) for column in zip(*rows, strict=True))
    return EquityDays(opening, days, ends, ends, paid_in, paid_out)


class Slow:
    """One day after the other."""

    def __init__(self, opening: int, rows: list[Row]) -> None:
        self.returns: list[Fraction] = []
        self.index = [Fraction(1)]
        self.gains = [0]
        months: dict[tuple[int, int], Fraction] = {}
        before, trading = opening, []
        for day, end, paid_in, paid_out in rows:
            flow = paid_in - paid_out
            base = before + max(flow, 0)
            earned = max(Fraction(end - flow - before, base), Fraction(-1)) if base > 0 else Fraction(0)
            civil = date(1970, 1, 1) + timedelta(days=day)
            if earned or civil.isoweekday() < 6:
                trading.append(earned)
            month = (civil.year, civil.month)
            months[month] = months.get(month, Fraction(1)) * (1 + earned)
            self.returns.append(earned)
            self.index.append(self.index[-1] * (1 + earned))
            self.gains.append(self.gains[-1] + end - before - flow)
            before = end
        self.months = {month: product - 1 for month, product in months.items()}
        self.drawdown = max(
            1 - low / high if (high := max(self.index[: place + 1])) else Fraction(0)
            for place, low in enumerate(self.index)
        )
        self.fall = max(max(self.gains[: place + 1]) - low for place, low in enumerate(self.gains))
        self.money_weighted = self._dietz(opening, rows)
        self.trading = trading

    def _dietz(self, opening: int, rows: list[Row]) -> Fraction:
        first, last = rows[0][0], rows[-1][0]
        base, gain = Fraction(opening), rows[-1][1] - opening
        for day, _, paid_in, paid_out in rows:
            flow = paid_in - paid_out
            there = last - day + (1 if flow > 0 else 0)
            base += Fraction(flow * there, last - first + 1)
            gain -= flow
        return max(gain / base, Fraction(-1)) if base > 0 else Fraction(0)

    @property
    def volatility(self) -> float | None:
        return statistics.stdev(self.trading) * YEAR if len(self.trading) > 1 else None

    @property
    def sharpe(self) -> float | None:
        if len(self.trading) < 2 or (deviation := float(statistics.stdev(self.trading))) < TOO_SMALL:
            return None
        return float(statistics.mean(self.trading)) / deviation * YEAR

    @property
    def sortino(self) -> float | None:
        if len(self.trading) < 2:
            return None
        losses = [min(earned, Fraction(0)) ** 2 for earned in self.trading]
        deviation = math.sqrt(statistics.mean(losses))
        return float(statistics.mean(self.trading)) / deviation * YEAR if deviation >= TOO_SMALL else None


def close_to(found_e8: int | None, expected: float | Fraction | None) -> bool:
    """To the eighth digit, or to twelve digits of what is big."""
    if expected is None or found_e8 is None:
        return found_e8 is None and (expected is None or abs(expected) < TOO_SMALL)
    return found_e8 == pytest.approx(min(float(expected * E8), INT64_MAX), rel=1e-7, abs=2)


@given(histories())
@example((0, [(MONDAY, 0, 0, 0)]))  # nothing, ever
@example((100, [(MONDAY, 0, 0, 100), (MONDAY + 1, 0, 0, 0)]))  # everything paid out
@example((100, [(MONDAY, -50, 0, 0), (MONDAY + 1, 100, 150, 0)]))  # wiped out below 0, paid in again
@example((0, [(MONDAY, 120, 100, 0), (MONDAY + 1, 60, 50, 110)]))  # from nothing; in and out on one day
@example((100, [(MONDAY, 110, 0, 0), (MONDAY + 1, 121, 0, 0)]))  # no variation
@example((100, [(MONDAY + 5, 100, 0, 0), (MONDAY + 6, 100, 0, 0)]))  # a weekend
def test_figures_are_those_of_a_slow_computation(history):
    slow, found = Slow(*history), statistics_of(columns(*history), NO_TRADES)
    assert close_to(found.time_weighted_return_e8, slow.index[-1] - 1)
    assert close_to(found.money_weighted_return_e8, slow.money_weighted)
    assert close_to(found.max_drawdown_e8, slow.drawdown)
    assert close_to(found.volatility_e8, slow.volatility)
    assert close_to(found.sharpe_e8, slow.sharpe)
    assert close_to(found.sortino_e8, slow.sortino)
    assert {(m.year, m.month) for m in found.monthly_returns} == slow.months.keys()
    assert all(close_to(m.return_e8, slow.months[m.year, m.month]) for m in found.monthly_returns)
    assert (found.gain_minor, found.max_drawdown_minor) == (slow.gains[-1], slow.fall)
    factor = round(Fraction(slow.gains[-1] * E8, slow.fall)) if slow.fall else None
    assert found.recovery_factor_e8 == factor
    assert all(map(close_to, indexes_e8(columns(*history)).tolist(), slow.index[1:]))


@given(histories())
def test_what_must_hold_of_every_account(history):
    opening, rows = history
    found = statistics_of(columns(*history), NO_TRADES)
    assert found.time_weighted_return_e8 >= -E8
    assert found.money_weighted_return_e8 >= -E8
    assert 0 <= found.max_drawdown_e8 <= E8
    assert found.max_drawdown_minor >= max(0, -found.gain_minor)
    assert found.equity_minor - opening == found.gain_minor + found.deposit_sum_minor - found.withdrawal_sum_minor
    assert (found.deposit_sum_minor, found.withdrawal_sum_minor) == (
        sum(row[2] for row in rows),
        sum(row[3] for row in rows),
    )


@given(histories(), st.lists(st.integers(0, 19), max_size=2))
def test_spans_that_follow_one_another_make_the_whole(history, cuts):
    _, rows = history
    ends = sorted({rows[min(cut, len(rows) - 1)][0] for cut in cuts} | {rows[-1][0]})
    days = columns(*history)
    spans = [days.between(first + 1, last) for first, last in pairwise([rows[0][0] - 1, *ends])]
    parts = [statistics_of(span, NO_TRADES) for span in spans]
    whole = statistics_of(days, NO_TRADES)
    assert sum(part.gain_minor for part in parts) == whole.gain_minor
    product = math.prod(Fraction(part.time_weighted_return_e8, E8) + 1 for part in parts)
    if whole.time_weighted_return_e8 < 100 * E8 and min(part.time_weighted_return_e8 for part in parts) > -E8 // 2:
        assert float(product) == pytest.approx(whole.time_weighted_return_e8 / E8 + 1, rel=1e-6)


@given(histories(), st.integers(2, 1_000))
def test_an_account_of_another_size_has_the_same_ratios(history, factor):
    opening, rows = history
    bigger = [(day, end * factor, paid_in * factor, paid_out * factor) for day, end, paid_in, paid_out in rows]
    found = statistics_of(columns(opening, rows), NO_TRADES)
    scaled = statistics_of(columns(opening * factor, bigger), NO_TRADES)
    assert _ratios(scaled) == pytest.approx(_ratios(found), rel=1e-6, abs=2)
    assert scaled.gain_minor == found.gain_minor * factor


def _ratios(found: Statistics) -> list[int]:
    figures = (
        found.time_weighted_return_e8,
        found.money_weighted_return_e8,
        found.max_drawdown_e8,
        found.volatility_e8,
        found.recovery_factor_e8,
    )
    return [figure or 0 for figure in figures]
