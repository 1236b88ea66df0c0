"""Let an investment account follow a master."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime

from sqlalchemy.ext.asyncio import AsyncEngine

from apportion.allocation.domain.accounts import Account
from apportion.allocation.domain.subscriptions import Subscription, check_follower, check_parameters
from apportion.allocation.operations.ports import Accounts
from apportion.allocation.storage.masters import load_master, next_set_version
from apportion.allocation.storage.subscriptions import insert_subscription, load_account_types
from apportion.storage import RequestKey, claim_request, store_answer, transaction


@dataclass(frozen=True, slots=True)
class CreateSubscription:
    """The command."""

    key: RequestKey
    master_id: int
    account_id: int
    ratio_e8: int
    lot_e8: int
    percent_e8: int
    round_up_to_min: bool


async def create_subscription(
    engine: AsyncEngine, accounts: Accounts, command: CreateSubscription, *, now: datetime
) -> Subscription:
    """The new subscription, active from the next opening trade on.

    Raises what `check_parameters` and `check_follower` raise, NotFound or SubscriptionExists.
    """
    check_parameters(command.ratio_e8, command.lot_e8, command.percent_e8)
    account = await accounts.account(command.key.label, command.account_id)
    async with transaction(engine) as tx:
        if (stored := await claim_request(tx, command.key, Subscription, now=now)) is not None:
            return stored
        master = await load_master(tx, command.key.label, command.master_id, lock="update")
        other_types = await load_account_types(tx, command.key.label, account.account_id, master.master_id)
        check_follower(master, account, other_types)
        subscription = _new(command, account, now)
        subscription = replace(subscription, subscription_id=await insert_subscription(tx, subscription))
        await next_set_version(tx, master.master_id, active_change=1)
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
        ratio_e8=command.ratio_e8,
        lot_e8=command.lot_e8,
        percent_e8=command.percent_e8,
        round_up_to_min=command.round_up_to_min,
        version=1,
        create_time=now,
    )
