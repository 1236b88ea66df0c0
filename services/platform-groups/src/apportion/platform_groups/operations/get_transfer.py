"""One transfer."""

from __future__ import annotations

from sqlalchemy.ext.asyncio import AsyncEngine

from apportion.platform_groups.domain.transfers import Transfer
from apportion.platform_groups.storage.transfers import load_transfer
from apportion.storage import transaction


async def get_transfer(engine: AsyncEngine, label: int, transfer_id: int) -> Transfer:
    """Raises NotFound."""
    async with transaction(engine) as tx:
        return await load_transfer(tx, label, transfer_id)
