"""Read one trip with all its evidence."""

from __future__ import annotations

from sqlalchemy.ext.asyncio import AsyncEngine

from apportion.errors import NotFound
from apportion.risk.domain.trips import TripDetails
from apportion.risk.storage.trips import load_trip_details
from apportion.storage import transaction


async def get_trip(engine: AsyncEngine, label: int, trip_id: int) -> TripDetails:
    """Raises NotFound."""
    async with transaction(engine) as tx:
        details = await load_trip_details(tx, label, trip_id)
    if details is None:
        raise NotFound("trip", trip_id)
    return details
