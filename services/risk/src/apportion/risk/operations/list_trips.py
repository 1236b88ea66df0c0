"""List trips."""

from __future__ import annotations

from sqlalchemy.ext.asyncio import AsyncEngine

from apportion.risk.domain.trips import Trip
from apportion.risk.storage.trips import list_trips as load_page
from apportion.storage import transaction


async def list_trips(
    engine: AsyncEngine, label: int, master_id: int, *, before: int, limit: int
) -> tuple[list[Trip], int | None]:
    """A page, newest first, and the id before which the next page starts (None: the last page)."""
    async with transaction(engine) as tx:
        page = await load_page(tx, label, master_id, before=before, limit=limit + 1)
    return page[:limit], page[limit - 1].trip_id if len(page) > limit else None
