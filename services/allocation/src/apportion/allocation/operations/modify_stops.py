"""Decide and store the stops that children get when those of their master's position have changed."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta

import numpy as np
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from apportion.allocation.domain.allocations import (
    Allocation,
    AllocationColumns,
    AllocationKind,
    DispatchState,
)
from apportion.allocation.domain.child_routes import ChildRoutes, mirrored_stops_e8
from apportion.allocation.domain.masters import Master
from apportion.allocation.domain.open_inputs import NO_COLUMN
from apportion.allocation.domain.retries import STOPS_RETRYABLE, Retries
from apportion.allocation.operations.store_decision import store_decision
from apportion.allocation.storage.allocations import (
    AllocationIds,
    find_opening,
    load_allocation,
    load_columns,
    next_wave,
)
from apportion.allocation.storage.child_stops import OrderedStops, load_ordered_stops, save_ordered_stops
from apportion.allocation.storage.child_trades import OrderResults, load_routes
from apportion.allocation.storage.master_positions import MasterPosition, load_position, save_stops
from apportion.allocation.storage.masters import load_master
from apportion.allocation.storage.stop_retries import (
    end_stop_retries,
    forget_stop_retries,
    list_due_stops,
    take_due_stops,
    wait_for_stops,
)
from apportion.storage import transaction

BATCH = 100


async def change_stops(
    tx: AsyncConnection,
    master: Master,
    position_ticket: int,
    stop_loss_e8: int,
    take_profit_e8: int,
    *,
    now: datetime,
) -> Allocation | None:
    """Keeps the new stops of a master's position (0: none) and decides what they are for his children.

    None when nobody follows the position, or all who do have them. Children whose open order has no result yet get
    them when they fill.
    """
    position = await load_position(tx, master.master_id, position_ticket)
    if not await save_stops(tx, master.master_id, position_ticket, stop_loss_e8, take_profit_e8):
        return None
    position = replace(position, stop_loss_e8=stop_loss_e8, take_profit_e8=take_profit_e8)
    return await follow_up_stops(tx, master, position_ticket, position, now=now)


async def follow_up_stops(
    tx: AsyncConnection, master: Master, position_ticket: int, position: MasterPosition, *, now: datetime
) -> Allocation | None:
    """The stored decision for the open children that were ordered other stops than the position has now, if any.

    Children that copy no stops keep theirs. The position must be locked.
    """
    ordered = await load_ordered_stops(tx, master.master_id, position_ticket)
    routes = await load_routes(tx, ordered.child_trade_ids)
    wanted = _wanted(ordered, routes, position)
    differ = wanted.stop_losses_e8 != ordered.stop_losses_e8
    differ |= wanted.take_profits_e8 != ordered.take_profits_e8
    rows = np.flatnonzero(differ & routes.copies_stops)
    await forget_stop_retries(tx, ordered.child_trade_ids[rows])
    return await _modify(tx, master, position_ticket, position, wanted.of(rows), routes.of(rows), now=now)


async def hold_stops(
    tx: AsyncConnection, label: int, allocation_id: int, results: OrderResults, retries: Retries, *, now: datetime
) -> None:
    """Lets children whose modification was refused for a passing reason wait to get their stops again.

    Only their newest stops, and while those are young enough. The children are locked.
    """
    refused_ids = results.child_trade_ids[np.isin(results.reasons, sorted(STOPS_RETRYABLE))]
    if refused_ids.size:
        modification = await load_allocation(tx, label, allocation_id)
        columns = await load_columns(tx, allocation_id)
        sent = OrderedStops(
            columns.child_trade_ids, columns.position_tickets, columns.stop_losses_e8, columns.take_profits_e8
        )
        await wait_for_stops(
            tx,
            label,
            sent.of(np.flatnonzero(np.isin(sent.child_trade_ids, refused_ids))),
            decide_time=modification.decide_time,
            retry_time=now + timedelta(seconds=retries.pause_seconds),
            limit_seconds=retries.rejected_seconds,
            most=retries.most,
        )
    await end_stop_retries(tx, results.child_trade_ids)


async def repeat_stops(engine: AsyncEngine, *, now: datetime) -> list[Allocation]:
    """Further modifications, to be sent, of children that have waited long enough: with what their master has now."""
    async with transaction(engine) as tx:
        due = await list_due_stops(tx, now, limit=BATCH)
    allocations = []
    for label, master_id, position_ticket in due:
        async with transaction(engine) as tx:
            master = await load_master(tx, label, master_id, lock="share")
            allocation = await _repeat(tx, master, position_ticket, now=now)
        if allocation is not None:
            allocations.append(allocation)
    return allocations


async def _repeat(tx: AsyncConnection, master: Master, position_ticket: int, *, now: datetime) -> Allocation | None:
    position = await load_position(tx, master.master_id, position_ticket)
    ordered = await load_ordered_stops(tx, master.master_id, position_ticket)
    due_ids = await take_due_stops(tx, master.master_id, position_ticket, now)
    routes = await load_routes(tx, ordered.child_trade_ids)
    # Who copies stops no more, or is being closed, needs none.
    rows = np.flatnonzero(np.isin(ordered.child_trade_ids, due_ids) & routes.copies_stops)
    if position.open_volume_e8 == 0:
        rows = rows[:0]
    await forget_stop_retries(tx, np.setdiff1d(due_ids, ordered.child_trade_ids[rows]))
    wanted = _wanted(ordered, routes, position)
    return await _modify(tx, master, position_ticket, position, wanted.of(rows), routes.of(rows), now=now)


async def _modify(
    tx: AsyncConnection,
    master: Master,
    position_ticket: int,
    position: MasterPosition,
    wanted: OrderedStops,
    routes: ChildRoutes,
    *,
    now: datetime,
) -> Allocation | None:
    """None where nobody wants anything, or nothing of the position is open or was allocated."""
    opening = await find_opening(tx, master.master_id, position_ticket)
    if opening is None or position.open_volume_e8 == 0 or not wanted.child_trade_ids.size:
        return None
    await save_ordered_stops(tx, wanted)
    row_count = int(wanted.child_trade_ids.size)
    allocation = replace(
        opening,
        allocation_id=await AllocationIds().next(tx),
        kind=AllocationKind.MODIFY,
        trade=replace(
            opening.trade,
            deal_ticket=position_ticket,
            volume_e8=position.open_volume_e8,
            price_e8=0,
            server_time_ms=0,
            stop_loss_e8=position.stop_loss_e8,
            take_profit_e8=position.take_profit_e8,
        ),
        wave=await next_wave(tx, master.master_id, position_ticket, AllocationKind.MODIFY),
        before_volume_e8=0,
        master_basis=0,
        row_count=row_count,
        child_count=row_count,
        skipped_count=0,
        volume_sum_e8=0,
        decide_time=now,
        not_after_time=None,
        dispatch_state=DispatchState.PENDING,
        dispatch_time=None,
    )
    zeros = np.zeros(row_count, dtype=np.int64)
    columns = AllocationColumns(
        volumes_e8=zeros,
        reasons=zeros.astype(np.int8),
        bases=NO_COLUMN,
        child_trade_ids=wanted.child_trade_ids,
        position_tickets=wanted.position_tickets,
        stop_losses_e8=wanted.stop_losses_e8,
        take_profits_e8=wanted.take_profits_e8,
    )
    await store_decision(tx, master, allocation, columns, routes, position_change_e8=None)
    return allocation


def _wanted(ordered: OrderedStops, routes: ChildRoutes, position: MasterPosition) -> OrderedStops:
    """The stops that the children of a position have when they copy those that it has now."""
    losses, profits = mirrored_stops_e8(routes.directions, *position.stops_e8, buys=position.open_volume_e8 > 0)
    return OrderedStops(ordered.child_trade_ids, ordered.position_tickets, losses, profits)
