"""Let an investment account follow a master."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime

from sqlalchemy.ext.asyncio import AsyncEngine

from apportion.allocation.domain.accounts import Account
from apportion.allocation.domain.copy_settings import CopySettings, check_settings
from apportion.allocation.domain.subscriptions import (
    Parameters,
    Subscription,
    SubscriptionState,
    check_copying,
    check_follower,
    check_parameters,
    check_sign,
    check_stops,
)
from apportion.allocation.operations.change_subscriptions import check_sums
from apportion.allocation.operations.copy_open_positions import copy_open_positions, prepare_copies
from apportion.allocation.operations.desk import Desk
from apportion.allocation.operations.ports import Accounts, Positions
from apportion.allocation.operations.require_flat import require_flat
from apportion.allocation.storage.masters import load_master, next_set_version
from apportion.allocation.storage.net_deals import load_netting_accounts
from apportion.allocation.storage.subscriptions import insert_subscription, load_account_types, lock_account
from apportion.storage import RequestKey, claim_request, store_answer, transaction


@dataclass(frozen=True, slots=True)
class CreateSubscription:
    """The command."""

    key: RequestKey
    master_id: int
    account_id: int
    parameters: Parameters
    settings: CopySettings


async def create_subscription(
    engine: AsyncEngine,
    desk: Desk,
    accounts: Accounts,
    positions: Positions,
    command: CreateSubscription,
    *,
    now: datetime,
) -> Subscription:
    """The new subscription, active from the next opening trade on; where its settings say so, what its master has open
    is decided on at once.

    Raises what `check_parameters`, `check_settings`, `check_follower`, `check_stops`, `check_copying` and `check_sign`
    raise, NettingPositionsOpen, NotFound, SubscriptionExists or PercentSum; UpstreamUnavailable while figures are
    missing that copies of what is open need.
    """
    check_parameters(command.parameters)
    check_settings(command.settings)
    account = await accounts.account(command.key.label, command.account_id)
    if account.nets:
        await _check_flat(engine, positions, command.key.label, account)
    if command.settings.copy_open_positions:
        await prepare_copies(engine, desk, command.key.label, command.master_id, account.account_id, now=now)
    async with transaction(engine) as tx:
        if (stored := await claim_request(tx, command.key, Subscription, now=now)) is not None:
            return stored
        master = await load_master(tx, command.key.label, command.master_id, lock="update")
        await lock_account(tx, command.key.label, account.account_id)
        other_types = await load_account_types(tx, command.key.label, account.account_id, master.master_id)
        check_follower(master, account, other_types)
        check_stops(bool(account.nets), command.settings)
        check_copying(master, command.settings)
        subscription = _new(command, account, now)
        check_sign(master, subscription)
        subscription = replace(subscription, subscription_id=await insert_subscription(tx, subscription))
        await check_sums(tx, master)
        await next_set_version(tx, master.master_id, active_change=1)
        if command.settings.copy_open_positions:
            master = await load_master(tx, command.key.label, command.master_id)
            await copy_open_positions(tx, desk, master, subscription, now=now)
        await store_answer(tx, command.key, subscription)
        return subscription


def _new(command: CreateSubscription, account: Account, now: datetime) -> Subscription:
    return Subscription(
        subscription_id=0,
        label=command.key.label,
        master_id=command.master_id,
        account_id=account.account_id,
        account_login=account.login,
        wallet_account_id=account.wallet_account_id,
        active=True,
        parameters=command.parameters,
        settings=command.settings,
        state=SubscriptionState.RUNNING,
        end_time=None,
        version=1,
        create_time=now,
        nets=bool(account.nets),
    )


async def _check_flat(engine: AsyncEngine, positions: Positions, label: int, account: Account) -> None:
    """A netting account begins with nothing open: from then on its deals tell what is a child's. Raises as
    `require_flat`.
    """
    async with transaction(engine) as tx:
        if await load_netting_accounts(tx, label, [account.account_id]):
            return
    await require_flat(positions, label, account)
