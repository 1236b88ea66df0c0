"""What accounts had day by day, without what was paid in and out."""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy.ext.asyncio import AsyncConnection

from apportion.allocation.domain.equity_days import EquityDays, equity_days
from apportion.allocation.domain.history import HistoryScope
from apportion.allocation.domain.open_inputs import NO_COLUMN
from apportion.allocation.storage.account_deals import load_flows
from apportion.allocation.storage.equity_days import load_looks

NO_DAYS = EquityDays(0, NO_COLUMN, NO_COLUMN, NO_COLUMN, NO_COLUMN, NO_COLUMN)


async def load_equity_days(tx: AsyncConnection, scopes: Sequence[HistoryScope]) -> list[EquityDays]:
    """Of each scope, in two statements."""
    looks = await load_looks(tx, scopes)
    flows = await load_flows(tx, [scope.account_id for scope in scopes])
    return [
        NO_DAYS if seen is None else equity_days(seen, times_ms, flows_minor)
        for seen, (times_ms, flows_minor) in zip(looks, flows, strict=True)
    ]
