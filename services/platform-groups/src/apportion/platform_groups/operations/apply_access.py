"""Bring the access that was asked for to the server: for the one worker that holds the account's shard."""

from __future__ import annotations

from sqlalchemy.ext.asyncio import AsyncEngine

from apportion.platform_groups.domain.accounts import Account, access_of, rights_for
from apportion.platform_groups.domain.server_facts import ServerUnreachable
from apportion.platform_groups.operations.ports import Permit, TradingServerPort
from apportion.platform_groups.storage.accounts import save_seen_access
from apportion.storage import transaction
from apportion.storage.leases import Lease, check_fence


async def apply_access(
    engine: AsyncEngine, server: TradingServerPort, account: Account, lease: Lease, *, permit: Permit
) -> None:
    """Read, change one bit, write, read again: the server ignores what it dislikes without a word.

    What is seen is saved under the lease, and is settled only if nobody has wished otherwise meanwhile. Raises
    ServerFailure, also when the server does not show the access afterwards; StaleEpoch.
    """
    user = await server.user(account.login)
    if user is not None and access_of(user.rights) is not account.wanted_access:
        await server.set_rights(account.login, rights_for(user.rights, account.wanted_access), permit)
        user = await server.user(account.login)
    if user is None or access_of(user.rights) is not account.wanted_access:
        raise ServerUnreachable(f"the server did not change the rights of account {account.account_id}")
    async with transaction(engine) as tx:
        await check_fence(tx, lease)
        await save_seen_access(tx, account.account_id, account.wanted_access)
