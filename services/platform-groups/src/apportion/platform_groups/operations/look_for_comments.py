"""Look again at a trading server that kept the comments of accounts from our manager."""

from __future__ import annotations

import structlog
from sqlalchemy.ext.asyncio import AsyncEngine

from apportion.platform_groups.domain.accounts import shows_comments
from apportion.platform_groups.operations.ports import TradingServerPort
from apportion.platform_groups.storage.accounts import list_group_logins
from apportion.platform_groups.storage.platform_groups import list_server_groups
from apportion.platform_groups.storage.trading_servers import are_comments_hidden, save_comments_hidden
from apportion.storage import transaction

log = structlog.get_logger()


async def look_for_comments(engine: AsyncEngine, server: TradingServerPort, trading_server_id: int) -> None:
    """Accounts are made there again once all groups show comments. Raises ServerFailure."""
    async with transaction(engine) as tx:
        if not await are_comments_hidden(tx, trading_server_id):
            return
        groups = await list_server_groups(tx, trading_server_id)
        logins = {group: await list_group_logins(tx, trading_server_id, group) for group in groups}
    for server_group in groups:
        if not shows_comments(await server.users_of_group(server_group), logins[server_group]):
            log.error("account_comments_hidden", trading_server_id=trading_server_id, server_group=server_group)
            return
    async with transaction(engine) as tx:
        await save_comments_hidden(tx, trading_server_id, False)
