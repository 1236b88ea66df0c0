"""Which deals a snapshot of an account contains: the day's bookkeeping.

A snapshot (equity, balance) and the deals of the account reach us by two ways, in either order. A withdrawal that the
equity already shows, but whose deal has not arrived, looks like a loss; a deposit whose deal is here, but which the
equity does not show yet, raises the signal too early. So no snapshot is judged by "the flows so far", but by exactly
the flows that it contains: after its day start the balance can only be

    balance of the day start + Σ of the first j deals since        for some j

and the j that fits tells which deposits and withdrawals are inside. If none fits, a deal is missing, and the judgement
waits for it up to a bound. Credits are matched the same way, beside the balance.

The day-start snapshot itself may contain deals that arrive after it was taken. Deals around its time (`settle_ms` on
the server's clock) are therefore tried both ways, first as later than the day start.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from apportion.money import Int64Array


@dataclass(frozen=True, slots=True)
class Deals:
    """Deals of one account in ticket order; columns of one length, amounts signed."""

    tickets: Int64Array
    balances_minor: Int64Array
    credits_minor: Int64Array
    flows_minor: Int64Array
    server_times_ms: Int64Array

    def later_than(self, ticket: int) -> Deals:
        """Those with a higher ticket."""
        start = int(np.searchsorted(self.tickets, ticket, side="right"))
        return Deals(
            self.tickets[start:],
            self.balances_minor[start:],
            self.credits_minor[start:],
            self.flows_minor[start:],
            self.server_times_ms[start:],
        )

    def count_until(self, server_time_ms: int) -> int:
        """How many of the first deals were made until then."""
        later = np.flatnonzero(self.server_times_ms > server_time_ms)
        return int(later[0]) if later.size else self.tickets.size


@dataclass(frozen=True, slots=True)
class DayStart:
    """What the day-start snapshot showed. It contains the deals up to `ticket`, and perhaps a few of those after."""

    balance_minor: int
    credit_minor: int
    server_time_ms: int
    ticket: int


@dataclass(frozen=True, slots=True)
class Explanation:
    """The snapshot contains the deals up to `ticket`; `flow_minor` is deposits less withdrawals since the day start."""

    ticket: int
    flow_minor: int


@dataclass(frozen=True, slots=True)
class Known:
    """Deposits minus withdrawals of all known deals since the day start, and what they leave unexplained."""

    flow_minor: int
    rest_minor: int


def explain(
    start: DayStart, deals: Deals, *, balance_minor: int, credit_minor: int, server_time_ms: int, settle_ms: int
) -> Explanation | None:
    """Which deals the snapshot contains; None when no number of known deals leads to its balance and credit.

    Several fitting numbers (deals that cancel out within `settle_ms`) give the one with the smallest flow: the lower
    signal, which never trips falsely, and the next snapshot knows better.
    """
    deals = deals.later_than(start.ticket)
    tickets = np.concatenate(([start.ticket], deals.tickets))
    balances, credits_, flows = (
        _sums(column) for column in (deals.balances_minor, deals.credits_minor, deals.flows_minor)
    )
    settled_count = deals.count_until(server_time_ms - settle_ms)
    for inside in range(deals.count_until(start.server_time_ms + settle_ms) + 1):
        first = max(inside, settled_count)
        fits = (balances[first:] - balances[inside] == balance_minor - start.balance_minor) & (
            credits_[first:] - credits_[inside] == credit_minor - start.credit_minor
        )
        indexes = np.flatnonzero(fits) + first
        if indexes.size:
            index = indexes[np.argmin(flows[indexes])]
            return Explanation(int(tickets[index]), int(flows[index] - flows[inside]))
    return None


def unexplained_rest(start: DayStart, deals: Deals, *, balance_minor: int, credit_minor: int) -> Known:
    """What all known deals lead to, when no number of them leads to this balance and credit."""
    deals = deals.later_than(start.ticket)
    moved_minor = int(deals.balances_minor.sum() + deals.credits_minor.sum())
    rest_minor = balance_minor + credit_minor - start.balance_minor - start.credit_minor - moved_minor
    return Known(flow_minor=int(deals.flows_minor.sum()), rest_minor=rest_minor)


def first_ticket(deals: Deals, server_time_ms: int, settle_ms: int) -> int:
    """The day-start ticket when the day start could not be explained: deals that it must contain by their time."""
    count = deals.count_until(server_time_ms - settle_ms)
    return int(deals.tickets[count - 1]) if count else 0


def _sums(column: Int64Array) -> Int64Array:
    """Of the first 0, 1, 2, … deals."""
    return np.concatenate((np.zeros(1, dtype=np.int64), np.cumsum(column)))
