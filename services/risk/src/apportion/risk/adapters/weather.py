"""The live state of accounts and prices, out of Redis."""

from __future__ import annotations

import structlog

from apportion.errors import UpstreamUnavailable
from apportion.events import Redis, WeatherCell
from apportion.events.weather import accounts_key
from apportion.risk.domain.watch import Snapshot
from apportion.risk.wire import parse_account_states

log = structlog.get_logger()


class RedisWeather:
    """One look at a time, for questions of people."""

    def __init__(self, redis: Redis) -> None:
        self._redis = redis

    async def snapshot(self, trading_server_id: int) -> Snapshot | None:
        """None also while Redis is away: a limit is shown without its equity then."""
        cell = WeatherCell(self._redis, accounts_key(trading_server_id))
        try:
            await cell.read()
        except UpstreamUnavailable as error:
            log.warning("weather_unavailable", trading_server_id=trading_server_id, cause=str(error))
        latest = cell.latest()
        return None if latest is None else parse_account_states(*latest)
