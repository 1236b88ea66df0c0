"""How an account has done: returns, drawdown, ratios. Statistics, not books, so returns are floats here.

They see what an account had at the end of each server day: a fall that had recovered by then is no drawdown. Amounts of
money (`…_minor`) and their quotients are exact; returns are double precision, shown to 1e-8.

Return of a day (`daily_returns`): (end − flow − before) ÷ (before + flow, where it is above 0). A net deposit counts as
there from the beginning of its day, a net withdrawal until the end: neither makes a return by itself. At −100 % it
ends: an account that lost everything, or more, lost everything. Without anything to earn on the return is 0.

Time-weighted return: the product of the days' returns (Global Investment Performance Standards, daily valuation).
Money-weighted return: modified Dietz, gain ÷ (opening equity + flows weighted by the part of the span they were there),
by the same convention, so that over one day both are equal.
Maximal drawdown: the deepest fall of the time-weighted curve from a peak, its beginning included.
Volatility: sample standard deviation of the daily returns × √252. Sharpe ratio: mean ÷ sample standard deviation of the
daily returns × √252, riskless rate 0. Sortino ratio: mean ÷ root of the mean square of the daily losses, over all days,
× √252 (Sortino & Price 1994, target 0). Saturdays and Sundays without a return are no trading days and are left out.
None of them exists with fewer than two days, nor a ratio without variation (Sharpe) or a loss (Sortino). These are the
definitions of the empyrical library.
Gain: closing equity − opening equity − flows, so it knows open positions, too. Recovery factor: gain ÷ the deepest fall
of the cumulated gain from a peak, in money (as in MetaTrader's reports, of equities); none without a fall.
Figures of trades: `closed_trades`.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from apportion.allocation.domain.closed_trades import ClosedTrades, TradeFigures, quotient, trade_figures
from apportion.allocation.domain.equity_days import EquityDays
from apportion.money import E8, INT64_MAX, Int64Array

Floats = NDArray[np.floating[Any]]

DAYS_PER_YEAR = 252
MIN_DAYS = 2
NO_VARIATION = 1e-12
"""Returns that differ by less differ by rounding only."""
SATURDAY = 5


@dataclass(frozen=True, slots=True)
class MonthlyReturn:
    year: int
    month: int
    return_e8: int


@dataclass(frozen=True, slots=True)
class Statistics:
    first_server_day: int
    last_server_day: int
    time_weighted_return_e8: int
    money_weighted_return_e8: int
    max_drawdown_e8: int
    """0 to 1."""
    sharpe_e8: int | None
    sortino_e8: int | None
    volatility_e8: int | None
    gain_minor: int
    max_drawdown_minor: int
    recovery_factor_e8: int | None
    deposit_sum_minor: int
    withdrawal_sum_minor: int
    equity_minor: int
    monthly_returns: tuple[MonthlyReturn, ...]
    trades: TradeFigures


def statistics_of(days: EquityDays, trades: ClosedTrades) -> Statistics:
    """Of one span. Without any day all figures of the equity are 0."""
    returns = daily_returns(days)
    curve = indexes(returns)
    gains_minor = cumulated_gains(days)
    has_days = bool(days.server_days.size)
    gain_minor = int(gains_minor[-1]) if has_days else 0
    drawdown_minor = max_drawdown_minor(gains_minor)
    ratios = _trading_days(days.server_days, returns)
    return Statistics(
        first_server_day=int(days.server_days[0]) if has_days else 0,
        last_server_day=int(days.server_days[-1]) if has_days else 0,
        time_weighted_return_e8=e8(curve[-1] - 1) if has_days else 0,
        money_weighted_return_e8=e8(money_weighted_return(days)),
        max_drawdown_e8=e8(max_drawdown(curve)),
        sharpe_e8=_optional_e8(sharpe(ratios)),
        sortino_e8=_optional_e8(sortino(ratios)),
        volatility_e8=_optional_e8(volatility(ratios)),
        gain_minor=gain_minor,
        max_drawdown_minor=drawdown_minor,
        recovery_factor_e8=quotient(gain_minor * E8, drawdown_minor),
        deposit_sum_minor=int(days.deposits_minor.sum()),
        withdrawal_sum_minor=int(days.withdrawals_minor.sum()),
        equity_minor=int(days.equities_minor[-1]) if has_days else 0,
        monthly_returns=monthly_returns(days.server_days, returns),
        trades=trade_figures(trades),
    )


def daily_returns(days: EquityDays) -> Floats:
    """The return of each day, −1 at the least."""
    ends = days.equities_minor.astype(np.float64)
    befores = np.concatenate(([np.float64(days.opening_equity_minor)], ends[:-1]))[: ends.size]
    flows = days.flows_minor.astype(np.float64)
    bases = befores + np.maximum(flows, 0)
    gains = ends - flows - befores
    returns = np.divide(gains, bases, out=np.zeros_like(ends), where=bases > 0)
    return np.maximum(returns, -1, out=returns)


def indexes(returns: Floats) -> Floats:
    """The time-weighted curve at the end of each day; it begins at 1."""
    return np.cumprod(1 + returns)


def money_weighted_return(days: EquityDays) -> float:
    """Modified Dietz over the calendar days of the span, −1 at the least; 0 without anything to earn on."""
    if not days.server_days.size:
        return 0
    first, last = int(days.server_days[0]), int(days.server_days[-1])
    flows = days.flows_minor.astype(np.float64)
    # A deposit is there from the beginning of its day on, a withdrawal until the end of its day.
    days_left = last - days.server_days + (flows > 0)
    base = days.opening_equity_minor + float((flows * days_left).sum()) / (last - first + 1)
    gain = int(days.equities_minor[-1]) - days.opening_equity_minor - float(flows.sum())
    return max(gain / base, -1) if base > 0 else 0


def max_drawdown(curve: Floats) -> float:
    """0 to 1, of a curve that begins at 1."""
    peaks = np.maximum(np.maximum.accumulate(curve), 1)
    return float((1 - curve / peaks).max(initial=0))


def cumulated_gains(days: EquityDays) -> Int64Array:
    """What was earned from the beginning to the end of each day, minor units: equity − opening equity − flows."""
    gains: Int64Array = days.equities_minor - days.opening_equity_minor - np.cumsum(days.flows_minor)
    return gains


def max_drawdown_minor(gains_minor: Int64Array) -> int:
    """The deepest fall of the cumulated gain from a peak, its beginning at 0 included."""
    peaks = np.maximum(np.maximum.accumulate(gains_minor), 0)
    return int((peaks - gains_minor).max(initial=0))


def volatility(returns: Floats) -> float | None:
    """Annualised; None with fewer than two days."""
    return float(returns.std(ddof=1)) * math.sqrt(DAYS_PER_YEAR) if returns.size >= MIN_DAYS else None


def sharpe(returns: Floats) -> float | None:
    """Annualised; None with fewer than two days or without variation."""
    if returns.size < MIN_DAYS:
        return None
    deviation = float(returns.std(ddof=1))
    return float(returns.mean()) / deviation * math.sqrt(DAYS_PER_YEAR) if deviation > NO_VARIATION else None


def sortino(returns: Floats) -> float | None:
    """Annualised; None with fewer than two days or without a loss."""
    if returns.size < MIN_DAYS:
        return None
    deviation = math.sqrt(float(np.square(np.minimum(returns, 0)).mean()))
    return float(returns.mean()) / deviation * math.sqrt(DAYS_PER_YEAR) if deviation > NO_VARIATION else None


def monthly_returns(server_days: Int64Array, returns: Floats) -> tuple[MonthlyReturn, ...]:
    """The product of the days of each civil month that has any."""
    if not server_days.size:
        return ()
    months = server_days.astype("datetime64[D]").astype("datetime64[M]").astype(np.int64)
    starts = np.flatnonzero(np.diff(months, prepend=months[0] - 1))
    products = np.multiply.reduceat(1 + returns, starts) - 1
    return tuple(
        MonthlyReturn(1970 + month // 12, month % 12 + 1, e8(value))
        for month, value in zip(months[starts].tolist(), products.tolist(), strict=True)
    )


def indexes_e8(days: EquityDays) -> Int64Array:
    """The time-weighted curve of the days, 1e-8."""
    return np.array([e8(value) for value in indexes(daily_returns(days)).tolist()], dtype=np.int64)


def e8(value: float) -> int:
    """As a count of 1e-8, half to even; what passes int64 becomes its end."""
    scaled = value * E8
    if abs(scaled) < INT64_MAX:
        return round(scaled)
    return INT64_MAX if scaled > 0 else -INT64_MAX


def _optional_e8(value: float | None) -> int | None:
    return None if value is None else e8(value)


def _trading_days(server_days: Int64Array, returns: Floats) -> Floats:
    """Day 0 of the count was a Thursday."""
    counts: NDArray[np.bool_] = ((server_days + 3) % 7 < SATURDAY) | (returns != 0)
    return returns[counts]
