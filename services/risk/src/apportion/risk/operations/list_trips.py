"""List trips."""

from __future__ import annotations

from sqlalchemy.ext.asyncio import AsyncEngine

from apportion.risk.domain.trips import Trip
from apportion.risk.storage.trips import list_trips as load_page
from apportion.storage import transaction


async def list_trips(engine: AsyncEngine, label: int, master_id: int, *, before: int, limit: int) -> list[Trip]:
    """Newest first, those with an id below `before`."""
    async with transaction(engine) as tx:
        return await load_page(tx, label, master_id, before=before, limit=limit)
