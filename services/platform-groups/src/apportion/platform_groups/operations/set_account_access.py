"""Open an account to its owner's trading or make it read-only, durably: asked for first, then done, then seen."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy.ext.asyncio import AsyncEngine

from apportion.platform_groups.domain.accounts import Account, AccountRef, access_of, check_open, rights_for
from apportion.platform_groups.domain.states import AccountAccess
from apportion.platform_groups.errors import TradingServerUnavailable
from apportion.platform_groups.operations.ports import TradingServersPort
from apportion.platform_groups.operations.server_calls import server_call
from apportion.platform_groups.storage.accounts import load_account, save_seen_access, save_wanted_access
from apportion.storage import RequestKey, claim_request, store_answer, transaction


async def set_account_access(
    engine: AsyncEngine,
    servers: TradingServersPort,
    key: RequestKey,
    account_id: int,
    access: AccountAccess,
    cause: str,
    *,
    now: datetime,
) -> Account:
    """The account with the access that the server has now.

    The wish is committed first and the workers go on with it, so TradingServerUnavailable means "not yet". A repeat of
    an older request never undoes a newer one: it only brings the newest wish to the server. Raises AccountNotOpen.
    """
    async with transaction(engine) as tx:
        stored = await claim_request(tx, key, AccountRef, now=now)
        if stored is None:
            account = await load_account(tx, key.label, account_id, for_update=True)
            check_open(account)
            await save_wanted_access(tx, account, access, cause, key.request_id, now)
            await store_answer(tx, key, AccountRef(account_id))
        account = await load_account(tx, key.label, account_id)
    if account.access is account.wanted_access and stored is not None:
        return account
    return await apply_access(engine, servers, account)


async def apply_access(engine: AsyncEngine, servers: TradingServersPort, account: Account) -> Account:
    """Read, change one bit, write, read again: the server ignores what it dislikes without a word.

    Raises TradingServerUnavailable when the server does not show the wanted access afterwards.
    """
    with server_call(account.trading_server_id):
        server = await servers.get(account.trading_server_id)
        user = await server.user(account.login)
        if user is not None and access_of(user.rights) is not account.wanted_access:
            await server.set_rights(account.login, rights_for(user.rights, account.wanted_access))
            user = await server.user(account.login)
    if user is None or access_of(user.rights) is not account.wanted_access:
        raise TradingServerUnavailable(
            f"trading server {account.trading_server_id} did not change the rights of account {account.account_id}",
            trading_server_id=account.trading_server_id,
            account_id=account.account_id,
        )
    async with transaction(engine) as tx:
        await save_seen_access(tx, account.account_id, account.wanted_access)
        return await load_account(tx, account.label, account.account_id)
