"""What shows that events were missed: masters' positions that differ from the server's, orders without a result."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from sqlalchemy.ext.asyncio import AsyncConnection

from apportion.allocation.domain.positions import PositionReport
from apportion.storage import fetch_arrays

ACCOUNTS = """
    SELECT account_id, create_time FROM masters
    WHERE label = $1 AND trading_server_id = $2 AND account_id > $3 ORDER BY account_id LIMIT $4
"""
DIFFERING = """
    WITH books AS (
        SELECT m.account_id, p.position_ticket, p.open_volume_e8
        FROM masters AS m JOIN master_positions AS p USING (master_id)
        WHERE m.label = $1 AND m.account_id = ANY($2::bigint[]) AND p.open_volume_e8 <> 0
    )
    SELECT account_id, array_agg(position_ticket ORDER BY position_ticket) AS position_tickets
    FROM unnest($3::bigint[], $4::bigint[], $5::bigint[]) AS s (account_id, position_ticket, volume_e8)
    FULL JOIN books AS b USING (account_id, position_ticket)
    WHERE s.volume_e8 IS DISTINCT FROM b.open_volume_e8
    GROUP BY account_id ORDER BY account_id
"""
# A child waits for the order of its newest decision.
UNANSWERED = """
    SELECT DISTINCT a.allocation_id
    FROM child_trades AS c
    JOIN masters AS m ON m.master_id = c.master_id AND m.label = $1 AND m.trading_server_id = $2
    JOIN allocations AS a ON a.allocation_id = coalesce(nullif(c.follow_up_id, 0), c.allocation_id)
    WHERE c.state = 1 AND c.retry_time IS NULL AND a.dispatch_time < $3
    ORDER BY a.allocation_id LIMIT $4
"""


async def list_master_accounts(
    tx: AsyncConnection, label: int, trading_server_id: int, *, after: int, limit: int
) -> dict[int, datetime]:
    """By account, in id order, those with an id above `after`: since when each is a master's."""
    rows = await fetch_arrays(tx, ACCOUNTS, label, trading_server_id, after, limit)
    return {row["account_id"]: row["create_time"] for row in rows}


async def list_differing_positions(
    tx: AsyncConnection, label: int, account_ids: Sequence[int], report: PositionReport
) -> dict[int, list[int]]:
    """Position tickets by account. An account that the report leaves out does not differ."""
    told = sorted(set(account_ids) - set(report.left_account_ids))
    columns = report.account_ids, report.position_tickets, report.volumes_e8
    rows = await fetch_arrays(tx, DIFFERING, label, told, *columns)
    return {row["account_id"]: row["position_tickets"] for row in rows}


async def list_unanswered(
    tx: AsyncConnection, label: int, trading_server_id: int, *, before: datetime, limit: int
) -> list[int]:
    """Decisions whose orders were handed over before an instant, while children wait for their results."""
    rows = await fetch_arrays(tx, UNANSWERED, label, trading_server_id, before, limit)
    return [row["allocation_id"] for row in rows]
