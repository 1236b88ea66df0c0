"""Carries the closings of one trading server on, whatever else there is to look after."""

from __future__ import annotations

import asyncio

import structlog
from sqlalchemy.ext.asyncio import AsyncEngine

from apportion.errors import StaleEpoch
from apportion.platform_groups.operations.close_all_positions import advance_closings
from apportion.platform_groups.operations.ports import TradingServerPort
from apportion.platform_groups.workers.held_shards import AllShards
from apportion.runtime import Clock

log = structlog.get_logger()

ROUND_SECONDS = 0.2


class Closings:
    """Of the shards that this process holds; every step is safe to repeat. `server` has connections of its own."""

    def __init__(
        self, engine: AsyncEngine, server: TradingServerPort, server_id: int, shards: AllShards, clock: Clock
    ) -> None:
        self._engine = engine
        self._server = server
        self._server_id = server_id
        self._shards = shards
        self._clock = clock
        self._bell = asyncio.Event()

    def ring(self) -> None:
        """There may be a new closing."""
        self._bell.set()

    async def run(self) -> None:
        while True:
            self._bell.clear()
            leases = self._shards.leases()
            try:
                if leases:
                    await advance_closings(self._engine, self._server, self._server_id, leases, self._clock)
            except StaleEpoch as error:
                log.warning("closings_interrupted", trading_server_id=self._server_id, cause=str(error))
            try:
                async with asyncio.timeout(ROUND_SECONDS):
                    await self._bell.wait()
            except TimeoutError:
                continue
