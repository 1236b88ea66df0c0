"""Whose history is asked for."""

from __future__ import annotations

from dataclasses import dataclass

from sqlalchemy.ext.asyncio import AsyncConnection

from apportion.allocation.domain.history import HistoryScope
from apportion.allocation.storage.masters import load_master
from apportion.allocation.storage.subscriptions import load_subscription


@dataclass(frozen=True, slots=True)
class Owner:
    """A master or a subscription: the other id is 0."""

    master_id: int = 0
    subscription_id: int = 0


async def find_scope(tx: AsyncConnection, label: int, owner: Owner) -> HistoryScope:
    """Raises NotFound."""
    if owner.master_id:
        master = await load_master(tx, label, owner.master_id)
        return HistoryScope(master.account_id, master.currency_code)
    subscription = await load_subscription(tx, label, owner.subscription_id)
    master = await load_master(tx, label, subscription.master_id)
    return HistoryScope(
        subscription.account_id,
        master.currency_code,
        subscription.subscription_id,
        subscription.create_time,
        subscription.end_time,
    )
