"""Open an account to its owner's trading or make it read-only, durably: asked for first, then done, then seen."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy.ext.asyncio import AsyncEngine

from apportion.platform_groups.domain.accounts import Account, AccountRef, check_closable
from apportion.platform_groups.domain.states import AccountAccess
from apportion.platform_groups.errors import TradingServerUnavailable
from apportion.platform_groups.operations.await_outcome import await_outcome
from apportion.platform_groups.storage.account_access import is_access_settled, save_wanted_access
from apportion.platform_groups.storage.accounts import load_account
from apportion.platform_groups.storage.egress import ring_egress
from apportion.runtime import Clock
from apportion.storage import RequestKey, claim_request, store_answer, transaction


async def set_account_access(
    engine: AsyncEngine,
    clock: Clock,
    key: RequestKey,
    account_id: int,
    access: AccountAccess,
    cause: str,
    *,
    patience_seconds: float,
) -> Account:
    """The account with the access that the server was seen to have after the newest wish.

    The wish is committed first and the workers bring it to the server, so TradingServerUnavailable means "not yet". A
    repeat of an older request never undoes a newer one: it only waits for the newest wish. Raises AccountNotOpen.
    """
    started = clock.monotonic()
    await _wish(engine, key, account_id, access, cause, now=clock.now())

    async def look() -> tuple[bool, Account]:
        async with transaction(engine) as tx:
            return await is_access_settled(tx, account_id), await load_account(tx, key.label, account_id)

    patience_seconds -= clock.monotonic() - started
    settled, account = await await_outcome(clock, look, lambda found: found[0], patience_seconds=patience_seconds)
    if settled:
        return account
    raise TradingServerUnavailable(
        f"trading server {account.trading_server_id} has not changed the rights of account {account_id} yet",
        trading_server_id=account.trading_server_id,
        account_id=account_id,
    )


async def _wish(
    engine: AsyncEngine, key: RequestKey, account_id: int, access: AccountAccess, cause: str, *, now: datetime
) -> None:
    async with transaction(engine) as tx:
        if await claim_request(tx, key, AccountRef, now=now) is not None:
            return
        account = await load_account(tx, key.label, account_id, for_update=True)
        check_closable(account)
        await save_wanted_access(tx, account, access, cause, key.request_id, now)
        await ring_egress(tx, [account.trading_server_id])
        await store_answer(tx, key, AccountRef(account_id))
