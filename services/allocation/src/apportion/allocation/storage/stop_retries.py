"""Children whose newest stops were refused and are to be sent again."""

from __future__ import annotations

from datetime import datetime

import numpy as np
from sqlalchemy.ext.asyncio import AsyncConnection

from apportion.allocation.domain.position_keys import PositionKey
from apportion.allocation.storage.child_stops import OrderedStops
from apportion.money import Int64Array
from apportion.storage import fetch_arrays

# Only for the stops that the child was ordered last: those of an older modification are nobody's wish any more.
WAIT = """
    INSERT INTO stop_retries AS s
        (child_trade_id, label, master_id, master_position_ticket, first_time, retry_time, retry_count)
    SELECT c.child_trade_id, c.label, c.master_id, c.master_position_ticket, $5::timestamptz, $6::timestamptz, 0
    FROM unnest($2::bigint[], $3::bigint[], $4::bigint[]) AS r (child_trade_id, stop_loss_e8, take_profit_e8)
    JOIN child_trades AS c USING (child_trade_id)
    WHERE c.label = $1 AND c.state IN (3, 4) AND c.target_volume_e8 > 0 AND $8::int > 0
      AND (c.stop_loss_e8, c.take_profit_e8) = (r.stop_loss_e8, r.take_profit_e8)
      AND $6 < $5 + $7::float8 * interval '1 second'
    ON CONFLICT ON CONSTRAINT stop_retries_pkey DO UPDATE SET retry_time = $6
    WHERE s.retry_time IS NULL AND s.retry_count < $8 AND $6 < s.first_time + $7::float8 * interval '1 second'
"""
DUE = """
    SELECT DISTINCT label, master_id, master_position_ticket FROM stop_retries WHERE retry_time <= $1
    ORDER BY label, master_id, master_position_ticket LIMIT $2
"""
TAKE = """
    UPDATE stop_retries SET retry_time = NULL, retry_count = retry_count + 1
    WHERE master_id = $1 AND master_position_ticket = $2 AND retry_time <= $3
    RETURNING child_trade_id
"""
END = "DELETE FROM stop_retries WHERE child_trade_id = ANY($1::bigint[]) AND retry_time IS NULL"
FORGET = "DELETE FROM stop_retries WHERE child_trade_id = ANY($1::bigint[])"


async def wait_for_stops(
    tx: AsyncConnection,
    label: int,
    refused: OrderedStops,
    *,
    decide_time: datetime,
    retry_time: datetime,
    limit_seconds: float,
    most: int,
) -> None:
    """Lets children wait until `retry_time` to get their refused stops again, where they were ordered no others since.

    They do not where the stops are older than the limit by then, or were sent again as often as they may be. The
    children's rows are locked.
    """
    columns = refused.child_trade_ids, refused.stop_losses_e8, refused.take_profits_e8
    await fetch_arrays(tx, WAIT, label, *columns, decide_time, retry_time, limit_seconds, most)


async def list_due_stops(tx: AsyncConnection, now: datetime, *, limit: int) -> list[PositionKey]:
    """Master positions whose children are to get their stops again now."""
    return [PositionKey(*row.values()) for row in await fetch_arrays(tx, DUE, now, limit)]


async def take_due_stops(tx: AsyncConnection, master_id: int, position_ticket: int, now: datetime) -> Int64Array:
    """The children of a master's position that get their stops again now; the position is locked."""
    rows = await fetch_arrays(tx, TAKE, master_id, position_ticket, now)
    return np.array([row["child_trade_id"] for row in rows], dtype=np.int64)


async def end_stop_retries(tx: AsyncConnection, child_trade_ids: Int64Array) -> None:
    """Modifications of these children have ended: those that do not wait need no more."""
    await fetch_arrays(tx, END, child_trade_ids)


async def forget_stop_retries(tx: AsyncConnection, child_trade_ids: Int64Array) -> None:
    """These children have newer stops, or need none."""
    await fetch_arrays(tx, FORGET, child_trade_ids)
