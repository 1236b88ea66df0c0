"""The weather of the trading servers, as the adapters read it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Generic, TypeVar

import structlog

from apportion.errors import UpstreamUnavailable
from apportion.events import Redis, WeatherCell
from apportion.runtime import Background

log = structlog.get_logger()

Snapshot = TypeVar("Snapshot")


@dataclass(slots=True)
class _Followed(Generic[Snapshot]):
    """One trading server."""

    cell: WeatherCell
    version: int = -1
    snapshot: Snapshot | None = None
    """What was parsed of that version."""


class ServerWeather(Generic[Snapshot]):
    """The newest snapshot of each trading server: followed from the first question on, each version parsed once.

    `key` names the weather of a server; `parse` gets a payload and the snapshot before it, if there was one.
    """

    def __init__(
        self,
        redis: Redis,
        background: Background,
        key: Callable[[int], str],
        parse: Callable[[bytes, Snapshot | None], Snapshot],
    ) -> None:
        self._redis = redis
        self._background = background
        self._key = key
        self._parse = parse
        self._followed: dict[int, _Followed[Snapshot]] = {}

    async def newest(self, trading_server_id: int) -> Snapshot | None:
        """From memory; Redis is asked only while nothing was heard of the server, which gives None."""
        followed = self._followed.get(trading_server_id) or self._follow(trading_server_id)
        latest = followed.cell.latest()
        if latest is None:
            await self._read(followed.cell, trading_server_id)
            latest = followed.cell.latest()
        if latest is not None and latest[0] != followed.version:
            followed.snapshot = self._parse(latest[1], followed.snapshot)
            followed.version = latest[0]
        return followed.snapshot

    def _follow(self, trading_server_id: int) -> _Followed[Snapshot]:
        key = self._key(trading_server_id)
        followed = self._followed[trading_server_id] = _Followed(WeatherCell(self._redis, key))
        self._background.spawn(key, followed.cell.run)
        return followed

    async def _read(self, cell: WeatherCell, trading_server_id: int) -> None:
        try:
            await cell.read()
        except UpstreamUnavailable as error:
            log.warning("weather_unavailable", key=self._key(trading_server_id), cause=str(error))
