"""What an account had at the end of each server day, and what was paid in and out."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from apportion.allocation.domain.history import DAY_MS
from apportion.money import Int64Array


@dataclass(frozen=True, slots=True)
class EquityDays:
    """Columns of one length in the order of the days; days without a look are left out."""

    opening_equity_minor: int
    """Before the first day's flows."""
    server_days: Int64Array
    balances_minor: Int64Array
    equities_minor: Int64Array
    """At the end."""
    deposits_minor: Int64Array
    withdrawals_minor: Int64Array
    """Magnitudes."""

    @property
    def flows_minor(self) -> Int64Array:
        """Deposits less withdrawals."""
        return self.deposits_minor - self.withdrawals_minor

    def between(self, first_day: int, last_day: int) -> EquityDays:
        """The days from the first to the last, both included; they open with the equity of the day before."""
        rows = slice(*np.searchsorted(self.server_days, [first_day, last_day + 1]).tolist())
        before = self.opening_equity_minor if rows.start == 0 else int(self.equities_minor[rows.start - 1])
        return EquityDays(
            before,
            self.server_days[rows],
            self.balances_minor[rows],
            self.equities_minor[rows],
            self.deposits_minor[rows],
            self.withdrawals_minor[rows],
        )


@dataclass(frozen=True, slots=True)
class Looks:
    """The first look at an account, and the last ones of its days: columns of one length in the order of time."""

    first_server_time_ms: int
    first_equity_minor: int
    last_server_times_ms: Int64Array
    balances_minor: Int64Array
    equities_minor: Int64Array


def equity_days(looks: Looks, flow_times_ms: Int64Array, flows_minor: Int64Array) -> EquityDays:
    """A flow belongs to the day whose last equity is the first to contain it: one between the last look of a day and
    midnight to the next day. What came before the first look is in its equity, what came after the last is not seen
    yet; neither counts.
    """
    places = np.searchsorted(looks.last_server_times_ms, flow_times_ms)
    counted = (flow_times_ms > looks.first_server_time_ms) & (places < looks.last_server_times_ms.size)
    deposits, withdrawals = np.zeros((2, looks.last_server_times_ms.size), dtype=np.int64)
    np.add.at(deposits, places[counted], np.maximum(flows_minor[counted], 0))
    np.add.at(withdrawals, places[counted], np.maximum(-flows_minor[counted], 0))
    return EquityDays(
        looks.first_equity_minor,
        looks.last_server_times_ms // DAY_MS,
        looks.balances_minor,
        looks.equities_minor,
        deposits,
        withdrawals,
    )
