"""List the masters that may be seen, the best first."""

from __future__ import annotations

from sqlalchemy.ext.asyncio import AsyncEngine

from apportion.allocation.domain.leaderboard import LeaderboardFilter, LeaderboardOrder, LeaderboardRow
from apportion.allocation.storage.leaderboard import list_leaderboard as load_page
from apportion.storage import transaction


async def list_leaderboard(
    engine: AsyncEngine,
    label: int,
    order: LeaderboardOrder,
    wanted: LeaderboardFilter,
    *,
    after: tuple[int, int],
    limit: int,
) -> list[LeaderboardRow]:
    """Those behind (sort key, master id)."""
    async with transaction(engine) as tx:
        return await load_page(tx, label, order, wanted, after=after, limit=limit)
