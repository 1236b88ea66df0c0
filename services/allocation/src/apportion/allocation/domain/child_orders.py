"""The child orders of a decision: what of its columns is to be sent."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from apportion.allocation.domain.allocations import Allocation, AllocationColumns, AllocationKind
from apportion.allocation.domain.child_routes import ChildRoutes
from apportion.allocation.domain.child_trades import child_trade_ids
from apportion.allocation.domain.open_inputs import NO_COLUMN
from apportion.money import Int64Array


@dataclass(frozen=True, slots=True)
class ChildOrders:
    """Columns of one length; where one is empty, no order has such a figure."""

    item_ids: Int64Array
    account_ids: Int64Array
    symbols: tuple[str, ...]
    symbol_rows: NDArray[np.intp]
    """Index into `symbols`."""
    volumes_e8: Int64Array
    """Signed: above 0 buys. Not of modifications."""
    position_tickets: Int64Array
    """Of closes and modifications; 0: a close that names none."""
    stop_losses_e8: Int64Array
    take_profits_e8: Int64Array
    max_slippages_e8: Int64Array
    """Of opens: how much worse than the master's price; 0: no limit."""

    def of(self, rows: slice) -> ChildOrders:
        """Some of the orders."""
        return ChildOrders(
            self.item_ids[rows],
            self.account_ids[rows],
            self.symbols,
            self.symbol_rows[rows],
            *(
                column[rows]
                for column in (
                    self.volumes_e8,
                    self.position_tickets,
                    self.stop_losses_e8,
                    self.take_profits_e8,
                    self.max_slippages_e8,
                )
            ),
        )


def child_orders(allocation: Allocation, columns: AllocationColumns, routes: ChildRoutes) -> ChildOrders:
    """The orders of a decision: of the rows that have a volume and, for a close, a position; of all for a modification.

    `routes` are those of all rows.
    """
    kind, trade = allocation.kind, allocation.trade
    rows = _rows_to_send(kind, columns)
    ids = columns.child_trade_ids[rows] if columns.names_children else child_trade_ids(allocation.allocation_id, rows)
    routes = routes.of(rows)
    volumes_e8, losses, profits, slippages = NO_COLUMN, NO_COLUMN, NO_COLUMN, NO_COLUMN
    if kind is AllocationKind.MODIFY:
        losses, profits = columns.stop_losses_e8[rows], columns.take_profits_e8[rows]
    else:
        signs = routes.directions if kind is AllocationKind.OPEN else -routes.directions
        volumes_e8 = signs * columns.volumes_e8[rows]
    if kind is AllocationKind.OPEN:
        if trade.stop_loss_e8 or trade.take_profit_e8:
            losses, profits = routes.stops_e8(trade.stop_loss_e8, trade.take_profit_e8, buys=trade.volume_e8 > 0)
        slippages = routes.max_slippages_e8(allocation.point_e8)
    return ChildOrders(
        item_ids=ids,
        account_ids=routes.account_ids,
        symbols=routes.symbols,
        symbol_rows=routes.symbol_rows,
        volumes_e8=volumes_e8,
        position_tickets=NO_COLUMN if kind is AllocationKind.OPEN else np.maximum(columns.position_tickets[rows], 0),
        stop_losses_e8=losses,
        take_profits_e8=profits,
        max_slippages_e8=slippages if slippages.any() else NO_COLUMN,
    )


def _rows_to_send(kind: AllocationKind, columns: AllocationColumns) -> NDArray[np.intp]:
    if kind is AllocationKind.MODIFY:
        return np.arange(columns.child_trade_ids.size)
    wanted = columns.volumes_e8 > 0
    return np.flatnonzero(wanted & (columns.position_tickets != 0) if kind is AllocationKind.CLOSE else wanted)
