"""List the fee terms in force."""

from __future__ import annotations

from sqlalchemy.ext.asyncio import AsyncEngine

from apportion.fees.domain.terms import Terms
from apportion.fees.storage.terms import list_terms as load_page
from apportion.storage import transaction


async def list_terms(engine: AsyncEngine, label: int, master_id: int, *, after: int, limit: int) -> list[Terms]:
    """In subscription order, those of subscriptions with an id above `after`."""
    async with transaction(engine) as tx:
        return await load_page(tx, label, master_id, after=after, limit=limit)
