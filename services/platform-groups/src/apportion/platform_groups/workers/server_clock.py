"""The trading server's clock, read now and then: a search for a lost answer begins at the time of its sending."""

from __future__ import annotations

from apportion.platform_groups.operations.ports import TradingServerPort
from apportion.runtime import Clock

REFRESH_SECONDS = 5.0


class ServerClock:
    """An earlier reading only makes a search longer, so a few seconds of age are harmless."""

    def __init__(self, server: TradingServerPort, clock: Clock) -> None:
        self._server = server
        self._clock = clock
        self._reading: tuple[int, float] | None = None
        """The server's time, and our clock's when it was read."""

    async def known_ms(self) -> int:
        """A raw server time that has passed. Asks the server for the first one; raises ServerFailure."""
        return (await self._known())[0]

    async def now_ms(self) -> int:
        """About the server's time of this moment: the last reading, carried on by our own clock. As `known_ms`."""
        server_time_ms, read_at = await self._known()
        return server_time_ms + int((self._clock.monotonic() - read_at) * 1000)

    async def refresh(self) -> None:
        """Reads the clock if the last reading is old. Raises ServerFailure."""
        if self._reading is None or self._clock.monotonic() - self._reading[1] >= REFRESH_SECONDS:
            await self._read()

    async def _known(self) -> tuple[int, float]:
        return self._reading or await self._read()

    async def _read(self) -> tuple[int, float]:
        read_at = self._clock.monotonic()
        self._reading = await self._server.server_time_ms(), read_at
        return self._reading
