"""List the fee terms in force."""

from __future__ import annotations

from sqlalchemy.ext.asyncio import AsyncEngine

from apportion.fees.domain.terms import Terms
from apportion.fees.storage.terms import list_terms as load_page
from apportion.storage import transaction


async def list_terms(
    engine: AsyncEngine, label: int, master_id: int, *, after: int, limit: int
) -> tuple[list[Terms], int | None]:
    """A page in subscription order, and the subscription id after which the next page starts (None: the last page)."""
    async with transaction(engine) as tx:
        page = await load_page(tx, label, master_id, after=after, limit=limit + 1)
    return page[:limit], page[limit - 1].subscription_id if len(page) > limit else None
