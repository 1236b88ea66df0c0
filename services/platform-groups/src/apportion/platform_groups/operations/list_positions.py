"""Open positions of one account."""

from __future__ import annotations

from sqlalchemy.ext.asyncio import AsyncEngine

from apportion.platform_groups.domain.accounts import check_closable
from apportion.platform_groups.domain.server_facts import ServerPosition
from apportion.platform_groups.operations.ports import TradingServersPort
from apportion.platform_groups.operations.server_calls import server_call
from apportion.platform_groups.storage.accounts import load_account
from apportion.storage import transaction


async def list_positions(
    engine: AsyncEngine, servers: TradingServersPort, label: int, account_id: int
) -> list[ServerPosition]:
    """Asked of the server itself, by ticket. Raises NotFound, AccountNotOpen, TradingServerUnavailable."""
    async with transaction(engine) as tx:
        account = await load_account(tx, label, account_id)
    check_closable(account)
    with server_call(account.trading_server_id):
        found = await (await servers.get(account.trading_server_id)).positions(account.login)
    return sorted(found, key=lambda position: position.position_ticket)
