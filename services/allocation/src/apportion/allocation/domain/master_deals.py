"""Deals of masters as the trading server reports them."""

from __future__ import annotations

import enum
from dataclasses import dataclass
from datetime import datetime, timedelta

from apportion.allocation.domain.allocations import MasterTrade
from apportion.allocation.domain.history import SECOND_MS


class DealEntry(enum.IntEnum):
    """How a trade changes a position. The numbers are those of the protos."""

    IN = 1
    OUT = 2
    IN_OUT = 3
    OUT_BY = 4


@dataclass(frozen=True, slots=True)
class MasterDeal:
    entry: DealEntry
    trade: MasterTrade


@dataclass(frozen=True, slots=True)
class Observation:
    """When deals were read."""

    time: datetime
    """By our clock."""
    server_time_ms: int
    """Raw server time when the server was asked."""

    def age_ms(self, deal_time_ms: int, now: datetime) -> int:
        """How long ago a deal happened: by its server's clock until it was read, by ours since."""
        return self._age_when_read_ms(deal_time_ms) + int((now - self.time).total_seconds() * SECOND_MS)

    def time_of(self, deal_time_ms: int) -> datetime:
        """When a deal happened, by our clock."""
        return self.time - timedelta(milliseconds=self._age_when_read_ms(deal_time_ms))

    def _age_when_read_ms(self, deal_time_ms: int) -> int:
        """0 where one of the server times is not known."""
        return max(self.server_time_ms - deal_time_ms, 0) if self.server_time_ms and deal_time_ms else 0
