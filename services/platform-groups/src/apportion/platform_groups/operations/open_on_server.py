"""The wire part of creating an account, and what its answer makes of the intent."""

from __future__ import annotations

from datetime import datetime

import structlog
from sqlalchemy.ext.asyncio import AsyncEngine

from apportion.errors import DomainError
from apportion.platform_groups.domain.accounts import Account
from apportion.platform_groups.domain.server_facts import NewUser, ServerFailure, ServerRefused
from apportion.platform_groups.domain.tokens import account_token, account_token_of
from apportion.platform_groups.operations.accept_transfers import deposit_initial_balance
from apportion.platform_groups.operations.ports import Permit, TradingServersPort
from apportion.platform_groups.storage.accounts import load_account, save_failed, save_opened
from apportion.platform_groups.storage.trading_servers import save_comments_hidden
from apportion.runtime import Clock
from apportion.storage import transaction

log = structlog.get_logger()


async def open_on_server(
    engine: AsyncEngine,
    servers: TradingServersPort,
    intent: Account,
    server_group: str,
    clock: Clock,
    *,
    main_password: str,
    investor_password: str,
    permit: Permit,
) -> Account:
    """The account after one try: OPEN, FAILED, or still CREATING when nobody knows (it is then looked for).

    `permit` is asked right before the write.
    """
    user = NewUser(
        server_group=server_group,
        name=intent.holder_name,
        leverage=intent.leverage,
        comment=account_token(intent.account_id, intent.request_id),
        main_password=main_password,
        investor_password=investor_password,
    )
    try:
        added = await (await servers.get(intent.trading_server_id)).add_user(user, permit)
    except ServerRefused as refused:
        if refused.temporary:
            return intent
        return await record_failure(engine, intent, refused.reason)
    except (ServerFailure, DomainError) as error:
        log.warning("account_creation_open", account_id=intent.account_id, cause=str(error))
        return intent
    is_hidden = account_token_of(added.comment) != user.comment
    if is_hidden:
        log.error("account_comments_hidden", trading_server_id=intent.trading_server_id, login=added.login)
    return await record_login(engine, intent, added.login, comments_hidden=is_hidden, now=clock.now())


async def record_login(
    engine: AsyncEngine, intent: Account, login: int, *, comments_hidden: bool = False, now: datetime
) -> Account:
    """The server has the account: OPEN, and its first balance on the way. No other is made there while comments are
    hidden: one whose answer was lost would not be found."""
    async with transaction(engine) as tx:
        if comments_hidden:
            await save_comments_hidden(tx, intent.trading_server_id, True)
        opened = await save_opened(tx, intent.account_id, login)
        if opened is None:
            return await load_account(tx, intent.label, intent.account_id)
        await deposit_initial_balance(tx, opened, now=now)
        return opened


async def record_failure(engine: AsyncEngine, intent: Account, reason: str) -> Account:
    """The server refused the account for good."""
    async with transaction(engine) as tx:
        await save_failed(tx, intent.account_id, reason)
        return await load_account(tx, intent.label, intent.account_id)
