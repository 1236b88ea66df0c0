"""List calculations and what became of their charges."""

from __future__ import annotations

from sqlalchemy.ext.asyncio import AsyncEngine

from apportion.fees.domain.calculation import Calculation, CalculationFilter
from apportion.fees.storage.calculations import list_calculations as load_page
from apportion.storage import transaction


async def list_calculations(
    engine: AsyncEngine, wanted: CalculationFilter, *, before: int, limit: int
) -> tuple[list[Calculation], int | None]:
    """A page, newest first, and the id before which the next page starts (None: the last page)."""
    async with transaction(engine) as tx:
        page = await load_page(tx, wanted, before=before, limit=limit + 1)
    return page[:limit], page[limit - 1].calculation_id if len(page) > limit else None
