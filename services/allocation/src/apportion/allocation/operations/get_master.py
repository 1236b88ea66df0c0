"""Read one master."""

from __future__ import annotations

from sqlalchemy.ext.asyncio import AsyncEngine

from apportion.allocation.domain.masters import Master
from apportion.allocation.storage.masters import read_master


async def get_master(engine: AsyncEngine, label: int, master_id: int) -> Master:
    """Raises NotFound."""
    return await read_master(engine, label, master_id)
