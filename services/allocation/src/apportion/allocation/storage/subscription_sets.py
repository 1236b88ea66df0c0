"""Subscription sets: what a master's subscriptions were at one version, as columns."""

from __future__ import annotations

import numpy as np
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from apportion.allocation.domain.subscription_sets import SubscriptionSet
from apportion.allocation.storage.packing import WIDE_BYTES, flags, from_aggregate, unpack

ACTIVE = 1
ROUND_UP = 2

# Sorted once and gathered into bytes by the database: ten thousand rows make no Python object.
GATHER = text(
    f"""
    SELECT string_agg(int8send(subscription_id), '') AS subscription_ids,
           string_agg(int8send(account_id), '') AS account_ids,
           string_agg(int8send(account_login), '') AS logins,
           string_agg(int8send(active::int * {ACTIVE} + round_up_to_min::int * {ROUND_UP}), '') AS flags,
           string_agg(int8send(ratio_e8), '') AS ratios_e8
    FROM (SELECT * FROM subscriptions WHERE master_id = :master_id ORDER BY account_login, subscription_id) AS ordered
    """
)
INSERT = text(
    """
    INSERT INTO subscription_sets
        (master_id, set_version, row_count, subscription_ids, account_ids, logins, flags, ratios_e8)
    VALUES (:master_id, :set_version, :row_count, :subscription_ids, :account_ids, :logins, :flags, :ratios_e8)
    ON CONFLICT ON CONSTRAINT subscription_sets_pkey DO NOTHING
    """
)
LOAD = text("SELECT * FROM subscription_sets WHERE master_id = :master_id AND set_version = :set_version")


async def load_set(tx: AsyncConnection, master_id: int, set_version: int) -> SubscriptionSet | None:
    """A set that a decision was made with; None when there was none with this version yet."""
    row = (await tx.execute(LOAD, {"master_id": master_id, "set_version": set_version})).one_or_none()
    if row is None:
        return None
    bits = np.frombuffer(row.flags, dtype=np.int8)
    return SubscriptionSet(
        master_id=master_id,
        set_version=set_version,
        subscription_ids=unpack(WIDE_BYTES, row.subscription_ids),
        account_ids=unpack(WIDE_BYTES, row.account_ids),
        logins=unpack(WIDE_BYTES, row.logins),
        active=flags(bits, ACTIVE),
        round_up_to_min=flags(bits, ROUND_UP),
        ratios_e8=unpack(WIDE_BYTES, row.ratios_e8),
    )


async def make_set(tx: AsyncConnection, master_id: int, set_version: int) -> SubscriptionSet:
    """The subscriptions as they are now, stored as the set of this version. The master's row must be locked."""
    row = (await tx.execute(GATHER, {"master_id": master_id})).one()
    bits = from_aggregate(row.flags)
    made = SubscriptionSet(
        master_id=master_id,
        set_version=set_version,
        subscription_ids=from_aggregate(row.subscription_ids),
        account_ids=from_aggregate(row.account_ids),
        logins=from_aggregate(row.logins),
        active=flags(bits, ACTIVE),
        round_up_to_min=flags(bits, ROUND_UP),
        ratios_e8=from_aggregate(row.ratios_e8),
    )
    values = {
        "master_id": master_id,
        "set_version": set_version,
        "row_count": len(made),
        "subscription_ids": made.subscription_ids.tobytes(),
        "account_ids": made.account_ids.tobytes(),
        "logins": made.logins.tobytes(),
        "flags": bits.astype(np.int8).tobytes(),
        "ratios_e8": made.ratios_e8.tobytes(),
    }
    await tx.execute(INSERT, values)
    return made
