"""Ask a trading server how its groups hold positions, for those that were made before anybody asked."""

from __future__ import annotations

import structlog
from sqlalchemy.ext.asyncio import AsyncEngine

from apportion.platform_groups.domain.states import MarginMode
from apportion.platform_groups.operations.ports import TradingServerPort
from apportion.platform_groups.storage.platform_groups import list_without_margin_mode, save_margin_mode
from apportion.storage import transaction

log = structlog.get_logger()


async def learn_margin_modes(engine: AsyncEngine, server: TradingServerPort, trading_server_id: int) -> None:
    """Groups and their accounts get the mode that the server names; one that we do not know leaves them without.

    Raises ServerFailure.
    """
    async with transaction(engine) as tx:
        groups = await list_without_margin_mode(tx, trading_server_id)
    for server_group in groups:
        found = await server.group(server_group)
        if found is None or found.margin_mode is MarginMode.UNKNOWN:
            log.warning("margin_mode_unknown", trading_server_id=trading_server_id, server_group=server_group)
            continue
        async with transaction(engine) as tx:
            await save_margin_mode(tx, trading_server_id, server_group, found.margin_mode)
