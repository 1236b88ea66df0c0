"""List calculations and what became of their charges."""

from __future__ import annotations

from sqlalchemy.ext.asyncio import AsyncEngine

from apportion.fees.domain.calculation import Calculation, CalculationFilter
from apportion.fees.storage.calculations import list_calculations as load_page
from apportion.storage import transaction


async def list_calculations(
    engine: AsyncEngine, wanted: CalculationFilter, *, before: int, limit: int
) -> list[Calculation]:
    """Newest first, those with an id below `before`."""
    async with transaction(engine) as tx:
        return await load_page(tx, wanted, before=before, limit=limit)
