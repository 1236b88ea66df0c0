"""Store a decision that a lock keeps everybody else from making."""

from __future__ import annotations

from sqlalchemy.ext.asyncio import AsyncConnection

from apportion.allocation.domain.allocations import Allocation, AllocationColumns
from apportion.allocation.domain.child_routes import ChildRoutes
from apportion.allocation.domain.masters import Master
from apportion.allocation.operations.event_payloads import decision_event
from apportion.allocation.storage.allocations import store_allocation


async def store_decision(
    tx: AsyncConnection,
    master: Master,
    allocation: Allocation,
    columns: AllocationColumns,
    routes: ChildRoutes,
    *,
    position_change_e8: int | None,
) -> None:
    """Stores a decision that nobody can have stored before, and its event.

    `position_change_e8` is what a deal of the master adds to his position, signed; None for a follow-up.
    """
    step_e8 = allocation.grid.step_e8
    is_stored = await store_allocation(
        tx,
        allocation,
        columns,
        decision_event(master, allocation, routes, columns),
        unit_e8=1 if (columns.volumes_e8 % step_e8).any() else step_e8,
        position_change_e8=position_change_e8,
    )
    if not is_stored:
        what = f"{allocation.kind.name} {allocation.wave} of deal {allocation.trade.deal_ticket}"
        raise AssertionError(f"{what} of master {master.master_id} was decided twice in spite of its lock")
