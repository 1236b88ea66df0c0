"""Transfers of a label."""

from __future__ import annotations

from sqlalchemy.ext.asyncio import AsyncEngine

from apportion.platform_groups.domain.transfers import Transfer
from apportion.platform_groups.storage import transfers
from apportion.storage import transaction


async def list_transfers(
    engine: AsyncEngine, label: int, account_id: int, *, after_id: int, limit: int
) -> list[Transfer]:
    """By id; account 0: of all accounts."""
    async with transaction(engine) as tx:
        return await transfers.list_transfers(tx, label, account_id, after_id, limit)
