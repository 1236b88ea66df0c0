"""The equity of a master or a subscription, day by day."""

from __future__ import annotations

from sqlalchemy.ext.asyncio import AsyncEngine

from apportion.allocation.domain.equity_days import EquityDays
from apportion.allocation.operations.find_scope import Owner, find_scope
from apportion.allocation.operations.load_equity_days import load_equity_days
from apportion.storage import transaction


async def get_equity_curve(
    engine: AsyncEngine, label: int, owner: Owner, *, first_day: int, last_day: int, limit: int
) -> EquityDays:
    """The newest `limit` days from the first to the last, both included. Raises NotFound."""
    async with transaction(engine) as tx:
        [days] = await load_equity_days(tx, [await find_scope(tx, label, owner)])
    days = days.between(first_day, last_day)
    if days.server_days.size > limit:
        days = days.between(int(days.server_days[-limit]), last_day)
    return days
