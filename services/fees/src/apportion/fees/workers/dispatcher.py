"""The loop that keeps transfers moving: woken by new charges, and looking by itself now and then."""

from __future__ import annotations

import asyncio

from sqlalchemy.ext.asyncio import AsyncEngine

from apportion.fees.domain.charge import Backoff
from apportion.fees.operations.dispatch_transfers import dispatch_transfers
from apportion.fees.operations.ports import Transfers
from apportion.runtime import Clock


class Dispatcher:
    """Any number of workers may run one: each transfer is claimed by one of them at a time."""

    def __init__(
        self, engine: AsyncEngine, transfers: Transfers, clock: Clock, *, backoff: Backoff, pause_seconds: float
    ) -> None:
        self._engine = engine
        self._transfers = transfers
        self._clock = clock
        self._backoff = backoff
        self._pause_seconds = pause_seconds
        self._woken = asyncio.Event()

    def wake(self) -> None:
        """Transfers were committed."""
        self._woken.set()

    async def run(self) -> None:
        """For ever; a failure of the database ends it, and its supervisor starts it again."""
        while True:
            self._woken.clear()
            while await dispatch_transfers(self._engine, self._transfers, self._clock, self._backoff):
                pass
            try:
                async with asyncio.timeout(self._pause_seconds):
                    await self._woken.wait()
            except TimeoutError:
                continue
