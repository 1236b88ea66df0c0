"""List allocations."""

from __future__ import annotations

from sqlalchemy.ext.asyncio import AsyncEngine

from apportion.allocation.domain.allocations import Allocation
from apportion.allocation.domain.reasons import SkipReason
from apportion.allocation.storage.allocations import list_allocations as load_page
from apportion.storage import transaction


async def list_allocations(
    engine: AsyncEngine,
    label: int,
    *,
    master_id: int,
    with_follow_ups: bool,
    skip_reason: SkipReason = SkipReason.NONE,
    only_unallocated: bool = False,
    before: int,
    limit: int,
) -> list[Allocation]:
    """Newest first, those with an id below `before`; of a skip reason only those in which somebody has it."""
    async with transaction(engine) as tx:
        return await load_page(
            tx,
            label,
            master_id=master_id,
            with_follow_ups=with_follow_ups,
            skip_reason=skip_reason,
            only_unallocated=only_unallocated,
            before=before,
            limit=limit,
        )
