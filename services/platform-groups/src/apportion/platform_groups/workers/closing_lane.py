"""Carries the closings of one trading server on, whatever else there is to look after."""

from __future__ import annotations

import structlog
from sqlalchemy.ext.asyncio import AsyncEngine

from apportion.errors import StaleEpoch
from apportion.platform_groups.operations.close_all_positions import advance_closings
from apportion.platform_groups.operations.ports import TradingServerPort
from apportion.platform_groups.workers.held_shards import AllShards
from apportion.platform_groups.workers.lane import Lane
from apportion.runtime import Clock

log = structlog.get_logger()

ROUND_SECONDS = 0.2


class ClosingLane(Lane):
    """Only reads from the server, on connections of its own, and accepts orders, which order lanes send. Every step is
    safe to repeat."""

    def __init__(
        self, engine: AsyncEngine, server: TradingServerPort, server_id: int, shards: AllShards, clock: Clock
    ) -> None:
        super().__init__()
        self._engine = engine
        self._server = server
        self._server_id = server_id
        self._shards = shards
        self._clock = clock

    async def run(self) -> None:
        while True:
            self._bell.clear()
            leases = self._shards.leases()
            try:
                if leases:
                    await advance_closings(self._engine, self._server, self._server_id, leases, self._clock)
            except StaleEpoch as error:
                log.warning("closings_interrupted", trading_server_id=self._server_id, cause=str(error))
            await self._rest(ROUND_SECONDS)
