"""Move child trades on by what became of their orders."""

from __future__ import annotations

from datetime import datetime
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncConnection

from apportion.allocation.domain.allocations import Allocation, AllocationKind
from apportion.allocation.domain.retries import Retries
from apportion.allocation.operations.announce_closes import announce_closes
from apportion.allocation.operations.decide_close_trade import follow_up_closes
from apportion.allocation.operations.modify_stops import follow_up_stops, hold_stops
from apportion.allocation.operations.project_children import project_allocation
from apportion.allocation.operations.reopen_children import hold_for_retry
from apportion.allocation.storage.allocations import load_allocation
from apportion.allocation.storage.child_stops import apply_modify_results
from apportion.allocation.storage.child_trades import OrderResults, apply_close_results, apply_open_results
from apportion.allocation.storage.closing_deals import exclude_deals, match_deals
from apportion.allocation.storage.deviations import keep_unfilled
from apportion.allocation.storage.master_positions import load_position
from apportion.allocation.storage.masters import load_master
from apportion.events import ReceivedEvent


async def apply_order_results(
    tx: AsyncConnection,
    event: ReceivedEvent,
    allocation_id: int,
    kind: AllocationKind,
    results: OrderResults,
    *,
    retries: Retries,
    now: datetime,
) -> list[Allocation]:
    """Books fills and refusals of one allocation's orders. Returns further decisions to be sent, where needed.

    A fill makes a child known by its position: deals that closed it and were read earlier are booked now. What was
    filled although the master has closed meanwhile is closed at once; where he has moved his stops meanwhile, they are
    sent after it. What was provably not executed waits to be opened again (`retries`).
    """
    if kind is AllocationKind.CLOSE:
        await apply_close_results(tx, event.label, results)
        return []
    if kind is AllocationKind.MODIFY:
        results = await apply_modify_results(tx, event.label, results)
        await hold_stops(tx, event.label, allocation_id, results, retries, now=now)
        return []
    allocation = await load_allocation(tx, event.label, allocation_id)
    master = await load_master(tx, event.label, allocation.master_id, lock="share")
    trade = allocation.trade
    # The position before its children, as the decision of a close locks them.
    position = await load_position(tx, master.master_id, trade.position_ticket)
    await project_allocation(tx, event.label, allocation_id, now=now)
    unfilled = results.filled_volumes_e8 == 0
    await keep_unfilled(tx, event.label, results.order_ids[unfilled], results.child_trade_ids[unfilled])
    rows = results.not_executed
    reasons = [results.reasons[row] for row in rows]
    held_ids = await hold_for_retry(tx, master, allocation, results.child_trade_ids[rows], reasons, retries, now)
    results = results.without(held_ids)
    await exclude_deals(tx, event.label)
    positions = await apply_open_results(tx, event.label, allocation_id, results)
    await announce_closes(tx, event.label, UUID(event.event_id), await match_deals(tx, event.label, positions), now=now)
    decisions = await follow_up_closes(tx, master, trade.position_ticket, now=now)
    if position.stops_e8 != (trade.stop_loss_e8, trade.take_profit_e8):
        modifying = await follow_up_stops(tx, master, trade.position_ticket, position, now=now)
        decisions += [modifying] if modifying else []
    return decisions
