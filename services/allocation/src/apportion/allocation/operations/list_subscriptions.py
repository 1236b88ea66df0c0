"""List subscriptions."""

from __future__ import annotations

from sqlalchemy.ext.asyncio import AsyncEngine

from apportion.allocation.domain.subscriptions import Subscription
from apportion.allocation.storage.subscriptions import list_subscriptions as load_page
from apportion.storage import transaction


async def list_subscriptions(
    engine: AsyncEngine,
    label: int,
    *,
    master_id: int,
    wallet_account_id: int,
    with_ended: bool,
    after: int,
    limit: int,
) -> list[Subscription]:
    """In id order, those with an id above `after`."""
    async with transaction(engine) as tx:
        return await load_page(
            tx,
            label,
            master_id=master_id,
            wallet_account_id=wallet_account_id,
            with_ended=with_ended,
            after=after,
            limit=limit,
        )
