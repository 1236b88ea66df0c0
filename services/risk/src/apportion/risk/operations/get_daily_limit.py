"""Read the daily limit of a master, with its live equity."""

from __future__ import annotations

from sqlalchemy.ext.asyncio import AsyncEngine

from apportion.errors import NotFound
from apportion.risk.domain.limits import DailyLimit
from apportion.risk.operations.list_daily_limits import last_equities
from apportion.risk.operations.ports import AccountStatesSource
from apportion.risk.storage.limits import load_limit
from apportion.storage import transaction


async def get_daily_limit(
    engine: AsyncEngine, states: AccountStatesSource, label: int, master_id: int
) -> tuple[DailyLimit, int]:
    """The limit and the newest equity of the account (0 while unknown). Raises NotFound."""
    async with transaction(engine) as tx:
        limit = await load_limit(tx, label, master_id)
    if limit is None:
        raise NotFound("daily limit of master", master_id)
    return limit, (await last_equities(states, [limit]))[0]
