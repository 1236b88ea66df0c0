"""Reads prices and publishes them as weather."""

from __future__ import annotations

from apportion.api.platform_groups.v1 import events_pb2
from apportion.platform_groups.domain.server_facts import ServerTick
from apportion.platform_groups.operations.ports import TradingServerPort, WeatherPort
from apportion.platform_groups.workers.weather_version import WeatherVersion
from apportion.rpc import set_column, to_timestamp
from apportion.runtime import Clock

QUIET_SECONDS = 1.0
"""Prices are published this often even when none changed: a reader sees that the pump is alive."""


class TickPump:
    """The server tells what changed; all newest prices are published together."""

    def __init__(
        self, server: TradingServerPort, weather: WeatherPort, version: WeatherVersion, server_id: int, clock: Clock
    ) -> None:
        self._server = server
        self._weather = weather
        self._version = version
        self._server_id = server_id
        self._clock = clock
        self._newest: dict[str, ServerTick] = {}
        self._published_at = 0.0

    async def read(self) -> None:
        """One round. Raises ServerFailure, UpstreamUnavailable."""
        observed_time = self._clock.now()
        changed = await self._server.changed_ticks()
        self._newest.update((tick.symbol, tick) for tick in changed)
        if not self._newest or (not changed and self._clock.monotonic() - self._published_at < QUIET_SECONDS):
            return
        self._published_at = self._clock.monotonic()
        ticks = [self._newest[symbol] for symbol in sorted(self._newest)]
        message = events_pb2.Ticks(
            trading_server_id=self._server_id,
            observed_time=to_timestamp(observed_time),
            server_time_ms=max(tick.server_time_ms for tick in ticks),
            symbols=[tick.symbol for tick in ticks],
        )
        set_column(message, "bids_e8", [tick.bid_e8 for tick in ticks])
        set_column(message, "asks_e8", [tick.ask_e8 for tick in ticks])
        set_column(message, "server_times_ms", [tick.server_time_ms for tick in ticks])
        await self._weather.publish_ticks(message, version=self._version.next())
