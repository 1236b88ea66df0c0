"""Bring the access that was asked for to the server: for the one worker that holds the account's shard."""

from __future__ import annotations

from datetime import datetime, timedelta

from sqlalchemy.ext.asyncio import AsyncEngine

from apportion.platform_groups.domain.accounts import Account, access_of, rights_for
from apportion.platform_groups.domain.server_facts import OutcomeUnknown, ServerFailure, ServerUnreachable
from apportion.platform_groups.operations.ports import Permit, TradingServerPort
from apportion.platform_groups.storage.account_access import save_seen_access, save_write_begun, save_write_ended
from apportion.runtime import Clock
from apportion.storage import transaction
from apportion.storage.leases import Lease, check_fence

SENDING_TIME = timedelta(seconds=5)
"""A write that has waited longer for a connection does not go out."""


async def apply_access(
    engine: AsyncEngine,
    server: TradingServerPort,
    account: Account,
    lease: Lease,
    clock: Clock,
    *,
    permit: Permit,
    answer_timeout: timedelta,
) -> bool:
    """Read, change one bit, write, read again: the server ignores what it dislikes without a word.

    What is seen is saved under the lease. It is settled only if nobody has wished otherwise meanwhile and no earlier
    write can undo it: one whose answer was lost, here or at a former holder of the shard, may still come in for
    `answer_timeout`. False: wait for that, then look again. Raises StaleEpoch, and ServerFailure also when the server
    does not show the access afterwards.
    """
    read_time = clock.now()
    user = await server.user(account.login)
    if user is not None and access_of(user.rights) is not account.wanted_access:
        rights = rights_for(user.rights, account.wanted_access)
        await _write(engine, server, account, rights, lease, clock, permit, answer_timeout)
        read_time = clock.now()
        user = await server.user(account.login)
    if user is None or access_of(user.rights) is not account.wanted_access:
        raise ServerUnreachable(f"the server did not change the rights of account {account.account_id}")
    async with transaction(engine) as tx:
        await check_fence(tx, lease)
        return await save_seen_access(tx, account.account_id, account.wanted_access, read_time)


async def _write(
    engine: AsyncEngine,
    server: TradingServerPort,
    account: Account,
    rights: int,
    lease: Lease,
    clock: Clock,
    permit: Permit,
    answer_timeout: timedelta,
) -> None:
    """Commits beforehand that a write may be on the wire; its answer takes that back."""
    access = account.wanted_access
    latest = clock.now() + SENDING_TIME
    begun = latest + answer_timeout
    async with transaction(engine) as tx:
        await check_fence(tx, lease)
        earlier = await save_write_begun(tx, account.account_id, access, begun)

    async def ended(until: datetime | None) -> None:
        async with transaction(engine) as tx:
            await save_write_ended(tx, account.account_id, access, begun=begun, until=until)

    try:
        await server.set_rights(account.login, rights, lambda: permit() and clock.now() <= latest)
    except OutcomeUnknown:
        lost = clock.now() + answer_timeout
        await ended(lost if earlier is None else max(earlier, lost))
        raise
    except ServerFailure:
        await ended(earlier)
        raise
    await ended(earlier)
