"""How a master or a subscription has done."""

from __future__ import annotations

from sqlalchemy.ext.asyncio import AsyncEngine

from apportion.allocation.domain.statistics import Statistics, statistics_of
from apportion.allocation.operations.find_scope import Owner, find_scope
from apportion.allocation.operations.load_closed_trades import load_closed_trades
from apportion.allocation.operations.load_equity_days import load_equity_days
from apportion.storage import transaction


async def get_statistics(
    engine: AsyncEngine, label: int, owner: Owner, *, first_day: int, last_day: int
) -> tuple[Statistics, str]:
    """Of the server days from the first to the last, both included, and the currency. Raises NotFound."""
    async with transaction(engine) as tx:
        scope = await find_scope(tx, label, owner)
        [days] = await load_equity_days(tx, [scope])
        [trades] = await load_closed_trades(tx, [scope])
    statistics = statistics_of(days.between(first_day, last_day), trades.between(first_day, last_day))
    return statistics, scope.currency_code
