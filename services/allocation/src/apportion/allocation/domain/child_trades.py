"""Child trades: what a master trade caused on each investment account."""

from __future__ import annotations

import enum
from dataclasses import dataclass
from datetime import datetime

import numpy as np
from numpy.typing import NDArray

from apportion.allocation.domain.pl_mode import nominal_volume_e8
from apportion.allocation.domain.reasons import SkipReason
from apportion.money import Int64Array

INDEX_BITS = 20
MAX_CHILDREN = 1 << INDEX_BITS
NO_TICKET = -1
"""In place of a position ticket: a close on a netting account that names none, so that it may turn the position."""


class ChildTradeState(enum.IntEnum):
    """The numbers are those of the protos. SENT is never stored: it is PENDING after its allocation was dispatched."""

    PENDING = 1
    SENT = 2
    FILLED = 3
    PARTIALLY_FILLED = 4
    REJECTED = 5
    EXPIRED = 6
    CLOSED = 7
    DETACHED = 8
    """Open, and the investor's own since his subscription ended."""


@dataclass(frozen=True, slots=True)
class ChildTrade:
    child_trade_id: int
    allocation_id: int
    master_id: int
    subscription_id: int
    account_id: int
    symbol: str
    state: ChildTradeState
    reason: str
    volume_e8: int
    """Signed, as are the other volumes: decided, filled, still open."""
    filled_volume_e8: int
    open_volume_e8: int
    open_price_e8: int
    position_ticket: int
    create_time: datetime
    master_position_ticket: int
    account_login: int
    proportion_e9: int
    """Of an artificial record: its part of the master's profit; 0: a trade."""
    floating_profit_minor: int
    """Of an artificial record: its share of what the master's position would bring now, rounded by itself."""
    skip_reason: SkipReason
    """Why it was decided to be less than its share; NONE: it is not."""

    def shown_e8(self, volume_e8: int) -> int:
        """One of its volumes as people see it: that of an artificial record cut down to 0.01 lot."""
        return nominal_volume_e8(volume_e8) if self.proportion_e9 else volume_e8


def child_trade_ids(allocation_id: int, indexes: NDArray[np.intp]) -> Int64Array:
    """Ids of the children at these indexes (login order) of an allocation.

    Computed, not drawn: the decision names its children without a row for each, and an order sent for a child has the
    same id whoever sends it. Below 2^53 up to allocation 8 589 934 591, so they survive JSON.
    """
    return (np.int64(allocation_id) << np.int64(INDEX_BITS)) | indexes.astype(np.int64)


def opening_ids_of(ids: Int64Array) -> Int64Array:
    """The allocations that opened children first: those of their ids."""
    openings: Int64Array = ids >> np.int64(INDEX_BITS)
    return openings
