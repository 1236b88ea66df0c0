"""Makes the rows of child trades behind the decisions."""

from __future__ import annotations

import asyncio

from sqlalchemy.ext.asyncio import AsyncEngine

from apportion.allocation.operations.project_children import BATCH, project_children
from apportion.runtime import Clock


class Projector:
    """Makes child trade rows behind the decisions."""

    def __init__(self, engine: AsyncEngine, clock: Clock, committed: asyncio.Event, *, pause_seconds: float) -> None:
        self._engine = engine
        self._clock = clock
        self._committed = committed
        self._pause_seconds = pause_seconds

    async def run(self) -> None:
        """Look for decisions without rows, for ever: at once after a commit here, now and then for those of others."""
        while True:
            self._committed.clear()
            while await project_children(self._engine, now=self._clock.now()) == BATCH:
                pass
            try:
                async with asyncio.timeout(self._pause_seconds):
                    await self._committed.wait()
            except TimeoutError:
                continue
