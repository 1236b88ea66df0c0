"""Notice accounts that the trading server has no longer, or not in their group: deleted, or moved; and their return."""

from __future__ import annotations

import structlog
from sqlalchemy.ext.asyncio import AsyncEngine

from apportion.platform_groups.operations.ports import TradingServerPort
from apportion.platform_groups.storage.accounts import PlacedAccount, list_placed, save_back, save_left
from apportion.storage import transaction
from apportion.storage.leases import Lease, check_fence

log = structlog.get_logger()

MOST_QUESTIONS = 200
"""Accounts that one look asks for by themselves; the next look goes on."""


async def watch_accounts(engine: AsyncEngine, server: TradingServerPort, trading_server_id: int, lease: Lease) -> None:
    """One look. An account has left when its group's report lacks it and the server, asked for it alone, has it nowhere
    or in another group: one report that is not complete makes nobody leave.

    Raises ServerFailure, with nothing written, and StaleEpoch when the lease has passed on.
    """
    async with transaction(engine) as tx:
        accounts = await list_placed(tx, trading_server_id)
    present: dict[str, set[int]] = {}
    for server_group in sorted({account.server_group for account in accounts}):
        present[server_group] = set(await server.logins_of_group(server_group))
    back = [account for account in accounts if not account.is_there and account.login in present[account.server_group]]
    absent = [
        account for account in accounts if account.is_there and account.login not in present[account.server_group]
    ]
    left = [account for account in absent[:MOST_QUESTIONS] if await _has_left(server, account)]
    if not left and not back:
        return
    async with transaction(engine) as tx:
        await check_fence(tx, lease)
        await save_left(tx, [account.account_id for account in left])
        await save_back(tx, [account.account_id for account in back])
    for event, members in (("account_left", left), ("account_back", back)):
        for account in members:
            log.warning(event, account_id=account.account_id, login=account.login, trading_server_id=trading_server_id)


async def _has_left(server: TradingServerPort, account: PlacedAccount) -> bool:
    user = await server.user(account.login)
    return user is None or user.group.casefold() != account.server_group.casefold()
