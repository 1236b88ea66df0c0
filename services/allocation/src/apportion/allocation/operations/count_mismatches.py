"""Count what does not add up on a trading server."""

from __future__ import annotations

from sqlalchemy.ext.asyncio import AsyncEngine

from apportion.allocation.storage.mismatch_counts import count_alarming
from apportion.storage import transaction


async def count_mismatches(engine: AsyncEngine, label: int, trading_server_id: int) -> dict[str, int]:
    """Rows with a mismatch that is not normal: master trades, child trades, positions opened by hand."""
    async with transaction(engine) as tx:
        return await count_alarming(tx, label, trading_server_id)
