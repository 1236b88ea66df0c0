"""Decide on the deals of masters as the trading server reports them."""

from __future__ import annotations

import enum
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime

from sqlalchemy.ext.asyncio import AsyncConnection

from apportion.allocation.domain.allocations import Allocation, MasterTrade
from apportion.allocation.domain.grids import SymbolGrid
from apportion.allocation.domain.masters import Master
from apportion.allocation.domain.reasons import SkipReason
from apportion.allocation.errors import SymbolUnknown
from apportion.allocation.operations.decide_close_trade import decide_close_trade
from apportion.allocation.operations.decide_open_trade import OpenedTrade, decide_open_trade
from apportion.allocation.operations.desk import Desk
from apportion.allocation.storage.allocations import AllocationIds
from apportion.allocation.storage.master_positions import load_position

NO_GRID = SymbolGrid(step_e8=1, min_e8=1, max_e8=1)


class DealEntry(enum.IntEnum):
    """The numbers are those of the protos."""

    IN = 1
    OUT = 2
    IN_OUT = 3
    OUT_BY = 4


@dataclass(frozen=True, slots=True)
class MasterDeal:
    entry: DealEntry
    trade: MasterTrade


@dataclass(slots=True)
class Followed:
    """What is to be done after the commit."""

    allocations: list[Allocation] = field(default_factory=list)
    opened: list[OpenedTrade] = field(default_factory=list)
    """Those of the decisions whose columns are at hand."""


async def follow_master_deals(
    tx: AsyncConnection,
    desk: Desk,
    ids: AllocationIds,
    master: Master,
    deals: Sequence[MasterDeal],
    *,
    observed_time: datetime,
    now: datetime,
) -> Followed:
    """Decides on each deal in ticket order. A reversal is two decisions: a close of all, and an open of the rest.

    Opens of deals that were observed too long ago are stored with everybody left out (TOO_LATE); a symbol that the
    server no longer offers leaves everybody out too. Raises DealConflict, which parks the master's deals.
    """
    too_late = (now - observed_time).total_seconds() > desk.limits.deal_seconds
    blanket_reason = SkipReason.TOO_LATE if too_late else SkipReason.NONE
    followed = Followed()
    for deal in deals:
        opening = deal.trade
        if deal.entry is DealEntry.IN_OUT:
            before_e8 = (await load_position(tx, master.master_id, opening.position_ticket)).open_volume_e8
            await _close(tx, ids, master, replace(opening, volume_e8=-before_e8), followed, now=now)
            opening = replace(opening, volume_e8=opening.volume_e8 + before_e8)
        elif deal.entry is not DealEntry.IN:
            await _close(tx, ids, master, opening, followed, now=now)
            continue
        if opening.volume_e8:
            await _open(tx, desk, ids, master, opening, blanket_reason, followed, now=now)
    return followed


async def _open(
    tx: AsyncConnection,
    desk: Desk,
    ids: AllocationIds,
    master: Master,
    trade: MasterTrade,
    blanket_reason: SkipReason,
    followed: Followed,
    *,
    now: datetime,
) -> None:
    try:
        grid = desk.symbols.spec_at_hand(master.label, master.trading_server_id, trade.symbol).grid
    except SymbolUnknown:
        grid, blanket_reason = NO_GRID, SkipReason.SYMBOL_UNMAPPED
    opened = await decide_open_trade(
        tx, desk, ids, master, trade, grid, blanket_reason=blanket_reason, refuse_zero_base=False, now=now
    )
    if opened.subscriptions is not None:
        followed.opened.append(opened)
        followed.allocations.append(opened.allocation)


async def _close(
    tx: AsyncConnection, ids: AllocationIds, master: Master, trade: MasterTrade, followed: Followed, *, now: datetime
) -> None:
    allocation = await decide_close_trade(tx, ids, master, trade, now=now)
    if allocation is not None:
        followed.allocations.append(allocation)
