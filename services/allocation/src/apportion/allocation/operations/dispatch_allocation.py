"""Send the child orders of a stored decision to platform-groups."""

from __future__ import annotations

from dataclasses import replace
from uuid import NAMESPACE_URL, uuid5

import numpy as np
import structlog
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from apportion.allocation.domain.allocations import Allocation, AllocationKind, DispatchState
from apportion.allocation.domain.child_orders import ChildOrders, child_orders
from apportion.allocation.domain.masters import Master
from apportion.allocation.domain.reasons import SkipReason
from apportion.allocation.domain.retries import Retries
from apportion.allocation.operations.ports import OrderBatch, Orders
from apportion.allocation.operations.project_children import project_allocation
from apportion.allocation.operations.reopen_children import hold_for_retry
from apportion.allocation.storage.allocations import load_allocation, load_columns
from apportion.allocation.storage.child_trades import cancel_pending, load_routes
from apportion.allocation.storage.dispatch_states import (
    list_unsent_modifications,
    read_dispatch_state,
    save_dispatch,
)
from apportion.allocation.storage.master_positions import read_open_volume_e8
from apportion.allocation.storage.masters import load_master, read_master
from apportion.allocation.storage.subscription_sets import load_set_routes
from apportion.errors import DomainError
from apportion.runtime import Clock
from apportion.storage import transaction

log = structlog.get_logger()

CHUNK_ROWS = 5_000
MASTER_CLOSED = "MASTER_CLOSED"
"""Why a child was not opened: nothing of its master's position was open any more before its order was sent."""


async def dispatch_allocation(
    engine: AsyncEngine,
    orders: Orders,
    label: int,
    allocation_id: int,
    children: ChildOrders | None = None,
    *,
    retries: Retries,
    clock: Clock,
) -> None:
    """Sends the orders of a decision in chunks, under the same ids however often it is tried, and marks it as sent.

    The rest of an open is given up when its master is halted, or was since the decision, and when its time is over; in
    the latter case it is decided anew where `retries` allow. Closes and modifications are never given up, and
    modifications of one position are sent in their order.
    `children` are the orders of a decision that was just made. None: they are read from the store, which gives the
    same; an open that was left behind like this is not begun when its master has closed meanwhile.
    Raises the DomainError of platform-groups when it may accept the orders later.
    """
    start = await _start(engine, label, allocation_id, 0, retries, clock, left_behind=children is None)
    if start is None:
        return
    master, allocation = start
    for earlier_id in await _earlier(engine, allocation):
        await dispatch_allocation(engine, orders, label, earlier_id, retries=retries, clock=clock)
    if children is None:
        async with transaction(engine) as tx:
            children = await _stored_orders(tx, allocation)
    for first in range(0, children.item_ids.size, CHUNK_ROWS):
        # Under locks, which cost a write to disk, only where something was seen without them.
        if (
            first
            and await _is_hindered(engine, allocation, clock)
            and await _start(engine, label, allocation_id, first, retries, clock) is None
        ):
            return
        rows = slice(first, first + CHUNK_ROWS)
        try:
            await orders.submit(_batch(master, allocation, children, rows))
        except DomainError as error:
            if error.kind.is_transient or allocation.kind is not AllocationKind.OPEN:
                raise
            log.warning("open_refused", allocation_id=allocation_id, reason=error.reason, message=error.message)
            async with transaction(engine) as tx:
                await _give_up(tx, master, allocation, first, error.reason, retries, clock)
            return
    async with transaction(engine) as tx:
        await save_dispatch(tx, allocation_id, DispatchState.DONE, clock.now())


async def _earlier(engine: AsyncEngine, allocation: Allocation) -> list[int]:
    """The modifications of the same position that must be at platform-groups first, where the newest wins."""
    if allocation.kind is not AllocationKind.MODIFY:
        return []
    async with transaction(engine) as tx:
        return await list_unsent_modifications(tx, allocation)


async def _start(
    engine: AsyncEngine,
    label: int,
    allocation_id: int,
    first: int,
    retries: Retries,
    clock: Clock,
    *,
    left_behind: bool = False,
) -> tuple[Master, Allocation] | None:
    """Marks that sending begins, with the order at `first`; None when nothing (more) is to be sent."""
    async with transaction(engine) as tx:
        allocation = await load_allocation(tx, label, allocation_id, for_update=True)
        if allocation.dispatch_state >= DispatchState.DONE:
            return None
        master = await load_master(tx, label, allocation.master_id, lock="share")
        reason = _obstacle(master, allocation, clock)
        if not reason and left_behind and _is_unsent_open(allocation):
            trade = allocation.trade
            open_e8 = await read_open_volume_e8(tx, master.master_id, trade.position_ticket)
            reason = "" if open_e8 * trade.volume_e8 > 0 else MASTER_CLOSED
        if reason:
            await _give_up(tx, master, allocation, first, reason, retries, clock)
            return None
        await save_dispatch(tx, allocation_id, DispatchState.STARTED)
        return master, allocation


async def _is_hindered(engine: AsyncEngine, allocation: Allocation, clock: Clock) -> bool:
    """Whether something stands against sending the next chunk now."""
    state = await read_dispatch_state(engine, allocation.allocation_id)
    master = await read_master(engine, allocation.label, allocation.master_id)
    return state >= DispatchState.DONE or bool(_obstacle(master, replace(allocation, dispatch_state=state), clock))


def _is_unsent_open(allocation: Allocation) -> bool:
    return allocation.kind is AllocationKind.OPEN and allocation.dispatch_state is DispatchState.PENDING


def _obstacle(master: Master, allocation: Allocation, clock: Clock) -> str:
    """Why an open must not be sent now; "" when it may. The epoch also finds a halt that is over: its opens are void.

    Once sending has begun, an answer may be lost and the orders accepted: they are handed over again, whatever the
    time, and platform-groups, which knows, says what is too late.
    """
    if allocation.kind is not AllocationKind.OPEN:
        return ""
    if master.halted or master.halt_epoch != allocation.halt_epoch:
        return SkipReason.PAUSED_BY_RISK.name
    limit_time = allocation.not_after_time
    if _is_unsent_open(allocation) and limit_time is not None and clock.now() > limit_time:
        return SkipReason.TOO_LATE.name
    return ""


async def _give_up(
    tx: AsyncConnection,
    master: Master,
    allocation: Allocation,
    first: int,
    reason: str,
    retries: Retries,
    clock: Clock,
) -> None:
    """The orders before `first` were handed over; their children follow them. The others will never be sent."""
    await project_allocation(tx, allocation.label, allocation.allocation_id, now=clock.now())
    unsent_ids = (await _stored_orders(tx, allocation)).item_ids[first:]
    if reason == SkipReason.TOO_LATE.name:
        reasons = [reason] * unsent_ids.size
        held_ids = await hold_for_retry(tx, master, allocation, unsent_ids, reasons, retries, clock.now())
        unsent_ids = np.setdiff1d(unsent_ids, held_ids)
    await cancel_pending(tx, unsent_ids, reason)
    await save_dispatch(tx, allocation.allocation_id, DispatchState.CANCELLED)


async def _stored_orders(tx: AsyncConnection, allocation: Allocation) -> ChildOrders:
    columns = await load_columns(tx, allocation.allocation_id)
    if columns.names_children:
        return child_orders(allocation, columns, await load_routes(tx, columns.child_trade_ids))
    return child_orders(allocation, columns, await load_set_routes(tx, allocation))


def _batch(master: Master, allocation: Allocation, children: ChildOrders, rows: slice) -> OrderBatch:
    source_id = source_of(allocation.allocation_id)
    # Whatever is part of the request is part of its id: orders are known by their source and item all the same.
    return OrderBatch(
        label=allocation.label,
        request_id=uuid5(NAMESPACE_URL, f"apportion/{source_id}/{rows.start}/{allocation.halt_epoch}"),
        source_id=source_id,
        ordering_key=master.account_id,
        kind=allocation.kind,
        orders=children.of(rows),
        reference_price_e8=allocation.trade.price_e8,
        not_after_time=allocation.not_after_time,
        halt_epoch=allocation.halt_epoch,
    )


SOURCE_PREFIX = "allocation/"


def source_of(allocation_id: int) -> str:
    """How our orders are called at platform-groups."""
    return f"{SOURCE_PREFIX}{allocation_id}"


def allocation_of_source(source_id: str) -> int | None:
    """The allocation behind orders; None when they are somebody else's."""
    number = source_id.removeprefix(SOURCE_PREFIX)
    return int(number) if number != source_id and number.isdecimal() else None
