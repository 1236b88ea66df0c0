"""Decide a master's opening trade by command, in the same way as a deal that arrives from the server."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from apportion.allocation.domain.allocations import Allocation, MasterTrade
from apportion.allocation.errors import ZeroBase
from apportion.allocation.operations.decide_open_trade import OpenedTrade, decide_open_trade, find_opened
from apportion.allocation.operations.desk import Desk
from apportion.allocation.operations.gather_inputs import TradeToOpen
from apportion.allocation.operations.get_allocation import ChildPage, get_allocation, page_of
from apportion.allocation.operations.prepare_trade import prepare_trade
from apportion.allocation.storage.masters import load_deciding
from apportion.storage import RequestKey, claim_request, store_answer, transaction


@dataclass(frozen=True, slots=True)
class AllocateTrade:
    """The command."""

    key: RequestKey
    master_id: int
    trade: MasterTrade


@dataclass(frozen=True, slots=True)
class AllocatedTrade:
    """What a repeat of the command is answered with."""

    allocation_id: int


async def allocate_trade(
    engine: AsyncEngine, desk: Desk, command: AllocateTrade, *, limit: int, now: datetime
) -> tuple[Allocation, ChildPage | None]:
    """The stored decision, to be dispatched, and its first `limit` children (0: none); idempotent by deal, too.

    Raises NotFound, SymbolUnknown, VolumeStep, ZeroBase or DealConflict.
    """
    label = command.key.label
    opening = await prepare_trade(engine, desk, label, command.master_id, command.trade, now=now)
    async with transaction(engine) as tx:
        stored = await claim_request(tx, command.key, AllocatedTrade, now=now)
        if stored is None:
            opened = await _open(tx, desk, command, opening, now=now)
            stored = AllocatedTrade(opened.allocation.allocation_id)
            await store_answer(tx, command.key, stored)
        else:
            opened = None
    if opened is None or opened.fresh is None:
        return await get_allocation(engine, label, stored.allocation_id, first=0, limit=limit)
    fresh = opened.fresh
    desk.remember(fresh.subscriptions)
    return opened.allocation, page_of(fresh.routes, fresh.columns, slice(limit)) if limit else None


async def _open(
    tx: AsyncConnection, desk: Desk, command: AllocateTrade, opening: TradeToOpen, *, now: datetime
) -> OpenedTrade:
    master, ids = await load_deciding(tx, command.key.label, command.master_id)
    try:
        return await decide_open_trade(tx, desk, ids, master, opening, by_command=True, now=now)
    except (ZeroBase, OverflowError):
        # A deal that is known is answered from the store even when it could not be decided any more.
        known = await find_opened(tx, master, command.trade)
        if known is None:
            raise
        return OpenedTrade(known)
