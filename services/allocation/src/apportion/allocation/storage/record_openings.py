"""Openings that have artificial records: what is open of each, and what its part of the floating profit is."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

import numpy as np
from sqlalchemy.ext.asyncio import AsyncConnection

from apportion.allocation.domain.allocations import Allocation
from apportion.allocation.domain.child_trades import child_trade_ids
from apportion.allocation.domain.distributions import Records, rest_reason
from apportion.allocation.storage.allocations import load_allocation, load_columns
from apportion.allocation.storage.subscription_sets import load_set_of
from apportion.money import Int64Array
from apportion.storage import fetch_arrays

INSERT = """
    INSERT INTO record_openings (allocation_id, master_id, position_ticket, open_volume_e8) VALUES ($1, $2, $3, $4)
"""
LOAD = """
    SELECT allocation_id, open_volume_e8 FROM record_openings
    WHERE master_id = $1 AND position_ticket = $2 AND open_volume_e8 > 0
    ORDER BY allocation_id FOR UPDATE
"""
# Records have no orders: what is open of them follows from their opening, whose lock is theirs.
REDUCE = """
    WITH reduced AS (
        UPDATE record_openings AS o SET open_volume_e8 = n.open_e8,
            floating_profit_minor = CASE WHEN n.open_e8 = 0 THEN 0 ELSE o.floating_profit_minor END
        FROM unnest($1::bigint[], $2::bigint[]) AS n (allocation_id, open_e8)
        WHERE o.allocation_id = n.allocation_id RETURNING o.allocation_id, n.open_e8
    )
    UPDATE child_trades AS c
    SET open_volume_e8 = div(c.proportion_e9::numeric * r.open_e8, 1000000000)::bigint,
        target_volume_e8 = div(c.proportion_e9::numeric * r.open_e8, 1000000000)::bigint,
        state = CASE WHEN r.open_e8 = 0 THEN 7 ELSE c.state END
    FROM reduced AS r
    WHERE c.allocation_id = r.allocation_id AND c.master_id = $3 AND c.master_position_ticket = $4
"""
LIST_OPEN = """
    SELECT o.allocation_id, o.position_ticket, o.open_volume_e8, m.account_id
    FROM record_openings AS o JOIN masters AS m USING (master_id)
    WHERE o.open_volume_e8 > 0 AND m.label = $1 AND m.trading_server_id = $2
    ORDER BY m.account_id, o.position_ticket, o.allocation_id
"""
FLOAT = """
    UPDATE record_openings AS o SET floating_profit_minor = n.floating_minor, floating_time = $3
    FROM (
        SELECT * FROM unnest($1::bigint[], $2::bigint[]) AS n (allocation_id, floating_minor) ORDER BY 1
    ) AS n
    WHERE o.allocation_id = n.allocation_id AND o.open_volume_e8 > 0
      AND (o.floating_time IS NULL OR o.floating_time < $3)
"""


@dataclass(frozen=True, slots=True)
class OpenOpening:
    """What is open of one opening, and on which account."""

    allocation_id: int
    position_ticket: int
    open_volume_e8: int
    account_id: int


async def save_opening(tx: AsyncConnection, allocation: Allocation) -> None:
    """A new opening decision in PROFIT mode; all of it is open."""
    trade = allocation.trade
    await fetch_arrays(
        tx, INSERT, allocation.allocation_id, allocation.master_id, trade.position_ticket, abs(trade.volume_e8)
    )


async def load_open_records(tx: AsyncConnection, label: int, master_id: int, position_ticket: int) -> list[Records]:
    """The records of all openings of a position that are not closed, oldest first; the openings stay locked."""
    rows = await fetch_arrays(tx, LOAD, master_id, position_ticket)
    return [
        await load_records(tx, await load_allocation(tx, label, row["allocation_id"]), row["open_volume_e8"])
        for row in rows
    ]


async def load_records(tx: AsyncConnection, opening: Allocation, open_volume_e8: int) -> Records:
    """The records of an opening decision, as it gave them."""
    columns = await load_columns(tx, opening.allocation_id)
    proportions_e9 = columns.proportions_e9
    subscriptions, rows = await load_set_of(tx, opening), np.flatnonzero(proportions_e9)
    return Records(
        allocation_id=opening.allocation_id,
        open_volume_e8=open_volume_e8,
        child_trade_ids=child_trade_ids(opening.allocation_id, rows),
        subscription_ids=subscriptions.subscription_ids[rows],
        account_ids=subscriptions.account_ids[rows],
        logins=subscriptions.logins[rows],
        proportions_e9=proportions_e9[rows],
        rest_reason=rest_reason(opening.blanket_reason, proportions_e9, columns.reasons),
    )


async def reduce_openings(
    tx: AsyncConnection,
    master_id: int,
    position_ticket: int,
    allocation_ids: Sequence[int],
    open_volumes_e8: Int64Array,
) -> None:
    """What is open of these openings now, and of their records, whose rows must have been made."""
    await fetch_arrays(tx, REDUCE, allocation_ids, open_volumes_e8, master_id, position_ticket)


async def list_open_openings(tx: AsyncConnection, label: int, trading_server_id: int) -> list[OpenOpening]:
    """All on a server of which something is open, in the order of accounts and positions."""
    return [OpenOpening(**row) for row in await fetch_arrays(tx, LIST_OPEN, label, trading_server_id)]


async def save_floating(
    tx: AsyncConnection, allocation_ids: Sequence[int], floating_minor: Int64Array, observed_time: datetime
) -> None:
    """The openings' parts of the floating profit as it was observed; older news change nothing."""
    await fetch_arrays(tx, FLOAT, allocation_ids, floating_minor, observed_time)
