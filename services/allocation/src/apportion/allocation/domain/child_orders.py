"""The child orders of a decision: what of its columns is to be sent."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from apportion.allocation.domain.allocations import NO_COLUMN, Allocation, AllocationColumns, AllocationKind
from apportion.allocation.domain.child_trades import child_trade_ids
from apportion.money import Int64Array


@dataclass(frozen=True, slots=True)
class ChildOrders:
    """Columns of one length."""

    item_ids: Int64Array
    account_ids: Int64Array
    volumes_e8: Int64Array
    """Signed: above 0 buys."""
    position_tickets: Int64Array
    """Of closes; empty for opens."""


def child_orders(allocation: Allocation, columns: AllocationColumns, account_ids: Int64Array) -> ChildOrders:
    """The orders of the rows that have a volume and, for a close, a position; `account_ids` are those of all rows."""
    closes = allocation.kind is AllocationKind.CLOSE
    rows = np.flatnonzero((columns.volumes_e8 > 0) & (columns.position_tickets != 0) if closes else columns.volumes_e8)
    sign = 1 if allocation.trade.volume_e8 > 0 else -1
    return ChildOrders(
        columns.child_trade_ids[rows] if columns.names_children else child_trade_ids(allocation.allocation_id, rows),
        account_ids[rows],
        sign * columns.volumes_e8[rows],
        columns.position_tickets[rows] if closes else NO_COLUMN,
    )
