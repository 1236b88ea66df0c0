"""Read one master."""

from __future__ import annotations

from sqlalchemy.ext.asyncio import AsyncEngine

from apportion.allocation.domain.masters import Master
from apportion.allocation.storage.masters import load_master
from apportion.storage import transaction


async def get_master(engine: AsyncEngine, label: int, master_id: int) -> Master:
    """Raises NotFound."""
    async with transaction(engine) as tx:
        return await load_master(tx, label, master_id)
