"""List masters."""

from __future__ import annotations

from sqlalchemy.ext.asyncio import AsyncEngine

from apportion.allocation.domain.masters import Master
from apportion.allocation.storage.masters import list_masters as load_page
from apportion.storage import transaction


async def list_masters(
    engine: AsyncEngine, label: int, *, only_listed: bool, wallet_account_id: int, after: int, limit: int
) -> tuple[list[Master], int | None]:
    """A page in id order, and the id after which the next page starts (None: the last page)."""
    async with transaction(engine) as tx:
        page = await load_page(
            tx, label, only_listed=only_listed, wallet_account_id=wallet_account_id, after=after, limit=limit + 1
        )
    return page[:limit], page[limit - 1].master_id if len(page) > limit else None
