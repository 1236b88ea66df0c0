"""List daily limits with their live equities."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from sqlalchemy.ext.asyncio import AsyncEngine

from apportion.risk.domain.limits import DailyLimit
from apportion.risk.domain.snapshots import Snapshot
from apportion.risk.operations.ports import AccountStatesSource
from apportion.risk.storage.limits import list_limits
from apportion.storage import transaction


async def list_daily_limits(
    engine: AsyncEngine, states: AccountStatesSource, label: int, *, after: int, limit: int
) -> list[tuple[DailyLimit, int]]:
    """(limit, equity) in master order, those of masters with an id above `after`."""
    async with transaction(engine) as tx:
        limits = await list_limits(tx, label, after=after, limit=limit)
    return list(zip(limits, await last_equities(states, limits), strict=True))


async def last_equities(states: AccountStatesSource, limits: Sequence[DailyLimit]) -> list[int]:
    """The newest equity of each limit's account, 0 where none is known. One look at each server, all at once."""
    servers = sorted({(limit.label, limit.trading_server_id) for limit in limits})
    newest = await asyncio.gather(*(states.newest(label, server) for label, server in servers))
    snapshots = dict(zip(servers, newest, strict=True))
    return [_equity(snapshots[limit.label, limit.trading_server_id], limit.account_id) for limit in limits]


def _equity(snapshot: Snapshot | None, account_id: int) -> int:
    return 0 if snapshot is None else snapshot.equity_minor(account_id) or 0
