"""List child trades."""

from __future__ import annotations

from sqlalchemy.ext.asyncio import AsyncEngine

from apportion.allocation.domain.child_listing import ChildPlace, ChildTradeFilter, ChildTradeRow
from apportion.allocation.storage.child_listing import list_child_trades as load_page
from apportion.storage import transaction


async def list_child_trades(
    engine: AsyncEngine, label: int, wanted: ChildTradeFilter, *, behind: ChildPlace, limit: int
) -> list[ChildTradeRow]:
    """Those behind a place, in the order of the list: newest first, or in groups."""
    async with transaction(engine) as tx:
        return await load_page(tx, label, wanted, behind=behind, limit=limit)
