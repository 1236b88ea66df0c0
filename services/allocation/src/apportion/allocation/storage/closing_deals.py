"""Closing deals on subscribed accounts: the only truth about what of a child is still open.

A close order's own result says the same a second time and on another topic, so it never moves an open volume. A deal
may be read before the result that tells which position a child has; it waits here until then.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from sqlalchemy.ext.asyncio import AsyncConnection

from apportion.allocation.domain.closed_parts import ClosedPart
from apportion.money import Int64Array
from apportion.storage import PARTITIONS, fetch_arrays

# A deal and the result that tells whose it is may be booked at the same moment, each by a transaction that cannot see
# the other's row: then both would leave the match to the other. So deals of a partition of accounts exclude results,
# which share all partitions among themselves.
EXCLUDE_RESULTS = """
    SELECT pg_advisory_xact_lock(hashtextextended('closing deals', $1 * $3 + p))
    FROM (SELECT DISTINCT a % $3 AS p FROM unnest($2::bigint[]) AS a ORDER BY p) AS partitions
"""
EXCLUDE_DEALS = """
    SELECT pg_advisory_xact_lock_shared(hashtextextended('closing deals', $1 * $2 + p))
    FROM generate_series(0, $2::bigint - 1) AS p
"""
KEEP = """
    INSERT INTO closing_deals
        (label, account_id, deal_ticket, position_ticket, volume_e8, price_e8, server_time_ms, ordered)
    SELECT $1::bigint, d.*
    FROM unnest($2::bigint[], $3::bigint[], $4::bigint[], $5::bigint[], $6::bigint[], $7::bigint[], $8::boolean[])
         AS d (account_id)
    WHERE EXISTS (SELECT FROM subscriptions AS s WHERE s.label = $1 AND s.account_id = d.account_id)
    ON CONFLICT ON CONSTRAINT closing_deals_pkey DO NOTHING
    RETURNING account_id, position_ticket
"""
LOCK = """
    SELECT FROM child_trades AS c
    WHERE (c.account_id, c.position_ticket) IN (SELECT * FROM unnest($2::bigint[], $3::bigint[]))
      AND c.position_ticket <> 0 AND c.label = $1
    ORDER BY c.child_trade_id FOR UPDATE
"""
MATCH = f"""
    WITH matched AS (
        UPDATE closing_deals AS d SET child_trade_id = c.child_trade_id
        FROM child_trades AS c
        WHERE (d.account_id, d.position_ticket) IN (SELECT * FROM unnest($2::bigint[], $3::bigint[]))
          AND d.child_trade_id IS NULL AND d.label = $1
          AND c.account_id = d.account_id AND c.position_ticket = d.position_ticket AND c.position_ticket <> 0
        RETURNING d.deal_ticket, d.account_id, d.volume_e8, d.price_e8, d.server_time_ms, d.ordered,
                  c.child_trade_id, c.subscription_id, c.master_id, c.symbol, c.state
    ), sums AS (
        SELECT child_trade_id, sum(volume_e8)::bigint AS closed_e8,
               coalesce(sum(volume_e8) FILTER (WHERE ordered), 0)::bigint AS ordered_e8
        FROM matched GROUP BY child_trade_id
    ), applied AS (
        UPDATE child_trades AS c
        SET open_volume_e8 = greatest(0, c.open_volume_e8 - s.closed_e8),
            closing_volume_e8 = CASE WHEN c.open_volume_e8 <= s.closed_e8 THEN 0
                                ELSE greatest(0, c.closing_volume_e8 - s.ordered_e8) END,
            state = CASE WHEN c.open_volume_e8 <= s.closed_e8 THEN 7 ELSE c.state END
        FROM sums AS s WHERE c.child_trade_id = s.child_trade_id
    )
    SELECT {", ".join(ClosedPart._fields)} FROM matched WHERE state <> 8
    ORDER BY master_id, symbol, child_trade_id, deal_ticket
"""


@dataclass(frozen=True, slots=True)
class ClosingDeals:
    """Columns of one length; volumes above 0."""

    account_ids: Int64Array
    deal_tickets: Int64Array
    position_tickets: Int64Array
    volumes_e8: Int64Array
    prices_e8: Int64Array
    server_times_ms: Int64Array
    ordered: NDArray[np.bool_]


async def exclude_deals(tx: AsyncConnection, label: int) -> None:
    """Keeps closing deals from being stored until the commit: to be called after masters and positions are locked, and
    before children get their position tickets.
    """
    await fetch_arrays(tx, EXCLUDE_DEALS, label, PARTITIONS)


async def keep_deals(tx: AsyncConnection, label: int, deals: ClosingDeals) -> list[tuple[int, int]]:
    """Stores those on subscribed accounts that are new. Returns their (account, position ticket)."""
    await fetch_arrays(tx, EXCLUDE_RESULTS, label, deals.account_ids, PARTITIONS)
    rows = await fetch_arrays(
        tx,
        KEEP,
        label,
        deals.account_ids,
        deals.deal_tickets,
        deals.position_tickets,
        deals.volumes_e8,
        deals.prices_e8,
        deals.server_times_ms,
        deals.ordered,
    )
    return [(row["account_id"], row["position_ticket"]) for row in rows]


async def match_deals(tx: AsyncConnection, label: int, positions: Sequence[tuple[int, int]]) -> list[ClosedPart]:
    """Books the waiting deals of these (account, position ticket) on their children, each once.

    Returns what they closed, grouped by master and symbol. Deals on detached children are booked and not returned: they
    are their investor's own.
    """
    if not positions:
        return []
    account_ids, position_tickets = zip(*positions, strict=True)
    await fetch_arrays(tx, LOCK, label, account_ids, position_tickets)
    rows = await fetch_arrays(tx, MATCH, label, account_ids, position_tickets)
    return [ClosedPart._make(row.values()) for row in rows]
