"""Questions about trading servers and platform groups."""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy.ext.asyncio import AsyncEngine

from apportion.platform_groups.domain.platform_groups import PlatformGroup
from apportion.platform_groups.domain.server_facts import ServerSymbol
from apportion.platform_groups.domain.trading_servers import TradingServer
from apportion.platform_groups.operations.ports import TradingServersPort
from apportion.platform_groups.operations.server_calls import server_call
from apportion.platform_groups.storage.platform_groups import list_groups, load_group
from apportion.platform_groups.storage.trading_servers import list_servers, load_server
from apportion.storage import transaction


async def get_trading_server(engine: AsyncEngine, label: int, trading_server_id: int) -> TradingServer:
    """Raises NotFound."""
    async with transaction(engine) as tx:
        return await load_server(tx, label, trading_server_id)


async def list_trading_servers(engine: AsyncEngine, label: int, *, after_id: int, limit: int) -> list[TradingServer]:
    """By id."""
    async with transaction(engine) as tx:
        return await list_servers(tx, label, after_id, limit)


async def list_symbols(
    engine: AsyncEngine, servers: TradingServersPort, label: int, trading_server_id: int, names: Sequence[str]
) -> list[ServerSymbol]:
    """Asked of the server itself, by name; no names: all. Raises NotFound, TradingServerUnavailable."""
    await get_trading_server(engine, label, trading_server_id)
    with server_call(trading_server_id):
        return await (await servers.get(trading_server_id)).symbols(names)


async def get_platform_group(engine: AsyncEngine, label: int, platform_group_id: int) -> PlatformGroup:
    """Raises NotFound."""
    async with transaction(engine) as tx:
        return await load_group(tx, label, platform_group_id)


async def list_platform_groups(
    engine: AsyncEngine, label: int, trading_server_id: int, *, after_id: int, limit: int
) -> list[PlatformGroup]:
    """By id; server 0: of all servers."""
    async with transaction(engine) as tx:
        return await list_groups(tx, label, trading_server_id, after_id, limit)
