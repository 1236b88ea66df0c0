"""Change the allocation parameters of a subscription."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from sqlalchemy.ext.asyncio import AsyncEngine

from apportion.allocation.domain.subscriptions import Subscription, SubscriptionChange, changed
from apportion.allocation.storage.masters import load_master, next_set_version
from apportion.allocation.storage.subscriptions import load_subscription, save_subscription
from apportion.storage import RequestKey, claim_request, store_answer, transaction


@dataclass(frozen=True, slots=True)
class UpdateSubscription:
    """The command. An empty etag changes the subscription whatever it is now."""

    key: RequestKey
    subscription_id: int
    change: SubscriptionChange
    etag: str


async def update_subscription(engine: AsyncEngine, command: UpdateSubscription, *, now: datetime) -> Subscription:
    """The changed subscription; concerns later opens only. Raises NotFound, VersionConflict, RatioRange."""
    async with transaction(engine) as tx:
        if (stored := await claim_request(tx, command.key, Subscription, now=now)) is not None:
            return stored
        before = await load_subscription(tx, command.key.label, command.subscription_id)
        # The master first, as everywhere: its lock orders changes and decisions.
        await load_master(tx, command.key.label, before.master_id, lock="update")
        before = await load_subscription(tx, command.key.label, command.subscription_id, for_update=True)
        after = changed(before, command.change, command.etag)
        if after is not before:
            await save_subscription(tx, after)
            await next_set_version(tx, after.master_id, active_change=int(after.active) - int(before.active))
        await store_answer(tx, command.key, after)
        return after
