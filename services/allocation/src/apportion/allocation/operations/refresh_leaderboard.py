"""Compute the figures of the leaderboard anew."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime

from sqlalchemy.ext.asyncio import AsyncEngine

from apportion.allocation.domain.equity_days import EquityDays
from apportion.allocation.domain.leaderboard import DAY_COUNTS, LeaderboardFigures
from apportion.allocation.domain.statistics import ClosedTrades, statistics_of
from apportion.allocation.operations.load_equity_days import load_equity_days
from apportion.allocation.storage.account_deals import load_closed_trades
from apportion.allocation.storage.leaderboard import list_listed, load_followers_equities, save_figures
from apportion.storage import transaction
from apportion.storage.leases import Lease, check_fence

BATCH = 20
"""Few enough that a statement over all their deals ends in time."""


async def refresh_leaderboard(engine: AsyncEngine, lease: Lease, *, now: datetime) -> None:
    """Of all masters of all labels that may be seen, a batch in each transaction. Raises StaleEpoch."""
    last = 0
    while True:
        async with transaction(engine) as tx:
            scopes = await list_listed(tx, after=last, limit=BATCH)
            if not scopes:
                return
            days = await load_equity_days(tx, list(scopes.values()))
            trades = await load_closed_trades(tx, list(scopes.values()))
            equities = await load_followers_equities(tx, list(scopes))
            figures = [
                row
                for master_id, of_days, of_trades in zip(scopes, days, trades, strict=True)
                for row in _figures(master_id, of_days, of_trades, equities.get(master_id, 0))
            ]
            await check_fence(tx, lease)
            await save_figures(tx, figures, now=now)
        last = max(scopes)


def _figures(
    master_id: int, days: EquityDays, trades: ClosedTrades, followers_equity_minor: int
) -> Iterator[LeaderboardFigures]:
    """One row for each span; the spans end with the newest day."""
    first, last = (int(days.server_days[0]), int(days.server_days[-1])) if days.server_days.size else (0, -1)
    for day_count in DAY_COUNTS:
        start = last - day_count + 1 if day_count else first
        statistics = statistics_of(days.between(start, last), trades.between(start, last))
        yield LeaderboardFigures(master_id, day_count, last - first + 1, followers_equity_minor, statistics)
