"""Whether a trading server is online, with hysteresis: one lost call is no outage, one answer no recovery."""

from __future__ import annotations

import structlog
from sqlalchemy.ext.asyncio import AsyncEngine

from apportion.platform_groups.domain.states import ConnectionState
from apportion.platform_groups.storage.trading_servers import save_connection
from apportion.runtime import Clock
from apportion.storage import transaction

log = structlog.get_logger()

FAILURES_TO_OFFLINE = 3
SUCCESSES_TO_ONLINE = 2
SAVE_SECONDS = 5.0


class ConnectionWatch:
    """Told about each call; writes the server's row when its state changes, and its last contact now and then."""

    def __init__(self, engine: AsyncEngine, server_id: int, clock: Clock) -> None:
        self._engine = engine
        self._server_id = server_id
        self._clock = clock
        self._state = ConnectionState.CONNECTING
        self._streak = 0
        self._saved_at = -SAVE_SECONDS

    async def answered(self) -> None:
        self._streak = max(self._streak, 0) + 1
        if self._state is not ConnectionState.ONLINE and self._streak >= SUCCESSES_TO_ONLINE:
            self._state = ConnectionState.ONLINE
            log.info("trading_server_online", trading_server_id=self._server_id)
            await self._save()
        elif self._clock.monotonic() - self._saved_at >= SAVE_SECONDS:
            await self._save()

    async def failed(self, cause: str) -> None:
        self._streak = min(self._streak, 0) - 1
        if self._state is not ConnectionState.OFFLINE and self._streak <= -FAILURES_TO_OFFLINE:
            self._state = ConnectionState.OFFLINE
            log.error("trading_server_offline", trading_server_id=self._server_id, cause=cause)
            async with transaction(self._engine) as tx:
                await save_connection(tx, self._server_id, self._state, None)

    async def _save(self) -> None:
        self._saved_at = self._clock.monotonic()
        async with transaction(self._engine) as tx:
            await save_connection(tx, self._server_id, self._state, self._clock.now())
