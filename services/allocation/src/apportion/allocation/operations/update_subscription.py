"""Change the parameters, the settings or the activity of a subscription."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from sqlalchemy.ext.asyncio import AsyncEngine

from apportion.allocation.domain.subscriptions import Subscription, SubscriptionChange
from apportion.allocation.operations.change_subscriptions import change_subscriptions
from apportion.allocation.storage.masters import load_master
from apportion.allocation.storage.subscriptions import load_subscription
from apportion.storage import RequestKey, claim_request, store_answer, transaction


@dataclass(frozen=True, slots=True)
class UpdateSubscription:
    """The command."""

    key: RequestKey
    subscription_id: int
    change: SubscriptionChange


async def update_subscription(engine: AsyncEngine, command: UpdateSubscription, *, now: datetime) -> Subscription:
    """The changed subscription; concerns later opens only. Raises NotFound and what `change_subscriptions` raises."""
    async with transaction(engine) as tx:
        if (stored := await claim_request(tx, command.key, Subscription, now=now)) is not None:
            return stored
        # The master first, as everywhere: its lock orders changes and decisions.
        master_id = (await load_subscription(tx, command.key.label, command.subscription_id)).master_id
        master = await load_master(tx, command.key.label, master_id, lock="update")
        [after], _ = await change_subscriptions(tx, master, {command.subscription_id: command.change})
        await store_answer(tx, command.key, after)
        return after
