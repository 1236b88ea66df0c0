"""Decide and store the stops that children get when those of their master's position have changed."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime

import numpy as np
from sqlalchemy.ext.asyncio import AsyncConnection

from apportion.allocation.domain.allocations import (
    Allocation,
    AllocationColumns,
    AllocationKind,
    DispatchState,
)
from apportion.allocation.domain.child_routes import ChildRoutes, mirrored_stops_e8
from apportion.allocation.domain.masters import Master
from apportion.allocation.domain.open_inputs import NO_COLUMN
from apportion.allocation.operations.event_payloads import decision_event
from apportion.allocation.storage.allocations import AllocationIds, find_opening, next_wave, store_allocation
from apportion.allocation.storage.child_stops import OrderedStops, load_ordered_stops, save_ordered_stops
from apportion.allocation.storage.child_trades import load_routes
from apportion.allocation.storage.master_positions import MasterPosition, load_position, save_stops


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
    opening = await find_opening(tx, master.master_id, position_ticket)
    if opening is None or position.open_volume_e8 == 0:
        return None
    ordered = await load_ordered_stops(tx, master.master_id, position_ticket)
    routes = await load_routes(tx, ordered.child_trade_ids)
    wanted, rows = _wanted(ordered, routes, position)
    if not rows.size:
        return None
    await save_ordered_stops(tx, wanted)
    routes = routes.of(rows)
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
        row_count=int(rows.size),
        child_count=int(rows.size),
        skipped_count=0,
        volume_sum_e8=0,
        decide_time=now,
        not_after_time=None,
        dispatch_state=DispatchState.PENDING,
        dispatch_time=None,
    )
    zeros = np.zeros_like(rows, dtype=np.int64)
    columns = AllocationColumns(
        volumes_e8=zeros,
        reasons=zeros.astype(np.int8),
        bases=NO_COLUMN,
        child_trade_ids=wanted.child_trade_ids,
        position_tickets=wanted.position_tickets,
        stop_losses_e8=wanted.stop_losses_e8,
        take_profits_e8=wanted.take_profits_e8,
    )
    event = decision_event(master, allocation, routes, columns)
    if not await store_allocation(tx, allocation, columns, event, unit_e8=1, position_change_e8=None):
        raise AssertionError("two modifications of one position were decided at once in spite of its lock")
    return allocation


def _wanted(
    ordered: OrderedStops, routes: ChildRoutes, position: MasterPosition
) -> tuple[OrderedStops, np.ndarray[tuple[int], np.dtype[np.intp]]]:
    """The stops that some of the children lack, and which of them these are."""
    losses, profits = mirrored_stops_e8(routes.directions, *position.stops_e8, buys=position.open_volume_e8 > 0)
    differ = (losses != ordered.stop_losses_e8) | (profits != ordered.take_profits_e8)
    rows = np.flatnonzero(differ & routes.copies_stops)
    columns = (ordered.child_trade_ids, ordered.position_tickets, losses, profits)
    return OrderedStops(*(column[rows] for column in columns)), rows
