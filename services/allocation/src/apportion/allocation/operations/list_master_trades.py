"""List masters' positions, as they should be and as they are."""

from __future__ import annotations

from sqlalchemy.ext.asyncio import AsyncEngine

from apportion.allocation.domain.master_trades import MasterTradeRow
from apportion.allocation.storage.master_trades import list_master_trades as load_page
from apportion.storage import transaction


async def list_master_trades(
    engine: AsyncEngine,
    label: int,
    *,
    master_id: int,
    with_closed: bool,
    only_mismatched: bool,
    before: int,
    limit: int,
) -> list[MasterTradeRow]:
    """Newest first, those whose first opening has an id below `before`."""
    async with transaction(engine) as tx:
        return await load_page(
            tx,
            label,
            master_id=master_id,
            with_closed=with_closed,
            only_mismatched=only_mismatched,
            before=before,
            limit=limit,
        )
