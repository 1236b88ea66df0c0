"""One trading server."""

from __future__ import annotations

from sqlalchemy.ext.asyncio import AsyncEngine

from apportion.platform_groups.domain.trading_servers import TradingServer
from apportion.platform_groups.storage.trading_servers import load_server
from apportion.storage import transaction


async def get_trading_server(engine: AsyncEngine, label: int, trading_server_id: int) -> TradingServer:
    """Raises NotFound."""
    async with transaction(engine) as tx:
        return await load_server(tx, label, trading_server_id)
