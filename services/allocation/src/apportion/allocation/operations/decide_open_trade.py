"""Decide and store who opens how much of a master's trade."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

import numpy as np
from sqlalchemy.ext.asyncio import AsyncConnection

from apportion.allocation.domain.allocations import (
    NO_COLUMN,
    Allocation,
    AllocationColumns,
    AllocationKind,
    DispatchState,
    MasterTrade,
)
from apportion.allocation.domain.child_trades import MAX_CHILDREN
from apportion.allocation.domain.grids import SymbolGrid
from apportion.allocation.domain.masters import Master
from apportion.allocation.domain.opening import Decision, OpenInputs, decide_open, has_zero_base
from apportion.allocation.domain.reasons import SkipReason
from apportion.allocation.domain.subscription_sets import SubscriptionSet
from apportion.allocation.errors import DealConflict, ZeroBase
from apportion.allocation.operations.desk import Desk
from apportion.allocation.operations.event_payloads import decision_event
from apportion.allocation.storage.allocations import AllocationIds, find_allocation, store_allocation


@dataclass(frozen=True, slots=True)
class OpenedTrade:
    """A stored decision; `subscriptions` and `columns` are None when it was stored before, not now."""

    allocation: Allocation
    subscriptions: SubscriptionSet | None = None
    columns: AllocationColumns | None = None


async def decide_open_trade(
    tx: AsyncConnection,
    desk: Desk,
    ids: AllocationIds,
    master: Master,
    trade: MasterTrade,
    grid: SymbolGrid,
    *,
    blanket_reason: SkipReason,
    refuse_zero_base: bool,
    now: datetime,
) -> OpenedTrade:
    """Stores the decision with its inputs and its event; the same deal again is answered from the store.

    The master's row must be locked. `blanket_reason` keeps everybody out, and so does a halt of the master; nobody is
    left out of the result. Raises DealConflict for known deals with other figures; ZeroBase, when that is wanted.
    """
    subscriptions = await desk.subscriptions(tx, master)
    if len(subscriptions) > MAX_CHILDREN:
        raise OverflowError(f"master {master.master_id} has more than {MAX_CHILDREN} subscriptions")
    master_basis, bases = await desk.bases(master, subscriptions, now)
    inputs = OpenInputs(
        method=master.method,
        rounding=master.rounding,
        grid=grid,
        master_volume_e8=trade.volume_e8,
        master_basis=master_basis,
        subscriptions=subscriptions,
        bases=bases,
        blanket_reason=SkipReason.PAUSED_BY_RISK if master.halted else blanket_reason,
    )
    if refuse_zero_base and has_zero_base(inputs):
        raise ZeroBase(master_id=master.master_id, master_basis=master_basis)
    decision = decide_open(inputs)
    not_after_time = now + timedelta(seconds=desk.limits.open_seconds)
    allocation_id = await ids.next(tx)
    allocation = _header(allocation_id, master, trade, inputs, decision, now=now, not_after_time=not_after_time)
    columns = AllocationColumns(decision.steps * grid.step_e8, decision.reasons, bases, NO_COLUMN, NO_COLUMN)
    event = decision_event(master, allocation, subscriptions.subscription_ids, subscriptions.account_ids, columns)
    if await store_allocation(tx, allocation, columns, event, unit_e8=grid.step_e8, position_change_e8=trade.volume_e8):
        return OpenedTrade(allocation, subscriptions, columns)
    stored = await find_opened(tx, master, trade)
    if stored is None:
        raise LookupError(f"deal {trade.deal_ticket} of master {master.master_id} is stored and cannot be found")
    return OpenedTrade(stored)


async def find_opened(tx: AsyncConnection, master: Master, trade: MasterTrade) -> Allocation | None:
    """The stored decision on a deal, if there is one. Raises DealConflict when it was made on other figures."""
    stored = await find_allocation(tx, master.master_id, trade.deal_ticket, AllocationKind.OPEN)
    if stored is None:
        return None
    known = stored.trade
    told = (trade.position_ticket, trade.symbol, trade.volume_e8, trade.price_e8)
    if (known.position_ticket, known.symbol, known.volume_e8, known.price_e8) != told:
        raise DealConflict(deal_ticket=trade.deal_ticket, allocation_id=stored.allocation_id)
    return stored


def _header(
    allocation_id: int,
    master: Master,
    trade: MasterTrade,
    inputs: OpenInputs,
    decision: Decision,
    *,
    now: datetime,
    not_after_time: datetime,
) -> Allocation:
    child_count = int(np.count_nonzero(decision.steps))
    sign = 1 if trade.volume_e8 > 0 else -1
    return Allocation(
        allocation_id=allocation_id,
        label=master.label,
        master_id=master.master_id,
        kind=AllocationKind.OPEN,
        trade=trade,
        wave=0,
        before_volume_e8=0,
        method=inputs.method,
        rounding=inputs.rounding,
        grid=inputs.grid,
        master_basis=inputs.master_basis,
        blanket_reason=inputs.blanket_reason,
        set_version=master.set_version,
        halt_epoch=master.halt_epoch,
        row_count=int(decision.steps.size),
        child_count=child_count,
        skipped_count=int(decision.steps.size) - child_count,
        volume_sum_e8=sign * int(decision.steps.sum()) * inputs.grid.step_e8,
        decide_time=now,
        not_after_time=not_after_time,
        dispatch_state=DispatchState.PENDING if child_count else DispatchState.DONE,
        dispatch_time=None if child_count else now,
    )
