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
) -> tuple[list[Subscription], int | None]:
    """A page in id order, and the id after which the next page starts (None: the last page)."""
    async with transaction(engine) as tx:
        page = await load_page(
            tx,
            label,
            master_id=master_id,
            wallet_account_id=wallet_account_id,
            with_ended=with_ended,
            after=after,
            limit=limit + 1,
        )
    return page[:limit], page[limit - 1].subscription_id if len(page) > limit else None
