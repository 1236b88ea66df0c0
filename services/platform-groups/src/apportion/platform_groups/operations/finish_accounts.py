"""Finish accounts that a crash or a lost answer left CREATING."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from functools import partial

import structlog
from sqlalchemy.ext.asyncio import AsyncEngine

from apportion.platform_groups.domain.accounts import Account, shows_comments
from apportion.platform_groups.domain.evidence import ABSENT_READS
from apportion.platform_groups.domain.shards import shard_of_key
from apportion.platform_groups.domain.tokens import account_token, account_token_of
from apportion.platform_groups.operations.open_on_server import open_on_server, record_login
from apportion.platform_groups.operations.ports import NewPassword, TradingServerPort, TradingServersPort
from apportion.platform_groups.storage.accounts import claim_creation, list_creating, list_group_logins, save_absent
from apportion.platform_groups.storage.platform_groups import load_group
from apportion.platform_groups.storage.trading_servers import save_comments_hidden
from apportion.runtime import Clock
from apportion.storage import transaction
from apportion.storage.leases import Lease, check_fence

log = structlog.get_logger()


async def finish_creating(
    engine: AsyncEngine,
    servers: TradingServersPort,
    new_password: NewPassword,
    trading_server_id: int,
    leases: Sequence[Lease],
    clock: Clock,
    *,
    is_held: Callable[[Lease], bool],
    answer_timeout: timedelta,
) -> None:
    """Adopts accounts that are on the server; creates those that two complete reports with readable comments lack.

    Only accounts in the shards of these leases, and only rows that nobody touched for `answer_timeout`: until then the
    call that made them may still be on the wire. Nothing is created under a lease that has passed on (StaleEpoch) or
    that `is_held` denies right before the write.
    """
    lease_of = {shard_of_key(lease.key): lease for lease in leases}
    async with transaction(engine) as tx:
        waiting = await list_creating(tx, trading_server_id, list(lease_of), clock.now() - answer_timeout)
        groups = {
            account.platform_group_id: await load_group(tx, account.label, account.platform_group_id)
            for account in waiting
        }
    if not waiting:
        return
    server = await servers.get(trading_server_id)
    logins, unreadable = await _search(
        engine, server, trading_server_id, {each.server_group for each in groups.values()}
    )
    for account in waiting:
        if login := logins.get(account_token(account.account_id, account.request_id)):
            await record_login(engine, account, login, now=clock.now())
            log.info("account_adopted", account_id=account.account_id, login=login)
            continue
        lease, server_group = lease_of[account.shard], groups[account.platform_group_id].server_group
        if server_group not in unreadable and await _proven_absent(engine, account, lease, clock.now()):
            await open_on_server(
                engine,
                servers,
                account,
                server_group,
                clock,
                main_password=new_password(),
                investor_password=new_password(),
                permit=partial(is_held, lease),
            )


async def _search(
    engine: AsyncEngine, server: TradingServerPort, trading_server_id: int, server_groups: set[str]
) -> tuple[dict[str, int], set[str]]:
    """Logins by the token in their comment, and the groups whose comments cannot be read."""
    logins: dict[str, int] = {}
    unreadable: set[str] = set()
    for server_group in sorted(server_groups):
        async with transaction(engine) as tx:
            ours = await list_group_logins(tx, trading_server_id, server_group)
        users = await server.users_of_group(server_group)
        logins |= {account_token_of(user.comment): user.login for user in users}
        if not shows_comments(users, ours):
            log.error("account_comments_hidden", trading_server_id=trading_server_id, server_group=server_group)
            unreadable.add(server_group)
    if unreadable:
        async with transaction(engine) as tx:
            await save_comments_hidden(tx, trading_server_id, True)
    return logins, unreadable


async def _proven_absent(engine: AsyncEngine, account: Account, lease: Lease, now: datetime) -> bool:
    async with transaction(engine) as tx:
        await check_fence(tx, lease)
        if await save_absent(tx, account.account_id, now) < ABSENT_READS:
            return False
        return await claim_creation(tx, account.account_id, now)
