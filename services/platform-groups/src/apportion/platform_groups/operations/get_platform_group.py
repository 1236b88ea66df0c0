"""One platform group."""

from __future__ import annotations

from sqlalchemy.ext.asyncio import AsyncEngine

from apportion.platform_groups.domain.platform_groups import PlatformGroup
from apportion.platform_groups.storage.platform_groups import load_group
from apportion.storage import transaction


async def get_platform_group(engine: AsyncEngine, label: int, platform_group_id: int) -> PlatformGroup:
    """Raises NotFound."""
    async with transaction(engine) as tx:
        return await load_group(tx, label, platform_group_id)
