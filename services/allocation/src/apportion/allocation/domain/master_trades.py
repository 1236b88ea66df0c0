"""A master's position and its children, as a dealing desk looks at them."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from apportion.allocation.domain.mismatch import MasterTradeFacts, Mismatch, master_mismatches


@dataclass(frozen=True, slots=True)
class MasterTradeFilter:
    """What to list."""

    master_id: int = 0
    """0: of all masters."""
    with_closed: bool = False
    """Those, too, of which neither the master nor a child has anything open."""
    only_mismatched: bool = False
    """Those with a mismatch that is not normal."""


@dataclass(frozen=True, slots=True)
class MasterTradeRow:
    """Detached children are not counted."""

    first_allocation_id: int
    """Of its first opening: what the list is sorted by."""
    master_id: int
    position_ticket: int
    symbol: str
    direction: int
    """Of the newest opening: 1 bought, -1 sold."""
    child_count: int
    open_child_count: int
    rejected_child_count: int
    open_time: datetime
    facts: MasterTradeFacts

    @property
    def mismatches(self) -> tuple[Mismatch, ...]:
        return master_mismatches(self.facts)
