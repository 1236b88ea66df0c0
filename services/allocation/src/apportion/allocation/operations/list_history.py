"""List deals of a master's or a subscription's account."""

from __future__ import annotations

from sqlalchemy.ext.asyncio import AsyncEngine

from apportion.allocation.domain.history import HistoryFilter, HistoryRow
from apportion.allocation.operations.find_scope import Owner, find_scope
from apportion.allocation.storage.account_deals import DealPlace
from apportion.allocation.storage.account_deals import list_history as load_page
from apportion.storage import transaction


async def list_history(
    engine: AsyncEngine, label: int, owner: Owner, wanted: HistoryFilter, *, before: DealPlace, limit: int
) -> list[HistoryRow]:
    """Newest first, those before a place. Raises NotFound."""
    async with transaction(engine) as tx:
        scope = await find_scope(tx, label, owner)
        return await load_page(tx, label, scope, wanted, before=before, limit=limit)
