"""List masters."""

from __future__ import annotations

from sqlalchemy.ext.asyncio import AsyncEngine

from apportion.allocation.domain.masters import Master, MasterFilter
from apportion.allocation.storage.masters import list_masters as load_page
from apportion.storage import transaction


async def list_masters(
    engine: AsyncEngine, label: int, wanted: MasterFilter, *, after: int, limit: int
) -> list[Master]:
    """In id order, those with an id above `after`."""
    async with transaction(engine) as tx:
        return await load_page(tx, label, wanted, after=after, limit=limit)
