"""Reads account states and prices and publishes them as weather."""

from __future__ import annotations

from apportion.api.platform_groups.v1 import events_pb2
from apportion.platform_groups.domain.account_states import AccountStates
from apportion.platform_groups.domain.server_facts import ServerTick
from apportion.platform_groups.operations.ports import TradingServerPort, WeatherPort
from apportion.platform_groups.operations.read_account_states import StatesReader
from apportion.platform_groups.wire.states import render_states
from apportion.platform_groups.workers.directory import Directory
from apportion.platform_groups.workers.weather_version import WeatherVersion
from apportion.rpc import set_column, to_timestamp
from apportion.runtime import Clock

QUIET_SECONDS = 1.0
"""Prices are published this often even when none changed: a reader sees that the pump is alive."""
DIRECTORY_SECONDS = 1.0


class StatePump:
    """Publishes the states of all accounts of the server."""

    def __init__(
        self,
        server: TradingServerPort,
        directory: Directory,
        weather: WeatherPort,
        version: WeatherVersion,
        server_id: int,
        clock: Clock,
    ) -> None:
        self._directory = directory
        self._weather = weather
        self._version = version
        self._reader = StatesReader(server, server_id, clock)
        self._newest: AccountStates | None = None

    async def read(self) -> None:
        """One round. Raises ServerFailure, UpstreamUnavailable."""
        await self._directory.refresh(DIRECTORY_SECONDS)
        if not self._directory.groups or not self._directory.by_login:
            return
        states = await self._reader.read(self._directory.groups, self._directory.account_ids)
        self._newest = states
        await self._weather.publish_states(render_states(states), version=self._version.next())

    def accounts_with_positions(self) -> set[int]:
        """By the states that were read last."""
        return set() if self._newest is None else self._newest.accounts_with_positions()


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
