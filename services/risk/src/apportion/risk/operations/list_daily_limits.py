"""List daily limits with their live equities."""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy.ext.asyncio import AsyncEngine

from apportion.risk.domain.limits import DailyLimit
from apportion.risk.domain.watch import Snapshot
from apportion.risk.operations.ports import Weather
from apportion.risk.storage.limits import list_limits
from apportion.storage import transaction


async def list_daily_limits(
    engine: AsyncEngine, weather: Weather, label: int, *, after: int, limit: int
) -> tuple[list[tuple[DailyLimit, int]], int | None]:
    """A page of (limit, equity) in master order, and the master after which the next page starts (None: the last)."""
    async with transaction(engine) as tx:
        page = await list_limits(tx, label, after=after, limit=limit + 1)
    shown = page[:limit]
    rows = list(zip(shown, await last_equities(weather, shown), strict=True))
    return rows, shown[-1].master_id if len(page) > limit else None


async def last_equities(weather: Weather, limits: Sequence[DailyLimit]) -> list[int]:
    """The newest equity of each limit's account, 0 where none is known. One look at each server."""
    servers = {limit.trading_server_id for limit in limits}
    snapshots = {server: await weather.snapshot(server) for server in servers}
    return [_equity(snapshots[limit.trading_server_id], limit.account_id) for limit in limits]


def _equity(snapshot: Snapshot | None, account_id: int) -> int:
    if snapshot is None:
        return 0
    found = snapshot.equities_minor[snapshot.account_ids == account_id]
    return int(found[0]) if found.size else 0
