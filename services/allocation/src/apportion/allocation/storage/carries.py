"""What subscriptions are owed from earlier rounding by the CARRY policy: one columnar row per master and symbol."""

from __future__ import annotations

import numpy as np
from sqlalchemy.ext.asyncio import AsyncConnection

from apportion.allocation.domain.alignment import align
from apportion.allocation.domain.open_inputs import UNKNOWN_BASIS
from apportion.allocation.domain.subscription_sets import SubscriptionSet
from apportion.allocation.storage.packing import WIDE_BYTES, unpack
from apportion.money import Int64Array
from apportion.storage import fetch_arrays

LOAD = "SELECT subscription_ids, carries_e8 FROM carries WHERE master_id = $1 AND symbol = $2 FOR UPDATE"
SAVE = """
    INSERT INTO carries (master_id, symbol, subscription_ids, carries_e8) VALUES ($1, $2, $3, $4)
    ON CONFLICT ON CONSTRAINT carries_pkey
    DO UPDATE SET subscription_ids = excluded.subscription_ids, carries_e8 = excluded.carries_e8
"""

LOAD_ALL = "SELECT subscription_ids, carries_e8 FROM carries WHERE master_id = $1"
LOGINS = "SELECT subscription_id, account_login FROM subscriptions WHERE subscription_id = ANY($1::bigint[])"


async def load_carries(tx: AsyncConnection, subscriptions: SubscriptionSet, symbol: str) -> Int64Array:
    """1e-8 lot in login order: above 0 is owed; locked until the commit. Who was never rounded has 0."""
    rows = await fetch_arrays(tx, LOAD, subscriptions.master_id, symbol)
    if not rows:
        return np.zeros(len(subscriptions), dtype=np.int64)
    subscription_ids, carries_e8 = (unpack(WIDE_BYTES, column) for column in rows[0].values())
    found = align(subscription_ids, subscriptions.subscription_ids).pick(carries_e8)
    return np.where(found == UNKNOWN_BASIS, 0, found)


async def save_carries(
    tx: AsyncConnection, subscriptions: SubscriptionSet, symbol: str, carries_e8: Int64Array
) -> None:
    """Carries in login order, after a decision; those of subscriptions that have ended are dropped with them."""
    order = np.argsort(subscriptions.subscription_ids)
    columns = (subscriptions.subscription_ids[order], carries_e8[order])
    await fetch_arrays(
        tx, SAVE, subscriptions.master_id, symbol, *(column.astype("<i8").tobytes() for column in columns)
    )


async def load_all_carries(tx: AsyncConnection, master_id: int) -> tuple[dict[int, int], dict[int, int]]:
    """(sum of the carries of all symbols, login) of each subscription that has one."""
    sums: dict[int, int] = {}
    for row in await fetch_arrays(tx, LOAD_ALL, master_id):
        ids, carries_e8 = (unpack(WIDE_BYTES, column) for column in row.values())
        for subscription_id, carry_e8 in zip(ids.tolist(), carries_e8.tolist(), strict=True):
            sums[subscription_id] = sums.get(subscription_id, 0) + carry_e8
    owed = {subscription_id: carry_e8 for subscription_id, carry_e8 in sums.items() if carry_e8}
    rows = await fetch_arrays(tx, LOGINS, list(owed))
    return owed, {row["subscription_id"]: row["account_login"] for row in rows}
