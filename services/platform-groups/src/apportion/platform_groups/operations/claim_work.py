"""Take orders and legs for sending: marked SENDING under a held lease, committed before the wire is touched."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from apportion.platform_groups.domain.orders import SentOrder
from apportion.platform_groups.domain.shards import shard_of_key
from apportion.platform_groups.domain.transfers import SentLeg
from apportion.platform_groups.operations.ports import NewId
from apportion.platform_groups.storage.events import append_orders_updated
from apportion.platform_groups.storage.orders import claim_orders, orphan_orders, stop_orders
from apportion.platform_groups.storage.transfers import claim_legs, orphan_legs
from apportion.storage import transaction
from apportion.storage.leases import Lease, check_fence, standing_leases


async def take_orders(
    engine: AsyncEngine,
    new_id: NewId,
    trading_server_id: int,
    leases: Sequence[Lease],
    *,
    limit: int,
    closes_only: bool,
    server_time_ms: int,
    now: datetime,
) -> list[SentOrder]:
    """Orders of the shards whose leases still stand, closes first. Opens that came too late end here."""
    async with transaction(engine) as tx:
        epochs = await _epochs(tx, leases)
        if not epochs:
            return []
        stopped = await stop_orders(tx, trading_server_id, list(epochs), now)
        await append_orders_updated(tx, stopped, new_id, now)
        return await claim_orders(
            tx,
            trading_server_id,
            epochs,
            limit=limit,
            closes_only=closes_only,
            server_time_ms=server_time_ms,
            now=now,
        )


async def take_legs(
    engine: AsyncEngine,
    trading_server_id: int,
    leases: Sequence[Lease],
    *,
    limit: int,
    server_time_ms: int,
    now: datetime,
) -> list[SentLeg]:
    """Legs of transfers, of the shards whose leases still stand."""
    async with transaction(engine) as tx:
        epochs = await _epochs(tx, leases)
        if not epochs:
            return []
        return await claim_legs(tx, trading_server_id, epochs, limit=limit, server_time_ms=server_time_ms, now=now)


async def adopt_orders(
    engine: AsyncEngine, new_id: NewId, trading_server_id: int, lease: Lease, *, now: datetime
) -> None:
    """A new hand on the shard's orders: what was left SENDING is UNKNOWN, whoever left it."""
    async with transaction(engine) as tx:
        await check_fence(tx, lease)
        rows = await orphan_orders(tx, trading_server_id, [shard_of_key(lease.key)], now)
        await append_orders_updated(tx, rows, new_id, now)


async def adopt_legs(engine: AsyncEngine, trading_server_id: int, lease: Lease, *, now: datetime) -> None:
    """As `adopt_orders`, for the shard's legs of transfers."""
    async with transaction(engine) as tx:
        await check_fence(tx, lease)
        await orphan_legs(tx, trading_server_id, [shard_of_key(lease.key)], now)


async def _epochs(tx: AsyncConnection, leases: Sequence[Lease]) -> dict[int, int]:
    return {shard_of_key(lease.key): lease.epoch for lease in await standing_leases(tx, leases)}
