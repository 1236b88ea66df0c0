"""A master's running subscriptions, summed up."""

from __future__ import annotations

from sqlalchemy.ext.asyncio import AsyncConnection

from apportion.allocation.domain.master_summaries import SubscriptionSums
from apportion.allocation.storage.packing import from_aggregate
from apportion.storage import fetch_arrays

SUMS = """
    SELECT count(*) AS subscription_count,
           string_agg(int8send(account_id), '') FILTER (WHERE active) AS account_ids,
           coalesce(sum(lot_e8) FILTER (WHERE active), 0)::bigint AS lot_e8,
           coalesce(sum(percent_e8) FILTER (WHERE active), 0)::bigint AS percent_e8
    FROM subscriptions WHERE master_id = $1 AND state = 1
"""


async def load_subscription_sums(tx: AsyncConnection, master_id: int) -> SubscriptionSums:
    (row,) = await fetch_arrays(tx, SUMS, master_id)
    return SubscriptionSums(
        row["subscription_count"], from_aggregate(row["account_ids"]), row["lot_e8"], row["percent_e8"]
    )
