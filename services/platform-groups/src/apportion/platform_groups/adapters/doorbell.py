"""NOTIFY from the database: new work for a trading server. A hint only, the workers also look by themselves."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import asyncpg

from apportion.errors import DatabaseUnavailable
from apportion.platform_groups.storage.egress import CHANNEL

CHECK_SECONDS = 5.0


class Doorbell:
    """Calls `ring(trading_server_id)` for each notification; a lost connection ends `run` with an error."""

    def __init__(self, database_url: str, ring: Callable[[int], None]) -> None:
        self._url = database_url.replace("postgresql+asyncpg://", "postgresql://", 1)
        self._ring = ring

    async def run(self) -> None:
        try:
            connection = await asyncpg.connect(self._url)
        except OSError as error:
            raise DatabaseUnavailable() from error
        try:
            await connection.add_listener(CHANNEL, self._heard)
            while True:
                await asyncio.sleep(CHECK_SECONDS)
                await connection.execute("SELECT 1", timeout=CHECK_SECONDS)
        finally:
            await connection.close(timeout=CHECK_SECONDS)

    def _heard(self, _connection: object, _pid: int, _channel: str, payload: object) -> None:
        if isinstance(payload, str) and payload.isdecimal():
            self._ring(int(payload))
