"""Stop losses and take profits of child trades, as they were last ordered."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from apportion.allocation.storage.child_trades import LOCK, OrderResults
from apportion.allocation.storage.packing import from_aggregate
from apportion.money import Int64Array
from apportion.storage import fetch_arrays

SUPERSEDED = "SUPERSEDED"
# What is on its way to be closed altogether gets no stops any more.
LOAD = text(
    """
    SELECT string_agg(int8send(child_trade_id), '') AS child_trade_ids,
           string_agg(int8send(position_ticket), '') AS position_tickets,
           string_agg(int8send(stop_loss_e8), '') AS stop_losses_e8,
           string_agg(int8send(take_profit_e8), '') AS take_profits_e8
    FROM (
        SELECT * FROM child_trades
        WHERE master_id = :master_id AND master_position_ticket = :position_ticket
          AND state IN (3, 4) AND open_volume_e8 > 0 AND target_volume_e8 > 0 AND position_ticket <> 0
        ORDER BY child_trade_id FOR UPDATE
    ) AS ordered
    """
)
ORDER = """
    UPDATE child_trades AS c SET stop_loss_e8 = n.stop_loss_e8, take_profit_e8 = n.take_profit_e8
    FROM unnest($1::bigint[], $2::bigint[], $3::bigint[]) AS n (child_trade_id, stop_loss_e8, take_profit_e8)
    WHERE c.child_trade_id = n.child_trade_id
"""
# The reason of the newest modification stays until the next one is done.
RESULT = """
    UPDATE child_trades AS c SET reason = r.reason
    FROM unnest($2::bigint[], $3::text[]) AS r (child_trade_id, reason)
    WHERE c.child_trade_id = r.child_trade_id AND c.label = $1 AND c.state IN (3, 4)
"""


@dataclass(frozen=True, slots=True)
class OrderedStops:
    """Columns of one length in the order of the ids, the rows locked."""

    child_trade_ids: Int64Array
    position_tickets: Int64Array
    stop_losses_e8: Int64Array
    """0: none."""
    take_profits_e8: Int64Array

    def of(self, rows: NDArray[np.intp]) -> OrderedStops:
        """Those of some children."""
        columns = (self.child_trade_ids, self.position_tickets, self.stop_losses_e8, self.take_profits_e8)
        return OrderedStops(*(column[rows] for column in columns))


async def load_ordered_stops(tx: AsyncConnection, master_id: int, position_ticket: int) -> OrderedStops:
    """Of the open children of a master's position."""
    row = (await tx.execute(LOAD, {"master_id": master_id, "position_ticket": position_ticket})).one()
    return OrderedStops(**{name: from_aggregate(column) for name, column in row._mapping.items()})


async def save_ordered_stops(tx: AsyncConnection, stops: OrderedStops) -> None:
    """Notes what is ordered now for children whose rows are locked."""
    await fetch_arrays(tx, ORDER, stops.child_trade_ids, stops.stop_losses_e8, stops.take_profits_e8)


async def apply_modify_results(tx: AsyncConnection, label: int, results: OrderResults) -> OrderResults:
    """Notes why modifications were refused, or that they were not. Returns the results without those that a newer
    modification overtook, for they tell nothing. The children stay locked.
    """
    overtaken = [reason == SUPERSEDED for reason in results.reasons]
    results = results.without(results.child_trade_ids[overtaken])
    await fetch_arrays(tx, LOCK, results.child_trade_ids)
    await fetch_arrays(tx, RESULT, label, results.child_trade_ids, results.reasons)
    return results
