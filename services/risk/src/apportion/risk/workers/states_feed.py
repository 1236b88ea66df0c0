"""The account states of one trading server as they come, from either of two sources."""

from __future__ import annotations

import asyncio
from dataclasses import replace

import structlog

from apportion.errors import DomainError
from apportion.events import WeatherCell
from apportion.risk.domain.snapshots import Snapshot, SnapshotSource
from apportion.risk.operations.ports import AccountStatesSource
from apportion.risk.wire import parse_states_weather
from apportion.risk.workers import metrics
from apportion.runtime import Clock

log = structlog.get_logger()


class StatesFeed:
    """Hears the weather. Once nothing new came for `fallback_seconds`, asks `source`, and again after each such pause
    until the weather is heard again.

    The snapshot observed last wins, so neither an old answer nor a Redis that lost its data turns the time back.
    Silence is measured on our own clock: that of platform-groups may differ. Nothing was observed later than we heard
    of it: a host whose clock is ahead must not outdo, unseen, all that others tell until its time has come.
    """

    def __init__(
        self,
        weather: WeatherCell,
        source: AccountStatesSource,
        *,
        label: int,
        trading_server_id: int,
        clock: Clock,
        fallback_seconds: float,
    ) -> None:
        self._weather = weather
        self._source = source
        self._label = label
        self._server = trading_server_id
        self._clock = clock
        self._fallback_seconds = fallback_seconds
        self._newest: Snapshot | None = None
        self._changed = asyncio.Event()
        self._changed_at = clock.monotonic()

    async def run(self) -> None:
        """For ever."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self._weather.run(), name=f"weather_{self._server}")
            group.create_task(self._listen(), name=f"listen_{self._server}")
            group.create_task(self._ask_in_silence(), name=f"ask_{self._server}")

    async def newer(self, version: int) -> Snapshot:
        """Waits for a snapshot of a higher version; -1: any."""
        while self._newest is None or self._newest.version <= version:
            await self._changed.wait()
        return self._newest

    async def _listen(self) -> None:
        version = -1
        while True:
            version, payload = await self._weather.newer(version)
            try:
                self._offer(parse_states_weather(payload))
            except DomainError as error:
                log.error("account_states_unreadable", trading_server_id=self._server, error=str(error))

    async def _ask_in_silence(self) -> None:
        while True:
            silent_seconds = self._clock.monotonic() - self._changed_at
            if silent_seconds >= self._fallback_seconds:
                await self._ask()
                silent_seconds = 0.0
            await asyncio.sleep(self._fallback_seconds - silent_seconds)

    async def _ask(self) -> None:
        metrics.STATES_ASKED.labels(self._server).inc()
        try:
            snapshot = await self._source.newest(self._label, self._server)
        except DomainError as error:
            log.warning("account_states_unavailable", trading_server_id=self._server, cause=str(error))
            return
        if snapshot is not None:
            self._offer(snapshot)

    def _offer(self, snapshot: Snapshot) -> None:
        before = self._newest
        snapshot = replace(snapshot, observed_time=min(snapshot.observed_time, self._clock.now()))
        if before is not None and snapshot.version <= before.version:
            return
        if snapshot.source is not (SnapshotSource.WEATHER if before is None else before.source):
            log.warning("account_states_source", trading_server_id=self._server, source=snapshot.source.name)
        self._newest = snapshot
        self._changed_at = self._clock.monotonic()
        self._changed.set()
        self._changed = asyncio.Event()
