"""Go on with accounts that a crash or a lost answer left half done."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta

import structlog
from sqlalchemy.ext.asyncio import AsyncEngine

from apportion.errors import DomainError
from apportion.platform_groups.domain.accounts import Account
from apportion.platform_groups.domain.tokens import account_token, account_token_of
from apportion.platform_groups.operations.open_on_server import open_on_server, record_login
from apportion.platform_groups.operations.ports import NewPassword, TradingServersPort
from apportion.platform_groups.operations.set_account_access import apply_access
from apportion.platform_groups.storage.accounts import (
    claim_creation,
    list_access_pending,
    list_creating,
    save_absent,
)
from apportion.platform_groups.storage.platform_groups import load_group
from apportion.storage import transaction

log = structlog.get_logger()

ABSENT_READS = 2


async def finish_creating(
    engine: AsyncEngine,
    servers: TradingServersPort,
    new_password: NewPassword,
    trading_server_id: int,
    shards: Sequence[int],
    *,
    answer_timeout: timedelta,
    now: datetime,
) -> None:
    """Adopts accounts that are on the server; creates those that two complete reports did not show.

    Only rows that nobody touched for `answer_timeout`: until then the call that made them may still be on the wire.
    """
    async with transaction(engine) as tx:
        waiting = await list_creating(tx, trading_server_id, shards, now - answer_timeout)
        groups = {
            account.platform_group_id: await load_group(tx, account.label, account.platform_group_id)
            for account in waiting
        }
    if not waiting:
        return
    server = await servers.get(trading_server_id)
    logins: dict[str, int] = {}
    for group in {group.server_group for group in groups.values()}:
        for user in await server.users_of_group(group):
            if token := account_token_of(user.comment):
                logins[token] = user.login
    for account in waiting:
        group_path = groups[account.platform_group_id].server_group
        if login := logins.get(account_token(account.account_id, account.request_id)):
            await record_login(engine, account, login, now=now)
            log.info("account_adopted", account_id=account.account_id, login=login)
        elif await _proven_absent(engine, account, now):
            main, investor = new_password(), new_password()
            await open_on_server(
                engine, servers, account, group_path, main_password=main, investor_password=investor, now=now
            )


async def _proven_absent(engine: AsyncEngine, account: Account, now: datetime) -> bool:
    async with transaction(engine) as tx:
        if await save_absent(tx, account.account_id, now) < ABSENT_READS:
            return False
        return await claim_creation(tx, account.account_id, now)


async def finish_access(
    engine: AsyncEngine, servers: TradingServersPort, trading_server_id: int, shards: Sequence[int]
) -> None:
    """Brings accesses that were asked for to the server."""
    async with transaction(engine) as tx:
        waiting = await list_access_pending(tx, trading_server_id, shards)
    for account in waiting:
        try:
            await apply_access(engine, servers, account)
        except DomainError as error:
            log.warning("account_access_pending", account_id=account.account_id, cause=str(error))
