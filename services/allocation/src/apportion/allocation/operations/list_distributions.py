"""List distributions."""

from __future__ import annotations

from sqlalchemy.ext.asyncio import AsyncEngine

from apportion.allocation.domain.distributions import Distribution, DistributionFilter
from apportion.allocation.domain.payouts import UnpaidSum
from apportion.allocation.storage.distributions import list_distributions as load_page
from apportion.allocation.storage.payouts import sum_unpaid
from apportion.storage import transaction


async def list_distributions(
    engine: AsyncEngine, label: int, wanted: DistributionFilter, *, before: int, limit: int
) -> list[tuple[Distribution, UnpaidSum]]:
    """Newest first, those with an id below `before`, each with what of it is not booked."""
    async with transaction(engine) as tx:
        found = await load_page(tx, label, wanted, before=before, limit=limit)
        unpaid = await sum_unpaid(tx, label, [distribution.allocation_id for distribution in found])
    return [(distribution, unpaid.get(distribution.allocation_id, UnpaidSum())) for distribution in found]
