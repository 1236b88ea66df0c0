"""Deals of accounts, as the trading server reported them."""

from __future__ import annotations

import enum
from dataclasses import dataclass
from datetime import datetime

from apportion.money import INT64_MAX, Int64Array

SECOND_MS = 1_000
DAY_MS = 86_400_000


class HistoryEntry(enum.IntEnum):
    """How a deal changed a position. The numbers are those of the protos."""

    BALANCE = 0
    IN = 1
    OUT = 2
    IN_OUT = 3
    OUT_BY = 4


@dataclass(frozen=True, slots=True)
class AccountDeals:
    """Columns of one length."""

    account_ids: Int64Array
    deal_tickets: Int64Array
    position_tickets: Int64Array
    actions: Int64Array
    """1 trade, 2 balance operation, 3 credit."""
    entries: Int64Array
    """Values of HistoryEntry."""
    symbols: list[str]
    volumes_e8: Int64Array
    prices_e8: Int64Array
    profits_minor: Int64Array
    swaps_minor: Int64Array
    commissions_minor: Int64Array
    server_times_ms: Int64Array
    order_ids: Int64Array
    transfer_ids: Int64Array
    reasons: Int64Array
    times: list[datetime]
    """By our clock: when they were read, less how old they were then by the server's clock."""


@dataclass(frozen=True, slots=True)
class HistoryScope:
    """Whose deals. Of a master: all of his account. Of a subscription: those of its own child trades, and while it ran
    balance operations and deals that belong to no child trade, so the investor's own; never those of other masters."""

    account_id: int
    currency_code: str
    subscription_id: int = 0
    """0: a master."""
    start_time: datetime | None = None
    """A subscription's creation."""
    end_time: datetime | None = None


@dataclass(frozen=True, slots=True)
class HistoryFilter:
    """Raw server times, from the first on, before the second; no entries: all."""

    start_server_time_ms: int = 0
    end_server_time_ms: int = INT64_MAX
    entries: tuple[HistoryEntry, ...] = ()


@dataclass(frozen=True, slots=True)
class HistoryRow:
    account_id: int
    deal_ticket: int
    position_ticket: int
    entry: HistoryEntry
    symbol: str
    volume_e8: int
    """Signed: above 0 bought."""
    price_e8: int
    profit_minor: int
    """The amount of a balance operation."""
    swap_minor: int
    commission_minor: int
    server_time_ms: int
    child_trade_id: int
    """0: of no child trade."""
