"""Ask for all that a decision on a trade needs from others, before a transaction."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy.ext.asyncio import AsyncEngine

from apportion.allocation.domain.allocations import MasterTrade
from apportion.allocation.errors import VolumeStep
from apportion.allocation.operations.desk import Desk
from apportion.allocation.operations.gather_inputs import TradeToOpen
from apportion.allocation.operations.get_master import get_master


async def prepare_trade(
    engine: AsyncEngine, desk: Desk, label: int, master_id: int, trade: MasterTrade, *, now: datetime
) -> TradeToOpen:
    """A trade that has not happened, with its symbol; the account states that it needs are at the desk.

    Raises NotFound, SymbolUnknown or VolumeStep, and UpstreamUnavailable where nobody can tell the symbol.
    """
    server_id = await _trading_server_of(engine, desk, label, master_id)
    spec = await desk.symbols.spec(label, server_id, trade.symbol)
    if not spec.grid.holds(trade.volume_e8):
        raise VolumeStep(volume_e8=trade.volume_e8, step_e8=spec.grid.step_e8)
    await desk.hear(label, server_id, now)
    return TradeToOpen(trade, spec)


async def _trading_server_of(engine: AsyncEngine, desk: Desk, label: int, master_id: int) -> int:
    """Where a master trades, which never changes. Raises NotFound."""
    server_id = desk.trading_servers.get((label, master_id))
    if server_id is None:
        server_id = (await get_master(engine, label, master_id)).trading_server_id
        desk.trading_servers[label, master_id] = server_id
    return server_id
