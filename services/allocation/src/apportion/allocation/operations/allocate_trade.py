"""Decide a master's opening trade by command, in the same way as a deal that arrives from the server."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from apportion.allocation.domain.allocations import Allocation, MasterTrade
from apportion.allocation.errors import VolumeStep, ZeroBase
from apportion.allocation.operations.decide_open_trade import OpenedTrade, decide_open_trade, find_opened
from apportion.allocation.operations.desk import Desk
from apportion.allocation.operations.gather_inputs import TradeToOpen
from apportion.allocation.operations.get_allocation import ChildPage, get_allocation, page_of
from apportion.allocation.operations.get_master import get_master
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
    label, trade = command.key.label, command.trade
    server_id = await trading_server_of(engine, desk, label, command.master_id)
    opening = TradeToOpen(trade, await desk.symbols.spec(label, server_id, trade.symbol))
    check_volume(opening)
    await desk.hear(label, server_id, now)
    async with transaction(engine) as tx:
        stored = await claim_request(tx, command.key, AllocatedTrade, now=now)
        if stored is None:
            opened = await _open(tx, desk, command, opening, now=now)
            stored = AllocatedTrade(opened.allocation.allocation_id)
            await store_answer(tx, command.key, stored)
        else:
            opened = None
    if opened is None or opened.subscriptions is None or opened.columns is None or opened.routes is None:
        return await get_allocation(engine, label, stored.allocation_id, first=0, limit=limit)
    desk.remember(opened.subscriptions)
    return opened.allocation, page_of(opened.routes, opened.columns, slice(limit)) if limit else None


def check_volume(opening: TradeToOpen) -> None:
    """Raises VolumeStep."""
    grid, volume_e8 = opening.spec.grid, opening.trade.volume_e8
    if not grid.holds(volume_e8):
        raise VolumeStep(volume_e8=volume_e8, step_e8=grid.step_e8)


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


async def trading_server_of(engine: AsyncEngine, desk: Desk, label: int, master_id: int) -> int:
    """Where a master trades, which never changes. Raises NotFound."""
    server_id = desk.trading_servers.get((label, master_id))
    if server_id is None:
        server_id = (await get_master(engine, label, master_id)).trading_server_id
        desk.trading_servers[label, master_id] = server_id
    return server_id
