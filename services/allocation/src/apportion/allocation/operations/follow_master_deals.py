"""Decide on the deals of masters as the trading server reports them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime

from sqlalchemy.ext.asyncio import AsyncConnection

from apportion.allocation.domain.allocations import Allocation, AllocationKind, MasterTrade
from apportion.allocation.domain.history import SECOND_MS
from apportion.allocation.domain.master_deals import DealEntry, MasterDeal, Observation
from apportion.allocation.domain.masters import Master
from apportion.allocation.domain.methods import AllocationMode
from apportion.allocation.domain.reasons import SkipReason
from apportion.allocation.errors import DealConflict
from apportion.allocation.operations.decide_close_trade import decide_close_trade
from apportion.allocation.operations.decide_open_trade import OpenedTrade, decide_open_trade, find_opened
from apportion.allocation.operations.desk import Desk
from apportion.allocation.operations.distribute_deal import distribute_opening
from apportion.allocation.operations.gather_inputs import trade_at_hand
from apportion.allocation.storage.allocations import AllocationIds, find_allocation
from apportion.allocation.storage.master_positions import load_position


@dataclass(slots=True)
class Followed:
    """What is to be done after the commit."""

    allocations: list[Allocation] = field(default_factory=list)
    opened: list[OpenedTrade] = field(default_factory=list)
    """Those of the decisions that opened something, all of them fresh."""
    conflicts: list[DealConflict] = field(default_factory=list)
    """Deals that were decided on before, with other figures: nothing was written for them."""


async def follow_master_deals(
    tx: AsyncConnection,
    desk: Desk,
    ids: AllocationIds,
    master: Master,
    deals: Sequence[MasterDeal],
    *,
    observed: Observation,
    now: datetime,
) -> Followed:
    """Decides on each deal in ticket order. A reversal is two decisions: a close of all, and an open of the rest.

    Raises UpstreamUnavailable while account states or prices that a decision needs are missing, for the first seconds
    (`states_seconds`).
    Opens of deals that are too old are stored with everybody left out (TOO_LATE); a symbol that the server no longer
    offers leaves everybody out too. A deal that contradicts what is known of it is left out, and the others go on.
    """
    followed = Followed()
    for deal in deals:
        try:
            if deal.entry is DealEntry.IN_OUT:
                opening = await _reverse(tx, ids, master, deal.trade, followed, now=now)
            elif deal.entry is DealEntry.IN:
                opening = deal.trade
            else:
                await _close(tx, ids, master, deal.trade, followed, now=now)
                continue
            if opening.volume_e8:
                await _open(tx, desk, ids, master, opening, observed, followed, now=now)
        except DealConflict as conflict:
            followed.conflicts.append(conflict)
    return followed


async def _reverse(
    tx: AsyncConnection, ids: AllocationIds, master: Master, trade: MasterTrade, followed: Followed, *, now: datetime
) -> MasterTrade:
    """Closes all of the position and returns what the deal opens in the other direction.

    Both halves are looked at before the first is written. Raises DealConflict.
    """
    closed = await find_allocation(tx, master.master_id, trade.deal_ticket, AllocationKind.CLOSE)
    opened = await find_allocation(tx, master.master_id, trade.deal_ticket, AllocationKind.OPEN)
    if closed is None and opened is None:
        before_e8 = (await load_position(tx, master.master_id, trade.position_ticket)).open_volume_e8
    else:
        before_e8 = -closed.trade.volume_e8 if closed else 0
    opened_e8 = trade.volume_e8 + before_e8
    closing_money, opening_money = trade.money.of_reversal(abs(before_e8), abs(opened_e8))
    opening = replace(trade, volume_e8=opened_e8, money=opening_money)
    await find_opened(tx, master, opening)
    if before_e8:
        closing = replace(trade, volume_e8=-before_e8, money=closing_money)
        await _close(tx, ids, master, closing, followed, now=now)
    return opening


async def _open(
    tx: AsyncConnection,
    desk: Desk,
    ids: AllocationIds,
    master: Master,
    trade: MasterTrade,
    observed: Observation,
    followed: Followed,
    *,
    now: datetime,
) -> None:
    age_ms = observed.age_ms(trade.server_time_ms, now)
    # Nothing is bought late where profit is distributed: its records take part in the trade whenever it was read.
    sends = master.allocation_mode is AllocationMode.TRADES
    too_late = sends and age_ms > desk.limits.deal_seconds * SECOND_MS
    blanket_reason = SkipReason.TOO_LATE if too_late else SkipReason.NONE
    opening = replace(
        trade_at_hand(desk, master, trade, age_ms=age_ms if sends else 0, blanket_reason=blanket_reason),
        waits=(now - observed.time).total_seconds() < desk.limits.states_seconds,
    )
    opened = await decide_open_trade(tx, desk, ids, master, opening, by_command=False, now=now)
    if opened.allocation.mode is AllocationMode.PROFIT:
        await distribute_opening(tx, master, opened.allocation, trade.money, now=now)
    if opened.fresh is not None:
        followed.opened.append(opened)
        followed.allocations.append(opened.allocation)


async def _close(
    tx: AsyncConnection, ids: AllocationIds, master: Master, trade: MasterTrade, followed: Followed, *, now: datetime
) -> None:
    allocation = await decide_close_trade(tx, ids, master, trade, now=now)
    if allocation is not None:
        followed.allocations.append(allocation)
