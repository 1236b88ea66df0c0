"""What became of orders: rows and events in one transaction."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from sqlalchemy.ext.asyncio import AsyncEngine

from apportion.platform_groups.domain.orders import OrderOutcome, UnknownOrder
from apportion.platform_groups.operations.ports import NewId
from apportion.platform_groups.storage.events import append_orders_updated
from apportion.platform_groups.storage.orders import save_absences, save_outcomes
from apportion.storage import transaction


async def save_order_outcomes(
    engine: AsyncEngine,
    new_id: NewId,
    outcomes: Sequence[OrderOutcome],
    *,
    absent: Sequence[UnknownOrder] = (),
    now: datetime,
) -> None:
    """An outcome holds only for the order as it was sent (same epoch and attempt): late ones of an older sending do
    nothing, nor do reports in which an older sending is `absent`."""
    async with transaction(engine) as tx:
        if absent:
            await save_absences(tx, absent)
        rows = await save_outcomes(tx, outcomes, now)
        await append_orders_updated(tx, rows, new_id, now)
