"""What can be traded on a trading server."""

from __future__ import annotations

from collections.abc import Sequence

import structlog
from prometheus_client import Gauge
from sqlalchemy.ext.asyncio import AsyncEngine

from apportion.platform_groups.domain.server_facts import ServerSymbol
from apportion.platform_groups.operations.get_trading_server import get_trading_server
from apportion.platform_groups.operations.ports import TradingServersPort
from apportion.platform_groups.operations.server_calls import server_call

log = structlog.get_logger()

UNREADABLE = Gauge(
    "apportion_platform_groups_unreadable_symbols",
    "Symbols that were left out when all were listed last, for their figures cannot be read.",
    ["trading_server"],
)


async def list_symbols(
    engine: AsyncEngine, servers: TradingServersPort, label: int, trading_server_id: int, names: Sequence[str]
) -> list[ServerSymbol]:
    """Asked of the server itself, by name; no names: all. Raises NotFound, TradingServerUnavailable.

    One that cannot be read is left out alone: nobody can trade it, and all others go on.
    """
    await get_trading_server(engine, label, trading_server_id)
    with server_call(trading_server_id):
        listing = await (await servers.get(trading_server_id)).symbols(names)
    if not names:
        UNREADABLE.labels(trading_server_id).set(len(listing.unreadable))
    for symbol, cause in listing.unreadable.items():
        log.warning("symbol_unreadable", trading_server_id=trading_server_id, symbol=symbol, cause=cause)
    return listing.symbols
