"""The trading server's clock, read now and then: where a search for a lost answer begins."""

from __future__ import annotations

from apportion.platform_groups.operations.ports import TradingServerPort
from apportion.runtime import Clock

REFRESH_SECONDS = 5.0


class ServerClock:
    """An earlier reading only makes a search longer, so a few seconds of age are harmless."""

    def __init__(self, server: TradingServerPort, clock: Clock) -> None:
        self._server = server
        self._clock = clock
        self._read_at: float | None = None
        self._server_time_ms = 0

    async def known_ms(self) -> int:
        """A raw server time that has passed. Asks the server for the first one; raises ServerFailure."""
        if self._read_at is None:
            await self.refresh()
        return self._server_time_ms

    async def now_ms(self) -> int:
        """About the server's time of this moment: the last reading, carried on by our own clock. As `known_ms`."""
        known_ms = await self.known_ms()
        read_at = self._clock.monotonic() if self._read_at is None else self._read_at
        return known_ms + int((self._clock.monotonic() - read_at) * 1000)

    async def refresh(self) -> None:
        """Reads the clock if the last reading is old. Raises ServerFailure."""
        now = self._clock.monotonic()
        if self._read_at is None or now - self._read_at >= REFRESH_SECONDS:
            self._server_time_ms = await self._server.server_time_ms()
            self._read_at = now
