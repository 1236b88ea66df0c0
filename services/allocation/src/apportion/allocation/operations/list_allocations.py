"""List allocations."""

from __future__ import annotations

from sqlalchemy.ext.asyncio import AsyncEngine

from apportion.allocation.domain.allocations import Allocation
from apportion.allocation.storage.allocations import list_allocations as load_page
from apportion.storage import transaction


async def list_allocations(
    engine: AsyncEngine, label: int, *, master_id: int, with_follow_ups: bool, before: int, limit: int
) -> tuple[list[Allocation], int | None]:
    """A page, newest first, and the id before which the next page starts (None: the last page)."""
    async with transaction(engine) as tx:
        page = await load_page(
            tx, label, master_id=master_id, with_follow_ups=with_follow_ups, before=before, limit=limit + 1
        )
    return page[:limit], page[limit - 1].allocation_id if len(page) > limit else None
