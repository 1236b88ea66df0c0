"""How child trades are listed."""

from __future__ import annotations

import enum
from dataclasses import dataclass
from datetime import datetime
from typing import NamedTuple

from apportion.allocation.domain.child_trades import ChildTrade, ChildTradeState
from apportion.allocation.domain.mismatch import ChildFacts, Mismatch, child_mismatches
from apportion.allocation.domain.reasons import SkipReason


class ChildTradeGrouping(enum.IntEnum):
    """Which rows stand together. The numbers are those of the protos."""

    NONE = 0
    SYMBOL = 1
    MASTER_POSITION = 2
    SUBSCRIPTION = 3


@dataclass(frozen=True, slots=True)
class ChildTradeFilter:
    """0, empty, None: no filter."""

    master_id: int = 0
    allocation_id: int = 0
    subscription_id: int = 0
    master_position_ticket: int = 0
    symbol: str = ""
    skip_reason: SkipReason = SkipReason.NONE
    """Why it was decided to be less than its share."""
    states: tuple[ChildTradeState, ...] = ()
    start_time: datetime | None = None
    """Of the decision, or, opened by hand, of the first report that showed it: from this instant on."""
    end_time: datetime | None = None
    """Before it."""
    only_open: bool = False
    only_mismatched: bool = False
    include_foreign: bool = False
    grouping: ChildTradeGrouping = ChildTradeGrouping.NONE

    @property
    def takes_foreign(self) -> bool:
        """Positions opened by hand belong to no allocation, and have no state nor share."""
        asked = self.include_foreign or self.only_mismatched
        return asked and not (self.allocation_id or self.master_position_ticket or self.states or self.skip_reason)


class ChildPlace(NamedTuple):
    """Where a row stands in its list; it never changes."""

    group: str
    number: int
    section: int
    """1 opened by hand, 0 a child trade."""
    id: int


@dataclass(frozen=True, slots=True)
class ChildTradeRow:
    child: ChildTrade
    """Opened by hand: without ids of its own, of a master, of an allocation; its volumes are those of the position."""
    facts: ChildFacts
    place: ChildPlace

    @property
    def mismatches(self) -> tuple[Mismatch, ...]:
        return child_mismatches(self.facts)
