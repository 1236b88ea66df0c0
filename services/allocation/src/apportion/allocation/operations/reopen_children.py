"""Open again what provably was not opened: a new order for each child that is still wanted.

The first order is never sent twice. It was refused for a passing reason, has ended without a trace on the server, or
was not sent in time. After a pause, while the master's trade is young enough, a follow-up decision (`wave` above 0)
names the same children in new orders.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime, timedelta

import numpy as np
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from apportion.allocation.domain.allocations import Allocation, AllocationColumns, AllocationKind, DispatchState
from apportion.allocation.domain.history import SECOND_MS
from apportion.allocation.domain.masters import Master
from apportion.allocation.domain.retries import RETRYABLE, Retries
from apportion.allocation.operations.store_decision import store_decision
from apportion.allocation.storage.allocations import (
    AllocationIds,
    claim_projection,
    load_allocation,
    next_wave,
)
from apportion.allocation.storage.child_trades import load_routes
from apportion.allocation.storage.master_positions import load_position
from apportion.allocation.storage.masters import load_master
from apportion.allocation.storage.retries import (
    give_up_waiting,
    list_due,
    load_waiting,
    save_reopened,
    wait_for_retry,
)
from apportion.money import Int64Array
from apportion.storage import transaction

BATCH = 100


async def hold_for_retry(
    tx: AsyncConnection,
    master: Master,
    allocation: Allocation,
    child_trade_ids: Int64Array,
    reasons: Sequence[str],
    retries: Retries,
    now: datetime,
) -> Int64Array:
    """Lets children whose orders of this decision were not executed wait to be opened again, and returns those that do.

    They do not where the master was halted since the decision, where they are not wanted any more, are too old, or had
    all their new orders.
    """
    if not child_trade_ids.size or master.halted or master.halt_epoch != allocation.halt_epoch:
        return child_trade_ids[:0]
    rejected = np.isin(reasons, sorted(RETRYABLE))
    return await wait_for_retry(
        tx,
        master.label,
        allocation.allocation_id,
        child_trade_ids,
        reasons,
        retries.limits_seconds(rejected),
        retry_time=now + timedelta(seconds=retries.pause_seconds),
        most=retries.most,
    )


async def reopen_children(engine: AsyncEngine, retries: Retries, *, now: datetime) -> list[Allocation]:
    """Follow-up decisions, to be sent, on children that have waited long enough."""
    async with transaction(engine) as tx:
        due = await list_due(tx, now, limit=BATCH)
    allocations = []
    for label, allocation_id in due:
        async with transaction(engine) as tx:
            allocation = await _reopen(tx, label, allocation_id, retries, now)
        if allocation is not None:
            allocations.append(allocation)
    return allocations


async def _reopen(
    tx: AsyncConnection, label: int, allocation_id: int, retries: Retries, now: datetime
) -> Allocation | None:
    """Each child gets its target, which closes of the master may have lowered meanwhile. After a halt none opens."""
    first = await load_allocation(tx, label, allocation_id)
    master = await load_master(tx, label, first.master_id, lock="share")
    position = await load_position(tx, master.master_id, first.trade.position_ticket)
    waiting = await load_waiting(tx, label, allocation_id, now)
    routes = await load_routes(tx, waiting.child_trade_ids)
    limits_seconds = retries.limits_seconds(waiting.rejected)
    since_seconds = (now - first.decide_time).total_seconds()
    is_wanted = (waiting.targets_e8 > 0) & (since_seconds < limits_seconds)
    is_wanted &= first.age_ms + since_seconds * SECOND_MS <= routes.max_ages_ms
    if master.halted or master.halt_epoch != first.halt_epoch:
        is_wanted[:] = False
    await give_up_waiting(tx, waiting.child_trade_ids[~is_wanted])
    rows = np.flatnonzero(is_wanted)
    if not rows.size:
        return None
    routes, ids, volumes_e8 = routes.of(rows), waiting.child_trade_ids[rows], waiting.targets_e8[rows]
    deadline = first.decide_time + timedelta(seconds=float(limits_seconds[rows].max()))
    follow_up = await _header(tx, first, volumes_e8, now)
    follow_up = replace(
        follow_up,
        trade=replace(first.trade, stop_loss_e8=position.stop_loss_e8, take_profit_e8=position.take_profit_e8),
        not_after_time=min(now + timedelta(seconds=retries.open_seconds), deadline),
    )
    losses, profits = routes.stops_e8(*position.stops_e8, buys=first.trade.volume_e8 > 0)
    await save_reopened(tx, follow_up.allocation_id, ids, losses, profits)
    columns = AllocationColumns(
        volumes_e8=volumes_e8,
        reasons=np.zeros(ids.shape, dtype=np.int8),
        bases=volumes_e8,
        child_trade_ids=ids,
        position_tickets=np.zeros_like(ids),
    )
    await store_decision(tx, master, follow_up, columns, routes, position_change_e8=None)
    await claim_projection(tx, follow_up.allocation_id, now)  # its children have their rows
    return follow_up


async def _header(tx: AsyncConnection, first: Allocation, volumes_e8: Int64Array, now: datetime) -> Allocation:
    sign = 1 if first.trade.volume_e8 > 0 else -1
    return replace(
        first,
        allocation_id=await AllocationIds().next(tx),
        wave=await next_wave(tx, first.master_id, first.trade.deal_ticket, AllocationKind.OPEN),
        row_count=int(volumes_e8.size),
        child_count=int(volumes_e8.size),
        skipped_count=0,
        volume_sum_e8=sign * int(volumes_e8.sum()),
        decide_time=now,
        dispatch_state=DispatchState.PENDING,
        dispatch_time=None,
    )
