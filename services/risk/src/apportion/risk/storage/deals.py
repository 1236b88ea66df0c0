"""What moved balances, for the books of limited accounts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from sqlalchemy.ext.asyncio import AsyncConnection

from apportion.money import Int64Array
from apportion.risk.domain.books import Deals
from apportion.storage import fetch_arrays

INSERT = """
    INSERT INTO deals (label, account_id, deal_ticket, balance_minor, credit_minor, flow_minor, server_time_ms)
    SELECT $1, rows.* FROM unnest($2::bigint[], $3::bigint[], $4::bigint[], $5::bigint[], $6::bigint[], $7::bigint[])
        AS rows
    ON CONFLICT ON CONSTRAINT deals_pkey DO NOTHING
    RETURNING deal_ticket
"""
SINCE_DAY_START = """
    SELECT account_id, deal_ticket, deals.balance_minor, deals.credit_minor, deals.flow_minor, deals.server_time_ms
    FROM limits JOIN deals USING (label, account_id)
    WHERE trading_server_id = $1 AND account_id = ANY($2::bigint[]) AND deal_ticket > day_start_ticket
    ORDER BY account_id, deal_ticket
"""
NONE = Deals(*(np.zeros(0, dtype=np.int64) for _ in range(5)))


async def save_deals(tx: AsyncConnection, label: int, account_ids: Int64Array, deals: Deals) -> int:
    """Appends rows, one for each deal of `deals`; a deal that is there already changes nothing. How many were new."""
    rows = await fetch_arrays(
        tx,
        INSERT,
        label,
        account_ids,
        deals.tickets,
        deals.balances_minor,
        deals.credits_minor,
        deals.flows_minor,
        deals.server_times_ms,
    )
    return len(rows)


async def load_deals(tx: AsyncConnection, trading_server_id: int, account_ids: Int64Array) -> Mapping[int, Deals]:
    """Deals since the day start of each account; accounts without any are left out."""
    rows = await fetch_arrays(tx, SINCE_DAY_START, trading_server_id, account_ids)
    by_account: dict[int, list[Any]] = {}
    for row in rows:
        by_account.setdefault(row["account_id"], []).append(row)
    return {account_id: _deals(found) for account_id, found in by_account.items()}


def _deals(rows: Sequence[Any]) -> Deals:
    names = ("deal_ticket", "balance_minor", "credit_minor", "flow_minor", "server_time_ms")
    return Deals(*(np.array([row[name] for row in rows], dtype=np.int64) for name in names))
