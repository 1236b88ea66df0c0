"""Notice accounts that the trading server has no longer, or not in their group: deleted, or moved; and their return."""

from __future__ import annotations

import numpy as np
import structlog
from sqlalchemy.ext.asyncio import AsyncEngine

from apportion.platform_groups.domain.server_facts import ServerFailure
from apportion.platform_groups.operations.ports import TradingServerPort
from apportion.platform_groups.storage.accounts import MisplacedAccount, list_misplaced, save_back, save_left
from apportion.platform_groups.storage.platform_groups import list_server_groups
from apportion.storage import transaction
from apportion.storage.leases import Lease, check_fence

log = structlog.get_logger()

MOST_QUESTIONS = 200
"""Accounts of a group that one look asks for by themselves; the next look goes on."""


async def watch_accounts(engine: AsyncEngine, server: TradingServerPort, trading_server_id: int, lease: Lease) -> None:
    """One look. An account has left when its group's report lacks it and the server, asked for it alone, has it nowhere
    or in another group: one report that is not complete makes nobody leave.

    A group that the server does not tell of holds up none of the others. Raises StaleEpoch, with nothing written, when
    the lease has passed on.
    """
    async with transaction(engine) as tx:
        groups = await list_server_groups(tx, trading_server_id)
    left: list[MisplacedAccount] = []
    back: list[MisplacedAccount] = []
    for server_group in groups:
        try:
            logins = np.array(await server.logins_of_group(server_group), dtype=np.int64)
            async with transaction(engine) as tx:
                misplaced = await list_misplaced(tx, trading_server_id, server_group, logins)
            back += [account for account in misplaced if account.is_there]
            absent = [account for account in misplaced if not account.is_there][:MOST_QUESTIONS]
            left += [account for account in absent if await _has_left(server, account.login, server_group)]
        except ServerFailure as error:
            log.warning(
                "accounts_unwatched", trading_server_id=trading_server_id, server_group=server_group, cause=str(error)
            )
    if not left and not back:
        return
    async with transaction(engine) as tx:
        await check_fence(tx, lease)
        await save_left(tx, [account.account_id for account in left])
        await save_back(tx, [account.account_id for account in back])
    for event, members in (("account_left", left), ("account_back", back)):
        for account in members:
            log.warning(event, account_id=account.account_id, login=account.login, trading_server_id=trading_server_id)


async def _has_left(server: TradingServerPort, login: int, server_group: str) -> bool:
    user = await server.user(login)
    return user is None or user.group.casefold() != server_group.casefold()
