"""Refreshes the floating profit of artificial records."""

from __future__ import annotations

from sqlalchemy.ext.asyncio import AsyncEngine

from apportion.allocation.operations.ports import Positions
from apportion.allocation.operations.refresh_floating import refresh_floating
from apportion.allocation.workers.server_loops import ServerLoops, server_of
from apportion.runtime import Clock
from apportion.storage.leases import Lease

LEASE_SECONDS = 3.0
"""When a worker is gone, records are to float on within five seconds."""


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
        """Of one server. Needs no fence: older news never replace newer. Returns the pause until the next."""
        await refresh_floating(self._engine, self._positions, *server_of(lease))
        return self._pause_seconds
