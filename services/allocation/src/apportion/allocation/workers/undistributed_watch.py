"""Shows money of pooled masters that belongs to nobody."""

from __future__ import annotations

import asyncio
from datetime import timedelta

from prometheus_client import Gauge
from sqlalchemy.ext.asyncio import AsyncEngine

from apportion.allocation.storage.distributions import sum_undistributed
from apportion.runtime import Clock
from apportion.storage import transaction

PAUSE_SECONDS = 15.0
SPAN = timedelta(days=1)
NAMES = ("label", "currency", "reason")
UNDISTRIBUTED_MINOR = Gauge(
    "apportion_allocation_undistributed_minor",
    "Money of pooled masters' deals of the last day that belongs to nobody: sum of magnitudes in minor units.",
    NAMES,
)
UNDISTRIBUTED_COUNT = Gauge("apportion_allocation_undistributed_deals", "Deals with such money.", NAMES)


class UndistributedWatch:
    """Shows what of the money of recent deals belongs to nobody."""

    def __init__(self, engine: AsyncEngine, clock: Clock) -> None:
        self._engine = engine
        self._clock = clock
        self._shown: set[tuple[str, str, str]] = set()

    async def run(self) -> None:
        while True:
            await self.measure()
            await asyncio.sleep(PAUSE_SECONDS)

    async def measure(self) -> None:
        async with transaction(self._engine) as tx:
            sums = await sum_undistributed(tx, self._clock.now() - SPAN)
        found = {(str(row.label), row.currency_code, row.reason): row for row in sums}
        for names, row in found.items():
            UNDISTRIBUTED_MINOR.labels(*names).set(row.amount_minor)
            UNDISTRIBUTED_COUNT.labels(*names).set(row.deal_count)
        for names in self._shown - set(found):
            UNDISTRIBUTED_MINOR.remove(*names)
            UNDISTRIBUTED_COUNT.remove(*names)
        self._shown = set(found)
