"""List subscriptions."""

from __future__ import annotations

from sqlalchemy.ext.asyncio import AsyncEngine

from apportion.allocation.domain.subscriptions import Subscription, SubscriptionFilter
from apportion.allocation.storage.subscriptions import list_subscriptions as load_page
from apportion.storage import transaction


async def list_subscriptions(
    engine: AsyncEngine, label: int, wanted: SubscriptionFilter, *, after: int, limit: int
) -> list[Subscription]:
    """In id order, those with an id above `after`."""
    async with transaction(engine) as tx:
        return await load_page(tx, label, wanted, after=after, limit=limit)
