"""List allocations."""

from __future__ import annotations

from sqlalchemy.ext.asyncio import AsyncEngine

from apportion.allocation.domain.allocations import Allocation, AllocationFilter
from apportion.allocation.storage.allocations import list_allocations as load_page
from apportion.storage import transaction


async def list_allocations(
    engine: AsyncEngine, label: int, wanted: AllocationFilter, *, before: int, limit: int
) -> list[Allocation]:
    """Newest first, those with an id below `before`."""
    async with transaction(engine) as tx:
        return await load_page(tx, label, wanted, before=before, limit=limit)
