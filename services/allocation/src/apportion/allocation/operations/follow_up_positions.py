"""Compare what children should have open with what they have, without waiting for an event."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from sqlalchemy.ext.asyncio import AsyncEngine

from apportion.allocation.domain.allocations import Allocation
from apportion.allocation.domain.position_keys import PositionKey
from apportion.allocation.operations.decide_close_trade import follow_up_closes
from apportion.allocation.storage.child_trades import list_excess_positions
from apportion.allocation.storage.masters import load_master
from apportion.allocation.storage.subscription_children import end_leaving
from apportion.storage import transaction

BATCH = 100


async def follow_up_positions(engine: AsyncEngine, *, now: datetime) -> list[Allocation]:
    """New closes for children that have more open than they should and nothing on its way, by master position.

    Also ends the leaving subscriptions that have nothing open any more.
    """
    async with transaction(engine) as tx:
        await end_leaving(tx)
        positions = await list_excess_positions(tx, limit=BATCH)
    return await close_excess(engine, positions, now=now)


async def close_excess(engine: AsyncEngine, positions: Sequence[PositionKey], *, now: datetime) -> list[Allocation]:
    """The same for the children of these positions only."""
    allocations: list[Allocation] = []
    for label, master_id, position_ticket in positions:
        async with transaction(engine) as tx:
            master = await load_master(tx, label, master_id, lock="share")
            decided = await follow_up_closes(tx, master, position_ticket, now=now)
        allocations += decided
    return allocations
