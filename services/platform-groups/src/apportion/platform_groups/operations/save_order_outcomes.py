"""What became of orders: rows and events in one transaction."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from sqlalchemy.ext.asyncio import AsyncEngine

from apportion.platform_groups.domain.orders import OrderOutcome
from apportion.platform_groups.operations.ports import NewId
from apportion.platform_groups.storage.events import append_orders_updated
from apportion.platform_groups.storage.orders import save_absences, save_outcomes
from apportion.storage import transaction


async def save_order_outcomes(
    engine: AsyncEngine,
    new_id: NewId,
    outcomes: Sequence[OrderOutcome],
    *,
    absent_order_ids: Sequence[int] = (),
    now: datetime,
) -> None:
    """An outcome holds only for the order as it was sent (same epoch): late answers to an older sending do nothing."""
    async with transaction(engine) as tx:
        if absent_order_ids:
            await save_absences(tx, absent_order_ids)
        rows = await save_outcomes(tx, outcomes, now)
        await append_orders_updated(tx, rows, new_id, now)
