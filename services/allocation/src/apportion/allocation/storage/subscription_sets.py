"""Subscription sets: what a master's subscriptions were at one version, as columns."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from apportion.allocation.domain.allocations import Allocation
from apportion.allocation.domain.child_routes import ChildRoutes, routes_of_set
from apportion.allocation.domain.subscription_sets import SubscriptionSet
from apportion.allocation.storage.copy_settings import load_settings
from apportion.allocation.storage.packing import from_aggregate
from apportion.money import Int64Array

INT64 = np.dtype("<i8")
INT8 = np.dtype("<i1")
COLUMNS: Mapping[str, np.dtype[Any]] = {
    "subscription_ids": INT64,
    "account_ids": INT64,
    "logins": INT64,
    "flags": INT8,
    "ratios_e8": INT64,
    "lots_e8": INT64,
    "percents_e8": INT64,
    "modes": INT8,
    "settings_ids": INT64,
}
DISTINCT = ("subscription_ids", "account_ids", "logins")
"""Stored in full; of the others one value stands for all rows where they are equal."""

# Sorted once and gathered into bytes by the database: ten thousand rows make no Python object.
GATHER = text(
    """
    SELECT string_agg(int8send(subscription_id), '') AS subscription_ids,
           string_agg(int8send(account_id), '') AS account_ids,
           string_agg(int8send(account_login), '') AS logins,
           string_agg(int8send(active::int), '') AS flags,
           string_agg(int8send(ratio_e8), '') AS ratios_e8,
           string_agg(int8send(lot_e8), '') AS lots_e8,
           string_agg(int8send(percent_e8), '') AS percents_e8,
           string_agg(int8send(lot_mode), '') AS modes,
           string_agg(int8send(copy_settings_id), '') AS settings_ids
    FROM (
        SELECT * FROM subscriptions WHERE master_id = :master_id AND state = 1
        ORDER BY account_login, subscription_id
    ) AS ordered
    """
)
INSERT = text(
    f"""
    INSERT INTO subscription_sets (master_id, set_version, row_count, {", ".join(COLUMNS)})
    VALUES (:master_id, :set_version, :row_count, {", ".join(f":{name}" for name in COLUMNS)})
    ON CONFLICT ON CONSTRAINT subscription_sets_pkey DO NOTHING
    """
)
LOAD = text("SELECT * FROM subscription_sets WHERE master_id = :master_id AND set_version = :set_version")


async def load_set(tx: AsyncConnection, master_id: int, set_version: int) -> SubscriptionSet | None:
    """A set that a decision was made with; None when there was none with this version yet."""
    row = (await tx.execute(LOAD, {"master_id": master_id, "set_version": set_version})).one_or_none()
    if row is None:
        return None
    columns = {name: _unpack(getattr(row, name), dtype, row.row_count) for name, dtype in COLUMNS.items()}
    return await _set(tx, master_id, set_version, columns)


async def load_set_of(tx: AsyncConnection, allocation: Allocation) -> SubscriptionSet:
    """The set that a first opening decision was made with."""
    found = await load_set(tx, allocation.master_id, allocation.set_version)
    if found is None:
        raise LookupError(f"allocation {allocation.allocation_id} has lost its subscription set")
    return found.only(allocation.subscription_id) if allocation.subscription_id else found


async def load_set_routes(tx: AsyncConnection, allocation: Allocation) -> ChildRoutes:
    """Whose the rows of a first opening decision are, and what they trade."""
    trade = allocation.trade
    return routes_of_set(await load_set_of(tx, allocation), trade.symbol, buys=trade.volume_e8 > 0)


async def make_set(tx: AsyncConnection, master_id: int, set_version: int) -> SubscriptionSet:
    """The running subscriptions as they are now, stored as the set of this version. The master's row must be locked."""
    row = (await tx.execute(GATHER, {"master_id": master_id})).one()
    columns = {name: from_aggregate(getattr(row, name)) for name in COLUMNS}
    packed = {name: _pack(columns[name].astype(dtype), whole=name in DISTINCT) for name, dtype in COLUMNS.items()}
    head = {"master_id": master_id, "set_version": set_version, "row_count": columns["subscription_ids"].size}
    await tx.execute(INSERT, head | packed)
    return await _set(tx, master_id, set_version, columns)


async def _set(
    tx: AsyncConnection, master_id: int, set_version: int, columns: Mapping[str, Int64Array]
) -> SubscriptionSet:
    settings_ids, profile_rows = np.unique(columns["settings_ids"], return_inverse=True)
    settings = await load_settings(tx, settings_ids.tolist())
    return SubscriptionSet(
        master_id=master_id,
        set_version=set_version,
        subscription_ids=columns["subscription_ids"],
        account_ids=columns["account_ids"],
        logins=columns["logins"],
        active=columns["flags"].astype(np.bool_),
        ratios_e8=columns["ratios_e8"],
        lots_e8=columns["lots_e8"],
        percents_e8=columns["percents_e8"],
        modes=columns["modes"].astype(np.int8),
        profiles=tuple(settings[settings_id] for settings_id in settings_ids.tolist()),
        profile_rows=profile_rows,
    )


def _pack(column: NDArray[Any], *, whole: bool) -> bytes:
    is_uniform = column.size > 1 and not whole and bool((column == column[0]).all())
    return (column[:1] if is_uniform else column).tobytes()


def _unpack(packed: bytes, dtype: np.dtype[Any], row_count: int) -> Int64Array:
    """All values, also where one stands for all."""
    values = np.frombuffer(packed, dtype=dtype).astype(np.int64)
    return values if values.size == row_count else np.full(row_count, values[0])
