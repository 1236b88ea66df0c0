"""Platform groups of a label."""

from __future__ import annotations

from sqlalchemy.ext.asyncio import AsyncEngine

from apportion.platform_groups.domain.platform_groups import PlatformGroup
from apportion.platform_groups.storage.platform_groups import list_groups
from apportion.storage import transaction


async def list_platform_groups(
    engine: AsyncEngine, label: int, trading_server_id: int, *, after_id: int, limit: int
) -> list[PlatformGroup]:
    """By id; server 0: of all servers."""
    async with transaction(engine) as tx:
        return await list_groups(tx, label, trading_server_id, after_id, limit)
