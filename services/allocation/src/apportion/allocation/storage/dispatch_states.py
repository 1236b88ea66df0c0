"""How far the orders of allocations are on their way."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from apportion.allocation.domain.allocations import Allocation, AllocationKind, DispatchState
from apportion.allocation.storage import tables
from apportion.storage import fetch_arrays, read_arrays

ROWS = tables.allocations
# On the path of every decision, so these go to the driver as they are.
READ = "SELECT dispatch_state FROM allocations WHERE allocation_id = $1"
SAVE = "UPDATE allocations SET dispatch_state = $2, dispatch_time = $3 WHERE allocation_id = $1"


async def read_dispatch_state(engine: AsyncEngine, allocation_id: int) -> DispatchState:
    """How far the orders of an allocation are now, in one round trip."""
    (row,) = await read_arrays(engine, READ, allocation_id)
    return DispatchState(row["dispatch_state"])


async def save_dispatch(
    tx: AsyncConnection, allocation_id: int, state: DispatchState, dispatch_time: datetime | None = None
) -> None:
    """Notes how far the orders of an allocation are."""
    await fetch_arrays(tx, SAVE, allocation_id, state, dispatch_time)


async def list_unsent_modifications(tx: AsyncConnection, modification: Allocation) -> list[int]:
    """Ids of the modifications of the same position that were decided before and are not sent, in their order."""
    query = (
        select(ROWS.c.allocation_id)
        .where(
            ROWS.c.master_id == modification.master_id,
            ROWS.c.position_ticket == modification.trade.position_ticket,
            ROWS.c.kind == AllocationKind.MODIFY,
            ROWS.c.dispatch_state < DispatchState.DONE,
            ROWS.c.allocation_id < modification.allocation_id,
        )
        .order_by(ROWS.c.allocation_id)
    )
    return list((await tx.execute(query)).scalars())
