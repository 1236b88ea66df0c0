"""Read one subscription."""

from __future__ import annotations

from sqlalchemy.ext.asyncio import AsyncEngine

from apportion.allocation.domain.subscriptions import Subscription
from apportion.allocation.storage.subscriptions import load_subscription
from apportion.storage import transaction


async def get_subscription(engine: AsyncEngine, label: int, subscription_id: int) -> Subscription:
    """Raises NotFound."""
    async with transaction(engine) as tx:
        return await load_subscription(tx, label, subscription_id)
