"""Trading servers of a label."""

from __future__ import annotations

from sqlalchemy.ext.asyncio import AsyncEngine

from apportion.platform_groups.domain.trading_servers import TradingServer
from apportion.platform_groups.storage.trading_servers import list_servers
from apportion.storage import transaction


async def list_trading_servers(engine: AsyncEngine, label: int, *, after_id: int, limit: int) -> list[TradingServer]:
    """By id."""
    async with transaction(engine) as tx:
        return await list_servers(tx, label, after_id, limit)
