"""Give an account new passwords that nobody but the caller learns."""

from __future__ import annotations

from dataclasses import dataclass, field

import structlog
from sqlalchemy.ext.asyncio import AsyncEngine

from apportion.platform_groups.domain.accounts import Account, AccountRef, check_open
from apportion.platform_groups.domain.server_facts import ServerFailure
from apportion.platform_groups.errors import PasswordsNotReset
from apportion.platform_groups.operations.ports import NewPassword, TradingServersPort
from apportion.platform_groups.storage.accounts import load_account
from apportion.platform_groups.storage.password_resets import confirm_password_reset, insert_password_reset
from apportion.runtime import Clock
from apportion.storage import RequestKey, claim_request, store_answer, transaction

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class ResetAccount:
    """Passwords are empty in all but the first answer: nobody keeps them."""

    account: Account
    main_password: str = field(default="", repr=False)
    investor_password: str = field(default="", repr=False)


async def reset_account_passwords(
    engine: AsyncEngine,
    servers: TradingServersPort,
    new_password: NewPassword,
    key: RequestKey,
    account_id: int,
    peer: str,
    clock: Clock,
    *,
    patience_seconds: float,
) -> ResetAccount:
    """Sets both, then looks whether both hold: of two resets that ran into each other none tells a mixture.

    The request is claimed first, so that no repeat takes back what the first answer told, and with its audit row:
    `peer`, the time, the account, and later whether the server was seen to have them. Raises NotFound, AccountNotOpen,
    and PasswordsNotReset when the server did not show the new ones.
    """
    end = clock.monotonic() + patience_seconds
    async with transaction(engine) as tx:
        stored = await claim_request(tx, key, AccountRef, now=clock.now())
        account = await load_account(tx, key.label, account_id)
        if stored is not None:
            return ResetAccount(account)
        check_open(account)
        await insert_password_reset(tx, account, key.request_id, peer, clock.now())
        await store_answer(tx, key, AccountRef(account_id))
    server = await servers.get(account.trading_server_id)
    main, investor = new_password(), new_password()
    try:
        await server.set_passwords(account.login, main, investor, lambda: clock.monotonic() < end)
        is_set = await server.has_passwords(account.login, main, investor)
    except ServerFailure as error:
        log.warning("account_passwords_open", account_id=account_id, cause=str(error))
        is_set = False
    if not is_set:
        raise PasswordsNotReset(f"the passwords of account {account_id} are not known to be new", account_id=account_id)
    async with transaction(engine) as tx:
        await confirm_password_reset(tx, account_id, key.request_id)
    log.info("account_passwords_reset", account_id=account_id, login=account.login, peer=peer)
    return ResetAccount(account, main, investor)
