"""Children that wait to be opened again."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

import numpy as np
from numpy.typing import NDArray
from sqlalchemy.ext.asyncio import AsyncConnection

from apportion.allocation.domain.retries import RETRYABLE
from apportion.allocation.storage.child_trades import LOCK
from apportion.allocation.storage.packing import from_aggregate
from apportion.money import Int64Array
from apportion.storage import fetch_arrays

# Only for the order that the child waits for: an older one that is told again makes no second new order.
WAIT = """
    UPDATE child_trades AS c SET retry_time = $5, reason = r.reason
    FROM unnest($2::bigint[], $3::text[], $4::float8[]) AS r (child_trade_id, reason, limit_seconds), allocations AS a
    WHERE c.child_trade_id = r.child_trade_id AND c.label = $1 AND a.allocation_id = c.allocation_id
      AND c.state = 1 AND c.target_volume_e8 > 0 AND c.retry_time IS NULL AND c.retry_count < $6
      AND coalesce(nullif(c.follow_up_id, 0), c.allocation_id) = $7
      AND $5 < a.decide_time + r.limit_seconds * interval '1 second'
    RETURNING c.child_trade_id
"""
DUE = """
    SELECT DISTINCT label, allocation_id FROM child_trades WHERE retry_time <= $1
    ORDER BY label, allocation_id LIMIT $2
"""
# Who leaves his master begins nothing any more.
LOAD = """
    SELECT string_agg(int8send(child_trade_id), '') AS child_trade_ids,
           string_agg(int8send(wanted_e8), '') AS targets_e8,
           string_agg(int8send((reason = ANY($3::text[]))::int), '') AS rejected
    FROM (
        SELECT c.child_trade_id, c.reason, CASE s.state WHEN 1 THEN c.target_volume_e8 ELSE 0 END AS wanted_e8
        FROM child_trades AS c JOIN subscriptions AS s USING (subscription_id)
        WHERE c.label = $1 AND c.allocation_id = $2 AND c.retry_time <= $4
        ORDER BY c.child_trade_id FOR UPDATE OF c
    ) AS ordered
"""
# The new order asks for what is to be open by now: the child's volume becomes its target.
REOPEN = """
    UPDATE child_trades AS c
    SET volume_e8 = c.target_volume_e8, retry_time = NULL, retry_count = c.retry_count + 1, follow_up_id = $1,
        stop_loss_e8 = n.stop_loss_e8, take_profit_e8 = n.take_profit_e8
    FROM unnest($2::bigint[], $3::bigint[], $4::bigint[]) AS n (child_trade_id, stop_loss_e8, take_profit_e8)
    WHERE c.child_trade_id = n.child_trade_id
"""
GIVE_UP = """
    UPDATE child_trades
    SET state = CASE WHEN reason = ANY($2::text[]) THEN 5 ELSE 6 END, retry_time = NULL, target_volume_e8 = 0
    WHERE child_trade_id = ANY($1::bigint[]) AND state = 1
"""


@dataclass(frozen=True, slots=True)
class WaitingChildren:
    """Columns of one length in the order of the ids, the rows locked."""

    child_trade_ids: Int64Array
    targets_e8: Int64Array
    rejected: NDArray[np.bool_]
    """The others were missed."""


async def wait_for_retry(
    tx: AsyncConnection,
    label: int,
    allocation_id: int,
    child_trade_ids: Int64Array,
    reasons: Sequence[str],
    limits_seconds: NDArray[np.float64],
    *,
    retry_time: datetime,
    most: int,
) -> Int64Array:
    """Marks those that may be opened again then, and returns them; `allocation_id` names the order that has ended."""
    await fetch_arrays(tx, LOCK, child_trade_ids)
    rows = await fetch_arrays(
        tx, WAIT, label, child_trade_ids, reasons, limits_seconds, retry_time, most, allocation_id
    )
    return np.array([row["child_trade_id"] for row in rows], dtype=np.int64)


async def list_due(tx: AsyncConnection, now: datetime, *, limit: int) -> list[tuple[int, int]]:
    """(label, id) of first decisions of which children are to be opened again now."""
    return [(row["label"], row["allocation_id"]) for row in await fetch_arrays(tx, DUE, now, limit)]


async def load_waiting(tx: AsyncConnection, label: int, allocation_id: int, now: datetime) -> WaitingChildren:
    """The children of a first decision that are to be opened again now."""
    (row,) = await fetch_arrays(tx, LOAD, label, allocation_id, sorted(RETRYABLE), now)
    ids, targets_e8, rejected = (from_aggregate(column) for column in row.values())
    return WaitingChildren(ids, targets_e8, rejected.astype(np.bool_))


async def save_reopened(
    tx: AsyncConnection,
    follow_up_id: int,
    child_trade_ids: Int64Array,
    stop_losses_e8: Int64Array,
    take_profits_e8: Int64Array,
) -> None:
    """They have a new order, by this decision and with these stops; their rows are locked."""
    await fetch_arrays(tx, REOPEN, follow_up_id, child_trade_ids, stop_losses_e8, take_profits_e8)


async def give_up_waiting(tx: AsyncConnection, child_trade_ids: Int64Array) -> None:
    """They end as rejected or expired, with the reason of their last order; their rows are locked."""
    await fetch_arrays(tx, GIVE_UP, child_trade_ids, sorted(RETRYABLE))
