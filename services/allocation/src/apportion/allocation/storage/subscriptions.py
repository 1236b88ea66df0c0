"""Subscriptions."""

from __future__ import annotations

from sqlalchemy import insert, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from apportion.allocation.domain.methods import AccountType
from apportion.allocation.domain.subscriptions import Subscription
from apportion.allocation.errors import SubscriptionExists
from apportion.allocation.storage import tables
from apportion.errors import NotFound
from apportion.storage import constraint_errors

ROWS = tables.subscriptions
CHANGEABLE = ("active", "ratio_e8", "lot_e8", "percent_e8", "round_up_to_min", "version")


async def insert_subscription(tx: AsyncConnection, subscription: Subscription) -> int:
    """The new id. Raises SubscriptionExists."""
    exists = SubscriptionExists(master_id=subscription.master_id, account_id=subscription.account_id)
    values = {c.name: getattr(subscription, c.name) for c in ROWS.columns if c.name != "subscription_id"}
    with constraint_errors({"subscriptions_account_key": exists}):
        result = await tx.execute(insert(ROWS).values(values).returning(ROWS.c.subscription_id))
    subscription_id: int = result.scalar_one()
    return subscription_id


async def load_subscription(
    tx: AsyncConnection, label: int, subscription_id: int, *, for_update: bool = False
) -> Subscription:
    """Raises NotFound."""
    query = select(ROWS).where(ROWS.c.label == label, ROWS.c.subscription_id == subscription_id)
    row = (await tx.execute(query.with_for_update() if for_update else query)).one_or_none()
    if row is None:
        raise NotFound("subscription", subscription_id)
    return Subscription(**row._mapping)


async def load_account_types(
    tx: AsyncConnection, label: int, account_id: int, except_master_id: int
) -> set[AccountType]:
    """The account types of the other masters that an account follows."""
    query = (
        select(tables.masters.c.account_type)
        .join(ROWS, ROWS.c.master_id == tables.masters.c.master_id)
        .where(ROWS.c.label == label, ROWS.c.account_id == account_id, ROWS.c.master_id != except_master_id)
    )
    return {AccountType(row.account_type) for row in await tx.execute(query)}


async def list_subscriptions(
    tx: AsyncConnection, label: int, *, master_id: int, wallet_account_id: int, after: int, limit: int
) -> list[Subscription]:
    """In the order of their ids, from the one behind `after`; 0: of all masters, of all investors."""
    query = select(ROWS).where(ROWS.c.label == label, ROWS.c.subscription_id > after)
    if master_id:
        query = query.where(ROWS.c.master_id == master_id)
    if wallet_account_id:
        query = query.where(ROWS.c.wallet_account_id == wallet_account_id)
    result = await tx.execute(query.order_by(ROWS.c.subscription_id).limit(limit))
    return [Subscription(**row._mapping) for row in result]


async def save_subscription(tx: AsyncConnection, subscription: Subscription) -> None:
    """Writes what may change of a subscription that was loaded for update."""
    values = {name: getattr(subscription, name) for name in CHANGEABLE}
    await tx.execute(update(ROWS).where(ROWS.c.subscription_id == subscription.subscription_id).values(values))
