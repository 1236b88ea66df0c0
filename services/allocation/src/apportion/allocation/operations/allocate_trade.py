"""Decide a master's opening trade by command, in the same way as a deal that arrives from the server."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from sqlalchemy.ext.asyncio import AsyncEngine

from apportion.allocation.domain.allocations import Allocation, MasterTrade
from apportion.allocation.domain.reasons import SkipReason
from apportion.allocation.errors import VolumeStep
from apportion.allocation.operations.decide_open_trade import OpenedTrade, decide_open_trade, find_opened
from apportion.allocation.operations.desk import Desk
from apportion.allocation.operations.get_master import get_master
from apportion.allocation.storage.allocations import load_allocation
from apportion.allocation.storage.masters import load_master
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


async def allocate_trade(engine: AsyncEngine, desk: Desk, command: AllocateTrade, *, now: datetime) -> Allocation:
    """The stored decision, to be dispatched; idempotent by deal, too.

    Raises NotFound, SymbolUnknown, VolumeStep, ZeroBase or DealConflict.
    """
    label, trade = command.key.label, command.trade
    server_id = (await get_master(engine, label, command.master_id)).trading_server_id
    grid = await desk.symbols.grid(label, server_id, trade.symbol)
    if not grid.holds(trade.volume_e8):
        raise VolumeStep(volume_e8=trade.volume_e8, step_e8=grid.step_e8)
    async with transaction(engine) as tx:
        if (stored := await claim_request(tx, command.key, AllocatedTrade, now=now)) is not None:
            return await load_allocation(tx, label, stored.allocation_id)
        master = await load_master(tx, label, command.master_id, lock="share")
        # A deal that is known is answered from the store even when it could not be decided any more.
        known = await find_opened(tx, master, trade)
        opened = (
            OpenedTrade(known, None)
            if known
            else await decide_open_trade(
                tx, desk, master, trade, grid, blanket_reason=SkipReason.NONE, refuse_zero_base=True, now=now
            )
        )
        await store_answer(tx, command.key, AllocatedTrade(opened.allocation.allocation_id))
    if opened.subscriptions is not None:
        desk.remember(opened.subscriptions)
    return opened.allocation
