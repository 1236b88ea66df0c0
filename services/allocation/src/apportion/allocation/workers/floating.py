"""Refreshes the floating profit of artificial records."""

from __future__ import annotations

from sqlalchemy.ext.asyncio import AsyncEngine

from apportion.allocation.operations.ports import Positions
from apportion.allocation.operations.refresh_floating import refresh_floating
from apportion.allocation.workers.server_loops import ServerLoops, server_of
from apportion.runtime import Clock
from apportion.storage.leases import Lease

LEASE_SECONDS = 3.0
"""Short: when a worker is gone, another one goes on within five seconds."""


class Floating:
    """Refreshes the floating profit of artificial records, while there are any."""

    def __init__(
        self, engine: AsyncEngine, positions: Positions, owner: str, clock: Clock, *, pause_seconds: float
    ) -> None:
        self._engine = engine
        self._positions = positions
        self._pause_seconds = pause_seconds
        self._loops = ServerLoops(
            engine,
            "floating",
            owner,
            clock,
            self.look,
            retry_seconds=pause_seconds,
            ttl_seconds=LEASE_SECONDS,
        )

    async def run(self) -> None:
        await self._loops.run()

    async def look(self, lease: Lease) -> float:
        """Refreshes one server; returns the pause until the next. No fence: older figures replace no newer ones."""
        await refresh_floating(self._engine, self._positions, *server_of(lease))
        return self._pause_seconds
