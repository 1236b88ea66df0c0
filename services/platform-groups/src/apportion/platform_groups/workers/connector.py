"""The pump of one trading server: its deals become facts, its account states and prices become weather."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from functools import partial

import structlog
from sqlalchemy.ext.asyncio import AsyncEngine

from apportion.errors import UpstreamUnavailable
from apportion.platform_groups.domain.server_facts import ServerFailure
from apportion.platform_groups.operations.ports import NewId, TradingServerPort, TradingServersPort, WeatherPort
from apportion.platform_groups.operations.watch_accounts import watch_accounts
from apportion.platform_groups.workers.connection_watch import ConnectionWatch
from apportion.platform_groups.workers.deal_pump import DealPump
from apportion.platform_groups.workers.directory import Directory
from apportion.platform_groups.workers.state_pump import StatePump
from apportion.platform_groups.workers.stop_pump import StopPump
from apportion.platform_groups.workers.tick_pump import TickPump
from apportion.platform_groups.workers.weather_version import WeatherVersion
from apportion.runtime import Background, Clock
from apportion.storage.leases import Lease

log = structlog.get_logger()

Reader = Callable[[], Awaitable[None]]


@dataclass(frozen=True, slots=True)
class ConnectorNeeds:
    """What every server's connector is made of."""

    engine: AsyncEngine
    servers: TradingServersPort
    weather: WeatherPort
    clock: Clock
    new_id: NewId
    deal_interval_seconds: float
    state_interval_seconds: float
    tick_interval_seconds: float
    stop_interval_seconds: float
    account_interval_seconds: float


class Connector:
    """Five loops that read side by side while the lease is held."""

    def __init__(self, needs: ConnectorNeeds, server_id: int, lease: Lease) -> None:
        self._needs = needs
        self._server_id = server_id
        self._lease = lease
        self._background = Background()

    async def start(self) -> None:
        self._background.spawn(f"connector-{self._server_id}", self._run)

    async def stop(self) -> None:
        await self._background.stop()

    async def _run(self) -> None:
        async with self._needs.servers.pump(self._server_id) as server:
            await self._read_for_ever(server)

    async def _read_for_ever(self, server: TradingServerPort) -> None:
        needs = self._needs
        directory = Directory(needs.engine, self._server_id, needs.clock)
        watch = ConnectionWatch(needs.engine, self._server_id, needs.clock)
        deals = DealPump(needs.engine, server, directory, self._lease, self._server_id, needs.clock, needs.new_id)
        version = WeatherVersion(self._lease, needs.clock)
        states = StatePump(server, directory, needs.weather, version, self._server_id, needs.clock)
        ticks = TickPump(server, needs.weather, version, self._server_id, needs.clock)
        stops = StopPump(
            needs.engine, server, directory, states, self._lease, self._server_id, needs.clock, needs.new_id
        )
        accounts = partial(watch_accounts, needs.engine, server, self._server_id, self._lease)
        async with asyncio.TaskGroup() as loops:
            loops.create_task(self._every(needs.deal_interval_seconds, deals.read, watch))
            loops.create_task(self._every(needs.state_interval_seconds, states.read, None))
            loops.create_task(self._every(needs.tick_interval_seconds, ticks.read, None))
            loops.create_task(self._every(needs.stop_interval_seconds, stops.read, None))
            loops.create_task(self._every(needs.account_interval_seconds, accounts, None))

    async def _every(self, seconds: float, read: Reader, watch: ConnectionWatch | None) -> None:
        """A server that does not answer is asked again; only what is broken on our side ends the loop."""
        while True:
            started = self._needs.clock.monotonic()
            try:
                await read()
                if watch is not None:
                    await watch.answered()
            except ServerFailure as error:
                if watch is not None:
                    await watch.failed(str(error))
            except UpstreamUnavailable as error:
                log.warning("weather_not_published", trading_server_id=self._server_id, cause=str(error))
            await asyncio.sleep(max(seconds - (self._needs.clock.monotonic() - started), 0.0))
