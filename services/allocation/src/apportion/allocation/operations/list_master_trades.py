"""List masters' positions, as they should be and as they are."""

from __future__ import annotations

from sqlalchemy.ext.asyncio import AsyncEngine

from apportion.allocation.domain.master_trades import MasterTradeFilter, MasterTradeRow
from apportion.allocation.storage.master_trades import list_master_trades as load_page
from apportion.storage import transaction


async def list_master_trades(
    engine: AsyncEngine, label: int, wanted: MasterTradeFilter, *, before: int, limit: int
) -> list[MasterTradeRow]:
    """Newest first, those whose first opening has an id below `before`."""
    async with transaction(engine) as tx:
        return await load_page(tx, label, wanted, before=before, limit=limit)
