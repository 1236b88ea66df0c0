"""Orders of one source."""

from __future__ import annotations

from typing import Any

from sqlalchemy.ext.asyncio import AsyncEngine

from apportion.platform_groups.storage.orders import list_by_source
from apportion.storage import transaction


async def list_orders(engine: AsyncEngine, label: int, source_id: str, *, after_item_id: int, limit: int) -> list[Any]:
    """Result rows, by item id."""
    async with transaction(engine) as tx:
        return await list_by_source(tx, label, source_id, after_item_id, limit)
