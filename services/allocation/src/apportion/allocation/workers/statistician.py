"""Keeps equities and the leaderboard."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import structlog
from sqlalchemy.ext.asyncio import AsyncEngine

from apportion.allocation.operations.ports import States
from apportion.allocation.operations.refresh_leaderboard import refresh_leaderboard
from apportion.allocation.operations.sample_equities import sample_equities
from apportion.errors import DomainError
from apportion.runtime import Clock
from apportion.storage.leases import Lease, LeaseKeeper

log = structlog.get_logger()


class Statistician:
    """Notes equities and computes the leaderboard, now and then: one worker for all, by a lease."""

    def __init__(
        self,
        engine: AsyncEngine,
        states: States,
        owner: str,
        clock: Clock,
        *,
        sample_seconds: float,
        leaderboard_seconds: float,
    ) -> None:
        self._engine = engine
        self._states = states
        self._clock = clock
        self._sample_seconds = sample_seconds
        self._leaderboard_seconds = leaderboard_seconds
        self._tasks: list[asyncio.Task[None]] = []
        self._keeper = LeaseKeeper(
            engine, "statistics", ["all"], owner, clock=clock, on_acquire=self._begin, on_release=self._end
        )

    async def run(self) -> None:
        await self._keeper.run()

    async def sample(self, lease: Lease) -> None:
        """Note what masters' and followers' accounts have now. Raises StaleEpoch."""
        await sample_equities(self._engine, self._states, lease)

    async def refresh(self, lease: Lease) -> None:
        """Compute the leaderboard anew. Raises StaleEpoch."""
        await refresh_leaderboard(self._engine, lease, now=self._clock.now())

    async def _begin(self, lease: Lease) -> None:
        work = ((self.sample, self._sample_seconds), (self.refresh, self._leaderboard_seconds))
        self._tasks = [asyncio.create_task(self._repeat(step, lease, seconds)) for step, seconds in work]

    async def _end(self, _lease: Lease) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _repeat(self, step: Callable[[Lease], Awaitable[None]], lease: Lease, pause_seconds: float) -> None:
        while True:
            try:
                await step(lease)
            except DomainError as error:
                log.warning("statistics_delayed", step=step.__name__, reason=error.reason, message=error.message)
            except Exception:
                log.exception("statistics_failed", step=step.__name__)
            await asyncio.sleep(pause_seconds)
