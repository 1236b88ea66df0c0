"""Open for a new subscription what its master has open already."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import replace
from datetime import datetime, timedelta

from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from apportion.allocation.domain.allocations import Allocation, AllocationKind
from apportion.allocation.domain.child_routes import routes_of_set
from apportion.allocation.domain.entries import entered
from apportion.allocation.domain.history import SECOND_MS
from apportion.allocation.domain.masters import Master
from apportion.allocation.domain.opening import decide_open
from apportion.allocation.domain.reasons import SkipReason
from apportion.allocation.domain.subscriptions import Subscription
from apportion.allocation.errors import SymbolUnknown
from apportion.allocation.operations.decide_open_trade import columns_of, opened_allocation
from apportion.allocation.operations.desk import Desk
from apportion.allocation.operations.gather_inputs import gather_inputs, trade_at_hand
from apportion.allocation.operations.store_decision import store_decision
from apportion.allocation.storage.allocations import AllocationIds, find_opening, next_wave
from apportion.allocation.storage.carries import load_carries, save_carries
from apportion.allocation.storage.master_positions import list_entries, list_open_positions, load_position
from apportion.allocation.storage.masters import load_master
from apportion.errors import UpstreamUnavailable
from apportion.storage import transaction


async def prepare_copies(
    engine: AsyncEngine, desk: Desk, label: int, master_id: int, account_id: int, *, now: datetime
) -> None:
    """Asks for what decisions on a master's open positions need, before a transaction does: their symbols, and the
    account states of his server, with that of the account which is to copy them. Raises NotFound.
    """
    async with transaction(engine) as tx:
        master = await load_master(tx, label, master_id)
        tickets = await list_open_positions(tx, master_id)
        openings = [await find_opening(tx, master_id, ticket) for ticket in tickets]
    for symbol in sorted({opening.trade.symbol for opening in openings if opening is not None}):
        with suppress(SymbolUnknown):  # keeps the position from being copied
            await desk.symbols.spec(label, master.trading_server_id, symbol)
    if openings:
        await desk.hear(label, master.trading_server_id, now, account_id)


async def copy_open_positions(
    tx: AsyncConnection, desk: Desk, master: Master, subscription: Subscription, *, now: datetime
) -> list[Allocation]:
    """A stored decision for each open position that was allocated, as if the master opened now what is left of it.

    The master must be locked and have the set version that knows the subscription. Slippage is measured from the price
    of the master's position, and its age counts: where the subscription limits them, a market that has moved on refuses
    its order (SLIPPAGE), and left out is what is too old (TOO_LATE) or has no known price (NO_PRICE).
    Raises UpstreamUnavailable while figures are missing that a decision needs.
    """
    allocations = []
    for position_ticket in await list_open_positions(tx, master.master_id):
        opening = await find_opening(tx, master.master_id, position_ticket)
        if opening is not None:
            allocations.append(await _copy(tx, desk, master, subscription, opening, now))
    return allocations


async def _copy(
    tx: AsyncConnection, desk: Desk, master: Master, subscription: Subscription, opening: Allocation, now: datetime
) -> Allocation:
    position_ticket = opening.trade.position_ticket
    position = await load_position(tx, master.master_id, position_ticket)
    origin = entered(await list_entries(tx, master.master_id, position_ticket))
    if origin is None:
        raise LookupError(f"position {position_ticket} of master {master.master_id} is open and was never opened")
    trade = replace(
        opening.trade,
        volume_e8=position.open_volume_e8,
        price_e8=origin.price_e8,
        server_time_ms=0,
        stop_loss_e8=position.stop_loss_e8,
        take_profit_e8=position.take_profit_e8,
    )
    age_ms = int((now - origin.time).total_seconds() * SECOND_MS)
    is_unmeasured = subscription.settings.max_slippage_points and not origin.price_e8
    reason = SkipReason.NO_PRICE if is_unmeasured else SkipReason.NONE
    to_open = replace(trade_at_hand(desk, master, trade, age_ms=age_ms, blanket_reason=reason), waits=True)
    everybody = await desk.subscriptions(tx, master)
    subscriptions = everybody.only(subscription.subscription_id)
    inputs = await gather_inputs(tx, desk, master, subscriptions, to_open, now)
    decision = decide_open(inputs)
    if SkipReason(decision.reasons[0]) is SkipReason.STALE_STATE:
        raise UpstreamUnavailable("the account's state is not at hand", service="platform-groups")
    columns = columns_of(inputs, decision, master.allocation_mode)
    not_after_time = now + timedelta(seconds=desk.limits.open_seconds)
    allocation = replace(
        opened_allocation(await AllocationIds().next(tx), master, to_open, inputs, columns, now, not_after_time),
        wave=await next_wave(tx, master.master_id, trade.deal_ticket, AllocationKind.OPEN),
        subscription_id=subscription.subscription_id,
    )
    routes = routes_of_set(subscriptions, trade.symbol, buys=trade.volume_e8 > 0)
    await store_decision(tx, master, allocation, columns, routes, position_change_e8=None)
    if decision.carries_e8.size:
        carries_e8 = await load_carries(tx, everybody, trade.symbol)
        carries_e8[everybody.subscription_ids == subscription.subscription_id] = decision.carries_e8
        await save_carries(tx, everybody, trade.symbol, carries_e8)
    return allocation
