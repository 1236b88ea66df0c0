"""List child trades."""

from __future__ import annotations

from sqlalchemy.ext.asyncio import AsyncEngine

from apportion.allocation.domain.child_trades import ChildTrade
from apportion.allocation.storage.child_trades import list_child_trades as load_page
from apportion.storage import transaction


async def list_child_trades(
    engine: AsyncEngine,
    label: int,
    *,
    master_id: int,
    allocation_id: int,
    subscription_id: int,
    only_open: bool,
    before: int,
    limit: int,
) -> list[ChildTrade]:
    """Newest first, those with an id below `before`."""
    async with transaction(engine) as tx:
        return await load_page(
            tx,
            label,
            master_id=master_id,
            allocation_id=allocation_id,
            subscription_id=subscription_id,
            only_open=only_open,
            before=before,
            limit=limit,
        )
