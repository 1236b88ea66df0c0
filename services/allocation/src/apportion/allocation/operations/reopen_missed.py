"""Open again what provably was not opened: a new order for each child that is still wanted.

The first order is never sent twice. It has ended without a trace on the server, or was not sent in time; while the
master's trade is young enough, a follow-up decision (`wave` above 0) names the same children in new orders.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime, timedelta

import numpy as np
from sqlalchemy.ext.asyncio import AsyncConnection

from apportion.allocation.domain.allocations import Allocation, AllocationColumns, AllocationKind, DispatchState
from apportion.allocation.domain.masters import Master
from apportion.allocation.operations.event_payloads import decision_event
from apportion.allocation.storage.allocations import (
    AllocationIds,
    claim_projection,
    find_allocation,
    next_wave,
    store_allocation,
)
from apportion.allocation.storage.child_trades import load_routes, want_again
from apportion.money import Int64Array


@dataclass(frozen=True, slots=True)
class CatchUp:
    """Times of late opens, by our own clock."""

    age_seconds: float
    """A child is opened again only this long after the decision on its master's trade; 0: never."""
    open_seconds: float
    """Its new order must be sent this long after the follow-up decision."""


@dataclass(frozen=True, slots=True)
class Reopened:
    allocation: Allocation
    child_trade_ids: Int64Array


async def reopen_missed(
    tx: AsyncConnection,
    master: Master,
    allocation: Allocation,
    child_trade_ids: Int64Array,
    limits: CatchUp,
    now: datetime,
) -> Reopened | None:
    """The follow-up decision for those of the missed children that are still wanted, stored; None without any.

    What is wanted is the child's target: a close of the master has lowered it meanwhile. A halt since the decision
    ends it.
    """
    if not child_trade_ids.size or master.halted or master.halt_epoch != allocation.halt_epoch:
        return None
    trade = allocation.trade
    first = await find_allocation(tx, master.master_id, trade.deal_ticket, AllocationKind.OPEN)
    if first is None or (now - first.decide_time).total_seconds() >= limits.age_seconds:
        return None
    wanted_ids, volumes_e8 = await want_again(tx, master.label, child_trade_ids)
    if not wanted_ids.size:
        return None
    sign = 1 if trade.volume_e8 > 0 else -1
    stored = replace(
        allocation,
        allocation_id=await AllocationIds().next(tx),
        wave=await next_wave(tx, master.master_id, trade.deal_ticket, AllocationKind.OPEN),
        row_count=int(wanted_ids.size),
        child_count=int(wanted_ids.size),
        skipped_count=0,
        volume_sum_e8=sign * int(volumes_e8.sum()),
        decide_time=now,
        not_after_time=now + timedelta(seconds=limits.open_seconds),
        dispatch_state=DispatchState.PENDING,
        dispatch_time=None,
    )
    reasons = np.zeros(wanted_ids.shape, dtype=np.int8)
    columns = AllocationColumns(volumes_e8, reasons, volumes_e8, wanted_ids, np.zeros_like(wanted_ids))
    step_e8 = stored.grid.step_e8
    unit_e8 = step_e8 if not (volumes_e8 % step_e8).any() else 1
    routes = await load_routes(tx, wanted_ids)
    event = decision_event(master, stored, routes, columns)
    if not await store_allocation(tx, stored, columns, event, unit_e8=unit_e8, position_change_e8=None):
        raise AssertionError("two follow-ups of one decision in spite of its children's locks")
    await claim_projection(tx, stored.allocation_id, now)  # its children have their rows
    return Reopened(stored, wanted_ids)
