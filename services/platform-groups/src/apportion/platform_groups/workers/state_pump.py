"""Reads account states and publishes them as weather."""

from __future__ import annotations

from apportion.platform_groups.domain.account_states import AccountStates
from apportion.platform_groups.operations.ports import TradingServerPort, WeatherPort
from apportion.platform_groups.operations.read_account_states import StatesReader
from apportion.platform_groups.wire.states import render_states
from apportion.platform_groups.workers.directory import Directory
from apportion.platform_groups.workers.weather_version import WeatherVersion
from apportion.runtime import Clock

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
