"""One closing."""

from __future__ import annotations

from sqlalchemy.ext.asyncio import AsyncEngine

from apportion.platform_groups.domain.closings import Closing
from apportion.platform_groups.storage.closings import load_closing
from apportion.storage import transaction


async def get_closing(engine: AsyncEngine, label: int, closing_id: int) -> Closing:
    """Raises NotFound."""
    async with transaction(engine) as tx:
        return await load_closing(tx, label, closing_id)
