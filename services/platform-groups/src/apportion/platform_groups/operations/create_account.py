"""Create an account: the intent is committed first, so that a crash finds and adopts it, never makes a second one."""

from __future__ import annotations

from dataclasses import dataclass, field

from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from apportion.platform_groups.domain.accounts import Account, AccountRef, NewAccount, check_wallet
from apportion.platform_groups.domain.platform_groups import PlatformGroup, check_accepts_account, check_leverage
from apportion.platform_groups.domain.states import AccountState
from apportion.platform_groups.domain.transfers import check_amount
from apportion.platform_groups.operations.open_on_server import open_on_server
from apportion.platform_groups.operations.ports import NewPassword, TradingServersPort
from apportion.platform_groups.storage.accounts import insert_account, load_account
from apportion.platform_groups.storage.platform_groups import count_accounts, load_group
from apportion.platform_groups.storage.trading_servers import load_server
from apportion.runtime import Clock
from apportion.storage import RequestKey, claim_request, store_answer, transaction


@dataclass(frozen=True, slots=True)
class CreatedAccount:
    """Passwords are empty in all but the first answer: nobody keeps them."""

    account: Account
    server_name: str
    main_password: str = field(default="", repr=False)
    investor_password: str = field(default="", repr=False)


async def create_account(
    engine: AsyncEngine,
    servers: TradingServersPort,
    new_password: NewPassword,
    key: RequestKey,
    account: NewAccount,
    clock: Clock,
    *,
    patience_seconds: float,
) -> CreatedAccount:
    """The account as the server confirmed it; still CREATING when the answer of the server was lost.

    After `patience_seconds` nothing is written any more, even if this process was stopped on the way: the workers look
    for the account then.

    Raises LeverageRange, AmountRange, WalletInvalid, NotFound, GroupNotEnabled, GroupFull.
    """
    now, end = clock.now(), clock.monotonic() + patience_seconds
    async with transaction(engine) as tx:
        stored = await claim_request(tx, key, AccountRef, now=now)
        if stored is not None:
            known = await load_account(tx, key.label, stored.account_id)
            return CreatedAccount(known, (await load_server(tx, key.label, known.trading_server_id)).name)
        group = await _group_with_room(tx, key.label, account.platform_group_id)
        leverage = account.leverage or group.default_leverage
        check_leverage(leverage)
        if account.initial_balance_minor:
            check_amount(account.initial_balance_minor, group.currency_digits)
        wallet = await load_account(tx, key.label, account.wallet_account_id) if account.wallet_account_id else None
        check_wallet(account.kind, wallet)
        intent = await insert_account(
            tx, key.label, account, group, leverage=leverage, request_id=key.request_id, now=now
        )
        await store_answer(tx, key, AccountRef(intent.account_id))
    main, investor = new_password(), new_password()
    opened = await open_on_server(
        engine,
        servers,
        intent,
        group.server_group,
        clock,
        main_password=main,
        investor_password=investor,
        permit=lambda: clock.monotonic() < end,
    )
    if opened.state is not AccountState.OPEN:
        return CreatedAccount(opened, group.server_name)
    return CreatedAccount(opened, group.server_name, main, investor)


async def _group_with_room(tx: AsyncConnection, label: int, platform_group_id: int) -> PlatformGroup:
    """Only a group with a capacity is locked, to count in it: those who open accounts in others never wait in line."""
    group, account_count = await load_group(tx, label, platform_group_id), 0
    if group.account_capacity:
        group = await load_group(tx, label, platform_group_id, for_update=True)
        account_count = await count_accounts(tx, platform_group_id)
    check_accepts_account(group, account_count)
    return group
