"""What subscriptions of a master have open, or on its way to be: the inputs of limits and of EQUAL_RISK."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from sqlalchemy.ext.asyncio import AsyncConnection

from apportion.allocation.domain.alignment import align
from apportion.allocation.domain.copy_rules import Holdings
from apportion.allocation.domain.subscription_sets import SubscriptionSet
from apportion.allocation.storage.packing import from_aggregate
from apportion.money import Int64Array
from apportion.storage import fetch_arrays

# What is open, or all that was decided while the open order has no result. What a close did too much, of which nothing
# was decided, is on its way out.
VOLUME = "CASE c.state WHEN 1 THEN c.target_volume_e8 ELSE c.open_volume_e8 END"
GATHERED = """
    SELECT string_agg(int8send(subscription_id), '') AS subscription_ids,
           string_agg(int8send(volume_e8), '') AS volumes_e8,
           string_agg(int8send(count), '') AS counts
    FROM (
        SELECT c.subscription_id, sum({volume})::bigint AS volume_e8, count(*) AS count
        FROM child_trades AS c {join}
        WHERE c.master_id = $1 AND c.state IN (1, 3, 4) AND c.volume_e8 > 0 AND {volume} > 0 {condition}
        GROUP BY c.subscription_id ORDER BY c.subscription_id
    ) AS held
"""
ALL = GATHERED.format(volume=VOLUME, join="", condition="")
OF_BOOK = GATHERED.format(
    volume=VOLUME,
    join="JOIN allocations AS a USING (allocation_id)",
    condition="AND a.symbol = $2 AND sign(a.master_volume_e8) = $3",
)


async def load_holdings(tx: AsyncConnection, subscriptions: SubscriptionSet) -> Holdings:
    """All that each has open of the master. The rows of all his decisions must have been made."""
    (row,) = await fetch_arrays(tx, ALL, subscriptions.master_id)
    return _aligned(row, subscriptions)


async def load_held_e8(tx: AsyncConnection, subscriptions: SubscriptionSet, symbol: str, *, buys: bool) -> Int64Array:
    """The volume each has open of the master's trades in this symbol and direction, in login order."""
    (row,) = await fetch_arrays(tx, OF_BOOK, subscriptions.master_id, symbol, 1 if buys else -1)
    return _aligned(row, subscriptions).volumes_e8


def _aligned(row: Mapping[str, bytes | None], subscriptions: SubscriptionSet) -> Holdings:
    alignment = align(from_aggregate(row["subscription_ids"]), subscriptions.subscription_ids)
    volumes_e8 = alignment.pick(from_aggregate(row["volumes_e8"]))
    counts = alignment.pick(from_aggregate(row["counts"]))
    return Holdings(np.maximum(volumes_e8, 0), np.maximum(counts, 0))
