"""Compute the figures of the leaderboard anew, of masters where something has changed."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Sequence
from datetime import datetime

from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from apportion.allocation.domain.closed_trades import ClosedTrades
from apportion.allocation.domain.equity_days import EquityDays
from apportion.allocation.domain.leaderboard import DAY_COUNTS, LeaderboardFigures, ListedMaster
from apportion.allocation.domain.statistics import statistics_of
from apportion.allocation.operations.load_closed_trades import load_closed_trades
from apportion.allocation.operations.load_equity_days import load_equity_days
from apportion.allocation.storage.leaderboard import list_listed, save_figures, save_followers_equities, save_inputs
from apportion.storage import transaction
from apportion.storage.leases import Lease, check_fence

BATCH = 50
"""Masters of one transaction: few enough that each statement over all their days ends in time."""

STATEMENT_FOLLOWERS = 100_000
"""Those whose equities one statement sums up: a second or two on a busy database."""


async def refresh_leaderboard(engine: AsyncEngine, lease: Lease, *, now: datetime) -> None:
    """Of all masters of all labels that may be seen, a batch in each transaction. Raises StaleEpoch.

    A master is computed again when its newest equity, its newest day or its deals are others. Its deals are read again
    when there are new ones, and once a day.
    """
    last = 0
    while True:
        async with transaction(engine) as tx:
            masters = await list_listed(tx, after=last, limit=BATCH)
            if not masters:
                return
            changed = [master for master in masters if master.is_changed]
            days = await load_equity_days(tx, [master.scope for master in changed])
            trades = await _trades(tx, changed)
            figures: list[LeaderboardFigures] = []
            for master, of_days, of_trades in zip(changed, days, trades, strict=True):
                figures += _figures(master.master_id, of_days, of_trades)
                await asyncio.sleep(0)  # others have their turn
            await check_fence(tx, lease)
            if changed:
                await save_figures(tx, figures, now=now)
                await save_inputs(tx, list(zip(changed, trades, strict=True)))
            for group in _by_followers(masters):
                await save_followers_equities(tx, group)
        last = masters[-1].master_id


def _by_followers(masters: Sequence[ListedMaster]) -> Iterator[list[int]]:
    """Masters' ids in groups that have so many followers together; who has more stands alone."""
    group: list[int] = []
    count = 0
    for master in masters:
        count += master.active_subscription_count
        if group and count > STATEMENT_FOLLOWERS:
            yield group
            group, count = [], master.active_subscription_count
        group.append(master.master_id)
    yield group


async def _trades(tx: AsyncConnection, masters: Sequence[ListedMaster]) -> list[ClosedTrades]:
    """Of each master; those that are at hand are not read again."""
    read = iter(await load_closed_trades(tx, [master.scope for master in masters if master.closed_trades is None]))
    return [next(read) if master.closed_trades is None else master.closed_trades for master in masters]


def _figures(master_id: int, days: EquityDays, trades: ClosedTrades) -> list[LeaderboardFigures]:
    """One row for each span; the spans end with the newest day."""
    first, last = (int(days.server_days[0]), int(days.server_days[-1])) if days.server_days.size else (0, -1)
    rows = []
    for day_count in DAY_COUNTS:
        start = last - day_count + 1 if day_count else first
        statistics = statistics_of(days.between(start, last), trades.between(start, last))
        rows.append(LeaderboardFigures(master_id, day_count, last - first + 1, statistics))
    return rows
