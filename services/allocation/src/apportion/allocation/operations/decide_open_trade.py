"""Decide and store who opens how much of a master's trade."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy.ext.asyncio import AsyncConnection

from apportion.allocation.domain.allocations import (
    Allocation,
    AllocationColumns,
    AllocationKind,
    DispatchState,
    MasterTrade,
    is_same_deal,
)
from apportion.allocation.domain.child_routes import ChildRoutes, routes_of_set
from apportion.allocation.domain.child_trades import MAX_CHILDREN
from apportion.allocation.domain.gates import has_zero_base
from apportion.allocation.domain.masters import Master
from apportion.allocation.domain.methods import AllocationMode
from apportion.allocation.domain.open_inputs import NO_COLUMN, OpenInputs
from apportion.allocation.domain.opening import Decision, decide_open
from apportion.allocation.domain.pl_mode import proportions_e9, reasons_of_records
from apportion.allocation.domain.subscription_sets import SubscriptionSet
from apportion.allocation.errors import DealConflict, ZeroBase
from apportion.allocation.operations.desk import Desk
from apportion.allocation.operations.event_payloads import decision_event
from apportion.allocation.operations.gather_inputs import TradeToOpen, gather_inputs
from apportion.allocation.storage.allocations import AllocationIds, find_allocation, store_allocation
from apportion.allocation.storage.carries import save_carries
from apportion.allocation.storage.record_openings import save_opening
from apportion.money import exact_sum


@dataclass(frozen=True, slots=True)
class FreshDecision:
    """What a decision that was just stored was made with, and what it gave: still in memory."""

    subscriptions: SubscriptionSet
    columns: AllocationColumns
    routes: ChildRoutes


@dataclass(frozen=True, slots=True)
class OpenedTrade:
    """The stored decision on an opening trade."""

    allocation: Allocation
    fresh: FreshDecision | None = None
    """None where the decision was stored before."""


async def decide_open_trade(
    tx: AsyncConnection,
    desk: Desk,
    ids: AllocationIds,
    master: Master,
    opening: TradeToOpen,
    *,
    by_command: bool,
    now: datetime,
) -> OpenedTrade:
    """Stores the decision with its inputs and its event; a deal that is known is answered from the store.

    The master's row must be locked. Every subscription of the set has a row, whoever is left out. Raises DealConflict
    for a known deal with other figures, and for a command ZeroBase where nobody has a figure to compute shares from.
    A command changes the master's position by the volume that a deriving method gives; a deal by the volume it had.
    """
    subscriptions = await desk.subscriptions(tx, master)
    if len(subscriptions) > MAX_CHILDREN:
        raise OverflowError(f"master {master.master_id} has more than {MAX_CHILDREN} subscriptions")
    inputs = await gather_inputs(tx, desk, master, subscriptions, opening, now)
    if by_command and has_zero_base(inputs):
        raise ZeroBase(master_id=master.master_id, master_basis=inputs.master_basis)
    decision = decide_open(inputs)
    not_after_time = now + timedelta(seconds=desk.limits.open_seconds)
    columns = columns_of(inputs, decision, master.allocation_mode)
    allocation = opened_allocation(await ids.next(tx), master, opening, inputs, columns, now, not_after_time)
    routes = routes_of_set(subscriptions, opening.trade.symbol, buys=opening.trade.volume_e8 > 0)
    is_new = await store_allocation(
        tx,
        allocation,
        columns,
        decision_event(master, allocation, routes, columns),
        unit_e8=inputs.grid.step_e8,
        position_change_e8=allocation.master_volume_e8 if by_command else opening.trade.volume_e8,
    )
    if is_new:
        if allocation.mode is AllocationMode.PROFIT:
            await save_opening(tx, allocation)
        elif decision.carries_e8.size:
            await save_carries(tx, subscriptions, opening.trade.symbol, decision.carries_e8)
        return OpenedTrade(allocation, FreshDecision(subscriptions, columns, routes))
    stored = await find_opened(tx, master, opening.trade)
    if stored is None:
        raise LookupError(f"deal {opening.trade.deal_ticket} of master {master.master_id} is stored and not found")
    return OpenedTrade(stored)


async def find_opened(tx: AsyncConnection, master: Master, trade: MasterTrade) -> Allocation | None:
    """The stored decision on a deal, if there is one. Raises DealConflict when it was made on other figures."""
    stored = await find_allocation(tx, master.master_id, trade.deal_ticket, AllocationKind.OPEN)
    if stored is None:
        return None
    if not is_same_deal(stored.trade, trade) or trade.volume_e8 not in (
        stored.trade.volume_e8,
        stored.master_volume_e8,
    ):
        raise DealConflict(deal_ticket=trade.deal_ticket, allocation_id=stored.allocation_id)
    return stored


def columns_of(inputs: OpenInputs, decision: Decision, mode: AllocationMode) -> AllocationColumns:
    """What is stored of a decision: its result and the columns it was computed from."""
    reasons, proportions = decision.reasons, NO_COLUMN
    if mode is AllocationMode.PROFIT:
        proportions = proportions_e9(inputs, decision.reasons)
        reasons = reasons_of_records(reasons, proportions)
    return AllocationColumns(
        volumes_e8=decision.steps * inputs.grid.step_e8,
        reasons=reasons,
        bases=inputs.bases,
        child_trade_ids=NO_COLUMN,
        position_tickets=NO_COLUMN,
        gate_reasons=inputs.gate_reasons,
        caps_e8=inputs.caps_e8,
        figures=inputs.figures,
        carries_e8=decision.carries_e8,
        proportions_e9=proportions,
    )


def opened_allocation(
    allocation_id: int,
    master: Master,
    opening: TradeToOpen,
    inputs: OpenInputs,
    columns: AllocationColumns,
    now: datetime,
    not_after_time: datetime,
) -> Allocation:
    """The row of an opening decision."""
    row_count, child_count = int(columns.volumes_e8.size), columns.child_count
    sends = child_count > 0 and master.allocation_mode is AllocationMode.TRADES
    sign = 1 if opening.trade.volume_e8 > 0 else -1
    return Allocation(
        allocation_id=allocation_id,
        label=master.label,
        master_id=master.master_id,
        kind=AllocationKind.OPEN,
        trade=opening.trade,
        wave=0,
        before_volume_e8=0,
        method=inputs.method,
        rounding=inputs.rounding,
        grid=inputs.grid,
        master_basis=inputs.master_basis,
        blanket_reason=inputs.blanket_reason,
        set_version=master.set_version,
        halt_epoch=master.halt_epoch,
        row_count=row_count,
        child_count=child_count,
        skipped_count=row_count - child_count,
        volume_sum_e8=sign * exact_sum(columns.volumes_e8),
        decide_time=now,
        not_after_time=not_after_time,
        dispatch_state=DispatchState.PENDING if sends else DispatchState.DONE,
        dispatch_time=None if sends else now,
        contract_size_e8=inputs.contract_size_e8,
        conversion_e8=inputs.conversion_e8,
        currency_digits=inputs.currency_digits,
        point_e8=opening.spec.point_e8,
        age_ms=opening.age_ms,
        mode=master.allocation_mode,
    )
