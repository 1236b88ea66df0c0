"""Closed trades: what each closing deal earned, its part of the costs of entering included. Exact, in minor units.

A deal that closes a position, or a part of it, is one trade. Its result is its profit, swap and commission, and of what
the position's entries cost and earlier closes did not take, the part closed volume ÷ open volume, half up. The rest
stays with what is open, so the results of a position that is closed add up to all that its deals booked. A reversal
(IN_OUT) closes what was open and opens the rest; its commission is divided by these volumes.
A trade was held from the first entry of its position, or from the reversal that opened it. When the history begins
after the entry, neither that time nor the costs are known: the trade counts without them. A position on a netting
account has one cost and one time for all who share it.
"""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from typing import NamedTuple

import numpy as np

from apportion.allocation.domain.history import DAY_MS, SECOND_MS, HistoryEntry
from apportion.money import E8, INT64_MAX, Int64Array, exact_sum


class TradeDeal(NamedTuple):
    """A deal that opened or closed."""

    position_ticket: int
    entry: int
    """A value of HistoryEntry."""
    volume_e8: int
    """Signed or not."""
    profit_minor: int
    swap_minor: int
    commission_minor: int
    server_time_ms: int
    is_counted: bool
    """False: only its part in what its position costs is wanted."""


@dataclass(frozen=True, slots=True)
class ClosedTrades:
    """Columns of one length in the order of the server days: sums over the closing deals of each."""

    server_days: Int64Array
    counts: Int64Array
    won_counts: Int64Array
    """Results above 0."""
    lost_counts: Int64Array
    """Results below 0."""
    profits_minor: Int64Array
    """Sums of what is above 0."""
    losses_minor: Int64Array
    """Magnitudes of the sums of what is below 0."""
    bests_minor: Int64Array
    worsts_minor: Int64Array
    held_counts: Int64Array
    """Those whose entry is known."""
    held_sums_ms: Int64Array

    @property
    def columns(self) -> tuple[Int64Array, ...]:
        return tuple(getattr(self, name) for name in self.__slots__)

    def between(self, first_day: int, last_day: int) -> ClosedTrades:
        """The days from the first to the last, both included."""
        rows = slice(*np.searchsorted(self.server_days, [first_day, last_day + 1]).tolist())
        return ClosedTrades(*(column[rows] for column in self.columns))


@dataclass(frozen=True, slots=True)
class TradeFigures:
    """Amounts in minor units. Averages are exact quotients, rounded once, half to even; None: of nothing.

    Net profit = gross profit − gross loss. Profit factor = gross profit ÷ gross loss. Win rate = won ÷ closed trades:
    what ended at 0 neither won nor lost. Average trade = net profit ÷ closed trades, which is the expectancy (expected
    payoff): win rate × average win − loss rate × average loss. These are the definitions of MetaTrader's reports.
    """

    closed_trade_count: int
    won_trade_count: int
    lost_trade_count: int
    gross_profit_minor: int
    gross_loss_minor: int
    """A magnitude."""
    net_profit_minor: int
    profit_factor_e8: int | None
    """None without a loss."""
    win_rate_e8: int | None
    average_trade_minor: int | None
    average_win_minor: int | None
    average_loss_minor: int | None
    """A magnitude."""
    best_trade_minor: int | None
    worst_trade_minor: int | None
    average_holding_seconds: int | None


def trade_figures(trades: ClosedTrades) -> TradeFigures:
    """Of all days together."""
    count, won, lost = (exact_sum(column) for column in (trades.counts, trades.won_counts, trades.lost_counts))
    profit, loss = exact_sum(trades.profits_minor), exact_sum(trades.losses_minor)
    return TradeFigures(
        closed_trade_count=count,
        won_trade_count=won,
        lost_trade_count=lost,
        gross_profit_minor=_fit(profit),
        gross_loss_minor=_fit(loss),
        net_profit_minor=_fit(profit - loss),
        profit_factor_e8=quotient(profit * E8, loss),
        win_rate_e8=quotient(won * E8, count),
        average_trade_minor=quotient(profit - loss, count),
        average_win_minor=quotient(profit, won),
        average_loss_minor=quotient(loss, lost),
        best_trade_minor=int(trades.bests_minor.max()) if count else None,
        worst_trade_minor=int(trades.worsts_minor.min()) if count else None,
        average_holding_seconds=quotient(exact_sum(trades.held_sums_ms), exact_sum(trades.held_counts) * SECOND_MS),
    )


def quotient(dividend: int, divisor: int) -> int | None:
    """Half to even; None of nothing; what passes int64 becomes its end."""
    return _fit(round(Fraction(dividend, divisor))) if divisor else None


@dataclass(slots=True)
class _Position:
    volume_e8: int
    """Open."""
    cost_minor: int
    """Of what is open; below 0 where it cost."""
    open_time_ms: int


class TradeLedger:
    """The trades of one account: add its deals in the order of time."""

    def __init__(self) -> None:
        self._open: dict[int, _Position] = {}
        self._days: dict[int, list[int]] = {}

    def add(self, deal: TradeDeal) -> None:
        volume_e8 = abs(deal.volume_e8)
        position = self._open.get(deal.position_ticket)
        booked_minor = deal.profit_minor + deal.swap_minor + deal.commission_minor
        if deal.entry == HistoryEntry.IN:
            if position is None:
                self._open[deal.position_ticket] = _Position(volume_e8, booked_minor, deal.server_time_ms)
            else:
                position.volume_e8 += volume_e8
                position.cost_minor += booked_minor
            return
        result_minor = booked_minor
        if position is not None:
            result_minor += self._close(position, deal, volume_e8)
        if deal.is_counted:
            held_ms = None if position is None else max(deal.server_time_ms - position.open_time_ms, 0)
            self._count(deal.server_time_ms // DAY_MS, result_minor, held_ms)

    def closed_trades(self) -> ClosedTrades:
        """Of all deals so far; what passes int64 becomes its end."""
        rows = [(day, *map(_fit, sums)) for day, sums in sorted(self._days.items())]
        columns = np.array(rows, dtype=np.int64).reshape(-1, len(ClosedTrades.__slots__))
        return ClosedTrades(*np.ascontiguousarray(columns.T))

    def _close(self, position: _Position, deal: TradeDeal, volume_e8: int) -> int:
        """Takes the closed volume out of the position; what else than the deal's own amounts the trade earned."""
        if volume_e8 < position.volume_e8:
            part_minor = _part(position.cost_minor, volume_e8, position.volume_e8)
            position.volume_e8 -= volume_e8
            position.cost_minor -= part_minor
            return part_minor
        del self._open[deal.position_ticket]
        rest_e8 = volume_e8 - position.volume_e8
        if deal.entry != HistoryEntry.IN_OUT or not rest_e8:
            return position.cost_minor
        rest_minor = _part(deal.commission_minor, rest_e8, volume_e8)
        self._open[deal.position_ticket] = _Position(rest_e8, rest_minor, deal.server_time_ms)
        return position.cost_minor - rest_minor

    def _count(self, server_day: int, result_minor: int, held_ms: int | None) -> None:
        sums = self._days.setdefault(server_day, [0, 0, 0, 0, 0, result_minor, result_minor, 0, 0])
        sums[0] += 1
        if result_minor > 0:
            sums[1] += 1
            sums[3] += result_minor
        elif result_minor < 0:
            sums[2] += 1
            sums[4] -= result_minor
        sums[5] = max(sums[5], result_minor)
        sums[6] = min(sums[6], result_minor)
        if held_ms is not None:
            sums[7] += 1
            sums[8] += held_ms


def _part(amount_minor: int, part_e8: int, whole_e8: int) -> int:
    """amount × part ÷ whole, half up."""
    return (2 * amount_minor * part_e8 + whole_e8) // (2 * whole_e8)


def _fit(value: int) -> int:
    return max(-INT64_MAX, min(value, INT64_MAX))
