"""Make a trading account a master."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime

from sqlalchemy.ext.asyncio import AsyncEngine

from apportion.allocation.domain.accounts import AccountKind, check_account
from apportion.allocation.domain.masters import Master, check_mode
from apportion.allocation.domain.methods import (
    AccountType,
    AllocationMethod,
    AllocationMode,
    RoundingPolicy,
    checked_rounding,
)
from apportion.allocation.operations.ports import Accounts, Positions
from apportion.allocation.operations.require_flat import require_flat
from apportion.allocation.storage.masters import insert_master, is_master_account
from apportion.storage import RequestKey, claim_request, store_answer, transaction


@dataclass(frozen=True, slots=True)
class CreateMaster:
    """The command. None: the default of the method's family, of the account type."""

    key: RequestKey
    name: str
    account_type: AccountType
    account_id: int
    method: AllocationMethod
    rounding: RoundingPolicy | None
    min_follower_equity_minor: int
    listed_on_leaderboard: bool | None
    allocation_mode: AllocationMode
    artificial_symbol: str
    residual_rule: RoundingPolicy


async def create_master(
    engine: AsyncEngine, accounts: Accounts, positions: Positions, command: CreateMaster, *, now: datetime
) -> Master:
    """The new master, active.

    A netting account begins with nothing open: a deal that adds to a position, reduces or turns it does not tell what
    was there before, which decides what part of it is closed or opened.
    Raises what `checked_rounding`, `check_mode`, `check_account` and `require_flat` raise, NotFound, NameTaken or
    MasterAccountTaken.
    """
    rounding = checked_rounding(command.account_type, command.method, command.rounding)
    account = await accounts.account(command.key.label, command.account_id)
    check_account(account, AccountKind.MASTER)
    listed = command.listed_on_leaderboard
    master = Master(
        master_id=0,
        label=command.key.label,
        name=command.name,
        account_type=command.account_type,
        account_id=account.account_id,
        account_login=account.login,
        trading_server_id=account.trading_server_id,
        wallet_account_id=account.wallet_account_id,
        currency_code=account.currency_code,
        currency_digits=account.currency_digits,
        method=command.method,
        rounding=rounding,
        listed_on_leaderboard=command.account_type is AccountType.COPY if listed is None else listed,
        min_follower_equity_minor=command.min_follower_equity_minor,
        halt_causes=(),
        halt_epoch=0,
        set_version=1,
        version=1,
        active_subscription_count=0,
        create_time=now,
        allocation_mode=command.allocation_mode,
        artificial_symbol=command.artificial_symbol,
        residual_rule=command.residual_rule,
    )
    check_mode(master)
    if account.nets and not await _is_taken(engine, master):
        await require_flat(positions, master.label, account)
    async with transaction(engine) as tx:
        if (stored := await claim_request(tx, command.key, Master, now=now)) is not None:
            return stored
        master = replace(master, master_id=await insert_master(tx, master))
        await store_answer(tx, command.key, master)
        return master


async def _is_taken(engine: AsyncEngine, master: Master) -> bool:
    """By himself, when the command is told again, or by another, as the insertion will say."""
    async with transaction(engine) as tx:
        return await is_master_account(tx, master.label, master.account_id)
