"""List masters."""

from __future__ import annotations

from sqlalchemy.ext.asyncio import AsyncEngine

from apportion.allocation.domain.masters import Master
from apportion.allocation.storage.masters import list_masters as load_page
from apportion.storage import transaction


async def list_masters(
    engine: AsyncEngine, label: int, *, only_listed: bool, wallet_account_id: int, after: int, limit: int
) -> list[Master]:
    """In id order, those with an id above `after`."""
    async with transaction(engine) as tx:
        return await load_page(
            tx, label, only_listed=only_listed, wallet_account_id=wallet_account_id, after=after, limit=limit
        )
