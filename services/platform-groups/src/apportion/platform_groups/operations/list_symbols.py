"""What can be traded on a trading server."""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy.ext.asyncio import AsyncEngine

from apportion.platform_groups.domain.server_facts import ServerSymbol
from apportion.platform_groups.operations.get_trading_server import get_trading_server
from apportion.platform_groups.operations.ports import TradingServersPort
from apportion.platform_groups.operations.server_calls import server_call


async def list_symbols(
    engine: AsyncEngine, servers: TradingServersPort, label: int, trading_server_id: int, names: Sequence[str]
) -> list[ServerSymbol]:
    """Asked of the server itself, by name; no names: all. Raises NotFound, TradingServerUnavailable."""
    await get_trading_server(engine, label, trading_server_id)
    with server_call(trading_server_id):
        return await (await servers.get(trading_server_id)).symbols(names)
