"""Masters that may be seen, by how they have done."""

from __future__ import annotations

import enum
from dataclasses import dataclass

from apportion.allocation.domain.closed_trades import ClosedTrades
from apportion.allocation.domain.history import HistoryScope
from apportion.allocation.domain.methods import AccountType
from apportion.allocation.domain.statistics import Statistics

DAY_COUNTS = (0, 7, 30, 90, 180, 365)
"""The spans that figures are kept for: the last so many server days; 0: all."""


class LeaderboardOrder(enum.IntEnum):
    """The numbers are those of the protos. The best first, unknown figures last."""

    RETURN = 1
    DRAWDOWN = 2
    SHARPE = 3
    FOLLOWERS = 4
    FOLLOWERS_EQUITY = 5


@dataclass(frozen=True, slots=True)
class LeaderboardFilter:
    """Zero values: no filter."""

    day_count: int = 0
    account_type: AccountType | None = None
    currency_code: str = ""
    min_return_e8: int = 0
    max_drawdown_e8: int = 0
    min_day_count: int = 0
    """Of the whole history."""


@dataclass(frozen=True, slots=True)
class LeaderboardInput:
    """What tells whether the figures of a master have to be computed again."""

    history_version: int
    server_day: int
    """The newest; 0: none yet."""
    equity_minor: int


@dataclass(frozen=True, slots=True)
class ListedMaster:
    """A master that may be seen."""

    master_id: int
    scope: HistoryScope
    active_subscription_count: int
    newest: LeaderboardInput
    is_changed: bool
    """Its figures were computed from something else, or never."""
    closed_trades: ClosedTrades | None
    """As they were computed, where the deals and the day are still the same."""


@dataclass(frozen=True, slots=True)
class LeaderboardFigures:
    """Of one master and one span."""

    master_id: int
    day_count: int
    age_day_count: int
    statistics: Statistics


@dataclass(frozen=True, slots=True)
class LeaderboardRow:
    master_id: int
    name: str
    account_type: AccountType
    currency_code: str
    active_subscription_count: int
    followers_equity_minor: int
    age_day_count: int
    statistics: Statistics
    sort_key: int
    """Greater is better."""
